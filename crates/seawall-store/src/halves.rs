//! A batch of commits in two halves, for two connections.
//!
//! A database gives a connection one process or thread, so that one batch after another keeps one
//! of its cores busy at most. Two halves at a time keep two busy, and wait for the log together.

use futures_util::future;

use crate::store::{Commit, CommitOutcome, StoreError};

/// What two commits at a time gave.
type Answer = Result<Vec<CommitOutcome>, StoreError>;

/// Carries out a batch on the first of two connections, or half of it on each.
pub(crate) async fn commit<'a, L, F: Future<Output = Answer>>(
    links: &'a [L; 2],
    commits: &'a [Commit],
    is_worth_two: impl Fn(usize) -> bool,
    commit_on: impl Fn(&'a L, &'a [Commit]) -> F,
) -> Answer {
    let [one, another] = links;
    match cut(commits, is_worth_two) {
        None => commit_on(one, commits).await,
        Some((first, second)) => {
            let answers = future::join(commit_on(one, first), commit_on(another, second));
            let (first, second) = answers.await;
            join(first, second)
        }
    }
}

/// Cuts a batch in two, if its size is worth it; no session has commits in both halves. `None` when
/// it is not worth it, or cannot be done.
fn cut(commits: &[Commit], is_worth_it: impl Fn(usize) -> bool) -> Option<(&[Commit], &[Commit])> {
    if !is_worth_it(commits.len()) || !commits.is_sorted_by_key(Commit::key) {
        return None;
    }
    let begins_a_session = |&index: &usize| commits[index - 1].key() != commits[index].key();
    let middle = ((commits.len() / 2).max(1)..commits.len()).find(begins_a_session)?;
    Some(commits.split_at(middle))
}

/// The outcome of the whole batch. When one half failed, nobody can tell from outside which commits
/// took effect, as ever when a batch fails.
fn join(first: Answer, second: Answer) -> Answer {
    match (first, second) {
        (Ok(mut outcomes), Ok(others)) => {
            outcomes.extend(others);
            Ok(outcomes)
        }
        // What may pass counts: the batch is sent again, and what is refused is refused again.
        (Err(error), Err(other)) if !error.is_transient() => Err(other),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, key::SessionKey};

    fn touches(ids: &[&str]) -> Vec<Commit> {
        let touch = |id: &&str| Commit::Touch {
            key: SessionKey {
                id: (*id).into(),
                context: "".into(),
                virtual_host: "".into(),
            },
            last_access: Timestamp::default(),
        };
        ids.iter().map(touch).collect()
    }

    fn sizes(ids: &[&str]) -> Option<(usize, usize)> {
        let commits = touches(ids);
        let (first, second) = cut(&commits, |size| size >= 4)?;
        Some((first.len(), second.len()))
    }

    #[test]
    fn no_session_is_in_both_halves() {
        assert_eq!(sizes(&["a", "b", "c", "d"]), Some((2, 2)));
        assert_eq!(sizes(&["a", "b", "b", "b", "c"]), Some((4, 1)));
        assert_eq!(sizes(&["a", "a", "a", "a"]), None);
        assert_eq!(sizes(&["a", "b", "c"]), None, "too few");
        assert_eq!(sizes(&["b", "a", "c", "d"]), None, "not in order");
    }

    #[test]
    fn a_failure_that_may_pass_counts_before_one_that_does_not() {
        let away = || StoreError::Timeout {
            store: "x".into(),
            waited: std::time::Duration::ZERO,
        };
        let refused = || StoreError::Rejected {
            store: "x".into(),
            reason: "".into(),
            cause: crate::cause::Cause::Other,
        };
        let is_transient = |first, second| join(first, second).unwrap_err().is_transient();
        assert!(is_transient(Err(away()), Err(refused())));
        assert!(is_transient(Err(refused()), Err(away())));
        assert!(is_transient(Ok(Vec::new()), Err(away())));
        assert!(!is_transient(Err(refused()), Ok(Vec::new())));
        let (one, two) = (vec![CommitOutcome::Done], vec![CommitOutcome::Missing]);
        let both = join(Ok(one), Ok(two)).unwrap();
        assert_eq!(both, [CommitOutcome::Done, CommitOutcome::Missing]);
    }
}
