//! The keys that sessions are encrypted with, from the environment or from a file.

use std::{env, fmt::Display, fs, path::Path};

use seawall_store::KeyRing;
use zeroize::Zeroizing;

use super::{error::ConfigError, raw, secret_file};

/// Keys in the same form as in a file. There is no option of that name: others can see a command
/// line.
const VARIABLE: &str = "SEAWALL_SESSION_KEYS";

/// The keys that the environment has; `None` when it has none.
pub(super) fn environment() -> Result<Option<KeyRing>, ConfigError> {
    let wrong = |reason: String| ConfigError::Given {
        name: VARIABLE,
        reason,
    };
    let text = match env::var(VARIABLE) {
        Ok(text) => Zeroizing::new(text),
        Err(env::VarError::NotPresent) => return Ok(None),
        // The error would show what the variable holds.
        Err(env::VarError::NotUnicode(_)) => return Err(wrong("it is not UTF-8".to_owned())),
    };
    let keys = KeyRing::parse(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(keys).filter(|keys| !keys.is_empty()))
}

/// The keys, those of the environment before those of the file, with the active one if there is one.
pub(super) fn keys(
    path: &Path,
    raw: &raw::Encryption,
    environment: Option<KeyRing>,
) -> Result<KeyRing, ConfigError> {
    let wrong = |key: &str, reason: String| ConfigError::Value {
        path: path.into(),
        key: format!("session.encryption.{key}"),
        reason,
    };
    let keys_file = || {
        let found = secret_file::find(&raw.keys_file);
        found.map_err(|reason| wrong("keys_file", reason))
    };
    let keys = match environment {
        Some(keys) => keys,
        None => match keys_file()? {
            None => KeyRing::default(),
            Some(file) => {
                let bad = |error: &dyn Display| {
                    wrong("keys_file", format!("{}: {error}", file.display()))
                };
                let text = fs::read_to_string(&file).map_err(|error| bad(&error))?;
                KeyRing::parse(&Zeroizing::new(text)).map_err(|error| bad(&error))?
            }
        },
    };
    match raw.active_key.as_str() {
        "" => Ok(keys),
        id => keys.with_active(id).map_err(|error| {
            let reason = format!("{error}; put the key into keys_file or {VARIABLE}");
            wrong("active_key", reason)
        }),
    }
}
