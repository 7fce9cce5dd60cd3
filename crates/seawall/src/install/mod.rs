//! `seawall install` and `seawall uninstall`: from a bare machine to a running cluster, and back.
//!
//! A [`plan`](plan::plan) says what is to be there; [`apply`] does what differs and writes down what
//! it made; [`undo`] takes back exactly that.

mod apply;
mod args;
mod ask;
mod configuration;
mod conflicts;
mod database;
mod distribution_packages;
mod facts;
mod files;
mod firewall;
mod folders;
mod logs;
mod manifest;
mod nftables;
mod plan;
mod ports;
mod recovery;
mod step;
mod target;
#[cfg(test)]
mod tests;
mod undo;
mod units;

use std::{fs::File, io, path::PathBuf};

pub(crate) use args::{InstallArgs, UninstallArgs};
pub(crate) use nftables::missing as missing_firewall_rules;

use crate::{
    cli::say,
    config::{ConfigError, Settings},
};
use apply::Applier;
use args::{Options, StatsFrom};
use configuration::Configuration;
use facts::Facts;
use manifest::Manifest;
use plan::{Inputs, Plan};
use target::Target;
use undo::Data;

/// Why an installation did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error(
        "this changes the system and needs root; run it with sudo, or with --dry-run to see what it does"
    )]
    NotRoot,
    #[error(
        "there is no terminal to ask on; give --yes to take the defaults (--dry-run shows them)"
    )]
    NoTerminal,
    #[error("there was no answer; nothing was changed")]
    NoAnswer,
    #[error("nothing was changed")]
    Declined,
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("something is mounted at {path}, and would be emptied; unmount it and run this again")]
    Mounted { path: PathBuf },
    #[error("{path} is there already, and is not Seawall's; move it away and run this again")]
    Conflict { path: PathBuf },
    #[error("the user or group {name} is not in the target's /etc/passwd and /etc/group")]
    Owner { name: String },
    #[error("{command}: {reason}")]
    Command { command: String, reason: String },
    #[error("{unit} does not start: {reason}\nits log: journalctl --unit {unit} --lines 20")]
    Unit { unit: String, reason: String },
    #[error(
        "{path}, which says what is installed, cannot be used: {reason}\nmove it away and run \
         `seawall install --yes`: it writes it anew, with what it finds"
    )]
    Manifest { path: PathBuf, reason: String },
    #[error("Seawall is not installed in {root}: {PATH} is not there", PATH = manifest::PATH)]
    NotInstalled { root: PathBuf },
    #[error(
        "Seawall is installed in {root}, and {PATH}, which says what was made, is lost; run `seawall \
         install --yes`, which writes it anew with what it finds, and then this again",
        PATH = manifest::PATH
    )]
    ManifestLost { root: PathBuf },
    #[error(
        "not everything could be removed; what is left stands in {PATH}, for another try:\n\
         {failures}",
        PATH = manifest::PATH
    )]
    Unfinished { failures: String },
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    #[error("{0}")]
    Plan(String),
}

impl InstallError {
    fn of_unit(self, unit: &str) -> Self {
        match self {
            Self::Command { reason, .. } => Self::Unit {
                unit: unit.to_owned(),
                reason,
            },
            other => other,
        }
    }
}

/// Installs, or shows what that would do.
pub(crate) fn install(args: &InstallArgs) -> Result<(), String> {
    try_install(args).map_err(|error| error.to_string())
}

/// Removes what was installed, or shows what that would be.
pub(crate) fn uninstall(args: &UninstallArgs) -> Result<(), String> {
    try_uninstall(args).map_err(|error| error.to_string())
}

fn try_install(args: &InstallArgs) -> Result<(), InstallError> {
    let target = Target::new(&args.root)?;
    let _alone = alone(&target, args.dry_run)?;
    let facts = facts::look(&target)?;
    let manifest = Manifest::load(&target)?;
    let adopts = manifest.is_none() && recovery::is_installed(&target)?;
    let remembered = match &manifest {
        Some(manifest) => manifest.options.clone(),
        None => recovery::options(&target)?,
    };
    let answers = ask::answers(args, configuration::is_given(args, &target)?)?;
    let mut options = remembered.with(&answers);
    check_possible(&options, &facts)?;
    let configuration = configuration::decide(&answers, &options, &target)?;
    // Whoever has chosen another store since has no use for a database.
    options.postgres &= configuration.settings.store_url == database::URL;
    check_statistics(&answers, &configuration.settings)?;
    let mut plan = make_plan(&configuration, &options, &facts)?;
    let mut manifest = manifest.unwrap_or_default();
    manifest.options = options;
    let mut applier = Applier::new(&target, manifest, adopts);
    if args.dry_run {
        show(&plan);
        // Others than root cannot look everywhere.
        return match facts::is_root() {
            true => check_target(&applier, &plan, &facts),
            false => Ok(()),
        };
    }
    check_target(&applier, &plan, &facts)?;
    if !args.yes && !ask::confirm(&summary(&plan), true)? {
        return Err(InstallError::Declined);
    }
    if applier.install_packages(&plan.steps)? {
        // What came with them may decide on the rest, such as whom the logs belong to.
        let facts = facts::look(&target)?;
        plan = make_plan(&configuration, &applier.manifest().options, &facts)?;
    }
    let unchanged = applier.apply(&plan.steps)?;
    say(&format!(
        "installed; {unchanged} of {} steps found nothing to do",
        plan.steps.len()
    ));
    if adopts {
        plan.notes.push(recovery::note());
    }
    for note in &plan.notes {
        say(&format!("note: {note}"));
    }
    Ok(())
}

