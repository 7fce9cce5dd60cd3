//! One worker's open connections to the servers.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use seawall_net::{Address, SmallWrites};
use tokio::time::Sleep;

use crate::{
    body::RequestBody,
    heard::{Heard, TakesNothing},
};

/// The most idle connections that a worker keeps to one server.
const IDLE_LIMIT: usize = 512;

/// Connections that were idle for longer are not used again: servers close idle connections, and a
/// request that meets the closing may be lost.
const IDLE_AGE: Duration = Duration::from_secs(10);

/// How many turns of the other tasks a connection gets to finish with its last request.
const TURNS_TO_BE_FREE: usize = 2;

pub(crate) type Sender = SendRequest<RequestBody>;

/// A connection to a server, with the timer for its answers: to move a timer on costs much less
/// than to make one for each request.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) sender: Sender,
    pub(crate) timer: Pin<Box<Sleep>>,
    /// Held for as long as the connection is open; a tunnel goes on with it.
    pub(crate) place: Place,
    takes_nothing: TakesNothing,
}

impl Upstream {
    /// Whether a request can be sent now. The task of the connection may have to run once more to know
    /// that the last answer is over; but an answer may also end before its request, whose client is in
    /// no hurry to send the rest. Nobody is to wait for that: such a connection is closed.
    async fn is_free(&self) -> bool {
        for _ in 0..TURNS_TO_BE_FREE {
            if self.sender.is_ready() || self.sender.is_closed() {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.sender.is_ready() && !self.takes_nothing.is_so()
    }
}

/// One of the connections to servers that a worker may have.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Relaxed);
        Self(taken.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The idle connections to one server, with when each became idle.
type Idle = Vec<(Instant, Upstream)>;

/// Idle connections, by the server's index; the last one used is taken first, so that what is not
/// needed grows old and is closed by the server.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    idle: Rc<RefCell<Vec<Idle>>>,
    /// How many are open, in use or idle, and how many may be.
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// A connection in use. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) upstream: Upstream,
    server: usize,
    pool: Pool,
}

impl Lease {
    /// Keeps the connection for another request.
    pub(crate) fn give_back(self) {
        let mut idle = self.pool.idle.borrow_mut();
        if let Some(idle) = idle.get_mut(self.server)
            && idle.len() < IDLE_LIMIT
            && !self.upstream.sender.is_closed()
        {
            idle.push((Instant::now(), self.upstream));
        }
    }

    /// What a connection that has become a tunnel still holds.
    pub(crate) fn into_place(self) -> Place {
        self.upstream.place
    }
}

impl Pool {
    /// `limit` is how many clients there may be: each takes one connection to a server at a time.
    pub(crate) fn new(servers: usize, limit: usize) -> Self {
        let idle = (0..servers).map(|_| Vec::new()).collect();
        Self {
            idle: Rc::new(RefCell::new(idle)),
            taken: Arc::default(),
            limit,
        }
    }

    /// An idle connection that is still open, if there is one.
    pub(crate) async fn reuse(&self, server: usize) -> Option<Lease> {
        loop {
            let (since, upstream) = self.idle.borrow_mut().get_mut(server)?.pop()?;
            if since.elapsed() < IDLE_AGE && upstream.is_free().await {
                return Some(Lease {
                    upstream,
                    server,
                    pool: self.clone(),
                });
            }
        }
    }

    /// A new connection.
    pub(crate) async fn connect(
        &self,
        server: usize,
        address: &Address,
        limit: Duration,
    ) -> io::Result<Lease> {
        let place = self.place().await;
        let takes_nothing = TakesNothing::default();
        let connecting = async {
            let stream = SmallWrites(address.connect().await?);
            http1::handshake(TokioIo::new(Heard::new(stream, takes_nothing.clone())))
                .await
                .map_err(io::Error::other)
        };
        let (sender, connection) = tokio::time::timeout(limit, connecting).await??;
        tokio::task::spawn_local(connection.with_upgrades());
        let timer = Box::pin(tokio::time::sleep(limit));
        Ok(Lease {
            upstream: Upstream {
                sender,
                timer,
                place,
                takes_nothing,
            },
            server,
            pool: self.clone(),
        })
    }

    /// A place for a new connection. When there is none, an idle connection is closed, to whichever
    /// server has the most: else clients that go from one server to another would leave the process
    /// without files.
    async fn place(&self) -> Place {
        if self.taken.load(Relaxed) < self.limit {
            return Place::take(&self.taken);
        }
        let most = |idle: &&mut Idle| idle.len();
        if let Some(idle) = self.idle.borrow_mut().iter_mut().max_by_key(most)
            && !idle.is_empty()
        {
            idle.remove(0);
        }
        let place = Place::take(&self.taken);
        // The one that was given up is closed by its task.
        tokio::task::yield_now().await;
        place
    }

    /// Forgets the idle connections to a server that hangs.
    pub(crate) fn clear(&self, server: usize) {
        if let Some(idle) = self.idle.borrow_mut().get_mut(server) {
            idle.clear();
        }
    }
}

/// Whether no connection can be made because this process, or this system, has no file left for it:
/// no server is to blame for that.
pub(crate) fn is_own_limit(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE))
}
