//! The limit on open files: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Takes as many as the process may have. Shells often start with 1,024, for programs that use
/// select(2), which these processes do not.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}
