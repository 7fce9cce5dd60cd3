//! Stores and disks that are broken.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, free_port};

use super::{State, servers, succeeds};
use crate::site::Site;

/// States, and the servers that they need.
pub(super) struct Broken {
    pub(super) states: Vec<State>,
    pub(super) servers: (TestPostgres, TestMariaDb, TestRedis, Option<Mount>),
}

pub(super) fn broken(site: &Site) -> Broken {
    let (postgres, mut states) = on_postgres(site);
    let (mariadb, redis) = (TestMariaDb::start(), TestRedis::start());
    let state = |name, words, url: String| State::of(site, name, "store", words).store(url);
    let stranger = mariadb.url().split_once('@').unwrap().1.to_owned();
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let silent = servers::silent();
    let at = |scheme: &str, port: u16| format!("{scheme}://sea@127.0.0.1:{port}/sessions");
    states.extend([
        state("store refuses", "refused", at("postgres", free_port())),
        state("mysql refuses", "", at("mysql", free_port())),
        state(
            "redis refuses",
            "",
            format!("redis://127.0.0.1:{}", free_port()),
        ),
        state("store is silent", "", at("postgres", silent)),
        state("mysql is silent", "", at("mysql", silent)),
        state("redis is silent", "", format!("redis://127.0.0.1:{silent}")),
        state("store is a web server", "", at("postgres", site.ports[0])),
        state(
            "host is unknown",
            "",
            at("postgres", 5_432).replace("127.0.0.1", "no.such.invalid"),
        ),
        state(
            "wrong password",
            "",
            format!("mysql://sea:wrong@{stranger}"),
        ),
        state(
            "memory",
            "each node has a store of its own",
            "memory:".to_owned(),
        ),
        State::of(site, "redis takes no writes", "store probe", "").store(redis.url()),
    ]);
    let (mount, more) = on_files(site);
    states.extend(more);
    Broken {
        states,
        servers: (postgres, mariadb, redis, mount),
    }
}

fn on_postgres(site: &Site) -> (TestPostgres, Vec<State>) {
    let postgres = TestPostgres::start();
    let state = |name, words, url: String| State::of(site, name, "store", words).store(url);
    let made = |name: &'static str| {
        let url = postgres.create_database(name);
        // The first look makes the tables.
        State::of(site, "tables are made", "", "")
            .store(&url)
            .look(site.folder.path());
        url
    };
    let (newer, read_only) = (made("newer"), made("read_only"));
    postgres.query_at(&newer, "INSERT INTO seawall_schema (version) VALUES (99)");
    postgres.query("ALTER DATABASE read_only SET default_transaction_read_only = on");
    postgres.query("CREATE ROLE stranger LOGIN");
    let bare = postgres
        .create_database("bare")
        .replace("seawall@", "stranger@");
    let missing = format!("{}_missing", postgres.url());
    let nobody = postgres.url().replace("seawall@", "nobody@");
    let states = vec![
        state("database is missing", "does not exist", missing),
        state("user is missing", "does not exist", nobody),
        state("no privilege", "permission denied", bare),
        state("tables of another version", "version 99", newer),
        State::of(site, "read-only database", "store probe", "read-only").store(read_only),
    ];
    (postgres, states)
}

fn on_files(site: &Site) -> (Option<Mount>, Vec<State>) {
    let garbage = site.path("garbage.db");
    fs::write(
        &garbage,
        "this is no database, and long enough to be told from one. ".repeat(40),
    )
    .unwrap();
    let folder = site.path("folder.db");
    fs::create_dir(&folder).unwrap();
    let (mount, locked) = read_only_file(site);
    let state = |name, words, path: &Path| {
        let url = format!("sqlite:{}", path.display());
        State::of(site, name, "store", words).store(url)
    };
    let states = vec![
        state("file is missing", "not there", &site.path("missing.db")),
        state("file is garbage", "not a database", &garbage),
        state("file is a folder", "", &folder),
        state("file cannot be written", "", &locked),
    ];
    (mount, states)
}

/// A file that this user may not write. Root may write any, but for those on a read-only disk.
fn read_only_file(site: &Site) -> (Option<Mount>, PathBuf) {
    let folder = site.path("locked");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("sessions.db");
    let mount = Mount::small(&folder);
    fs::copy(site.path("sessions.db"), &file).unwrap();
    if let Some(mount) = &mount {
        mount.make_read_only();
    }
    fs::set_permissions(&file, Permissions::from_mode(0o400)).ok();
    (mount, file)
}

/// A small file system in memory, which goes with this.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Only root can mount, and not in every container.
    pub(crate) fn small(folder: &Path) -> Option<Self> {
        let shown = folder.to_str().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=16m", "tmpfs", shown];
        let mounted = Uid::effective().is_root() && succeeds("mount", &arguments);
        mounted.then(|| Self(folder.to_owned()))
    }

    fn make_read_only(&self) {
        let folder = self.0.to_str().unwrap();
        assert!(succeeds("mount", &["-o", "remount,ro", folder]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        succeeds("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// A data folder on a disk with hardly any room; `None` where this user cannot make one.
pub(super) fn full_disk(site: &Site) -> Option<(Mount, State)> {
    let folder = site.path("full");
    fs::create_dir(&folder).unwrap();
    let mount = Mount::small(&folder)?;
    fs::copy(site.path("sessions.db"), folder.join("sessions.db")).unwrap();
    let state = State::of(site, "disk is full", "disk", "MB free").data(&folder);
    Some((mount, state))
}
