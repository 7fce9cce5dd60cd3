//! Random operations, compared with the memory back end after each step.
//!
//! The operations of a batch may take effect in any order, so there may be several models of what
//! the store holds: those that the store's answers have not ruled out.

use std::collections::BTreeSet;

use super::{
    operations::{Operation, sequence},
    *,
};
use crate::{Expired, SessionSummary, memory::MemoryStore};
use tokio::time::Instant;

/// How often a sequence that fails is tried again to shorten it.
const SHRINKING_LIMIT: usize = 300;

/// Does random operations on an empty `store`, the sequence of one seed after another until `time`
/// has passed, and compares every answer, and after each step everything that is stored, with a
/// simple model.
///
/// # Panics
/// When they differ: with the seed, what was expected, and a short sequence that shows it.
pub async fn random_operations(store: &dyn SessionStore, seeds: Range<u64>, time: Duration) {
    let started = Instant::now();
    for seed in seeds {
        let operations = sequence(seed).await;
        if let Err(difference) = replay(store, &operations).await {
            let (operations, difference) = shrink(store, operations, difference).await;
            let shown: Vec<_> = (1..)
                .zip(&operations)
                .map(|(i, o)| format!("{i}. {o}"))
                .collect();
            panic!(
                "{}: seed {seed}: step {} of this sequence: {}\n{}",
                store.description(),
                difference.step + 1,
                difference.what,
                shown.join("\n")
            );
        }
        if started.elapsed() >= time {
            break;
        }
    }
}

/// Where store and model differ.
struct Difference {
    step: usize,
    what: String,
}

/// Leaves out what is not needed for the failure.
async fn shrink(
    store: &dyn SessionStore,
    mut operations: Vec<Operation>,
    mut difference: Difference,
) -> (Vec<Operation>, Difference) {
    operations.truncate(difference.step + 1);
    let mut size = operations.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < SHRINKING_LIMIT {
        let mut start = 0;
        while start < operations.len() && tries < SHRINKING_LIMIT {
            let mut fewer = operations.clone();
            fewer.drain(start..operations.len().min(start + size));
            tries += 1;
            match replay(store, &fewer).await {
                Err(still) => {
                    fewer.truncate(still.step + 1);
                    (operations, difference) = (fewer, still);
                }
                Ok(()) => start += size,
            }
        }
        size /= 2;
    }
    (operations, difference)
}

/// Carries out a sequence, and deletes what it has made.
async fn replay(store: &dyn SessionStore, operations: &[Operation]) -> Result<(), Difference> {
    let result = compare(store, operations).await;
    let made = operations.iter().flat_map(|operation| match operation {
        Operation::Commit(batch) => batch.as_slice(),
        _ => &[],
    });
    let mut keys: Vec<_> = made.flat_map(keys_of).collect();
    keys.sort();
    keys.dedup();
    let deletions: Vec<_> = keys.into_iter().map(Commit::delete).collect();
    // A store that fails here has failed before, or will in the next sequence.
    let _ = store.commit(&deletions).await;
    result
}

async fn compare(store: &dyn SessionStore, operations: &[Operation]) -> Result<(), Difference> {
    let mut run = Run {
        store,
        models: vec![MemoryStore::new()],
        given: BTreeSet::new(),
    };
    for (step, operation) in operations.iter().enumerate() {
        let same = run.step(step, operation).await;
        same.map_err(|what| Difference { step, what })?;
    }
    Ok(())
}

struct Run<'a> {
    store: &'a dyn SessionStore,
    models: Vec<MemoryStore>,
    /// The keys that sessions have had.
    given: BTreeSet<SessionKey>,
}

