//! What is there already: as it should be, or somebody else's.

use std::{borrow::Cow, fs};

use super::{
    InstallError, files, folders,
    manifest::Manifest,
    step::{Contents, Step},
    target::Target,
};

/// A file of somebody else's is not overwritten, nor a folder taken. `adopts`: what an installation
/// has made is there, and not known.
pub(super) fn check(
    target: &Target,
    manifest: &Manifest,
    adopts: bool,
    step: &Step,
) -> Result<(), InstallError> {
    let is_ours = adopts || manifest.find(&step.key()).is_some();
    match step {
        Step::File { path, .. } | Step::Link { path, .. } => {
            if is_ours
                || is_kept_by_operator(step)
                || files::look(target, path)?.is_none()
                || is_so(target, step)?
            {
                return Ok(());
            }
            Err(InstallError::Conflict {
                path: target.path(path),
            })
        }
        Step::Folder {
            path,
            used: Some(used),
            ..
        } => match folders::others(target, manifest, adopts, path)? {
            Some(found) => folders::check(target, path, *used, &found),
            None => Ok(()),
        },
        Step::Folder {
            path, used: None, ..
        } => match files::look(target, path)? {
            Some(found) if !found.is_dir() => Err(InstallError::Conflict {
                path: target.path(path),
            }),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether the contents of a file, or the aim of a link, are right already.
pub(super) fn is_so(target: &Target, step: &Step) -> Result<bool, InstallError> {
    match step {
        Step::File { path, contents, .. } => {
            let found = target.read(path)?;
            Ok(found.as_deref() == Some(&*contents_of(contents)?))
        }
        Step::Link { path, target: aim } => {
            let found = fs::read_link(target.path(path));
            Ok(found.is_ok_and(|found| found == *aim))
        }
        _ => Ok(false),
    }
}

/// What is to stand in a file.
pub(super) fn contents_of(contents: &Contents) -> Result<Cow<'_, [u8]>, InstallError> {
    match contents {
        Contents::Text(text) | Contents::Masked { text, .. } | Contents::Secret(text) => {
            Ok(Cow::Borrowed(text.as_bytes()))
        }
        Contents::CopyOf(path) => match fs::read(path) {
            Ok(bytes) => Ok(Cow::Owned(bytes)),
            Err(source) => Err(InstallError::File {
                path: path.clone(),
                source,
            }),
        },
    }
}

/// The configuration and the passwords are the operator's from the start.
fn is_kept_by_operator(step: &Step) -> bool {
    matches!(step, Step::File { data: true, .. })
}
