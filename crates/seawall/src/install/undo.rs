//! Takes back what an installation has made.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{
    InstallError, database, distribution_packages, files, logs,
    manifest::{Entry, Manifest, digest},
    nftables,
    plan::UNITS,
    step::Call,
    target::{Target, run, succeeds},
};
use crate::cli::say;

/// What becomes of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Keep,
    Purge,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Removed(String),
    /// With the reason.
    Kept(String, &'static str),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(what) => write!(f, "removed   {what}"),
            Self::Kept(what, why) => write!(f, "kept      {what} ({why})"),
        }
    }
}

/// Takes back everything, the last thing first.
pub(super) fn undo_all(
    target: &Target,
    mut manifest: Manifest,
    data: Data,
) -> Result<(), InstallError> {
    let holds_manifest = |entry: &Entry| {
        let path = entry.path();
        path.is_some_and(|path| Path::new(super::manifest::PATH).starts_with(path))
    };
    let (last, entries): (Vec<_>, Vec<_>) = std::mem::take(&mut manifest.entries)
        .into_iter()
        .partition(holds_manifest);
    if target.is_live {
        stop_all(&entries)?;
    }
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    for (index, entry) in entries.iter().enumerate().rev() {
        let outcome = undo(target, entry, data)?;
        say(&outcome.to_string());
        match outcome {
            // At once: with its rules, rsyslog would make the folder of the logs again.
            Outcome::Removed(_)
                if target.is_live && entry.path() == Some(Path::new(logs::RULES)) =>
            {
                tell_of(&[logs::RULES.into()])?;
            }
            Outcome::Removed(_) => gone.extend(entry.path().map(Path::to_owned)),
            Outcome::Kept(..) => kept.insert(0, entry.clone()),
        }
        // Whatever happens next: what is left stands written.
        manifest.entries = [&last, &entries[..index], &kept].concat();
        manifest.save(target)?;
    }
    if target.is_live {
        tell_of(&gone)?;
    }
    if !kept.is_empty() {
        return Ok(());
    }
    Manifest::remove(target)?;
    for entry in last.iter().rev() {
        say(&undo(target, entry, data)?.to_string());
    }
    Ok(())
}

/// Takes back one thing.
pub(super) fn undo(target: &Target, entry: &Entry, data: Data) -> Result<Outcome, InstallError> {
    let what = entry.key();
    if entry.is_data() && data == Data::Keep {
        return Ok(Outcome::Kept(what, "data; --purge removes it"));
    }
    match entry {
        Entry::Packages { names } => {
            let others = run(&database::question(database::OTHER_DATABASES));
            // Without a server there are no databases; with others in it, it is not ours alone.
            if others.is_ok_and(|count| count.trim() != "0") {
                return Ok(Outcome::Kept(what, "PostgreSQL has other databases"));
            }
            distribution_packages::purge(names)?;
            Ok(Outcome::Removed(format!("packages {}", names.join(" "))))
        }
        Entry::User { name } => {
            remove_user(target, name)?;
            Ok(Outcome::Removed(what))
        }
        Entry::Folder { path, shared, .. } => remove_folder(target, path, *shared),
        Entry::File { path, digest, .. } => remove_file(target, path, digest, data),
        Entry::Link { path, target: aim } => {
            let place = target.path(path);
            if target.is_live {
                stop(path)?;
            }
            if fs::read_link(&place).is_ok_and(|found| found == *aim) {
                removed(&place, fs::remove_file(&place))?;
            }
            Ok(Outcome::Removed(what))
        }
        Entry::Command { undo, .. } => {
            run(undo)?;
            Ok(Outcome::Removed(what))
        }
        Entry::Nftables => {
            if nftables::is_running() {
                nftables::remove()?;
            }
            Ok(Outcome::Removed(what))
        }
    }
}

/// Lets those read their files again who have read them.
pub(super) fn tell_of(changed: &[PathBuf]) -> Result<(), InstallError> {
    let touches = |folder: &str| changed.iter().any(|path| path.starts_with(folder));
    if touches(UNITS) {
        run(&Call::new(&["systemctl", "daemon-reload"]))?;
    }
    if touches(logs::RULES) && succeeds(&["systemctl", "cat", "rsyslog.service"]) {
        run(&Call::new(&["systemctl", "try-restart", "rsyslog.service"]))?;
    }
    Ok(())
}

/// Stops what runs before anything is removed: nodes hold connections to the database.
fn stop_all(entries: &[Entry]) -> Result<(), InstallError> {
    for entry in entries.iter().rev() {
        if let Entry::Link { path, .. } = entry {
            stop(path)?;
        }
    }
    Ok(())
}

/// Stops the unit that a link starts at boot.
fn stop(link: &Path) -> Result<(), InstallError> {
    let unit = link.file_name().unwrap_or_default().to_string_lossy();
    if !succeeds(&["systemctl", "cat", &unit]) {
        return Ok(());
    }
    run(&Call::new(&["systemctl", "stop", &unit]))?;
    if let Some(name) = unit.strip_suffix(".timer") {
        run(&Call::new(&[
            "systemctl",
            "stop",
            &format!("{name}.service"),
        ]))?;
        // Persistent timers remember when they ran last.
        run(&Call::new(&["systemctl", "clean", "--what=state", &unit]))?;
    }
    Ok(())
}

fn remove_user(target: &Target, name: &str) -> Result<(), InstallError> {
    let root = target.root().display().to_string();
    let remove = |program: &str| match root.as_str() {
        "/" => run(&Call::new(&[program, name])).map(drop),
        root => run(&Call::new(&[program, "--prefix", root, name])).map(drop),
    };
    if target.user_id(name)?.is_some() {
        remove("userdel")?;
    }
    // It went with the user, if login.defs says so.
    if target.group_id(name)?.is_some() {
        remove("groupdel")?;
    }
    Ok(())
}

fn remove_folder(target: &Target, path: &Path, shared: bool) -> Result<Outcome, InstallError> {
    let place = target.path(path);
    let what = path.display().to_string();
    if !shared {
        removed(&place, fs::remove_dir_all(&place))?;
        return Ok(Outcome::Removed(what));
    }
    match fs::remove_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(Outcome::Kept(what, "others use it"))
        }
        result => {
            removed(&place, result)?;
            Ok(Outcome::Removed(what))
        }
    }
}

fn remove_file(
    target: &Target,
    path: &Path,
    written: &str,
    data: Data,
) -> Result<Outcome, InstallError> {
    let place = target.path(path);
    let what = path.display().to_string();
    if data == Data::Keep
        && files::look(target, path)?.is_some_and(|found| found.is_file())
        && target
            .read(path)?
            .is_some_and(|found| digest(&found) != written)
    {
        return Ok(Outcome::Kept(what, "it was changed; --purge removes it"));
    }
    removed(&place, fs::remove_file(&place))?;
    files::remove_draft(target, path)?;
    Ok(Outcome::Removed(what))
}

/// That something is gone already is as good.
fn removed(path: &Path, result: io::Result<()>) -> Result<(), InstallError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(InstallError::File {
            path: path.into(),
            source,
        }),
        _ => Ok(()),
    }
}
