//! The session as a request handler uses it.

mod finishing;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::HeaderValue;
use seawall_store::{ChangeSet, Device, SessionKey, SessionRecord, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answered::Answered,
    attribute::{decode, encode},
    cached::Cached,
    cookie::Presented,
    draft::Draft,
    error::SessionError,
    id::SessionId,
    manager::{Fate, Found, SessionManager, Trust},
    pending::{Pending, Work},
    watch::Watch,
};

/// The session of one request. Cheap to clone; all clones are the same session.
///
/// It was loaded, and checked against the store, when the request first asked for it. `set` and
/// `remove` are collected and committed before the response leaves (P1); [`update`](Self::update)
/// is committed at once. A client without a session gets one when something is first stored.
///
/// Nothing that was asked for is lost when the store does not take it, or when the future is dropped
/// before it answers: the next call tries again, and no response leaves that would be wrong about it.
/// A handler that panics, or is cancelled because its client has gone, commits nothing by itself.
///
/// A WebSocket or a stream can keep its session when the response has left. `set` and `remove` wait
/// there for a [`save`](Self::save): nothing else commits them. What would need another cookie (the
/// first thing stored for a client without a session, a new id, a login) is
/// [`SessionError::Answered`] there.
///
/// ```no_run
/// # use seawall_session::{Session, SessionError};
/// async fn visit(session: Session) -> Result<String, SessionError> {
///     let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1).await?;
///     let name: Option<String> = session.get("name")?;
///     Ok(format!("{}, visit {visits}", name.as_deref().unwrap_or("somebody")))
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    manager: SessionManager,
    inner: Arc<Mutex<Inner>>,
}

pub(crate) struct Inner {
    found: Option<Found>,
    device: Option<Arc<Device>>,
    /// What the handler sees: the record as loaded, with its own changes.
    pub(crate) view: Arc<SessionRecord>,
    /// When the session was used before this request.
    last_access: Timestamp,
    pending: Pending,
    cookie: Option<HeaderValue>,
    answered: Answered,
    /// Once somebody has waited for the end of the session.
    watch: Option<Watch>,
    is_unverified: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Loads the session that the client presents.
    pub(crate) async fn load(
        manager: &SessionManager,
        presented: &[Presented],
        device: Option<&Arc<Device>>,
        answered: &Answered,
    ) -> Result<Self, SessionError> {
        let view = manager.blank_record();
        let mut inner = Inner {
            found: None,
            device: device.cloned(),
            last_access: view.last_access,
            view: Arc::new(view),
            pending: Pending::default(),
            cookie: None,
            answered: answered.clone(),
            watch: None,
            is_unverified: false,
        };
        if let Some(found) = manager.find(presented, device).await? {
            inner.see(manager, found).await?;
        }
        Ok(Self {
            manager: manager.clone(),
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    /// The session's id; `None` when there is no session yet, or no longer.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.lock()
            .found
            .as_ref()
            .map(|found| found.cached.id.clone())
    }

    /// Whether the session is this node's copy and could not be checked, because the store is away;
    /// see [`OnOutage::ServeCached`](crate::OnOutage::ServeCached).
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        self.lock().is_unverified
    }

    pub(crate) fn manager(&self) -> &SessionManager {
        &self.manager
    }

    /// The session's key in the store; `None` when there is no session.
    #[must_use]
    pub fn key(&self) -> Option<SessionKey> {
        let inner = self.lock();
        inner.found.as_ref().map(|found| found.cached.key.clone())
    }

    /// When the session was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.lock().view.created_at
    }

    /// When the session was last used before this request; accesses on other nodes count once the
    /// store was told, within the touch interval.
    #[must_use]
    pub fn last_access(&self) -> Timestamp {
        self.lock().last_access
    }

