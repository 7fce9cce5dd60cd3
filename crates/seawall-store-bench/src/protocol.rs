//! The commands and the answers, as JSON, one a line. `xtask/src/bench/store/client.rs` is the
//! other side.

use serde::{Deserialize, Serialize};

/// What to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Command {
    Measure(Measure),
    Sweep(Sweep),
}

/// Puts load on the store.
#[derive(Debug, Deserialize)]
pub(crate) struct Measure {
    pub(crate) way: Way,
    pub(crate) operation: Operation,
    /// How many requests are under way at any time.
    pub(crate) concurrency: u32,
    pub(crate) millis: u64,
}

/// Which way a request takes to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    Batched,
    Naive,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    /// Reads a whole session.
    Load,
    /// Writes a session whose version is known.
    Update,
    /// Asks whether a version is still current.
    Validate,
}

/// What requests took, in µs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) micros: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// Sweeps under load.
#[derive(Debug, Deserialize)]
pub(crate) struct Sweep {
    /// How many sessions have expired.
    pub(crate) expired: u32,
    pub(crate) concurrency: u32,
    /// How long the load is measured before the sweep, and after it.
    pub(crate) millis: u64,
    /// The sweep is cut off after this time.
    pub(crate) limit_millis: u64,
}

/// The load without and with a sweep beside it.
#[derive(Debug, Serialize)]
pub(crate) struct Swept {
    pub(crate) before: Served,
    pub(crate) during: Served,
    pub(crate) after: Served,
    /// How many sessions were deleted.
    pub(crate) deleted: u64,
    pub(crate) micros: u64,
}

/// What a mixed load took.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Served {
    pub(crate) updates: Measured,
    pub(crate) validations: Measured,
}
