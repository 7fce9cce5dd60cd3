//! The configuration that is installed: the one that is given, the one that is there, or a new one.

use std::{fs, path::Path};

use percent_encoding::percent_decode_str;
use seawall_store::StoreUrl;

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
    /// What was installed before, if another one is given now.
    pub(super) former: Option<String>,
    /// The text as it is shown, if there is a password in it.
    pub(super) shown: Option<String>,
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
    let given = args.store.as_deref().unwrap_or_default();
    if !given.is_empty()
        && let Err(error) = given.parse::<StoreUrl>()
    {
        let said = format!("--store or SEAWALL_STORE_URL: {error}");
        return Err(InstallError::Plan(said));
    }
    let (given_url, given_password) = split_password(given);
    let has_password = given_password.is_some();
    let password = match (kept(target, PASSWORD)?, given_password) {
        (Some(kept), Some(given)) if kept != given => {
            return Err(InstallError::Plan(format!(
                "{PASSWORD} holds another password than the URL of --store or SEAWALL_STORE_URL; \
                 leave it out of the URL, or change that file"
            )));
        }
        // The file may have been lost; the database learns the new one.
        (None, None) if options.postgres => Some(new_secret()?),
        (kept, given) => kept.or(given),
    };
    let existing = match &args.config {
        Some(path) => Some((path.as_path(), read(path)?)),
        None => target
            .read_text(CONFIG)?
            .map(|text| (Path::new(CONFIG), text)),
    };
    let settings_of = |text: &str| config::of_text(Path::new(CONFIG), text);
    let (text, settings) = match existing {
        Some((file, text)) => {
            let settings = settings_of(&text)?;
            check_agreement(args, &given_url, file, &settings)?;
            (text, settings)
        }
        None => {
            let (url, has_password) = match options.postgres {
                true => (database::URL, true),
                false => (given_url.as_str(), has_password),
            };
            let text = written(args, options, url, has_password);
            let settings = settings_of(&text)?;
            (text, settings)
        }
    };
    let admin_token = match settings.admin_token_file.as_deref() == Some(Path::new(ADMIN_TOKEN)) {
        true => Some(match kept(target, ADMIN_TOKEN)? {
            Some(token) => token,
            None => new_secret()?,
        }),
        false => None,
    };
    let former = target
        .read_text(CONFIG)?
        .filter(|former| args.config.is_some() && *former != text);
    Ok(Configuration {
        former,
        shown: shown(&text, &settings.store_url),
        text,
        settings,
        password,
        admin_token,
    })
}

fn read(path: &Path) -> Result<String, InstallError> {
    fs::read_to_string(path).map_err(|source| InstallError::File {
        path: path.into(),
        source,
    })
}

/// A secret of a former installation.
fn kept(target: &Target, path: &str) -> Result<Option<String>, InstallError> {
    let text = target.read_text(path)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}

/// What the command line says may stand in the file too, but nothing else: which would count?
fn check_agreement(
    args: &InstallArgs,
    url: &str,
    file: &Path,
    settings: &Settings,
) -> Result<(), InstallError> {
    let (there, _) = split_password(&settings.store_url);
    let store = || format!("the store is {}", settings.store);
    let contradictions = [
        (
            "--nodes",
            args.nodes
                .is_some_and(|count| usize::from(count) != settings.nodes.len()),
            format!("the number of nodes is {}", settings.nodes.len()),
        ),
        (
            "--http",
            args.http
                .is_some_and(|http| http != settings.balancer.listen),
            format!("balancer.http is {}", settings.balancer.listen),
        ),
        (
            "--store or SEAWALL_STORE_URL",
            args.store.is_some() && url != there,
            store(),
        ),
        (
            "--postgres",
            args.postgres && there != database::URL,
            store(),
        ),
    ];
    match contradictions.into_iter().find(|(_, is_one, _)| *is_one) {
        Some((option, _, says)) => Err(InstallError::Plan(format!(
            "{option} contradicts {}, where {says}; leave the option out, or change the file",
            file.display()
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
        Some(source) if source.family() == "ip6" => "[::]:8404",
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

/// The configuration with a mark in the place of each password of its store's URL, if it has any.
fn shown(text: &str, url: &str) -> Option<String> {
    let mut masked = split_password(url).0;
    if let Some((start, rest)) = masked.split_once("sentinel-password=") {
        let rest = rest.find('&').map_or("", |end| &rest[end..]);
        masked = format!("{start}sentinel-password=…{rest}");
    }
    match masked == url {
        true => None,
        // TOML has other ways to write it.
        false if !text.contains(url) => Some("(a text with a password)".to_owned()),
        false => Some(text.replace(url, &masked)),
    }
}

/// A store's URL without its password, and the password.
fn split_password(url: &str) -> (String, Option<String>) {
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let of_user = || {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, hosts) = authority.rsplit_once('@')?;
        let (user, password) = user.split_once(':')?;
        Some((
            format!("{scheme}://{user}@{hosts}{path}"),
            decoded(password)?,
        ))
    };
    // PostgreSQL takes it among the options too.
    let of_options = |url: &str| {
        let (place, options) = url.split_once('?')?;
        let is_password = |option: &&str| option.starts_with("password=");
        let (secret, others): (Vec<_>, Vec<_>) = options.split('&').partition(is_password);
        let (_, password) = secret.last()?.split_once('=')?;
        let mark = if others.is_empty() { "" } else { "?" };
        Some((
            format!("{place}{mark}{}", others.join("&")),
            decoded(password)?,
        ))
    };
    let (url, password) = match of_user() {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    };
    match of_options(&url).filter(|_| url.starts_with("postgres")) {
        Some((url, password)) => (url, Some(password)),
        None => (url, password),
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
                "postgres://h/d?user=u&password=p%26w&sslmode=require",
                "postgres://h/d?user=u&sslmode=require",
                Some("p&w"),
            ),
            ("postgres://u@h/d?password=p", "postgres://u@h/d", Some("p")),
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

    #[test]
    fn a_password_in_a_configuration_is_not_shown() {
        let text = |url: &str| format!("[store]\nurl = \"{url}\"\n");
        for (url, masked) in [
            ("postgres://u:hush@h/d", Some("postgres://u@h/d")),
            (
                "postgres://h/d?user=u&password=hush",
                Some("postgres://h/d?user=u"),
            ),
            (
                "redis-sentinel://:hush@a/s?sentinel-password=hush&x=1",
                Some("redis-sentinel://@a/s?sentinel-password=…&x=1"),
            ),
            ("postgres://u@h/d", None),
            ("", None),
        ] {
            assert_eq!(shown(&text(url), url), masked.map(text), "{url}");
        }
        let escaped = shown("url = \"postgres://u:h\\u0075sh@h\"", "postgres://u:hush@h");
        assert!(!escaped.unwrap().contains("sh@"));
    }
}
