//! The application server: webapps with static files and pages, on clustered sessions.
//!
//! Each folder below the webapps folder is an application: `webapps/shop/` answers at `/shop/`, and
//! `webapps/ROOT/` at `/`. Files are served as they are; `*.html.j2` are MiniJinja pages that see
//! `request`, `session` and `node`. Changes are picked up within a second. The application
//! `session-test` is built in.

mod admin;
mod body;
mod config;
mod health;
mod leave;
mod metrics;
mod node;
mod params;
mod respond;
mod service;
mod webapp;

pub use admin::{ADMIN_TOKEN_MIN, AdminToken, AdminTokenError};
pub use config::NodeConfig;
pub use node::{Node, NodeError};
