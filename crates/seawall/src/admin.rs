//! The admin token: by it a node knows who may drain it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use clap::Args;
use seawall_node::AdminToken;

use crate::{config::Settings, secret};

/// The file in the data folder that is used when no other one is named.
const DEFAULT_FILE: &str = "admin.token";
/// Anybody on the machine can read the file.
const READABLE_BY_ALL: u32 = 0o004;

/// Where the admin token is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// The file with the admin token, if not where the configuration says.
    #[arg(long, env = "SEAWALL_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The file with the token, and whether somebody named it.
fn file(settings: &Settings, args: &AdminArgs) -> (PathBuf, bool) {
    let named = args
        .token_file
        .as_ref()
        .or(settings.admin_token_file.as_ref());
    match named {
        Some(path) => (path.clone(), true),
        None => (settings.data.join(DEFAULT_FILE), false),
    }
}

/// The token, if there is one.
pub(crate) fn token(settings: &Settings, args: &AdminArgs) -> Result<Option<AdminToken>, String> {
    let (path, named) = file(settings, args);
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        read => read.map_err(|error| format!("admin token file {shown}: {error}"))?,
    };
    let token = AdminToken::new(&text).map_err(|error| format!("{shown}: {error}"))?;
    let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & READABLE_BY_ALL != 0) {
        tracing::warn!("everybody can read the admin token: chmod o-r {shown}");
    }
    Ok(Some(token))
}

/// The token of somebody who is about to show it.
pub(crate) fn required(settings: &Settings, args: &AdminArgs) -> Result<AdminToken, String> {
    token(settings, args)?.ok_or_else(|| {
        let (path, _) = file(settings, args);
        format!(
            "there is no admin token at {}; name the file that the node has with --token-file, or as \
             admin.token_file in seawall.toml",
            path.display()
        )
    })
}

/// The file with the token of a cluster on this machine, made if nobody named another.
pub(crate) fn make(settings: &Settings) -> Result<PathBuf, String> {
    let (path, named) = file(settings, &AdminArgs { token_file: None });
    if named {
        return Ok(path);
    }
    match write_new(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(format!("admin token file {}: {error}", path.display()))
        }
        _ => Ok(path),
    }
}

fn write_new(path: &Path) -> io::Result<()> {
    let token = secret::new()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn settings(data: &Path) -> Settings {
        let args = config::test_args();
        config::load(&args).unwrap().with_data(data.to_owned())
    }

    #[test]
    fn a_token_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let nowhere = AdminArgs { token_file: None };
        assert_eq!(token(&settings, &nowhere), Ok(None));
        assert!(
            required(&settings, &nowhere)
                .unwrap_err()
                .contains("--token-file")
        );
        let path = make(&settings).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let made = required(&settings, &nowhere).unwrap();
        assert_eq!(make(&settings).unwrap(), path);
        assert_eq!(required(&settings, &nowhere).unwrap(), made);
        let missing = folder.path().join("elsewhere");
        let named = AdminArgs {
            token_file: Some(missing),
        };
        assert!(token(&settings, &named).unwrap_err().contains("elsewhere"));
    }
}
