//! Session ids: what a client holds, and what stands in the table.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// The bytes of an id: 128 random bits from the operating system.
const ID_BYTES: usize = 16;

/// The characters of an id: 16 bytes in URL-safe base64 without padding (RFC 4648, section 5).
const ID_LENGTH: usize = 22;

/// A session id, as it stands in the cookie. Whoever knows it has the session, so it is a secret:
/// its `Debug` form hides it, and it is not `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// A new random id.
    ///
    /// # Panics
    /// When the operating system has no random numbers, which it says once and for all at boot.
    #[must_use]
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(Self::random_bytes()).into())
    }

    /// As much chance as an id has.
    pub(crate) fn random_bytes() -> [u8; ID_BYTES] {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        bytes
    }

    /// The id after this one when it is renewed, made from this one and from random bytes: whoever
    /// knows only one of the two cannot make it.
    pub(crate) fn successor(&self, bytes: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"seawall: the id after ")
            .chain_update(self.0.as_bytes())
            .chain_update(bytes)
            .finalize();
        Self(URL_SAFE_NO_PAD.encode(&digest[..ID_BYTES]).into())
    }

    /// The id that a client sent; `None` when it has not the form of an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == ID_LENGTH
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        well_formed.then(|| Self(text.into()))
    }

    /// The id in clear, for the cookie.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands in the table: the SHA-256 of the id, so that a leaked table opens no session.
    ///
    /// A lookup by digest also takes the same time for a near miss as for any other id.
    #[must_use]
    pub fn stored(&self) -> Arc<str> {
        let mut text = [0; 43];
        let written = URL_SAFE_NO_PAD
            .encode_slice(Sha256::digest(self.0.as_bytes()), &mut text)
            .expect("32 bytes are 43 characters");
        std::str::from_utf8(&text[..written])
            .expect("base64 is ASCII")
            .into()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_parses_and_keeps_clear_of_the_delimiters() {
        for _ in 0..1_000 {
            let id = SessionId::generate();
            assert_eq!(SessionId::parse(id.as_str()), Some(id.clone()));
            assert!(!id.as_str().contains(['.', '~']));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "short",
            "node0abc",
            "aaaaaaaaaaaaaaaaaaaaa.",
            &"a".repeat(8_192),
        ] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_successor_takes_both_the_id_and_the_bytes() {
        let (id, other) = (SessionId::generate(), SessionId::generate());
        let next = id.successor(b"bytes");
        assert_eq!(SessionId::parse(next.as_str()), Some(next.clone()));
        assert_eq!(id.successor(b"bytes"), next);
        assert!(id.successor(b"other") != next && other.successor(b"bytes") != next);
    }

    #[test]
    fn the_id_in_clear_is_neither_stored_nor_shown() {
        let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(&*id.stored(), "ilvbTMFRZBJsbvJmjendJA0pnOY5ekLJWpQRuT0IDtg");
        assert!(!format!("{id:?}").contains("AAAA"));
    }
}
