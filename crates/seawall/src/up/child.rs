//! One child process: started, watched, restarted, ended.

use std::{path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_net::Shutdown;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child as Process, Command},
    time::{Instant, sleep, timeout},
};

use super::{GRACE, watch::Watch};
use crate::output::complain;

/// The pauses before restarts: none at first, then longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A child that ran this long is well; its next restart is without a pause again.
const WELL_AFTER: Duration = Duration::from_secs(5);

/// A child process to run.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    command: Command,
    watch: Watch,
}

impl Child {
    pub(super) fn new(name: &str, program: &Path, watch: Watch) -> Self {
        let mut command = Command::new(program);
        // A group of its own: Ctrl-C at the terminal is for the supervisor, which then ends its
        // children in order. The pipe tells the child when the supervisor is gone.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            name: name.to_owned(),
            command,
            watch,
        }
    }

    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.command.arg(word);
        self
    }

    pub(super) fn argument(&mut self, option: &str, value: &str) -> &mut Self {
        self.command.args([option, value]);
        self
    }

    pub(super) fn environment(&mut self, name: &str, value: &str) -> &mut Self {
        self.command.env(name, value);
        self
    }

    /// Runs the process, and runs it again whenever it ends or hangs, until `shutdown`.
    pub(super) async fn keep_running(mut self, shutdown: Shutdown) -> Result<(), String> {
        let mut pause = Duration::ZERO;
        let mut has_been_well = false;
        loop {
            let started = Instant::now();
            let mut process = self.start()?;
            // Waiting would close the pipe, and the child ends when the pipe closes.
            let _pipe = process.stdin.take();
            tokio::select! {
                () = shutdown.wait() => {
                    self.end(process).await;
                    return Ok(());
                }
                status = process.wait() => {
                    let status = status.map_err(|error| format!("{}: {error}", self.name))?;
                    let refuses = status.code().is_some() && !has_been_well;
                    if refuses && started.elapsed() < WELL_AFTER {
                        return Err(format!("{} does not start; its log above says why", self.name));
                    }
                    tracing::warn!(child = self.name, %status, "ended, restarting it");
                }
                () = self.watch.until_hung() => {
                    // A hung node may hold a lock of the store, which only its end sets free.
                    tracing::warn!(child = self.name, "answers no more, killing and restarting it");
                    self.kill(process).await;
                }
            }
            has_been_well = true;
            if started.elapsed() >= WELL_AFTER {
                pause = Duration::ZERO;
            }
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    fn start(&mut self) -> Result<Process, String> {
        let mut process = self
            .command
            .spawn()
            .map_err(|error| format!("{}: {error}", self.name))?;
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(pass_on(self.name.clone(), stderr));
        }
        Ok(process)
    }

    /// Asks the process to end, and makes it end when it does not.
    async fn end(&self, mut process: Process) {
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id
            // Not SIGTERM: the balancer has ended, so the nodes need not tell it that they leave.
            && let Err(error) = kill(Pid::from_raw(id), Signal::SIGINT)
        {
            tracing::debug!(child = self.name, %error, "has ended already");
        }
        if timeout(GRACE, process.wait()).await.is_err() {
            tracing::warn!(child = self.name, "did not end in time, killing it");
            self.kill(process).await;
        }
    }

    async fn kill(&self, mut process: Process) {
        if let Err(error) = process.kill().await {
            tracing::warn!(child = self.name, %error, "cannot be killed");
        }
    }
}

/// Passes a child's log on, with its name before each line. What is no UTF-8 does not end it: a child
/// whose log nobody takes ends.
async fn pass_on(name: String, log: impl AsyncRead + Unpin) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        complain(&format!("{name} | {text}"));
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_log_is_passed_on_to_its_end_whatever_it_holds() {
        let (mut child, log) = tokio::io::duplex(64);
        let passing = tokio::spawn(pass_on("child".to_owned(), log));
        for _ in 0..100 {
            child.write_all(b"\xff is no text\n").await.unwrap();
        }
        drop(child);
        passing.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_waits_for_no_restart() {
        let watch = Watch {
            address: ([127, 0, 0, 1], 9).into(),
            path: "/",
        };
        let mut child = Child::new("child", Path::new("/bin/sh"), watch);
        // What a signal ends has not refused to start.
        child.argument("-c", "kill -9 $$");
        let shutdown = Shutdown::new();
        let running = tokio::spawn(child.keep_running(shutdown.clone()));
        // The pauses are 0, 0.1, 0.2, 0.4, 0.8, 1.6 and 2 s.
        sleep(Duration::from_millis(1_800)).await;
        let asked = Instant::now();
        shutdown.trigger();
        running.await.unwrap().unwrap();
        assert!(asked.elapsed() < Duration::from_millis(600));
    }
}
