//! What is to be there: decided from settings, options and facts alone. Nothing here looks at the
//! system, so that a plan can be shown, tested and compared.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use seawall_store::StoreUrl;

use super::{
    args::Options,
    database,
    facts::Facts,
    firewall, logs,
    step::{Access, Contents, Step, Use},
    units,
};
use crate::config::Settings;

pub(super) const PROGRAM: &str = "/usr/local/bin/seawall";
pub(super) const CONFIG: &str = "/etc/seawall/seawall.toml";
pub(super) const FORMER_CONFIG: &str = "/etc/seawall/seawall.toml.former";
pub(super) const PASSWORD: &str = "/etc/seawall/store-password";
pub(super) const ADMIN_TOKEN: &str = "/etc/seawall/admin-token";
pub(super) const DATA: &str = "/var/lib/seawall/data";
pub(super) const WEBAPPS: &str = "/var/lib/seawall/webapps";
pub(super) const UNITS: &str = "/etc/systemd/system";
pub(super) const USER: &str = "seawall";

/// Folders that systemd hides from the services, or shows them empty (units/hardening.conf).
const HIDDEN: [&str; 8] = [
    "/dev",
    "/home",
    "/proc",
    "/root",
    "/run/user",
    "/sys",
    "/tmp",
    "/var/tmp",
];

/// What a plan is made from.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    pub(super) settings: &'a Settings,
    /// The text of the configuration file.
    pub(super) config: &'a str,
    /// The configuration that this one takes the place of.
    pub(super) former_config: Option<&'a str>,
    /// The same as it is shown, if it holds a password.
    pub(super) shown_config: Option<&'a str>,
    /// The store's password, if it is kept in [`PASSWORD`].
    pub(super) password: Option<&'a str>,
    /// The admin token, if it is kept in [`ADMIN_TOKEN`].
    pub(super) admin_token: Option<&'a str>,
    pub(super) options: &'a Options,
    pub(super) facts: &'a Facts,
    /// The nodes of this machine.
    pub(super) here: &'a [String],
    /// The program to copy.
    pub(super) program: &'a Path,
}

/// What is to be there, in the order in which it is made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is left to the operator.
    pub(super) notes: Vec<String>,
    /// Where the services will listen, with the unit that does.
    pub(super) listeners: Vec<(String, SocketAddr)>,
}

/// Decides what is to be there.
pub(super) fn plan(inputs: &Inputs<'_>) -> Result<Plan, String> {
    let data = data_folder(inputs.settings)?;
    for folder in data.iter().chain(&inputs.settings.webapps) {
        check_folder(folder)?;
    }
    let mut plan = Plan {
        steps: Vec::new(),
        notes: notes(inputs),
        listeners: units::listeners(inputs),
    };
    plan.steps.extend(packages(inputs)?);
    plan.steps.push(Step::User {
        name: USER.to_owned(),
    });
    plan.steps.extend(files(inputs, data.as_deref()));
    plan.steps.extend(units::files(inputs, data.as_deref()));
    logs::add(inputs, &mut plan);
    if inputs.options.postgres {
        plan.steps.extend(database::steps(inputs));
    }
    firewall::add(inputs, &mut plan)?;
    if inputs.facts.is_live {
        plan.steps.extend(units::services(inputs));
    } else {
        plan.notes
            .push("seawall.target starts when that system boots".to_owned());
    }
    Ok(plan)
}

/// What the operator may not expect.
fn notes(inputs: &Inputs<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if inputs.former_config.is_some() {
        notes.push(format!(
            "what was in {CONFIG} before is kept in {FORMER_CONFIG}"
        ));
    }
    if inputs.here.is_empty() {
        notes.push(
            "no node has an address of this machine, so that it runs none; --node NAME names one \
             that it should run all the same"
                .to_owned(),
        );
    }
    if let Some(shell) = &inputs.facts.login_shell {
        notes.push(format!(
            "the user {USER} is there already and may log in (with {shell}): the services run as \
             that user, and whoever logs in as it can read their secrets and sessions"
        ));
    }
    notes
}

