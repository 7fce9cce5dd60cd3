//! The scripts, and a batch of commits as the arguments of one.

use redis::{Script, ScriptInvocation};

use super::{error::Failure, layout::Layout, row};
use crate::{
    codec::Codec,
    key::SessionKey,
    record::SessionRecord,
    store::{Commit, CommitOutcome},
};

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) commit: Script,
    pub(super) list: Script,
    pub(super) locate: Script,
    pub(super) read: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            claim: Script::new(include_str!("lua/claim.lua")),
            commit: Script::new(include_str!("lua/commit.lua")),
            list: Script::new(include_str!("lua/list.lua")),
            locate: Script::new(include_str!("lua/locate.lua")),
            read: Script::new(include_str!("lua/read.lua")),
        }
    }
}

/// A batch in the making.
pub(super) struct Batch<'a> {
    layout: &'a Layout,
    codec: &'a Codec,
    pub(super) invocation: ScriptInvocation<'a>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(scripts: &'a Scripts, layout: &'a Layout, codec: &'a Codec) -> Self {
        Self {
            layout,
            codec,
            invocation: scripts.commit.prepare_invoke(),
        }
    }

    pub(super) fn push(&mut self, commit: &Commit) {
        self.invocation.key(self.layout.session(commit.key()));
        match commit {
            Commit::Create { key, record } => {
                self.invocation.arg("create");
                row::push_record(&mut self.invocation, record, self.codec.encode(key, record));
            }
            Commit::Delete { origin, .. } => {
                self.invocation.arg("delete").arg(&**origin).arg("");
            }
            Commit::Rename {
                key,
                new_id,
                expected,
                record,
            } => {
                let renamed = key.with_id(new_id.clone());
                self.invocation
                    .key(self.layout.session(&renamed))
                    .arg("rename")
                    .arg(expected.as_i64());
                let map = self.codec.encode(&renamed, record);
                row::push_record(&mut self.invocation, record, map);
            }
            Commit::Touch { last_access, .. } => {
                self.invocation.arg("touch").arg(last_access.as_millis());
            }
            Commit::Update {
                key,
                expected,
                record,
            } => {
                self.invocation.arg("update").arg(expected.as_i64());
                row::push_record(&mut self.invocation, record, self.codec.encode(key, record));
            }
        }
    }
}

/// The steps of a rename from one partition of a cluster to another.
pub(super) struct Move<'a> {
    pub(super) scripts: &'a Scripts,
    pub(super) layout: &'a Layout,
    pub(super) from: &'a SessionKey,
    pub(super) to: &'a SessionKey,
}

impl<'a> Move<'a> {
    pub(super) fn prepare(&self, record: &SessionRecord, codec: &Codec) -> ScriptInvocation<'a> {
        let mut step = self.step(self.to, "prepare");
        step.arg(self.layout.session(self.from));
        row::push_record(&mut step, record, codec.encode(self.to, record));
        step
    }

    pub(super) fn depart(&self, expected: i64) -> ScriptInvocation<'a> {
        let mut step = self.step(self.from, "depart");
        step.arg(expected).arg(self.layout.session(self.to));
        step
    }

    pub(super) fn confirm(&self) -> ScriptInvocation<'a> {
        let mut step = self.step(self.to, "confirm");
        step.arg(self.layout.session(self.from));
        step
    }

    pub(super) fn conclude(&self) -> ScriptInvocation<'a> {
        let mut step = self.step(self.from, "conclude");
        step.arg(self.layout.session(self.to));
        step
    }

    fn step(&self, key: &SessionKey, name: &str) -> ScriptInvocation<'a> {
        let mut step = self.scripts.commit.prepare_invoke();
        step.key(self.layout.session(key)).arg(name);
        step
    }
}

/// The deletion of a session that has moved to the key `session`.
pub(super) fn delete_moved<'a>(
    scripts: &'a Scripts,
    session: &str,
    origin: &str,
) -> ScriptInvocation<'a> {
    let mut deletion = scripts.commit.prepare_invoke();
    deletion.key(session).arg("delete").arg(origin).arg("moved");
    deletion
}

/// What a script's word for an outcome means.
pub(super) fn outcome(word: &str) -> Result<CommitOutcome, Failure> {
    match word {
        "conflict" => Ok(CommitOutcome::Conflict),
        "done" => Ok(CommitOutcome::Done),
        "exists" => Ok(CommitOutcome::Exists),
        "missing" => Ok(CommitOutcome::Missing),
        _ => Err(Failure::Unexpected("an outcome of another version")),
    }
}
