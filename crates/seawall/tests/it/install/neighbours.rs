//! A machine on which others have things of their own: ports, databases, packages. What is theirs
//! is not taken, and is still there when Seawall has gone.

use std::fs;

use serde_json::{Value, json};

use super::{is_root, nspawn::Machine, pages::bring_program};
use crate::cluster::until;

const PROGRAM: &str = "/root/home/seawall";
const MANIFEST: &str = "etc/seawall/installed.json";
const POSTGRES: [&str; 3] = [PROGRAM, "install", "--postgres"];
const PURGE: [&str; 4] = [PROGRAM, "uninstall", "--yes", "--purge"];

/// A package that needs one of those that an installation brings.
const SHOP: &str = "mkdir -p shop/DEBIAN && printf 'Package: shop\nVersion: 1\nArchitecture: all\n\
                    Maintainer: nobody <nobody@localhost>\nDescription: needs logrotate\nDepends: \
                    logrotate\n' > shop/DEBIAN/control && dpkg-deb --build shop && dpkg --install \
                    shop.deb && rm -r shop shop.deb";

#[test]
fn what_is_others_is_not_taken_and_stays() {
    if !is_root() {
        return;
    }
    let machine = Machine::boot();
    bring_program(&machine);
    a_normal_user_can_see_what_would_be_done(&machine);
    a_port_that_is_taken_is_named(&machine);
    packages_come_with_a_kill(&machine);
    other_databases_stay(&machine);
    other_clusters_and_packages_stay(&machine);
    a_folder_may_have_any_name(&machine);
}

