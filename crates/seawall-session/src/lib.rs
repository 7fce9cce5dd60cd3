//! Sessions for Rust web applications that run in more than one process.
//!
//! A [`SessionManager`] keeps the sessions of one application in a
//! [`SessionStore`](seawall_store::SessionStore) that all processes share. There are two ways in:
//!
//! - [`SessionLayer`] around a tower service, and [`Session`] as an axum extractor, for handlers
//!   that do more than compute a page;
//! - [`SessionManager::visit`] for pure work, which needs one round trip to the store less.
//!
//! A process also needs somebody who deletes expired sessions from the store:
//! [`SessionManager::sweep_every`]. The README has the smallest program, `docs/library.md` a larger one,
//! with tests of it, errors, and what to know when coming from `tower-sessions`.
//!
//! What holds: a response leaves only after the changes made for it are durable; no update is lost,
//! whichever process served it; an invalidated session stays dead.

mod answered;
mod attribute;
mod cache;
mod cached;
mod compartment;
pub mod cookie;
mod draft;
mod ending;
mod error;
pub mod events;
#[cfg(feature = "axum")]
mod extract;
mod id;
mod layer;
pub mod limits;
mod manager;
mod outage;
mod pending;
mod principals;
mod renaming;
mod renewal;
mod session;
mod settings;
mod statistics;
pub mod sweep;
mod touch;
mod watch;
mod work;

/// The README's example is compiled, and those of the book.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
mod library {}

pub use cookie::{CookieSettings, Presented, SameSite, Secure};
pub use draft::Draft;
pub use error::SessionError;
pub use events::{Listeners, SessionEvent, SessionListener};
pub use id::SessionId;
pub use layer::{ClientAddress, SessionHandle, SessionLayer, SessionService};
pub use limits::{LimitExceeded, SessionLimits};
pub use manager::{SessionManager, Visited};
pub use outage::{UNVERIFIED, UNVERIFIED_HEADER};
pub use principals::PrincipalLimit;
pub use session::Session;
pub use settings::{Consistency, OnOutage, SessionSettings, SettingsError};
pub use statistics::SessionStatistics;
pub use sweep::Sweeper;
pub use watch::Watch;