/// Finds what would stop the installation, before it changes anything.
fn check_target(applier: &Applier<'_>, plan: &Plan, facts: &Facts) -> Result<(), InstallError> {
    applier.check(&plan.steps)?;
    if !facts.is_live {
        return Ok(());
    }
    if applier.manifest().options.postgres && facts.has_postgres {
        database::check()?;
    }
    ports::check(&plan.listeners)
}

fn make_plan(
    configuration: &Configuration,
    options: &Options,
    facts: &Facts,
) -> Result<Plan, InstallError> {
    let settings = &configuration.settings;
    let program = std::env::current_exe().map_err(|source| InstallError::File {
        path: "/proc/self/exe".into(),
        source,
    })?;
    let inputs = Inputs {
        settings,
        config: &configuration.text,
        former_config: configuration.former.as_deref(),
        shown_config: configuration.shown.as_deref(),
        password: configuration.password.as_deref(),
        admin_token: configuration.admin_token.as_deref(),
        options,
        facts,
        here: &nodes_here(settings, options)?,
        program: &program,
    };
    plan::plan(&inputs).map_err(InstallError::Plan)
}

/// The nodes that this machine runs.
fn nodes_here(settings: &Settings, options: &Options) -> Result<Vec<String>, InstallError> {
    for name in &options.here {
        settings.nodes.find(name).map_err(InstallError::Plan)?;
    }
    if !options.here.is_empty() {
        return Ok(options.here.clone());
    }
    let nodes = settings.nodes.iter();
    let here = nodes.filter(|node| facts::is_here(node.address.ip()));
    Ok(here.map(|node| node.name.to_string()).collect())
}

/// What changes the system does so as root, and alone; until the file is closed.
fn alone(target: &Target, dry_run: bool) -> Result<Option<File>, InstallError> {
    if dry_run {
        return Ok(None);
    }
    match facts::is_root() {
        true => target.lock().map(Some),
        false => Err(InstallError::NotRoot),
    }
}

/// Without rules for the statistics, they are kept from others by where they listen.
fn check_statistics(args: &InstallArgs, settings: &Settings) -> Result<(), InstallError> {
    let [_, stats] = plan::addresses(settings);
    if args.stats_from != Some(StatsFrom::Nobody) || stats.ip().is_loopback() {
        return Ok(());
    }
    Err(InstallError::Plan(format!(
        "the statistics listen on {stats}, where the firewall alone keeps others from them; first \
         write stats = \"127.0.0.1:{}\" under [balancer] in {}",
        stats.port(),
        plan::CONFIG
    )))
}

fn check_possible(options: &Options, facts: &Facts) -> Result<(), InstallError> {
    if options.postgres && !facts.is_live {
        return Err(InstallError::Plan(
            "PostgreSQL can only be set up in a system that runs, with systemd; give the URL of a \
             store with --store"
                .to_owned(),
        ));
    }
    Ok(())
}

fn show(plan: &Plan) {
    for step in &plan.steps {
        say(&step.to_string());
    }
    for note in &plan.notes {
        say(&format!("note: {note}"));
    }
}

fn summary(plan: &Plan) -> String {
    let [mut files, mut commands] = [0, 0];
    for step in &plan.steps {
        match step {
            step::Step::Folder { .. } | step::Step::File { .. } | step::Step::Link { .. } => {
                files += 1;
            }
            _ => commands += 1,
        }
    }
    format!("{files} files and folders, {commands} commands (--dry-run shows them). Go on?")
}

fn try_uninstall(args: &UninstallArgs) -> Result<(), InstallError> {
    let target = Target::new(&args.root)?;
    let _alone = alone(&target, args.dry_run)?;
    let Some(manifest) = Manifest::load(&target)? else {
        let root = target.root().into();
        return Err(match recovery::is_installed(&target)? {
            true => InstallError::ManifestLost { root },
            false => InstallError::NotInstalled { root },
        });
    };
    let data = match args.purge {
        true => Data::Purge,
        false => Data::Keep,
    };
    if args.dry_run {
        return undo::show(&target, &manifest, data);
    }
    let (question, default) = match data {
        Data::Keep => ("Seawall is removed; its data stay. Go on?", true),
        Data::Purge => (
            "Seawall is removed, with all sessions and settings. Go on?",
            false,
        ),
    };
    if !args.yes && !ask::confirm(question, default)? {
        return Err(InstallError::Declined);
    }
    undo::undo_all(&target, manifest, data)
}
