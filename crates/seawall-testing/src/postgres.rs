//! A PostgreSQL server for one test.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{
    TestCertificates,
    other_user::{give_away, run_as_other_user},
    port::free_port,
    program::{output, program_folders, wait_until},
};

/// A PostgreSQL server in a folder of its own, on a free port. It ends when this is dropped.
///
/// It needs the server's programs: run `cargo xtask setup`. PostgreSQL refuses to run as root, so a
/// test that runs as root starts it as user `postgres`, or else `nobody`.
#[derive(Debug)]
pub struct TestPostgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl TestPostgres {
    /// Starts a server and waits until it answers. Its data survive [`kill`](Self::kill), but not a
    /// loss of power, which makes it quicker.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&["fsync=off"])
    }

    /// Starts a server that syncs each commit to the disk, as one in production does.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_durable() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that takes connections with TLS only.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with_tls(certificates: &TestCertificates) -> Self {
        let mut postgres = Self::start();
        postgres.kill();
        let copy = |from: PathBuf, name: &str| {
            let to = postgres.data().join(name);
            fs::copy(from, &to).expect("a file in the data folder");
            give_away(&to);
            fs::set_permissions(&to, Permissions::from_mode(0o600)).expect("a file of ours");
            to
        };
        let certificate = copy(certificates.certificate(), "server.crt");
        let key = copy(certificates.key(), "server.key");
        let rules = "hostssl all all 127.0.0.1/32 trust\n";
        fs::write(postgres.data().join("pg_hba.conf"), rules).expect("a file in the data folder");
        postgres.settings.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ]);
        postgres.start_again();
        postgres
    }

    /// Starts a standby that follows `primary`, and lets the primary acknowledge nothing any more
    /// that the standby does not have.
    ///
    /// # Panics
    /// When the programs are not installed, or a server does not do as it is told.
    #[must_use]
    pub fn start_standby(primary: &Self) -> Self {
        let mut standby = Self::prepare(&["fsync=off"]);
        output(
            standby
                .program("pg_basebackup")
                .args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"])
                .arg(standby.data())
                .arg("--dbname")
                .arg(primary.url()),
        );
        standby.start_again();
        primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary.query("SELECT pg_reload_conf()");
        let follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        wait_until(|| primary.query(follows) == "1", || standby.log());
        standby
    }

    /// Makes this standby a primary.
    ///
    /// # Panics
    /// When it does not become one.
    pub fn promote(&self) {
        assert_eq!(self.query("SELECT pg_promote()"), "t", "{}", self.log());
    }

    /// The URL by which clients find whichever of two servers takes writes.
    #[must_use]
    pub fn url_with(&self, other: &Self) -> String {
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", self.port, other.port);
        format!("postgres://seawall@{hosts}/postgres")
    }

    /// Starts a server with these settings, `NAME=VALUE`, which syncs each commit to the disk.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let mut postgres = Self::prepare(settings);
        postgres.make_cluster();
        postgres.start_again();
        postgres
    }

    /// A folder and a port for a server.
    fn prepare(settings: &[&str]) -> Self {
        let programs = find_programs()
            .expect("PostgreSQL's initdb and postgres are not installed; run `cargo xtask setup`");
        let folder = TempDir::with_prefix("seawall-postgres-").expect("a temporary folder");
        let postgres = Self {
            folder,
            programs,
            port: free_port(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            server: None,
        };
        give_away(postgres.folder.path());
        postgres
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server's first database.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Makes another, empty database and gives its URL.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn create_database(&self, name: &str) -> String {
        self.query(&format!("CREATE DATABASE {name}"));
        self.database_url(name)
    }

    /// Runs a statement in the first database and gives what `psql` prints.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn query(&self, statement: &str) -> String {
        self.query_at(&self.url(), statement)
    }

    /// Runs a statement in the database at `url` and gives what `psql` prints.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn query_at(&self, url: &str, statement: &str) -> String {
        output(
            self.program("psql")
                .args([
                    "--no-psqlrc",
                    "--tuples-only",
                    "--no-align",
                    "--command",
                    statement,
                ])
                .arg(url),
        )
    }

    /// The folder in which the server keeps its data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The id of the server's first process.
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

    /// Kills the server and its children with SIGKILL.
    ///
    /// # Panics
    /// When the server does not end.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        // The server leads a process group of its own, in which all its children are.
        let group = Pid::from_raw(-i32::try_from(server.id()).expect("a process id"));
        let _ = kill(group, Signal::SIGKILL);
        server.wait().expect("a killed server ends");
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
        let log = log.expect("the log can be written");
        let server = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(["-c", &format!("port={}", self.port)])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        self.server = Some(server);
        wait_until(|| self.is_ready(), || self.log());
    }

    fn make_cluster(&self) {
        output(
            self.program("initdb")
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=seawall",
                    "--encoding=UTF8",
                ])
                .args(["--locale=C", "-D"])
                .arg(self.data()),
        );
    }

    fn is_ready(&self) -> bool {
        let mut probe = self.program("pg_isready");
        probe.args(["--quiet", "--host=127.0.0.1", "--username=seawall"]);
        probe.args(["--port", &self.port.to_string()]);
        probe.status().is_ok_and(|status| status.success())
    }

    fn database_url(&self, name: &str) -> String {
        format!("postgres://seawall@127.0.0.1:{}/{name}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        run_as_other_user(&mut command);
        command
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder with the newest server's programs.
fn find_programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "psql", "pg_basebackup", "pg_isready"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    program_folders().into_iter().find(complete)
}
