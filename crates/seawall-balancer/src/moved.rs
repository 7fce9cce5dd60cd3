//! With prefix cookies: where clients went whose cookie names another server.

use std::hash::{BuildHasher, RandomState};

use quick_cache::sync::Cache;

/// How many are remembered.
const LIMIT: usize = 100_000;

/// Remembers the values of session cookies by a hash with a secret key: clients choose them, and how
/// long they are.
#[derive(Debug)]
pub(crate) struct Moved {
    servers: Cache<u64, usize>,
    hasher: RandomState,
}

impl Moved {
    pub(crate) fn new() -> Self {
        Self {
            servers: Cache::new(LIMIT),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn insert(&self, session: &str, server: usize) {
        self.servers.insert(self.hasher.hash_one(session), server);
    }

    pub(crate) fn get(&self, session: &str) -> Option<usize> {
        self.servers.get(&self.hasher.hash_one(session))
    }
}
