//! Format 3: a payload that is encrypted, and bound to its session. The layout is in [`super`].

use chacha20poly1305::{XNonce, aead::AeadInOut};

use super::{
    DecodeError,
    keys::{self, ActiveKey, KeyRing},
};
use crate::key::SessionKey;

/// The format byte.
pub(super) const FORMAT: u8 = 3;

const NONCE: usize = 24;
const TAG: usize = 16;

/// The payload, encrypted for the row of `key`.
pub(super) fn seal(with: &ActiveKey<'_>, key: &SessionKey, payload: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).expect("the operating system gives random numbers");
    seal_with_nonce(with, key, payload, nonce)
}

pub(super) fn seal_with_nonce(
    with: &ActiveKey<'_>,
    key: &SessionKey,
    payload: &[u8],
    nonce: [u8; NONCE],
) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(2 + with.id.len() + NONCE + payload.len() + TAG);
    sealed.push(FORMAT);
    sealed.push(u8::try_from(with.id.len()).expect("a key's id is at most 32 bytes"));
    sealed.extend_from_slice(with.id.as_bytes());
    let associated = associated_data(&sealed, key);
    sealed.extend_from_slice(&nonce);
    let start = sealed.len();
    sealed.extend_from_slice(payload);
    let body = &mut sealed[start..];
    let tag = with
        .cipher
        .encrypt_inout_detached(&XNonce::from(nonce), &associated, body.into())
        .expect("a payload is shorter than 256 GiB, the cipher's limit");
    sealed.extend_from_slice(&tag);
    sealed
}

/// The payload that was encrypted for the row of `key`.
///
/// # Errors
/// [`DecodeError`] when the key is missing, or the payload does not open.
pub(super) fn open(
    keys: &KeyRing,
    key: &SessionKey,
    sealed: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let Parts {
        head,
        id,
        nonce,
        body,
        tag,
    } = parts(sealed).ok_or(DecodeError::Damaged(1))?;
    let cipher = keys
        .cipher(id)
        .ok_or_else(|| DecodeError::MissingKey(id.into()))?;
    let mut payload = body.to_vec();
    cipher
        .decrypt_inout_detached(
            &nonce.into(),
            &associated_data(head, key),
            payload.as_mut_slice().into(),
            &tag.into(),
        )
        .map_err(|_| DecodeError::Sealed(id.into()))?;
    Ok(payload)
}

struct Parts<'a> {
    /// What stands before the nonce.
    head: &'a [u8],
    id: &'a str,
    nonce: [u8; NONCE],
    body: &'a [u8],
    tag: [u8; TAG],
}

fn parts(sealed: &[u8]) -> Option<Parts<'_>> {
    let length = usize::from(*sealed.get(1)?);
    let (head, rest) = sealed.split_at_checked(2 + length)?;
    let id = std::str::from_utf8(&head[2..]).ok()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
    let (body, tag) = rest.split_last_chunk::<TAG>()?;
    keys::is_id(id).then_some(Parts {
        head,
        id,
        nonce: *nonce,
        body,
        tag: *tag,
    })
}

/// What the payload is bound to: its head, and the session in whose row it stands.
fn associated_data(head: &[u8], key: &SessionKey) -> Vec<u8> {
    let parts = [&key.id, &key.context, &key.virtual_host];
    let length: usize = parts.iter().map(|part| 4 + part.len()).sum();
    let mut associated = Vec::with_capacity(head.len() + length);
    associated.extend_from_slice(head);
    for part in parts {
        let length = u32::try_from(part.len()).expect("a key has at most 240 bytes");
        associated.extend_from_slice(&length.to_le_bytes());
        associated.extend_from_slice(part.as_bytes());
    }
    associated
}
