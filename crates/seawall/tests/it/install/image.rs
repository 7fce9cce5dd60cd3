//! Installing into the root of another system: files only, which can be compared.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{
    is_root,
    tree::{Tree, differences, tree},
};
use crate::cluster::seawall;

/// A root with users and nothing else.
pub(crate) struct Image(TempDir);

impl Image {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Others must be able to look into it: units are verified, and rsyslog runs as another user.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let image = Self(folder);
        fs::create_dir(image.path("/etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
        fs::write(image.path("/etc/passwd"), passwd).unwrap();
        fs::write(
            image.path("/etc/group"),
            "root:x:0:\nadm:x:4:\nnogroup:x:65534:\n",
        )
        .unwrap();
        fs::write(image.path("/etc/shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
        fs::write(
            image.path("/etc/gshadow"),
            "root:*::\nadm:*::\nnogroup:*::\n",
        )
        .unwrap();
        image
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = seawall();
        command.args(words).arg("--root").arg(self.root());
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command prints, which must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let [text, error] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{words:?}: {text}{error}");
        text
    }

    /// What a command says that must fail.
    pub(crate) fn error(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn tree(&self) -> Tree {
        tree(self.root(), &[])
    }
}

/// What the tools that change users leave behind: their own backups and locks.
fn is_of_user_tools(path: &str) -> bool {
    let name = path.strip_prefix("/etc/").unwrap_or_default();
    let base = name
        .trim_end_matches(['-'])
        .trim_end_matches(".lock")
        .trim_start_matches('.');
    name != base
        && [
            "passwd", "group", "shadow", "gshadow", "pwd", "subuid", "subgid",
        ]
        .contains(&base)
}

pub(crate) fn lasting(before: &Tree, after: &Tree) -> Vec<(String, String)> {
    let mut differences = differences(before, after);
    differences.retain(|(path, _)| !is_of_user_tools(path));
    differences
}

pub(crate) const INSTALL: [&str; 3] = ["install", "--yes", "--log-files"];

#[test]
fn uninstall_leaves_a_root_as_it_was() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    let installed = image.tree();
    for (path, access) in [
        ("/etc/seawall/seawall.toml", "100640 0:"),
        ("/etc/seawall", "40750 0:"),
        ("/usr/local/bin/seawall", "100755 0:0"),
        ("/var/lib/seawall/data", "40750 "),
        (
            "/etc/systemd/system/seawall.target.wants/seawall-node@node2.service",
            "120777 0:0 link to /etc/systemd/system/seawall-node@.service",
        ),
        ("/etc/logrotate.d/seawall", "100644 0:0"),
    ] {
        assert!(
            installed[path].starts_with(access),
            "{path}: {}",
            installed[path]
        );
    }
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn without_purge_what_is_the_operators_stays_and_a_purge_can_follow() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    fs::write(image.path("/var/lib/seawall/data/sessions.db"), "sessions").unwrap();
    let unit = "/etc/systemd/system/seawall-sweep.timer";
    fs::write(image.path(unit), "[Timer]\nOnCalendar=daily\n").unwrap();
    let said = image.run(&["uninstall", "--yes"]);
    assert!(
        said.contains(&format!("kept      {unit} (it was changed")),
        "{said}"
    );
    let left = image.tree();
    for kept in [
        "/etc/seawall/seawall.toml",
        "/var/lib/seawall/data/sessions.db",
        unit,
    ] {
        assert!(left.contains_key(kept), "{kept}");
    }
    assert!(!left.contains_key("/usr/local/bin/seawall"));
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn a_second_install_changes_nothing_and_remembers_the_options() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    let first = image.tree();
    let said = image.run(&["install", "--yes"]);
    assert_eq!(differences(&first, &image.tree()), []);
    let counts: Vec<&str> = said.lines().next().unwrap().split(' ').collect();
    assert_eq!(
        counts[1], counts[3],
        "each step found nothing to do: {said}"
    );
    // What is not wanted any more goes.
    image.run(&["install", "--yes", "--log-files=false"]);
    let without = image.tree();
    assert!(first.contains_key("/etc/rsyslog.d/30-seawall.conf"));
    assert!(!without.contains_key("/etc/rsyslog.d/30-seawall.conf"));
    assert!(without.contains_key("/var/log/seawall"), "logs are data");
}

#[test]
fn what_drifted_is_mended_and_named() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    let right = image.tree();
    let path = |name: &str| image.path(name);
    fs::remove_file(path("/etc/logrotate.d/seawall")).unwrap();
    fs::write(path("/etc/systemd/system/seawall.target"), "[Unit]\n").unwrap();
    fs::write(path("/usr/local/bin/seawall"), "no program").unwrap();
    fs::set_permissions(
        path("/etc/seawall/seawall.toml"),
        Permissions::from_mode(0o644),
    )
    .unwrap();
    std::os::unix::fs::chown(path("/var/lib/seawall/data"), Some(0), Some(0)).unwrap();
    let link = path("/etc/systemd/system/seawall.target.wants/seawall-balancer.socket");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let said = image.run(&["install", "--yes"]);
    for line in [
        "made      /etc/logrotate.d/seawall",
        "mended    /etc/systemd/system/seawall.target",
        "mended    /usr/local/bin/seawall",
        "mended    /etc/seawall/seawall.toml",
        "mended    /var/lib/seawall/data",
        "mended    /etc/systemd/system/seawall.target.wants/seawall-balancer.socket",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    assert_eq!(differences(&right, &image.tree()), []);
}

#[test]
fn a_changed_configuration_is_followed_and_never_overwritten() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    let config = image.path("/etc/seawall/seawall.toml");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("count = 2", "count = 3");
    fs::write(&config, &text).unwrap();
    let said = image.run(&["install", "--yes"]);
    assert!(
        said.contains("changed   /etc/seawall/seawall.toml"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    let node3 = "/etc/systemd/system/seawall.target.wants/seawall-node@node3.service";
    assert!(image.tree().contains_key(node3));
    fs::write(&config, text.replace("count = 3", "count = 1")).unwrap();
    let said = image.run(&["install", "--yes"]);
    assert!(said.contains(&format!("removed   {node3}")), "{said}");
    assert!(!image.tree().contains_key(node3));
    let error = image.error(&["install", "--yes", "--nodes", "4"]);
    assert!(
        error.contains("--nodes contradicts") && error.contains("the number of nodes is 1"),
        "{error}"
    );
    fs::write(&config, "[nodes]\ncuont = 1\n").unwrap();
    let error = image.error(&["install", "--yes"]);
    assert!(error.contains("did you mean `count`"), "{error}");
}

#[test]
fn somebody_elses_file_is_not_overwritten() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    fs::create_dir_all(image.path("/etc/logrotate.d")).unwrap();
    fs::write(image.path("/etc/logrotate.d/seawall"), "mine").unwrap();
    let before = image.tree();
    let error = image.error(&INSTALL);
    assert!(
        error.contains("/etc/logrotate.d/seawall is there already"),
        "{error}"
    );
    assert_eq!(differences(&before, &image.tree()), [], "nothing was begun");
}

#[test]
fn a_dry_run_shows_everything_and_touches_nothing() {
    let image = Image::new();
    let before = image.tree();
    let said = image.run(&["install", "--dry-run", "--log-files", "--nodes", "3"]);
    assert_eq!(differences(&before, &image.tree()), []);
    for part in [
        "file      /etc/seawall/seawall.toml  0640 root:seawall\n    # Seawall's settings.",
        "count = 3",
        "folder    /var/lib/seawall/data  0750 seawall:seawall",
        "ExecStart=/usr/local/bin/seawall node --config /etc/seawall/seawall.toml --name %i",
        "rotate 30",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
}

#[test]
fn a_password_in_the_url_goes_into_a_file_of_its_own() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let mut install = image.command(&["install", "--yes"]);
    let url = "postgres://shop:p%40ss@db.example:5432/sessions";
    let output = install.env("SEAWALL_STORE_URL", url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("p%40ss"));
    let config = fs::read_to_string(image.path("/etc/seawall/seawall.toml")).unwrap();
    assert!(
        config.contains("postgres://shop@db.example:5432/sessions"),
        "{config}"
    );
    assert!(
        config.contains("password_file = \"/etc/seawall/store-password\""),
        "{config}"
    );
    let file = image.path("/etc/seawall/store-password");
    assert_eq!(fs::read_to_string(&file).unwrap(), "p@ss\n");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_machine_runs_the_nodes_that_it_is_told_to() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let file = image.path("/etc/cluster.toml");
    let text = "[store]\nurl = \"postgres://s@192.0.2.5/s\"\n\
                [[node]]\nname = \"east\"\naddress = \"192.0.2.11:8080\"\n\
                [[node]]\nname = \"west\"\naddress = \"192.0.2.12:8080\"\n";
    fs::write(&file, text).unwrap();
    let config = file.display().to_string();
    image.run(&[
        "install",
        "--yes",
        "--config",
        &config,
        "--node",
        "west",
        "--balancer=false",
    ]);
    let tree = image.tree();
    let wants = "/etc/systemd/system/seawall.target.wants";
    assert!(tree.contains_key(&format!("{wants}/seawall-node@west.service")));
    assert!(!tree.contains_key(&format!("{wants}/seawall-node@east.service")));
    assert!(!tree.contains_key(&format!("{wants}/seawall-balancer.service")));
    assert!(!tree.contains_key("/etc/systemd/system/seawall-balancer.socket"));
    let said = image.run(&["install", "--dry-run", "--config", &config]);
    assert!(!said.contains("note: no node has"), "{said}");
    let elsewhere = Image::new();
    let said = elsewhere.run(&["install", "--dry-run", "--config", &config]);
    assert!(
        said.contains("note: no node has an address of this machine"),
        "{said}"
    );
    let error = image.error(&["install", "--yes", "--node", "north"]);
    assert!(error.contains("no node is named \"north\""), "{error}");
}

#[test]
fn what_cannot_be_done_is_said() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let error = image.error(&["install"]);
    assert!(
        error.contains("no terminal to ask on; give --yes"),
        "{error}"
    );
    let error = image.error(&["install", "--yes", "--postgres"]);
    assert!(error.contains("--store"), "{error}");
    let error = image.error(&["uninstall", "--yes"]);
    assert!(error.contains("not installed"), "{error}");
    assert!(!image.tree().contains_key("/etc/seawall"));
}
