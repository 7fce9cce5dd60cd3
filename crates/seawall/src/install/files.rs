//! Files and folders of the target: as they are, and as they are to be.

use std::{
    fs::{self, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use super::{
    InstallError,
    step::Access,
    target::{Target, is_nowhere},
};

/// The bits of a mode that can be set.
const MODE: u32 = 0o7777;

/// What is at a path; links are not followed.
pub(super) fn look(target: &Target, path: &Path) -> Result<Option<Metadata>, InstallError> {
    let path = target.path(path);
    match fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_nowhere(&error) => Ok(None),
        Err(source) => Err(InstallError::File { path, source }),
    }
}

/// Whether a file or folder belongs to whom it should, with that mode.
pub(super) fn has_access(
    target: &Target,
    found: &Metadata,
    access: &Access,
) -> Result<bool, InstallError> {
    let (user, group) = ids(target, access)?;
    Ok(found.mode() & MODE == access.mode && (found.uid(), found.gid()) == (user, group))
}

/// Gives a file or folder its owner and mode.
pub(super) fn set_access(
    target: &Target,
    path: &Path,
    access: &Access,
) -> Result<(), InstallError> {
    let (user, group) = ids(target, access)?;
    let path = target.path(path);
    lchown(&path, Some(user), Some(group))
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(access.mode)))
        .map_err(|source| InstallError::File { path, source })
}

/// Writes a file as a whole: whoever reads it finds the old one or the new one. It never has more
/// readers than `access` says.
pub(super) fn write_file(
    target: &Target,
    path: &Path,
    access: &Access,
    contents: &[u8],
) -> Result<(), InstallError> {
    let (user, group) = ids(target, access)?;
    remove_draft(target, path)?;
    let draft = draft(target, path);
    let path = target.path(path);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(contents)?;
        lchown(&draft, Some(user), Some(group))?;
        file.set_permissions(Permissions::from_mode(access.mode))?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    write().map_err(|source| InstallError::File {
        path: path.clone(),
        source,
    })
}

/// Removes what an interrupted run may have left beside a file.
pub(super) fn remove_draft(target: &Target, path: &Path) -> Result<(), InstallError> {
    let draft = draft(target, path);
    match fs::remove_file(&draft) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(InstallError::File {
            path: draft,
            source,
        }),
        _ => Ok(()),
    }
}

/// Where a file is written before it takes its place. Whoever reads all files of a folder, such as
/// logrotate, takes this for a backup.
fn draft(target: &Target, path: &Path) -> PathBuf {
    let path = target.path(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.seawall~"))
}

/// Makes a folder whose parent is there.
pub(super) fn make_folder(
    target: &Target,
    path: &Path,
    access: &Access,
) -> Result<(), InstallError> {
    let place = target.path(path);
    fs::create_dir(&place).map_err(|source| InstallError::File {
        path: place,
        source,
    })?;
    set_access(target, path, access)
}

fn ids(target: &Target, access: &Access) -> Result<(u32, u32), InstallError> {
    let unknown = |name: &str| InstallError::Owner { name: name.into() };
    let user = target.user_id(&access.owner)?;
    let group = target.group_id(&access.group)?;
    Ok((
        user.ok_or_else(|| unknown(&access.owner))?,
        group.ok_or_else(|| unknown(&access.group))?,
    ))
}
