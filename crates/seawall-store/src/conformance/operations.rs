//! Random sequences of operations, each given by its seed, as nodes might ask for them: several
//! applications, hosts and nodes, clocks that stand apart, batches in which a session occurs more
//! than once.

use std::fmt;

use super::{random::Random, *};
use crate::memory::MemoryStore;

/// How many operations a sequence has.
const STEPS: usize = 120;
/// How many sessions there are at a time, at most.
const SLOTS: usize = 7;
/// How far the clocks of nodes stand apart, at most, in ms.
const SKEW: u32 = 5_000;
/// Where sessions are: context and virtual host.
const PLACES: [(&str, &str); 3] = [
    ("_app", "0.0.0.0"),
    ("_app", "example.org"),
    ("_", "0.0.0.0"),
];
const PRINCIPALS: [&str; 2] = ["user:1", "user:2"];

/// One thing that is asked of a store.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Claim {
        now: Timestamp,
        limit: usize,
    },
    Commit(Vec<Commit>),
    Count,
    List {
        principal: &'static str,
        now: Timestamp,
    },
}

/// The sequence of this seed.
pub(super) async fn sequence(seed: u64) -> Vec<Operation> {
    let mut nodes = Nodes::new(seed);
    let mut operations = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        operations.push(nodes.operation().await);
    }
    operations
}

/// A place for one session after another.
struct Slot {
    place: (&'static str, &'static str),
    /// The ids that the present session has had; empty before the first one.
    ids: Vec<Arc<str>>,
}

impl Slot {
    /// When its sessions were made: the same in one place, because an id that was taken may be given
    /// to another session of the place, and an update need not write the time again.
    fn created_at(&self) -> Timestamp {
        START.plus(Duration::from_secs(self.place.0.len() as u64))
    }

    fn key(&self, id: &Arc<str>) -> SessionKey {
        SessionKey {
            id: id.clone(),
            context: self.place.0.into(),
            virtual_host: self.place.1.into(),
        }
    }

    fn current(&self) -> Option<SessionKey> {
        self.ids.last().map(|id| self.key(id))
    }
}

/// Nodes that ask for things. They know what the store holds if it does what it must.
struct Nodes {
    random: Random,
    model: MemoryStore,
    now: Timestamp,
    slots: Vec<Slot>,
    ids: u32,
}

impl Nodes {
    fn new(seed: u64) -> Self {
        let slot = |index: usize| Slot {
            place: PLACES[index % PLACES.len()],
            ids: Vec::new(),
        };
        Self {
            random: Random::new(seed),
            model: MemoryStore::new(),
            now: START,
            slots: (0..SLOTS).map(slot).collect(),
            ids: 0,
        }
    }

    async fn operation(&mut self) -> Operation {
        let step = match self.random.below(12) {
            0 => self.random.below(1_000_000),
            _ => self.random.below(20_000),
        };
        self.now = self.now.plus(Duration::from_millis(step as u64));
        match self.random.below(16) {
            0 => self.claim().await,
            1 => Operation::Count,
            2 | 3 => Operation::List {
                principal: PRINCIPALS[self.random.below(2)],
                now: self.a_clock(),
            },
            _ => self.commits().await,
        }
    }

    async fn claim(&mut self) -> Operation {
        let (now, limit) = (self.a_clock(), [1, 2, 100][self.random.below(3)]);
        let claimed = self.model.claim_expired(now, limit).await;
        claimed.expect("the memory store answers");
        Operation::Claim { now, limit }
    }

    async fn commits(&mut self) -> Operation {
        let mut batch: Vec<Commit> = Vec::new();
        let hot = self.random.below(SLOTS);
        for _ in 0..=self.random.below(4) {
            let slot = if self.random.below(2) == 0 {
                hot
            } else {
                self.random.below(SLOTS)
            };
            let commit = self.commit(slot);
            if !batch.iter().any(|other| are_rivals(other, &commit)) {
                batch.push(commit);
            }
        }
        // As the batcher hands them over.
        batch.sort_by(|a, b| a.key().cmp(b.key()));
        self.carry_out(&batch).await;
        Operation::Commit(batch)
    }

