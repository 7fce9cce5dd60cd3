//! A connection to a server that is made when it is needed, and made again after a loss.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::{limits::ServerLimits, statistics::ConnectionStatistics, store::StoreError};

/// How often work is tried again that the database undid because of another transaction.
const UNDONE_LIMIT: u32 = 10;

/// The longest pause before that; the first is a thirty-second of it.
const UNDONE_PAUSE: Duration = Duration::from_millis(32);

/// Making a new connection ready takes no longer than this: an index on a large table takes time.
const READY_LIMIT: Duration = Duration::from_secs(600);

/// How a back end connects.
pub(crate) trait Connector: Send + Sync + 'static {
    /// An open connection; it is closed when it is dropped.
    type Connection: Send + Sync + 'static;
    /// What can go wrong with it.
    type Failure: Failure;

    /// What [`connect`](Self::connect) gives, and [`make_ready`](Self::make_ready) takes.
    type Raw: Send;

    /// Reaches the server.
    fn connect(&self) -> impl Future<Output = Result<Self::Raw, Self::Failure>> + Send;

    /// Makes a new connection ready for work: sees to the tables, prepares statements.
    fn make_ready(
        &self,
        raw: Self::Raw,
    ) -> impl Future<Output = Result<Self::Connection, Self::Failure>> + Send;

    /// Whether it is known that the connection is of no more use.
    fn is_closed(connection: &Self::Connection) -> bool;

    /// Asks the server for a sign of life.
    fn check(
        connection: &Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// How long [`connect`](Self::connect) may take.
    fn connect_limit(&self) -> Duration;
}

/// What went wrong, and what follows from it.
pub(crate) trait Failure: fmt::Debug + Send {
    /// Whether the database undid the work because of another transaction; then it may go through
    /// the next time.
    fn was_undone(&self) -> bool;

    /// Whether the connection is of no more use.
    fn breaks_the_connection(&self) -> bool;

    /// The failure as the store's users see it.
    fn into_store_error(self, store: &Arc<str>) -> StoreError;
}

/// What the connections of one store count.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    opened: AtomicU64,
    lost: AtomicU64,
    undone: AtomicU64,
}

impl LinkCounters {
    pub(crate) fn snapshot(&self) -> ConnectionStatistics {
        ConnectionStatistics {
            opened: self.opened.load(Relaxed),
            lost: self.lost.load(Relaxed),
            undone: self.undone.load(Relaxed),
        }
    }
}

/// One connection, or the way to it.
pub(crate) struct Link<C: Connector> {
    connector: Arc<C>,
    description: Arc<str>,
    limits: ServerLimits,
    counters: Arc<LinkCounters>,
    open: Mutex<Option<Open<C>>>,
}

struct Open<C: Connector> {
    connection: Arc<C::Connection>,
    used_at: Instant,
}

impl<C: Connector> fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.description).finish()
    }
}

impl<C: Connector> Link<C> {
    pub(crate) fn new(
        connector: Arc<C>,
        description: Arc<str>,
        limits: &ServerLimits,
        counters: Arc<LinkCounters>,
    ) -> Self {
        Self {
            connector,
            description,
            limits: limits.clone(),
            counters,
            open: Mutex::new(None),
        }
    }

    /// Does `work` on the connection, within a time limit; gives the connection up when it fails.
    pub(crate) async fn run<R, F>(
        &self,
        work: impl FnOnce(Arc<C::Connection>) -> F + Send,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, C::Failure>> + Send,
    {
        let connection = self.connection().await?;
        match timeout(self.limits.answer, work(connection.clone())).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(failure)) => {
                if failure.breaks_the_connection() {
                    self.give_up(&connection).await;
                }
                Err(failure.into_store_error(&self.description))
            }
            Err(_) => {
                self.give_up(&connection).await;
                Err(self.no_answer(self.limits.answer))
            }
        }
    }

    /// The connection; made now if there is none that can be used.
    async fn connection(&self) -> Result<Arc<C::Connection>, StoreError> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_mut()
            && self.is_usable(open).await
        {
            open.used_at = Instant::now();
            return Ok(open.connection.clone());
        }
        if open.take().is_some() {
            self.counters.lost.fetch_add(1, Relaxed);
        }
        let raw = self
            .within(self.connector.connect_limit(), self.connector.connect())
            .await?;
        let connection = self
            .within(READY_LIMIT, self.connector.make_ready(raw))
            .await?;
        self.counters.opened.fetch_add(1, Relaxed);
        let connection = Arc::new(connection);
        *open = Some(Open {
            connection: connection.clone(),
            used_at: Instant::now(),
        });
        Ok(connection)
    }

    async fn is_usable(&self, open: &Open<C>) -> bool {
        if C::is_closed(&open.connection) {
            return false;
        }
        if open.used_at.elapsed() < self.limits.idle {
            return true;
        }
        let checked = timeout(self.limits.connect, C::check(&open.connection)).await;
        matches!(checked, Ok(Ok(())))
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, C::Failure>>,
    ) -> Result<T, StoreError> {
        match timeout(limit, work).await {
            Ok(result) => result.map_err(|failure| failure.into_store_error(&self.description)),
            Err(_) => Err(self.no_answer(limit)),
        }
    }

    /// Lets go of a connection, unless it has been replaced already.
    async fn give_up(&self, connection: &Arc<C::Connection>) {
        let mut open = self.open.lock().await;
        let is_it = |open: &mut Open<C>| Arc::ptr_eq(&open.connection, connection);
        if open.take_if(is_it).is_some() {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }

    fn no_answer(&self, waited: Duration) -> StoreError {
        StoreError::Timeout {
            store: self.description.clone(),
            waited,
        }
    }
}

/// Does `work` again that the database undid as a whole. `work` must be one transaction: repeating
/// more than what was undone would do the rest twice.
pub(crate) async fn repeat_undone<R, E, F>(
    counters: &LinkCounters,
    mut work: impl FnMut() -> F,
) -> Result<R, E>
where
    E: Failure,
    F: Future<Output = Result<R, E>>,
{
    for tries in 1..UNDONE_LIMIT {
        match work().await {
            Err(failure) if failure.was_undone() => {
                counters.undone.fetch_add(1, Relaxed);
                sleep(pause(tries)).await;
            }
            result => return result,
        }
    }
    work().await
}

/// How long to wait before the next try, so that those who were in each other's way part. By
/// chance, as they would meet again otherwise.
fn pause(tries: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let most = UNDONE_PAUSE / (32 >> tries.min(5));
    let chance = RandomState::new().hash_one(tries) % 1_000;
    most * u32::try_from(chance).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_limit() {
        for tries in 1..UNDONE_LIMIT {
            let longest = (0..200).map(|_| pause(tries)).max().unwrap();
            assert!(
                longest <= UNDONE_PAUSE && longest >= UNDONE_PAUSE / 32,
                "{longest:?}"
            );
        }
    }
}
