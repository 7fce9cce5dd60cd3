//! The configuration that is installed: the one that is given, the one that is there, or a new one.

use std::{fs, path::Path};

use percent_encoding::percent_decode_str;

use super::{
    InstallError,
    args::{InstallArgs, Options},
    database,
    plan::{ADMIN_TOKEN, CONFIG, DATA, PASSWORD, WEBAPPS},
    target::Target,
};
use crate::{
    config::{self, Settings},
    secret,
};

/// The configuration that is installed.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) text: String,
    pub(super) settings: Settings,
    /// What stands in the password file.
    pub(super) password: Option<String>,
    /// What stands in the file of the admin token, if that is the installation's.
    pub(super) admin_token: Option<String>,
}

/// Whether there is one, so that nothing need be asked.
pub(super) fn is_given(args: &InstallArgs, target: &Target) -> Result<bool, InstallError> {
    Ok(args.config.is_some() || target.read(Path::new(CONFIG))?.is_some())
}

/// Decides on it.
pub(super) fn decide(
    args: &InstallArgs,
    options: &Options,
    target: &Target,
) -> Result<Configuration, InstallError> {
    let kept_password = kept(target, PASSWORD)?;
    let there = target.read_text(CONFIG)?;
    let (text, password) = match (&args.config, there) {
        (Some(path), _) => {
            check_nothing_else(args, &path.display().to_string())?;
            let text = fs::read_to_string(path).map_err(|source| InstallError::File {
                path: path.clone(),
                source,
            })?;
            (text, kept_password)
        }
        (None, Some(text)) => {
            check_nothing_else(args, CONFIG)?;
            // The file may have been lost; the database learns the new one.
            let password = match (kept_password, options.postgres) {
                (None, true) => Some(new_secret()?),
                (kept, _) => kept,
            };
            (text, password)
        }
        (None, None) if options.postgres => {
            let password = match kept_password {
                Some(password) => password,
                None => new_secret()?,
            };
            (written(args, options, database::URL, true), Some(password))
        }
        (None, None) => {
            let given = args.store.as_deref().unwrap_or_default();
            let (url, password) = split_password(given);
            let text = written(args, options, &url, password.is_some());
            (text, password)
        }
    };
    let settings = config::of_text(Path::new(CONFIG), &text)?;
    let admin_token = match settings.admin_token_file.as_deref() == Some(Path::new(ADMIN_TOKEN)) {
        true => Some(match kept(target, ADMIN_TOKEN)? {
            Some(token) => token,
            None => new_secret()?,
        }),
        false => None,
    };
    Ok(Configuration {
        text,
        settings,
        password,
        admin_token,
    })
}

/// A secret of a former installation.
fn kept(target: &Target, path: &str) -> Result<Option<String>, InstallError> {
    let text = target.read_text(path)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}

/// What a file says is not said again on the command line, perhaps differently.
fn check_nothing_else(args: &InstallArgs, file: &str) -> Result<(), InstallError> {
    let given = [
        ("--nodes", args.nodes.is_some()),
        ("--http", args.http.is_some()),
        ("--store or SEAWALL_STORE_URL", args.store.is_some()),
        ("--postgres", args.postgres),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(InstallError::Plan(format!(
            "{file} says that already; leave out {option}, and change the file if it should be \
             different"
        ))),
        None => Ok(()),
    }
}

/// A file with what differs from the defaults.
fn written(args: &InstallArgs, options: &Options, url: &str, has_password: bool) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!(
        "# Seawall's settings. `seawall install` wrote what differs from the defaults; change it, \
         and run\n# `seawall install` again: it restarts what has to be.\n\
         data = {}\n\n[admin]\ntoken_file = {}\n",
        quoted(DATA),
        quoted(ADMIN_TOKEN)
    );
    if !url.is_empty() {
        text += &format!("\n[store]\nurl = {}\n", quoted(url));
        if has_password {
            text += &format!("password_file = {}\n", quoted(PASSWORD));
        }
    }
    let count = args.nodes.unwrap_or(2);
    text += &format!(
        "\n[nodes]\ncount = {count}\nwebapps = {}\n",
        quoted(WEBAPPS)
    );
    let http = args
        .http
        .map_or("0.0.0.0:80".to_owned(), |http| http.to_string());
    let stats = match options.stats_from {
        Some(_) => "0.0.0.0:8404",
        None => "127.0.0.1:8404",
    };
    text += &format!(
        "\n[balancer]\nhttp = {}\nstats = {}\n",
        quoted(&http),
        quoted(stats)
    );
    text
}

/// A store's URL without its password, and the password.
fn split_password(url: &str) -> (String, Option<String>) {
    let apart = || {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@')?;
        let (user, password) = user.split_once(':')?;
        let password = percent_decode_str(password).decode_utf8().ok()?;
        Some((
            format!("{scheme}://{user}@{hosts}{path}"),
            password.into_owned(),
        ))
    };
    match apart() {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}

fn new_secret() -> Result<String, InstallError> {
    secret::new().map_err(|source| InstallError::File {
        path: "/dev/urandom".into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_the_url() {
        for (url, without, password) in [
            (
                "postgres://u:p%40ss@h:1/d?x=y",
                "postgres://u@h:1/d?x=y",
                Some("p@ss"),
            ),
            ("postgres://u@h/d", "postgres://u@h/d", None),
            (
                "redis-sentinel://:pw@a:1,b:2/0",
                "redis-sentinel://@a:1,b:2/0",
                Some("pw"),
            ),
            ("sqlite:/a:b@c", "sqlite:/a:b@c", None),
            ("", "", None),
        ] {
            let (left, secret) = split_password(url);
            assert_eq!((left.as_str(), secret.as_deref()), (without, password));
        }
    }
}
