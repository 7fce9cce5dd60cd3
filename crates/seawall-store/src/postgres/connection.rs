//! A connection that is made when it is needed, and made again after a loss.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::{error::Failure, schema, sql};

/// Pins the plan to nested loops over the primary key, whatever the statistics say, and plans each
/// statement once; leaves out notices, such as that a table is there already. The plan's options must be set before anything is prepared: a cached plan ignores them.
const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
    -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off -c jit=off \
    -c client_min_messages=warning";

const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// One connection to the database, or the way to it.
pub(super) struct Link {
    config: Config,
    description: Arc<str>,
    session: Mutex<Option<Arc<Session>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.description).finish()
    }
}

/// A connection with its statements.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
}

pub(super) struct Statements {
    pub(super) read: Statement,
    pub(super) exists: Statement,
    pub(super) create: Statement,
    pub(super) update: Statement,
    pub(super) update_uniform: Statement,
    pub(super) rename: Statement,
    pub(super) touch: Statement,
    pub(super) delete: Statement,
    pub(super) claim: Statement,
    pub(super) claim_foreign: Statement,
    pub(super) rebucket: Statement,
    pub(super) list: Statement,
    pub(super) count: Statement,
}

impl Link {
    pub(super) fn new(mut config: Config, description: Arc<str>) -> Self {
        let options = match config.get_options() {
            Some(own) => format!("{own} {OPTIONS}"),
            None => OPTIONS.to_owned(),
        };
        config
            .options(options)
            .application_name("seawall")
            .connect_timeout(CONNECT_LIMIT)
            .keepalives_idle(Duration::from_secs(10));
        Self {
            config,
            description,
            session: Mutex::new(None),
        }
    }

    /// The connection; made now if there is none.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|open| !open.client.is_closed()) {
            return Ok(open.clone());
        }
        let opened = Arc::new(self.open().await?);
        *session = Some(opened.clone());
        Ok(opened)
    }

    /// Closes the connection; the next call makes another.
    pub(super) async fn give_up(&self) {
        *self.session.lock().await = None;
    }

    async fn open(&self) -> Result<Session, Failure> {
        let (mut client, connection) = self
            .config
            .connect(NoTls)
            .await
            .map_err(Failure::Connecting)?;
        let description = self.description.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(store = %description, %error, "connection to the store lost");
            }
        });
        schema::migrate(&mut client).await?;
        schema::check_plans(&client).await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Session { client, statements })
    }
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Failure> {
        Ok(Self {
            read: client.prepare(sql::READ).await?,
            exists: client.prepare(sql::EXISTS).await?,
            create: client.prepare(sql::CREATE).await?,
            update: client.prepare(sql::UPDATE).await?,
            update_uniform: client.prepare(sql::UPDATE_UNIFORM).await?,
            rename: client.prepare(sql::RENAME).await?,
            touch: client.prepare(sql::TOUCH).await?,
            delete: client.prepare(sql::DELETE).await?,
            claim: client.prepare(sql::CLAIM).await?,
            claim_foreign: client.prepare(sql::CLAIM_FOREIGN).await?,
            rebucket: client.prepare(sql::REBUCKET).await?,
            list: client.prepare(sql::LIST).await?,
            count: client.prepare(sql::COUNT).await?,
        })
    }
}
