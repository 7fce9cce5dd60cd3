//! How a worker takes connections, and what it does with those that wait when it ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::either::Either;

use crate::address::Stream;
use crate::shutdown::Shutdown;
use crate::unix_stream::UnixStream;

/// How long to wait when the system has no file descriptors or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The most connections that wait in a queue: what we ask for, and the kernel's default limit.
const QUEUE_MAX: usize = 4096;

/// A connection with its peer. What comes by a Unix socket comes from this machine.
type Accepted = (Stream, SocketAddr);

/// What a worker takes connections from.
#[derive(Debug)]
pub enum Listener {
    /// A port of the network.
    Tcp(StdTcpListener),
    /// A socket of this machine.
    Unix(StdUnixListener),
}

impl From<StdTcpListener> for Listener {
    fn from(listener: StdTcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<StdUnixListener> for Listener {
    fn from(listener: StdUnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Listener {
    pub(crate) fn open(self) -> io::Result<OpenListener> {
        Ok(match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                OpenListener::Tcp(TcpListener::from_std(listener)?)
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                OpenListener::Unix(UnixListener::from_std(listener)?)
            }
        })
    }
}

/// A [`Listener`] in the runtime.
pub(crate) enum OpenListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl OpenListener {
    /// The next connection; `None` after shutdown. Waits while all slots are taken, and takes none.
    pub(crate) async fn accept(&self, slots: &Semaphore, shutdown: &Shutdown) -> Option<Accepted> {
        let mut is_told = false;
        loop {
            let accepted = tokio::select! {
                () = shutdown.wait() => return None,
                accepted = async {
                    drop(slots.acquire().await);
                    self.accept_any().await
                } => accepted,
            };
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) if is_of_one_connection(&error) => (),
                Err(error) => {
                    // It may last, and one line for each try would fill the log.
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "cannot accept connections; raise the limit on open files");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept_any(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => Ok(of_network(listener.accept().await?)),
            Self::Unix(listener) => of_machine(listener.accept().await?.0.into_std()?),
        }
    }

    /// The connections that nobody has accepted, for the end: their clients believe that they are
    /// connected, and closing the listener would reset them. The kernel is asked, for the runtime
    /// may not know yet that they are there.
    ///
    /// Others may come while these are taken, so there are no more of them than a queue can hold.
    pub(crate) fn into_queue(self) -> io::Result<impl Iterator<Item = Accepted>> {
        let queue = Queue(match self {
            Self::Tcp(listener) => Listener::Tcp(listener.into_std()?),
            Self::Unix(listener) => Listener::Unix(listener.into_std()?),
        });
        Ok(queue.take(QUEUE_MAX))
    }
}

/// A listener that takes no longer than the kernel has connections for it.
struct Queue(Listener);

impl Iterator for Queue {
    type Item = Accepted;

    fn next(&mut self) -> Option<Accepted> {
        loop {
            match self.accept_now() {
                Ok(accepted) => return Some(accepted),
                Err(error) if is_of_one_connection(&error) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept the last connections");
                    return None;
                }
            }
        }
    }
}

impl Queue {
    fn accept_now(&self) -> io::Result<Accepted> {
        match &self.0 {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(of_network((TcpStream::from_std(stream)?, peer)))
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                of_machine(stream)
            }
        }
    }
}

fn of_network((stream, peer): (TcpStream, SocketAddr)) -> Accepted {
    let _ = stream.set_nodelay(true);
    (Either::Left(stream), plain(peer))
}

/// A client of IPv4 has that address on a listener for both kinds too: logs and servers know it by it.
fn plain(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

fn of_machine(stream: StdUnixStream) -> io::Result<Accepted> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok((Either::Right(UnixStream::new(stream)?), here))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_one_address_on_whichever_listener() {
        let plain = |text: &str| plain(text.parse().unwrap()).to_string();
        assert_eq!(plain("[::ffff:192.0.2.1]:80"), "192.0.2.1:80");
        assert_eq!(plain("192.0.2.1:80"), "192.0.2.1:80");
        assert_eq!(plain("[2001:db8::1]:80"), "[2001:db8::1]:80");
    }
}
