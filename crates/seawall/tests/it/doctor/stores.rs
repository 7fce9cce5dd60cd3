//! Stores that are broken under a running cluster.

use std::{
    fs::{self, File},
    path::Path,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};

use super::{assert_found, examine, running};
use crate::{cluster::until, health::stores::Mount, site::Site};

/// What a full disk has left, in bytes.
const ROOM: u64 = 40 << 10;

/// A cluster on PostgreSQL whose user is no superuser: those may do anything.
fn on_postgres(postgres: &TestPostgres) -> Site {
    postgres.query("CREATE ROLE app LOGIN");
    let url = postgres.create_database("sessions");
    postgres.query("ALTER DATABASE sessions OWNER TO app");
    let url = url.replace("seawall@", "app@");
    let site = running(&format!("[store]\nurl = \"{url}\""));
    site.until_all_are_up();
    site
}

/// What is found of the store; nodes and page suffer too.
#[track_caller]
fn assert_first(site: &Site, options: &[&str], case: &str, words: &str) {
    let found = examine(site, options);
    let first = found.first().unwrap_or_else(|| panic!("no {case}"));
    assert_eq!(first.case, case, "{found:#?}");
    assert!(first.seen.contains(words), "{found:#?}");
    assert!(!first.mend.contains('$'), "{found:#?}");
}

#[test]
fn a_broken_postgresql_is_diagnosed() {
    let mut postgres = TestPostgres::start();
    let site = on_postgres(&postgres);
    assert_found(&site, &[], &[]);

    postgres.query("ALTER ROLE app CONNECTION LIMIT 1");
    assert_first(
        &site,
        &[],
        "store-connections-exhausted",
        "too many connections",
    );
    postgres.query("ALTER ROLE app CONNECTION LIMIT -1");

    let database = postgres.url().replace("/postgres", "/sessions");
    let at = |statement: &str| postgres.query_at(&database, statement);
    at("REVOKE ALL ON jettysessions FROM app");
    assert_first(&site, &[], "store-privilege-missing", "permission denied");
    at("GRANT ALL ON jettysessions TO app");

    postgres.query("ALTER DATABASE sessions SET default_transaction_read_only = on");
    assert_first(&site, &[], "store-read-only", "read-only");
    postgres.query("ALTER DATABASE sessions RESET default_transaction_read_only");

    at("INSERT INTO seawall_schema (version) VALUES (99)");
    assert_first(&site, &[], "store-other-tables", "version 99");
    at("DELETE FROM seawall_schema WHERE version = 99");
    assert_found(&site, &[], &[]);

    postgres.query("DROP DATABASE sessions WITH (FORCE)");
    assert_first(&site, &[], "store-database-missing", "does not exist");

    let server = Pid::from_raw(i32::try_from(postgres.process_id()).unwrap());
    kill(server, Signal::SIGSTOP).unwrap();
    assert_first(&site, &[], "store-silent", "no answer");
    kill(server, Signal::SIGCONT).unwrap();

    postgres.kill();
    assert_first(&site, &[], "store-refused", "refused");
}

#[test]
fn broken_mariadb_and_redis_are_diagnosed() {
    let (mariadb, mut redis) = (TestMariaDb::start(), TestRedis::start());
    let server = mariadb.url();
    let server = server.split_once('@').unwrap().1.split('/').next().unwrap();
    mariadb.query(
        "CREATE USER app@'%' IDENTIFIED BY 'one'; CREATE DATABASE web; \
         GRANT ALL ON web.* TO app@'%'",
    );
    let site = running(&format!("[store]\nurl = \"mysql://app:one@{server}/web\""));
    site.until_all_are_up();
    assert_found(&site, &[], &[]);
    mariadb.query("ALTER USER app@'%' IDENTIFIED BY 'another'");
    assert_first(&site, &[], "store-wrong-password", "Access denied");
    mariadb.query(
        "ALTER USER app@'%' IDENTIFIED BY 'one'; REVOKE ALL ON web.* FROM app@'%'; \
         GRANT SELECT ON web.* TO app@'%'",
    );
    assert_first(&site, &[], "store-privilege-missing", "denied");

    let site = running(&format!("[store]\nurl = \"{}\"", redis.url()));
    site.until_all_are_up();
    assert_found(&site, &[], &[]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_first(&site, &[], "store-full", "");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.kill();
    assert_first(&site, &[], "store-refused", "");
}

#[test]
fn stores_that_cannot_work_are_diagnosed() {
    let site = running("");
    site.until_all_are_up();
    let store = |url: &str, case: &str, words: &str| {
        assert_first(&site, &["--store", url], case, words);
    };
    store(
        "postgres://app@no.such.invalid/sessions",
        "store-host-unknown",
        "",
    );
    store(
        "mysql://app@no.such.invalid/sessions",
        "store-host-unknown",
        "",
    );
    store("redis://no.such.invalid", "store-host-unknown", "");
    store("memory:", "store-not-shared", "memory:");
    store(
        "sqlite:/no/such/file.db",
        "store-file-missing",
        "/no/such/file.db",
    );
    assert!(!Path::new("/no").exists(), "a look makes nothing");
    let garbage = site.path("garbage.db");
    fs::write(
        &garbage,
        "no database, but long enough to be told from one. ".repeat(50),
    )
    .unwrap();
    store(
        &format!("sqlite:{}", garbage.display()),
        "store-fails",
        "not a database",
    );
}

/// One node needs nobody to share its store with.
#[test]
fn one_node_may_keep_its_sessions_in_memory() {
    let site = Site::start(1, "[store]\nurl = \"memory:\"");
    assert_found(&site, &[], &[]);
}

#[test]
fn a_file_that_other_machines_are_to_share_is_diagnosed() {
    let site = running("");
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let other = "[[node]]\nname = \"node3\"\naddress = \"192.0.2.13:8080\"\n";
    fs::write(&file, text + other).unwrap();
    assert_first(&site, &[], "store-not-shared", "node3 is at 192.0.2.13");
}

/// Only root can make a small file system.
#[test]
fn a_full_disk_is_diagnosed() {
    let site = running("");
    site.until_all_are_up();
    let folder = site.path("small");
    fs::create_dir(&folder).unwrap();
    let Some(_mount) = Mount::small(&folder) else {
        assert!(!Uid::effective().is_root(), "root can mount");
        return;
    };
    let file = folder.join("sessions.db");
    fs::copy(site.path("sessions.db"), &file).unwrap();
    let url = format!("sqlite:{}", file.display());
    // A look that ends before SQLite has closed the file leaves its log, in which there is room.
    until("a look leaves no log", || {
        let opened = examine(&site, &["--store", &url]);
        let is_full = opened.iter().any(|found| found.case == "disk-full");
        assert!(is_full, "{opened:?}");
        (!folder.join("sessions.db-wal").exists()).then_some(())
    });
    // There is room for what SQLite shares between processes, and not for another session.
    let rest = folder.join("rest");
    fs::write(&rest, vec![0; 32 << 20]).unwrap_err();
    let file = File::options().write(true).open(&rest).unwrap();
    file.set_len(file.metadata().unwrap().len() - ROOM).unwrap();
    assert_first(&site, &["--store", &url], "store-full", "");
}
