//! How a connection to PostgreSQL is made.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Row, Statement, config::TargetSessionAttrs, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    error::Failure,
    given_up::{GivenUp, Process},
    schema,
    statements::Statements,
    table,
    tls::TlsOptions,
};
use crate::{
    cause::Cause,
    limits::ServerLimits,
    link::{Connector, LinkCounters, repeat_undone},
    store::StoreError,
    url::ServerUrl,
};

/// What each connection sets, whatever the role or the database sets for others. With the form of the
/// statements (`sql.rs`), it pins the plan to lookups in an index, whatever the statistics say, plans
/// each statement once, and leaves out notices, such as that a table is there already. It must be set
/// before anything is prepared: a cached plan ignores it. A row that another transaction changed is looked
/// at again, instead of failing the batch. What is under way is finished though its client has gone, as
/// the making of a table must be.
const SETTINGS: [(&str, &str); 13] = [
    ("client_connection_check_interval", "0"),
    ("client_min_messages", "warning"),
    ("default_transaction_isolation", "read committed"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_indexscan", "on"),
    ("enable_mergejoin", "off"),
    ("enable_nestloop", "on"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("quote_all_identifiers", "off"),
    ("transaction_timeout", "0"),
];

/// A lock is waited for during this part of an answer's time, again and again: meanwhile the commits that
/// it does not concern have their turn.
const LOCK_PART: u32 = 12;

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
    given_up: GivenUp,
}

/// Sets what a connection needs, as far as the server knows it. Not by startup parameters, which
/// PgBouncer refuses.
pub(super) async fn configure(client: &Client, answer_limit: Duration) -> Result<(), Failure> {
    // A statement whose connection was given up must not take effect much later.
    let millis = |limit: Duration| limit.as_millis().max(1).to_string();
    let (lock_limit, answer_limit) = (millis(answer_limit / LOCK_PART), millis(answer_limit));
    let settings = SETTINGS.into_iter().chain([
        ("lock_timeout", &*lock_limit),
        ("statement_timeout", &*answer_limit),
    ]);
    let settings: Vec<_> = settings
        .map(|(name, value)| format!("('{name}', '{value}')"))
        .collect();
    let set = format!(
        "SELECT set_config(name, value, false) FROM (VALUES {}) AS wanted (name, value) \
         WHERE current_setting(name, true) IS NOT NULL",
        settings.join(", ")
    );
    Ok(client.batch_execute(&set).await?)
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
    process: Option<Process>,
    /// How many statements were sent whose answers have not come.
    unanswered: AtomicUsize,
    given_up: GivenUp,
}

/// Whether the server's process that carries statements out says so. An error without a code is the
/// driver's; one of a connection (class 08) may be a pooler's.
fn is_an_answer(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| !code.code().starts_with("08"))
}

impl Drop for Session {
    fn drop(&mut self) {
        if *self.unanswered.get_mut() > 0 {
            self.given_up.extend(self.process.take());
        }
    }
}

impl Session {
    /// Runs a statement, which is a transaction of its own; again, if the database undid it.
    pub(super) async fn query(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let query = || async {
            self.unanswered.fetch_add(1, Relaxed);
            let answer = self.client.query(statement, parameters).await;
            if answer.as_ref().err().is_none_or(is_an_answer) {
                self.unanswered.fetch_sub(1, Relaxed);
            }
            Ok(answer?)
        };
        repeat_undone(&self.counters, query).await
    }

    /// Has the server end what was sent over former connections and never answered: it may still make
    /// a session that is made here, and ends, before that (P4).
    pub(super) async fn end_given_up(&self) {
        self.given_up.end(&self.client).await;
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
        // A standby may be behind: what is read there may be stale (P3).
        if config.get_hosts().len() > 1
            && config.get_target_session_attrs() == TargetSessionAttrs::Any
        {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
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
            given_up: GivenUp::default(),
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
        let (client, driver) = raw;
        configure(&client, self.limits.answer).await?;
        schema::migrate(&client).await?;
        // Once is enough: a server that is back, or a standby that took its place, has the same
        // tables, and service is to be back soon.
        if !self.has_checked.load(Relaxed) {
            table::check(&client).await?;
            self.has_checked.store(true, Relaxed);
        }
        let ready = future::join3(
            Statements::prepare(&client),
            Process::of(&client),
            self.given_up.end(&client),
        );
        let (statements, process, ()) = ready.await;
        Ok(Session {
            client,
            statements: statements?,
            counters: self.counters.clone(),
            _driver: driver,
            process,
            unanswered: AtomicUsize::new(0),
            given_up: self.given_up.clone(),
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