/// What a command says that must fail.
#[track_caller]
fn error(machine: &Machine, words: &[&str]) -> String {
    let output = machine.try_run(words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn sql(machine: &Machine, statement: &str) -> String {
    let shell =
        format!("runuser --user=postgres -- psql -tA -v ON_ERROR_STOP=1 <<'END'\n{statement}\nEND");
    machine.run(&["sh", "-c", &shell])
}

fn has_package(machine: &Machine, name: &str) -> bool {
    machine
        .try_run(&["dpkg", "--status", name])
        .status
        .success()
}

fn is_installed(machine: &Machine) -> bool {
    machine.root().join("etc/seawall").exists()
}

fn a_normal_user_can_see_what_would_be_done(machine: &Machine) {
    machine.run(&["install", PROGRAM, "/opt/seawall"]);
    let said = machine.run(&[
        "runuser",
        "--user=nobody",
        "--",
        "/opt/seawall",
        "install",
        "--yes",
        "--postgres",
        "--stats-from=192.0.2.0/24",
        "--dry-run",
    ]);
    assert!(said.contains("packages  postgresql"), "{said}");
    assert!(
        said.contains("note: only root can look at the firewall"),
        "{said}"
    );
    machine.run(&["rm", "/opt/seawall"]);
}

fn a_port_that_is_taken_is_named(machine: &Machine) {
    let listen = [
        "systemd-socket-activate",
        "--listen=0.0.0.0:80",
        "/bin/true",
    ];
    machine.run(&[&["systemd-run", "--unit=web"], &listen[..]].concat());
    let said = until("the port is found taken", || {
        let output = machine.try_run(&[PROGRAM, "install", "--yes"]);
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    });
    assert!(
        said.contains("seawall-balancer.socket is to listen on 0.0.0.0:80, and systemd-socket"),
        "{said}"
    );
    assert!(!is_installed(machine), "nothing was begun");
    machine.run(&["systemctl", "stop", "web.service"]);
}

/// That they are known all the same shows when they go, in the end.
fn packages_come_with_a_kill(machine: &Machine) {
    let install = [
        &["systemd-run", "--unit=installer"],
        &POSTGRES[..],
        &["--yes"],
    ]
    .concat();
    machine.run(&install);
    until("packages are being unpacked", || {
        let list = machine
            .root()
            .join("var/lib/dpkg/info/postgresql-common.list");
        list.exists().then_some(())
    });
    machine.run(&["systemctl", "kill", "--signal=SIGKILL", "installer.service"]);
    until("dpkg is dead", || {
        let states = ["systemctl", "is-failed", "installer.service"];
        machine.try_run(&states).status.success().then_some(())
    });
    // As apt asks for.
    let mend = "dpkg --configure -a; apt-get install --fix-broken --yes";
    machine.run(&["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", mend]);
    machine.run(&[&POSTGRES[..], &["--yes"]].concat());
    assert!(has_package(machine, "postgresql-15"));
}

fn other_databases_stay(machine: &Machine) {
    machine.run(&[PROGRAM, "uninstall", "--yes"]);
    sql(machine, "DROP DATABASE seawall;");
    sql(
        machine,
        "DROP ROLE seawall; CREATE ROLE seawall LOGIN PASSWORD 'theirs';",
    );
    sql(machine, "CREATE DATABASE seawall OWNER seawall;");
    let install = [&POSTGRES[..], &["--yes"]].concat();
    for _ in 0..2 {
        let said = error(machine, &install);
        assert!(said.contains("the role seawall is there already"), "{said}");
        let program = machine.root().join("usr/local/bin/seawall");
        assert!(!program.exists(), "something was begun");
    }
    machine.run(&PURGE);
    let login = "PGPASSWORD=theirs psql --host=127.0.0.1 --username=seawall -c 'SELECT 1' seawall";
    machine.run(&["sh", "-c", login]);
    sql(
        machine,
        "CREATE ROLE shop; ALTER DATABASE seawall OWNER TO shop; DROP ROLE seawall;",
    );
    let said = error(machine, &install);
    assert!(
        said.contains("the database seawall is there already"),
        "{said}"
    );
    machine.run(&PURGE);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'seawall';";
    assert_eq!(sql(machine, owner).trim(), "shop");
    // Nor do the packages go while somebody uses them, though they came with an installation.
    assert!(has_package(machine, "postgresql-15"));
    sql(machine, "DROP DATABASE seawall;");
    sql(machine, "DROP ROLE shop;");
    a_server_on_another_port_is_not_taken(machine);
}

fn a_server_on_another_port_is_not_taken(machine: &Machine) {
    let move_to = |port: &str| {
        let change = format!(
            "sed -i 's/^port = .*/port = {port}/' /etc/postgresql/15/main/postgresql.conf && \
             systemctl restart postgresql@15-main.service"
        );
        machine.run(&["sh", "-c", &change]);
    };
    move_to("5440");
    let said = error(machine, &[&POSTGRES[..], &["--yes"]].concat());
    assert!(said.contains("PostgreSQL listens on port 5440"), "{said}");
    move_to("5432");
}

fn other_clusters_and_packages_stay(machine: &Machine) {
    machine.run(&[&POSTGRES[..], &["--yes", "--log-files"]].concat());
    machine.run(&["sh", "-c", SHOP]);
    let would = machine.run(&[&PURGE[..], &["--dry-run"]].concat());
    let line = |start: &str, what: &str| {
        let found = would
            .lines()
            .any(|line| line.starts_with(start) && line.contains(what));
        assert!(found, "{start}…{what}:\n{would}");
    };
    line("remove    packages", " postgresql-15 ");
    line(
        "keep      packages",
        "logrotate (others need them, or asked for them)",
    );
    // In the database that everybody has, too.
    sql(machine, "CREATE TABLE theirs ();");
    let would = machine.run(&[&PURGE[..], &["--dry-run"]].concat());
    assert!(
        would.contains("(PostgreSQL may hold something that is not Seawall's)"),
        "{would}"
    );
    sql(machine, "DROP TABLE theirs;");
    machine.run(&["pg_createcluster", "--start", "15", "other"]);
    machine.run(&[
        "sh",
        "-c",
        "PGCLUSTER=15/other runuser -u postgres -- createdb shop",
    ]);
    machine.run(&PURGE);
    machine.run(&[
        "sh",
        "-c",
        "PGCLUSTER=15/other runuser -u postgres -- psql shop -c 'SELECT 1'",
    ]);
    assert_eq!(
        sql(
            machine,
            "SELECT count(*) FROM pg_database WHERE datname = 'seawall';"
        )
        .trim(),
        "0"
    );
    assert!(has_package(machine, "shop") && has_package(machine, "logrotate"));
    assert!(!has_package(machine, "rsyslog"));
    machine.run(&["pg_dropcluster", "--stop", "15", "other"]);
    machine.run(&["dpkg", "--purge", "shop"]);
    machine.run(&PURGE);
    for package in [
        "logrotate",
        "postgresql-15",
        "postgresql-common",
        "libpq5",
        "perl",
    ] {
        assert!(!has_package(machine, package), "{package}");
    }
    assert!(!is_installed(machine));
}

fn a_folder_may_have_any_name(machine: &Machine) {
    let config = "data = \"/srv/my 100% data\"\n[nodes]\ncount = 1\n";
    fs::write(machine.root().join("root/home/given.toml"), config).unwrap();
    machine.run(&[
        PROGRAM,
        "install",
        "--yes",
        "--config",
        "/root/home/given.toml",
    ]);
    machine.run(&["systemctl", "is-active", "seawall-node@node1.service"]);
    machine.run(&["test", "-e", "/srv/my 100% data/sessions.db"]);
    statistics_that_nobody_reaches_are_not_opened(machine);
    a_change_to_a_port_that_is_taken_harms_nothing(machine);
    a_unit_that_systemd_cannot_have_holds_nothing_up(machine);
}

fn statistics_that_nobody_reaches_are_not_opened(machine: &Machine) {
    let said = machine.run(&[PROGRAM, "install", "--yes", "--stats-from=192.0.2.0/24"]);
    assert!(
        said.contains("note: the statistics listen on 127.0.0.1:8404"),
        "{said}"
    );
    let rules = machine.run(&["nft", "list", "ruleset"]);
    assert!(!rules.contains("8404"), "{rules}");
}

fn a_change_to_a_port_that_is_taken_harms_nothing(machine: &Machine) {
    let listen = ["systemd-socket-activate", "--listen=8090", "/bin/true"];
    machine.run(&[&["systemd-run", "--unit=web"], &listen[..]].concat());
    until("the port is taken", || {
        // 8090, as the kernel writes it.
        let look = [
            "sh",
            "-c",
            "cat /proc/net/tcp /proc/net/tcp6 | grep ':1F9A '",
        ];
        machine.try_run(&look).status.success().then_some(())
    });
    let path = machine.root().join("etc/seawall/seawall.toml");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("{before}[balancer]\nhttp = \"0.0.0.0:8090\"\n"),
    )
    .unwrap();
    let said = error(machine, &[PROGRAM, "install", "--yes", "--firewall=false"]);
    assert!(
        said.contains("is to listen on 0.0.0.0:8090, and systemd-socket"),
        "{said}"
    );
    machine.run(&["systemctl", "is-active", "seawall-balancer.socket"]);
    machine.run(&["systemctl", "stop", "web.service"]);
    fs::write(&path, before).unwrap();
}

fn a_unit_that_systemd_cannot_have_holds_nothing_up(machine: &Machine) {
    let wants = "/etc/systemd/system/seawall.target.wants/seawall-node@.service";
    let aim = "/etc/systemd/system/seawall-node@.service";
    machine.run(&["ln", "--symbolic", aim, wants]);
    let path = machine.root().join(MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let link = json!({ "link": { "path": wants, "target": aim } });
    manifest["entries"].as_array_mut().unwrap().push(link);
    fs::write(&path, manifest.to_string()).unwrap();
    machine.run(&PURGE);
    assert!(!machine.root().join(&wants[1..]).is_symlink());
    assert!(!is_installed(machine));
}
