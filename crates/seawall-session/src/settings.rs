//! How an application's sessions behave.

use std::{sync::Arc, time::Duration};

use seawall_store::LIST_LIMIT;

use crate::{
    compartment::SHARED_CONTEXT, cookie::CookieSettings, events::Listeners, limits::SessionLimits,
    principals::PrincipalLimit,
};

/// The longest that an access may stay untold to the store, by default.
const TOUCH_INTERVAL_LIMIT: Duration = Duration::from_secs(60);

/// What a read may trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Every read is validated against the store: a request sees every session write that was
    /// acknowledged before it began, on whichever node (P3).
    #[default]
    Strict,
    /// This node's copy is trusted for up to [`SessionSettings::sticky_trust`] when the cookie
    /// names this node as the last that served. P3 then holds for one client at a time. Writes are
    /// compared all the same, so P2 always holds.
    Sticky,
}

/// What becomes of requests while the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOutage {
    /// They wait for the store's patience, and then get an error.
    #[default]
    Fail,
    /// What only reads a session that this node holds a copy of is answered from the copy at once,
    /// and marked as unverified; P3 and P4 do not hold for it. What needs the store waits for the
    /// patience; once the store has been away for that long, it is refused at once.
    ServeCached,
}

/// How an application's sessions behave. Every process of a cluster has the same, but for `node`.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// This node's name, unique in the cluster: the cookie's suffix. `node1` by default; up to 60
    /// letters, digits, - and _. Two processes of one name may take each other's commits for their own
    /// when a connection breaks.
    pub node: Arc<str>,
    /// The application's context path, `/` for the root.
    pub context_path: Arc<str>,
    /// The virtual host, `0.0.0.0` for any.
    pub virtual_host: Arc<str>,
    /// How long a session may lie unused; `None` or nothing for ever. 30 minutes by default.
    pub idle_timeout: Option<Duration>,
    /// How long a session lasts however much it is used; `None`, the default, for ever.
    pub absolute_timeout: Option<Duration>,
    /// How old an id gets before the session gets a new one by itself; `None`, the default, for any
    /// age. All nodes must have the same.
    pub renewal_timeout: Option<Duration>,
    /// How long a request still finds its session by an id that was renewed. 60 s by default.
    pub renewal_grace: Duration,
    /// How often accesses are told to the store; `None` for a tenth of the idle timeout, at most
    /// 60 s.
    pub touch_interval: Option<Duration>,
    /// What a read may trust.
    pub consistency: Consistency,
    /// How long a copy is trusted under [`Consistency::Sticky`]. An invalidation on another node
    /// is seen after this time at the latest. 1 s by default.
    pub sticky_trust: Duration,
    /// How many sessions this node keeps copies of, at most. 100,000 by default.
    pub cache_capacity: usize,
    /// How many bytes of memory the copies take, at most. Each counts as its part of the capacity
    /// at least, so that one limit does not undo the other. 256 MiB by default.
    pub cache_bytes: usize,
    /// What becomes of requests while the store is away.
    pub on_outage: OnOutage,
    /// How often a request starts over when other nodes write the same session; 1 at least, 1,000 by
    /// default.
    pub attempt_limit: u32,
    /// How many sessions a principal may have; `None`, the default, for any number.
    pub principal_limit: Option<PrincipalLimit>,
    /// Whether the user agent and the address of the client are noted in the session; not by
    /// default. They are written with what is written anyway, and else once per touch interval, when
    /// they change.
    pub device_notes: bool,
    /// Whether the applications of a host share session ids, each with attributes of its own; not by
    /// default. What else a session has, they share: timeouts, principal, end and rotation. The managers
    /// of one node must come from each other ([`SessionManager::application`](crate::SessionManager)).
    pub shared_id: bool,
    /// How much a session may hold; of a shared one: each application's part of it.
    pub limits: SessionLimits,
    /// Who is told what happens to sessions.
    pub listeners: Listeners,
    /// The session cookie.
    pub cookie: CookieSettings,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            node: "node1".into(),
            context_path: "/".into(),
            virtual_host: "0.0.0.0".into(),
            idle_timeout: Some(Duration::from_secs(30 * 60)),
            absolute_timeout: None,
            renewal_timeout: None,
            renewal_grace: Duration::from_secs(60),
            touch_interval: None,
            consistency: Consistency::default(),
            sticky_trust: Duration::from_secs(1),
            cache_capacity: 100_000,
            cache_bytes: 256 << 20,
            on_outage: OnOutage::default(),
            attempt_limit: 1_000,
            principal_limit: None,
            device_notes: false,
            shared_id: false,
            listeners: Listeners::default(),
            limits: SessionLimits::default(),
            cookie: CookieSettings::default(),
        }
    }
}

impl SessionSettings {
    /// How often accesses of a session with this idle timeout are told to the store.
    #[must_use]
    pub fn touch_interval(&self, idle_timeout: Option<Duration>) -> Duration {
        let tenth = idle_timeout.map_or(TOUCH_INTERVAL_LIMIT, |timeout| timeout / 10);
        self.touch_interval
            .unwrap_or(tenth.min(TOUCH_INTERVAL_LIMIT))
    }

