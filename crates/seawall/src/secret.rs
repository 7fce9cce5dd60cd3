//! Secrets that nobody chose.

use std::io;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// 256 bits.
const BYTES: usize = 32;

/// A new secret of letters, digits, `-` and `_`, for files, headers and URLs.
pub(crate) fn new() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
