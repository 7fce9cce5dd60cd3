//! Logs: one line an event, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// A filter that can be used, still as text.
pub(crate) fn parse_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; try error, warn, info or debug")),
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
