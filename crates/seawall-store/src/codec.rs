//! How attributes become the bytes of the `map` column, and come back.
//!
//! Layout: one format byte, then MessagePack. Format 1 is a MessagePack map from node to the last
//! version that it wrote (see [`Writers`]), and another from attribute name to a *bin* that holds
//! the value, itself MessagePack. Each value stands in its own bin, so one that
//! cannot be read is kept as [`Value::Opaque`] and the others are unharmed (P7).
//! MessagePack: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::{io::Cursor, sync::Arc};

use rmp::{decode, encode};

use crate::{
    record::{Attributes, SessionRecord, Version, Writers},
    value::Value,
};

/// The format byte of the encoding described above.
pub const FORMAT_NATIVE: u8 = 1;

/// How deep values may nest; deeper ones would exhaust the stack of a reader.
const MAX_DEPTH: usize = 64;

/// Why the bytes of a session could not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first byte names a format that this version does not know.
    #[error("unknown payload format {0}; a newer version may have written it")]
    Format(u8),
    /// The bytes end early or hold something else than they say.
    #[error("damaged payload at byte {0}")]
    Damaged(usize),
}

/// What the `map` column holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// What other nodes than the last one wrote before.
    pub writers: Writers,
    /// What the application keeps in the session.
    pub attributes: Attributes,
}

/// Encodes what the `map` column holds, in the native format.
#[must_use]
pub fn encode(record: &SessionRecord) -> Vec<u8> {
    let (writers, attributes) = (&record.writers, &record.attributes);
    let mut bytes = Vec::with_capacity(16 + attributes.len() * 32);
    bytes.push(FORMAT_NATIVE);
    let count = u32::try_from(writers.len()).expect("few writers are remembered");
    encode::write_map_len(&mut bytes, count).expect(VEC);
    for (node, version) in writers {
        encode::write_str(&mut bytes, node).expect(VEC);
        encode::write_sint(&mut bytes, version.as_i64()).expect(VEC);
    }
    let count = u32::try_from(attributes.len()).expect("a session has fewer than 2^32 attributes");
    encode::write_map_len(&mut bytes, count).expect(VEC);
    for (name, value) in attributes {
        encode::write_str(&mut bytes, name).expect(VEC);
        match value {
            Value::Opaque(raw) => encode::write_bin(&mut bytes, raw).expect(VEC),
            value => {
                let encoded = rmp_serde::to_vec(value).expect("a value has only plain parts");
                encode::write_bin(&mut bytes, &encoded).expect(VEC);
            }
        }
    }
    bytes
}

const VEC: &str = "writing to a Vec cannot fail";

/// Decodes what the `map` column holds. Empty bytes are no attributes.
///
/// # Errors
/// [`DecodeError`] when the frame is damaged or of an unknown format. A damaged *value* is no
/// error: it becomes [`Value::Opaque`].
pub fn decode(bytes: &[u8]) -> Result<Contents, DecodeError> {
    match bytes.first() {
        None => return Ok(Contents::default()),
        Some(&FORMAT_NATIVE) => {}
        Some(&format) => return Err(DecodeError::Format(format)),
    }
    let mut reader = Reader {
        cursor: Cursor::new(bytes),
    };
    reader.cursor.set_position(1);
    let mut contents = Contents::default();
    for _ in 0..reader.map_len()? {
        let node = reader.text()?;
        contents.writers.insert(node, reader.version()?);
    }
    for _ in 0..reader.map_len()? {
        let name = reader.text()?;
        let value = reader.bin()?;
        contents.attributes.insert(name, decode_value(value));
    }
    if reader.position() == bytes.len() {
        Ok(contents)
    } else {
        Err(reader.damaged())
    }
}

fn decode_value(raw: &[u8]) -> Value {
    let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(raw));
    deserializer.set_max_depth(MAX_DEPTH);
    let value = <Value as serde::Deserialize>::deserialize(&mut deserializer);
    let complete = deserializer.get_ref().position() == raw.len() as u64;
    match value {
        Ok(value) if complete => value,
        _ => Value::Opaque(raw.into()),
    }
}

struct Reader<'a> {
    cursor: Cursor<&'a [u8]>,
}

