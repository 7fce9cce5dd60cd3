//! The pages on installing: on a bare machine each of their commands is run as it stands there.

use std::{fs, time::Instant};

use super::{is_root, machine::snapshot, nspawn::Machine, tree::differences};
use crate::docs::page::{Block, Page, Setting};

/// In the order in which they are read.
const PAGES: [&str; 4] = [
    "docs/tutorial.md",
    "docs/install.md",
    "README.md",
    "docs/payload.md",
];

/// Where a reader sits who has just logged in.
const HOME: &str = "/root/home";

/// What waits for the cluster must not wait for ever.
const LIMIT_SECONDS: &str = "180";

#[test]
fn what_the_pages_do_on_a_bare_debian_works_as_written() {
    if !is_root() {
        return;
    }
    let machine = Machine::boot();
    let bare = snapshot(&machine);
    bring_program(&machine);
    for block in blocks(|setting| matches!(setting, Setting::Machine { .. })) {
        if matches!(block.test.setting, Setting::Machine { bare: true, .. }) {
            make_bare(&machine);
        }
        run(&machine, &block);
    }
    make_bare(&machine);
    fs::remove_dir_all(home(&machine)).unwrap();
    assert_eq!(differences(&bare, &snapshot(&machine)), []);
}

/// Does what the page on installing says, for a test that looks closer at what there is then.
pub(super) fn install(machine: &Machine) {
    for block in blocks(|setting| setting == Setting::Installation) {
        run(machine, &block);
    }
}

/// Puts the program where a download leaves it, and where a build does.
pub(super) fn bring_program(machine: &Machine) {
    let home = home(machine);
    fs::create_dir_all(home.join("target/release")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_seawall"), home.join("seawall")).unwrap();
    fs::hard_link(home.join("seawall"), home.join("target/release/seawall")).unwrap();
}

fn home(machine: &Machine) -> std::path::PathBuf {
    machine.root().join(HOME.trim_start_matches('/'))
}

/// The blocks of all pages with such settings. A page that is not listed may have none of them.
fn blocks(is_wanted: impl Fn(Setting) -> bool) -> Vec<Block> {
    let wanted = |page: &Page| {
        let mut blocks = page.blocks().unwrap();
        blocks.retain(|block| is_wanted(block.test.setting));
        blocks
    };
    for page in Page::all() {
        let is_listed = PAGES.contains(&page.name.as_str());
        assert!(is_listed || wanted(&page).is_empty(), "{}", page.name);
    }
    let blocks: Vec<_> = PAGES.map(Page::read).iter().flat_map(wanted).collect();
    assert!(!blocks.is_empty());
    blocks
}

fn make_bare(machine: &Machine) {
    let manifest = machine.root().join("etc/seawall/installed.json");
    if manifest.exists() {
        let program = format!("{HOME}/seawall");
        machine.run(&[&program, "uninstall", "--yes", "--purge"]);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the tutorial says how long its steps take; with --nocapture this measures it"
)]
fn run(machine: &Machine, block: &Block) {
    let shell = r#"bash -e -o pipefail -c "$BLOCK""#;
    // `script` gives it a terminal.
    let answering =
        format!(r"printf '\n\n\n\n\n\n' | script --quiet --return --command '{shell}' /dev/null");
    let command = match block.test.setting {
        Setting::Machine { terminal: true, .. } => &answering,
        _ => shell,
    };
    let started = Instant::now();
    let home = format!("--chdir={HOME}");
    let variable = format!("BLOCK={}", block.text);
    let limit = ["timeout", LIMIT_SECONDS];
    let environment = ["env", &home, "HOME=/root", &variable];
    let output = machine.try_run(&[&environment, &limit[..], &["sh", "-c", command]].concat());
    let took = started.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("── {} {took:.1} s\n{}\n{said}", block.place, block.text);
    block.check(&output, || machine.log());
}
