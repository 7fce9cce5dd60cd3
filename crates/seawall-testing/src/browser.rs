//! What a browser holds of a session, and what it makes of answers.

use std::time::Duration;

use crate::history::{Action, Token};

/// A browser that visits one application.
#[derive(Debug, Clone, Default)]
pub struct BrowserState {
    /// The session cookie, as it is sent.
    pub cookie: Option<String>,
    /// The session that it stands for.
    pub token: Option<Token>,
    /// A cookie from before a rotation, and when the rotation was acknowledged.
    pub old: Option<(String, Duration)>,
}

impl BrowserState {
    /// What a request for `action` brings, `now`: a cookie, and the session that it stands for. `None`
    /// when there is nothing to probe with.
    #[must_use]
    pub fn present(
        &self,
        action: Action,
        now: Duration,
    ) -> Option<(Option<String>, Option<Token>)> {
        if action != Action::Probe {
            return Some((self.cookie.clone(), self.token));
        }
        let (old, rotated) = self.old.as_ref()?;
        (*rotated < now).then(|| (Some(old.clone()), None))
    }

    /// Takes note of an answer that came `now` to a request that `sent` this cookie: which session
    /// it was about, and its `Set-Cookie` header.
    pub fn keep(
        &mut self,
        now: Duration,
        sent: Option<&str>,
        action: Action,
        got: Option<Token>,
        set_cookie: Option<&str>,
    ) {
        let Some(set_cookie) = set_cookie else { return };
        // A late answer must not put an id back that another answer has replaced.
        if self.cookie.as_deref() != sent {
            return;
        }
        let pair = set_cookie.split(';').next().unwrap_or_default().to_owned();
        let is_deleted = set_cookie.contains("Max-Age=0");
        if action == Action::Rotate && !is_deleted {
            self.old = self.cookie.take().map(|old| (old, now));
        }
        self.cookie = (!is_deleted).then_some(pair);
        self.token = got.filter(|_| !is_deleted);
    }
}
