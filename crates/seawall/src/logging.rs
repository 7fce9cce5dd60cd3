//! Logs: one line an event, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::guess::nearest;

/// How much can be logged.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What the targets of our own events begin with.
const OURS: &str = "seawall";

/// A filter that can be used, still as text.
pub(crate) fn parse_filter(text: &str) -> Result<String, String> {
    if let Some(word) = stray_word(text) {
        return Err(no_level(word));
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; write a level such as info, or a filter such as seawall_node=debug"
        )),
    }
}

/// The first word by itself that is neither a level nor a part of Seawall. As a filter it stands for
/// events of that name only: a level that is misspelt would silence everything, errors too.
fn stray_word(text: &str) -> Option<&str> {
    text.split(',').find(|word| {
        let is_level = word.parse::<LevelFilter>().is_ok();
        let is_bare = !word.is_empty() && !word.contains(['=', '[']);
        is_bare && !is_level && !word.starts_with(OURS)
    })
}

fn no_level(word: &str) -> String {
    match nearest(&word.to_ascii_lowercase(), LEVELS) {
        Some(level) => format!("{word:?} is no level; did you mean {level}?"),
        None => format!(
            "{word:?} is no level; write {}, or {word}=debug for a library of that name",
            LEVELS.join(", ")
        ),
    }
}

/// Logs what `filter` lets through from now on.
pub(crate) fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would say on standard error, with a panic, that standard error takes nothing. A log that
        // nobody keeps is no reason to stop serving.
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_would_silence_everything_are_refused() {
        for text in [
            "info",
            "OFF",
            "trace",
            "seawall",
            "seawall_node=debug",
            "warn,seawall_store=trace,hyper=info",
            "3",
            "seawall_node[request{id=1}]=debug",
            "",
        ] {
            assert_eq!(parse_filter(text), Ok(text.to_owned()));
        }
        for (text, told) in [
            ("bogus", "\"bogus\" is no level; write off, error, "),
            ("inof", "did you mean info?"),
            ("info,debgu", "did you mean debug?"),
            ("bogus", "bogus=debug"),
            ("seawall=inof", "trace"),
        ] {
            let error = parse_filter(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
