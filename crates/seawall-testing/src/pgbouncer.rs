//! A PgBouncer in front of a PostgreSQL server, for one test.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    TestPostgres,
    other_user::{give_away, run_as_other_user},
    port::free_port,
    program::{end, find_program, wait_until},
};

/// A PgBouncer on a free port. It ends when this is dropped.
///
/// It needs the program: run `cargo xtask setup`. PgBouncer refuses to run as root, so a test that runs
/// as root starts it as user `postgres`, or else `nobody`.
#[derive(Debug)]
pub struct TestPgBouncer {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl TestPgBouncer {
    /// Starts one that hands `server`'s connections out by `pool_mode`: `session` or `transaction`.
    ///
    /// # Panics
    /// When the program is not installed, or does not start.
    #[must_use]
    pub fn start(server: &TestPostgres, pool_mode: &str) -> Self {
        let folder = TempDir::with_prefix("seawall-pgbouncer-").expect("a temporary folder");
        let (port, to) = (free_port(), server.port());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={to} user=seawall\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {pool_mode}\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("a file in a folder of ours");
        give_away(folder.path());
        let mut program = Command::new(find_program(&["pgbouncer"]));
        let log = fs::File::create(folder.path().join("log")).expect("the log can be written");
        program
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        program.stderr(log).current_dir(folder.path());
        run_as_other_user(&mut program);
        let process = Some(program.spawn().expect("pgbouncer runs"));
        let bouncer = Self {
            folder,
            port,
            process,
        };
        wait_until(
            || TcpStream::connect(("127.0.0.1", port)).is_ok(),
            || bouncer.log(),
        );
        bouncer
    }

    /// The URL of the server's first database, by way of this.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://seawall@127.0.0.1:{}/postgres", self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for TestPgBouncer {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}
