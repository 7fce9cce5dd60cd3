//! Sizes as people write them: a number of bytes, or `"none"`.

use serde::{Deserialize, Deserializer, de::Error};

/// A size in bytes, or the word `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MaybeSize(pub(super) Option<usize>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bytes(i64),
    Word(String),
}

impl<'de> Deserialize<'de> for MaybeSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = match Written::deserialize(deserializer) {
            Ok(Written::Bytes(bytes)) => usize::try_from(bytes).ok().map(Some),
            Ok(Written::Word(word)) => (word == "none").then_some(None),
            Err(_) => None,
        };
        size.map(Self).ok_or_else(|| {
            D::Error::custom(
                "this is no size; write a number of bytes, for example 1024, or \"none\"",
            )
        })
    }
}
