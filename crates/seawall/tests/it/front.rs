//! A balancer of its own whose connections to the nodes go through the test, which severs them.

use std::{
    io::copy,
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use seawall_testing::free_port;

use crate::cluster::{Cluster, get, seawall, until};

type Connections = Arc<Mutex<Vec<TcpStream>>>;

pub(crate) struct Front {
    balancer: Child,
    connections: Connections,
    pub(crate) port: u16,
    pub(crate) stats: u16,
}

impl Front {
    pub(crate) fn over_proxies(cluster: &Cluster) -> Self {
        let connections = Connections::default();
        let (port, stats) = (free_port(), free_port());
        let mut command = seawall();
        command
            .args(["balance", "--http", &format!("127.0.0.1:{port}")])
            .args(["--stats", &format!("127.0.0.1:{stats}")])
            .stderr(Stdio::null());
        for index in 0..2 {
            let proxy = proxy(cluster.node_port + index, Arc::clone(&connections));
            let server = format!("node{}=127.0.0.1:{proxy}", index + 1);
            command.args(["--server", &server]);
        }
        let balancer = command.spawn().unwrap();
        until("the balancer serves", || get(port, "/session-test/", ""));
        Self {
            balancer,
            connections,
            port,
            stats,
        }
    }

    /// Breaks every connection between the balancer and the nodes, and says how many there were.
    pub(crate) fn sever(&self) -> usize {
        let connections: Vec<_> = self.connections.lock().unwrap().drain(..).collect();
        let is_open = |stream: &&TcpStream| stream.shutdown(Shutdown::Both).is_ok();
        connections.iter().filter(is_open).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.balancer.kill();
        let _ = self.balancer.wait();
    }
}

/// Passes bytes between a new port and `target`, and notes the connections. Its threads end with
/// the test's process, or when their connection does.
fn proxy(target: u16, connections: Connections) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target)))
            else {
                continue;
            };
            let mut noted = connections.lock().unwrap();
            noted.push(client.try_clone().unwrap());
            noted.push(server.try_clone().unwrap());
            pass(client.try_clone().unwrap(), server.try_clone().unwrap());
            pass(server, client);
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
