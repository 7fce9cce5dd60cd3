//! The back ends against the conformance suite, on real databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod damaged;
mod held;
mod mariadb;
mod mutants;
mod outage;
mod payload;
mod postgres;
mod postgres_waits;
mod redis;
mod support;
mod tls;
mod undone;
