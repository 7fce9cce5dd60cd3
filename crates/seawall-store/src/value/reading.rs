//! Reading a [`Value`] as a Rust type.
//!
//! It takes the forms that `rmp_serde` gives to Rust types when they are written: an enum is its
//! variant's name, or a map of one entry; a unit struct is an empty list; integers of 128 bits are 16
//! bytes. As there, bytes are read as a list of integers where a type asks for one. The names of a map
//! are text, whatever the type's keys are: [`Key`] makes them integers again.

use std::sync::Arc;

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, Unexpected, VariantAccess,
        Visitor,
        value::{BorrowedStrDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{TypeMismatch as Error, Value};

type Result<T> = std::result::Result<T, Error>;

impl<'de> IntoDeserializer<'de, Error> for &'de Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A sequence, of which nothing may be left over.
fn sequence<'de, I, V>(items: I, visitor: V) -> Result<V::Value>
where
    I: Iterator<Item: IntoDeserializer<'de, Error>>,
    V: Visitor<'de>,
{
    let mut list = SeqDeserializer::new(items);
    let read = visitor.visit_seq(&mut list)?;
    list.end().map(|()| read)
}

impl<'de> Deserializer<'de> for &'de Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Bytes(bytes) | Value::Opaque(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::F64(value) => visitor.visit_f64(*value),
            Value::I64(value) => integer(*value, visitor),
            Value::List(values) => sequence(values.iter(), visitor),
            Value::Map(values) => {
                let entries = values.iter().map(|(name, value)| (Key(name), value));
                let mut map = MapDeserializer::new(entries);
                let read = visitor.visit_map(&mut map)?;
                map.end().map(|()| read)
            }
            Value::Null => visitor.visit_unit(),
            Value::String(text) => visitor.visit_borrowed_str(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self {
            Value::List(values) if values.is_empty() => visitor.visit_unit(),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match (self, self.wide()) {
            (_, Some(bytes)) => visitor.visit_i128(i128::from_be_bytes(bytes)),
            (Value::I64(value), None) => visitor.visit_i128(i128::from(*value)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.wide() {
            Some(bytes) => visitor.visit_u128(u128::from_be_bytes(bytes)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Value::Bytes(bytes) => sequence(bytes.iter().copied(), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self {
            Value::String(name) => visitor.visit_enum(Variant {
                name,
                content: &Value::Null,
            }),
            Value::Map(values) if values.len() == 1 => {
                let (name, content) = values.first_key_value().expect("there is one");
                visitor.visit_enum(Variant { name, content })
            }
            _ => Err(Error::invalid_type(self.unexpected(), &"an enum")),
        }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit map struct
        identifier ignored_any
    }
}

/// Shows an integer as most formats do: a visitor need not know the signed ones if it wants none.
fn integer<'de, V: Visitor<'de>>(value: i64, visitor: V) -> Result<V::Value> {
    match u64::try_from(value) {
        Ok(value) => visitor.visit_u64(value),
        Err(_) => visitor.visit_i64(value),
    }
}

impl Value {
    /// The bytes of an integer of 128 bits.
    fn wide(&self) -> Option<[u8; 16]> {
        match self {
            Self::Bytes(bytes) => <[u8; 16]>::try_from(&**bytes).ok(),
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Bytes(bytes) | Self::Opaque(bytes) => Unexpected::Bytes(bytes),
            Self::F64(value) => Unexpected::Float(*value),
            Self::I64(value) => Unexpected::Signed(*value),
            Self::List(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
            Self::Null => Unexpected::Unit,
            Self::String(text) => Unexpected::Str(text),
        }
    }
}

/// The name of a map's entry, which is an integer or a truth value if the type asks for one.
struct Key<'de>(&'de Arc<str>);

impl<'de> IntoDeserializer<'de, Error> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Key<'de> {
    fn text(&self) -> BorrowedStrDeserializer<'de, Error> {
        BorrowedStrDeserializer::new(self.0)
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.parse::<i64>() {
            Ok(number) => integer(number, visitor),
            Err(_) => self.deserialize_any(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.number(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.parse::<bool>() {
            Ok(value) => visitor.visit_bool(value),
            Err(_) => self.deserialize_any(visitor),
        }
    }

    /// A map's key that is nothing is no text, and was refused when it was to be stored.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.text().deserialize_enum(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

/// An enum's variant.
struct Variant<'de> {
    name: &'de str,
    content: &'de Value,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Content<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'de>)> {
        let name = seed.deserialize(BorrowedStrDeserializer::<Error>::new(self.name))?;
        Ok((name, Content(self.content)))
    }
}

/// What a variant holds; [`Value::Null`] when it has only a name.
struct Content<'de>(&'de Value);

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        match self.0 {
            Value::Null => Ok(()),
            content => Err(Error::invalid_type(content.unexpected(), &"no content")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_any(visitor)
    }
}
