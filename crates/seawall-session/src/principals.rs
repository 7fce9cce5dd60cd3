//! The sessions of one principal: listing them, ending them, and how many there may be.

use std::sync::Arc;

use seawall_store::{Device, LIST_LIMIT, SessionKey, SessionSummary, notes};

use crate::{
    error::SessionError,
    limits::{LimitExceeded, check_principal},
    manager::SessionManager,
    session::Session,
    settings::SettingsError,
};

/// How many sessions a principal may have (1 at least, less than [`LIST_LIMIT`]), and what happens to
/// one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalLimit {
    /// The sessions that were used least recently end, so that the new one fits.
    EvictOldest(usize),
    /// The new one is refused.
    Refuse(usize),
}

impl PrincipalLimit {
    pub(crate) fn validate(self) -> Result<(), SettingsError> {
        let (Self::EvictOldest(limit) | Self::Refuse(limit)) = self;
        if (1..usize::from(LIST_LIMIT)).contains(&limit) {
            return Ok(());
        }
        Err(SettingsError::PrincipalLimit(limit))
    }
}

impl SessionManager {
    /// The sessions of a principal in the whole cluster, all applications, newest access first; the
    /// first [`LIST_LIMIT`] of them.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn sessions_of(&self, principal: &str) -> Result<Vec<SessionSummary>, SessionError> {
        let now = self.inner.shared.clock.now();
        let store = self.inner.shared.batcher.store();
        Ok(store.list_by_principal(principal, now).await?)
    }

    /// What is known of the devices that use sessions of a list, in its order; nothing where no
    /// device was noted ([`SessionSettings::device_notes`](crate::SessionSettings)). A device was
    /// last seen at the session's last access.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn devices(
        &self,
        sessions: &[SessionSummary],
    ) -> Result<Vec<Option<Device>>, SessionError> {
        let store = self.inner.shared.batcher.store();
        Ok(notes::devices(&**store, sessions).await?)
    }

    /// Ends a session of the list, on every node.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn revoke(&self, session: &SessionSummary) -> Result<(), SessionError> {
        self.revoke_if_there(session).await.map(drop)
    }

    /// Ends a session of the list. False when it had ended already.
    async fn revoke_if_there(&self, session: &SessionSummary) -> Result<bool, SessionError> {
        let cached = self.inner.cache.get(&session.key);
        self.delete(session.deletion(), cached).await
    }

    /// Ends the sessions of a principal, but for `except`; says how many they were.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer; some have ended then.
    pub async fn revoke_all(
        &self,
        principal: &str,
        except: Option<&SessionKey>,
    ) -> Result<usize, SessionError> {
        self.revoke_beside(principal, except, 0).await
    }

    /// Ends the sessions of a principal beside `own`, but for the `kept` that were used last; says
    /// how many they were.
    async fn revoke_beside(
        &self,
        principal: &str,
        own: Option<&SessionKey>,
        kept: usize,
    ) -> Result<usize, SessionError> {
        let mut total = 0;
        // A list holds so many and no more, so there is another one, until it has nothing to end.
        loop {
            let sessions = self.sessions_of(principal).await?;
            let others = sessions.iter().filter(|session| Some(&session.key) != own);
            let mut ended = 0;
            for session in others.skip(kept) {
                ended += usize::from(self.revoke_if_there(session).await?);
            }
            if ended == 0 {
                return Ok(total);
            }
            total += ended;
        }
    }

    /// Whether one more session of the principal, beside `own`, is allowed.
    async fn admit(&self, principal: &str, own: Option<&SessionKey>) -> Result<(), SessionError> {
        let Some(PrincipalLimit::Refuse(limit)) = self.settings().principal_limit else {
            return Ok(());
        };
        let sessions = self.sessions_of(principal).await?;
        let others = sessions.iter().filter(|session| Some(&session.key) != own);
        if others.count() < limit {
            return Ok(());
        }
        Err(LimitExceeded::SessionsOfPrincipal { limit }.into())
    }

    /// Ends what is too much beside `own`.
    async fn evict(&self, principal: &str, own: &SessionKey) -> Result<(), SessionError> {
        let Some(PrincipalLimit::EvictOldest(limit)) = self.settings().principal_limit else {
            return Ok(());
        };
        let kept = limit.saturating_sub(1);
        self.revoke_beside(principal, Some(own), kept)
            .await
            .map(drop)
    }
}

impl Session {
    /// Whose session it is.
    #[must_use]
    pub fn principal(&self) -> Option<Arc<str>> {
        self.lock().view.principal.clone()
    }

    /// Says whose session it is, for example `user:42`. Where somebody has just proved to be that, use
    /// [`log_in`](Self::log_in): this gives no new id, and keeps no limit.
    ///
    /// # Errors
    /// [`SessionError::Limit`] when it is empty, too long, or has a NUL in it.
    pub fn set_principal(&self, principal: Option<Arc<str>>) -> Result<(), SessionError> {
        check_principal(principal.as_deref())?;
        self.lock()
            .change(|changes| changes.set_principal(principal));
        Ok(())
    }

    /// Makes this the session of a principal who has just proved to be that: sets the principal,
    /// gives the session a new id (an attacker may know the old one), and keeps the limit of
    /// sessions for each principal.
    ///
    /// Two logins at the same instant can exceed [`PrincipalLimit::Refuse`] by one.
    ///
    /// # Errors
    /// [`SessionError::Limit`] when the principal has too many sessions already, or is not one;
    /// otherwise as [`rotate_id`](Self::rotate_id).
    pub async fn log_in(&self, principal: impl Into<Arc<str>>) -> Result<(), SessionError> {
        self.check_not_answered()?;
        let principal = principal.into();
        self.manager()
            .admit(&principal, self.key().as_ref())
            .await?;
        self.want_to_be(&principal)?;
        self.save().await?;
        if let Some(own) = self.key() {
            self.manager().evict(&principal, &own).await?;
        }
        Ok(())
    }

    /// Asks for the principal and for a new id at once. The response may have left while the principal
    /// was admitted, or leave now: there is no moment in which one is asked for without the other.
    fn want_to_be(&self, principal: &Arc<str>) -> Result<(), SessionError> {
        check_principal(Some(principal))?;
        let mut inner = self.lock();
        inner.want_new_id()?;
        inner.change(|changes| changes.set_principal(Some(principal.clone())));
        Ok(())
    }

    /// Ends all other sessions of this session's principal: log out everywhere else. Says how many
    /// they were.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn revoke_others(&self) -> Result<usize, SessionError> {
        let Some(principal) = self.principal() else {
            return Ok(0);
        };
        self.manager()
            .revoke_all(&principal, self.key().as_ref())
            .await
    }
}
