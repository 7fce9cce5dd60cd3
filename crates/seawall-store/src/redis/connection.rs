//! How a connection to Redis is made: to one server, to the master that Sentinels name, or to a
//! cluster.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError,
    RedisResult, ScriptInvocation, TlsCertificates, TlsMode,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    address::{Address, Deployment, Tls},
    error::Failure,
};
use crate::{limits::ServerLimits, link::Connector};

/// The way to the servers.
pub(super) struct RedisConnector {
    way: Way,
    description: Arc<str>,
    hosts: u32,
    connect_limit: Duration,
    has_warned: AtomicBool,
}

enum Way {
    /// The cluster, and the servers of it that the URL names.
    Cluster(ClusterClient, Vec<Client>),
    Sentinel(Mutex<SentinelClient>),
    Single(Client),
}

const NO_SERVER: (ErrorKind, &str) = (
    ErrorKind::ClusterConnectionNotFound,
    "none of the servers in the URL can be listened to",
);

/// An open connection; requests of many tasks share it.
#[derive(Clone)]
pub(super) enum Connection {
    /// To a server that holds everything.
    Single(MultiplexedConnection),
    /// To the servers of a cluster, each of which holds some partitions.
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let answer = match self.clone() {
            Self::Single(mut server) => command.query_async(&mut server).await,
            Self::Cluster(mut cluster) => command.query_async(&mut cluster).await,
        };
        Ok(answer?)
    }

    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Failure> {
        let answer = match self.clone() {
            Self::Single(mut server) => script.invoke_async(&mut server).await,
            Self::Cluster(mut cluster) => script.invoke_async(&mut cluster).await,
        };
        Ok(answer?)
    }
}

impl RedisConnector {
    pub(super) fn new(
        address: &Address,
        description: Arc<str>,
        limits: &ServerLimits,
    ) -> Result<Self, RedisError> {
        let way = match &address.deployment {
            Deployment::Cluster => {
                let servers = clients(address).collect::<Result<_, _>>()?;
                Way::Cluster(cluster_client(address, limits)?, servers)
            }
            Deployment::Sentinel { master, password } => {
                let client = sentinel_client(address, master, password.as_deref())?;
                Way::Sentinel(Mutex::new(client))
            }
            Deployment::Single => Way::Single(single_client(address)?),
        };
        Ok(Self {
            way,
            description,
            hosts: u32::try_from(address.hosts.len()).unwrap_or(u32::MAX),
            connect_limit: limits.connect,
            has_warned: AtomicBool::new(false),
        })
    }

    pub(super) fn description(&self) -> &Arc<str> {
        &self.description
    }

    /// A connection that listens. In a cluster every server hears everything, so any will do.
    pub(super) async fn listening(&self) -> Result<PubSub, RedisError> {
        match &self.way {
            Way::Cluster(_, servers) => {
                for server in servers {
                    if let Ok(Ok(connection)) =
                        timeout(self.connect_limit, server.get_async_pubsub()).await
                    {
                        return Ok(connection);
                    }
                }
                Err(NO_SERVER.into())
            }
            Way::Sentinel(client) => {
                let master = client.lock().await.async_get_client().await?;
                master.get_async_pubsub().await
            }
            Way::Single(client) => client.get_async_pubsub().await,
        }
    }

    /// The answer is waited for elsewhere.
    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_limit))
            .set_response_timeout(None)
    }

    /// Says once when the server may lose what it has acknowledged. A user that may not ask for the
    /// server's settings is left in peace.
    async fn warn_of_losses(&self, server: &mut MultiplexedConnection) {
        let mut command = redis::cmd("CONFIG");
        command.arg(&["GET", "appendonly", "appendfsync", "maxmemory-policy"]);
        let settings: RedisResult<std::collections::HashMap<String, String>> =
            command.query_async(server).await;
        let Ok(settings) = settings else { return };
        let is = |name: &str, value: &str| settings.get(name).is_none_or(|set| set == value);
        let loses = [
            (
                !is("appendonly", "yes"),
                "appendonly is not yes: a restart loses sessions",
            ),
            (
                is("appendonly", "yes") && !is("appendfsync", "always"),
                "appendfsync is not always: a crash of the machine loses the last writes",
            ),
            (
                !is("maxmemory-policy", "noeviction"),
                "maxmemory-policy is not noeviction: a full memory loses sessions",
            ),
        ];
        for (_, problem) in loses.into_iter().filter(|(is_lossy, _)| *is_lossy) {
            tracing::warn!(store = %self.description, "{problem}");
        }
    }
}

