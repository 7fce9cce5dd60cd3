//! A connection to a server that is made when it is needed, and made again after a loss.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::timeout};

use crate::store::StoreError;

/// After this time without an answer a connection is given up. Shorter than the patience of a
/// request, so that the request can be tried again on a new connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How often work is tried again that the database undid because of another transaction.
const UNDONE_LIMIT: u32 = 5;

/// Connecting to one host takes no longer than this.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

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

/// One connection, or the way to it.
pub(crate) struct Link<C: Connector> {
    connector: Arc<C>,
    description: Arc<str>,
    open: Mutex<Option<Arc<C::Connection>>>,
}

impl<C: Connector> fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.description).finish()
    }
}

impl<C: Connector> Link<C> {
    pub(crate) fn new(connector: Arc<C>, description: Arc<str>) -> Self {
        Self {
            connector,
            description,
            open: Mutex::new(None),
        }
    }

    /// Does `work` on the connection, within a time limit; gives the connection up when it fails.
    pub(crate) async fn run<R, F>(
        &self,
        work: impl Fn(Arc<C::Connection>) -> F + Send,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, C::Failure>> + Send,
    {
        let connection = self.connection().await?;
        match timeout(ANSWER_LIMIT, repeat_undone(&connection, work)).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(failure)) => {
                if failure.breaks_the_connection() {
                    self.give_up(&connection).await;
                }
                Err(failure.into_store_error(&self.description))
            }
            Err(_) => {
                self.give_up(&connection).await;
                Err(self.no_answer(ANSWER_LIMIT))
            }
        }
    }

    /// The connection; made now if there is none.
    async fn connection(&self) -> Result<Arc<C::Connection>, StoreError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.as_ref().filter(|open| !C::is_closed(open)) {
            return Ok(connection.clone());
        }
        *open = None;
        let raw = self
            .within(self.connector.connect_limit(), self.connector.connect())
            .await?;
        let connection = self
            .within(READY_LIMIT, self.connector.make_ready(raw))
            .await?;
        Ok(open.insert(Arc::new(connection)).clone())
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
        open.take_if(|open| Arc::ptr_eq(open, connection));
    }

    fn no_answer(&self, waited: Duration) -> StoreError {
        StoreError::Timeout {
            store: self.description.clone(),
            waited,
        }
    }
}

async fn repeat_undone<C, R, E, F>(
    connection: &Arc<C>,
    work: impl Fn(Arc<C>) -> F + Send,
) -> Result<R, E>
where
    E: Failure,
    F: Future<Output = Result<R, E>> + Send,
{
    for _ in 1..UNDONE_LIMIT {
        match work(connection.clone()).await {
            Err(failure) if failure.was_undone() => {}
            result => return result,
        }
    }
    work(connection.clone()).await
}
