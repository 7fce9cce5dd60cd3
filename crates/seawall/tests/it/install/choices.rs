//! What an operator chooses, and changes his mind about.

use std::{fs, os::unix::fs::symlink};

use super::{
    image::{INSTALL, Image},
    is_root,
    tree::differences,
};

const CONFIG: &str = "/etc/seawall/seawall.toml";

/// The words that install a configuration.
fn given(image: &Image, text: &str) -> [String; 4] {
    let file = image.path("/given.toml");
    fs::write(&file, text).unwrap();
    ["install", "--yes", "--config", &file.display().to_string()].map(str::to_owned)
}

#[test]
fn a_configuration_that_another_one_takes_the_place_of_is_kept() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    let edited =
        fs::read_to_string(image.path(CONFIG)).unwrap() + "[session]\nidle_timeout = \"4h\"\n";
    fs::write(image.path(CONFIG), &edited).unwrap();
    image.run(&["install", "--yes"]);
    let other = edited.replace("4h", "5h");
    let words = given(&image, &other);
    let said = image.run(&words.each_ref().map(String::as_str));
    assert!(
        said.contains("is kept in /etc/seawall/seawall.toml.former"),
        "{said}"
    );
    let read = |path: &str| fs::read_to_string(image.path(path)).unwrap();
    assert_eq!(read(CONFIG), other);
    assert_eq!(read("/etc/seawall/seawall.toml.former"), edited);
    assert!(image.tree()["/etc/seawall/seawall.toml.former"].starts_with("100640 "));
}

#[test]
fn a_configuration_that_is_kept_elsewhere_stays_there() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    image.run(&INSTALL);
    fs::create_dir(image.path("/srv")).unwrap();
    fs::rename(image.path(CONFIG), image.path("/srv/seawall.toml")).unwrap();
    symlink("/srv/seawall.toml", image.path(CONFIG)).unwrap();
    image.run(&["install", "--yes"]);
    let aim = fs::read_link(image.path(CONFIG)).unwrap();
    assert_eq!(aim.to_str(), Some("/srv/seawall.toml"));
}

#[test]
fn what_would_stop_it_halfway_stops_it_at_once() {
    if !is_root() {
        return;
    }
    let image = Image::new();
    let words = given(
        &image,
        "data = \"/srv/d\"\n[nodes]\nwebapps = \"webapps\"\n",
    );
    let words = words.each_ref().map(String::as_str);
    let is_refused = |words: &[&str], error: &str| {
        let before = image.tree();
        let said = image.error(words);
        assert!(said.contains(error), "{said}");
        assert_eq!(
            differences(&before, &image.tree()),
            [],
            "something was begun"
        );
    };
    is_refused(&words, "such as /srv/webapps");
    is_refused(
        &["install", "--yes", "--http", "0.0.0.0:8080"],
        "node1 would listen on 127.0.0.1:8080",
    );
    is_refused(
        &["install", "--yes", "--store", "foo"],
        "--store or SEAWALL_STORE_URL: ",
    );
    is_refused(
        &["install", "--yes", "--store", "mysql://u@h"],
        "names no database",
    );
    fs::write(image.path("/etc/seawall"), "a file").unwrap();
    is_refused(&INSTALL, "/etc/seawall is there already");
    is_refused(&["install", "--dry-run"], "/etc/seawall is there already");
}
