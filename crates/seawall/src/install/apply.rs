//! Makes a system as a plan says: looks at each step, and does only what differs.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    InstallError, conflicts, distribution_packages, files, folders,
    manifest::{Entry, Manifest, digest},
    nftables,
    step::{Access, Call, Probe, Step, Use},
    target::{Target, run, succeeds},
    undo,
};
use crate::cli::say;

/// How the user that an installation makes is described.
const MADE: &str = "Seawall";

/// What changes a system.
#[derive(Debug)]
pub(super) struct Applier<'a> {
    target: &'a Target,
    manifest: Manifest,
    /// What an installation has made is there, and the manifest was lost: it is written anew.
    adopts: bool,
    /// Files that this run has changed.
    changed: Vec<PathBuf>,
    /// How many of them the service manager and rsyslog have been told of.
    told: usize,
    unchanged: usize,
}

impl<'a> Applier<'a> {
    /// `adopts`: the manifest was lost, though there is an installation.
    pub(super) fn new(target: &'a Target, manifest: Manifest, adopts: bool) -> Self {
        Self {
            target,
            manifest,
            adopts,
            changed: Vec::new(),
            told: 0,
            unchanged: 0,
        }
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Finds what would stop the installation, before it changes anything.
    pub(super) fn check(&self, steps: &[Step]) -> Result<(), InstallError> {
        steps
            .iter()
            .try_for_each(|step| conflicts::check(self.target, &self.manifest, self.adopts, step))
    }

    /// Installs the packages that the steps need, if any.
    pub(super) fn install_packages(&mut self, steps: &[Step]) -> Result<bool, InstallError> {
        for step in steps {
            if let Step::Packages { names } = step {
                self.packages(names)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Does the steps, and takes back what former runs made and the plan has no more. Gives the
    /// number of steps that found nothing to do.
    pub(super) fn apply(mut self, steps: &[Step]) -> Result<usize, InstallError> {
        self.check(steps)?;
        for step in steps {
            self.step(step)?;
        }
        self.remove_stale(steps)?;
        self.tell()?;
        self.manifest.save(self.target)?;
        Ok(self.unchanged)
    }

    fn step(&mut self, step: &Step) -> Result<(), InstallError> {
        match step {
            Step::Packages { names } => self.packages(names),
            Step::User { name } => self.user(name),
            Step::Folder {
                path,
                access,
                data,
                used,
            } => self.folder(path, access, *data, *used),
            Step::File {
                path,
                access,
                contents,
                data,
            } => {
                let text = conflicts::contents_of(contents)?;
                self.file(
                    path,
                    access,
                    &text,
                    *data,
                    conflicts::is_so(self.target, step)?,
                )
            }
            Step::Link { path, target } => {
                self.link(path, target, conflicts::is_so(self.target, step)?)
            }
            Step::Command {
                does,
                probe,
                known_by,
                run,
                undo,
                data,
                ..
            } => {
                let entry = undo.as_ref().map(|undo| Entry::Command {
                    does: does.clone(),
                    undo: undo.clone(),
                    data: *data,
                });
                self.command(does, probe, known_by.as_ref(), run, entry)
            }
            Step::Nftables { path, rules } => self.nftables(path, rules),
            Step::Service { unit, uses } => self.service(unit, uses),
        }
    }

    /// Writes down what is about to be made: if this is interrupted, it can be removed none the less.
    fn record(&mut self, entry: Entry) -> Result<(), InstallError> {
        let folder = Path::new(super::manifest::PATH).parent();
        if let Some(folder) = folder {
            self.parents(folder)?;
            if files::look(self.target, folder)?.is_none() {
                self.manifest.record(Entry::Folder {
                    path: folder.into(),
                    shared: false,
                    data: true,
                });
                files::make_folder(self.target, folder, &Access::public(0o750))?;
            }
        }
        self.manifest.record(entry);
        self.manifest.save(self.target)
    }

    fn did(&mut self, what: &str, path: &Path) {
        say(&format!("{what:<8}  {}", path.display()));
        self.changed.push(path.to_owned());
    }

    fn packages(&mut self, names: &[String]) -> Result<(), InstallError> {
        say(&format!("installing packages: {}", names.join(", ")));
        let before = distribution_packages::installed()?;
        let former = match self.manifest.find("packages") {
            Some(Entry::Packages { names }) => names.clone(),
            _ => Vec::new(),
        };
        let mut result = self.bring(names, &former);
        if result.is_err() {
            result = distribution_packages::refresh().and_then(|()| self.bring(names, &former));
        }
        // What was foretold, or less, or more.
        let came = &distribution_packages::installed()? - &before;
        self.record_packages(&former, came)?;
        result
    }

    /// Writes down which packages come, and lets them come.
    fn bring(&mut self, names: &[String], former: &[String]) -> Result<(), InstallError> {
        let coming = distribution_packages::foretold(names)?;
        self.record_packages(former, coming)?;
        distribution_packages::install(names)
    }

    fn record_packages(
        &mut self,
        former: &[String],
        new: BTreeSet<String>,
    ) -> Result<(), InstallError> {
        let names: BTreeSet<_> = former.iter().cloned().chain(new).collect();
        if names.is_empty() {
            // Nothing came of what was foretold, if anything was.
            if self.manifest.find("packages").is_some() {
                self.manifest.forget("packages");
                self.manifest.save(self.target)?;
            }
            return Ok(());
        }
        self.record(Entry::Packages {
            names: names.into_iter().collect(),
        })
    }

    fn user(&mut self, name: &str) -> Result<(), InstallError> {
        let has_group = self.target.group_id(name)?.is_some();
        let entry = |group_stays| Entry::User {
            name: name.to_owned(),
            group_stays,
        };
        match self.target.account("/etc/passwd", name)? {
            Some(user) if has_group => {
                self.unchanged += 1;
                // The description is ours.
                if self.adopts && user.get(3).is_some_and(|is| is == MADE) {
                    self.manifest.record(entry(false));
                }
                return Ok(());
            }
            // Somebody else's: it only lacks the group.
            Some(_) => {}
            None => self.record(entry(has_group))?,
        }
        let root = format!("--root={}", self.target.root().display());
        let line = format!("u {name} - \"{MADE}\" /");
        run(&Call::new(&["systemd-sysusers", &root, "--inline", &line]))?;
        say(&format!("made      user {name}"));
        Ok(())
    }

    /// Makes the folders above `path` that are missing.
    fn parents(&mut self, path: &Path) -> Result<(), InstallError> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        let entry = Entry::Folder {
            path: parent.into(),
            shared: true,
            data: false,
        };
        if self.target.followed(parent).is_dir() {
            let name = parent.file_name().unwrap_or_default().to_string_lossy();
            let is_known = self.manifest.find(&entry.key()).is_some();
            if self.adopts && !is_known && name.starts_with("seawall") {
                self.manifest.record(entry);
            }
            return Ok(());
        }
        self.parents(parent)?;
        files::make_folder(self.target, parent, &Access::public(0o755))?;
        self.manifest.record(entry);
        Ok(())
    }

    fn folder(
        &mut self,
        path: &Path,
        access: &Access,
        data: bool,
        used: Option<Use>,
    ) -> Result<(), InstallError> {
        self.parents(path)?;
        if used.is_some()
            && folders::others(self.target, &self.manifest, self.adopts, path)?.is_some()
        {
            self.unchanged += 1;
            return Ok(());
        }
        let entry = Entry::Folder {
            path: path.into(),
            shared: false,
            data,
        };
        match files::look(self.target, path)? {
            Some(found) if !found.is_dir() => {
                return Err(InstallError::Conflict {
                    path: self.target.path(path),
                });
            }
            Some(found) => {
                if files::has_access(self.target, &found, access)? {
                    self.unchanged += 1;
                } else {
                    files::set_access(self.target, path, access)?;
                    self.did("mended", path);
                }
                if self.adopts {
                    self.manifest.record(entry);
                }
            }
            None => {
                self.record(entry)?;
                // It may have come with the manifest.
                if files::look(self.target, path)?.is_none() {
                    files::make_folder(self.target, path, access)?;
                } else {
                    files::set_access(self.target, path, access)?;
                }
                self.did("made", path);
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        access: &Access,
        contents: &[u8],
        data: bool,
        is_so: bool,
    ) -> Result<(), InstallError> {
        self.parents(path)?;
        let found = files::look(self.target, path)?;
        let entry = Entry::File {
            path: path.into(),
            digest: digest(contents),
            data,
        };
        match found {
            // Its operator keeps it elsewhere.
            Some(found) if found.is_symlink() && is_so && data => self.unchanged += 1,
            Some(found) if found.is_file() && is_so => {
                let former = self.manifest.find(&entry.key());
                // Somebody else writes no unit of ours to the letter, but may well have written the
                // configuration.
                let is_ours = former.is_some() || self.adopts || !data;
                // By its operator, since it was looked at last: who uses it does not know yet.
                let has_changed = former.is_some_and(|former| *former != entry);
                if !files::has_access(self.target, &found, access)? {
                    files::set_access(self.target, path, access)?;
                    self.did("mended", path);
                } else if has_changed {
                    self.did("changed", path);
                } else {
                    self.unchanged += 1;
                }
                if is_ours {
                    self.manifest.record(entry);
                }
            }
            found => {
                self.record(entry)?;
                files::write_file(self.target, path, access, contents)?;
                self.did(if found.is_some() { "mended" } else { "made" }, path);
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, aim: &Path, is_so: bool) -> Result<(), InstallError> {
        self.parents(path)?;
        let entry = Entry::Link {
            path: path.into(),
            target: aim.into(),
        };
        if is_so {
            self.unchanged += 1;
            self.manifest.record(entry);
            return Ok(());
        }
        self.record(entry)?;
        let place = self.target.path(path);
        let failed = |source| InstallError::File {
            path: place.clone(),
            source,
        };
        let found = files::look(self.target, path)?.is_some();
        if found {
            fs::remove_file(&place).map_err(failed)?;
        }
        symlink(aim, &place).map_err(failed)?;
        self.did(if found { "mended" } else { "made" }, path);
        Ok(())
    }

    fn command(
        &mut self,
        does: &str,
        probe: &Probe,
        known_by: Option<&Probe>,
        call: &Call,
        entry: Option<Entry>,
    ) -> Result<(), InstallError> {
        if is_done(probe) {
            self.unchanged += 1;
            if let Some(entry) = entry
                && self.adopts
                && known_by.is_some_and(is_done)
            {
                self.manifest.record(entry);
            }
            return Ok(());
        }
        if let Some(entry) = entry {
            self.record(entry)?;
        }
        run(call)?;
        if known_by.is_some_and(|probe| !is_done(probe)) {
            return Err(InstallError::Command {
                command: does.to_owned(),
                reason: "it was done, and does not show: another server may answer in its place"
                    .to_owned(),
            });
        }
        say(&format!("did       {does}"));
        Ok(())
    }

    fn nftables(&mut self, path: &Path, rules: &str) -> Result<(), InstallError> {
        let wanted = nftables::count_of(rules);
        if !self.changed.iter().any(|changed| changed == path)
            && nftables::present()?.count() == wanted
        {
            self.unchanged += 1;
            // They bear our mark.
            self.manifest.record(Entry::Nftables);
            return Ok(());
        }
        self.record(Entry::Nftables)?;
        nftables::remove()?;
        nftables::load(path)?;
        say("did       put rules into nftables");
        Ok(())
    }

    fn service(&mut self, unit: &str, uses: &[PathBuf]) -> Result<(), InstallError> {
        self.tell()?;
        let verb = if !succeeds(&["systemctl", "--quiet", "is-active", unit]) {
            "start"
        } else if uses.iter().any(|path| self.changed.contains(path)) {
            "restart"
        } else {
            self.unchanged += 1;
            return Ok(());
        };
        if unit.ends_with(".socket") {
            // systemd opens no socket for a service that runs without it.
            run(&Call::new(&[
                "systemctl",
                "stop",
                "seawall-balancer.service",
            ]))?;
        }
        run(&Call::new(&["systemctl", verb, unit])).map_err(|error| error.of_unit(unit))?;
        say(&format!("{verb:<8}  {unit}"));
        Ok(())
    }

    fn tell(&mut self) -> Result<(), InstallError> {
        if self.target.is_live {
            undo::tell_of(&self.changed[self.told..])?;
        }
        self.told = self.changed.len();
        Ok(())
    }

    /// What a former run made and the plan has no more: a node less, log files no longer wanted.
    fn remove_stale(&mut self, steps: &[Step]) -> Result<(), InstallError> {
        let wanted: Vec<_> = steps.iter().map(Step::key).collect();
        let mut kept = Vec::new();
        for entry in std::mem::take(&mut self.manifest.entries).into_iter().rev() {
            let is_shared = matches!(entry, Entry::Folder { shared: true, .. });
            if is_shared || entry.is_data() || wanted.contains(&entry.key()) {
                kept.push(entry);
                continue;
            }
            if let Some(path) = entry.path() {
                self.changed.push(path.to_owned());
            }
            for outcome in undo::undo(self.target, &entry, undo::Data::Keep)? {
                say(&outcome.to_string());
            }
        }
        kept.reverse();
        self.manifest.entries = kept;
        Ok(())
    }
}

fn is_done(probe: &Probe) -> bool {
    match probe {
        Probe::Succeeds(call) => run(call).is_ok(),
        Probe::Prints(call, expected) => {
            run(call).is_ok_and(|text| text.lines().any(|line| line.trim() == expected))
        }
    }
}