impl Connector for RedisConnector {
    type Connection = Connection;
    type Failure = Failure;
    type Raw = Connection;

    async fn connect(&self) -> Result<Connection, Failure> {
        let server = match &self.way {
            Way::Cluster(client, _) => {
                return Ok(Connection::Cluster(client.get_async_connection().await?));
            }
            Way::Sentinel(client) => {
                let mut client = client.lock().await;
                client
                    .get_async_connection_with_config(&self.config())
                    .await?
            }
            Way::Single(client) => {
                client
                    .get_multiplexed_async_connection_with_config(&self.config())
                    .await?
            }
        };
        Ok(Connection::Single(server))
    }

    async fn make_ready(&self, mut connection: Connection) -> Result<Connection, Failure> {
        if let Connection::Single(server) = &mut connection
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            self.warn_of_losses(server).await;
        }
        Ok(connection)
    }

    /// A connection that was lost says so when it is used.
    fn is_closed(_connection: &Connection) -> bool {
        false
    }

    async fn check(connection: &Connection) -> Result<(), Failure> {
        let answer: redis::Value = connection.query(&redis::cmd("PING")).await?;
        drop(answer);
        Ok(())
    }

    fn connect_limit(&self) -> Duration {
        self.connect_limit
            .saturating_mul(self.hosts.saturating_add(1))
    }
}

fn single_client(address: &Address) -> RedisResult<Client> {
    client(address, address.connections().swap_remove(0))
}

/// The way to each of the hosts.
fn clients(address: &Address) -> impl Iterator<Item = RedisResult<Client>> {
    let connections = address.connections().into_iter();
    connections.map(|connection| client(address, connection))
}

fn client(address: &Address, connection: ConnectionInfo) -> RedisResult<Client> {
    match &address.tls {
        Some(tls) => Client::build_with_tls(connection, certificates(tls)),
        None => Client::open(connection),
    }
}

fn cluster_client(address: &Address, limits: &ServerLimits) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClient::builder(address.connections())
        .connection_timeout(limits.connect)
        .retries(0);
    if let Some(tls) = &address.tls {
        builder = builder.tls(tls_mode(tls)).certs(certificates(tls));
    }
    builder.build()
}

fn sentinel_client(
    address: &Address,
    master: &str,
    sentinel_password: Option<&str>,
) -> RedisResult<SentinelClient> {
    let master = master.to_owned();
    let mut builder =
        SentinelClientBuilder::new(address.places(), master, SentinelServerType::Master)?
            .set_client_to_redis_db(address.database);
    if let Some(user) = &address.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &address.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(password) = sentinel_password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(tls) = &address.tls {
        builder = builder
            .set_client_to_redis_tls_mode(tls_mode(tls))
            .set_client_to_redis_certificates(certificates(tls))
            .set_client_to_sentinel_tls_mode(tls_mode(tls))
            .set_client_to_sentinel_certificates(certificates(tls));
    }
    builder.build()
}

fn certificates(tls: &Tls) -> TlsCertificates {
    TlsCertificates {
        client_tls: None,
        root_cert: tls.authorities.clone(),
    }
}

fn tls_mode(tls: &Tls) -> TlsMode {
    if tls.insecure {
        TlsMode::Insecure
    } else {
        TlsMode::Secure
    }
}
