//! Why a stored value is no value of a Rust type.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Why a stored value is no value of a Rust type. It says what kind of value is stored, and not the
/// value itself: that may be a secret, and this goes to the log. What a type's own `Deserialize` says of
/// it (with serde's `Error::custom`) is passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeMismatch(String);

impl de::Error for TypeMismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(stored: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("it is {}, expected {expected}", kind(stored)))
    }

    fn invalid_value(stored: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let kind = kind(stored);
        Self(format!("it is {kind} that is none of {expected}"))
    }

    fn unknown_variant(_stored: &str, expected: &'static [&'static str]) -> Self {
        let expected = expected.join(", ");
        Self(format!("it is another variant than {expected}"))
    }

    /// The name may be a secret as well: the stored map may have been another type's, with secrets as
    /// its keys.
    fn unknown_field(_stored: &str, expected: &'static [&'static str]) -> Self {
        let expected = expected.join(", ");
        Self(format!("it has another field than {expected}"))
    }
}

fn kind(stored: Unexpected<'_>) -> &'static str {
    match stored {
        Unexpected::Bool(_) => "a truth value",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a floating-point number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "something else",
    }
}
