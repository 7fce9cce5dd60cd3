//! A node in a thread of its own, and a client of few lines.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use seawall_net::Shutdown;
use seawall_node::{AdminToken, Node, NodeConfig, NodeError};
use seawall_store::memory::MemoryStore;
use tempfile::TempDir;

pub(crate) const ADMIN_TOKEN: &str = "0123456789abcdef";

/// No step of a test takes longer, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    /// Ends it without telling anybody.
    pub(crate) at_once: Shutdown,
    webapps: TempDir,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

impl TestNode {
    /// A node with these files in its webapps folder, and its sessions in memory.
    pub(crate) fn start(files: &[(&str, &str)]) -> Self {
        Self::start_with(files, |_| ())
    }

    /// The same, with other settings.
    pub(crate) fn start_with(files: &[(&str, &str)], change: impl FnOnce(&mut NodeConfig)) -> Self {
        let webapps = tempfile::tempdir().unwrap();
        for (path, content) in files {
            write(webapps.path(), path, content);
        }
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = NodeConfig::new(any, Arc::new(MemoryStore::default()));
        config.webapps = Some(webapps.path().to_owned());
        config.form_limit = 1_000;
        config.workers = 2;
        config.socket = Some(socket(webapps.path()));
        config.linger = Duration::from_millis(300);
        config.admin_token = Some(AdminToken::new(ADMIN_TOKEN).unwrap());
        change(&mut config);
        let node = Node::bind(config).unwrap();
        let address = node.local_addr();
        let (shutdown, at_once) = (Shutdown::new(), Shutdown::new());
        let (leave, end) = (shutdown.clone(), at_once.clone());
        let thread = std::thread::spawn(move || node.run_until(leave, end));
        Self {
            address,
            shutdown,
            at_once,
            webapps,
            thread: Some(thread),
        }
    }

    /// The node's Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(self.webapps.path())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.webapps.path()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(self.webapps.path(), path, content);
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.webapps.path().join(path)).unwrap();
    }

    /// The whole answer to a request, sent as it is with a head that closes the connection.
    pub(crate) fn send(&self, head: &str, body: &str) -> String {
        let mut stream = self.connect();
        let host = if head.contains("\r\nHost: ") {
            ""
        } else {
            "\r\nHost: localhost"
        };
        let head = format!("{head}{host}\r\nConnection: close\r\n");
        write!(stream, "{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1"), "")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    pub(crate) fn until(&self, path: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !condition(&self.get(path)) {
            assert!(Instant::now() < deadline, "{path}: {}", self.get(path));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the node ends by itself.
    pub(crate) fn ended(mut self) -> Result<(), NodeError> {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Asks the node to end, and says whether it ended well.
    pub(crate) fn end(mut self) -> bool {
        self.shutdown.trigger();
        self.thread.take().unwrap().join().unwrap().is_ok()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.at_once.trigger();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("node1.sock")
}

fn write(folder: &Path, path: &str, content: &str) {
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

/// The value of a header field of an answer.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
