//! Load: so many requests at any time, each on a session that no other request uses meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use seawall_store::{Batcher, Commit, CommitOutcome, Read, ReadOutcome};
use tokio::task::JoinSet;

use crate::{
    naive::Naive,
    protocol::{Measure, Measured, Operation, Served, Way},
    session::Sessions,
};

/// A store with both ways to it.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) url: String,
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    batcher: Batcher,
    naive: Naive,
    sessions: Sessions,
}

impl Load {
    pub(crate) fn new(url: String, batcher: Batcher, naive: Naive, sessions: Sessions) -> Self {
        let target = Arc::new(Target {
            batcher,
            naive,
            sessions,
        });
        Self { url, target }
    }

    pub(crate) fn batcher(&self) -> &Batcher {
        &self.target.batcher
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.target.sessions
    }

    pub(crate) async fn measure(&self, measure: &Measure) -> Result<Measured> {
        let operations = [measure.operation, measure.operation];
        let end = Instant::now() + Duration::from_millis(measure.millis);
        let go_on = move || Instant::now() < end;
        let [one, other] = self
            .run(measure.way, operations, measure.concurrency, go_on)
            .await?;
        Ok(one.and(other).measured())
    }

    /// Updates and validations in turns, until `is_over`.
    pub(crate) async fn serve(&self, concurrency: u32, is_over: Arc<AtomicBool>) -> Result<Served> {
        let operations = [Operation::Update, Operation::Validate];
        let go_on = move || !is_over.load(Ordering::Relaxed);
        let [updates, validations] = self
            .run(Way::Batched, operations, concurrency, go_on)
            .await?;
        Ok(Served {
            updates: updates.measured(),
            validations: validations.measured(),
        })
    }

    /// Each request does one of the two operations and then the other one.
    async fn run(
        &self,
        way: Way,
        operations: [Operation; 2],
        concurrency: u32,
        go_on: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Result<[Times; 2]> {
        let concurrency = concurrency as usize;
        let sessions = self.sessions().len();
        ensure!(
            concurrency <= sessions,
            "{concurrency} requests at a time need as many sessions; there are {sessions}"
        );
        let started = Instant::now();
        let mut requests = JoinSet::new();
        for first in 0..concurrency {
            let (target, go_on) = (self.target.clone(), go_on.clone());
            requests.spawn(async move {
                let mut times = [Times::default(), Times::default()];
                // This task's own sessions, one after the other, for ever.
                let own = (first..sessions).step_by(concurrency).cycle();
                for (index, turn) in own.zip([0, 1].into_iter().cycle()) {
                    if !go_on() {
                        break;
                    }
                    let asked = Instant::now();
                    target.request(way, operations[turn], index).await?;
                    times[turn].add(asked.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        let mut all = [Times::default(), Times::default()];
        while let Some(times) = requests.join_next().await {
            let [one, other] = times??;
            let [all_of_one, all_of_other] = all;
            all = [all_of_one.and(one), all_of_other.and(other)];
        }
        let took = started.elapsed();
        all.iter_mut().for_each(|times| times.took = took);
        Ok(all)
    }
}

impl Target {
    async fn request(&self, way: Way, operation: Operation, index: usize) -> Result<()> {
        match (way, operation) {
            (Way::Batched, Operation::Update) => self.update(index).await,
            (Way::Batched, Operation::Validate) => match self.read(index, true).await? {
                ReadOutcome::Current { .. } => Ok(()),
                other => bail!("validated as {other:?}"),
            },
            (Way::Batched, Operation::Load) => match self.read(index, false).await? {
                ReadOutcome::Found(_) => Ok(()),
                other => bail!("loaded as {other:?}"),
            },
            (Way::Naive, _) => self.request_naively(operation, index).await,
        }
    }

    async fn update(&self, index: usize) -> Result<()> {
        let expected = self.sessions.version(index);
        let record = self.sessions.next(expected);
        let version = record.version;
        let update = Commit::Update {
            key: self.sessions.key(index).clone(),
            expected,
            record: Arc::new(record),
        };
        let outcome = self.batcher.commit(update).await?;
        ensure!(outcome == CommitOutcome::Done, "updated as {outcome:?}");
        self.sessions.set_version(index, version);
        Ok(())
    }

    async fn read(&self, index: usize, is_known: bool) -> Result<ReadOutcome> {
        let known = is_known.then(|| self.sessions.version(index));
        let key = self.sessions.key(index).clone();
        Ok(self.batcher.read(Read { key, known }).await?)
    }

    async fn request_naively(&self, operation: Operation, index: usize) -> Result<()> {
        let (key, version) = (self.sessions.key(index), self.sessions.version(index));
        match operation {
            Operation::Load => {
                let record = self.naive.load(key).await?;
                let is_whole = !record.contents.attributes.is_empty();
                ensure!(record.version == version && is_whole, "loaded {record:?}");
            }
            Operation::Update => {
                let record = self.sessions.next(version);
                let is_done = self.naive.update(key, version, &record).await?;
                ensure!(is_done, "the update met another version");
                self.sessions.set_version(index, record.version);
            }
            Operation::Validate => {
                let stored = self.naive.version(key).await?;
                ensure!(stored == version, "validated {stored:?}");
            }
        }
        Ok(())
    }
}

/// How long requests took, in µs.
#[derive(Debug, Default)]
struct Times {
    micros: Vec<u32>,
    took: Duration,
}

impl Times {
    fn add(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.micros.push(micros);
    }

    fn and(mut self, mut other: Self) -> Self {
        self.micros.append(&mut other.micros);
        Self {
            took: self.took.max(other.took),
            ..self
        }
    }

    fn measured(mut self) -> Measured {
        self.micros.sort_unstable();
        let of = |percent: usize| {
            let index = (self.micros.len() * percent / 100).min(self.micros.len().max(1) - 1);
            self.micros.get(index).copied().unwrap_or_default().into()
        };
        Measured {
            operations: self.micros.len() as u64,
            micros: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            p50: of(50),
            p99: of(99),
        }
    }
}
