//! The node processes.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use anyhow::Result;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_testing::free_port;

/// Nodes, each a process of its own on a port of its own.
pub(crate) struct Cluster {
    url: String,
    folder: PathBuf,
    ports: Vec<u16>,
    ahead: Vec<u64>,
    children: Mutex<Vec<Child>>,
}

impl Cluster {
    /// Starts a node for each of `ahead`, which says how far its clock is ahead, in ms. They write
    /// their claims and logs in `folder`.
    pub(crate) fn start(url: String, folder: &Path, ahead: Vec<u64>) -> Result<Self> {
        let cluster = Self {
            url,
            folder: folder.to_owned(),
            ports: ahead.iter().map(|_| free_port()).collect(),
            ahead,
            children: Mutex::default(),
        };
        let children: Result<Vec<_>> = (0..cluster.ports.len())
            .map(|index| cluster.spawn(index))
            .collect();
        *cluster.lock() = children?;
        Ok(cluster)
    }

    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Ends a node with SIGKILL and starts it again.
    pub(crate) fn restart(&self, index: usize) -> Result<()> {
        let fresh = || self.spawn(index);
        let mut children = self.lock();
        children[index].kill()?;
        children[index].wait()?;
        children[index] = fresh()?;
        Ok(())
    }

    /// Stops a node, or lets it go on.
    pub(crate) fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.lock()[index].id())?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }

    fn spawn(&self, index: usize) -> Result<Child> {
        let log = self.folder.join(format!("node{index}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        Ok(Command::new(std::env::current_exe()?)
            .arg("node")
            .args(["--name", &format!("node{index}")])
            .args(["--port", &self.ports[index].to_string()])
            .args(["--ahead", &self.ahead[index].to_string()])
            .arg("--claims")
            .arg(claims(&self.folder))
            .env("SEAWALL_STORE_URL", &self.url)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.children
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// The file that the nodes write their claims to.
pub(crate) fn claims(folder: &Path) -> PathBuf {
    folder.join("claims")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut *self.lock() {
            // One that has ended already needs no signal.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
