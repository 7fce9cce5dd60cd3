//! The disk of the data folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use seawall_store::StoreUrl;

use super::{Finding, Level};
use crate::{config::Settings, store_access};

/// A disk of the network may hang.
const LIMIT: Duration = Duration::from_secs(3);

/// In bytes. What counts is what can still be written, not the share: 2 % of a large disk is plenty.
const WARNING: u64 = 1 << 30;
const CRITICAL: u64 = 128 << 20;

/// Below so many files that can still be made, nothing is.
const FILES_CRITICAL: u64 = 64;

pub(crate) async fn check(settings: &Settings) -> Vec<Finding> {
    let Some(folder) = folder(settings) else {
        return Vec::new();
    };
    let shown = folder.display().to_string();
    let space = store_access::on_a_thread(LIMIT, async move || space(&folder)).await;
    vec![match space {
        Ok(space) => judge(&shown, space),
        Err(reason) => Finding::critical("disk", format!("{shown}: {reason}")),
    }]
}

/// Where this machine keeps something: none, when the store is a server and there is no data folder.
pub(crate) fn folder(settings: &Settings) -> Option<PathBuf> {
    if let StoreUrl::Sqlite(file) = &settings.store {
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        return Some(folder.unwrap_or(Path::new(".")).to_owned());
    }
    settings.data.is_dir().then(|| settings.data.clone())
}

#[derive(Debug, Clone, Copy)]
struct Space {
    bytes: u64,
    /// `None` on a file system without a limit.
    files: Option<u64>,
}

fn space(folder: &Path) -> Result<Space, String> {
    let disk = statvfs(folder).map_err(|error| error.desc().to_owned())?;
    Ok(Space {
        bytes: disk.blocks_available().saturating_mul(disk.fragment_size()),
        files: (disk.files() > 0).then(|| disk.files_available()),
    })
}

fn judge(folder: &str, space: Space) -> Finding {
    if let Some(files) = space.files
        && files < FILES_CRITICAL
    {
        let detail = format!("{folder}: only {files} files can still be made; delete some");
        return Finding::critical("disk", detail);
    }
    let level = match space.bytes {
        bytes if bytes < CRITICAL => Level::Critical,
        bytes if bytes < WARNING => Level::Warning,
        _ => Level::Ok,
    };
    let detail = format!("{folder}: {} MB free", space.bytes >> 20);
    Finding::new("disk", level, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_judged_by_what_can_be_written() {
        let level = |megabytes: u64, files| {
            let bytes = megabytes << 20;
            judge("data", Space { bytes, files }).level
        };
        assert_eq!(level(2_000, None), Level::Ok);
        assert_eq!(level(1_000, Some(1_000)), Level::Warning);
        assert_eq!(level(100, Some(1_000)), Level::Critical);
        assert_eq!(level(2_000, Some(3)), Level::Critical);
    }
}
