//! The system that is installed into: its root, its users, its commands.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use super::{InstallError, step::Call};
use crate::cli::say;

/// The most of a command's complaint that is repeated.
const COMPLAINT_LINES: usize = 12;

/// What `install` and `uninstall` of this system hold, until it ends.
const LOCK: &str = "/run/seawall-install.lock";

/// Where programs are.
const PROGRAM_FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What leads psql to another server than this machine's.
const POSTGRES_VARIABLES: [&str; 11] = [
    "PGCLUSTER",
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGUSER",
];

/// How many links a path may lead over, as for the kernel.
const LINKS: usize = 40;

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

    /// Waits until no other `install` or `uninstall` changes this system, and keeps them waiting
    /// until the file is closed, or this process ends.
    pub(super) fn lock(&self) -> Result<File, InstallError> {
        let (path, file) = match self.is_live {
            // Everybody may open the root, and hold it.
            true => (LOCK.into(), lock_file(Path::new(LOCK))),
            false => (self.root.clone(), File::open(&self.root)),
        };
        let failed = |source| InstallError::File {
            path: path.clone(),
            source,
        };
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                say("another install or uninstall is at work here; waiting for its end");
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Where an absolute path of the target is. Links on the way to it lead to within the root,
    /// whatever they say; what stands at the path itself may be a link.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.followed(parent).join(name),
            _ => self.root.clone(),
        }
    }

    /// As [`path`](Self::path), where a link at the path itself leads.
    pub(super) fn followed(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            return path.to_owned();
        }
        let mut found = PathBuf::new();
        let mut left = names(path);
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                found.pop();
                continue;
            }
            found.push(&name);
            let Ok(aim) = fs::read_link(self.root.join(&found)) else {
                continue;
            };
            links += 1;
            if links > LINKS {
                // Nothing is there, as nothing is at the end of a circle.
                return self.root.join("too many links").join(name);
            }
            match aim.is_absolute() {
                true => found = PathBuf::new(),
                false => _ = found.pop(),
            }
            left.extend(names(&aim));
        }
        self.root.join(found)
    }

    /// What stands in a file, if there is one.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, InstallError> {
        let path = self.followed(path);
        match fs::read(&path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if is_nowhere(&error) => Ok(None),
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
            .any(|folder| self.followed(&Path::new(folder).join(name)).is_file())
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
        let fields = self.account(file, name)?;
        Ok(fields.and_then(|fields| fields.get(1)?.parse().ok()))
    }

    /// What stands of a user or group in such a file, without its name.
    pub(super) fn account(
        &self,
        file: &str,
        name: &str,
    ) -> Result<Option<Vec<String>>, InstallError> {
        let list = self.read_text(file)?.unwrap_or_default();
        let line = list
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.map(|line| line.split(':').map(str::to_owned).collect()))
    }

    /// The numbers of the groups that a user is in.
    pub(super) fn groups_of(&self, name: &str) -> Result<Vec<u32>, InstallError> {
        let user = self.account("/etc/passwd", name)?;
        let own = user.and_then(|fields| fields.get(2)?.parse().ok());
        let list = self.read_text("/etc/group")?.unwrap_or_default();
        let others = list.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            is_member.then(|| fields.get(2)?.parse().ok())?
        });
        Ok(others.chain(own).collect())
    }
}

/// A file that root alone can open.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(path)
}

/// Whether nothing is there, be it that a file is where a folder should be on the way.
pub(super) fn is_nowhere(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    [NotADirectory, NotFound].contains(&error.kind())
}

/// The names that a path is made of, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names
        .rev()
        .map(|part| part.as_os_str().to_owned())
        .collect()
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
    let mut command = Command::new(program);
    for variable in POSTGRES_VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command
        .args(arguments)
        // Nobody is there to answer a package's questions, and messages are to be understood.
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        // Who is root by way of `su` has no folder of the administrator's programs on the path.
        .env("PATH", PROGRAM_FOLDERS)
        .env("PGCONNECT_TIMEOUT", "10")
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_a_target_do_not_lead_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(folder.path()).unwrap();
        let root = target.root().to_owned();
        fs::create_dir_all(root.join("srv/etc")).unwrap();
        symlink("/srv/etc", root.join("etc")).unwrap();
        symlink("../../../../srv", root.join("up")).unwrap();
        symlink("/round", root.join("round")).unwrap();
        symlink("/etc/passwd", root.join("srv/etc/link")).unwrap();
        let path = |path: &str| target.path(Path::new(path));
        assert_eq!(path("/etc/seawall/x"), root.join("srv/etc/seawall/x"));
        assert_eq!(path("/up/etc/x"), root.join("srv/etc/x"));
        assert_eq!(path("/etc/link"), root.join("srv/etc/link"));
        assert_eq!(
            target.followed(Path::new("/etc/link")),
            root.join("srv/etc/passwd")
        );
        assert!(path("/round/x").starts_with(&root) && !path("/round/x").exists());
        assert_eq!(path("/"), root);
    }

    #[test]
    fn two_do_not_change_a_system_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(folder.path()).unwrap();
        let held = target.lock().unwrap();
        let other = File::open(folder.path()).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
    }
}
