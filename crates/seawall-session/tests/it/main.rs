//! What the session manager promises, on two nodes that share one store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod at_rest;
mod checklist;
mod events;
mod expiry;
mod failover;
mod increments;
mod layer;
mod principals;
mod promises;
mod simulation;
mod support;
mod watch;