impl<'a> Reader<'a> {
    fn position(&self) -> usize {
        usize::try_from(self.cursor.position()).expect("a position in a slice fits usize")
    }

    fn damaged(&self) -> DecodeError {
        DecodeError::Damaged(self.position())
    }

    fn map_len(&mut self) -> Result<u32, DecodeError> {
        decode::read_map_len(&mut self.cursor).map_err(|_| self.damaged())
    }

    fn text(&mut self) -> Result<Arc<str>, DecodeError> {
        let len = decode::read_str_len(&mut self.cursor).map_err(|_| self.damaged())?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes)
            .map(Arc::from)
            .map_err(|_| self.damaged())
    }

    fn version(&mut self) -> Result<Version, DecodeError> {
        let version = decode::read_int(&mut self.cursor).map_err(|_| self.damaged())?;
        Ok(Version::from_i64(version))
    }

    fn bin(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = decode::read_bin_len(&mut self.cursor).map_err(|_| self.damaged())?;
        self.take(len)
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let start = self.position();
        let all: &'a [u8] = self.cursor.get_ref();
        let end = start
            .checked_add(len as usize)
            .filter(|&end| end <= all.len());
        let end = end.ok_or_else(|| self.damaged())?;
        self.cursor.set_position(end as u64);
        Ok(&all[start..end])
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::Timestamp;

    fn record(writers: Writers, attributes: Attributes) -> SessionRecord {
        SessionRecord {
            version: Version::from_i64(5),
            created_at: Timestamp::from_millis(1),
            last_access: Timestamp::from_millis(1),
            idle_timeout: None,
            expiry_slack: Duration::ZERO,
            deadline: None,
            principal: None,
            origin: None,
            last_node: "node1".into(),
            writers,
            attributes,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::I64),
            (-1e9..1e9).prop_map(Value::F64),
            ".*".prop_map(|s: String| Value::String(s.into())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|b| Value::Bytes(b.into())),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                proptest::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|map| {
                    Value::Map(map.into_iter().map(|(k, v)| (Arc::from(k), v)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_no_larger_than_it_says(value in values()) {
            let written = rmp_serde::to_vec(&value).unwrap();
            prop_assert!(written.len() <= value.size(), "{} of {}", written.len(), value.size());
        }

        #[test]
        fn contents_come_back(
            map in proptest::collection::btree_map(".{0,20}", values(), 0..8),
            nodes in proptest::collection::btree_map("[a-z]{1,9}", any::<i64>(), 0..4),
        ) {
            let attributes: Attributes = map.into_iter().map(|(k, v)| (Arc::from(k), v)).collect();
            let named = |(node, version): (String, i64)| (Arc::from(node), Version::from_i64(version));
            let record = record(nodes.into_iter().map(named).collect(), attributes);
            let contents = decode(&encode(&record)).unwrap();
            prop_assert_eq!(contents.writers, record.writers);
            prop_assert_eq!(contents.attributes, record.attributes);
        }

        #[test]
        fn any_bytes_decode_or_fail_cleanly(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT_NATIVE;
            }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn one_bad_value_is_one_bad_value() {
        let good = BTreeMap::from([
            (Arc::from("a"), Value::from(1)),
            (Arc::from("b"), Value::from(2)),
        ]);
        let mut bytes = encode(&record(Writers::new(), good));
        let last = bytes.len() - 1;
        bytes[last] = 0xc1; // never used in MessagePack
        let decoded = decode(&bytes).unwrap();
        let decoded = decoded.attributes;
        assert_eq!(decoded["a"], Value::I64(1));
        assert_eq!(decoded["b"], Value::Opaque(Arc::from(&[0xc1][..])));
        assert_eq!(
            encode(&record(Writers::new(), decoded)),
            bytes,
            "what cannot be read is kept byte for byte"
        );
    }

    #[test]
    fn damage_and_unknown_formats_are_named() {
        assert_eq!(decode(&[]), Ok(Contents::default()));
        assert_eq!(decode(&[9, 0x80]), Err(DecodeError::Format(9)));
        assert!(matches!(
            decode(&[1, 0x80, 0x81]),
            Err(DecodeError::Damaged(_))
        ));
        assert!(matches!(
            decode(&[1, 0x80, 0x80, 0]),
            Err(DecodeError::Damaged(_))
        ));
    }
}
