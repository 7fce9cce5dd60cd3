//! The commands for a machine of one's own: each page in a folder of its own, on free ports.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::signal::{Signal, killpg};
use seawall_testing::{TestPostgres, free_port};
use tempfile::TempDir;

use super::page::{Block, Local, Page, Setting};
use crate::{
    cluster::{get, ports_in_a_row, until},
    site::Service,
};

/// Takes the place of Cargo, which would build the program again.
const CARGO: &str = "#!/bin/sh\n\
    test \"$1 $2 $3\" = 'run --release --' || { echo \"unexpected: cargo $*\" >&2; exit 99; }\n\
    shift 3\nexec seawall \"$@\"\n";

/// The database of the pages.
const DATABASE: &str = "postgres://user:password@localhost:5432/sessions";

/// A reader's folder, with what runs in it.
struct Reader {
    folder: TempDir,
    /// What the pages say, and what is meant here.
    instead: Vec<(&'static str, String)>,
    front: u16,
    running: Vec<Group>,
    _postgres: TestPostgres,
}

/// A command and all that it has started.
struct Group(Service);

impl Drop for Group {
    fn drop(&mut self) {
        // As Ctrl-C in a terminal does.
        let group = self.0.pid();
        let _ = killpg(group, Signal::SIGINT);
        self.0.wait();
        until("all that a command started has ended", || {
            killpg(group, None).err()
        });
    }
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (front, stats, node) = (free_port(), free_port(), ports_in_a_row());
        let config = format!(
            "[nodes]\nport = {node}\n[balancer]\nhttp = \"127.0.0.1:{front}\"\n\
             stats = \"127.0.0.1:{stats}\"\n"
        );
        fs::write(folder.path().join("seawall.toml"), config).unwrap();
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_seawall"), programs.join("seawall")).unwrap();
        write_program(&programs.join("cargo"), CARGO);
        let postgres = TestPostgres::start();
        let instead = vec![
            (":8000", format!(":{front}")),
            (":8080", format!(":{node}")),
            (":8081", format!(":{}", node + 1)),
            (DATABASE, postgres.url()),
            // Long enough to see whether it works.
            ("--duration 20s", "--duration 1s".to_owned()),
        ];
        Self {
            folder,
            instead,
            front,
            running: Vec::new(),
            _postgres: postgres,
        }
    }

    fn command(&self, text: &str) -> Command {
        let mut text = text.to_owned();
        for (here, there) in &self.instead {
            text = text.replace(here, there);
        }
        let mut command = Command::new("bash");
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.folder.path().join("bin").display());
        command
            .args(["-e", "-o", "pipefail", "-c", &text])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env_remove("SEAWALL_STORE_URL")
            .stdin(Stdio::null());
        command
    }

    /// Starts what runs until it is ended.
    fn start(&mut self, text: &str) {
        let mut command = self.command(text);
        command.process_group(0).stdout(Stdio::null());
        let log = self.folder.path().join("log");
        self.running.push(Group(Service::start(&mut command, &log)));
    }

    fn until_it_serves(&self, what: &str) {
        until(what, || {
            let (head, _) = get(self.front, "/session-test/", "")?;
            head.starts_with("HTTP/1.1 200").then_some(())
        });
    }

    fn run(&mut self, block: &Block, local: Local) {
        match local {
            Local::BesideCluster if self.running.is_empty() => {
                self.start("exec seawall up");
                self.until_it_serves("seawall up");
            }
            Local::BesideCluster => {}
            Local::Stays { nodes } => {
                self.running.clear();
                for (name, address) in [("node1", ":8080"), ("node2", ":8081")] {
                    if nodes {
                        self.start(&format!(
                            "exec seawall node --name {name} --listen 127.0.0.1{address}"
                        ));
                    }
                }
                self.start(&block.text);
                self.until_it_serves(&block.place);
                return;
            }
        }
        let output = self.command(&block.text).output().unwrap();
        block.check(&output, || {
            fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
        });
    }
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_readers_try_at_home_works_as_written() {
    for page in Page::all() {
        let blocks = page.blocks().unwrap();
        let local = blocks.iter().filter_map(|block| match block.test.setting {
            Setting::Local(local) => Some((block, local)),
            _ => None,
        });
        let local: Vec<_> = local.collect();
        if local.is_empty() {
            continue;
        }
        let mut reader = Reader::new();
        for (block, setting) in local {
            reader.run(block, setting);
        }
    }
}