    async fn carry_out(&mut self, batch: &[Commit]) {
        let outcomes = self.model.commit(batch).await;
        let outcomes = outcomes.expect("the memory store answers");
        for (commit, outcome) in batch.iter().zip(outcomes) {
            if let Commit::Rename { key, new_id, .. } = commit
                && outcome == CommitOutcome::Done
            {
                let is_it = |slot: &&mut Slot| slot.current().as_ref() == Some(key);
                if let Some(slot) = self.slots.iter_mut().find(is_it) {
                    slot.ids.push(new_id.clone());
                }
            }
        }
    }

    fn commit(&mut self, slot: usize) -> Commit {
        let current = self.slots[slot].current();
        let stored = current.as_ref().and_then(|key| self.stored(key));
        let (Some(key), Some(version)) = (current, stored) else {
            return self.begin(slot);
        };
        let expected = match self.random.below(6) {
            0 => Version::from_i64(version.as_i64() - 1),
            _ => version,
        };
        match self.random.below(10) {
            0 => {
                let record = self.record(slot, Version::default());
                Commit::Create { key, record }
            }
            1 => self.delete(slot),
            2 => self.rename(slot, key, expected),
            3..=5 => {
                let last_access = self.a_clock();
                Commit::Touch { key, last_access }
            }
            _ => {
                let record = self.record(slot, expected);
                Commit::Update {
                    key,
                    expected,
                    record,
                }
            }
        }
    }

    /// Makes a new session, or does something to the one that has ended.
    fn begin(&mut self, slot: usize) -> Commit {
        if let Some(key) = self.slots[slot].current()
            && self.random.below(3) == 0
        {
            let (expected, last_access) = (Version::from_i64(1), self.a_clock());
            let record = self.record(slot, expected);
            return match self.random.below(3) {
                0 => Commit::Touch { key, last_access },
                1 => self.delete(slot),
                _ => Commit::Update {
                    key,
                    expected,
                    record,
                },
            };
        }
        let id = self.fresh_id();
        self.slots[slot].ids = vec![id.clone()];
        let key = self.slots[slot].key(&id);
        let record = self.record(slot, Version::default());
        Commit::Create { key, record }
    }

    /// Deletes the session by one of the ids that it had.
    fn delete(&mut self, slot: usize) -> Commit {
        let slot = &self.slots[slot];
        let known = &slot.ids[self.random.below(slot.ids.len())];
        Commit::deletion(slot.key(known), Some(slot.ids[0].clone()))
    }

    fn rename(&mut self, slot: usize, key: SessionKey, expected: Version) -> Commit {
        let other = &self.slots[(slot + PLACES.len()) % SLOTS];
        let taken = other
            .ids
            .last()
            .filter(|_| other.place == self.slots[slot].place)
            .cloned();
        let new_id = match taken {
            Some(taken) if self.random.below(5) == 0 => taken,
            _ => self.fresh_id(),
        };
        let mut record = self.record(slot, expected);
        Arc::make_mut(&mut record).origin = Some(self.slots[slot].ids[0].clone());
        Commit::Rename {
            key,
            new_id,
            expected,
            record,
        }
    }

