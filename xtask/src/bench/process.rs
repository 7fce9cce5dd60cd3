//! Processes that a benchmark starts, what they use, and their end.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// A process that ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let shown = format!("{command:?}");
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{shown} did not start"))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = signal::kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Kills a process that somebody else waits for.
pub(crate) fn kill(id: u32) -> Result<()> {
    let id = i32::try_from(id).context("no process id")?;
    signal::kill(Pid::from_raw(id), Signal::SIGKILL)?;
    Ok(())
}

/// The CPU time that a process and its descendants have used, in nanoseconds, as the scheduler
/// counts it: clock ticks are too coarse for this.
pub(crate) fn cpu_nanos(root: u32) -> u64 {
    family(root).into_iter().map(own_cpu_nanos).sum()
}

fn own_cpu_nanos(id: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else {
        return 0;
    };
    let nanos = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let own: u64 = tasks.flatten().filter_map(nanos).sum();
    own + of_ended_children(id)
}

/// What children used that have ended: of a server, those that save or clean up now and then.
///
/// Source: `cutime` and `cstime` in proc_pid_stat(5), in ticks of 10 ms.
fn of_ended_children(id: u32) -> u64 {
    const TICK_NANOS: u64 = 10_000_000;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything; these are the 14th and 15th after it.
    let (_, rest) = stat.rsplit_once(") ").unwrap_or_default();
    let ticks = rest.split(' ').skip(13).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum::<u64>()
        * TICK_NANOS
}

/// The resident memory of one process, in MB.
pub(crate) fn memory_mb(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1_024.0
}

/// The process and all its descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut members = vec![root];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        let children = parents.iter().filter(|(_, its)| *its == parent);
        members.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    members
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parent = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name stands in brackets and may hold anything; state and parent follow it.
        let (_, rest) = stat.rsplit_once(") ")?;
        Some((id, rest.split(' ').nth(1)?.parse().ok()?))
    };
    processes.flatten().filter_map(parent).collect()
}
