//! One attribute's value, read from MessagePack.
//!
//! Strict where serde is lenient: what would be written back as something else, such as an
//! extension type or a text that is not UTF-8, is not read at all, and so kept as it is.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::Cursor,
    sync::Arc,
};

use rmp::{Marker, decode};

use crate::value::{NESTING_LIMIT, Value};

/// The value that these bytes are, all of them; `None` when they are none.
pub(super) fn read(raw: &[u8]) -> Option<Value> {
    let mut reader = Reader(Cursor::new(raw));
    let value = reader.value(NESTING_LIMIT)?;
    (reader.0.position() == raw.len() as u64).then_some(value)
}

struct Reader<'a>(Cursor<&'a [u8]>);

impl<'a> Reader<'a> {
    /// A value that holds values in up to `depth` levels.
    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.next_marker()? {
            Marker::Null => decode::read_nil(&mut self.0).ok().map(|()| Value::Null),
            Marker::False | Marker::True => decode::read_bool(&mut self.0).ok().map(Value::Bool),
            Marker::F32 => decode::read_f32(&mut self.0)
                .ok()
                .map(|value| Value::F64(value.into())),
            Marker::F64 => decode::read_f64(&mut self.0).ok().map(Value::F64),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let length = decode::read_bin_len(&mut self.0).ok()?;
                Some(Value::Bytes(self.take(length)?.into()))
            }
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                self.text().map(Value::String)
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => self.list(depth),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => self.map(depth),
            // Integers; not those of extension types, nor those beyond 63 bits.
            _ => decode::read_int(&mut self.0).ok().map(Value::I64),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let length = decode::read_array_len(&mut self.0).ok()?;
        let values = (0..length).map(|_| self.value(depth));
        values.collect::<Option<_>>().map(Value::List)
    }

    fn map(&mut self, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let mut values = BTreeMap::new();
        for _ in 0..decode::read_map_len(&mut self.0).ok()? {
            let name = self.text()?;
            let value = self.value(depth)?;
            match values.entry(name) {
                // One of the two would be lost when the value is written.
                Entry::Occupied(_) => return None,
                Entry::Vacant(free) => free.insert(value),
            };
        }
        Some(Value::Map(values))
    }

    fn next_marker(&self) -> Option<Marker> {
        let position = usize::try_from(self.0.position()).ok()?;
        self.0.get_ref().get(position).copied().map(Marker::from_u8)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = decode::read_str_len(&mut self.0).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(Arc::from)
    }

    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let all: &'a [u8] = self.0.get_ref();
        let start = usize::try_from(self.0.position()).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let taken = all.get(start..end)?;
        self.0.set_position(end as u64);
        Some(taken)
    }
}
