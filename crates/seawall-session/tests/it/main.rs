//! What the session manager promises, on two nodes that share one store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answered;
mod answering;
mod at_rest;
mod cache;
mod checklist;
mod copies;
mod devices;
mod events;
mod expiry;
mod failover;
mod increments;
mod layer;
mod outage;
mod patience;
mod principals;
mod promises;
mod renewal;
mod retries;
mod rotations;
mod shared;
mod simulation;
mod support;
mod undone;
mod watch;