    fn record(&mut self, slot: usize, expected: Version) -> Arc<SessionRecord> {
        let (now, created_at) = (self.a_clock(), self.slots[slot].created_at());
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let idle_timeouts = [None, Some(1), Some(60), Some(600), Some(1_800)];
        let deadline = [None, None, Some(created_at.plus(IDLE))][self.random.below(3)];
        let nodes = ["node1", "node2", "node3"];
        let mut attributes = Attributes::new();
        for name in ["a", "b", "c"].into_iter().take(self.random.below(4)) {
            attributes.insert(name.into(), self.value());
        }
        Arc::new(SessionRecord {
            created_at,
            last_access: now,
            idle_timeout: seconds(idle_timeouts[self.random.below(5)]),
            expiry_slack: Duration::from_secs(60 * self.random.below(2) as u64),
            deadline,
            principal: [None, Some(PRINCIPALS[0]), Some(PRINCIPALS[1])][self.random.below(3)]
                .map(Arc::from),
            last_node: nodes[self.random.below(3)].into(),
            writers: Writers::from([("node0".into(), expected)]),
            attributes,
            ..record(expected.next(now).as_i64())
        })
    }

    fn value(&mut self) -> Value {
        match self.random.below(4) {
            0 => Value::Null,
            1 => Value::from("x".repeat(self.random.below(3_000)).as_str()),
            _ => Value::I64(i64::from_ne_bytes(self.random.draw().to_ne_bytes())),
        }
    }

    /// What a node's clock shows now.
    fn a_clock(&mut self) -> Timestamp {
        let late = Duration::from_millis(self.random.draw() % (2 * u64::from(SKEW)));
        Timestamp::from_millis(self.now.as_millis() - i64::from(SKEW)).plus(late)
    }

    fn fresh_id(&mut self) -> Arc<str> {
        self.ids += 1;
        format!("r{}", self.ids).into()
    }

    fn stored(&self, key: &SessionKey) -> Option<Version> {
        let sessions = self.model.sessions();
        let found = sessions.iter().find(|(other, _)| other == key);
        found.map(|(_, record)| record.version)
    }
}

/// Whether two commits may not stand in one batch: a node has one write of a session under way, and
/// an id is given once.
fn are_rivals(one: &Commit, other: &Commit) -> bool {
    let writes = |commit: &Commit| matches!(commit, Commit::Rename { .. } | Commit::Update { .. });
    let creates = |commit: &Commit| matches!(commit, Commit::Create { .. });
    let rivals = writes(one) && writes(other) || creates(one) != creates(other);
    rivals && one.key() == other.key()
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { now, limit } => write!(f, "claim up to {limit} at {}", Since(*now)),
            Self::Count => f.write_str("count"),
            Self::List { principal, now } => write!(f, "list {principal} at {}", Since(*now)),
            Self::Commit(batch) => {
                f.write_str("commit")?;
                for commit in batch {
                    write!(f, "\n    {}", Shown(commit))?;
                }
                Ok(())
            }
        }
    }
}

/// A time, as seconds after the start.
struct Since(Timestamp);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis() - START.as_millis();
        write!(f, "{}.{:03} s", millis / 1_000, (millis % 1_000).abs())
    }
}

/// A commit in one line; its ids are made up, so they may be shown.
struct Shown<'a>(&'a Commit);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.key();
        let place = format!("{} {} {}", key.virtual_host, key.context, key.id);
        match self.0 {
            Commit::Create { record, .. } => write!(f, "create {place}: {}", Written(record)),
            Commit::Delete { origin, .. } => write!(f, "delete {place}, origin {origin}"),
            Commit::Rename {
                new_id,
                expected,
                record,
                ..
            } => write!(
                f,
                "rename {place} to {new_id} if {expected:?}: {}",
                Written(record)
            ),
            Commit::Touch { last_access, .. } => {
                write!(f, "touch {place} at {}", Since(*last_access))
            }
            Commit::Update {
                expected, record, ..
            } => write!(f, "update {place} if {expected:?}: {}", Written(record)),
        }
    }
}

struct Written<'a>(&'a SessionRecord);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(
            f,
            "{:?}, access {}, idle {:?} + {:?}, deadline {:?}, {:?} of {:?}, {} attributes",
            record.version,
            Since(record.last_access),
            record.idle_timeout,
            record.expiry_slack,
            record.deadline,
            record.last_node,
            record.principal,
            record.attributes.len()
        )
    }
}
