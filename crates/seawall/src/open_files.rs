//! The limit on open files: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a process opens beside connections of clients: its libraries' and runtimes' files, logs,
/// checks, connections to the store.
const OTHERS: u64 = 48;

/// Takes as many as the process may have. Shells often start with 1,024, for programs that use
/// select(2), which these processes do not.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// How many connections each worker may take at most, so that none is left without a file: clients
/// that do nothing must not keep the process from its servers or its store. A client takes `each`.
pub(crate) fn connections(most: usize, workers: usize, each: u64) -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    share(limit, most, workers, each)
}

fn share(limit: u64, most: usize, workers: usize, each: u64) -> usize {
    let left = limit.saturating_sub(OTHERS) / each / workers.max(1) as u64;
    usize::try_from(left).unwrap_or(usize::MAX).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_files_for_others() {
        assert_eq!(share(u64::MAX, 10_000, 2, 2), 10_000);
        assert_eq!(share(1_024, 10_000, 2, 2), 244);
        assert_eq!(share(10, 10_000, 2, 2), 1, "something must work");
    }
}
