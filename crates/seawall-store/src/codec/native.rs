//! Formats 1 and 4: the attributes themselves, and who wrote them. The layout is in [`super`].

use std::{collections::btree_map::Entry, io::Cursor, sync::Arc};

use rmp::{decode, encode};

use super::{Contents, DecodeError, value};
use crate::{
    record::{Attributes, SessionRecord, Version},
    value::Value,
};

/// The format byte, without notes and with them.
pub(super) const FORMAT: u8 = 1;
pub(super) const NOTED_FORMAT: u8 = 4;

/// A session's payload.
pub(super) fn encode(record: &SessionRecord) -> Vec<u8> {
    let (writers, attributes) = (&record.writers, &record.attributes);
    let mut bytes = Vec::with_capacity(16 + attributes.len() * 32);
    let is_noted = !record.notes.is_empty();
    bytes.push(if is_noted { NOTED_FORMAT } else { FORMAT });
    let count = u32::try_from(writers.len()).expect("few writers are remembered");
    encode::write_map_len(&mut bytes, count).expect(VEC);
    for (node, version) in writers {
        encode::write_str(&mut bytes, node).expect(VEC);
        encode::write_sint(&mut bytes, version.as_i64()).expect(VEC);
    }
    write_values(&mut bytes, attributes);
    if is_noted {
        write_values(&mut bytes, &record.notes);
    }
    bytes
}

fn write_values(bytes: &mut Vec<u8>, values: &Attributes) {
    let count = u32::try_from(values.len()).expect("a session has fewer than 2^32 attributes");
    encode::write_map_len(bytes, count).expect(VEC);
    for (name, value) in values {
        encode::write_str(bytes, name).expect(VEC);
        match value {
            Value::Opaque(raw) => encode::write_bin(bytes, raw).expect(VEC),
            value => {
                let encoded = rmp_serde::to_vec(value).expect("a value has only plain parts");
                encode::write_bin(bytes, &encoded).expect(VEC);
            }
        }
    }
}

const VEC: &str = "writing to a Vec cannot fail";

/// What a payload holds. Empty bytes are no attributes.
///
/// # Errors
/// [`DecodeError`] when the frame is damaged or of an unknown format. A damaged *value* is no
/// error: it becomes [`Value::Opaque`].
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, DecodeError> {
    let is_noted = match bytes.first() {
        None => return Ok(Contents::default()),
        Some(&FORMAT) => false,
        Some(&NOTED_FORMAT) => true,
        Some(&format) => return Err(DecodeError::Format(format)),
    };
    let mut reader = Reader {
        cursor: Cursor::new(bytes),
    };
    reader.cursor.set_position(1);
    let mut contents = Contents::default();
    for _ in 0..reader.map_len()? {
        let node = reader.text()?;
        contents.writers.insert(node, reader.version()?);
    }
    contents.attributes = reader.values()?;
    if is_noted {
        contents.notes = reader.values()?;
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

    fn values(&mut self) -> Result<Attributes, DecodeError> {
        let mut values = Attributes::new();
        for _ in 0..self.map_len()? {
            let name = self.text()?;
            let raw = self.bin()?;
            // Of two values of one name one would be lost when the session is saved.
            match values.entry(name) {
                Entry::Occupied(_) => return Err(self.damaged()),
                Entry::Vacant(free) => {
                    free.insert(value::read(raw).unwrap_or_else(|| Value::Opaque(raw.into())));
                }
            }
        }
        Ok(values)
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
