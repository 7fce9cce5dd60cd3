//! The machine: its disk, and what its processes may take.

use seawall_store::StoreUrl;

use super::{case::Case, diagnosis::Diagnosis, facts::ProcessMetrics};
use crate::{config::Settings, disk::DiskError, health::disk::Disk, install, mounts};

/// Of what is allowed, so much may be taken.
const TAKEN_PERCENT: u64 = 80;

/// What a node takes beside its cache of sessions, in bytes.
const BESIDE_THE_CACHE: u64 = 64 << 20;

/// File systems without memory that machines share, as mount(8) calls them.
const NETWORK_FILE_SYSTEMS: [&str; 14] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
];

pub(super) async fn examine(settings: &Settings) -> Vec<Diagnosis> {
    let disk = bad_disk(settings).await;
    let network_disk = match &disk {
        // No file on it can be looked at.
        Some(disk) if disk.case == Case::DiskHangs => None,
        _ => network_disk(settings),
    };
    let found = [disk, network_disk, firewall_rules()];
    found.into_iter().flatten().collect()
}

fn firewall_rules() -> Option<Diagnosis> {
    let missing = install::missing_firewall_rules()?;
    let seen = format!("{missing} of Seawall's rules are not loaded into nftables");
    Some(Diagnosis::new(Case::FirewallRulesMissing, seen))
}

async fn bad_disk(settings: &Settings) -> Option<Diagnosis> {
    let disk = Disk::look_at(settings).await?;
    let finding = disk.finding();
    let case = match disk.space {
        Ok(_) => Case::DiskFull,
        Err(DiskError::Hangs) => Case::DiskHangs,
        // A folder that is not there, or not to be seen, says nothing of its disk.
        Err(DiskError::Missing | DiskError::Other(_)) => return None,
    };
    let folder = disk.folder.display().to_string();
    finding
        .is_bad()
        .then(|| Diagnosis::new(case, finding.detail).with("FOLDER", folder))
}

fn network_disk(settings: &Settings) -> Option<Diagnosis> {
    let StoreUrl::Sqlite(file) = &settings.store else {
        return None;
    };
    if settings.nodes.is_empty() {
        return None;
    }
    // What cannot be told is no network disk; a file that is not there has its own diagnosis.
    let kind = mounts::file_system(file)?;
    let seen = format!("{} is on a file system of the kind {kind}", file.display());
    NETWORK_FILE_SYSTEMS
        .contains(&&*kind)
        .then(|| Diagnosis::new(Case::SqliteOnNetworkDisk, seen))
}

/// Whether a process has files left to open.
pub(super) fn files(name: &str, metrics: &ProcessMetrics) -> Option<Diagnosis> {
    let (open, limit) = (metrics.open_files?, metrics.files_limit?);
    let seen = format!("{name} has {open} files and sockets open, and may have {limit}");
    is_nearly(open, limit).then(|| Diagnosis::new(Case::FilesLimit, seen))
}

/// Whether a process has memory left, also once its cache is full.
pub(super) fn memory(name: &str, metrics: &ProcessMetrics, cache: u64) -> Option<Diagnosis> {
    let (taken, limit) = (metrics.memory?, metrics.memory_limit?);
    let megabytes = |bytes: u64| bytes >> 20;
    let (taken_mb, limit_mb, cache_mb) = (megabytes(taken), megabytes(limit), megabytes(cache));
    let seen = if is_nearly(taken, limit) {
        format!("{name} takes {taken_mb} of {limit_mb} MB")
    } else if cache > 0 && cache.saturating_add(BESIDE_THE_CACHE) > limit {
        format!("{name} may take {limit_mb} MB, and its cache alone {cache_mb} MB")
    } else {
        return None;
    };
    Some(Diagnosis::new(Case::MemoryLimit, seen))
}

fn is_nearly(taken: u64, limit: u64) -> bool {
    taken.saturating_mul(100) >= limit.saturating_mul(TAKEN_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_judged_by_what_is_taken_and_by_what_the_cache_may_take() {
        let found = |memory: u64, limit: u64, cache: u64| {
            let metrics = ProcessMetrics {
                memory: Some(memory << 20),
                memory_limit: Some(limit << 20),
                ..ProcessMetrics::default()
            };
            super::memory("node1", &metrics, cache << 20).is_some()
        };
        assert!(!found(100, 512, 256));
        assert!(found(410, 512, 256), "four fifths are taken");
        assert!(found(20, 300, 256), "the cache may grow");
        assert!(!found(20, 60, 0), "a balancer has none");
    }
}
