//! A pool of connections; who finds none free waits.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The pool; its clones are the same one.
pub(super) struct Pool<C> {
    free: Arc<Mutex<Vec<C>>>,
    permits: Arc<Semaphore>,
}

/// A connection of a pool, to which it goes back.
pub(super) struct Pooled<C> {
    connection: Option<C>,
    free: Arc<Mutex<Vec<C>>>,
    _permit: OwnedSemaphorePermit,
}

impl<C> Pool<C> {
    pub(super) fn new(connections: Vec<C>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            free: Arc::new(Mutex::new(connections)),
        }
    }

    pub(super) async fn take(&self) -> Pooled<C> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let connection = self.free.lock().expect(UNPOISONED).pop();
        Pooled {
            connection,
            free: self.free.clone(),
            _permit: permit,
        }
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<C> Deref for Pooled<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connection.as_ref().expect(THERE)
    }
}

impl<C> DerefMut for Pooled<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect(THERE)
    }
}

impl<C> Drop for Pooled<C> {
    fn drop(&mut self) {
        // The permit follows, so whoever gets it finds the connection.
        self.free
            .lock()
            .expect(UNPOISONED)
            .extend(self.connection.take());
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";
const THERE: &str = "a permit stands for a connection";
