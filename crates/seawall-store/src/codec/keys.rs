//! The keys that payloads are encrypted with.

use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// How long a key is, in bytes.
const KEY: usize = 32;

/// The longest id of a key.
const ID_LIMIT: usize = 32;

/// Keys by their id; one of them may be active.
///
/// Payloads are written with the active key, or in clear when there is none, and read with any. So
/// a key is rotated without a stop: give all nodes the new one, then make it active, and remove the
/// old one when no session is left that was written with it. Neither `Debug` nor any error shows a
/// key, and its memory is cleared when the last ring that has it is dropped.
#[derive(Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<Arc<str>, Arc<XChaCha20Poly1305>>,
    active: Option<Arc<str>>,
}

/// What is wrong with a list of keys. It shows ids, and never a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Two keys have the same id.
    #[error("session key {0:?} is there twice; give each key an id of its own")]
    Duplicate(Arc<str>),
    /// An entry has not the form of one.
    #[error(
        "entry {0}: write ID:BASE64, with an id of 1 to {ID_LIMIT} letters, digits, - and _, and a \
         key from `openssl rand -base64 {KEY}`"
    )]
    Entry(usize),
    /// The key has another length than 32 bytes.
    #[error(
        "session key {id:?} has {length} bytes and must have {KEY}; make one with `openssl rand -base64 {KEY}`"
    )]
    Length {
        /// The key's id.
        id: Arc<str>,
        /// How long the key is, in bytes.
        length: usize,
    },
    /// The key that was to be active is not in the ring.
    #[error("there is no session key {id:?}; there {known}")]
    Unknown {
        /// The id that was asked for.
        id: Arc<str>,
        /// Which ids there are, as the end of a sentence.
        known: Arc<str>,
    },
}

/// The key that payloads are written with.
pub(super) struct ActiveKey<'a> {
    pub(super) id: &'a str,
    pub(super) cipher: &'a XChaCha20Poly1305,
}

impl KeyRing {
    /// Reads keys, `ID:BASE64` each with 32 bytes, one a line or between commas. Empty lines and
    /// those that begin with `#` are left out. None of the keys is active yet.
    ///
    /// # Errors
    /// [`KeyError`] says which entry is wrong, counted from one.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut ring = Self::default();
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let entries = text.split(['\n', ',']).map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty() && !entry.starts_with('#'));
        for (index, entry) in entries.enumerate() {
            let malformed = || KeyError::Entry(index + 1);
            let (id, key) = entry.split_once(':').ok_or_else(malformed)?;
            if !is_id(id) {
                return Err(malformed());
            }
            let id: Arc<str> = id.into();
            let key = BASE64_STANDARD
                .decode(key.trim())
                .map_err(|_| malformed())?;
            let key = Zeroizing::new(key);
            let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| KeyError::Length {
                id: id.clone(),
                length: key.len(),
            })?;
            if ring.keys.insert(id.clone(), Arc::new(cipher)).is_some() {
                return Err(KeyError::Duplicate(id));
            }
        }
        Ok(ring)
    }

    /// The same keys, of which the one with this id is active.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] when there is none.
    pub fn with_active(self, id: &str) -> Result<Self, KeyError> {
        let Some((id, _)) = self.keys.get_key_value(id) else {
            let ids: Vec<&str> = self.keys.keys().map(|id| &**id).collect();
            let known = match ids.as_slice() {
                [] => "are none at all".to_owned(),
                ids => format!("is {}", ids.join(", ")),
            };
            return Err(KeyError::Unknown {
                id: id.into(),
                known: known.into(),
            });
        };
        Ok(Self {
            active: Some(id.clone()),
            ..self
        })
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn active(&self) -> Option<ActiveKey<'_>> {
        let id = self.active.as_deref()?;
        let cipher = self.cipher(id)?;
        Some(ActiveKey { id, cipher })
    }

    pub(super) fn cipher(&self, id: &str) -> Option<&XChaCha20Poly1305> {
        self.keys.get(id).map(|cipher| &**cipher)
    }
}

/// Whether this has the form of a key's id.
pub(super) fn is_id(id: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=ID_LIMIT).contains(&id.len()) && id.bytes().all(letter)
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.keys().collect();
        f.debug_struct("KeyRing")
            .field("ids", &ids)
            .field("active", &self.active)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(byte: u8, length: usize) -> String {
        BASE64_STANDARD.encode(vec![byte; length])
    }

    #[test]
    fn keys_are_read_from_lines_and_from_between_commas() {
        let (one, two) = (encoded(1, KEY), encoded(2, KEY));
        for text in [
            format!("# made in May\n2026-05:{one}\r\n\n2026-11: {two}\n"),
            format!("2026-05:{one},2026-11:{two}"),
            format!("\u{feff}2026-05:{one}\r\n2026-11:{two}\r\n"),
        ] {
            let ring = KeyRing::parse(&text).unwrap();
            assert!(ring.active().is_none());
            let ring = ring.with_active("2026-11").unwrap();
            assert_eq!(ring.active().unwrap().id, "2026-11");
            assert!(ring.cipher("2026-05").is_some() && ring.cipher("2026").is_none());
        }
        assert!(KeyRing::parse("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named_and_keys_are_not_shown() {
        let key = encoded(7, KEY);
        for (text, part) in [
            (format!("a:{key}\n{key}"), "entry 2"),
            (format!("a b:{key}"), "entry 1"),
            (format!(":{key}"), "entry 1"),
            (format!("{}:{key}", "x".repeat(33)), "entry 1"),
            (format!("a:{key}?"), "entry 1"),
            (format!("a:{}", encoded(7, 31)), "has 31 bytes"),
            (format!("a:{key}\na:{key}"), "twice"),
        ] {
            let error = KeyRing::parse(&text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(part), "{shown}");
            assert!(!shown.contains(&key[..8]), "{shown}");
        }
        let ring = KeyRing::parse(&format!("a:{key},b:{key}")).unwrap();
        let error = ring.clone().with_active("c").unwrap_err().to_string();
        assert_eq!(error, "there is no session key \"c\"; there is a, b");
        let error = KeyRing::default().with_active("c").unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no session key \"c\"; there are none at all"
        );
        let ring = ring.with_active("a").unwrap();
        assert_eq!(
            format!("{ring:?}"),
            r#"KeyRing { ids: ["a", "b"], active: Some("a") }"#
        );
    }
}
