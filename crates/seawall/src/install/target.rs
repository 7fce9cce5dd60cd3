//! The system that is installed into: its root, its users, its commands.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{InstallError, step::Call};

/// The most of a command's complaint that is repeated.
const COMPLAINT_LINES: usize = 12;

/// The system that is installed into.
#[derive(Debug, Clone)]
pub(super) struct Target {
    root: PathBuf,
    /// Whether it is this system, with its service manager running. If not, only files are written.
    pub(super) is_live: bool,
}

impl Target {
    pub(super) fn new(root: &Path) -> Result<Self, InstallError> {
        let root = root.canonicalize().map_err(|source| InstallError::File {
            path: root.into(),
            source,
        })?;
        let is_live = root == Path::new("/") && Path::new("/run/systemd/system").is_dir();
        Ok(Self { root, is_live })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where an absolute path of the target is.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What stands in a file, if there is one.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, InstallError> {
        let path = self.path(path);
        match fs::read(&path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(InstallError::File { path, source }),
        }
    }

    /// As [`read`](Self::read), for text; what is no text is as good as not there.
    pub(super) fn read_text(&self, path: &str) -> Result<Option<String>, InstallError> {
        let contents = self.read(Path::new(path))?;
        Ok(contents.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Whether a program of that name is installed.
    pub(super) fn has_program(&self, name: &str) -> bool {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .iter()
            .any(|folder| self.path(&Path::new(folder).join(name)).is_file())
    }

    /// The number of a local user.
    pub(super) fn user_id(&self, name: &str) -> Result<Option<u32>, InstallError> {
        self.id("/etc/passwd", name)
    }

    /// The number of a local group.
    pub(super) fn group_id(&self, name: &str) -> Result<Option<u32>, InstallError> {
        self.id("/etc/group", name)
    }

    /// Read from the target's own file: its users are not those of the system that this runs on.
    fn id(&self, file: &str, name: &str) -> Result<Option<u32>, InstallError> {
        if name == "root" {
            return Ok(Some(0));
        }
        let list = self.read_text(file)?.unwrap_or_default();
        let line = list
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.and_then(|line| line.split(':').nth(1)?.parse().ok()))
    }
}

/// Runs a command to its end and gives what it printed.
pub(super) fn run(call: &Call) -> Result<String, InstallError> {
    let failed = |reason: String| InstallError::Command {
        command: call.to_string(),
        reason,
    };
    let [program, arguments @ ..] = call.program.as_slice() else {
        return Ok(String::new());
    };
    let mut child = Command::new(program)
        .args(arguments)
        // Nobody is there to answer a package's questions, and messages are to be understood.
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that fails at once does not read; its own complaint is the better one.
        let _ = stdin.write_all(call.input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = complaint.trim().lines().collect();
    let last = &lines[lines.len().saturating_sub(COMPLAINT_LINES)..];
    Err(failed(format!("{}\n{}", output.status, last.join("\n"))))
}

/// Whether a command succeeds.
pub(super) fn succeeds(program: &[&str]) -> bool {
    run(&Call::new(program)).is_ok()
}
