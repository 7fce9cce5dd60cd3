//! How full a disk is, asked so that an answer comes even if the disk gives none.
//!
//! A system call on a file system in user space whose server hangs cannot be broken off: even a
//! process that is killed stays until the server answers, and who waits for its end waits with it. So
//! it is stat(1) that asks; if it does not come back it is left behind.

use std::{
    fmt, io,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use seawall_store::StoreUrl;

use crate::store_access;

const LIMIT: Duration = Duration::from_secs(3);

/// What can still be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) bytes: u64,
    /// `None` on a file system without a limit.
    pub(crate) files: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DiskError {
    /// There is no such folder.
    Missing,
    /// It did not answer in time.
    Hangs,
    Other(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such folder"),
            Self::Hangs => write!(f, "the disk gave no answer within {LIMIT:?}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// The folder of a SQLite store's file; `None` for other stores.
pub(crate) fn folder_of(store: &StoreUrl) -> Option<&Path> {
    let StoreUrl::Sqlite(file) = store else {
        return None;
    };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    Some(folder.unwrap_or(Path::new(".")))
}

/// Whether a SQLite store's disk hangs, so that no file on it can be looked at.
pub(crate) async fn hangs(store: &StoreUrl) -> bool {
    match folder_of(store) {
        Some(folder) => space(folder).await == Err(DiskError::Hangs),
        None => false,
    }
}

/// What can still be written in a folder.
pub(crate) async fn space(folder: &Path) -> Result<Space, DiskError> {
    let mut stat = Command::new("stat");
    stat.env("LC_ALL", "C").stdin(Stdio::null());
    // Blocks that users may take, their size in bytes, all files, and those that can still be made.
    stat.args(["-f", "-c", "%a %S %c %d", "--"]).arg(folder);
    let output = store_access::on_a_thread(LIMIT, async move || Ok(stat.output())).await;
    let output = output.map_err(|_| DiskError::Hangs)?;
    let output = output.map_err(|error: io::Error| DiskError::Other(format!("stat: {error}")))?;
    let error = String::from_utf8_lossy(&output.stderr);
    let answer = String::from_utf8_lossy(&output.stdout);
    match parse(&answer).filter(|_| output.status.success()) {
        Some(space) => Ok(space),
        None if error.contains("No such file or directory") => Err(DiskError::Missing),
        None => Err(DiskError::Other(error.trim().to_owned())),
    }
}

fn parse(answer: &str) -> Option<Space> {
    let mut numbers = answer.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (blocks, size, files, free_files) = (next()?, next()?, next()?, next()?);
    Some(Space {
        bytes: blocks.saturating_mul(size),
        files: (files > 0).then_some(free_files),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_what_the_system_says() {
        let folder = tempfile::tempdir().unwrap();
        let space_there = space(folder.path()).await.unwrap();
        let expected = nix::sys::statvfs::statvfs(folder.path()).unwrap();
        let expected = expected.blocks_available() * expected.fragment_size();
        // Others write there meanwhile.
        assert!(space_there.bytes.abs_diff(expected) < 1 << 30, "{expected}");
        let missing = space(&folder.path().join("missing")).await;
        assert_eq!(missing, Err(DiskError::Missing));
    }

    #[test]
    fn a_file_system_may_have_no_limit_on_files() {
        let space = parse("10 4096 0 0\n").unwrap();
        let expected = Space {
            bytes: 40_960,
            files: None,
        };
        assert_eq!(space, expected);
        assert_eq!(parse("10 4096 100 7\n").unwrap().files, Some(7));
        assert_eq!(parse(""), None);
    }
}
