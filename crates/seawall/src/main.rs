//! The `seawall` program: everything of a cluster in one binary.
//!
//! Exit codes: 0 done, 1 it failed, 2 it was called wrongly. `seawall health` has its own: 0 well,
//! 1 with warnings, 2 critical; `seawall drain` has 3: the time is over; and `seawall
//! bench` has 130: Ctrl-C, and no report.

mod admin;
mod balance;
mod bench;
mod cli;
mod config;
mod disk;
mod doctor;
mod drain;
mod guess;
mod health;
mod http_client;
mod install;
mod local;
mod logging;
mod mounts;
mod node;
mod open_files;
mod output;
mod parent;
mod reference;
mod reports;
mod secret;
mod service;
mod sessions;
mod status;
mod store_access;
mod store_probe;
mod up;

use std::process::ExitCode;

/// Requests make many small allocations, which this allocator serves at about half the cost of the
/// system's (see ARCHITECTURE.md, figures).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
