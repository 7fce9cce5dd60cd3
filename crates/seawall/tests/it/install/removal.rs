//! What is removed, and what only lies in or behind it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    image::{INSTALL, Image},
    is_root,
};

const PURGE: [&str; 3] = ["uninstall", "--yes", "--purge"];

/// A folder that is mounted at another one.
struct Mount(PathBuf);

impl Mount {
    fn bind(from: &Path, to: PathBuf) -> Self {
        let mut mount = Command::new("mount");
        let done = mount.arg("--bind").arg(from).arg(&to).status().unwrap();
        assert!(done.success(), "{}", to.display());
        Self(to)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn nothing_is_removed_from_what_is_mounted() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    for folder in ["/src", "/var/lib/seawall/webapps/shop"] {
        fs::create_dir(image.path(folder)).unwrap();
    }
    fs::write(image.path("/src/page"), "theirs").unwrap();
    let shop = image.path("/var/lib/seawall/webapps/shop");
    let mount = Mount::bind(&image.path("/src"), shop);
    let error = image.error(&PURGE);
    assert!(error.contains("something is mounted at"), "{error}");
    assert!(image.path("/src/page").is_file());
    drop(mount);
    image.run(&PURGE);
    assert!(image.path("/src/page").is_file());
    assert!(!image.path("/var/lib/seawall").exists());
}

#[test]
fn a_link_to_a_disk_goes_and_the_disk_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    for folder in ["/disk", "/mnt/big"] {
        fs::create_dir_all(image.path(folder)).unwrap();
    }
    let data = image.path("/var/lib/seawall/data");
    fs::rename(&data, image.path("/disk/data")).unwrap();
    let _mount = Mount::bind(&image.path("/disk"), image.path("/mnt/big"));
    symlink("../../../mnt/big", &data).unwrap();
    image.run(&PURGE);
    assert!(image.path("/disk/data").is_dir());
    assert!(!image.path("/etc/seawall").exists());
}

#[test]
fn what_a_link_leads_to_is_named_and_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    fs::create_dir_all(image.path("/mnt")).unwrap();
    fs::rename(image.path("/var/lib/seawall/data"), image.path("/mnt/big")).unwrap();
    symlink("/mnt/big", image.path("/var/lib/seawall/data")).unwrap();
    let said = image.run(&PURGE);
    assert!(
        said.contains("kept      /mnt/big (a link led there"),
        "{said}"
    );
    assert!(image.path("/mnt/big").is_dir());
    assert!(!image.path("/etc/seawall").exists(), "{said}");
}

#[test]
fn a_group_that_was_there_before_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let groups = fs::read_to_string(image.path("/etc/group")).unwrap() + "seawall:x:777:nobody\n";
    fs::write(image.path("/etc/group"), &groups).unwrap();
    image.run(&INSTALL);
    image.run(&PURGE);
    assert_eq!(
        fs::read_to_string(image.path("/etc/group")).unwrap(),
        groups
    );
    let users = fs::read_to_string(image.path("/etc/passwd")).unwrap();
    assert!(!users.contains("seawall"), "{users}");
}

#[test]
fn a_dry_run_says_what_stays() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    let unit = "/etc/systemd/system/seawall-node@.service";
    let text = fs::read_to_string(image.path(unit)).unwrap() + "# mine\n";
    fs::write(image.path(unit), text).unwrap();
    let foretold = image.run(&["uninstall", "--dry-run"]);
    assert!(
        foretold.contains(&format!("keep      {unit} (it was changed")),
        "{foretold}"
    );
    let said = image.run(&["uninstall", "--yes"]);
    assert!(
        said.contains(&format!("kept      {unit} (it was changed")),
        "{said}"
    );
}