    /// An attribute; `None` when there is none of that name, or its bytes are damaged or of an
    /// unknown kind. Such bytes stay as they are until something else is set in their place, or the
    /// attribute is removed (P7); the store counts them, and the log names the attribute.
    ///
    /// # Errors
    /// [`SessionError::Value`] when the stored value has another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        let view = self.lock().view.clone();
        let value = view.attributes.get(name);
        value
            .filter(|value| value.is_readable())
            .map(|value| decode(name, value))
            .transpose()
    }

    /// Sets an attribute. A `None` is stored too, as nothing, which only an `Option` reads; `remove` it
    /// instead where that is meant.
    ///
    /// # Errors
    /// [`SessionError::Value`] when the value cannot be stored: a `u64` above `i64::MAX`, or a map whose
    /// keys cannot be written as text; [`SessionError::Limit`] when the session may not hold it.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), SessionError> {
        let value = encode(name, value)?;
        let mut inner = self.lock();
        let limits = &self.manager.settings().limits;
        limits.check(&inner.view.attributes, name, &value)?;
        inner.change(|changes| changes.set(name, value));
        Ok(())
    }

    /// Removes an attribute.
    pub fn remove(&self, name: &str) {
        self.lock().change(|changes| changes.remove(name));
    }

    /// An attribute, which is removed: for what is shown once. Two requests that overlap can both take
    /// it; an [`update`](Self::update) gives it to one alone.
    ///
    /// # Errors
    /// As [`get`](Self::get); it stays then.
    pub fn take<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, SessionError> {
        let taken = self.get(name)?;
        if taken.is_some() {
            self.remove(name);
        }
        Ok(taken)
    }

    /// Changes how long the session may lie unused; `None` or nothing for ever.
    pub fn set_idle_timeout(&self, idle_timeout: Option<Duration>) {
        self.lock()
            .change(|changes| changes.set_idle_timeout(idle_timeout));
    }

    /// Replaces an attribute by what `f` makes of it, and commits that at once together with the
    /// changes so far. Linearizable across all nodes: n increments add n (P2).
    ///
    /// `f` is called again when another node wrote in between; it must be pure. The answer is the
    /// value that was committed.
    ///
    /// When it fails, the changes so far are kept and what `f` made is not. It may have taken effect
    /// all the same when the store did not answer, or when the future was dropped before it did.
    ///
    /// # Errors
    /// [`SessionError::Value`] when the stored value has another type or cannot be read (unlike
    /// [`get`](Self::get): what `f` would make of nothing must not take its place unasked),
    /// [`SessionError::Limit`] when the session may not hold the new one, [`SessionError::Ended`]
    /// when the session ended meanwhile, [`SessionError::Store`] when the store does not answer.
    pub async fn update<T, F>(&self, name: &str, mut f: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T,
    {
        self.commit(|draft| {
            let stored = draft.record().attributes.get(name);
            let current = stored.map(|value| decode(name, value)).transpose()?;
            let updated = f(current);
            draft.set(name, encode(name, &updated)?)?;
            Ok(updated)
        })
        .await?
    }

    /// Commits the changes so far, without waiting for the end of the request.
    ///
    /// # Errors
    /// As [`update`](Self::update); [`SessionError::Answered`] when the response has left and there is no
    /// session yet, or a new id was asked for before and not given.
    pub async fn save(&self) -> Result<(), SessionError> {
        if self.lock().pending.is_empty() {
            return Ok(());
        }
        self.commit(|_| ()).await
    }

    /// Ends the session. Once this answers no node accepts its id, and no late write of another
    /// request brings it back (P4). Storing something afterwards begins a new session.
    ///
    /// After an error, or when the future is dropped before it answers, this request sees no session
    /// any more, and whatever it does next tries again to end it first.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn invalidate(&self) -> Result<(), SessionError> {
        self.lock().leave(self.manager.blank_record());
        let ended = self.end().await;
        self.tried(ended)
    }

    /// Completes when the session has ended, on whatever node: it was invalidated, revoked, or it
    /// expired. At once when there is no session; never because the session gets another id.
    ///
    /// For answers that outlast their request: a WebSocket, or a stream of events. The session is
    /// watched until its last clone is dropped; see [`Watch::ended`] for how soon this tells. An
    /// open socket is no access: a session that no request uses expires.
    ///
    /// ```no_run
    /// # use seawall_session::Session;
    /// # struct Socket;
    /// # impl Socket {
    /// #     async fn next_message(&mut self) -> Option<String> { None }
    /// #     async fn send(&mut self, _text: &str) {}
    /// # }
    /// /// What a handler gives to `WebSocketUpgrade::on_upgrade`.
    /// async fn talk(mut socket: Socket, session: Session) {
    ///     loop {
    ///         tokio::select! {
    ///             () = session.ended() => break socket.send("You have logged out.").await,
    ///             message = socket.next_message() => match message {
    ///                 Some(text) => socket.send(&text).await,
    ///                 None => break,
    ///             },
    ///         }
    ///     }
    /// }
    /// ```
    pub async fn ended(&self) {
        let (found, mut watch) = {
            let inner = self.lock();
            (inner.found.clone(), inner.watch.clone())
        };
        if let Some(found) = found {
            watch = Some(self.manager.watch_cached(&found.cached, watch));
            self.lock().watch.clone_from(&watch);
        }
        if let Some(watch) = watch {
            watch.ended().await;
        }
    }

    /// Gives the session a new id, in one atomic step: afterwards the old id is dead and the new
    /// one holds everything (P8). Do this when somebody logs in.
    ///
    /// # Errors
    /// As [`update`](Self::update); [`SessionError::Answered`] when the response has left.
    pub async fn rotate_id(&self) -> Result<(), SessionError> {
        self.lock().want_new_id()?;
        self.save().await
    }

    pub(crate) fn check_not_answered(&self) -> Result<(), SessionError> {
        self.lock().answered.check_open()
    }

    /// Does `work` on top of the changes so far, commits both, and shows the result.
    async fn commit<R>(&self, work: impl FnMut(&mut Draft<'_>) -> R) -> Result<R, SessionError> {
        let committed = self.try_to_commit(work).await;
        self.tried(committed)
    }

    async fn try_to_commit<R>(
        &self,
        mut work: impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<R, SessionError> {
        self.end().await?;
        // Done while the node's copy is locked; so nobody who holds `inner` may lock a copy.
        let mut work = |draft: &mut Draft<'_>| {
            let begun = self.lock().pending.apply(draft);
            let result = work(draft);
            (result, begun.seen(draft.record()))
        };
        loop {
            let (found, new_id, device) = self.lock().begin();
            if found.is_none() || new_id.is_some() {
                // What was asked for with a new id, such as a login, must not be had without it (P8). So
                // all stays pending, and whoever tries to commit it is told.
                self.check_not_answered()?;
            }
            let Some(found) = found else {
                let creating = self.manager.create(&mut work, device.as_ref());
                let ((result, done), created) = creating.await?;
                match created {
                    Some(created) if !self.lock().adopt(&self.manager, done, &created) => {
                        // Another clone was quicker; nobody has seen this one's id.
                        self.manager.invalidate(&created).await?;
                        continue;
                    }
                    _ => return Ok(result),
                }
            };
            let worked = match new_id {
                Some(id) => self.manager.rotate_id(found, &id, &mut work).await?,
                None => self.manager.work(found, &mut work).await?,
            };
            let ((result, done), _, cached) = worked.ok_or(SessionError::Ended)?;
            self.lock().committed(&self.manager, done, cached);
            return Ok(result);
        }
    }

    /// Ends the session that was left, if the store has not acknowledged that yet.
    async fn end(&self) -> Result<(), SessionError> {
        let Some(left) = self.lock().pending.left() else {
            return Ok(());
        };
        self.manager.invalidate(&left).await?;
        let mut inner = self.lock();
        if inner.pending.ended(&left) {
            inner.cookie = Some(self.manager.settings().cookie.expire());
        }
        Ok(())
    }

    fn tried<R>(&self, result: Result<R, SessionError>) -> Result<R, SessionError> {
        self.lock().pending.note(result.as_ref().err());
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.answered.warn_of_loss(&self.pending);
    }
}

