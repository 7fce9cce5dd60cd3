//! What became of commits that were sent more than once because their answer was lost.
//!
//! The row tells: it names the last version that each node wrote (see
//! [`SessionRecord::includes`](crate::SessionRecord::includes)). Where it cannot tell, the request
//! gets an error rather than being done twice. The rows of a batch are read together, so that many
//! commits take no longer to settle than one.

use std::collections::{BTreeMap, BTreeSet};

use super::Way;
use crate::{
    key::SessionKey,
    store::{Commit, CommitOutcome, Read, ReadOutcome, StoreError},
};

/// Rows as they are now.
pub(super) type Rows = BTreeMap<SessionKey, ReadOutcome>;

/// The row that tells what became of a commit, where the outcome of its *last* try does not.
pub(super) fn row(commit: &Commit, outcome: CommitOutcome) -> Option<SessionKey> {
    match (commit, outcome) {
        (Commit::Update { key, .. }, CommitOutcome::Conflict) => Some(key.clone()),
        (Commit::Rename { key, new_id, .. }, CommitOutcome::Missing | CommitOutcome::Exists) => {
            Some(key.with_id(new_id.clone()))
        }
        _ => None,
    }
}

/// Settles a commit from the outcome of its *last* try, where an earlier one may have taken effect.
/// `rows` has the commit's [`row`], if there is one.
pub(super) fn settle(
    way: &Way,
    commit: &Commit,
    outcome: CommitOutcome,
    rows: &Rows,
) -> Result<CommitOutcome, StoreError> {
    let row = row(commit, outcome).and_then(|key| rows.get(&key));
    match (commit, outcome) {
        // The id is random: nobody else can have taken it.
        (Commit::Create { .. }, CommitOutcome::Exists)
        | (Commit::Delete { .. }, CommitOutcome::Missing) => Ok(CommitOutcome::Done),
        (Commit::Update { record, .. }, CommitOutcome::Conflict) => match row {
            Some(ReadOutcome::Found(row)) if row.includes(record) == Some(true) => {
                Ok(CommitOutcome::Done)
            }
            Some(ReadOutcome::Found(row)) if row.includes(record) == Some(false) => Ok(outcome),
            Some(ReadOutcome::Missing) => Ok(CommitOutcome::Missing),
            _ => Err(StoreError::Ambiguous {
                store: way.store.description().into(),
            }),
        },
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

/// Reads rows. What broke the connection for commits may have broken another one, which reads go over
/// and which was not used since. It is made again for the second try.
pub(super) async fn read(way: Way, keys: BTreeSet<SessionKey>) -> Result<Rows, StoreError> {
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
    let outcomes = way.within_patience(reads.len(), asked).await?;
    Ok(keys.into_iter().zip(outcomes).collect())
}
