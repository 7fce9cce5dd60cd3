//! Where the servers' programs are, and how they are waited for.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Where distributions put programs.
#[must_use]
pub fn program_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/lib/openssh"].map(PathBuf::from));
    folders.extend(postgres_folders());
    folders
}

/// Where Debian puts the programs of PostgreSQL's versions, newest first.
fn postgres_folders() -> impl Iterator<Item = PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort_by(|a, b| b.cmp(a));
    folders.into_iter()
}

/// The first of `names` that is installed.
///
/// # Panics
/// When none is.
#[must_use]
pub fn find_program(names: &[&str]) -> PathBuf {
    let folders = program_folders();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("{} is not installed; run `cargo xtask setup`", names[0]))
}

/// What a program prints.
///
/// # Panics
/// When it fails.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{command:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until `is_ready`.
///
/// # Panics
/// With `log` when that takes too long.
pub(crate) fn wait_until(is_ready: impl Fn() -> bool, log: impl Fn() -> String) {
    let deadline = Instant::now() + START_LIMIT;
    while !is_ready() {
        assert!(
            Instant::now() < deadline,
            "the server did not start:\n{}",
            log()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a process with SIGKILL and waits for its end.
pub(crate) fn end(server: &mut Option<Child>) {
    if let Some(mut server) = server.take() {
        // An error says that it has ended already.
        let _ = server.kill();
        let _ = server.wait();
    }
}
