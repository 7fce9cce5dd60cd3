//! What an installation consists of: steps, each of which says what is to be there.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Who may do what with a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) owner: String,
    pub(super) group: String,
}

impl Access {
    pub(super) fn new(mode: u32, owner: &str, group: &str) -> Self {
        Self {
            mode,
            owner: owner.to_owned(),
            group: group.to_owned(),
        }
    }

    /// What everybody may read, and root alone may change.
    pub(super) fn public(mode: u32) -> Self {
        Self::new(mode, "root", "root")
    }
}

/// What the services do in a folder that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// What stands in a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Contents {
    Text(String),
    /// Text with a secret in it, and how it is shown.
    Masked {
        text: String,
        shown: String,
    },
    /// As text, but not to be shown.
    Secret(String),
    /// What stands in another file, outside the target's root.
    CopyOf(PathBuf),
}

/// A command, with what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) program: Vec<String>,
    /// What it reads. Nothing secret may stand here if it is an undo, for that is written down.
    pub(super) input: String,
}

impl Call {
    pub(super) fn new(program: &[&str]) -> Self {
        Self::reading(program, "")
    }

    pub(super) fn reading(program: &[&str], input: &str) -> Self {
        Self {
            program: program.iter().map(|&word| word.to_owned()).collect(),
            input: input.to_owned(),
        }
    }
}

/// How to see that a command need not be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Probe {
    /// It succeeds.
    Succeeds(Call),
    /// It prints a line that is this one.
    Prints(Call, String),
}

/// Something that is to be so. Each can be looked at, mended, and undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Packages of the distribution.
    Packages {
        names: Vec<String>,
    },
    /// A system user of that name, with a group.
    User {
        name: String,
    },
    /// A folder. `data` stays when Seawall is removed, but for `--purge`. If `used` is given, it may
    /// be somebody else's.
    Folder {
        path: PathBuf,
        access: Access,
        data: bool,
        used: Option<Use>,
    },
    File {
        path: PathBuf,
        access: Access,
        contents: Contents,
        data: bool,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Command {
        /// What it does, in a few words; no two commands do the same.
        does: String,
        probe: Probe,
        /// Tells that an installation did it, even if that is written nowhere.
        known_by: Option<Probe>,
        run: Call,
        undo: Option<Call>,
        data: bool,
        /// What `run` reads is not to be shown.
        secret: bool,
    },
    /// The rules of this file are in nftables.
    Nftables {
        path: PathBuf,
        rules: String,
    },
    /// A unit runs, and was started after the last change of these files.
    Service {
        unit: String,
        uses: Vec<PathBuf>,
    },
}

impl Step {
    /// What tells a step from all others.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Packages { .. } => "packages".to_owned(),
            Self::User { name } => format!("user {name}"),
            Self::Folder { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => {
                path_key(path)
            }
            Self::Command { does, .. } => does.clone(),
            Self::Nftables { .. } => "nftables".to_owned(),
            Self::Service { unit, .. } => format!("service {unit}"),
        }
    }
}

pub(super) fn path_key(path: &Path) -> String {
    path.display().to_string()
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({text:?})"),
            Self::Masked { shown, .. } => write!(f, "Masked({shown:?})"),
            Self::Secret(_) => f.write_str("Secret(…)"),
            Self::CopyOf(path) => write!(f, "CopyOf({})", path.display()),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.program.iter().map(|word| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%,".contains(c);
            match !word.is_empty() && word.chars().all(plain) {
                true => word.clone(),
                false => format!("'{}'", word.replace('\'', r"'\''")),
            }
        });
        f.write_str(&quoted.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.owner, self.group)
    }
}

/// As `--dry-run` prints it: everything, but secrets.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages { names } => write!(f, "packages  {}", names.join(" ")),
            Self::User { name } => write!(f, "user      {name}, a system user without a login"),
            Self::Folder {
                path, access, used, ..
            } => {
                write!(f, "folder    {}  {access}", path.display())?;
                match used {
                    Some(_) => f.write_str("\n    (yours stays as it is, if it is there already)"),
                    None => Ok(()),
                }
            }
            Self::File {
                path,
                access,
                contents,
                ..
            } => {
                write!(f, "file      {}  {access}", path.display())?;
                match contents {
                    Contents::Text(text) | Contents::Masked { shown: text, .. } => {
                        indented(f, text)
                    }
                    Contents::Secret(_) => f.write_str("\n    (a secret)"),
                    Contents::CopyOf(source) => write!(f, "\n    (a copy of {})", source.display()),
                }
            }
            Self::Link { path, target } => {
                write!(f, "link      {} -> {}", path.display(), target.display())
            }
            Self::Command {
                run, secret, does, ..
            } => {
                write!(f, "command   {run}\n    ({does})")?;
                match secret {
                    true => f.write_str("\n    (reads a secret)"),
                    false => indented(f, &run.input),
                }
            }
            Self::Nftables { path, .. } => write!(f, "command   nft --file {}", path.display()),
            Self::Service { unit, .. } => write!(
                f,
                "command   systemctl start {unit}\n    (restart, where it runs and its files changed)"
            ),
        }
    }
}

fn indented(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| write!(f, "\n    {line}"))
}
