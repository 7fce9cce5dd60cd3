//! What an installation has made, written down so that exactly that can be removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    InstallError,
    args::Options,
    files::write_file,
    step::{Access, Call, path_key},
    target::Target,
};

/// Where it is.
pub(super) const PATH: &str = "/etc/seawall/installed.json";

/// The form that this program writes; it reads no later one.
const FORM: u32 = 1;

/// What an installation has made, in the order in which it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    form: u32,
    pub(super) options: Options,
    pub(super) entries: Vec<Entry>,
}

/// One thing that was made. `data` goes with `--purge` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Entry {
    /// Packages that came, with those that they need.
    Packages {
        names: Vec<String>,
    },
    User {
        name: String,
        /// A group of that name was there before.
        #[serde(default)]
        group_stays: bool,
    },
    /// A folder; `shared` ones are removed only when they are empty.
    Folder {
        path: PathBuf,
        shared: bool,
        data: bool,
    },
    File {
        path: PathBuf,
        /// SHA-256 of what was written, so that changes of the operator's are seen.
        digest: String,
        data: bool,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Command {
        does: String,
        undo: Call,
        data: bool,
    },
    Nftables,
}

impl Entry {
    /// The key of the step that made it.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Packages { .. } => "packages".to_owned(),
            Self::User { name, .. } => format!("user {name}"),
            Self::Folder { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => {
                path_key(path)
            }
            Self::Command { does, .. } => does.clone(),
            Self::Nftables => "nftables".to_owned(),
        }
    }

    /// Whether it stays when the data stay.
    pub(super) fn is_data(&self) -> bool {
        match self {
            Self::Packages { .. } | Self::User { .. } => true,
            Self::Folder { data, .. } | Self::File { data, .. } | Self::Command { data, .. } => {
                *data
            }
            Self::Link { .. } | Self::Nftables => false,
        }
    }

    /// The file or folder that it is.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Folder { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            form: FORM,
            options: Options::default(),
            entries: Vec::new(),
        }
    }
}

impl Manifest {
    /// The manifest of the target, if Seawall is installed there.
    pub(super) fn load(target: &Target) -> Result<Option<Self>, InstallError> {
        let Some(text) = target.read(Path::new(PATH))? else {
            return Ok(None);
        };
        let manifest: Result<Self, _> = serde_json::from_slice(&text);
        let unreadable = |reason: String| InstallError::Manifest {
            path: target.path(Path::new(PATH)),
            reason,
        };
        match manifest {
            Ok(manifest) if manifest.form == FORM => Ok(Some(manifest)),
            Ok(manifest) => Err(unreadable(format!("it has form {}", manifest.form))),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Writes it down.
    pub(super) fn save(&self, target: &Target) -> Result<(), InstallError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| InstallError::Manifest {
            path: target.path(Path::new(PATH)),
            reason: error.to_string(),
        })?;
        write_file(target, Path::new(PATH), &Access::public(0o600), &text)
    }

    /// Removes it from the target.
    pub(super) fn remove(target: &Target) -> Result<(), InstallError> {
        let path = target.path(Path::new(PATH));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(InstallError::File { path, source })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key() == key)
    }

    /// Forgets what is not there any more.
    pub(super) fn forget(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key() != key);
    }

    /// Puts an entry in the place of its former one, or at the end.
    pub(super) fn record(&mut self, entry: Entry) {
        let key = entry.key();
        match self.entries.iter_mut().find(|former| former.key() == key) {
            Some(former) => *former = entry,
            None => self.entries.push(entry),
        }
    }
}

/// What tells the contents of files apart.
pub(super) fn digest(contents: &[u8]) -> String {
    let digest = Sha256::digest(contents);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
