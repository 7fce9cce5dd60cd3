//! Takes back what an installation has made.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{
    InstallError,
    distribution_packages::{self, Parting},
    files, logs,
    manifest::{Entry, Manifest, digest},
    nftables,
    plan::UNITS,
    step::Call,
    target::{Target, run, succeeds},
};
use crate::{cli::say, mounts};

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
    Kept {
        what: String,
        why: &'static str,
        /// No later run removes it: the manifest forgets it.
        for_good: bool,
    },
}

impl Outcome {
    fn kept(what: String, why: &'static str) -> Self {
        let for_good = false;
        Self::Kept {
            what,
            why,
            for_good,
        }
    }

    /// A line that says so, with the verbs for what goes and what stays.
    fn line(&self, [goes, stays]: [&str; 2]) -> String {
        match self {
            Self::Removed(what) => format!("{goes:<8}  {what}"),
            Self::Kept { what, why, .. } => format!("{stays:<8}  {what} ({why})"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(["removed", "kept"]))
    }
}

/// Prints what would become of each entry.
pub(super) fn show(target: &Target, manifest: &Manifest, data: Data) -> Result<(), InstallError> {
    let shown = |outcome: &Outcome| say(&outcome.line(["remove", "keep"]));
    for entry in manifest.entries.iter().rev() {
        match entry {
            _ if entry.is_data() && data == Data::Keep => shown(&kept_as_data(entry)),
            Entry::Packages { names } => {
                parted(&distribution_packages::part(names)?)
                    .iter()
                    .for_each(shown);
            }
            Entry::File { path, digest, .. }
                if data == Data::Keep && was_changed(target, path, digest)? =>
            {
                shown(&kept_as_changed(path));
            }
            _ => shown(&Outcome::Removed(entry.key())),
        }
    }
    Ok(())
}

/// Takes back everything, the last thing first. What cannot be taken back stops nothing else: it
/// stays in the manifest, and is told at the end.
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
    let mut failures = match target.is_live {
        true => stop_all(&entries),
        false => Vec::new(),
    };
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    for (index, entry) in entries.iter().enumerate().rev() {
        match take_back(target, entry, data, &mut failures) {
            false => kept.insert(0, entry.clone()),
            // At once: with its rules, rsyslog would make the folder of the logs again.
            true if target.is_live && entry.path() == Some(Path::new(logs::RULES)) => {
                failures.extend(tell_of(&[logs::RULES.into()]).err());
            }
            true => gone.extend(entry.path().map(Path::to_owned)),
        }
        // Whatever happens next: what is left stands written.
        manifest.entries = [&last, &entries[..index], &kept].concat();
        manifest.save(target)?;
    }
    if target.is_live {
        failures.extend(tell_of(&gone).err());
    }
    if kept.is_empty() && failures.is_empty() {
        remove_manifest(target, &last, data)?;
    }
    finish(&failures)
}

/// Whether nothing is left of an entry.
fn take_back(target: &Target, entry: &Entry, data: Data, failures: &mut Vec<InstallError>) -> bool {
    match undo(target, entry, data) {
        Ok(outcomes) => {
            for outcome in &outcomes {
                say(&outcome.to_string());
            }
            let is_for_later =
                |outcome: &Outcome| matches!(outcome, Outcome::Kept { for_good, .. } if !for_good);
            !outcomes.iter().any(is_for_later)
        }
        Err(error) => {
            failures.push(error);
            false
        }
    }
}

/// Removes what the manifest is in, and so what was left to the end.
fn remove_manifest(target: &Target, last: &[Entry], data: Data) -> Result<(), InstallError> {
    Manifest::remove(target)?;
    for entry in last.iter().rev() {
        for outcome in undo(target, entry, data)? {
            say(&outcome.to_string());
        }
    }
    Ok(())
}

fn finish(failures: &[InstallError]) -> Result<(), InstallError> {
    if failures.is_empty() {
        return Ok(());
    }
    let mut told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    // A unit that does not stop is met when all are stopped, and again at its link.
    told.sort();
    told.dedup();
    Err(InstallError::Unfinished {
        failures: told.join("\n"),
    })
}

fn kept_as_data(entry: &Entry) -> Outcome {
    Outcome::kept(entry.key(), "data; --purge removes it")
}

/// What becomes of packages, in words.
fn parted(parting: &Parting) -> Vec<Outcome> {
    let Parting {
        going,
        holding,
        needed,
    } = parting;
    let list = |names: &BTreeSet<String>| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        format!("packages {}", names.join(" "))
    };
    let kept = |names, why| Outcome::kept(list(names), why);
    let all = [
        (going, Outcome::Removed(list(going))),
        (
            holding,
            kept(
                holding,
                "PostgreSQL may hold something that is not Seawall's",
            ),
        ),
        (needed, kept(needed, "others need them, or asked for them")),
    ];
    let named = all.into_iter().filter(|(names, _)| !names.is_empty());
    named.map(|(_, outcome)| outcome).collect()
}