/// Where clients connect, and where the statistics are.
pub(super) fn addresses(settings: &Settings) -> [SocketAddr; 2] {
    [settings.balancer.listen, settings.balancer.stats]
}

/// The folder that the nodes write to: only with the embedded store.
fn data_folder(settings: &Settings) -> Result<Option<PathBuf>, String> {
    let StoreUrl::Sqlite(file) = &settings.store else {
        return Ok(None);
    };
    match file.parent() {
        Some(folder) if file.is_absolute() => Ok(Some(folder.to_owned())),
        _ => Err(format!(
            "the embedded store's file {} has no absolute path, and services have no folder of \
             their own; write data = \"{DATA}\" into the configuration",
            file.display()
        )),
    }
}

/// That the services see the folder, and that its name can stand in a unit.
fn check_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    if folder.is_relative() {
        return Err(format!(
            "the configuration names the folder {shown}, and services have none of their own that \
             it could be in; write it with all that leads to it, such as /srv/{shown}"
        ));
    }
    if let Some(hidden) = HIDDEN.iter().find(|hidden| folder.starts_with(hidden)) {
        return Err(format!(
            "services see nothing of {hidden}, where the configuration names the folder {shown}; \
             name another, for example below /srv or /var/lib"
        ));
    }
    match folder.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(()),
        _ => Err(format!("services can have no folder with the name {shown}")),
    }
}

fn packages(inputs: &Inputs<'_>) -> Result<Option<Step>, String> {
    let facts = inputs.facts;
    let mut names = Vec::new();
    if inputs.options.postgres && !facts.has_postgres {
        names.push(database::package(facts.distribution)?.to_owned());
    }
    if inputs.options.log_files && facts.is_live {
        if facts.rsyslog.is_none() {
            names.push("rsyslog".to_owned());
        }
        if !facts.has_logrotate {
            names.push("logrotate".to_owned());
        }
    }
    Ok((!names.is_empty()).then_some(Step::Packages { names }))
}

fn files(inputs: &Inputs<'_>, data: Option<&Path>) -> Vec<Step> {
    let private = Access::new(0o640, "root", USER);
    let folder = |path: &Path, access: Access, used: Option<Use>| Step::Folder {
        path: path.into(),
        access,
        data: true,
        used,
    };
    let mut steps = vec![folder(
        Path::new("/etc/seawall"),
        Access::new(0o750, "root", USER),
        None,
    )];
    for (path, secret) in [
        (PASSWORD, inputs.password),
        (ADMIN_TOKEN, inputs.admin_token),
    ] {
        steps.extend(secret.map(|secret| Step::File {
            path: path.into(),
            access: private.clone(),
            contents: Contents::Secret(format!("{secret}\n")),
            data: true,
        }));
    }
    steps.extend(inputs.former_config.map(|former| Step::File {
        path: FORMER_CONFIG.into(),
        access: private.clone(),
        // It may hold a password.
        contents: Contents::Secret(former.to_owned()),
        data: true,
    }));
    steps.push(Step::File {
        path: CONFIG.into(),
        access: private,
        contents: match inputs.shown_config {
            None => Contents::Text(inputs.config.to_owned()),
            Some(shown) => Contents::Masked {
                text: inputs.config.to_owned(),
                shown: shown.to_owned(),
            },
        },
        data: true,
    });
    if let Some(webapps) = &inputs.settings.webapps {
        steps.push(folder(webapps, Access::public(0o755), Some(Use::Read)));
    }
    if let Some(data) = data {
        steps.push(folder(
            data,
            Access::new(0o750, USER, USER),
            Some(Use::Write),
        ));
    }
    steps.push(Step::File {
        path: PROGRAM.into(),
        access: Access::public(0o755),
        contents: Contents::CopyOf(inputs.program.into()),
        data: false,
    });
    steps
}
