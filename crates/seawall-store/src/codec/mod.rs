//! How attributes become the bytes of the `map` column, the *payload*, and come back.
//!
//! The first byte of a payload is its format. A payload may stand inside another one: what is
//! encrypted is a compressed or a native payload, what is compressed is a native one (format 1 or
//! 4). Readers take all of them, whatever they write themselves, so that compression and encryption
//! can be switched on and off while nodes run. No bytes at all are a session without attributes.
//!
//! Numbers are little-endian. MessagePack: <https://github.com/msgpack/msgpack/blob/master/spec.md>.
//!
//! **Format 1, native**
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the format, 1 |
//! | the rest | a MessagePack map from node to the last version that it wrote (see [`Writers`]), then one from attribute name to a *bin* that holds the value, itself MessagePack |
//!
//! Each value stands in its own bin, so one that cannot be read is kept as [`Value::Opaque`](crate::Value::Opaque) and the
//! others are unharmed (P7). A value is nil, a boolean, an integer of 63 bits and a sign, a float,
//! text, bytes, an array, or a map from texts; nothing else, and nested no deeper than
//! [`NESTING_LIMIT`](crate::value::NESTING_LIMIT). Names occur once.
//!
//! **Format 2, compressed**
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the format, 2 |
//! | 4 | how long the native payload is; 16 MiB ([`EXPANDED_LIMIT`]) at most |
//! | the rest | the native payload as Zstandard frames, [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878) |
//!
//! **Format 3, encrypted**
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the format, 3 |
//! | 1 | how long the key's id is: 1 to 32 |
//! | 1 to 32 | the key's id, in ASCII |
//! | 24 | the nonce, random |
//! | the rest but 16 | a payload of format 1, 2 or 4, encrypted with XChaCha20-Poly1305, [draft-irtf-cfrg-xchacha-03](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03) |
//! | 16 | the tag |
//!
//! The associated data are the bytes before the nonce, and then the stored session id, the context
//! and the virtual host, each after its length in 4 bytes. So a payload that was copied into the row
//! of another session does not open. The nonce is 24 bytes long because that many can be drawn at
//! random for ever; the 12 bytes of AES-GCM are good for 2³² commits with one key, which a busy
//! cluster makes in days.
//!
//! **Format 4, native with notes**
//!
//! As format 1, and after the attributes a map of what Seawall itself keeps in the session, built like
//! theirs (see `notes.rs`). A session without notes is written in format 1.

mod compression;
mod encryption;
mod keys;
mod native;
#[cfg(test)]
mod tests;
mod unreadable;
mod value;

use std::{fmt, sync::Arc};

#[cfg(any(feature = "server", feature = "sqlite"))]
use crate::nonsense;
use crate::{
    key::SessionKey,
    record::{Attributes, SessionRecord, Writers},
};
pub use compression::EXPANDED_LIMIT;
pub use keys::{KeyError, KeyRing};
use unreadable::Unreadable;
pub use unreadable::UnreadableCounts;

/// Why the payload of a session could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early or hold something else than they say.
    #[error("damaged payload at byte {0}")]
    Damaged(usize),
    /// The first byte names a format that this version does not know.
    #[error("unknown payload format {0}; a newer version may have written it")]
    Format(u8),
    /// It is encrypted with a key that this program does not have.
    #[error("encrypted with key {0:?}, which is not among the session keys; add it to them")]
    MissingKey(Arc<str>),
    /// It does not decrypt.
    #[error(
        "does not open with key {0:?}: it is damaged, was copied from another session, or was \
         encrypted with another key of that id"
    )]
    Sealed(Arc<str>),
    /// It would be larger than the limit once it is decompressed.
    #[error("the compressed payload says that it holds {0} bytes, more than {EXPANDED_LIMIT}")]
    TooLarge(usize),
}

/// What a payload holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// What other nodes than the last one wrote before.
    pub writers: Writers,
    /// What the application keeps in the session.
    pub attributes: Attributes,
    /// What Seawall itself keeps in it.
    pub notes: Attributes,
}

/// Writes and reads payloads, and counts what it cannot read. Cheap to clone; clones count together.
///
/// The default one neither compresses nor encrypts.
#[derive(Clone, Default)]
pub struct Codec {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    compress_above: Option<usize>,
    keys: KeyRing,
    unreadable: Unreadable,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("compress_above", &self.inner.compress_above)
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}

impl Codec {
    /// A codec that compresses payloads of more than `compress_above` bytes (`None`: none) where
    /// that makes them smaller, encrypts with the active key of `keys` if there is one, and decrypts
    /// with any of them.
    #[must_use]
    pub fn new(compress_above: Option<usize>, keys: KeyRing) -> Self {
        let inner = Inner {
            compress_above,
            keys,
            unreadable: Unreadable::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The payload of a session that is to be stored as `key`. After a rename that is the new key.
    ///
    /// # Panics
    /// When it encrypts and the operating system has no random numbers, which it says once and for
    /// all at boot.
    #[must_use]
    pub fn encode(&self, key: &SessionKey, record: &SessionRecord) -> Vec<u8> {
        let mut payload = native::encode(record);
        if self
            .inner
            .compress_above
            .is_some_and(|above| payload.len() > above)
            && let Some(compressed) = compression::compress(&payload)
        {
            payload = compressed;
        }
        match self.inner.keys.active() {
            Some(with) => encryption::seal(&with, key, &payload),
            None => payload,
        }
    }

    /// What the payload in the row of `key` holds.
    ///
    /// # Errors
    /// [`DecodeError`] when it cannot be read as a whole. A *value* that cannot be read is no error:
    /// it becomes [`Value::Opaque`](crate::Value::Opaque). Both are counted, and logged when they are first met.
    pub fn decode(&self, key: &SessionKey, payload: &[u8]) -> Result<Contents, DecodeError> {
        let opened = self.open(key, payload);
        match &opened {
            Ok(contents) => {
                for (name, value) in &contents.attributes {
                    if !value.is_readable() {
                        self.inner.unreadable.attribute(name);
                    }
                }
            }
            Err(error) => self.inner.unreadable.session(error),
        }
        opened
    }

    fn open(&self, key: &SessionKey, payload: &[u8]) -> Result<Contents, DecodeError> {
        match payload.first() {
            Some(&encryption::FORMAT) => expand(&encryption::open(&self.inner.keys, key, payload)?),
            _ => expand(payload),
        }
    }

    /// Takes note of a row that cannot be read for another reason than its payload; gives that.
    #[cfg(any(feature = "server", feature = "sqlite"))]
    pub(crate) fn unreadable_row(&self, reason: &str) -> Arc<str> {
        self.inner.unreadable.row(reason);
        reason.into()
    }

    /// The record that a row holds.
    ///
    /// # Errors
    /// Which column makes no sense.
    #[cfg(any(feature = "server", feature = "sqlite"))]
    pub(crate) fn check(&self, record: SessionRecord) -> Result<SessionRecord, Arc<str>> {
        match nonsense::of(&record) {
            Some(reason) => Err(self.unreadable_row(reason)),
            None => Ok(record),
        }
    }

    /// How often something could not be read since this codec was made.
    #[must_use]
    pub fn unreadable(&self) -> UnreadableCounts {
        self.inner.unreadable.counts()
    }
}

fn expand(payload: &[u8]) -> Result<Contents, DecodeError> {
    match payload.first() {
        Some(&compression::FORMAT) => native::decode(&compression::expand(payload)?),
        _ => native::decode(payload),
    }
}