/// Takes back one entry, and says what became of what it names.
pub(super) fn undo(
    target: &Target,
    entry: &Entry,
    data: Data,
) -> Result<Vec<Outcome>, InstallError> {
    let what = entry.key();
    if entry.is_data() && data == Data::Keep {
        return Ok(vec![kept_as_data(entry)]);
    }
    let outcome = match entry {
        Entry::Packages { names } => {
            // What cannot be finished may still go; if it cannot, its removal says so.
            let _ = distribution_packages::finish_interrupted();
            let parting = distribution_packages::part(names)?;
            distribution_packages::purge(&parting.going)?;
            return Ok(parted(&parting));
        }
        Entry::User { name, group_stays } => {
            remove_user(target, name, *group_stays)?;
            Outcome::Removed(what)
        }
        Entry::Folder { path, shared, .. } => remove_folder(target, path, *shared)?,
        Entry::File { path, digest, .. } => remove_file(target, path, digest, data)?,
        Entry::Link { path, target: aim } => {
            let place = target.path(path);
            if target.is_live {
                stop(path)?;
            }
            if fs::read_link(&place).is_ok_and(|found| found == *aim) {
                removed(&place, fs::remove_file(&place))?;
            }
            Outcome::Removed(what)
        }
        Entry::Command { undo, .. } => {
            run(undo)?;
            Outcome::Removed(what)
        }
        Entry::Nftables => {
            if nftables::is_running() {
                nftables::remove()?;
            }
            Outcome::Removed(what)
        }
    };
    Ok(vec![outcome])
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

/// Stops what runs before anything is removed: nodes hold connections to the database. Gives what
/// did not stop.
fn stop_all(entries: &[Entry]) -> Vec<InstallError> {
    let links = entries.iter().rev().filter_map(|entry| match entry {
        Entry::Link { path, .. } => Some(path),
        _ => None,
    });
    links.filter_map(|link| stop(link).err()).collect()
}

/// Stops the unit that a link starts at boot.
fn stop(link: &Path) -> Result<(), InstallError> {
    let unit = link.file_name().unwrap_or_default().to_string_lossy();
    if !succeeds(&["systemctl", "cat", &unit]) {
        return Ok(());
    }
    stop_unit(&unit)?;
    if let Some(name) = unit.strip_suffix(".timer") {
        stop_unit(&format!("{name}.service"))?;
        // Persistent timers remember when they ran last.
        run(&Call::new(&["systemctl", "clean", "--what=state", &unit]))?;
    }
    Ok(())
}

/// That a unit does not run, perhaps because systemd cannot have one of that name.
fn stop_unit(unit: &str) -> Result<(), InstallError> {
    let stopped = run(&Call::new(&["systemctl", "stop", unit]));
    // It would be remembered as failed when it is gone.
    succeeds(&["systemctl", "reset-failed", unit]);
    let Err(error) = stopped else {
        return Ok(());
    };
    let show = [
        "systemctl",
        "show",
        "--property=ActiveState",
        "--value",
        unit,
    ];
    let state = run(&Call::new(&show)).unwrap_or_default();
    match state.trim() {
        "" | "inactive" | "failed" => Ok(()),
        _ => Err(error),
    }
}

fn remove_user(target: &Target, name: &str, group_stays: bool) -> Result<(), InstallError> {
    let root = target.root().display().to_string();
    let remove = |program: &str| match root.as_str() {
        "/" => run(&Call::new(&[program, name])).map(drop),
        root => run(&Call::new(&[program, "--prefix", root, name])).map(drop),
    };
    if target.user_id(name)?.is_some() {
        remove("userdel")?;
    }
    // It went with the user, if login.defs says so.
    if !group_stays && target.group_id(name)?.is_some() {
        remove("groupdel")?;
    }
    Ok(())
}

fn remove_folder(target: &Target, path: &Path, shared: bool) -> Result<Outcome, InstallError> {
    let place = target.path(path);
    let what = path.display().to_string();
    if !shared {
        return remove_whole(&place, what);
    }
    match fs::remove_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(Outcome::kept(what, "others use it"))
        }
        result => {
            removed(&place, result)?;
            Ok(Outcome::Removed(what))
        }
    }
}

/// Removes a folder with all that is in it; of a link, only that.
fn remove_whole(place: &Path, what: String) -> Result<Outcome, InstallError> {
    if let Ok(aim) = fs::read_link(place) {
        removed(place, fs::remove_file(place))?;
        return Ok(Outcome::Kept {
            what: aim.display().to_string(),
            why: "a link led there; remove it yourself if nobody needs it",
            for_good: true,
        });
    }
    if let Some(path) = mounts::below(place) {
        return Err(InstallError::Mounted { path });
    }
    removed(place, fs::remove_dir_all(place))?;
    Ok(Outcome::Removed(what))
}

fn remove_file(
    target: &Target,
    path: &Path,
    written: &str,
    data: Data,
) -> Result<Outcome, InstallError> {
    let place = target.path(path);
    if data == Data::Keep && was_changed(target, path, written)? {
        return Ok(kept_as_changed(path));
    }
    removed(&place, fs::remove_file(&place))?;
    files::remove_draft(target, path)?;
    Ok(Outcome::Removed(path.display().to_string()))
}

/// Whether somebody has changed a file since it was written.
fn was_changed(target: &Target, path: &Path, written: &str) -> Result<bool, InstallError> {
    Ok(
        files::look(target, path)?.is_some_and(|found| found.is_file())
            && target
                .read(path)?
                .is_some_and(|found| digest(&found) != written),
    )
}

fn kept_as_changed(path: &Path) -> Outcome {
    let why = "it was changed; --purge removes it";
    Outcome::kept(path.display().to_string(), why)
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
