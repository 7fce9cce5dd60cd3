//! Files and folders of the target: as they are, and as they are to be.

use std::{
    fs::{self, Metadata, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

use super::{InstallError, step::Access, target::Target};

/// The bits of a mode that can be set.
const MODE: u32 = 0o7777;

/// What is at a path; links are not followed.
pub(super) fn look(target: &Target, path: &Path) -> Result<Option<Metadata>, InstallError> {
    let path = target.path(path);
    match fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
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
    let path = target.path(path);
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(contents)?;
        lchown(file.path(), Some(user), Some(group))?;
        file.as_file()
            .set_permissions(Permissions::from_mode(access.mode))?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| InstallError::File {
        path: path.clone(),
        source,
    })
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
