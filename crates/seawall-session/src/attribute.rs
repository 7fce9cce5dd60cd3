//! Attributes as Rust types; errors name the attribute.

use std::sync::Arc;

use seawall_store::{Value, ValueError};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::SessionError;

pub(crate) fn encode<T: Serialize + ?Sized>(name: &str, value: &T) -> Result<Value, SessionError> {
    Value::from_serializable(value).map_err(|source| value_error(name, source))
}

pub(crate) fn decode<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, SessionError> {
    value
        .to_deserializable()
        .map_err(|source| value_error(name, source))
}

fn value_error(name: &str, source: ValueError) -> SessionError {
    SessionError::Value {
        name: name.into(),
        source: Arc::new(source),
    }
}