    /// The context as it stands in the table: Jetty's file-system form of the context path, in
    /// which control characters, what lies beyond ASCII and `|></&\.:=",*?! ` become `_`.
    #[must_use]
    pub fn stored_context(&self) -> Arc<str> {
        let stored: String = self
            .context_path
            .chars()
            .map(|c| match c {
                c if c.is_control() || c >= '\u{7f}' => '_',
                c if "|></&\\.:=\",*?! ".contains(c) => '_',
                c => c,
            })
            .collect();
        stored.into()
    }

    /// The context that stands in the keys of sessions.
    #[must_use]
    pub fn key_context(&self) -> Arc<str> {
        if self.shared_id {
            SHARED_CONTEXT.into()
        } else {
            self.stored_context()
        }
    }

    /// Checks what would break keys or cookies.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if self.node.is_empty() || self.node.len() > KEY_PART || !self.node.bytes().all(name) {
            return Err(SettingsError::Node(self.node.clone()));
        }
        if !self.context_path.starts_with('/') {
            return Err(SettingsError::ContextPath(self.context_path.clone()));
        }
        for (what, text) in [
            ("context path", &self.context_path),
            ("virtual host", &self.virtual_host),
        ] {
            if text.len() > KEY_PART {
                let text = text.clone();
                return Err(SettingsError::TooLong { what, text });
            }
        }
        for (what, timeout) in [
            ("absolute timeout", self.absolute_timeout),
            ("renewal timeout", self.renewal_timeout),
        ] {
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(SettingsError::NoTime(what));
            }
        }
        if self.attempt_limit == 0 {
            return Err(SettingsError::NoAttempt);
        }
        if let Some(limit) = self.principal_limit {
            limit.validate()?;
        }
        self.cookie.validate()
    }
}

/// The most bytes that the session table takes of a node's name, a context path or a virtual host.
const KEY_PART: usize = 60;

/// What is wrong with settings, for the person who set them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A context path that is none.
    #[error("context path {0:?}: begin it with /")]
    ContextPath(Arc<str>),
    /// A domain that no cookie can have.
    #[error(
        "cookie domain {0:?}: write a host name, such as shop.example; each part of it begins and ends \
         with a letter or digit"
    )]
    CookieDomain(Arc<str>),
    /// A name that no cookie can have.
    #[error("cookie name {0:?}: use letters, digits, - and _")]
    CookieName(Arc<str>),
    /// A path that no cookie can have.
    #[error("cookie path {0:?}: start it with / and leave out ;")]
    CookiePath(Arc<str>),
    /// A cookie that browsers drop without a word.
    #[error("cookie {name:?}: browsers drop it {why}")]
    DroppedCookie {
        /// The cookie's name.
        name: Arc<str>,
        /// When they do, or unless what.
        why: &'static str,
    },
    /// No request could do its work.
    #[error("attempt limit 0: every request must try once")]
    NoAttempt,
    /// A timeout of nothing.
    #[error("{0}: every session would be too old at once")]
    NoTime(&'static str),
    /// A name that no node can have.
    #[error("node name {0:?}: use up to {KEY_PART} letters, digits, - and _")]
    Node(Arc<str>),
    /// Another application is to share ids that are not shared.
    #[error("session ids are not shared: set session.shared_id")]
    NotShared,
    /// A limit that nobody can keep.
    #[error("principal limit {0}: it must be at least 1 and less than {LIST_LIMIT}")]
    PrincipalLimit(usize),
    /// What does not fit into the session table.
    #[error("{what} {text:?}: the session table takes {KEY_PART} bytes")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How it is written.
        text: Arc<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(path: &str) -> SessionSettings {
        SessionSettings {
            context_path: path.into(),
            ..SessionSettings::default()
        }
    }

    #[test]
    fn contexts_are_stored_as_jetty_stores_them() {
        assert_eq!(&*context("/").stored_context(), "_");
        assert_eq!(&*context("/app").stored_context(), "_app");
        assert_eq!(&*context("/a.b/c").stored_context(), "_a_b_c");
    }

    #[test]
    fn accesses_are_told_within_a_tenth_of_the_idle_timeout() {
        let settings = SessionSettings::default();
        assert_eq!(
            settings.touch_interval(Some(Duration::from_secs(100))),
            Duration::from_secs(10)
        );
        assert_eq!(
            settings.touch_interval(settings.idle_timeout),
            Duration::from_secs(60)
        );
        assert_eq!(settings.touch_interval(None), Duration::from_secs(60));
    }

    #[test]
    fn bad_names_are_refused() {
        let node = SessionSettings {
            node: "node.1".into(),
            ..SessionSettings::default()
        };
        assert!(node.validate().unwrap_err().to_string().contains("node.1"));
        for path in ["", "shop", &"/x".repeat(40)] {
            assert!(context(path).validate().is_err(), "{path}");
        }
        assert!(SessionSettings::default().validate().is_ok());
    }

    #[test]
    fn limits_that_let_nothing_through_are_refused() {
        let no_attempt = SessionSettings {
            attempt_limit: 0,
            ..SessionSettings::default()
        };
        assert!(
            no_attempt
                .validate()
                .unwrap_err()
                .to_string()
                .contains("attempt limit")
        );
        for limit in [PrincipalLimit::Refuse(0), PrincipalLimit::EvictOldest(0)] {
            let no_login = SessionSettings {
                principal_limit: Some(limit),
                ..SessionSettings::default()
            };
            assert!(
                no_login
                    .validate()
                    .unwrap_err()
                    .to_string()
                    .contains("principal limit")
            );
        }
    }
}
