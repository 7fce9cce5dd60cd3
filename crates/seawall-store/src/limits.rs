//! How long the servers that hold the sessions may take.

use std::time::Duration;

/// How long a server may take. SQLite and the memory have no use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// A connection that has not answered for this long is given up, and what was asked is asked
    /// again on a new one. Best less than [`patience`](crate::BatcherSettings::patience), so that there
    /// is time for that; nothing checks it.
    pub answer: Duration,
    /// Connecting to one host takes no longer than this.
    pub connect: Duration,
    /// A connection that was idle for longer is checked before it is used: a firewall may have
    /// forgotten it.
    pub idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(3),
            connect: Duration::from_secs(2),
            idle: Duration::from_secs(60),
        }
    }
}
