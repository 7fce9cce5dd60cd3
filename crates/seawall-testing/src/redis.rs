//! Redis servers for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    TestCertificates,
    port::free_port,
    program::{end, find_program, output, wait_until},
};

const SERVER: [&str; 2] = ["redis-server", "valkey-server"];
const CLIENT: [&str; 2] = ["redis-cli", "valkey-cli"];

/// A Redis or Valkey server in a folder of its own, on a free port. It ends when this is dropped.
///
/// Each write is on the disk before it is acknowledged. It needs the server's programs: run
/// `cargo xtask setup`.
#[derive(Debug)]
pub struct TestRedis {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    server: Option<Child>,
}

impl TestRedis {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more settings, each a name and its values.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with(settings: &[&[&str]]) -> Self {
        let mut arguments = Vec::new();
        for setting in settings {
            arguments.push(format!("--{}", setting[0]));
            arguments.extend(setting[1..].iter().map(|&value| value.to_owned()));
        }
        let mut redis = Self {
            folder: TempDir::with_prefix("seawall-redis-").expect("a temporary folder"),
            port: free_port(),
            arguments,
            server: None,
        };
        redis.start_again();
        redis
    }

    /// Starts a server that speaks TLS on a second port; gives that port too.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with_tls(certificates: &TestCertificates) -> (Self, u16) {
        let port = free_port();
        let path = |path: PathBuf| path.display().to_string();
        let server = Self::start_with(&[
            &["tls-port", &port.to_string()],
            &["tls-cert-file", &path(certificates.certificate())],
            &["tls-key-file", &path(certificates.key())],
            &["tls-ca-cert-file", &path(certificates.authority())],
            &["tls-auth-clients", "no"],
        ]);
        (server, port)
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command and gives what `redis-cli` prints.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn command(&self, arguments: &[&str]) -> String {
        output(
            Command::new(find_program(&CLIENT))
                .args(["-p", &self.port.to_string()])
                .args(arguments),
        )
    }

    /// The folder in which the server keeps its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process id.
    ///
    /// # Panics
    /// When the server was killed.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.as_ref().expect("the server runs").id()
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        end(&mut self.server);
    }

    /// Starts the server on its port and data again.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn start_again(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file());
        let server = Command::new(find_program(&SERVER))
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.expect("the log can be written"))
            .spawn()
            .expect("redis-server runs");
        self.server = Some(server);
        wait_until(|| self.answers(), || self.log());
    }

    fn answers(&self) -> bool {
        let mut ping = Command::new(find_program(&CLIENT));
        ping.args(["-p", &self.port.to_string(), "ping"])
            .stdin(Stdio::null());
        // A server that wants a password answers too.
        ping.output().is_ok_and(|output| {
            output.stdout.starts_with(b"PONG") || output.stdout.starts_with(b"NOAUTH")
        })
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Redis cluster of three masters.
#[derive(Debug)]
pub struct TestRedisCluster {
    servers: Vec<TestRedis>,
}

impl TestRedisCluster {
    /// Starts the servers and joins them.
    ///
    /// # Panics
    /// When the programs are not installed, or the cluster does not form.
    #[must_use]
    pub fn start() -> Self {
        let start = || {
            TestRedis::start_with(&[
                &["cluster-enabled", "yes"],
                &["cluster-port", &free_port().to_string()],
                &["cluster-node-timeout", "2000"],
            ])
        };
        let servers: Vec<_> = (0..3).map(|_| start()).collect();
        let mut create = Command::new(find_program(&CLIENT));
        create.args(["--cluster", "create"]);
        create.args(
            servers
                .iter()
                .map(|server| format!("127.0.0.1:{}", server.port)),
        );
        output(create.arg("--cluster-yes"));
        let cluster = Self { servers };
        wait_until(|| cluster.is_whole(), || cluster.servers[0].log());
        cluster
    }

    /// The cluster's URL.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port));
        format!("redis-cluster://{}", hosts.collect::<Vec<_>>().join(","))
    }

    fn is_whole(&self) -> bool {
        self.servers.iter().all(|server| {
            server
                .command(&["cluster", "info"])
                .contains("cluster_state:ok")
        })
    }
}

/// A Redis master, two replicas, and a Sentinel that watches them.
#[derive(Debug)]
pub struct TestRedisSentinel {
    /// The first master.
    pub master: TestRedis,
    replicas: [TestRedis; 2],
    folder: TempDir,
    port: u16,
    sentinel: Option<Child>,
}

impl TestRedisSentinel {
    /// Starts the servers and waits until the replicas follow.
    ///
    /// # Panics
    /// When the programs are not installed, or a server does not start.
    #[must_use]
    pub fn start() -> Self {
        let master = TestRedis::start();
        let port = master.port.to_string();
        let replica = || TestRedis::start_with(&[&["replicaof", "127.0.0.1", &port]]);
        let replicas = [replica(), replica()];
        let folder = TempDir::with_prefix("seawall-sentinel-").expect("a temporary folder");
        let mut sentinel = Self {
            master,
            replicas,
            folder,
            port: free_port(),
            sentinel: None,
        };
        sentinel.watch();
        sentinel
    }

    /// The URL by which Sentinel is asked for the master.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/0?master=sessions", self.port)
    }

    fn watch(&mut self) {
        let configuration = format!(
            "port {}\nbind 127.0.0.1\nsentinel monitor sessions 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds sessions 500\n\
             sentinel failover-timeout sessions 5000\n",
            self.port, self.master.port
        );
        let file = self.folder.path().join("sentinel.conf");
        fs::write(&file, configuration).expect("a temporary file");
        let sentinel = Command::new(find_program(&SERVER))
            .arg(file)
            .arg("--sentinel")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.sentinel = Some(sentinel.expect("redis-server runs"));
        wait_until(|| self.knows_the_replicas(), || self.replicas[0].log());
    }

    fn knows_the_replicas(&self) -> bool {
        let mut ask = Command::new(find_program(&CLIENT));
        let port = self.port.to_string();
        ask.args(["-p", &port, "sentinel", "replicas", "sessions"]);
        let known = ask.stdin(Stdio::null()).output();
        let known = known.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let known = known.unwrap_or_default();
        self.replicas.iter().all(|replica| {
            let state = replica.command(&["info", "replication"]);
            state.contains("master_link_status:up") && known.contains(&replica.port.to_string())
        })
    }
}

impl Drop for TestRedisSentinel {
    fn drop(&mut self) {
        end(&mut self.sentinel);
    }
}
