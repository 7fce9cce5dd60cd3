//! The file that was opened, and whether it is still the one at its path.
//!
//! A file that is removed or replaced lives on for whoever has it open. A node would go on with it,
//! and one that starts later with another: two stores, each of which seems well.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::unavailable;
use crate::store::StoreError;

/// A file that was opened.
#[derive(Debug, Clone)]
pub(super) struct OpenedFile {
    path: PathBuf,
    /// Its device and its number there.
    place: (u64, u64),
}

impl OpenedFile {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            place: place(path)?,
        })
    }

    /// Whether it is still there. It takes about a microsecond.
    pub(super) fn check(&self, store: &Arc<str>) -> Result<(), StoreError> {
        let what = match place(&self.path) {
            Ok(place) if place != self.place => "another file has taken its place",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "the file was removed",
            // What else there is, SQLite will meet.
            _ => return Ok(()),
        };
        let reason = format!("{what}; put it back, or restart all nodes");
        Err(unavailable(store, &reason))
    }
}

fn place(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
