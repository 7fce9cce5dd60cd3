//! A node as its clients see it: real sockets, real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod draining;
mod files;
mod metrics;
mod pages;
mod shutdown;
mod support;
