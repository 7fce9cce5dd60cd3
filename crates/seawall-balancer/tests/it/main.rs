//! The balancer in front of real servers that behave, refuse, break off and hang.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod draining;
mod failures;
mod framing;
mod server;
mod statistics;
mod stickiness;
mod support;
mod tunnel;
mod uploads;
