//! What one request changes in a session.

use std::{sync::Arc, time::Duration};

use crate::{record::SessionRecord, value::Value};

/// One change.
#[derive(Debug, Clone, PartialEq)]
enum Change {
    IdleTimeout(Option<Duration>),
    Principal(Option<Arc<str>>),
    Remove(Arc<str>),
    Set(Arc<str>, Value),
}

/// Changes in the order in which they were made.
///
/// A change set, not a snapshot, is what a request commits: on a conflict the record is reloaded
/// and the change set applied again. So changes of different attributes by overlapping requests
/// all survive, and of the same attribute the last commit wins (P2).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeSet {
    changes: Vec<Change>,
}

impl ChangeSet {
    /// No changes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: Value) {
        self.changes.push(Change::Set(name.into(), value));
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: impl Into<Arc<str>>) {
        self.changes.push(Change::Remove(name.into()));
    }

    /// Changes how long the session may lie unused; `None` or nothing for ever.
    pub fn set_idle_timeout(&mut self, idle_timeout: Option<Duration>) {
        let idle_timeout = idle_timeout.filter(|timeout| !timeout.is_zero());
        self.changes.push(Change::IdleTimeout(idle_timeout));
    }

    /// Says whose session it is.
    pub fn set_principal(&mut self, principal: Option<Arc<str>>) {
        self.changes.push(Change::Principal(principal));
    }

    /// Adds the changes of `later` after these.
    pub fn append(&mut self, mut later: Self) {
        self.changes.append(&mut later.changes);
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Leaves out the first `count` changes.
    pub fn forget_first(&mut self, count: usize) {
        self.changes.drain(..count.min(self.changes.len()));
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes the changes in `record`.
    pub fn apply(&self, record: &mut SessionRecord) {
        for change in &self.changes {
            match change.clone() {
                Change::IdleTimeout(idle_timeout) => record.idle_timeout = idle_timeout,
                Change::Principal(principal) => record.principal = principal,
                Change::Remove(name) => {
                    record.attributes.remove(&name);
                }
                Change::Set(name, value) => {
                    record.attributes.insert(name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Timestamp, Version};

    fn empty() -> SessionRecord {
        SessionRecord {
            version: Version::default(),
            created_at: Timestamp::default(),
            last_access: Timestamp::default(),
            idle_timeout: None,
            expiry_slack: Duration::ZERO,
            deadline: None,
            principal: None,
            origin: None,
            last_node: "node1".into(),
            writers: crate::Writers::new(),
            attributes: Attributes::new(),
            notes: Attributes::new(),
        }
    }

    #[test]
    fn changes_of_different_attributes_merge_in_any_order() {
        let (mut left, mut right) = (ChangeSet::new(), ChangeSet::new());
        left.set("a", Value::from(1));
        left.remove("gone");
        right.set("b", Value::from(2));
        let (mut one, mut other) = (empty(), empty());
        one.attributes.insert("gone".into(), Value::Null);
        other.attributes.insert("gone".into(), Value::Null);
        left.apply(&mut one);
        right.apply(&mut one);
        right.apply(&mut other);
        left.apply(&mut other);
        assert_eq!(one, other);
        assert_eq!(one.attributes.len(), 2);
    }

    #[test]
    fn what_was_first_is_left_out() {
        let mut changes = ChangeSet::new();
        changes.set("a", Value::from(1));
        changes.set("b", Value::from(2));
        changes.forget_first(1);
        let mut record = empty();
        changes.apply(&mut record);
        assert_eq!((changes.len(), record.attributes.len()), (1, 1));
        changes.forget_first(2);
        assert!(changes.is_empty());
    }

    #[test]
    fn of_the_same_attribute_the_later_change_wins() {
        let mut changes = ChangeSet::new();
        changes.set("a", Value::from(1));
        changes.remove("a");
        changes.set("a", Value::from(3));
        let mut record = empty();
        changes.apply(&mut record);
        assert_eq!(record.attributes["a"], Value::I64(3));
    }
}
