//! Format 2: a native payload, compressed with Zstandard. The layout is in [`super`].

use std::{cell::RefCell, io};

use zstd::bulk::{Compressor, Decompressor};

use super::DecodeError;

/// The format byte.
pub(super) const FORMAT: u8 = 2;

/// The most that a compressed payload may hold, in bytes, so that a few bytes in a row cannot fill
/// the memory of a node. A part of the format: larger payloads are written uncompressed.
pub const EXPANDED_LIMIT: usize = 16 << 20;

/// The quickest level. Session payloads are small and written often.
const LEVEL: i32 = 1;

/// The format byte and the length.
const HEAD: usize = 5;

thread_local! {
    // Making a context takes three times as long as compressing a small session with it.
    static COMPRESSOR: RefCell<io::Result<Compressor<'static>>> =
        RefCell::new(Compressor::new(LEVEL));
    static DECOMPRESSOR: RefCell<io::Result<Decompressor<'static>>> =
        RefCell::new(Decompressor::new());
}

/// The payload, compressed; `None` when that does not make it smaller.
pub(super) fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() > EXPANDED_LIMIT {
        return None;
    }
    let length = u32::try_from(payload.len()).ok()?;
    let frame = COMPRESSOR
        .with_borrow_mut(|compressor| compressor.as_mut().ok()?.compress(payload).ok())?;
    if HEAD + frame.len() >= payload.len() {
        return None;
    }
    let mut compressed = Vec::with_capacity(HEAD + frame.len());
    compressed.push(FORMAT);
    compressed.extend_from_slice(&length.to_le_bytes());
    compressed.extend_from_slice(&frame);
    Some(compressed)
}

/// The payload that was compressed.
///
/// # Errors
/// [`DecodeError`] when it is damaged, or larger than the limit.
pub(super) fn expand(compressed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let damaged = || DecodeError::Damaged(compressed.len().min(HEAD));
    let (head, frame) = compressed.split_at_checked(HEAD).ok_or_else(damaged)?;
    let length: [u8; 4] = head[1..].try_into().expect("the head is five bytes");
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > EXPANDED_LIMIT {
        return Err(DecodeError::TooLarge(length));
    }
    // Never makes more than `length` bytes, whatever the frames say.
    let payload = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = decompressor.as_mut().ok()?;
        decompressor.decompress(frame, length).ok()
    });
    payload
        .filter(|payload| payload.len() == length)
        .ok_or_else(damaged)
}
