//! Where things are in Redis.
//!
//! A session is a hash, `seawall:{7}:s:HOST|CONTEXT|ID`. Sessions are spread over partitions by
//! their key, and a partition's number stands in braces, so that a cluster keeps the whole
//! partition in one slot, where one script can change a session and its indexes in one step:
//! - `seawall:{7}:expiry`, a sorted set of all sessions of the partition by the time at which they
//!   expire (+inf for never);
//! - `seawall:{7}:principal:NAME`, a set of the sessions of one principal.

use std::sync::Arc;

use crate::key::SessionKey;

/// How many partitions there are: enough to spread over the servers of a cluster. A part of the
/// layout: it never changes.
pub(super) const PARTITIONS: u32 = 64;

/// The names of one store's keys.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: Arc<str>,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    pub(super) fn session(&self, key: &SessionKey) -> String {
        let member = key.to_text();
        format!("{}:{{{}}}:s:{member}", self.prefix, partition(&member))
    }

    pub(super) fn expiry(&self, partition: u32) -> String {
        format!("{}:{{{partition}}}:expiry", self.prefix)
    }

    /// The channel on which the scripts tell of sessions that end or move.
    pub(super) fn notices(&self) -> String {
        format!("{}:notices", self.prefix)
    }

    pub(super) fn principal(&self, partition: u32, principal: &str) -> String {
        format!("{}:{{{partition}}}:principal:{principal}", self.prefix)
    }
}

/// The partition of a session.
pub(super) fn partition_of(key: &SessionKey) -> u32 {
    partition(&key.to_text())
}

/// FNV-1a of the member, which is quick, spreads well and needs no secret: ids are random.
/// <https://www.ietf.org/archive/id/draft-eastlake-fnv-17.html>
fn partition(member: &str) -> u32 {
    let hash = member.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % PARTITIONS
}

/// The session that a name within a partition stands for; `None` for what this layout does not make.
pub(super) fn session_key(member: &str) -> Option<SessionKey> {
    SessionKey::from_text(member)
}

/// The session that a key's full name stands for.
pub(super) fn named_session(name: &str) -> Option<SessionKey> {
    session_key(name.split_once("}:s:")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_never_move() {
        // Hash values from the draft's test vectors.
        assert_eq!(partition(""), 0x811c_9dc5 % PARTITIONS);
        assert_eq!(partition("foobar"), 0xbf9c_f968 % PARTITIONS);
        let key = SessionKey {
            id: "abc".into(),
            context: "_app".into(),
            virtual_host: "h".into(),
        };
        let name = Layout::new("seawall").session(&key);
        assert_eq!(
            name,
            format!("seawall:{{{}}}:s:h|_app|abc", partition_of(&key))
        );
        assert_eq!(named_session(&name), Some(key));
    }
}
