//! Folders that the configuration names and that were there before: they stay as their owner has
//! them, and the services must be able to use them.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::{
    InstallError, files,
    manifest::Manifest,
    plan::{DATA, USER, WEBAPPS},
    step::{Use, path_key},
    target::Target,
};

/// The folder at a path, if it is somebody else's, and not made by an installation. `adopts`: what an
/// installation made is not known any more, and what is at a place of Seawall's own is taken for that.
/// A link leads to where its maker wanted it.
pub(super) fn others(
    target: &Target,
    manifest: &Manifest,
    adopts: bool,
    path: &Path,
) -> Result<Option<Metadata>, InstallError> {
    let Some(found) = files::look(target, path)? else {
        return Ok(None);
    };
    let is_own_place = [DATA, WEBAPPS].iter().any(|own| path == Path::new(own));
    let is_ours = (adopts && is_own_place) || manifest.find(&path_key(path)).is_some();
    let place = target.followed(path);
    match found.is_symlink() {
        true => fs::metadata(&place)
            .map(Some)
            .map_err(|source| InstallError::File {
                path: place,
                source,
            }),
        false => Ok((!is_ours).then_some(found)),
    }
}

/// That the services can do in somebody else's folder what they need to.
pub(super) fn check(
    target: &Target,
    path: &Path,
    used: Use,
    found: &Metadata,
) -> Result<(), InstallError> {
    if !found.is_dir() {
        return Err(InstallError::Conflict {
            path: target.path(path),
        });
    }
    let user = target.user_id(USER)?;
    if can(found, used, user, &target.groups_of(USER)?) {
        return Ok(());
    }
    let shown = path.display();
    Err(InstallError::Plan(match used {
        Use::Read => format!(
            "the nodes, which run as the user {USER}, cannot read {shown}, which is somebody \
             else's; let them (for example: chmod o+rx {shown}), or name another folder as \
             nodes.webapps"
        ),
        Use::Write => format!(
            "the nodes, which run as the user {USER}, cannot write to {shown}, which is somebody \
             else's and stays so; name a folder for the sessions alone, such as \
             {}, which is made",
            path.join("seawall").display()
        ),
    }))
}

/// Where everybody may write, anybody could put other sessions: that is no place for them.
fn can(found: &Metadata, used: Use, user: Option<u32>, groups: &[u32]) -> bool {
    let mode = found.mode();
    let bits = if user == Some(found.uid()) {
        mode >> 6
    } else if groups.contains(&found.gid()) {
        mode >> 3
    } else if used == Use::Read {
        mode
    } else {
        0
    };
    let needed = match used {
        Use::Read => 0o5,
        Use::Write => 0o7,
    };
    bits & needed == needed
}
