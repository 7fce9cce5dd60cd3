//! The values that a session can hold, and the way between them and Rust types.

mod mismatch;
mod reading;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

pub use mismatch::TypeMismatch;

/// How deep values may nest: a number in a list in a list is 2 levels deep. Deeper ones would
/// exhaust the stack of a reader, and are not read back from the store.
pub const NESTING_LIMIT: usize = 64;

/// One attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A floating-point number.
    F64(f64),
    /// An integer.
    I64(i64),
    /// Values in order.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<Arc<str>, Self>),
    /// No value.
    Null,
    /// What this program cannot read; kept byte for byte, so that nothing is lost.
    Opaque(Arc<[u8]>),
    /// Text.
    String(Arc<str>),
}

/// Why a Rust value could not become a [`Value`], or the other way round.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The type asks for something else than what is stored.
    #[error("the stored value has another type: {0}")]
    Decode(#[source] TypeMismatch),
    /// The type's serializer failed, or the value has no counterpart (an integer over 63 bits).
    #[error("the value cannot be stored: {0}")]
    Encode(Box<dyn std::error::Error + Send + Sync>),
    /// The value is damaged, or another program wrote it in a format that this one does not read.
    #[error("the stored value cannot be read: it is damaged, or another program wrote it")]
    Opaque,
}

impl Value {
    /// How many bytes the value takes in the store, at most: every head counts as the longest.
    #[must_use]
    pub fn size(&self) -> usize {
        const HEAD: usize = 5;
        const NUMBER: usize = 9;
        match self {
            Self::Bool(_) | Self::Null => 1,
            Self::F64(_) | Self::I64(_) => NUMBER,
            Self::Bytes(bytes) => HEAD + bytes.len(),
            Self::String(text) => HEAD + text.len(),
            Self::List(values) => HEAD + values.iter().map(Self::size).sum::<usize>(),
            Self::Map(values) => {
                let pairs = values
                    .iter()
                    .map(|(name, value)| HEAD + name.len() + value.size());
                HEAD + pairs.sum::<usize>()
            }
            Self::Opaque(raw) => raw.len(),
        }
    }

    /// Whether the value is nested no deeper than [`NESTING_LIMIT`].
    #[must_use]
    pub fn nests_within_limit(&self) -> bool {
        self.nests_within(NESTING_LIMIT)
    }

    fn nests_within(&self, depth: usize) -> bool {
        let inner = |depth: usize| move |value: &Self| value.nests_within(depth);
        match (self, depth.checked_sub(1)) {
            (Self::List(_) | Self::Map(_), None) => false,
            (Self::List(values), Some(depth)) => values.iter().all(inner(depth)),
            (Self::Map(values), Some(depth)) => values.values().all(inner(depth)),
            _ => true,
        }
    }

