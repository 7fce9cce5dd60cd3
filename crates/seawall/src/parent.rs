//! The tie between a supervisor and its children: a pipe that the supervisor holds open.

use std::io::Read;

use seawall_net::Shutdown;

/// Ends this process when standard input closes. That happens when the supervisor closes it, and
/// also when the supervisor was killed; so no child is left behind.
pub(crate) fn end_with_parent(shutdown: Shutdown) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        shutdown.trigger();
    });
}
