//! The program as a whole: real processes on free ports, killed at the wrong moments.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod commands;
mod failover;
mod front;
mod install;
mod machines;
mod outage;
mod reference;
mod sessions;
mod up;
