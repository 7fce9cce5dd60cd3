//! What can be told of an installation whose manifest was lost.

use std::path::Path;

use super::{
    InstallError,
    args::Options,
    database, files, logs,
    plan::{CONFIG, UNITS},
    target::Target,
};

/// The options by which it was made, as far as they have left traces; the defaults, where nothing
/// is installed.
pub(super) fn options(target: &Target) -> Result<Options, InstallError> {
    let unit = |name: &str| files::look(target, &Path::new(UNITS).join(name));
    if unit("seawall.target")?.is_none() {
        return Ok(Options::default());
    }
    let config = target.read_text(CONFIG)?.unwrap_or_default();
    Ok(Options {
        balancer: unit("seawall-balancer.service")?.is_some(),
        postgres: config.contains(database::URL),
        log_files: files::look(target, Path::new(logs::RULES))?.is_some(),
        ..Options::default()
    })
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
