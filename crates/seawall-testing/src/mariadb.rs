//! A MariaDB server for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::unistd::{Uid, User};
use tempfile::TempDir;

use crate::{
    TestCertificates,
    port::free_port,
    program::{end, find_program, output, wait_until},
};

/// A MariaDB server in a folder of its own, on a free port. It ends when this is dropped.
///
/// Each commit is on the disk before it is acknowledged. It needs the server's programs: run
/// `cargo xtask setup`.
#[derive(Debug)]
pub struct TestMariaDb {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl TestMariaDb {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that takes connections with TLS only.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with_tls(certificates: &TestCertificates) -> Self {
        Self::start_with(&[
            &format!("--ssl-cert={}", certificates.certificate().display()),
            &format!("--ssl-key={}", certificates.key().display()),
            &format!("--ssl-ca={}", certificates.authority().display()),
            "--require-secure-transport=ON",
        ])
    }

    /// Starts a server with more options.
    ///
    /// # Panics
    /// When the programs are not installed, or the server does not start.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("seawall-mariadb-").expect("a temporary folder");
        let mut mariadb = Self {
            folder,
            port: free_port(),
            settings: options.iter().map(|&option| option.to_owned()).collect(),
            server: None,
        };
        mariadb.install();
        mariadb.start_again();
        mariadb.query(
            "CREATE DATABASE sessions; CREATE USER seawall@'127.0.0.1'; \
             GRANT ALL ON *.* TO seawall@'127.0.0.1'",
        );
        mariadb
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the server's first database.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("sessions")
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

    /// Runs statements and gives what the client prints, as the server's administrator.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn query(&self, statements: &str) -> String {
        output(
            self.client()
                .args(["--batch", "--skip-column-names", "--execute", statements]),
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
        fs::read_to_string(self.file("log")).unwrap_or_default()
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
            .open(self.file("log"));
        let server = Command::new(find_program(&["mariadbd", "mysqld"]))
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ])
            .arg(format!("--datadir={}", self.file("data").display()))
            .arg(format!("--socket={}", self.file("socket").display()))
            .arg(format!("--pid-file={}", self.file("pid").display()))
            .arg(self.tmpdir())
            .arg(format!("--port={}", self.port))
            .arg(format!("--user={}", user_name()))
            .args(&self.settings)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"))
            .spawn()
            .expect("mariadbd runs");
        self.server = Some(server);
        wait_until(|| self.answers(), || self.log());
    }

    fn install(&self) {
        output(
            Command::new(find_program(&["mariadb-install-db", "mysql_install_db"]))
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .arg("--skip-test-db")
                .arg(self.tmpdir())
                .arg(format!("--datadir={}", self.file("data").display()))
                .arg(format!("--user={}", user_name())),
        );
    }

    /// A server that starts clears its folder of temporary files, so each needs one of its own.
    fn tmpdir(&self) -> String {
        format!("--tmpdir={}", self.folder.path().display())
    }

    fn answers(&self) -> bool {
        let mut ask = self.client();
        ask.args(["--execute", "SELECT 1"]).stdin(Stdio::null());
        ask.output().is_ok_and(|output| output.status.success())
    }

    fn client(&self) -> Command {
        let mut client = Command::new(find_program(&["mariadb", "mysql"]));
        client.args(["--no-defaults", "--user=root"]);
        client.arg(format!("--socket={}", self.file("socket").display()));
        client
    }

    fn database_url(&self, name: &str) -> String {
        format!("mysql://seawall@127.0.0.1:{}/{name}", self.port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for TestMariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The user that runs the tests; MariaDB runs as root only when it is told to.
fn user_name() -> String {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    user.map_or_else(|| "root".to_owned(), |user| user.name)
}
