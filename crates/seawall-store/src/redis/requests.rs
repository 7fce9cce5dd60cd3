//! What the store asks of Redis over one connection.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use redis::ScriptInvocation;

use super::{
    connection::Connection,
    error::Failure,
    layout::{self, Layout, PARTITIONS},
    row::{self, Columns},
    scripts::{self, Batch, Move, Scripts},
};
use crate::{
    clock::Timestamp,
    codec::Codec,
    key::SessionKey,
    record::{SessionRecord, Version},
    store::{Commit, CommitOutcome, Expired, LIST_LIMIT, Read, ReadOutcome, SessionSummary},
};

/// How long a commit waits for replicas.
const REPLICA_LIMIT: Duration = Duration::from_secs(2);

/// One connection, with what is needed to use it.
pub(super) struct Requests<'a> {
    pub(super) codec: &'a Codec,
    pub(super) layout: &'a Layout,
    pub(super) scripts: &'a Scripts,
    pub(super) connection: &'a Connection,
}

impl Requests<'_> {
    pub(super) async fn read(&self, reads: &[Read]) -> Result<Vec<ReadOutcome>, Failure> {
        if let [read] = reads {
            return Ok(vec![self.read_one(read).await?]);
        }
        let groups = self.groups(0..reads.len(), |index| &reads[index].key);
        let answers = try_join_all(groups.iter().map(|group| async move {
            let mut script = self.scripts.read.prepare_invoke();
            for &index in group {
                let Read { key, known } = &reads[index];
                let known = known.map_or(String::new(), |version| version.as_i64().to_string());
                script.key(self.layout.session(key)).arg(known);
            }
            self.connection
                .invoke::<Vec<Option<Columns>>>(&script)
                .await
        }))
        .await?;
        let mut outcomes = vec![ReadOutcome::Missing; reads.len()];
        for (index, columns) in flatten(&groups, answers) {
            outcomes[index] = match columns.as_deref().and_then(row::departed_from) {
                Some(origin) => self.read_moving(&reads[index].key, origin).await?,
                None => row::outcome(columns, &reads[index].key, self.codec),
            };
        }
        Ok(outcomes)
    }

    /// A read that is alone needs no script. The contents are asked for only when the version is not
    /// the known one.
    async fn read_one(&self, read: &Read) -> Result<ReadOutcome, Failure> {
        match self.read_hash(read).await {
            Err(failure) if failure.is_of_another_type() => Ok(row::of_another_type(self.codec)),
            outcome => outcome,
        }
    }

    async fn read_hash(&self, Read { key, known }: &Read) -> Result<ReadOutcome, Failure> {
        let ask = async |columns: &[&str]| {
            let mut command = redis::cmd("HMGET");
            command.arg(self.layout.session(key)).arg(columns);
            self.connection.query::<Columns>(&command).await
        };
        if let Some(known) = known
            && let Some(outcome) = row::current(&ask(&row::STATE).await?, *known)
        {
            return Ok(outcome);
        }
        let mut columns = ask(&row::COLUMNS).await?;
        if let Some(origin) = row::take_pending(&mut columns)? {
            return self.read_moving(key, &origin).await;
        }
        let columns = Some(columns).filter(|columns| columns[0].is_some());
        Ok(row::outcome(columns, key, self.codec))
    }

    pub(super) async fn commit(&self, commits: &[Commit]) -> Result<Vec<CommitOutcome>, Failure> {
        let (moves, others): (Vec<_>, Vec<_>) =
            (0..commits.len()).partition(|&index| self.is_move(&commits[index]));
        let groups = self.groups(others, |index| commits[index].key());
        // One after the other, so that a move takes a touch of the same batch along.
        let scripted = try_join_all(groups.iter().map(|group| async move {
            let mut batch = Batch::new(self.scripts, self.layout, self.codec);
            group.iter().for_each(|&index| batch.push(&commits[index]));
            self.connection
                .invoke::<Vec<String>>(&batch.invocation)
                .await
        }))
        .await?;
        let moved =
            try_join_all(moves.iter().map(|&index| self.carry_over(&commits[index]))).await?;
        let mut outcomes = vec![CommitOutcome::Missing; commits.len()];
        for (index, word) in flatten(&groups, scripted) {
            outcomes[index] = match &commits[index] {
                Commit::Delete { origin, .. } => self.follow(word, origin).await?,
                _ => scripts::outcome(&word)?,
            };
        }
        for (index, outcome) in moves.into_iter().zip(moved) {
            outcomes[index] = outcome;
        }
        Ok(outcomes)
    }

    /// Waits until `replicas` have all that this connection has written.
    pub(super) async fn await_replicas(&self, replicas: u32) -> Result<(), Failure> {
        if replicas == 0 {
            return Ok(());
        }
        let mut command = redis::cmd("WAIT");
        command.arg(replicas).arg(REPLICA_LIMIT.as_millis());
        match self.connection.query(&command).await? {
            reached if reached < replicas => Err(Failure::TooFewReplicas(reached)),
            _ => Ok(()),
        }
    }

    pub(super) async fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Expired>, Failure> {
        let mut claimed = Vec::new();
        for partitions in self.due_partitions(now).await? {
            let mut script = self.scripts.claim.prepare_invoke();
            for partition in partitions {
                script.key(self.layout.expiry(partition));
            }
            script.arg(now.as_millis()).arg(limit - claimed.len());
            for columns in self.connection.invoke::<Vec<Columns>>(&script).await? {
                claimed.push(row::expired(&columns, self.codec)?);
            }
            if claimed.len() >= limit {
                break;
            }
        }
        Ok(claimed)
    }

    /// The partitions in which sessions have expired, as [`partitions`](Self::partitions) gives them.
    /// In a cluster all are asked at once: to claim from one after the other takes long.
    async fn due_partitions(&self, now: Timestamp) -> Result<Vec<Vec<u32>>, Failure> {
        if !self.connection.is_cluster() {
            return Ok(self.partitions());
        }
        let counts = try_join_all((0..PARTITIONS).map(|partition| {
            let mut command = redis::cmd("ZCOUNT");
            command.arg(self.layout.expiry(partition));
            command.arg("-inf").arg(now.as_millis());
            async move { self.connection.query::<u64>(&command).await }
        }))
        .await?;
        let due = (0..PARTITIONS).zip(counts).filter(|(_, count)| *count > 0);
        Ok(due.map(|(partition, _)| vec![partition]).collect())
    }

    pub(super) async fn list_by_principal(
        &self,
        principal: &str,
        now: Timestamp,
    ) -> Result<Vec<SessionSummary>, Failure> {
        let answers = try_join_all(self.partitions().into_iter().map(|partitions| async move {
            let mut script = self.scripts.list.prepare_invoke();
            for partition in partitions {
                script.key(self.layout.principal(partition, principal));
            }
            script.arg(now.as_millis());
            self.connection.invoke::<Vec<Columns>>(&script).await
        }))
        .await?;
        let found = answers.iter().flatten();
        let mut sessions: Vec<_> = found
            .map(|columns| row::summary(columns))
            .collect::<Result<_, _>>()?;
        sessions.sort_by_key(|session| Reverse(session.last_access));
        sessions.truncate(usize::from(LIST_LIMIT));
        Ok(sessions)
    }

    pub(super) async fn count(&self) -> Result<u64, Failure> {
        let counts = try_join_all((0..PARTITIONS).map(|partition| {
            let mut command = redis::cmd("ZCARD");
            command.arg(self.layout.expiry(partition));
            async move { self.connection.query::<u64>(&command).await }
        }))
        .await?;
        Ok(counts.iter().sum())
    }

    /// Whether a commit moves a session to a partition that another server may hold.
    fn is_move(&self, commit: &Commit) -> bool {
        let Commit::Rename { key, new_id, .. } = commit else {
            return false;
        };
        self.connection.is_cluster()
            && layout::partition_of(key) != layout::partition_of(&key.with_id(new_id.clone()))
    }

    /// Renames a session into another partition, in the steps that `commit.lua` describes.
    async fn carry_over(&self, commit: &Commit) -> Result<CommitOutcome, Failure> {
        let Commit::Rename {
            key,
            new_id,
            expected,
            record,
        } = commit
        else {
            return Err(Failure::Unexpected("a move that is no rename"));
        };
        let to = &key.with_id(new_id.clone());
        let stored = self.departure(key, to).await?;
        match stored.version {
            None if !stored.has_departed => return Ok(CommitOutcome::Missing),
            Some(version) if version != *expected => return Ok(CommitOutcome::Conflict),
            _ => {}
        }
        // The last access never goes back. A touch that comes between is lost, by milliseconds.
        let record = SessionRecord {
            last_access: record.last_access.max(stored.last_access),
            ..(**record).clone()
        };
        let steps = Move {
            scripts: self.scripts,
            layout: self.layout,
            from: key,
            to,
        };
        for step in [
            steps.prepare(&record, self.codec),
            steps.depart(expected.as_i64()),
            steps.confirm(),
            steps.conclude(),
        ] {
            let outcome = self.step(&step).await?;
            if outcome != CommitOutcome::Done {
                return Ok(outcome);
            }
        }
        Ok(CommitOutcome::Done)
    }

    /// What there is of a session that is to move.
    async fn departure(&self, from: &SessionKey, to: &SessionKey) -> Result<Departure, Failure> {
        let mut command = redis::cmd("HMGET");
        command
            .arg(self.layout.session(from))
            .arg(&["version", "access", "moved", "concluded"]);
        type Columns = (Option<i64>, Option<i64>, Option<String>, Option<i64>);
        let (version, access, moved, concluded): Columns = self.connection.query(&command).await?;
        Ok(Departure {
            version: version.map(Version::from_i64),
            last_access: Timestamp::from_millis(access.unwrap_or(0)),
            has_departed: moved == Some(self.layout.session(to)) && concluded.is_none(),
        })
    }

    /// Reads a session that is on its way from `origin`. It has arrived if it has departed there.
    pub(super) async fn read_moving(
        &self,
        key: &SessionKey,
        origin: &str,
    ) -> Result<ReadOutcome, Failure> {
        let mut command = redis::cmd("HGET");
        command.arg(origin).arg("moved");
        let moved: Option<String> = self.connection.query(&command).await?;
        if moved.as_deref() != Some(&self.layout.session(key)) {
            return Ok(ReadOutcome::Missing);
        }
        let mut confirm = self.scripts.commit.prepare_invoke();
        confirm
            .key(self.layout.session(key))
            .arg("confirm")
            .arg(origin);
        self.step(&confirm).await?;
        let mut script = self.scripts.read.prepare_invoke();
        script.key(self.layout.session(key)).arg("");
        let mut answers: Vec<Option<Columns>> = self.connection.invoke(&script).await?;
        let columns = answers.pop().flatten();
        Ok(row::outcome(columns, key, self.codec))
    }

    /// Deletes a session wherever it has moved to; `word` is the answer from where it was.
    async fn follow(&self, mut word: String, origin: &str) -> Result<CommitOutcome, Failure> {
        while word.contains(':') {
            let deletion = scripts::delete_moved(self.scripts, &word, origin);
            let mut words: Vec<String> = self.connection.invoke(&deletion).await?;
            word = words.pop().unwrap_or_default();
        }
        scripts::outcome(&word)
    }

    async fn step(&self, step: &ScriptInvocation<'_>) -> Result<CommitOutcome, Failure> {
        let words: Vec<String> = self.connection.invoke(step).await?;
        match words.as_slice() {
            [word] => scripts::outcome(word),
            _ => Err(Failure::Unexpected(
                "another number of outcomes than of commits",
            )),
        }
    }

    /// What can go to Redis in one script: everything, or in a cluster what is in one partition.
    pub(super) fn groups<'k>(
        &self,
        indexes: impl IntoIterator<Item = usize>,
        key: impl Fn(usize) -> &'k SessionKey,
    ) -> Vec<Vec<usize>> {
        let mut groups = BTreeMap::<u32, Vec<usize>>::new();
        for index in indexes {
            let partition = if self.connection.is_cluster() {
                layout::partition_of(key(index))
            } else {
                0
            };
            groups.entry(partition).or_default().push(index);
        }
        groups.into_values().collect()
    }

    /// The partitions that one script may work on together.
    fn partitions(&self) -> Vec<Vec<u32>> {
        if self.connection.is_cluster() {
            (0..PARTITIONS).map(|partition| vec![partition]).collect()
        } else {
            vec![(0..PARTITIONS).collect()]
        }
    }
}

/// A session that is to move to another partition, or has departed in an earlier try.
struct Departure {
    version: Option<Version>,
    last_access: Timestamp,
    has_departed: bool,
}

/// The answers of all groups, each with where it stands in the batch.
pub(super) fn flatten<T>(groups: &[Vec<usize>], answers: Vec<Vec<T>>) -> Vec<(usize, T)> {
    let indexes = groups.iter().flatten().copied();
    indexes.zip(answers.into_iter().flatten()).collect()
}
