//! What goes wrong on the way, and that it can be mended with the same two commands.

use std::{fs, process::Stdio};

use super::{
    image::{INSTALL, Image, lasting},
    is_root,
    tree::{Tree, differences},
};

const MANIFEST: &str = "/etc/seawall/installed.json";

#[test]
fn the_same_command_can_be_given_again_after_a_success_and_after_a_failure() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let url = "postgres://shop:p%40ss@db.example:5432/sessions";
    let install = [
        "install", "--yes", "--nodes", "3", "--http", "[::]:81", "--store", url,
    ];
    image.run(&install);
    let first = image.tree();
    // As if it had been interrupted after the configuration was written.
    fs::remove_file(image.path("/etc/seawall/store-password")).unwrap();
    fs::remove_file(image.path("/usr/local/bin/seawall")).unwrap();
    image.run(&install);
    image.run(&install);
    assert_eq!(differences(&first, &image.tree()), []);
    for (option, value, says) in [
        ("--http", "[::]:82", "balancer.http is [::]:81"),
        (
            "--store",
            "postgres://h/other",
            "the store is postgres://shop@db.example:5432/sessions",
        ),
        (
            "--store",
            "postgres://shop:other@db.example:5432/sessions",
            "holds another password",
        ),
    ] {
        let error = image.error(&["install", "--yes", option, value]);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_manifest_that_was_lost_is_written_anew() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    fs::remove_file(image.path(MANIFEST)).unwrap();
    let error = image.error(&["uninstall", "--yes", "--purge"]);
    assert!(
        error.contains("is lost; run `seawall install --yes`"),
        "{error}"
    );
    // As a new version would find it, too.
    let unit = image.path("/etc/systemd/system/seawall.target");
    fs::write(&unit, "[Unit]\nDescription=of an older version\n").unwrap();
    let said = image.run(&["install", "--yes"]);
    assert!(said.contains("was lost and is written anew"), "{said}");
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(beside_folders(&before, &image.tree()), []);
}

#[test]
fn a_manifest_that_was_damaged_says_the_way_out() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    let manifest = image.path(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    for words in [["install", "--yes"], ["uninstall", "--yes"]] {
        let error = image.error(&words);
        assert!(
            error.contains("move it away and run `seawall install --yes`"),
            "{error}"
        );
    }
    fs::remove_file(&manifest).unwrap();
    image.run(&["install", "--yes"]);
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(beside_folders(&before, &image.tree()), []);
}

/// Who made an empty folder of the system nobody can tell, once it stands nowhere.
fn beside_folders(before: &Tree, after: &Tree) -> Vec<(String, String)> {
    let mut differences = lasting(before, after);
    differences.retain(|(path, change)| path.contains("seawall") || !change.ends_with(" folder"));
    differences
}

#[test]
fn two_installations_at_once_are_as_good_as_one() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    let install = || image.command(&INSTALL).stdout(Stdio::null()).spawn();
    let mut both = [(), ()].map(|()| install().unwrap());
    assert!(both.iter_mut().all(|one| one.wait().unwrap().success()));
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn what_cannot_be_removed_stops_nothing_else_and_goes_with_the_next_try() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    let stubborn = image.path("/etc/logrotate.d/seawall");
    fs::remove_file(&stubborn).unwrap();
    fs::create_dir(&stubborn).unwrap();
    let error = image.error(&["uninstall", "--yes", "--purge"]);
    assert!(error.contains("/etc/logrotate.d/seawall"), "{error}");
    let left = image.tree();
    assert!(!left.contains_key("/usr/local/bin/seawall"));
    assert!(left.contains_key(MANIFEST));
    fs::remove_dir(&stubborn).unwrap();
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn what_an_interrupted_write_left_goes() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let before = image.tree();
    image.run(&INSTALL);
    for file in [
        "/usr/local/bin/.seawall.seawall~",
        "/etc/logrotate.d/.seawall.seawall~",
    ] {
        fs::write(image.path(file), "half").unwrap();
    }
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}
