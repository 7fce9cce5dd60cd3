//! Listening sockets: one per worker on the same address, one process per address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that the kernel holds for us before they are accepted.
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the address.
    #[error(
        "cannot listen on {address}: another process already does; \
         stop it (`ss -ltnp` shows which one it is) or choose another address"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "cannot listen on {address}: not permitted; \
         choose a port from 1024 up, or give the program CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}; check that this machine has that address")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, source },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address, source },
            _ => Self::Other { address, source },
        }
    }
}

/// The listeners of all workers on one address.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    listeners: Vec<TcpListener>,
}

impl Listeners {
    /// Opens one listener per worker on `address`. Port 0 is resolved once, for all of them.
    ///
    /// `SO_REUSEPORT` would let a second process of the same user take a share of the
    /// connections without a word, so the address is first bound exclusively.
    ///
    /// # Errors
    /// When the address is in use, not ours, or not permitted.
    pub fn bind(address: SocketAddr, workers: usize) -> Result<Self, BindError> {
        let failed = |source| BindError::new(address, source);
        drop(open(address, Sharing::Exclusive).map_err(failed)?);
        let first = listen(address).map_err(failed)?;
        let resolved = first.local_addr().map_err(failed)?;
        let mut listeners = vec![first];
        while listeners.len() < workers {
            listeners.push(listen(resolved).map_err(failed)?);
        }
        Ok(Self {
            address: resolved,
            listeners,
        })
    }

    /// Shares a listener among the workers that another process opened, such as systemd.
    ///
    /// All workers accept from its one queue. That is a little less even than a queue for each, but
    /// the queue outlives this process: while it is replaced, clients wait and are not refused.
    ///
    /// # Errors
    /// When it is no listener, or the limit on open files is reached.
    pub fn inherited(listener: TcpListener, workers: usize) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let mut listeners = vec![listener];
        while listeners.len() < workers {
            listeners.push(listeners[0].try_clone()?);
        }
        Ok(Self { address, listeners })
    }

    /// The address, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The listeners, one for each worker.
    #[must_use]
    pub fn into_vec(self) -> Vec<TcpListener> {
        self.listeners
    }
}

/// Opens one non-blocking listener that shares its address with the other workers' listeners.
///
/// # Errors
/// What the system says when it cannot.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Sharing::Shared)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[derive(Clone, Copy)]
enum Sharing {
    Exclusive,
    Shared,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Without it, connections of a former process in TIME_WAIT would hold the address.
    socket.set_reuse_address(true)?;
    if matches!(sharing, Sharing::Shared) {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn all_workers_share_one_resolved_port() {
        let listeners = Listeners::bind(loopback(), 3).unwrap();
        let address = listeners.local_addr();
        assert_ne!(address.port(), 0);
        let listeners = listeners.into_vec();
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap(), address);
        }
    }

    #[test]
    fn an_inherited_listener_is_shared_by_all_workers() {
        let opened = TcpListener::bind(loopback()).unwrap();
        let address = opened.local_addr().unwrap();
        let listeners = Listeners::inherited(opened, 3).unwrap();
        assert_eq!(listeners.local_addr(), address);
        let mut listeners = listeners.into_vec();
        assert_eq!(listeners.len(), 3);
        let last = listeners.pop().unwrap();
        drop(listeners);
        let client = std::net::TcpStream::connect(address).unwrap();
        last.set_nonblocking(false).unwrap();
        let (_, peer) = last.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[test]
    fn a_second_bind_of_the_same_address_says_who_is_at_fault() {
        let first = Listeners::bind(loopback(), 2).unwrap();
        let error = Listeners::bind(first.local_addr(), 2).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&first.local_addr().to_string()), "{text}");
        assert!(text.contains("choose another address"), "{text}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = Listeners::bind("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(matches!(error, BindError::Other { .. }), "{error:?}");
    }
}
