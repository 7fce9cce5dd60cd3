//! This node's copy of one session, and the commits that are under way for it.
//!
//! ```text
//! committed ──changes of requests──▶ tip          generations count the changes
//!     ▲                              │ take()     the batch leaves: one commit of all changes so far
//!     └──────── complete() ◀── in flight          later changes wait at the tip for the next one
//! ```
//! Requests work on the tip, so concurrent requests of one session do not conflict with each other;
//! each waits until the generation that it saw is committed. When another node wrote in between,
//! the compare-and-set fails, the tip is thrown away, and every waiting request does its work again
//! on the reloaded session. So nothing is answered that is not durable (P1), and nothing is
//! overwritten unseen (P2).

mod committing;
mod rotation;
mod telling;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicU64},
    time::Duration,
};

use seawall_store::{
    Batcher, Clock, Commit, Lookup, SessionKey, SessionRecord, StoreError, Timestamp, Version,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

pub(crate) use self::{
    rotation::Rotation,
    telling::{Telling, Told},
};
use crate::{events::Listeners, id::SessionId, settings::OnOutage};

/// What a waiting request is told about the generation that it saw.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is committed.
    Committed,
    /// The store failed.
    Failed(StoreError),
    /// The session has ended.
    Gone,
    /// Another node wrote in between: reload, and do the work again.
    Retry,
}

/// What all sessions of a manager share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) batcher: Batcher,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Arc<str>,
    pub(crate) listeners: Listeners,
    pub(crate) on_outage: OnOutage,
}

impl Shared {
    /// How long a request waits that cannot do without the store. Where copies are served, one that
    /// has been away for longer than that is not waited for again.
    pub(crate) fn patience(&self) -> Duration {
        let patience = self.batcher.patience();
        match (self.on_outage, self.batcher.store_away_for()) {
            (OnOutage::ServeCached, Some(away)) if away >= patience => Duration::ZERO,
            _ => patience,
        }
    }

    /// What is left of that to a request that has waited since then.
    pub(crate) fn patience_since(&self, since: Instant) -> Duration {
        self.patience().saturating_sub(since.elapsed())
    }

    /// Waits for what others do with the store, until a request has waited for `patience` since then.
    pub(crate) async fn wait_for<T>(
        &self,
        others: impl Future<Output = T>,
        patience: Duration,
        since: Instant,
    ) -> Result<T, StoreError> {
        let left = patience.saturating_sub(since.elapsed());
        let over = |_| StoreError::Timeout {
            store: self.batcher.store().description().into(),
            waited: since.elapsed(),
        };
        timeout(left, others).await.map_err(over)
    }
}

/// This node's copy of one session.
pub(crate) struct Cached {
    pub(crate) key: SessionKey,
    pub(crate) id: SessionId,
    shared: Arc<Shared>,
    this: Weak<Self>,
    state: Mutex<State>,
    /// What the copy weighs in the cache.
    pub(crate) weight: AtomicU64,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

pub(crate) struct State {
    /// The session as the store has it, as far as this node knows; `None` before it is created.
    committed: Option<Arc<SessionRecord>>,
    /// The session with all changes that requests of this node have made.
    tip: Arc<SessionRecord>,
    /// How many changes the tip holds.
    tip_generation: u64,
    /// How many of them are committed.
    committed_generation: u64,
    in_flight: Option<InFlight>,
    /// The session waits in the batcher's queue.
    queued: bool,
    /// A rotation of the id is under way; commits wait for it.
    rotating: bool,
    /// Raised whenever the copy is replaced by what the store has.
    epoch: u64,
    condition: Condition,
    waiters: Vec<Waiter>,
    /// The last access of this node, and the last one that the store was told.
    last_access: Timestamp,
    told_access: Timestamp,
    /// Who waits while a request tells the store of an access.
    telling: Option<Vec<oneshot::Sender<Told>>>,
    /// When the copy was last known to be current; `None` since something was heard against it.
    validated_at: Option<Instant>,
}

/// A request that waits for a commit.
struct Waiter {
    /// How many changes it waits for.
    generation: u64,
    /// Whether the last of them is its own.
    has_changed: bool,
    since: Instant,
    sender: oneshot::Sender<Verdict>,
}

struct InFlight {
    generation: u64,
    record: Arc<SessionRecord>,
}

/// What a copy was when a read of its session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    epoch: u64,
    /// What was committed, as far as this node knew.
    pub(crate) version: Option<Version>,
}

