//! What node and balancer share: per-core runtimes, listeners, graceful shutdown, and the
//! HTTP/1 connection loop with its limits.
#![warn(missing_docs)]

mod accept;
mod address;
mod connection;
mod framing;
mod host;
mod io;
mod linger;
mod listener;
mod process;
mod proxies;
mod pulse;
mod refused;
mod server;
mod shutdown;
mod small_writes;
mod unix;
mod unix_stream;
mod workers;

pub use accept::Listener;
pub use address::{Address, AddressError, Stream};
pub use connection::{Connection, Served};
pub use host::host_refusal;
pub use listener::{BindError, Listeners, listen};
pub use process::{OpenFiles, memory_limit, open_files, process_metrics, resident_memory};
pub use proxies::{Network, NetworkError, TrustedProxies};
pub use pulse::Pulse;
pub use refused::Refused;
pub use server::{ServeLimits, serve, serve_noting};
pub use shutdown::{Shutdown, Signal, Signals};
pub use small_writes::SmallWrites;
pub use unix::{SOCKET_PATH_MAX, SocketFile, UnixBindError, UnixSocket};
pub use unix_stream::UnixStream;
pub use workers::{Workers, WorkersError};

/// A boxed error, as bodies and services of any kind give it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
