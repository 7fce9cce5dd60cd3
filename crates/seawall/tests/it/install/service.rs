//! What a service manager gives to the processes and hears from them: sockets, readiness, signs of
//! life.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_testing::free_port;
use tempfile::TempDir;

use crate::cluster::{LIMIT, get, until};

/// The place of systemd: it holds the listeners, and hears what it is told.
struct Manager {
    folder: TempDir,
    notifications: UnixDatagram,
    http: TcpListener,
    stats: TcpListener,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(LIMIT)).unwrap();
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            folder,
            notifications,
            http: listen(),
            stats: listen(),
        }
    }

    fn front(&self) -> u16 {
        self.http.local_addr().unwrap().port()
    }

    /// Waits for a notification of that kind.
    fn hear(&self, expected: &str) {
        let mut buffer = [0; 256];
        loop {
            let length = self.notifications.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text.lines().any(|line| line == expected) {
                return;
            }
        }
    }

    fn told(&self, command: &mut Command) -> Service {
        command
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("WATCHDOG_USEC", "1500000")
            .stderr(Stdio::null());
        Service(command.spawn().unwrap())
    }

    /// Starts a balancer that inherits the listeners, as file descriptors from 3 up
    /// (sd_listen_fds(3)). A shell puts them there: they come as its input and output.
    fn balancer(&self, node: u16) -> Service {
        let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 \
                      LISTEN_FDNAMES=http:stats exec \"$0\" balance --workers 2 --server \"$1\"";
        let inherit =
            |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_seawall")])
            .arg(format!("node1=127.0.0.1:{node}"))
            .current_dir(self.folder.path())
            .stdin(inherit(&self.http))
            .stdout(inherit(&self.stats));
        self.told(&mut command)
    }

    fn node(&self, port: u16) -> Service {
        let mut command = crate::cluster::seawall();
        command
            .current_dir(self.folder.path())
            .args(["node", "--name", "node1", "--workers", "2", "--listen"])
            .arg(format!("127.0.0.1:{port}"));
        self.told(&mut command)
    }
}

/// A process that ends with the test.
struct Service(Child);

impl Service {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_says_when_it_serves_that_it_lives_and_that_it_ends() {
    let manager = Manager::new();
    let port = free_port();
    let node = manager.node(port);
    manager.hear("READY=1");
    assert!(
        get(port, "/session-test/", "").is_some(),
        "ready means that it answers"
    );
    for _ in 0..3 {
        manager.hear("WATCHDOG=1");
    }
    node.signal(Signal::SIGSTOP);
    // What was on its way has been heard after a while; then there is silence.
    manager
        .notifications
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    until("a stopped node says nothing", || {
        manager.notifications.recv(&mut [0; 64]).err()
    });
    node.signal(Signal::SIGCONT);
    manager.notifications.set_read_timeout(Some(LIMIT)).unwrap();
    manager.hear("WATCHDOG=1");
    node.signal(Signal::SIGTERM);
    manager.hear("STOPPING=1");
    node.end();
}

#[test]
fn replacing_a_balancer_that_inherits_its_sockets_fails_no_request() {
    let manager = Manager::new();
    let port = free_port();
    let _node = manager.node(port);
    manager.hear("READY=1");
    let mut balancer = manager.balancer(port);
    manager.hear("READY=1");
    let front = manager.front();
    let stats = manager.stats.local_addr().unwrap().port();
    assert!(get(stats, "/health", "").is_some());
    let (is_over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, answered) = (is_over.clone(), answered.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let (head, _) = get(front, "/session-test/", "").expect("an answer");
                    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = || {
        let before = answered.load(Ordering::SeqCst);
        until("clients are served", || {
            (answered.load(Ordering::SeqCst) > before + 20).then_some(())
        });
    };
    for _ in 0..5 {
        more();
        balancer.end();
        // Clients connect meanwhile, and wait.
        thread::sleep(Duration::from_millis(50));
        balancer = manager.balancer(port);
        manager.hear("READY=1");
    }
    more();
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no request failed");
    }
}

#[test]
fn a_socket_of_an_unknown_name_is_refused() {
    let manager = Manager::new();
    let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smtp exec \"$0\" balance \
                  --server node1=127.0.0.1:1";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_seawall")])
        .current_dir(manager.folder.path())
        .stdin(Stdio::from(OwnedFd::from(manager.http)))
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("FileDescriptorName="), "{error}");
}
