//! Format 1: the attributes themselves, and who wrote them. The layout is in [`super`].

use std::{collections::btree_map::Entry, io::Cursor, sync::Arc};

use rmp::{decode, encode};

use super::{Contents, DecodeError, value};
use crate::{
    record::{SessionRecord, Version},
    value::Value,
};

/// The format byte.
pub(super) const FORMAT: u8 = 1;

/// A session's payload.
pub(super) fn encode(record: &SessionRecord) -> Vec<u8> {
    let (writers, attributes) = (&record.writers, &record.attributes);
    let mut bytes = Vec::with_capacity(16 + attributes.len() * 32);
    bytes.push(FORMAT);
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

/// What a payload holds. Empty bytes are no attributes.
///
/// # Errors
/// [`DecodeError`] when the frame is damaged or of an unknown format. A damaged *value* is no
/// error: it becomes [`Value::Opaque`].
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, DecodeError> {
    match bytes.first() {
        None => return Ok(Contents::default()),
        Some(&FORMAT) => {}
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
        let raw = reader.bin()?;
        // Of two attributes of one name one would be lost when the session is saved.
        match contents.attributes.entry(name) {
            Entry::Occupied(_) => return Err(reader.damaged()),
            Entry::Vacant(free) => {
                free.insert(value::read(raw).unwrap_or_else(|| Value::Opaque(raw.into())));
            }
        }
    }
    if reader.position() == bytes.len() {
        Ok(contents)
    } else {
        Err(reader.damaged())
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
