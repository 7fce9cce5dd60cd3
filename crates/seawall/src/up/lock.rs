//! One `seawall up` to a data folder. Nodes of one name on one store may take each other's commits for
//! their own, and a second cluster in the same folder would have nodes of the same names.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

/// The file in the data folder. It stays when `up` ends: only the lock on it says anything.
const FILE: &str = "up.lock";

/// Holds the folder until it is dropped, or the process ends in whatever way. Children do not inherit
/// it: std opens files with `O_CLOEXEC`.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(super) fn take(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let shown = path.display();
        let failed = |error: io::Error| format!("{shown}: {error}; choose another with --data");
        // Not truncated: it may have the id of the one who holds it.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(folder, holder(&path))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        write_id(&file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// For the one who is refused later. The lock holds without it.
fn write_id(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn taken(folder: &Path, holder: Option<u32>) -> String {
    let process = holder.map_or(String::new(), |id| format!(" (process {id})"));
    format!(
        "another `seawall up`{process} uses the data folder {}; stop it, or give --data another folder",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        // A longer one than any process has, which an earlier one left.
        fs::write(folder.path().join(FILE), "99999999999\n").unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        let id = format!("(process {})", std::process::id());
        assert!(refused.contains(&id), "{refused}");
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_without_the_holders_id_is_refused_all_the_same() {
        assert_eq!(
            taken(Path::new("data"), None),
            "another `seawall up` uses the data folder data; stop it, or give --data another folder"
        );
    }
}
