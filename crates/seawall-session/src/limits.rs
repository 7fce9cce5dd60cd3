//! How much a session may hold. Checked when something is set, so that the error names it.

use std::sync::Arc;

use seawall_store::{Attributes, Value, value::NESTING_LIMIT};

/// How much a session may hold. Sizes are in bytes, as the store keeps them. The numbers below are
/// the defaults.
///
/// Two requests that add to a session at the same time can exceed the limit of the whole session
/// by what one of them added: neither sees the other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// The most attributes; 1,000.
    pub attributes: usize,
    /// The longest name of an attribute; 255.
    pub name: usize,
    /// The largest value of an attribute; 1 MiB.
    pub value: usize,
    /// The largest session: all names and values together; 4 MiB.
    pub session: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            attributes: 1_000,
            name: 255,
            value: 1 << 20,
            session: 4 << 20,
        }
    }
}

/// A limit of [`SessionLimits`] that a change would exceed; the session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// One attribute too many.
    #[error(
        "session attribute {name:?}: the session has {limit} attributes already; remove some, or \
         raise session.limits.attributes"
    )]
    Attributes {
        /// The attribute that was to be set.
        name: Arc<str>,
        /// The most attributes.
        limit: usize,
    },
    /// A name that is too long.
    #[error(
        "session attribute {name:?}…: the name has {length} bytes, more than {limit}; shorten it, \
         or raise session.limits.name"
    )]
    Name {
        /// The beginning of the name.
        name: Arc<str>,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A value that no node could read back.
    #[error(
        "session attribute {name:?}: the value is nested more than {NESTING_LIMIT} levels deep; \
         make it flatter"
    )]
    Nesting {
        /// The attribute that was to be set.
        name: Arc<str>,
    },
    /// A principal that cannot be stored.
    #[error("the principal must have 1 to {PRINCIPAL_LIMIT} bytes and no NUL")]
    Principal,
    /// A principal with too many sessions.
    #[error("there are {limit} sessions of this principal already; end one of them first")]
    SessionsOfPrincipal {
        /// How many there may be.
        limit: usize,
    },
    /// A session that would be too large.
    #[error(
        "session attribute {name:?}: the session would take {size} bytes, more than {limit}; keep \
         less in it, or raise session.limits.session"
    )]
    Session {
        /// The attribute that was to be set.
        name: Arc<str>,
        /// How large the session would be.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A value that is too large.
    #[error(
        "session attribute {name:?}: the value takes {size} bytes, more than {limit}; keep less in \
         it, or raise session.limits.value"
    )]
    Value {
        /// The attribute that was to be set.
        name: Arc<str>,
        /// How large the value is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
}

/// The longest principal, in bytes: every store can index so much.
const PRINCIPAL_LIMIT: usize = 255;

/// How much of a name that is too long is shown, in characters.
const SHOWN: usize = 40;

impl SessionLimits {
    /// Whether `attributes` may have `name` set to `value`.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub fn check(
        &self,
        attributes: &Attributes,
        name: &str,
        value: &Value,
    ) -> Result<(), LimitExceeded> {
        if name.len() > self.name {
            return Err(LimitExceeded::Name {
                name: name.chars().take(SHOWN).collect::<String>().into(),
                length: name.len(),
                limit: self.name,
            });
        }
        let others = || attributes.iter().filter(|(other, _)| ***other != *name);
        if others().count() >= self.attributes {
            return Err(LimitExceeded::Attributes {
                name: name.into(),
                limit: self.attributes,
            });
        }
        if !value.nests_within_limit() {
            return Err(LimitExceeded::Nesting { name: name.into() });
        }
        let size = value.size();
        if size > self.value {
            return Err(LimitExceeded::Value {
                name: name.into(),
                size,
                limit: self.value,
            });
        }
        let rest: usize = others()
            .map(|(name, value)| name.len() + value.size())
            .sum();
        let size = rest + name.len() + size;
        if size > self.session {
            return Err(LimitExceeded::Session {
                name: name.into(),
                size,
                limit: self.session,
            });
        }
        Ok(())
    }
}

/// Whether every store can keep the principal.
///
/// # Errors
/// [`LimitExceeded::Principal`].
pub(crate) fn check_principal(principal: Option<&str>) -> Result<(), LimitExceeded> {
    let fits = |name: &str| (1..=PRINCIPAL_LIMIT).contains(&name.len()) && !name.contains('\0');
    if principal.is_none_or(fits) {
        Ok(())
    } else {
        Err(LimitExceeded::Principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SessionLimits = SessionLimits {
        attributes: 2,
        name: 5,
        value: 20,
        session: 30,
    };

    #[test]
    fn each_limit_is_named() {
        let attributes = Attributes::from([("one".into(), "12345678".into())]);
        let check = |name: &str, text: &str| LIMITS.check(&attributes, name, &text.into());
        assert_eq!(check("two", "1"), Ok(()));
        assert!(matches!(
            check("longer", "1"),
            Err(LimitExceeded::Name { length: 6, .. })
        ));
        assert!(matches!(
            check("two", &"x".repeat(20)),
            Err(LimitExceeded::Value { .. })
        ));
        assert!(matches!(
            check("two", "123456789"),
            Err(LimitExceeded::Session { .. })
        ));
        assert_eq!(
            check("one", "1234567890123"),
            Ok(()),
            "it replaces what is there"
        );
        let full = Attributes::from(["a", "b"].map(|name| (name.into(), Value::Null)));
        let third = LIMITS.check(&full, "c", &Value::Null);
        assert!(matches!(
            third,
            Err(LimitExceeded::Attributes { limit: 2, .. })
        ));
        assert_eq!(LIMITS.check(&full, "a", &Value::Null), Ok(()));
        let deep = (0..=NESTING_LIMIT).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        let limits = SessionLimits::default();
        assert!(matches!(
            limits.check(&attributes, "deep", &deep),
            Err(LimitExceeded::Nesting { .. })
        ));
    }

    #[test]
    fn principals_fit_every_store() {
        assert_eq!(check_principal(None), Ok(()));
        assert_eq!(check_principal(Some("user:42")), Ok(()));
        for bad in ["", "a\0b", &"x".repeat(256)] {
            assert_eq!(check_principal(Some(bad)), Err(LimitExceeded::Principal));
        }
    }
}
