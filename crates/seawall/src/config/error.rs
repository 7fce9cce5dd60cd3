//! What is wrong with a configuration, and where.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::guess::nearest;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// An option of the command line, or a variable of the environment, cannot be used.
    #[error("{name}: {reason}")]
    Given { name: &'static str, reason: String },
    /// A key is unknown, a value has another type, or the file is no TOML.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Syntax {
        path: PathBuf,
        /// From one.
        line: usize,
        /// From one.
        column: usize,
        reason: String,
    },
    /// There is no file, and none was named.
    #[error("there is no {}; name the file", .0.join(" and no "))]
    NotFound([&'static str; 2]),
    /// The file cannot be read.
    #[error("{}: {source}; {}", path.display(), advice(source))]
    Unreadable { path: PathBuf, source: io::Error },
    /// A value is of the right type and cannot be used.
    #[error("{}: {key}: {reason}", path.display())]
    Value {
        path: PathBuf,
        key: String,
        reason: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "run this with sudo, or name another file"
    } else {
        "name another file"
    }
}

impl ConfigError {
    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The parser's error, with its place in the text and a guess at what was meant.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let message = error.message().trim_end();
        let reason = match guess(message) {
            Some(guess) => format!("{message}; did you mean `{guess}`?"),
            None => message.to_owned(),
        };
        Self::Syntax {
            path: path.to_owned(),
            line,
            column,
            reason,
        }
    }
}

/// The key that comes nearest to the unknown one; the message names it and all that are known.
fn guess(message: &str) -> Option<&str> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted
        .next()
        .filter(|_| message.starts_with("unknown field"))?;
    nearest(unknown, quoted)
}
