//! The disk of the data folder.

use std::path::{Path, PathBuf};

use super::{Finding, Level};
use crate::{
    config::Settings,
    disk::{self, DiskError, Space},
};

/// In bytes. What counts is what can still be written, not the share: 2 % of a large disk is plenty.
const WARNING: u64 = 1 << 30;
const CRITICAL: u64 = 128 << 20;

/// Below so many files that can still be made, nothing is.
const FILES_CRITICAL: u64 = 64;

/// The folder where this machine keeps something, and what its disk says.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
    pub(crate) space: Result<Space, DiskError>,
}

impl Disk {
    /// Asks it; `None` where this machine keeps nothing: without nodes, and with a server as store there
    /// need not be a data folder.
    pub(crate) async fn look_at(settings: &Settings) -> Option<Self> {
        if settings.nodes.is_empty() {
            return None;
        }
        let kept = disk::folder_of(&settings.store);
        let folder = kept.unwrap_or(&settings.data);
        match disk::space(folder).await {
            Err(DiskError::Missing) if kept.is_none() => None,
            space => Some(Self {
                folder: folder.to_owned(),
                space,
            }),
        }
    }

    pub(crate) fn finding(&self) -> Finding {
        match &self.space {
            Ok(space) => judge(&self.folder, *space),
            Err(error) => {
                let detail = format!("{}: {error}", self.folder.display());
                Finding::critical("disk", detail)
            }
        }
    }
}

pub(crate) async fn check(settings: &Settings) -> Vec<Finding> {
    let disk = Disk::look_at(settings).await;
    disk.iter().map(Disk::finding).collect()
}

fn judge(folder: &Path, space: Space) -> Finding {
    let folder = folder.display();
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
            judge(Path::new("data"), Space { bytes, files }).level
        };
        assert_eq!(level(2_000, None), Level::Ok);
        assert_eq!(level(1_000, Some(1_000)), Level::Warning);
        assert_eq!(level(100, Some(1_000)), Level::Critical);
        assert_eq!(level(2_000, Some(3)), Level::Critical);
    }
}
