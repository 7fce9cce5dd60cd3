//! A batch of commits as the arrays that the statements take.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;

use crate::{
    clock::millis,
    codec::Codec,
    key::SessionKey,
    record::SessionRecord,
    store::{Commit, CommitOutcome},
};

/// What Jetty writes for a session that never expires.
const IMMORTAL: i64 = -1;

/// Longer spans and later times (in ms; 35,000 years) are cut, so that no sum leaves a bigint.
const LONGEST: i64 = 1 << 50;
const LATEST: i64 = 1 << 60;

/// Keys, one array a column.
#[derive(Debug, Default)]
pub(super) struct Keys<'a> {
    pub(super) ids: Vec<&'a str>,
    pub(super) contexts: Vec<&'a str>,
    pub(super) hosts: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(keys: impl Iterator<Item = &'a SessionKey>) -> Self {
        let mut columns = Self::default();
        keys.for_each(|key| columns.push(key));
        columns
    }

    /// The key at a position, with another id.
    pub(super) fn key(&self, position: usize, id: &str) -> SessionKey {
        SessionKey {
            id: id.into(),
            context: self.contexts[position].into(),
            virtual_host: self.hosts[position].into(),
        }
    }

    /// Where these keys stand; the first place of a key that is there twice.
    pub(super) fn positions(&self, keys: &[SessionKey]) -> Vec<usize> {
        let columns = self.ids.iter().zip(&self.contexts).zip(&self.hosts);
        let places = columns.enumerate().rev();
        let places: HashMap<_, _> = places
            .map(|(position, ((&id, &context), &host))| ((id, context, host), position))
            .collect();
        keys.iter()
            .filter_map(|key| places.get(&(&*key.id, &*key.context, &*key.virtual_host)))
            .copied()
            .collect()
    }

    fn push(&mut self, key: &'a SessionKey) {
        self.ids.push(&key.id);
        self.contexts.push(&key.context);
        self.hosts.push(&key.virtual_host);
    }
}

/// Rows to write, one array a column.
#[derive(Debug, Default)]
pub(super) struct Written<'a> {
    /// Where each row stands in the batch.
    indexes: Vec<usize>,
    pub(super) keys: Keys<'a>,
    expected: Vec<i64>,
    created: Vec<i64>,
    versions: Vec<i64>,
    accesses: Vec<i64>,
    idle_timeouts: Vec<i64>,
    slacks: Vec<i64>,
    deadlines: Vec<Option<i64>>,
    nodes: Vec<&'a str>,
    principals: Vec<Option<&'a str>>,
    maps: Vec<Vec<u8>>,
}

impl<'a> Written<'a> {
    /// Adds a row, with the payload that it is to have.
    fn push(
        &mut self,
        index: usize,
        key: &'a SessionKey,
        expected: i64,
        row: &'a SessionRecord,
        map: Vec<u8>,
    ) {
        self.indexes.push(index);
        self.keys.push(key);
        self.expected.push(expected);
        self.created.push(row.created_at.as_millis());
        self.versions.push(row.version.as_i64());
        self.accesses.push(row.last_access.as_millis());
        let idle = row
            .idle_timeout
            .map(|timeout| millis(timeout).clamp(1, LONGEST));
        self.idle_timeouts.push(idle.unwrap_or(IMMORTAL));
        self.slacks.push(millis(row.expiry_slack).min(LONGEST));
        let deadline = row
            .deadline
            .map(|deadline| deadline.as_millis().min(LATEST));
        self.deadlines.push(deadline);
        self.nodes.push(&row.last_node);
        self.principals.push(row.principal.as_deref());
        self.maps.push(map);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    fn parameters<'p>(&'p self, fourth: &'p Vec<i64>) -> [&'p (dyn ToSql + Sync); 12] {
        let Keys {
            ids,
            contexts,
            hosts,
        } = &self.keys;
        [
            ids,
            contexts,
            hosts,
            fourth,
            &self.versions,
            &self.accesses,
            &self.idle_timeouts,
            &self.slacks,
            &self.deadlines,
            &self.nodes,
            &self.principals,
            &self.maps,
        ]
    }

    pub(super) fn update_parameters(&self) -> [&(dyn ToSql + Sync); 12] {
        self.parameters(&self.expected)
    }

    /// With single values, when there is one row.
    pub(super) fn single_parameters(&self) -> Option<[&(dyn ToSql + Sync); 12]> {
        if self.indexes.len() != 1 {
            return None;
        }
        Some([
            &self.keys.ids[0],
            &self.keys.contexts[0],
            &self.keys.hosts[0],
            &self.expected[0],
            &self.versions[0],
            &self.accesses[0],
            &self.idle_timeouts[0],
            &self.slacks[0],
            &self.deadlines[0],
            &self.nodes[0],
            &self.principals[0],
            &self.maps[0],
        ])
    }

    /// With single values for context, host and node, when all rows have the same.
    pub(super) fn uniform_parameters(&self) -> Option<[&(dyn ToSql + Sync); 12]> {
        let all_same = |values: &[&str]| values.windows(2).all(|pair| pair[0] == pair[1]);
        let shared = [&self.keys.contexts, &self.keys.hosts, &self.nodes];
        if self.is_empty() || !shared.iter().all(|values| all_same(values)) {
            return None;
        }
        let mut parameters = self.update_parameters();
        for (index, values) in [1, 2, 9].into_iter().zip(shared) {
            parameters[index] = &values[0];
        }
        Some(parameters)
    }

