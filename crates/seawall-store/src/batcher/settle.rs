//! What became of a commit that was sent more than once because its answer was lost.

use super::Way;
use crate::{
    key::SessionKey,
    store::{Commit, CommitOutcome, Read, ReadOutcome, StoreError},
};

/// Settles a commit from the outcome of its *last* try, where an earlier one may have taken effect.
///
/// The row tells: it names the last version that each node wrote (see
/// [`SessionRecord::includes`](crate::SessionRecord::includes)). Where it cannot tell, the request
/// gets an error rather than being done twice.
pub(super) async fn settle(
    way: &Way,
    commit: &Commit,
    outcome: CommitOutcome,
) -> Result<CommitOutcome, StoreError> {
    match (commit, outcome) {
        // The id is random: nobody else can have taken it.
        (Commit::Create { .. }, CommitOutcome::Exists)
        | (Commit::Delete { .. }, CommitOutcome::Missing) => Ok(CommitOutcome::Done),
        (Commit::Update { key, record, .. }, CommitOutcome::Conflict) => {
            match read(way, key.clone()).await? {
                ReadOutcome::Found(row) if row.includes(record) == Some(true) => {
                    Ok(CommitOutcome::Done)
                }
                ReadOutcome::Found(row) if row.includes(record) == Some(false) => Ok(outcome),
                ReadOutcome::Missing => Ok(CommitOutcome::Missing),
                _ => Err(StoreError::Ambiguous {
                    store: way.store.description().into(),
                }),
            }
        }
        (
            Commit::Rename {
                key,
                new_id,
                record,
                ..
            },
            CommitOutcome::Missing | CommitOutcome::Exists,
        ) => {
            let renamed = key.with_id(new_id.clone());
            Ok(match read(way, renamed).await? {
                ReadOutcome::Missing => outcome,
                // Two nodes that renew an id give it the same new one (see the session manager).
                ReadOutcome::Found(row) if row.includes(record) == Some(false) => outcome,
                _ => CommitOutcome::Done,
            })
        }
        (_, outcome) => Ok(outcome),
    }
}

/// What broke the connection for commits may have broken another one, which reads go over and which was
/// not used since. It is made again for the second try.
async fn read(way: &Way, key: SessionKey) -> Result<ReadOutcome, StoreError> {
    let reads = [Read { key, known: None }];
    let ask = || way.within_patience(way.store.read(&reads));
    let outcomes = match ask().await {
        Err(error) if error.is_transient() => ask().await?,
        first => first?,
    };
    Ok(outcomes.into_iter().next().unwrap_or(ReadOutcome::Missing))
}
