//! The program as a whole: real processes on free ports, killed at the wrong moments.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod bench;
mod cluster;
mod commands;
mod docs;
mod doctor;
mod draining;
mod failover;
mod front;
mod health;
mod idle_clients;
mod install;
mod machines;
mod outage;
mod parts;
mod proxies;
mod reference;
mod rolling;
mod sessions;
mod site;
mod status;
mod up;
mod up_places;
