//! The `session` that a page sees.
//!
//! The template engine wants objects that it can keep, so a page does not get the draft itself but
//! a view of it, and what the page changes is collected and applied afterwards.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Object, ValueKind, from_args},
};
use seawall_session::{Draft, SessionId, SessionLimits};
use seawall_store::{ChangeSet, SessionRecord};

/// A page's view of its session.
pub(super) struct SessionObject {
    id: SessionId,
    is_new: bool,
    limits: SessionLimits,
    state: Mutex<PageState>,
}

struct PageState {
    view: Arc<SessionRecord>,
    changes: ChangeSet,
    id_seen: bool,
    invalidated: bool,
}

impl fmt::Debug for SessionObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionObject").finish_non_exhaustive()
    }
}

impl SessionObject {
    pub(super) fn new(draft: &Draft<'_>) -> Self {
        let state = PageState {
            view: draft.record().clone(),
            changes: ChangeSet::new(),
            id_seen: false,
            invalidated: false,
        };
        let id = draft.candidate_id().clone();
        Self {
            id,
            is_new: draft.is_new(),
            limits: draft.limits().clone(),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does to the draft what the page did to its view.
    pub(super) fn apply(&self, draft: &mut Draft<'_>) {
        let state = self.lock();
        draft.apply(&state.changes);
        if state.id_seen {
            let _ = draft.id();
        }
        if state.invalidated {
            draft.invalidate();
        }
    }

    fn set(&self, name: &str, value: seawall_store::Value) -> Result<(), Error> {
        let mut state = self.lock();
        let fits = self.limits.check(&state.view.attributes, name, &value);
        fits.map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
        let mut change = ChangeSet::new();
        change.set(name, value);
        change.apply(Arc::make_mut(&mut state.view));
        state.changes.append(change);
        Ok(())
    }

    fn remove(&self, name: &str) {
        let mut state = self.lock();
        let mut change = ChangeSet::new();
        change.remove(name);
        change.apply(Arc::make_mut(&mut state.view));
        state.changes.append(change);
    }

    fn attribute(&self, name: &str) -> Value {
        self.lock()
            .view
            .attributes
            .get(name)
            .map_or(Value::UNDEFINED, to_page)
    }

    fn increment(&self, name: &str) -> Result<Value, Error> {
        let current = self.lock().view.attributes.get(name).cloned();
        let current = match current {
            None => 0,
            Some(value) => value.as_i64().ok_or_else(|| {
                let text = format!("session attribute {name:?} is not an integer");
                Error::new(ErrorKind::InvalidOperation, text)
            })?,
        };
        let next = current.checked_add(1).ok_or_else(|| {
            let text = format!("session attribute {name:?} is as large as an integer can be");
            Error::new(ErrorKind::InvalidOperation, text)
        })?;
        self.set(name, next.into())?;
        Ok(Value::from(next))
    }
}

impl Object for SessionObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        Some(match name {
            "id" => {
                self.lock().id_seen = true;
                Value::from(self.id.as_str())
            }
            "is_new" => Value::from(self.is_new),
            "created_at" => Value::from(self.lock().view.created_at.as_millis()),
            "last_access" => Value::from(self.lock().view.last_access.as_millis()),
            "attributes" => {
                let view = self.lock().view.clone();
                let readable = view
                    .attributes
                    .iter()
                    .filter(|(_, value)| value.is_readable());
                readable
                    .map(|(name, value)| (&**name, to_page(value)))
                    .collect()
            }
            name => return Some(self.attribute(name)).filter(|value| !value.is_undefined()),
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "get" => {
                let (name,): (&str,) = from_args(arguments)?;
                Ok(self.attribute(name))
            }
            "set" => {
                let (name, value): (&str, Value) = from_args(arguments)?;
                self.set(name, from_page(&value)?)?;
                Ok(Value::from(""))
            }
            "remove" => {
                let (name,): (&str,) = from_args(arguments)?;
                self.remove(name);
                Ok(Value::from(""))
            }
            "increment" => {
                let (name,): (&str,) = from_args(arguments)?;
                self.increment(name)
            }
            "invalidate" => {
                self.lock().invalidated = true;
                Ok(Value::from(""))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

fn to_page(value: &seawall_store::Value) -> Value {
    use seawall_store::Value as Stored;
    match value {
        Stored::Bool(value) => Value::from(*value),
        Stored::Bytes(bytes) => Value::from_bytes(bytes.to_vec()),
        Stored::F64(value) => Value::from(*value),
        Stored::I64(value) => Value::from(*value),
        Stored::List(values) => values.iter().map(to_page).collect(),
        Stored::Map(values) => values
            .iter()
            .map(|(name, value)| (&**name, to_page(value)))
            .collect(),
        Stored::Null => Value::from(()),
        Stored::Opaque(_) => Value::UNDEFINED,
        Stored::String(text) => Value::from(text.clone()),
    }
}

fn from_page(value: &Value) -> Result<seawall_store::Value, Error> {
    if value.kind() == ValueKind::String
        && let Some(text) = value.as_str()
    {
        return Ok(text.into());
    }
    seawall_store::Value::from_serializable(value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "the value cannot be stored").with_source(error)
    })
}
