//! What this process takes of the machine, and how much it may: proc(5) and cgroups(7).

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Files and sockets of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// How many are open.
    pub open: u64,
    /// How many may be.
    pub limit: u64,
}

/// The memory of this process that is in RAM, in bytes; `None` where the system does not say.
///
/// Source: `VmRSS` in `/proc/self/status`, proc_pid_status(5); its kB are 1,024 bytes.
#[must_use]
pub fn resident_memory() -> Option<u64> {
    memory_of_status(&fs::read_to_string("/proc/self/status").ok()?)
}

fn memory_of_status(status: &str) -> Option<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    kilobytes.checked_mul(1_024)
}

/// How many files and sockets are open, and how many may be. It takes about a microsecond for each.
///
/// Source: proc_pid_fd(5) and proc_pid_limits(5).
#[must_use]
pub fn open_files() -> Option<OpenFiles> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    Some(OpenFiles {
        open: open as u64,
        limit: files_of_limits(&limits)?,
    })
}

/// The soft limit; what has none has a limit of `u64::MAX`.
fn files_of_limits(limits: &str) -> Option<u64> {
    let values = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match values.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    }
}

/// The memory that this process and those of its control group may take, in bytes; `None` without a
/// limit. The smallest limit of the groups around it counts.
///
/// Source: `memory.max` of cgroups version 2, and `memory.limit_in_bytes` of version 1, whose
/// greatest values mean that there is no limit.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (group, file) = memory_group(&groups)?;
    let ancestors = group.ancestors();
    let limits = ancestors.filter_map(|group| limit_of(&group.join(file)));
    limits.min()
}

/// The folder of the group that limits memory, and the file with its limit.
fn memory_group(groups: &str) -> Option<(PathBuf, &'static str)> {
    let mut lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let folder = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    let is_memory = |list: &str| list.split(',').any(|controller| controller == "memory");
    let first = lines
        .clone()
        .find(|(_, controllers, _)| is_memory(controllers));
    if let Some((_, _, path)) = first {
        return Some((
            folder("/sys/fs/cgroup/memory", path),
            "memory.limit_in_bytes",
        ));
    }
    let (_, _, path) = lines.find(|(number, _, _)| *number == "0")?;
    Some((folder("/sys/fs/cgroup", path), "memory.max"))
}

fn limit_of(file: &Path) -> Option<u64> {
    let limit = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    // Version 1 has no word for "none".
    (limit < u64::MAX >> 2).then_some(limit)
}

/// This process in Prometheus' text format; what the system does not say is left out. Names that
/// begin with `process_` are Prometheus' own:
/// <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.
#[must_use]
pub fn process_metrics() -> String {
    let files = open_files();
    let mut text = String::new();
    for (name, help, value) in [
        (
            "process_open_fds",
            "Open files and sockets.",
            files.map(|files| files.open),
        ),
        (
            "process_max_fds",
            "How many files and sockets may be open.",
            files.map(|files| files.limit),
        ),
        (
            "process_resident_memory_bytes",
            "Memory in RAM.",
            resident_memory(),
        ),
        (
            "seawall_memory_limit_bytes",
            "The memory that the process's control group may take.",
            memory_limit(),
        ),
    ] {
        if let Some(value) = value {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "VmHWM:\t 9 kB\nVmRSS:\t   24 kB\n";
        assert_eq!(memory_of_status(status), Some(24_576));
        assert_eq!(memory_of_status("VmRSS:\tmuch\n"), None);
        assert!(resident_memory().is_none_or(|bytes| bytes > 100_000));
    }

    #[test]
    fn open_files_are_counted() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(files_of_limits(limits), Some(1_024));
        assert_eq!(
            files_of_limits("Max open files  unlimited x"),
            Some(u64::MAX)
        );
        assert!(open_files().is_none_or(|files| files.open > 2 && files.open <= files.limit));
    }

    #[test]
    fn the_group_that_limits_memory_is_found_in_both_versions() {
        let group = |groups| memory_group(groups).map(|(path, file)| path.join(file));
        assert_eq!(
            group("0::/system.slice/seawall-node@node1.service\n"),
            Some("/sys/fs/cgroup/system.slice/seawall-node@node1.service/memory.max".into())
        );
        assert_eq!(
            group("5:cpu,memory:/a:b\n0::/\n"),
            Some("/sys/fs/cgroup/memory/a:b/memory.limit_in_bytes".into())
        );
        assert_eq!(group("garbage"), None);
    }
}