/// Whether a copy can be worked on.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// It can.
    Good,
    /// The session has ended, or lives on under another id.
    Gone {
        /// The session under its new id, for requests that began under the old one.
        successor: Option<Arc<Cached>>,
    },
    /// It must be reloaded first.
    Stale,
}

impl Cached {
    /// A copy of a session that was just read from the store.
    pub(crate) fn loaded(
        shared: Arc<Shared>,
        key: SessionKey,
        id: SessionId,
        record: SessionRecord,
    ) -> Arc<Self> {
        let record = Arc::new(record);
        Self::with(shared, key, id, Some(record.clone()), record)
    }

    /// A session that the store does not have yet.
    pub(crate) fn unborn(
        shared: Arc<Shared>,
        key: SessionKey,
        id: SessionId,
        record: Arc<SessionRecord>,
    ) -> Arc<Self> {
        Self::with(shared, key, id, None, record)
    }

    fn with(
        shared: Arc<Shared>,
        key: SessionKey,
        id: SessionId,
        committed: Option<Arc<SessionRecord>>,
        tip: Arc<SessionRecord>,
    ) -> Arc<Self> {
        let state = State {
            committed,
            tip_generation: 0,
            committed_generation: 0,
            in_flight: None,
            queued: false,
            rotating: false,
            epoch: 0,
            condition: Condition::Good,
            waiters: Vec::new(),
            last_access: tip.last_access,
            told_access: tip.last_access,
            telling: None,
            validated_at: Some(Instant::now()),
            tip,
        };
        Arc::new_cyclic(|this| Self {
            key,
            id,
            shared,
            this: this.clone(),
            state: Mutex::new(state),
            weight: AtomicU64::new(0),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A request's work that panics leaves the state as it was: it has a draft of its own.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `record` at the tip and sees to it that it is committed, for a request that has waited
    /// since then.
    pub(crate) fn change(
        &self,
        state: &mut State,
        record: Arc<SessionRecord>,
        since: Instant,
    ) -> oneshot::Receiver<Verdict> {
        state.tip = record;
        state.tip_generation += 1;
        let verdict = state.wait(true, since);
        self.enqueue(state);
        verdict
    }

    /// Puts the session into the batcher's queue, unless its next commit is already arranged.
    fn enqueue(&self, state: &mut State) {
        if state.queued || state.in_flight.is_some() || state.rotating {
            return;
        }
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let patience = self.shared.patience_since(state.waits_since());
        match self.shared.batcher.submit(this, patience) {
            Ok(()) => state.queued = true,
            Err(error) => state.give_up(&error, self.shared.patience()),
        }
    }

    /// Ends the session here. Whoever waits is told, and later requests find nothing. The answer is
    /// the session under its new id, if it had moved.
    pub(crate) fn end(&self, successor: Option<Arc<Self>>) -> Option<Arc<Self>> {
        self.lock().end(successor)
    }

    /// What finds the session, wherever it moves to meanwhile.
    pub(crate) fn lookup(&self) -> Lookup {
        let origin = self.lock().tip.origin.clone();
        Lookup {
            key: self.key.clone(),
            origin: origin.unwrap_or_else(|| self.key.id.clone()),
        }
    }

    /// What deletes the session, wherever it moves to meanwhile.
    pub(crate) fn deletion(&self) -> Commit {
        Commit::deletion(self.key.clone(), self.lock().tip.origin.clone())
    }
}

impl State {
    /// Waits for the commit of everything that the tip holds, and for the rotation that is under way.
    /// A copy that nobody can work on has nothing to wait for.
    pub(crate) fn wait_for_tip(&mut self, since: Instant) -> oneshot::Receiver<Verdict> {
        self.wait(false, since)
    }

    fn wait(&mut self, has_changed: bool, since: Instant) -> oneshot::Receiver<Verdict> {
        let (sender, receiver) = oneshot::channel();
        if matches!(self.condition, Condition::Good) {
            self.waiters.push(Waiter {
                generation: self.tip_generation,
                has_changed,
                since,
                sender,
            });
        }
        receiver
    }

    /// Since when the first of them waits.
    fn waits_since(&self) -> Instant {
        let waiters = self.waiters.iter();
        let waiting = waiters.filter(|waiter| !waiter.sender.is_closed());
        let first = waiting.map(|waiter| waiter.since).min();
        first.unwrap_or_else(Instant::now)
    }

    /// Whether everything at the tip is committed.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.tip_generation == self.committed_generation
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(crate) fn tip(&self) -> &Arc<SessionRecord> {
        &self.tip
    }

    /// The last access that this node knows of.
    pub(crate) fn last_access(&self) -> Timestamp {
        self.last_access
    }

    /// What the copy is now, for a read of the session that begins now.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            epoch: self.epoch,
            version: self.committed_version(),
        }
    }

    /// When the session expires, as far as this node knows. That includes the slack of the stored
    /// expiry: another node may have seen accesses that it has not told yet.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.tip.expires_at_after(self.last_access)
    }

