//! What names a session in the store.

use std::{fmt, sync::Arc};

/// The primary key of a session: its stored id, the application's context and the virtual host.
///
/// The stored id is what stands in the table. In the native format that is a digest of the id in
/// the cookie, so a key may be compared and ordered freely but is still kept out of logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The stored id; at most 120 bytes.
    pub id: Arc<str>,
    /// The application's context as Jetty writes it (`_app` for `/app`); at most 60 bytes.
    pub context: Arc<str>,
    /// The virtual host, `0.0.0.0` when there is none; at most 60 bytes.
    pub virtual_host: Arc<str>,
}

impl SessionKey {
    /// The key of the same session, in the same place, under another id.
    #[must_use]
    pub fn with_id(&self, id: Arc<str>) -> Self {
        Self { id, ..self.clone() }
    }

    /// The key as one text: host, context and id, with a `|` between them.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(crate) fn to_text(&self) -> String {
        let parts = [&self.virtual_host, &self.context, &self.id];
        parts.map(|part| escape(part)).join("|")
    }

    /// The key that a text names; `None` for what [`to_text`](Self::to_text) does not make.
    #[cfg(any(feature = "postgres", feature = "redis"))]
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '|').map(unescape);
        let (virtual_host, context, id) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            id,
            context,
            virtual_host,
        })
    }
}

#[cfg(any(feature = "postgres", feature = "redis"))]
fn escape(part: &str) -> String {
    part.replace('%', "%25").replace('|', "%7C")
}

#[cfg(any(feature = "postgres", feature = "redis"))]
fn unescape(part: &str) -> Arc<str> {
    part.replace("%7C", "|").replace("%25", "%").into()
}

impl fmt::Debug for SessionKey {
    /// Shows the first four characters of the stored id, enough to tell two log lines apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: String = self.id.chars().take(4).collect();
        write!(
            f,
            "SessionKey({head}…, {}, {})",
            self.context, self.virtual_host
        )
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "redis")))]
mod tests {
    use super::*;

    #[test]
    fn texts_name_their_key() {
        for id in ["abc", "a|b", "%7C|%25", ""] {
            let key = SessionKey {
                id: id.into(),
                context: "_app|%".into(),
                virtual_host: "0.0.0.0".into(),
            };
            assert_eq!(SessionKey::from_text(&key.to_text()), Some(key));
        }
        assert_eq!(SessionKey::from_text("just|two"), None);
    }
}
