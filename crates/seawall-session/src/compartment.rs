//! One session for all applications of a host, with contents of their own.
//!
//! Where applications share a session's id they share its record: one row, under a context that no
//! application has. Each sees those attributes only whose names begin with its own context, and
//! sees them without that. So there is nothing to keep together: the session ends, expires and
//! rotates for all of them in the one commit that does it for any, and an application's first write
//! compares the version of the same row that a logout in another one deletes (P4).

use std::sync::Arc;

use seawall_store::{Attributes, SessionKey, SessionRecord};

/// The context of shared sessions. Jetty's form of a context path has no `*` in it.
pub(crate) const SHARED_CONTEXT: &str = "*";

/// What stands between an application's context and an attribute's name. Jetty's form of a context
/// path has no slash in it.
const SEPARATOR: char = '/';

/// The part of shared sessions that is one application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compartment {
    prefix: Arc<str>,
}

impl Compartment {
    /// The part of the application with this context, as it is stored.
    pub(crate) fn new(stored_context: &str) -> Self {
        Self {
            prefix: format!("{stored_context}{SEPARATOR}").into(),
        }
    }

    /// The session as the application sees it.
    pub(crate) fn part(&self, whole: &SessionRecord) -> Arc<SessionRecord> {
        let from_here = whole.attributes.range(self.prefix.clone()..);
        let own = from_here.map_while(|(name, value)| {
            let name = name.strip_prefix(&*self.prefix)?;
            Some((Arc::from(name), value.clone()))
        });
        Arc::new(SessionRecord {
            attributes: own.collect(),
            ..whole.clone()
        })
    }

    /// The session, whose attributes were these before, with what the application made of its part.
    pub(crate) fn whole(
        &self,
        before: &Attributes,
        part: Arc<SessionRecord>,
    ) -> Arc<SessionRecord> {
        let part = Arc::unwrap_or_clone(part);
        let others = before.iter();
        let others = others.filter(|(name, _)| !name.starts_with(&*self.prefix));
        let mut attributes: Attributes = others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        attributes.extend(part.attributes.into_iter().map(|(name, value)| {
            let name = format!("{}{name}", self.prefix);
            (Arc::from(name), value)
        }));
        Arc::new(SessionRecord { attributes, ..part })
    }
}

/// The application's key, and its own name, of an attribute of a shared session.
pub(crate) fn of_application(session: &SessionKey, name: &str) -> Option<(SessionKey, Arc<str>)> {
    if &*session.context != SHARED_CONTEXT {
        return None;
    }
    let (context, name) = name.split_once(SEPARATOR)?;
    let key = SessionKey {
        context: context.into(),
        ..session.clone()
    };
    Some((key, name.into()))
}
