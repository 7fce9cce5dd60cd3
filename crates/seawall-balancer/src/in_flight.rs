//! Counting the requests at a server.

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use crate::server::Server;

/// Counts a request at a server while it lives.
#[derive(Debug)]
pub(crate) struct InFlight<S: Deref<Target = Server>>(S);

/// A request whose answer still passes: a long body, or a tunnel.
pub(crate) type Passing = InFlight<Arc<Server>>;

impl<'a> InFlight<&'a Server> {
    /// A request that is sent now.
    pub(crate) fn enter(server: &'a Server) -> Self {
        let now = server.in_flight.fetch_add(1, Relaxed) + 1;
        server.counters.in_flight_max.fetch_max(now, Relaxed);
        Self(server)
    }
}

impl Passing {
    /// The same request for as long as its answer passes. Both are counted until the first one ends,
    /// an instant later; the maximum takes no note of that.
    pub(crate) fn go_on(server: &Arc<Server>) -> Self {
        server.in_flight.fetch_add(1, Relaxed);
        Self(server.clone())
    }

    pub(crate) fn server(&self) -> &Server {
        &self.0
    }
}

impl<S: Deref<Target = Server>> Drop for InFlight<S> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
