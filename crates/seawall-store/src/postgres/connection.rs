//! How a connection to PostgreSQL is made.

use std::{fmt, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error::Failure, notify, schema, sql, tls::TlsOptions};
use crate::{
    link::{CONNECT_LIMIT, Connector},
    store::StoreError,
    url::ServerUrl,
};

/// Pins the plan to nested loops over the primary key, whatever the statistics say, and plans each
/// statement once; leaves out notices, such as that a table is there already. The plan's options must
/// be set before anything is prepared: a cached plan ignores them. A statement whose connection was
/// given up must not take effect much later, so the server limits its time as `link.rs` does.
const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
    -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off -c jit=off \
    -c client_min_messages=warning -c statement_timeout=3000";

/// A host that vanished without a word is noticed after this time.
const VANISHED_LIMIT: Duration = Duration::from_secs(10);

/// The way to the database: one of several hosts, and how to secure the connection.
pub(super) struct PostgresConnector {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) description: Arc<str>,
}

impl fmt::Debug for PostgresConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresConnector")
            .field(&self.description)
            .finish()
    }
}

/// A connection with its statements. Dropping it ends it at once, even if the server is silent.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    _driver: Driver,
}

/// The task that moves a connection's bytes. It ends with its connection, whatever it waits for.
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) struct Statements {
    pub(super) read: Statement,
    pub(super) read_one: Statement,
    pub(super) exists: Statement,
    pub(super) create: Statement,
    pub(super) update: Statement,
    pub(super) update_one: Statement,
    pub(super) update_uniform: Statement,
    pub(super) rename: Statement,
    pub(super) touch: Statement,
    pub(super) delete: Statement,
    pub(super) delete_moved: Statement,
    pub(super) claim: Statement,
    pub(super) claim_foreign: Statement,
    pub(super) rebucket: Statement,
    pub(super) list: Statement,
    pub(super) count: Statement,
    pub(super) locate: Statement,
    pub(super) locate_moved: Statement,
    /// `None` when the database cannot notify.
    pub(super) notify: Option<Statement>,
}

impl PostgresConnector {
    pub(super) fn new(url: &ServerUrl, description: Arc<str>) -> Result<Self, StoreError> {
        let rejected = |reason: String| StoreError::Rejected {
            store: description.clone(),
            reason: reason.into(),
        };
        let (uri, tls_options) = TlsOptions::split(url.uri()).map_err(rejected)?;
        let mut config: Config = uri
            .parse()
            .map_err(|error| rejected(format!("the URL cannot be understood: {error}")))?;
        if let Some(password) = url.password() {
            config.password(password);
        }
        let tls = tls_options.apply(&mut config).map_err(rejected)?;
        let options = match config.get_options() {
            Some(own) => format!("{own} {OPTIONS}"),
            None => OPTIONS.to_owned(),
        };
        config
            .options(options)
            .application_name("seawall")
            .connect_timeout(CONNECT_LIMIT)
            .tcp_user_timeout(VANISHED_LIMIT)
            .keepalives_idle(VANISHED_LIMIT);
        Ok(Self {
            config,
            tls,
            description,
        })
    }
}

impl Connector for PostgresConnector {
    type Connection = Session;
    type Failure = Failure;
    type Raw = (Client, Driver);

    async fn connect(&self) -> Result<(Client, Driver), Failure> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = connecting.await.map_err(Failure::Connecting)?;
        let description = self.description.clone();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(store = %description, %error, "connection to the store lost");
            }
        });
        Ok((client, Driver(driver)))
    }

    async fn make_ready(&self, raw: (Client, Driver)) -> Result<Session, Failure> {
        let (mut client, driver) = raw;
        schema::migrate(&mut client).await?;
        schema::check_plans(&client).await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Session {
            client,
            statements,
            _driver: driver,
        })
    }

    fn is_closed(session: &Session) -> bool {
        session.client.is_closed()
    }

    /// Time for each host, and to log in on the one that answers.
    fn connect_limit(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX);
        CONNECT_LIMIT.saturating_mul(hosts.saturating_add(1))
    }
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Failure> {
        Ok(Self {
            read: client.prepare(sql::READ).await?,
            read_one: client.prepare(sql::READ_ONE).await?,
            exists: client.prepare(sql::EXISTS).await?,
            create: client.prepare(sql::CREATE).await?,
            update: client.prepare(sql::UPDATE).await?,
            update_one: client.prepare(sql::UPDATE_ONE).await?,
            update_uniform: client.prepare(sql::UPDATE_UNIFORM).await?,
            rename: client.prepare(sql::RENAME).await?,
            touch: client.prepare(sql::TOUCH).await?,
            delete: client.prepare(sql::DELETE).await?,
            delete_moved: client.prepare(sql::DELETE_MOVED).await?,
            claim: client.prepare(sql::CLAIM).await?,
            claim_foreign: client.prepare(sql::CLAIM_FOREIGN).await?,
            rebucket: client.prepare(sql::REBUCKET).await?,
            list: client.prepare(sql::LIST).await?,
            count: client.prepare(sql::COUNT).await?,
            locate: client.prepare(sql::LOCATE).await?,
            locate_moved: client.prepare(sql::LOCATE_MOVED).await?,
            notify: client.prepare(notify::NOTIFY).await.ok(),
        })
    }
}
