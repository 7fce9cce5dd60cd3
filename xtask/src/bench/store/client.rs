//! The client process, which does what is asked (`crates/seawall-store-bench`).

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::server::{Kind, Server};
use crate::{bench::process::cpu_nanos, command::program};

/// Which way a request takes to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Naive,
    Batched,
}

impl Way {
    pub(super) fn name(self) -> String {
        match self {
            Self::Batched => "**batched**".to_owned(),
            Self::Naive => "naive".to_owned(),
        }
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    Update,
    Validate,
    Load,
}

impl Operation {
    pub(super) const ALL: [Self; 3] = [Self::Update, Self::Validate, Self::Load];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Update => "upsert",
            Self::Validate => "validation",
            Self::Load => "load",
        }
    }
}

/// What requests took, in µs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Measured {
    operations: u64,
    micros: u64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.operations as f64 * 1e6 / self.micros as f64
    }
}

/// What requests took, and the CPU time of both sides in µs an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) measured: Measured,
    pub(super) client: f64,
    pub(super) database: f64,
}

/// The load without and with a sweep beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Swept {
    pub(super) before: Served,
    pub(super) during: Served,
    pub(super) after: Served,
    pub(super) deleted: u64,
    pub(super) micros: u64,
}

/// What a mixed load took.
#[derive(Debug, Deserialize)]
pub(super) struct Served {
    pub(super) updates: Measured,
    pub(super) validations: Measured,
}

/// A client of one store. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) kind: Kind,
    pub(super) rows: u32,
    database: Option<u32>,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts a client, which makes a store with so many rows.
    pub(super) fn start(
        path: &Path,
        server: &Server,
        store: &str,
        rows: u32,
        sessions: u32,
    ) -> Result<Self> {
        let mut client = program(&path.display().to_string(), &["--store", store]);
        client.args(["--rows", &rows.to_string()]);
        client.args(["--sessions", &sessions.to_string()]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = client.spawn().context("the client did not start")?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().context("the client has no output")?;
        let mut client = Self {
            kind: server.kind(),
            rows,
            database: server.process_id(),
            child,
            commands,
            answers: BufReader::new(answers),
        };
        client.line()?;
        Ok(client)
    }

    /// Uses the sessions, so that they are where they are while a node is at work.
    pub(super) fn warm_up(&mut self, concurrency: u32, duration: Duration) -> Result<()> {
        for operation in Operation::ALL {
            self.measure(Way::Batched, operation, concurrency, duration)?;
        }
        Ok(())
    }

    pub(super) fn sample(
        &mut self,
        way: Way,
        operation: Operation,
        concurrency: u32,
        duration: Duration,
    ) -> Result<Sample> {
        let before = self.cpu();
        let measured = self.measure(way, operation, concurrency, duration)?;
        let after = self.cpu();
        let per_operation = |index: usize| {
            after[index].saturating_sub(before[index]) as f64 / 1e3 / measured.operations as f64
        };
        Ok(Sample {
            measured,
            client: per_operation(0),
            database: per_operation(1),
        })
    }

    fn cpu(&self) -> [u64; 2] {
        [
            cpu_nanos(self.child.id()),
            self.database.map_or(0, cpu_nanos),
        ]
    }

    fn measure(
        &mut self,
        way: Way,
        operation: Operation,
        concurrency: u32,
        duration: Duration,
    ) -> Result<Measured> {
        self.ask(&json!({ "measure": {
            "way": way,
            "operation": operation,
            "concurrency": concurrency,
            "millis": millis(duration),
        }}))
    }

    /// Sweeps so many sessions, which it makes first.
    pub(super) fn sweep(
        &mut self,
        expired: u32,
        concurrency: u32,
        duration: Duration,
        limit: Duration,
    ) -> Result<Swept> {
        self.ask(&json!({ "sweep": {
            "expired": expired,
            "concurrency": concurrency,
            "millis": millis(duration),
            "limit_millis": millis(limit),
        }}))
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> Result<T> {
        let commands = self.commands.as_mut().context("the client has ended")?;
        writeln!(commands, "{command}")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the client of {} ended; see above", self.kind.name());
        }
        Ok(line)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Without commands it ends by itself.
        self.commands = None;
        let _ = self.child.wait();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
