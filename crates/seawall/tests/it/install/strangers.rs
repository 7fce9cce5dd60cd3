//! What was there before an installation and is somebody else's: it stays as it is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
};

use super::{
    image::{INSTALL, Image, lasting},
    is_root,
    tree::differences,
};

const DEPLOYER: u32 = 1000;

/// A folder with that owner and mode.
fn folder(image: &Image, path: &str, owner: u32, mode: u32) {
    let path = image.path(path);
    fs::create_dir_all(&path).unwrap();
    chown(&path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// A user whom the services will run as, as an operator might have made him.
fn user(image: &Image, shell: &str) {
    for (file, line) in [
        ("/etc/passwd", format!("seawall:x:500:500::/:{shell}\n")),
        ("/etc/group", "seawall:x:500:\n".to_owned()),
    ] {
        let file = image.path(file);
        let text = fs::read_to_string(&file).unwrap() + &line;
        fs::write(file, text).unwrap();
    }
}

/// The words that install a configuration.
fn with_config(image: &Image, text: &str) -> [String; 4] {
    let file = image.path("/given.toml");
    fs::write(&file, text).unwrap();
    ["install", "--yes", "--config", &file.display().to_string()].map(str::to_owned)
}

#[track_caller]
fn installs(image: &Image, text: &str) -> String {
    let words = with_config(image, text);
    image.run(&words.each_ref().map(String::as_str))
}

#[track_caller]
fn is_refused(image: &Image, text: &str, error: &str) {
    let words = with_config(image, text);
    let before = image.tree();
    let said = image.error(&words.each_ref().map(String::as_str));
    assert!(said.contains(error), "{said}");
    assert_eq!(differences(&before, &image.tree()), [], "nothing was begun");
}

#[test]
fn folders_of_others_keep_their_owner_and_mode() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    folder(&image, "/srv/www", DEPLOYER, 0o755);
    folder(&image, "/srv/big", DEPLOYER, 0o755);
    fs::write(image.path("/srv/www/page"), "theirs").unwrap();
    let config = "data = \"/srv/big/sessions\"\n[nodes]\nwebapps = \"/srv/www\"\n";
    fs::write(image.path("/given.toml"), config).unwrap();
    let before = image.tree();
    installs(&image, config);
    let installed = image.tree();
    for path in ["/srv/www", "/srv/big", "/srv/www/page"] {
        assert_eq!(installed[path], before[path]);
    }
    assert!(installed["/srv/big/sessions"].starts_with("40750 "));
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn folders_at_the_usual_places_are_their_makers_too() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    folder(&image, "/var/lib/seawall/webapps", DEPLOYER, 0o2775);
    let before = image.tree();
    image.run(&INSTALL);
    let webapps = "/var/lib/seawall/webapps";
    assert_eq!(image.tree()[webapps], before[webapps]);
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn a_folder_that_the_nodes_could_not_use_is_refused_before_anything_is_done() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    folder(&image, "/var/lib", 0, 0o755);
    folder(&image, "/srv/open", 0, 0o777);
    folder(&image, "/srv/www", DEPLOYER, 0o750);
    for (text, error) in [
        (
            "[store]\nurl = \"sqlite:/var/lib/sessions.db\"\n",
            "such as /var/lib/seawall, which is made",
        ),
        ("data = \"/srv/open\"\n", "such as /srv/open/seawall"),
        (
            "[store]\nurl = \"sqlite:/tmp/x.db\"\n",
            "services see nothing of /tmp",
        ),
        (
            "data = \"/srv/data\"\n[nodes]\nwebapps = \"/srv/www\"\n",
            "chmod o+rx /srv/www",
        ),
    ] {
        is_refused(&image, text, error);
    }
}

#[test]
fn a_link_to_a_folder_of_the_nodes_is_followed_and_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    user(&image, "/usr/sbin/nologin");
    folder(&image, "/srv/big", 500, 0o700);
    folder(&image, "/var/lib/seawall", 0, 0o755);
    symlink("/srv/big", image.path("/var/lib/seawall/data")).unwrap();
    let config = "data = \"/var/lib/seawall/data\"\n";
    fs::write(image.path("/given.toml"), config).unwrap();
    let before = image.tree();
    installs(&image, config);
    assert_eq!(image.tree()["/srv/big"], before["/srv/big"]);
    image.run(&["uninstall", "--yes", "--purge"]);
    assert_eq!(lasting(&before, &image.tree()), []);
}

#[test]
fn a_user_who_may_log_in_is_named() {
    let image = Image::new();
    user(&image, "/bin/bash");
    let said = image.run(&["install", "--dry-run"]);
    assert!(
        said.contains("note: the user seawall is there already and may log in (with /bin/bash)"),
        "{said}"
    );
}

#[test]
fn a_user_who_lacks_only_the_group_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    user(&image, "/usr/sbin/nologin");
    let groups = image.path("/etc/group");
    let text = fs::read_to_string(&groups).unwrap();
    fs::write(&groups, text.replace("seawall:x:500:\n", "")).unwrap();
    image.run(&["install", "--yes"]);
    image.run(&["uninstall", "--yes", "--purge"]);
    let users = fs::read_to_string(image.path("/etc/passwd")).unwrap();
    assert!(users.contains("seawall:x:500:"), "{users}");
}

#[test]
fn links_in_a_root_do_not_lead_out_of_it() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let image = Image::new();
    let place = outside.path().display().to_string();
    folder(&image, &place, 0, 0o755);
    symlink(&place, image.path("/etc/systemd")).unwrap();
    image.run(&["install", "--yes"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let unit = image.path(&format!("{place}/system/seawall.target"));
    assert!(unit.exists(), "{}", unit.display());
}

#[test]
fn a_password_in_a_given_configuration_is_not_shown() {
    let image = Image::new();
    let file = image.path("/given.toml");
    let url = "postgres://db.example/s?user=u&password=hush";
    fs::write(&file, format!("[store]\nurl = \"{url}\"\n")).unwrap();
    let said = image.run(&[
        "install",
        "--dry-run",
        "--config",
        &file.display().to_string(),
    ]);
    assert!(!said.contains("hush"), "{said}");
    assert!(said.contains("postgres://db.example/s?user=u\""), "{said}");
    let said = image.run(&["install", "--dry-run", "--store", url]);
    assert!(!said.contains("hush"), "{said}");
    assert!(said.contains("store-password"), "{said}");
}