    /// An insert has no expected version; the time of creation stands in its place.
    pub(super) fn insert_parameters(&self) -> [&(dyn ToSql + Sync); 12] {
        self.parameters(&self.created)
    }

    pub(super) fn rename_parameters<'p>(
        &'p self,
        new_id: &'p &str,
        origin: &'p Option<&str>,
    ) -> Vec<&'p (dyn ToSql + Sync)> {
        let mut parameters = self.update_parameters().to_vec();
        parameters.extend([new_id as &(dyn ToSql + Sync), origin]);
        parameters
    }

    pub(super) fn outcomes(
        &self,
        done: &[usize],
        otherwise: impl Fn(usize) -> CommitOutcome,
    ) -> Vec<(usize, CommitOutcome)> {
        outcomes(&self.indexes, done, otherwise)
    }
}

/// Keys to delete, or to touch.
#[derive(Debug, Default)]
pub(super) struct Keyed<'a> {
    indexes: Vec<usize>,
    pub(super) keys: Keys<'a>,
    accesses: Vec<i64>,
    last_key: Option<&'a SessionKey>,
    /// Touches of a key that the batch touches already, and where that stands.
    repeated: Vec<(usize, usize)>,
}

impl<'a> Keyed<'a> {
    /// Adds a touch; of several of one session the latest counts. The batch is sorted by key.
    fn push_touch(&mut self, index: usize, key: &'a SessionKey, access: i64) {
        match self
            .accesses
            .last_mut()
            .filter(|_| self.last_key == Some(key))
        {
            Some(latest) => {
                *latest = access.max(*latest);
                self.repeated.push((index, self.indexes.len() - 1));
            }
            None => self.push(index, key, access),
        }
    }

    fn push(&mut self, index: usize, key: &'a SessionKey, access: i64) {
        self.last_key = Some(key);
        self.indexes.push(index);
        self.keys.push(key);
        self.accesses.push(access);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 4] {
        [
            &self.keys.ids,
            &self.keys.contexts,
            &self.keys.hosts,
            &self.accesses,
        ]
    }

    pub(super) fn outcomes(
        &self,
        done: &[usize],
        otherwise: impl Fn(usize) -> CommitOutcome,
    ) -> Vec<(usize, CommitOutcome)> {
        let mut outcomes = outcomes(&self.indexes, done, otherwise);
        for &(index, position) in &self.repeated {
            outcomes.push((index, outcomes[position].1));
        }
        outcomes
    }
}

/// One row to rename.
#[derive(Debug)]
pub(super) struct Renamed<'a> {
    pub(super) index: usize,
    pub(super) new_id: &'a str,
    pub(super) origin: Option<&'a str>,
    pub(super) row: Written<'a>,
}

/// A batch, by kind of commit.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub(super) creates: Written<'a>,
    pub(super) updates: Written<'a>,
    pub(super) touches: Keyed<'a>,
    pub(super) deletes: Keyed<'a>,
    /// The origins of the sessions to delete.
    pub(super) origins: Vec<&'a str>,
    pub(super) renames: Vec<Renamed<'a>>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(commits: &'a [Commit], codec: &Codec) -> Self {
        let mut rows = Self::default();
        for (index, commit) in commits.iter().enumerate() {
            match commit {
                Commit::Create { key, record } => {
                    let map = codec.encode(key, record);
                    rows.creates.push(index, key, 0, record, map);
                }
                Commit::Delete { key, origin } => {
                    rows.deletes.push(index, key, 0);
                    rows.origins.push(origin);
                }
                Commit::Rename {
                    key,
                    new_id,
                    expected,
                    record,
                } => {
                    let map = codec.encode(&key.with_id(new_id.clone()), record);
                    let mut row = Written::default();
                    row.push(0, key, expected.as_i64(), record, map);
                    let origin = record.origin.as_deref();
                    rows.renames.push(Renamed {
                        index,
                        new_id,
                        origin,
                        row,
                    });
                }
                Commit::Touch { key, last_access } => {
                    rows.touches.push_touch(index, key, last_access.as_millis());
                }
                Commit::Update {
                    key,
                    expected,
                    record,
                } => {
                    let map = codec.encode(key, record);
                    rows.updates
                        .push(index, key, expected.as_i64(), record, map);
                }
            }
        }
        rows
    }
}

/// The outcome of each row: done, or what `otherwise` says of its position.
fn outcomes(
    indexes: &[usize],
    done: &[usize],
    otherwise: impl Fn(usize) -> CommitOutcome,
) -> Vec<(usize, CommitOutcome)> {
    let mut outcomes: Vec<_> = vec![None; indexes.len()];
    for &position in done {
        if let Some(outcome) = outcomes.get_mut(position) {
            *outcome = Some(CommitOutcome::Done);
        }
    }
    let decided = outcomes.into_iter().enumerate();
    let decided = decided.map(|(position, done)| done.unwrap_or_else(|| otherwise(position)));
    indexes.iter().copied().zip(decided).collect()
}
