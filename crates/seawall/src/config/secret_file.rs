//! Files with secrets, among them credentials that systemd hands to a service: systemd.exec(5),
//! `LoadCredential=`.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::raw::{Encryption, Raw};

/// What stands before the name of a credential in the place of a path.
const PREFIX: &str = "credential:";

/// Where systemd says that a service's credentials are.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// The file that the configuration means by `path`; `None` when it is empty.
pub(super) fn find(path: &Path) -> Result<Option<PathBuf>, String> {
    find_in(path, env::var_os(FOLDER).map(PathBuf::from))
}

fn find_in(path: &Path, folder: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let Some(name) = path.to_str().and_then(|path| path.strip_prefix(PREFIX)) else {
        return Ok(Some(path.to_owned()));
    };
    if name.is_empty() || name.contains('/') {
        return Err(format!(
            "{PREFIX}{name}: a credential has a name without slashes"
        ));
    }
    let folder = folder.ok_or_else(|| {
        format!(
            "{PREFIX}{name}: systemd hands credentials to services only (LoadCredential= in the \
             unit); in a shell set {FOLDER}, or name a file"
        )
    })?;
    Ok(Some(folder.join(name)))
}

/// Empties what is a credential, for who only looks at the rest.
pub(super) fn leave_credentials_out(raw: &mut Raw) {
    for path in [&mut raw.admin.token_file, &mut raw.store.password_file] {
        if is_credential(path) {
            *path = PathBuf::new();
        }
    }
    // Without the keys, none can be the active one.
    if is_credential(&raw.session.encryption.keys_file) {
        raw.session.encryption = Encryption::default();
    }
}

fn is_credential(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, folder: Option<&str>) -> Result<Option<PathBuf>, String> {
        find_in(Path::new(path), folder.map(PathBuf::from))
    }

    #[test]
    fn credentials_are_where_systemd_says() {
        let service = Some("/run/credentials/x.service");
        assert_eq!(found("", service), Ok(None));
        assert_eq!(found("/etc/x", service), Ok(Some("/etc/x".into())));
        let path = "/run/credentials/x.service/store-password";
        assert_eq!(
            found("credential:store-password", service),
            Ok(Some(path.into()))
        );
        for (path, folder) in [
            ("credential:", service),
            ("credential:../x", service),
            ("credential:x", None),
        ] {
            assert!(found(path, folder).is_err(), "{path}");
        }
    }
}
