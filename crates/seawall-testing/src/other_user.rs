//! The user for servers that refuse to run as root: `postgres`, or else `nobody`.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

use nix::unistd::{Uid, User};

/// Gives a file to the user that such a server runs as, when the test runs as root.
pub(crate) fn give_away(path: &Path) {
    if let Some(user) = other_user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .expect("root may give its files away");
    }
}

/// Has a program run as that user, when the test runs as root.
pub(crate) fn run_as_other_user(command: &mut Command) {
    if let Some(user) = other_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

fn other_user() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
}
