//! What the program says on its standard output and error.
//!
//! Both may be pipes whose readers have left, as `head` does. Nobody reads any more then, which is no
//! reason to break off: `uninstall` must not stop halfway. Other failures, such as a full disk, are
//! told and remembered: a command whose answer is lost has not succeeded.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Whether something could not be written for another reason than that its reader has left.
static IS_LOST: AtomicBool = AtomicBool::new(false);
/// Whether the reader of standard output has left.
static IS_UNREAD: AtomicBool = AtomicBool::new(false);

/// Tells the person at the terminal something that is not a log line.
pub(crate) fn say(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints text as it is.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => IS_UNREAD.store(true, Relaxed),
        Err(error) => {
            if !IS_LOST.swap(true, Relaxed) {
                complain(&format!("seawall: standard output: {error}"));
            }
        }
    }
}

/// Text from outside that must not steer a terminal, or look like another line.
pub(crate) fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).collect()
}

/// Prints a line to standard error, if somebody reads it.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Says why a command failed.
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    complain(&format!("seawall: {error}"));
    ExitCode::FAILURE
}

/// Whether nobody reads standard output any more.
pub(crate) fn is_unread() -> bool {
    IS_UNREAD.load(Relaxed)
}

/// The exit code of a command, or `lost` when its answer could not be written.
pub(crate) fn exit_code(code: ExitCode, lost: ExitCode) -> ExitCode {
    if IS_LOST.load(Relaxed) { lost } else { code }
}