    /// Turns any serializable Rust value into a [`Value`]. Nested options lose what is between them:
    /// `Some(None)` becomes [`Value::Null`], as `None` does. Map keys become text; within enums that serde
    /// tags inside or not at all, and in flattened fields, integers are not read back from that, as in
    /// JSON.
    ///
    /// # Errors
    /// [`ValueError::Encode`] when the type's serializer fails, a `u64` exceeds `i64`, or the key of a
    /// map is no text, integer, truth value, character or enum without content.
    pub fn from_serializable<T: Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        let bytes = rmp_serde::to_vec_named(value).map_err(|e| ValueError::Encode(e.into()))?;
        rmp_serde::from_slice(&bytes).map_err(|e| ValueError::Encode(e.into()))
    }

    /// Turns the value into a Rust type.
    ///
    /// # Errors
    /// [`ValueError::Decode`] when the type does not fit, [`ValueError::Opaque`] when the value
    /// cannot be read here.
    pub fn to_deserializable<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        if !self.is_readable() {
            return Err(ValueError::Opaque);
        }
        T::deserialize(self).map_err(ValueError::Decode)
    }

    /// Whether this program can read the value: everything but [`Value::Opaque`].
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !matches!(self, Self::Opaque(_))
    }

    /// The integer, when the value is one.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::I64(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, when the value is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Bytes(bytes) | Self::Opaque(bytes) => serializer.serialize_bytes(bytes),
            Self::F64(value) => serializer.serialize_f64(*value),
            Self::I64(value) => serializer.serialize_i64(*value),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Map(values) => {
                let mut map = serializer.serialize_map(Some(values.len()))?;
                for (name, value) in values {
                    map.serialize_entry(&**name, value)?;
                }
                map.end()
            }
            Self::Null => serializer.serialize_unit(),
            Self::String(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session attribute")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::I64)
            .map_err(|_| E::custom("an integer exceeds 63 bits; keep it as text"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<Value, Value>()? {
            values.insert(
                map_name(&name).ok_or_else(|| A::Error::custom(MAP_NAME))?,
                value,
            );
        }
        Ok(Value::Map(values))
    }
}

const MAP_NAME: &str = "a map key must be text, an integer or a truth value";

/// Maps keyed by integers are common in Rust types; their keys are kept as decimal text.
fn map_name(name: &Value) -> Option<Arc<str>> {
    match name {
        Value::Bool(name) => Some(name.to_string().into()),
        Value::String(name) => Some(name.clone()),
        Value::I64(name) => Some(name.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Cart {
        items: Vec<String>,
        total: Option<f64>,
        kind: Kind,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Gift { to: String },
        Plain,
    }

    #[test]
    fn any_serde_type_comes_back() {
        for kind in [
            Kind::Plain,
            Kind::Gift {
                to: "a friend".to_owned(),
            },
        ] {
            let cart = Cart {
                items: vec!["tea".to_owned()],
                total: Some(1.5),
                kind,
            };
            let value = Value::from_serializable(&cart).unwrap();
            assert_eq!(value.to_deserializable::<Cart>().unwrap(), cart);
        }
    }

    fn assert_comes_back<T>(kept: &T)
    where
        T: PartialEq + fmt::Debug + Serialize + DeserializeOwned,
    {
        let value = Value::from_serializable(kept).unwrap();
        assert_eq!(value.to_deserializable::<T>().unwrap(), *kept, "{value:?}");
    }

    #[test]
    fn maps_come_back_whatever_their_keys_are() {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        struct Id(u64);
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        enum Size {
            Large,
        }
        assert_comes_back(&BTreeMap::from([(7_u32, "a".to_owned())]));
        assert_comes_back(&BTreeMap::from([(i64::MIN, 1), (-1, 2)]));
        assert_comes_back(&BTreeMap::from([(Id(7), BTreeMap::from([(8_u8, ())]))]));
        assert_comes_back(&BTreeMap::from([(true, 1), (false, 0)]));
        assert_comes_back(&BTreeMap::from([(Some(3_i8), 1)]));
        assert_comes_back(&BTreeMap::from([('c', 1)]));
        assert_comes_back(&BTreeMap::from([(Size::Large, 1)]));
        assert_comes_back(&BTreeMap::from([("7".to_owned(), 1)]));
        let refused = Value::from_serializable(&BTreeMap::from([((1, 2), 3)]));
        assert!(matches!(refused, Err(ValueError::Encode(_))));
    }

    /// Reads no signed integer, as the weekdays of the crate `time`.
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    struct Weekday(u8);

    impl<'de> Deserialize<'de> for Weekday {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Unsigned;
            impl Visitor<'_> for Unsigned {
                type Value = Weekday;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("the number of a weekday")
                }

                fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Weekday, E> {
                    u8::try_from(value).map(Weekday).map_err(E::custom)
                }
            }
            deserializer.deserialize_u8(Unsigned)
        }
    }

    #[test]
    fn types_of_every_shape_come_back() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Unit;
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Any {
            Unit,
            New(u8),
            Tuple(u8, String),
            Struct { a: Option<char> },
            Nested(Option<Kind>),
        }
        assert_comes_back(&Unit);
        assert_comes_back(&Weekday(3));
        assert_comes_back(&BTreeMap::from([(Weekday(3), Weekday(4))]));
        assert_comes_back(&(1_u8, 'x', None::<u8>, [1.5_f32, f32::INFINITY]));
        assert_comes_back(&vec![i128::MIN, i128::MAX, 5]);
        assert_comes_back(&u128::MAX);
        assert_comes_back(&std::time::Duration::from_millis(1_500));
        assert_comes_back(&"::1".parse::<std::net::IpAddr>().unwrap());
        assert_comes_back(&vec![
            Any::Unit,
            Any::New(1),
            Any::Tuple(2, "x".to_owned()),
            Any::Struct { a: Some('a') },
            Any::Nested(None),
            Any::Nested(Some(Kind::Plain)),
        ]);
    }

    #[test]
    fn bytes_are_read_as_the_list_that_a_type_asks_for() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Color(u8, u8, u8);
        let bytes = Value::Bytes(Arc::from(&[1, 2, 3][..]));
        assert_eq!(bytes.to_deserializable::<Vec<u8>>().unwrap(), [1, 2, 3]);
        assert_eq!(bytes.to_deserializable::<[u8; 3]>().unwrap(), [1, 2, 3]);
        assert_eq!(bytes.to_deserializable::<Color>().unwrap(), Color(1, 2, 3));
        assert!(bytes.to_deserializable::<[u8; 2]>().is_err());
        assert!(bytes.to_deserializable::<[u8; 4]>().is_err());
        assert_eq!(Value::I64(-5).to_deserializable::<i128>().unwrap(), -5);
    }

    #[test]
    fn a_stored_name_is_no_part_of_what_is_said() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Settings {
            #[serde(rename = "theme")]
            _theme: Option<String>,
        }
        let tokens = Value::Map(BTreeMap::from([("hush".into(), Value::Null)]));
        let refused = tokens.to_deserializable::<Settings>().unwrap_err();
        assert!(refused.to_string().ends_with("another field than theme"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |value: Value| value.to_deserializable::<u8>().unwrap_err().to_string();
        let map = Value::Map(BTreeMap::new());
        assert!(error(map).ends_with("it is a map, expected u8"));
        assert!(error(Value::I64(300)).ends_with("it is an integer that is none of u8"));
        for secret in [Value::from("hush"), Value::Bytes(b"hush".as_slice().into())] {
            assert!(!error(secret.clone()).contains("hush"));
            let kind = secret.to_deserializable::<Kind>().unwrap_err().to_string();
            assert!(!kind.contains("hush"), "{kind}");
        }
        let surplus = Value::List(vec![Value::I64(1), Value::I64(2)]);
        assert!(surplus.to_deserializable::<(u8,)>().is_err());
        let number = Value::Map(BTreeMap::from([("x".into(), Value::Null)]));
        assert!(number.to_deserializable::<BTreeMap<u8, ()>>().is_err());
    }

    #[test]
    fn wrong_types_and_large_integers_are_errors() {
        assert!(matches!(
            Value::from("x").to_deserializable::<i64>(),
            Err(ValueError::Decode(_))
        ));
        assert!(matches!(
            Value::from_serializable(&u64::MAX),
            Err(ValueError::Encode(_))
        ));
        let opaque = Value::Opaque(Arc::from(&b"\xac\xed"[..]));
        assert!(matches!(
            opaque.to_deserializable::<i64>(),
            Err(ValueError::Opaque)
        ));
    }
}
