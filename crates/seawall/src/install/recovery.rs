//! What can be told of an installation whose manifest was lost.

use std::path::Path;

use super::{
    InstallError,
    args::Options,
    database, files, logs,
    plan::{CONFIG, UNITS},
    target::Target,
};

/// Whether an installation has been here, whatever is written down of it.
pub(super) fn is_installed(target: &Target) -> Result<bool, InstallError> {
    has_unit(target, "seawall.target")
}

/// The options by which it was made, as far as they have left traces; the defaults, where nothing
/// is installed.
pub(super) fn options(target: &Target) -> Result<Options, InstallError> {
    if !is_installed(target)? {
        return Ok(Options::default());
    }
    let config = target.read_text(CONFIG)?.unwrap_or_default();
    Ok(Options {
        balancer: has_unit(target, "seawall-balancer.service")?,
        postgres: config.contains(database::URL),
        log_files: files::look(target, Path::new(logs::RULES))?.is_some(),
        ..Options::default()
    })
}

fn has_unit(target: &Target, name: &str) -> Result<bool, InstallError> {
    Ok(files::look(target, &Path::new(UNITS).join(name))?.is_some())
}

/// What could not be told.
pub(super) fn note() -> String {
    format!(
        "{} was lost and is written anew, with what was found. It does not have the packages that \
         came with Seawall, which stay, nor --node, --stats-from and --firewall: give those again \
         that you gave before",
        super::manifest::PATH
    )
}
