//! How a connection to PostgreSQL is made.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Row, Statement, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error::Failure, schema, statements::Statements, tls::TlsOptions};
use crate::{
    cause::Cause,
    limits::ServerLimits,
    link::{Connector, LinkCounters, repeat_undone},
    store::StoreError,
    url::ServerUrl,
};

/// With the form of the statements (`sql.rs`), pins the plan to lookups in an index, whatever the
/// statistics say, and plans each statement once; leaves out notices, such as that a table is there already. The plan's options must
/// be set before anything is prepared: a cached plan ignores them.
pub(super) const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
    -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off -c jit=off \
    -c client_min_messages=warning";

/// A host that vanished without a word is noticed after this time.
const VANISHED_LIMIT: Duration = Duration::from_secs(10);

/// The way to the database: one of several hosts, and how to secure the connection.
pub(super) struct PostgresConnector {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    pub(super) description: Arc<str>,
    limits: ServerLimits,
    counters: Arc<LinkCounters>,
    has_checked: AtomicBool,
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
    client: Client,
    pub(super) statements: Statements,
    counters: Arc<LinkCounters>,
    _driver: Driver,
}

impl Session {
    /// Runs a statement, which is a transaction of its own; again, if the database undid it.
    pub(super) async fn query(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let query = || async { Ok(self.client.query(statement, parameters).await?) };
        repeat_undone(&self.counters, query).await
    }

    /// As [`query`](Self::query), for a statement that gives no rows.
    pub(super) async fn execute(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Failure> {
        self.query(statement, parameters).await.map(drop)
    }
}

/// The task that moves a connection's bytes. It ends with its connection, whatever it waits for.
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PostgresConnector {
    pub(super) fn new(
        url: &ServerUrl,
        description: Arc<str>,
        limits: &ServerLimits,
        counters: Arc<LinkCounters>,
    ) -> Result<Self, StoreError> {
        let rejected = |reason: String| StoreError::Rejected {
            store: description.clone(),
            reason: reason.into(),
            cause: Cause::Other,
        };
        let (uri, tls_options) = TlsOptions::split(url.uri()).map_err(rejected)?;
        let mut config: Config = uri
            .parse()
            .map_err(|error| rejected(format!("the URL cannot be understood: {error}")))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(rejected("it names no host".to_owned()));
        }
        if let Some(password) = url.password() {
            config.password(password);
        }
        let tls = tls_options.apply(&mut config).map_err(rejected)?;
        // A statement whose connection was given up must not take effect much later.
        let answer = limits.answer.as_millis().max(1);
        let options = format!(
            "{} {OPTIONS} -c statement_timeout={answer}",
            config.get_options().unwrap_or_default()
        );
        config
            .options(options)
            .application_name("seawall")
            .connect_timeout(limits.connect)
            .tcp_user_timeout(VANISHED_LIMIT)
            .keepalives_idle(VANISHED_LIMIT);
        Ok(Self {
            config,
            tls,
            description,
            limits: limits.clone(),
            counters,
            has_checked: AtomicBool::new(false),
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
        // Once is enough: a server that is back, or a standby that took its place, has the same
        // tables, and service is to be back soon.
        if !self.has_checked.load(Relaxed) {
            schema::check_indexes(&client).await?;
            self.has_checked.store(true, Relaxed);
        }
        let statements = Statements::prepare(&client).await?;
        Ok(Session {
            client,
            statements,
            counters: self.counters.clone(),
            _driver: driver,
        })
    }

    fn is_closed(session: &Session) -> bool {
        session.client.is_closed()
    }

    async fn check(session: &Session) -> Result<(), Failure> {
        Ok(session.client.check_connection().await?)
    }

    /// Time for each host, and to log in on the one that answers.
    fn connect_limit(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX);
        self.limits.connect.saturating_mul(hosts.saturating_add(1))
    }
}
