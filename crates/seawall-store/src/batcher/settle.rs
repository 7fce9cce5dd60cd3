//! What became of commits that were sent more than once because their answer was lost.
//!
//! The row tells: it names the last version that each node wrote (see
//! [`SessionRecord::includes`](crate::SessionRecord::includes)). Where it cannot tell, the request
//! gets an error rather than being done twice. The rows of a batch are read together, so that many
//! commits take no longer to settle than one.

use std::{collections::BTreeMap, sync::Arc};

use super::Way;
use crate::{
    clock::Timestamp,
    key::SessionKey,
    store::{Commit, CommitOutcome, Lookup, Read, ReadOutcome, StoreError},
};

/// Where rows were, each with the origin by which the session is found should it have moved.
pub(super) type Places = BTreeMap<SessionKey, Option<Arc<str>>>;

/// Rows as they are now, by where they were.
pub(super) type Rows = BTreeMap<SessionKey, ReadOutcome>;

/// The row that tells what became of a commit, where the outcome of its *last* try does not.
pub(super) fn place(
    commit: &Commit,
    outcome: CommitOutcome,
) -> Option<(SessionKey, Option<Arc<str>>)> {
    match (commit, outcome) {
        // Another node may have renamed it after the try that took effect.
        (Commit::Update { key, record, .. }, CommitOutcome::Conflict | CommitOutcome::Missing) => {
            let origin = record.origin.as_ref().unwrap_or(&key.id);
            Some((key.clone(), Some(origin.clone())))
        }
        (Commit::Rename { key, new_id, .. }, CommitOutcome::Missing | CommitOutcome::Exists) => {
            Some((key.with_id(new_id.clone()), None))
        }
        _ => None,
    }
}

/// Settles a commit from the outcome of its *last* try, where an earlier one may have taken effect.
/// `rows` has the row of the commit's [`place`], if there is one.
pub(super) fn settle(
    way: &Way,
    commit: &Commit,
    outcome: CommitOutcome,
    rows: &Rows,
) -> Result<CommitOutcome, StoreError> {
    let row = place(commit, outcome).and_then(|(key, _)| rows.get(&key));
    match (commit, outcome) {
        // The id is random: nobody else can have taken it.
        (Commit::Create { .. }, CommitOutcome::Exists)
        | (Commit::Delete { .. }, CommitOutcome::Missing) => Ok(CommitOutcome::Done),
        (Commit::Update { record, .. }, CommitOutcome::Conflict | CommitOutcome::Missing) => {
            match row {
                Some(ReadOutcome::Found(row)) if row.includes(record) == Some(true) => {
                    Ok(CommitOutcome::Done)
                }
                Some(ReadOutcome::Found(row)) if row.includes(record) == Some(false) => Ok(outcome),
                Some(ReadOutcome::Missing) => Ok(CommitOutcome::Missing),
                _ => Err(StoreError::Ambiguous {
                    store: way.store.description().into(),
                }),
            }
        }
        (Commit::Rename { record, .. }, CommitOutcome::Missing | CommitOutcome::Exists) => {
            Ok(match row {
                Some(ReadOutcome::Missing) => outcome,
                // Two nodes that renew an id give it the same new one (see the session manager).
                Some(ReadOutcome::Found(row)) if row.includes(record) == Some(false) => outcome,
                _ => CommitOutcome::Done,
            })
        }
        (_, outcome) => Ok(outcome),
    }
}

/// Reads the rows of sessions, wherever they are now.
pub(super) async fn read(way: Way, places: Places) -> Result<Rows, StoreError> {
    let keys: Vec<SessionKey> = places.keys().cloned().collect();
    let found = read_at(&way, &keys).await?;
    let mut rows: Rows = keys.into_iter().zip(found).collect();
    let moved = locate_missing(&way, &places, &rows).await?;
    let (before, now): (Vec<_>, Vec<_>) = moved.into_iter().unzip();
    for (key, row) in before.into_iter().zip(read_at(&way, &now).await?) {
        match row {
            // It moves again: nobody can tell.
            ReadOutcome::Missing => rows.remove(&key),
            row => rows.insert(key, row),
        };
    }
    Ok(rows)
}

/// Where those sessions were, and are, whose rows are not where they were.
async fn locate_missing(
    way: &Way,
    places: &Places,
    rows: &Rows,
) -> Result<Vec<(SessionKey, SessionKey)>, StoreError> {
    let lookups: Vec<Lookup> = places
        .iter()
        .filter(|(key, _)| rows.get(key) == Some(&ReadOutcome::Missing))
        .filter_map(|(key, origin)| {
            let (key, origin) = (key.clone(), origin.clone()?);
            Some(Lookup { key, origin })
        })
        .collect();
    if lookups.is_empty() {
        return Ok(Vec::new());
    }
    // At the beginning of time nothing had expired.
    let asked = way.store.locate(&lookups, Timestamp::default());
    let located = way.within_patience(lookups.len(), asked).await?;
    let moved = lookups.into_iter().zip(located);
    Ok(moved
        .filter_map(|(lookup, now)| Some((lookup.key, now?)))
        .collect())
}

/// Reads rows. What broke the connection for commits may have broken another one, which reads go over
/// and which was not used since. It is made again for the second try.
async fn read_at(way: &Way, keys: &[SessionKey]) -> Result<Vec<ReadOutcome>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let of = |key: &SessionKey| Read {
        key: key.clone(),
        known: None,
    };
    let reads: Vec<Read> = keys.iter().map(of).collect();
    let asked = async {
        match way.store.read(&reads).await {
            Err(error) if error.is_transient() => way.store.read(&reads).await,
            first => first,
        }
    };
    way.within_patience(reads.len(), asked).await
}
