//! A cluster for a test: `seawall up` on free ports, with what tests do to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_testing::free_port;
use serde_json::Value;
use tempfile::TempDir;

/// No step of a test takes longer, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The most nodes that a test starts.
pub(crate) const MOST_NODES: u16 = 4;

/// How many sessions a load keeps busy.
pub(crate) const SESSIONS: u64 = 32;

pub(crate) fn seawall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.stdin(Stdio::null()).env_remove("SEAWALL_STORE_URL");
    command
}

pub(crate) struct Cluster {
    supervisor: Child,
    output: BufReader<ChildStdout>,
    pub(crate) front: u16,
    pub(crate) stats: u16,
    pub(crate) node_port: u16,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Two nodes on SQLite, behind the balancer.
    pub(crate) fn start() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (front, stats, node_port) = (free_port(), free_port(), ports_in_a_row());
        let mut command = seawall();
        command
            .current_dir(folder.path())
            .args(["up", "--http", &format!("127.0.0.1:{front}")])
            .args(["--stats", &format!("127.0.0.1:{stats}"), "--node-port"])
            .arg(node_port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        change(&mut command);
        let mut supervisor = command.spawn().unwrap();
        let output = BufReader::new(supervisor.stdout.take().unwrap());
        let mut cluster = Self {
            supervisor,
            output,
            front,
            stats,
            node_port,
            folder,
        };
        cluster.wait_for_welcome();
        cluster
    }

    fn wait_for_welcome(&mut self) {
        let mut line = String::new();
        while !line.starts_with("Ctrl-C") {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the cluster did not start"
            );
        }
    }

    /// The process id of the first or the second node, once it answers.
    pub(crate) fn node_pid(&self, index: u16) -> Pid {
        let mut pid = None;
        until("the node answers", || {
            let (_, body) = get(self.node_port + index, "/.seawall/health", "")?;
            let report: Value = serde_json::from_str(&body).ok()?;
            pid = report["pid"].as_i64();
            pid
        });
        Pid::from_raw(i32::try_from(pid.unwrap()).unwrap())
    }

    pub(crate) fn supervisor_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.supervisor.id()).unwrap())
    }

    /// Ends the cluster and says whether it ended well.
    pub(crate) fn end(mut self) -> bool {
        kill(self.supervisor_pid(), Signal::SIGTERM).unwrap();
        self.supervisor.wait().unwrap().success()
    }

    pub(crate) fn reap(&mut self) {
        self.supervisor.wait().unwrap();
    }

    /// Two nodes on SQLite, or on the database at `url`.
    pub(crate) fn on(url: Option<&str>) -> Self {
        Self::with(|up| {
            if let Some(url) = url {
                up.env("SEAWALL_STORE_URL", url);
            }
        })
    }

    /// The processes of the cluster, without the supervisor.
    pub(crate) fn children(&self) -> Vec<Pid> {
        let supervisor = self.supervisor.id();
        let list = format!("/proc/{supervisor}/task/{supervisor}/children");
        let list = std::fs::read_to_string(list).unwrap();
        let pids = list.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.map(Pid::from_raw).collect()
    }

    /// Starts a load on the cluster's page.
    pub(crate) fn bench(&self, seconds: u32) -> Bench {
        self.bench_at(self.front, seconds)
    }

    /// Starts a load on the page through any port.
    pub(crate) fn bench_at(&self, port: u16, seconds: u32) -> Bench {
        let mut command = seawall();
        let page = format!("http://127.0.0.1:{port}/session-test/");
        command.args(["bench", &page, "--json"]);
        command.args(["--duration", &format!("{seconds}s")]);
        command.args(["--sessions", &SESSIONS.to_string(), "--connections", "8"]);
        Bench {
            process: command.stdout(Stdio::piped()).spawn().unwrap(),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The children end when the supervisor does: it holds their pipes.
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// A load that is under way.
pub(crate) struct Bench {
    process: Child,
}

impl Bench {
    pub(crate) fn report(self) -> Value {
        let output = self.process.wait_with_output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "the verdict is bad: {report}");
        report
    }
}

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "it never happened that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One GET request on a connection of its own: the head and the body of the answer.
pub(crate) fn get(port: u16, path: &str, cookie: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// The session cookie that an answer sets.
pub(crate) fn session_cookie(head: &str) -> Option<String> {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))?;
    Some(line.split(';').next()?.to_owned())
}

/// The visit count that a page shows.
pub(crate) fn visit_count(page: &str) -> Option<u64> {
    let (_, rest) = page.split_once("<b>Visit Count:</b> ")?;
    rest.split('<').next()?.parse().ok()
}

/// The first of some ports in a row that nobody listens on, one for each node.
pub(crate) fn ports_in_a_row() -> u16 {
    until("ports in a row are free", || {
        let first = free_port();
        let last = first.checked_add(MOST_NODES - 1)?;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (first..=last).all(is_free).then_some(first)
    })
}
