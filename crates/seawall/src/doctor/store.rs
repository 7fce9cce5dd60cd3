//! The session store: whether it can be reached, opened, written and read, and whether all nodes can
//! share it.

use std::time::Duration;

use seawall_store::{Cause, StoreError, StoreUrl};

use super::{case::Case, diagnosis::Diagnosis};
use crate::{
    config::Settings,
    disk, store_access,
    store_probe::{self, ProbeError},
};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(8);

/// Without nodes there is none.
pub(super) async fn examine(settings: &Settings) -> Vec<Diagnosis> {
    if settings.nodes.is_empty() {
        return Vec::new();
    }
    if let Some(diagnosis) = not_shared(settings) {
        return vec![diagnosis];
    }
    if settings.store == StoreUrl::Memory {
        // The one node's own, which nobody else sees.
        return Vec::new();
    }
    if disk::hangs(&settings.store).await {
        // Another diagnosis says so.
        return Vec::new();
    }
    if let StoreUrl::Sqlite(file) = &settings.store
        && !file.exists()
    {
        return vec![Diagnosis::new(
            Case::StoreFileMissing,
            file.display().to_string(),
        )];
    }
    let (url, options) = (settings.store.clone(), settings.store_options.clone());
    let host = settings.session.virtual_host.clone();
    let probed = store_access::on_a_thread(LIMIT, async move || {
        let opened = url.open_with(&options).await;
        Ok(match opened {
            Ok(store) => store_probe::run(&*store, host).await.map(drop),
            Err(error) => Err(error.into()),
        })
    });
    let found = match probed.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((case(&error), error.to_string())),
        Err(reason) => Some((Case::StoreSilent, format!("{}: {reason}", settings.store))),
    };
    let name = |(case, seen)| names(settings, Diagnosis::new(case, seen));
    found.map(name).into_iter().collect()
}

/// A store that is one for all nodes must be reached by all of them.
fn not_shared(settings: &Settings) -> Option<Diagnosis> {
    let seen = match &settings.store {
        StoreUrl::Memory if settings.nodes.len() == 1 => return None,
        StoreUrl::Memory => "store.url is memory:".to_owned(),
        StoreUrl::Sqlite(file) => {
            let node = settings.nodes.elsewhere()?;
            let (file, name, address) = (file.display(), &node.name, node.address);
            format!("the store is the file {file}, and {name} is at {address}")
        }
        _ => return None,
    };
    Some(Diagnosis::new(Case::StoreNotShared, seen))
}

fn case(error: &ProbeError) -> Case {
    let ProbeError::Store(error) = error else {
        return Case::StoreFails;
    };
    if matches!(error, StoreError::Timeout { .. }) {
        return Case::StoreSilent;
    }
    match error.cause() {
        Cause::DatabaseMissing => Case::StoreDatabaseMissing,
        Cause::OtherTables => Case::StoreOtherTables,
        Cause::PrivilegeMissing => Case::StorePrivilegeMissing,
        Cause::ReadOnly => Case::StoreReadOnly,
        Cause::Refused => Case::StoreRefused,
        Cause::StoreFull => Case::StoreFull,
        Cause::TooManyConnections => Case::StoreConnectionsExhausted,
        Cause::Unreachable => Case::MachineUnreachable,
        Cause::UnknownHost => Case::StoreHostUnknown,
        Cause::WrongPassword => Case::StoreWrongPassword,
        _ => Case::StoreFails,
    }
}

/// Puts the names of service, user and database in.
fn names(settings: &Settings, diagnosis: Diagnosis) -> Diagnosis {
    let url = settings.store.to_string();
    let service = match &settings.store {
        StoreUrl::Mysql(_) => "mariadb",
        StoreUrl::Redis(_) => "redis-server",
        StoreUrl::Postgres(_) => "postgresql",
        StoreUrl::Memory | StoreUrl::Sqlite(_) => "seawall-node@node1",
    };
    let (user, database) = user_and_database(&url);
    diagnosis
        .with("STORE", &url)
        .with("HOST", host(&url).unwrap_or("HOST"))
        .with("SERVICE", service)
        .with("USER", user.unwrap_or("USER"))
        .with("DATABASE", database.unwrap_or("DATABASE"))
}

/// The first host of a store's URL, without its port.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let hosts = authority.rsplit('@').next()?;
    let first = hosts.split(',').next()?;
    let host = match first.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => first,
    };
    Some(host.trim_matches(['[', ']']))
}

/// `SCHEME://USER:…@HOST/DATABASE?OPTIONS`
fn user_and_database(url: &str) -> (Option<&str>, Option<&str>) {
    let Some((_, rest)) = url.split_once("://") else {
        return (None, None);
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority
        .rsplit_once('@')
        .map(|(user, _)| user.split(':').next().unwrap_or_default());
    let named = |text: &&str| !text.is_empty();
    (user.filter(named), Some(database).filter(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_database_are_found_in_urls() {
        let found = user_and_database("postgres://sea:***@db1:5432,db2/sessions?sslmode=require");
        assert_eq!(found, (Some("sea"), Some("sessions")));
        assert_eq!(user_and_database("redis://127.0.0.1:6379"), (None, None));
        assert_eq!(user_and_database("sqlite:data/sessions.db"), (None, None));
    }

    #[test]
    fn the_first_host_is_found_in_urls() {
        for (url, first) in [
            ("postgres://sea:***@db1:5432,db2/sessions", "db1"),
            ("mysql://[2001:db8::1]:3306/web", "2001:db8::1"),
            ("redis://[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(host(url), Some(first));
        }
    }
}
