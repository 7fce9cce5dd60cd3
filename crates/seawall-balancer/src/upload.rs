//! How a request's body gets on, as the task that awaits the answer sees it.

use std::{cell::Cell, rc::Rc};

use tokio::time::Instant;

/// Who is to do something next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client is to send more.
    Client,
    /// The server is to take more, or, once all has been sent, to answer.
    Server,
    /// Nobody: what the client sent is no body, or it broke off.
    Broken,
}

/// Shared by a body on its way and whoever waits for the answer; both on one thread.
#[derive(Debug, Clone)]
pub(crate) enum Upload {
    /// Nothing is to be sent after the head, which left then.
    Done(Instant),
    /// Whose turn it is, and since when.
    Body(Rc<Cell<(Turn, Instant)>>),
}

impl Upload {
    /// Of a request without a body that is sent now, or of whatever else a server is to do.
    pub(crate) fn done() -> Self {
        Self::Done(Instant::now())
    }

    /// Of a request with a body that is sent now.
    pub(crate) fn begin() -> Self {
        Self::Body(Rc::new(Cell::new((Turn::Server, Instant::now()))))
    }

    /// Whose turn it is, and since when.
    pub(crate) fn turn(&self) -> (Turn, Instant) {
        match self {
            Self::Done(since) => (Turn::Server, *since),
            Self::Body(turn) => turn.get(),
        }
    }

    /// A part has come from the client.
    pub(crate) fn arrived(&self) {
        self.take_turn(Turn::Server);
    }

    pub(crate) fn waits_for_client(&self) {
        if self.turn().0 == Turn::Server {
            self.take_turn(Turn::Client);
        }
    }

    pub(crate) fn broke_off(&self) {
        self.take_turn(Turn::Broken);
    }

    fn take_turn(&self, turn: Turn) {
        if let Self::Body(state) = self {
            state.set((turn, Instant::now()));
        }
    }
}
