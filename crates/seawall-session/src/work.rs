//! Doing a request's work on an existing session, until it is committed or known to be current.

use std::sync::Arc;

use seawall_store::{ReadOutcome, SessionRecord};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cache::memory_of,
    cached::{Cached, Condition, Reading, Verdict},
    draft::{Draft, Intent},
    error::SessionError,
    manager::{Fate, Found, SessionManager, Trust},
    outage::Worked,
    settings::Consistency,
};

impl SessionManager {
    /// Does `work` on an existing session until it is committed. `None` when the session ended.
    pub(crate) async fn work<R>(
        &self,
        found: Found,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Option<Worked<R>>, SessionError> {
        if self.is_cut_off()
            && let Some(worked) = self.work_on_copy(&found.cached, work)
        {
            return Ok(Some(worked));
        }
        let copy = self.serves_copies().then(|| found.cached.clone());
        match self.work_with_store(found, work).await {
            Err(error) => self.without_the_store(error, copy.as_ref(), work).map(Some),
            worked => worked,
        }
    }

    async fn work_with_store<R>(
        &self,
        found: Found,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Option<Worked<R>>, SessionError> {
        let (mut found, since) = (found, Instant::now());
        for _ in 0..self.settings().attempt_limit {
            match self.attempt(&found, since, work).await? {
                Attempt::Answered(value, fate) => return Ok(Some((value, fate, found.cached))),
                Attempt::Again => {
                    self.inner.counters.repeated.increment();
                    found.trust = Trust::Unverified;
                }
                Attempt::Stale if self.reload(&found.cached, since).await? => {
                    found.trust = Trust::Trusted;
                }
                Attempt::Gone(Some(successor)) => found.cached = successor,
                Attempt::Gone(None) | Attempt::Stale => {
                    self.forget(&found.cached);
                    let Some((renewed, trust)) = self.follow(&found.cached.id).await? else {
                        return Ok(None);
                    };
                    (found.cached, found.trust) = (renewed, trust);
                }
            }
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    async fn attempt<R>(
        &self,
        found: &Found,
        since: Instant,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Attempt<R>, SessionError> {
        let (cached, trust) = (&found.cached, found.trust);
        let now = self.inner.shared.clock.now();
        let limits = &self.settings().limits;
        let (value, next) = {
            let mut state = cached.lock();
            match state.condition() {
                Condition::Good => {}
                Condition::Stale => return Ok(Attempt::Stale),
                Condition::Gone { successor } => return Ok(Attempt::Gone(successor.clone())),
            }
            if state.expires_at().is_some_and(|expiry| expiry <= now) {
                let known_to_be = trust == Trust::Trusted && state.is_settled();
                return Ok(if known_to_be {
                    Attempt::Gone(None)
                } else {
                    Attempt::Stale
                });
            }
            let mut draft = Draft::existing(&cached.id, self.part(state.tip()), limits)
                .used_at(state.last_access());
            let value = work(&mut draft);
            let next = match draft.intent() {
                Intent::Invalidate => Next::Invalidate,
                Intent::Commit => {
                    let record = self.written(found, state.tip(), draft);
                    let memory = memory_of(&record);
                    Next::Commit(cached.change(&mut state, record, since), memory)
                }
                Intent::Keep if state.is_settled() => Next::Validate {
                    reading: state.reading(),
                    needed: trust == Trust::Unverified
                        && !self.is_trusted(state.validated_at(), found.suffix_is_ours),
                },
                // What the request saw is not committed yet. When it is, others may have built on it
                // already: the answer to a commit may come long after it took effect.
                Intent::Keep => Next::WaitThenLookAgain(state.wait_for_tip(since)),
            };
            (value, next)
        };
        self.finish(found, since, value, next).await
    }

    /// The session after this access, which changed `before` into what the draft holds.
    pub(crate) fn written(
        &self,
        found: &Found,
        before: &SessionRecord,
        draft: Draft<'_>,
    ) -> Arc<SessionRecord> {
        let record = self.whole(&before.attributes, draft.into_record());
        self.accessed(record, self.now(), found.device.as_ref())
    }

    async fn finish<R>(
        &self,
        found: &Found,
        since: Instant,
        value: R,
        next: Next,
    ) -> Result<Attempt<R>, SessionError> {
        let cached = &found.cached;
        Ok(match next {
            Next::Invalidate => {
                self.invalidate(cached).await?;
                Attempt::Answered(value, Fate::Ended)
            }
            Next::Commit(verdict, memory) => match verdict.await {
                Ok(Verdict::Committed) => {
                    self.inner.cache.reweigh(cached, memory);
                    Attempt::Answered(value, Fate::Kept)
                }
                verdict => Attempt::after(verdict)?,
            },
            Next::WaitThenLookAgain(verdict) => match verdict.await {
                Ok(Verdict::Committed) => Attempt::Again,
                verdict => Attempt::after(verdict)?,
            },
            Next::Validate { needed: false, .. } => {
                self.touch(found, since).await?;
                Attempt::Answered(value, Fate::Kept)
            }
            Next::Validate { reading, .. } => match self.validate(cached, reading, since).await? {
                Validity::Current => {
                    self.touch(found, since).await?;
                    Attempt::Answered(value, Fate::Kept)
                }
                Validity::Ended => Attempt::Gone(None),
                Validity::Outdated => Attempt::Again,
            },
        })
    }

    /// Whether what a request saw of a session is still what the store has.
    async fn validate(
        &self,
        cached: &Arc<Cached>,
        reading: Reading,
        since: Instant,
    ) -> Result<Validity, SessionError> {
        let patience = self.patience_with_copy(since);
        let outcome = self.read(&cached.key, reading.version, patience).await?;
        let mut state = cached.lock();
        Ok(match outcome {
            ReadOutcome::Current { last_access } => {
                state.confirm(last_access);
                Validity::Current
            }
            // Only commits of this node came in between, and they built on what the request saw:
            // it was current when the first of them was made, after the request began.
            ReadOutcome::Found(record) if state.is_own(&record, reading) => Validity::Current,
            ReadOutcome::Found(record) => {
                state.replace(*record, reading);
                drop(state);
                self.reweigh(cached);
                return Ok(Validity::Outdated);
            }
            ReadOutcome::Missing | ReadOutcome::Unreadable(_) => {
                state.end(None);
                Validity::Ended
            }
        })
    }

    /// Takes over what the store has. False when the session has ended.
    async fn reload(&self, cached: &Arc<Cached>, since: Instant) -> Result<bool, SessionError> {
        let patience = self.inner.shared.patience_since(since);
        let reading = cached.lock().reading();
        let outcome = self.read(&cached.key, None, patience).await?;
        let now = self.inner.shared.clock.now();
        let mut state = cached.lock();
        match outcome {
            ReadOutcome::Found(record) if !record.is_expired(now) => {
                state.replace(*record, reading);
                drop(state);
                self.reweigh(cached);
                Ok(true)
            }
            _ => {
                state.end(None);
                drop(state);
                self.forget(cached);
                Ok(false)
            }
        }
    }

    fn is_trusted(&self, validated_at: Option<Instant>, suffix_is_ours: bool) -> bool {
        let settings = self.settings();
        settings.consistency == Consistency::Sticky
            && suffix_is_ours
            && validated_at.is_some_and(|at| at.elapsed() < settings.sticky_trust)
    }
}

/// How one attempt at a request's work ended.
enum Attempt<R> {
    Again,
    Answered(R, Fate),
    Gone(Option<Arc<Cached>>),
    Stale,
}

impl<R> Attempt<R> {
    /// The attempt after a commit that did not go through.
    fn after(verdict: Result<Verdict, oneshot::error::RecvError>) -> Result<Self, SessionError> {
        match verdict {
            Ok(Verdict::Committed | Verdict::Retry) | Err(_) => Ok(Self::Again),
            Ok(Verdict::Failed(error)) => Err(error.into()),
            Ok(Verdict::Gone) => Ok(Self::Gone(None)),
        }
    }
}

/// What is left to do after a request's work on its draft.
enum Next {
    /// With how much memory the copy takes afterwards.
    Commit(oneshot::Receiver<Verdict>, usize),
    Invalidate,
    Validate {
        reading: Reading,
        needed: bool,
    },
    WaitThenLookAgain(oneshot::Receiver<Verdict>),
}

enum Validity {
    Current,
    Ended,
    Outdated,
}