    /// What was last known to be committed, if that has not expired.
    pub(crate) fn readable(&self, now: Timestamp) -> Option<Arc<SessionRecord>> {
        let committed = self.committed.as_ref()?;
        let expiry = committed.expires_at_after(self.last_access);
        let is_alive = expiry.is_none_or(|expiry| expiry > now);
        is_alive.then(|| committed.clone())
    }

    fn committed_version(&self) -> Option<Version> {
        self.committed.as_ref().map(|record| record.version)
    }

    pub(crate) fn validated_at(&self) -> Option<Instant> {
        self.validated_at
    }

    /// Lets nobody trust the copy before it is validated.
    pub(crate) fn distrust(&mut self) {
        self.validated_at = None;
    }

    /// Whether what a read has found is this copy's own work, committed or on its way, and nothing but
    /// that has changed the copy meanwhile. Two nodes may give a commit the same version in the same
    /// millisecond, of which one fails; so the node counts too.
    pub(crate) fn is_own(&self, stored: &SessionRecord, reading: Reading) -> bool {
        if self.epoch != reading.epoch {
            return false;
        }
        let is = |own: &Arc<SessionRecord>| own.is_commit(stored);
        let in_flight = self.in_flight.as_ref().map(|sent| &sent.record);
        self.committed.as_ref().is_some_and(is) || in_flight.is_some_and(is)
    }

    /// Takes note that the store has the version of this copy.
    pub(crate) fn confirm(&mut self, last_access: Timestamp) {
        self.validated_at = Some(Instant::now());
        self.last_access = self.last_access.max(last_access);
        self.told_access = self.told_access.max(last_access);
    }

    /// Takes over what a read has found, unless commits of this node are under way: their
    /// compare-and-set decides then.
    pub(crate) fn replace(&mut self, record: SessionRecord, reading: Reading) {
        if self.is_late(&record, reading) || !self.is_settled() {
            return;
        }
        self.confirm(record.last_access);
        let record = Arc::new(record);
        self.committed = Some(record.clone());
        self.tip = record;
        self.epoch += 1;
        self.condition = Condition::Good;
    }

    /// Whether something newer than what a read has found was learned while it was on its way. If
    /// not, what the store has counts though it is older than the copy: the store has lost what it had,
    /// as one does that is replaced by a replica which was behind.
    fn is_late(&self, found: &SessionRecord, reading: Reading) -> bool {
        match self.condition {
            Condition::Good => {
                self.reading() != reading && self.committed_version() > Some(found.version)
            }
            Condition::Gone { .. } => true,
            Condition::Stale => false,
        }
    }

    /// Whether it has ended, or lives on under another id.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.condition, Condition::Gone { .. })
    }

    /// Ends the session here. Whoever waits is told, and later requests find nothing.
    pub(crate) fn end(&mut self, successor: Option<Arc<Cached>>) -> Option<Arc<Cached>> {
        let moved = successor.is_some();
        let before = std::mem::replace(&mut self.condition, Condition::Gone { successor });
        self.tell_all(|| if moved { Verdict::Retry } else { Verdict::Gone });
        match before {
            Condition::Gone { successor } => successor,
            Condition::Good | Condition::Stale => None,
        }
    }

    /// Notes an access.
    pub(crate) fn access(&mut self, now: Timestamp) {
        self.last_access = self.last_access.max(now);
    }

    /// The last access, when it is time to tell the store.
    pub(crate) fn untold_access(&self, interval: Duration) -> Option<Timestamp> {
        let is_due = self.last_access.since(self.told_access) >= interval;
        is_due.then_some(self.last_access)
    }

    /// The store knows of an access.
    pub(crate) fn told(&mut self, access: Timestamp) {
        self.told_access = self.told_access.max(access);
    }

    fn discard_tip(&mut self) {
        self.in_flight = None;
        self.tip_generation += 1;
        self.committed_generation = self.tip_generation;
        self.epoch += 1;
        self.condition = Condition::Stale;
    }

    fn tell_all(&mut self, verdict: impl Fn() -> Verdict) {
        for waiter in self.waiters.drain(..) {
            // A request that was cancelled no longer listens.
            let _ = waiter.sender.send(verdict());
        }
    }
}
