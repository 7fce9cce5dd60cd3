//! What the session manager promises, on two nodes that share one store.

mod expiry;
mod increments;
mod layer;
mod promises;
mod support;
