//! Looking for sessions, wherever they have moved to.

use futures_util::future::try_join_all;
use redis::Value;

use super::{
    error::Failure,
    layout,
    requests::{Requests, flatten},
};
use crate::{
    clock::Timestamp,
    key::SessionKey,
    store::{Lookup, ReadOutcome},
};

/// What `locate.lua` says of a session that is where it is looked for.
const HERE: &str = "here";

const NAME: Failure = Failure::Unexpected("a session with another name");

/// A session on the way to where it is: its place in the batch, where to look next, and the name
/// under which it was before.
struct Trail {
    index: usize,
    key: SessionKey,
    from: String,
}

/// Where a session is.
enum Whereabouts {
    Gone,
    Here,
    Moved(SessionKey),
}

impl Requests<'_> {
    /// Follows each session by the proofs that its renames have left.
    pub(super) async fn locate(
        &self,
        lookups: &[Lookup],
        now: Timestamp,
    ) -> Result<Vec<Option<SessionKey>>, Failure> {
        let mut located = vec![None; lookups.len()];
        let trail = |(index, lookup): (usize, &Lookup)| Trail {
            index,
            key: lookup.key.clone(),
            from: String::new(),
        };
        let mut trails: Vec<_> = lookups.iter().enumerate().map(trail).collect();
        while !trails.is_empty() {
            let mut moved = Vec::new();
            for (position, answer) in self.ask_where(&trails, now).await? {
                let Trail { index, key, .. } = &trails[position];
                match self.understand(key, answer).await? {
                    Whereabouts::Gone => {}
                    Whereabouts::Here => located[*index] = Some(key.clone()),
                    Whereabouts::Moved(to) => moved.push(Trail {
                        index: *index,
                        key: to,
                        from: self.layout.session(key),
                    }),
                }
            }
            trails = moved;
        }
        Ok(located)
    }

    /// What an answer of `locate.lua` about `key` means.
    async fn understand(&self, key: &SessionKey, answer: Value) -> Result<Whereabouts, Failure> {
        match answer {
            Value::Nil => Ok(Whereabouts::Gone),
            Value::Array(from) => {
                let [from]: [Value; 1] = from.try_into().map_err(|_| NAME)?;
                let from: String = redis::from_redis_value(from).map_err(|_| NAME)?;
                Ok(match self.read_moving(key, &from).await? {
                    ReadOutcome::Missing => Whereabouts::Gone,
                    _ => Whereabouts::Here,
                })
            }
            name => {
                let name: String = redis::from_redis_value(name).map_err(|_| NAME)?;
                if name == HERE {
                    return Ok(Whereabouts::Here);
                }
                let to = layout::named_session(&name).ok_or(NAME)?;
                Ok(Whereabouts::Moved(to))
            }
        }
    }

    async fn ask_where(
        &self,
        trails: &[Trail],
        now: Timestamp,
    ) -> Result<Vec<(usize, Value)>, Failure> {
        let groups = self.groups(0..trails.len(), |position| &trails[position].key);
        let answers = try_join_all(groups.iter().map(|group| async move {
            let mut script = self.scripts.locate.prepare_invoke();
            script.arg(now.as_millis());
            for &position in group {
                let Trail { key, from, .. } = &trails[position];
                script.key(self.layout.session(key)).arg(from);
            }
            self.connection.invoke::<Vec<Value>>(&script).await
        }))
        .await?;
        Ok(flatten(&groups, answers))
    }
}