impl Run<'_> {
    async fn step(&mut self, step: usize, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Claim { now, limit } => self.claim(*now, *limit).await,
            Operation::Commit(batch) => self.commit(step, batch).await,
            Operation::Count => {
                let count = answer(self.store.count().await)?;
                self.retain(count, async |model| model.count().await.ok())
                    .await
            }
            Operation::List { principal, now } => {
                let listed = answer(self.store.list_by_principal(principal, *now).await)?;
                if !listed.is_sorted_by(|a, b| a.last_access >= b.last_access) {
                    return Err(format!("the latest access comes first, not {listed:?}"));
                }
                let listed = by_key(listed);
                self.retain(listed, async |model| {
                    model
                        .list_by_principal(principal, *now)
                        .await
                        .ok()
                        .map(by_key)
                })
                .await
            }
        }
    }

    /// Keeps the models that give this answer.
    async fn retain<T: PartialEq + std::fmt::Debug>(
        &mut self,
        answer: T,
        ask: impl AsyncFn(&MemoryStore) -> Option<T>,
    ) -> Result<(), String> {
        let mut expected = None;
        let mut kept = Vec::new();
        for model in self.models.drain(..) {
            let modelled = ask(&model).await;
            if modelled.as_ref() == Some(&answer) {
                kept.push(model);
            } else {
                expected = modelled;
            }
        }
        self.models = kept;
        match (self.models.is_empty(), expected) {
            (true, Some(expected)) => Err(format!("expected {expected:?}, not {answer:?}")),
            (true, None) => Err(format!("nothing explains {answer:?}")),
            (false, _) => Ok(()),
        }
    }

    async fn claim(&mut self, now: Timestamp, limit: usize) -> Result<(), String> {
        let claimed = answer(self.store.claim_expired(now, limit).await)?;
        let claimed: Vec<_> = claimed
            .into_iter()
            .map(|Expired { key, record }| (key, record.map(comparable)))
            .collect();
        let mut expected = Vec::new();
        for model in &self.models {
            let sessions = model.sessions().into_iter();
            let due = sessions.filter(|(_, record)| record.is_expired(now));
            expected = due
                .map(|(key, record)| (key, Some(comparable(record))))
                .collect();
            let may_be = claimed.iter().all(|one| expected.contains(one));
            if may_be && claimed.len() == expected.len().min(limit) {
                let deletions: Vec<_> = claimed
                    .into_iter()
                    .map(|(key, _)| Commit::delete(key))
                    .collect();
                for model in &self.models {
                    answer(model.commit(&deletions).await)?;
                }
                return Ok(());
            }
        }
        Err(format!(
            "expected up to {limit} of {expected:?}, not {claimed:?}"
        ))
    }

    async fn commit(&mut self, step: usize, batch: &[Commit]) -> Result<(), String> {
        let batch = &self.possible(batch);
        let outcomes = answer(self.store.commit(batch).await)?;
        let done = batch.iter().zip(&outcomes);
        let done = done.filter(|(_, outcome)| **outcome == CommitOutcome::Done);
        self.given
            .extend(done.flat_map(|(commit, _)| keys_of(commit)));
        let reads = self.reads(step, batch);
        let found = answer(self.store.read(&reads).await)?;
        let found: Vec<_> = found.into_iter().map(comparable_read).collect();
        let mut expected = None;
        let mut explained: Vec<MemoryStore> = Vec::new();
        for model in &self.models {
            for order in orders(batch.len()) {
                let after = model.clone();
                let modelled = carry_out(&after, batch, &order).await?;
                let read = answer(after.read(&reads).await)?;
                let read: Vec<_> = read.into_iter().map(comparable_read).collect();
                let is_first = expected.is_none();
                let same = modelled == outcomes && read == found;
                expected.get_or_insert((modelled, read));
                let known = |other: &MemoryStore| other.sessions() == after.sessions();
                if same && !explained.iter().any(known) {
                    explained.push(after);
                }
                if same && is_first {
                    break;
                }
            }
        }
        self.models = explained;
        match expected {
            Some((modelled, read)) if self.models.is_empty() => {
                Err(differences(&modelled, &outcomes, &reads, &read, &found))
            }
            _ => Ok(()),
        }
    }

    /// The batch without deletions of sessions by an id that they never had. Nobody could ask for
    /// that; it comes up when what gave the id was left out to shorten the sequence.
    fn possible(&self, batch: &[Commit]) -> Vec<Commit> {
        let possible = |commit: &&Commit| match commit {
            Commit::Delete { key, origin } => *origin == key.id || self.given.contains(key),
            _ => true,
        };
        batch.iter().filter(possible).cloned().collect()
    }

    /// Every session that there is or was touched, once as a whole and once with a version that may
    /// be current.
    fn reads(&self, step: usize, batch: &[Commit]) -> Vec<Read> {
        let sessions = self.models.iter().flat_map(MemoryStore::sessions);
        let mut known: Vec<_> = sessions
            .map(|(key, record)| (key, record.version.as_i64()))
            .collect();
        for commit in batch {
            known.extend(keys_of(commit).into_iter().map(|key| (key, 0)));
            if let Commit::Update { key, record, .. } = commit {
                known.push((key.clone(), record.version.as_i64()));
            }
        }
        let reads = known
            .into_iter()
            .enumerate()
            .flat_map(|(index, (key, version))| {
                let offset = i64::from((index + step).is_multiple_of(3));
                let known = Some(Version::from_i64(version - offset));
                let whole = Read {
                    key: key.clone(),
                    known: None,
                };
                [whole, Read { key, known }]
            });
        reads.collect()
    }
}