impl Inner {
    /// Takes a first look at an existing session.
    async fn see(&mut self, manager: &SessionManager, found: Found) -> Result<(), SessionError> {
        let looked = manager
            .work(found.clone(), &mut |draft| {
                (draft.record().clone(), draft.last_access())
            })
            .await?;
        if let Some(((view, last_access), fate, cached)) = looked {
            let reissue = manager.must_reissue(&found, &cached);
            self.view = view;
            self.last_access = last_access;
            self.is_unverified = fate == Fate::Unverified;
            self.cookie = reissue.then(|| manager.issue(&cached.id));
            self.found = Some(Found {
                cached,
                trust: Trust::Unverified,
                ..found
            });
        }
        Ok(())
    }

    /// Goes on with `cached`, and tells the client if that is another session than it has.
    fn keep(&mut self, manager: &SessionManager, cached: Arc<Cached>) {
        let known = self
            .found
            .as_ref()
            .is_some_and(|found| Arc::ptr_eq(&found.cached, &cached));
        if !known {
            self.cookie = Some(manager.issue(&cached.id));
        }
        let trust = Trust::Unverified;
        self.found = Some(Found {
            cached,
            trust,
            suffix_is_ours: true,
            device: self.device.clone(),
        });
    }

    /// The session that there is now.
    fn cached(&self) -> Option<Arc<Cached>> {
        self.found.as_ref().map(|found| found.cached.clone())
    }

    /// Asks for a new id, if the client can still be told of it.
    pub(crate) fn want_new_id(&mut self) -> Result<(), SessionError> {
        self.answered.check_open()?;
        self.pending.want_new_id();
        Ok(())
    }

    /// What a commit begins with: the session, the id that it is to get, and who the client is.
    fn begin(&self) -> (Option<Found>, Option<SessionId>, Option<Arc<Device>>) {
        let new_id = self.pending.new_id();
        (self.found.clone(), new_id, self.device.clone())
    }

    /// Takes note that `work` is committed.
    fn committed(&mut self, manager: &SessionManager, work: Work, cached: Arc<Cached>) {
        if self.pending.committed(&work, &cached.id) {
            self.view = work.view;
            self.pending.show(Arc::make_mut(&mut self.view));
            self.keep(manager, cached);
        }
    }

    /// Goes on with a session that was just created for `work`. False when there is another one
    /// meanwhile, or this one is not to be any more.
    fn adopt(&mut self, manager: &SessionManager, work: Work, created: &Arc<Cached>) -> bool {
        let is_wanted = self.found.is_none() && !self.pending.is_overtaken(&work);
        if is_wanted {
            self.pending.has_new_id();
            self.committed(manager, work, created.clone());
        }
        is_wanted
    }

    /// Leaves the session, which is to end.
    fn leave(&mut self, blank: SessionRecord) {
        let left = self.found.take().map(|found| found.cached);
        self.pending.leave(left);
        self.last_access = blank.last_access;
        self.view = Arc::new(blank);
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut ChangeSet)) {
        let mut one = ChangeSet::new();
        change(&mut one);
        one.apply(Arc::make_mut(&mut self.view));
        self.pending.append(one);
    }
}
