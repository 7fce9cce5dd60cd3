//! The sticky HTTP balancer.
//!
//! Each worker has its own listener, its own runtime and its own connections to the servers; what
//! the workers share is a handful of atomics per server. Decisions (which server, whether it is
//! well, which cookie) are pure functions; the I/O is around them.
//!
//! A request goes to the server that its cookie names, or to the next one. If that server refuses,
//! resets or hangs, the request moves to another one, unless it may have taken effect.

mod access_log;
mod balancer;
mod body;
mod check;
mod config;
mod failure;
mod forward;
mod headers;
mod health;
mod heard;
mod in_flight;
mod internal;
mod latency;
mod moved;
mod pick;
mod pool;
mod prepare;
mod recent;
mod respond;
mod server;
mod stats;
mod sticky;
mod tunnel;
mod upload;
mod wait;

pub use access_log::AccessLog;
pub use balancer::{Balancer, BalancerError, Inherited};
pub use config::{Algorithm, BalancerConfig, CheckConfig, ServerConfig, StickyMode, Timeouts};
pub use latency::quantile;