/// What is different, and nothing else.
fn differences(
    expected_outcomes: &[CommitOutcome],
    outcomes: &[CommitOutcome],
    reads: &[Read],
    expected: &[ReadOutcome],
    found: &[ReadOutcome],
) -> String {
    if expected_outcomes != outcomes {
        return format!("expected {expected_outcomes:?}, or another order, not {outcomes:?}");
    }
    let pairs = expected.iter().zip(found);
    let mut different = reads
        .iter()
        .zip(pairs)
        .filter(|(_, (expected, found))| expected != found);
    match different.next() {
        Some((Read { key, known }, (expected, found))) => format!(
            "session {} read with {known:?}: expected {expected:?}, not {found:?}",
            key.id
        ),
        None => "another number of answers than of reads".to_owned(),
    }
}

fn answer<T>(result: Result<T, crate::StoreError>) -> Result<T, String> {
    result.map_err(|error| format!("the store failed: {error}"))
}

fn by_key(mut listed: Vec<SessionSummary>) -> Vec<SessionSummary> {
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    listed
}

/// The keys that a commit may make, change or delete.
fn keys_of(commit: &Commit) -> Vec<SessionKey> {
    let key = commit.key().clone();
    match commit {
        Commit::Rename { new_id, .. } => vec![key.with_id(new_id.clone()), key],
        _ => vec![key],
    }
}

/// Carries out a batch on a model in this order; the outcomes stand in the order of the batch.
async fn carry_out(
    model: &MemoryStore,
    batch: &[Commit],
    order: &[usize],
) -> Result<Vec<CommitOutcome>, String> {
    let mut outcomes = vec![CommitOutcome::Missing; batch.len()];
    for &index in order {
        let outcome = answer(model.commit(std::slice::from_ref(&batch[index])).await)?;
        outcomes[index] = outcome[0];
    }
    Ok(outcomes)
}

/// All orders of so many things, the natural one first.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for position in (0..count).rev() {
            let mut order = shorter.clone();
            order.insert(position, count - 1);
            all.push(order);
        }
    }
    all
}

/// The slack is a part of the stored expiry, so it cannot be told where a deadline comes first.
fn comparable(record: SessionRecord) -> SessionRecord {
    let is_hidden = record.idle_timeout.is_none() || record.expires_at() == record.deadline;
    let expiry_slack = if is_hidden {
        Duration::ZERO
    } else {
        record.expiry_slack
    };
    SessionRecord {
        expiry_slack,
        ..record
    }
}

fn comparable_read(outcome: ReadOutcome) -> ReadOutcome {
    match outcome {
        ReadOutcome::Found(record) => ReadOutcome::Found(Box::new(comparable(*record))),
        other => other,
    }
}
