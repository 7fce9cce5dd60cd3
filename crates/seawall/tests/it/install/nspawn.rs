//! A bare Debian 12 that boots, in namespaces of its own.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::cluster::until;

/// The cached root is made anew when this changes.
const EDITION: u32 = 4;

/// What a Debian system has beside the smallest set, of what an installation and its operator need.
const INCLUDED: &str = "curl,dbus,nftables,sudo,systemd,systemd-sysv";

/// What `seawall install` installs, and firewalls that it works with. The packages lie in the cache of the machine's package manager,
/// for the machine has no network; so the test does not depend on one, once the root is made.
const DOWNLOADED: [&str; 5] = ["firewalld", "logrotate", "postgresql", "rsyslog", "ufw"];

/// One machine runs at a time: beside another one a load would show how busy this system is.
static ONLY: Mutex<()> = Mutex::new(());

/// A machine that runs until it is dropped.
pub(crate) struct Machine {
    folder: TempDir,
    console: Child,
    /// Its first process, as it is seen from here.
    init: Pid,
    _only: MutexGuard<'static, ()>,
}

impl Machine {
    /// Boots a machine and waits until it is up.
    pub(crate) fn boot() -> Self {
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        let archive = bare_root();
        let folder = TempDir::with_prefix_in("machine-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        done(
            Command::new("tar")
                .arg("--directory")
                .arg(folder.path())
                .args(["--extract", "--numeric-owner", "--file"])
                .arg(archive),
        );
        // A process group of the control groups that no other machine uses.
        let script = "for folder in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do \
                      test -w $folder/cgroup.procs && mkdir -p $folder/$0 && \
                      echo $$ > $folder/$0/cgroup.procs; done; \
                      exec systemd-nspawn --quiet --boot --register=no --keep-unit \
                      --private-network --link-journal=no --resolv-conf=off --timezone=off \
                      --console=pipe --machine=$0 --directory=$1";
        let name = format!("seawall-test-{}", std::process::id());
        let console = Command::new("sh")
            .args(["-c", script, &name])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(folder.path().with_extension("console")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let init = until("the machine has a first process", || child_of(console.id()));
        let machine = Self {
            folder,
            console,
            init,
            _only: only,
        };
        until("the machine is up", || {
            let up = machine.try_run(&["systemctl", "is-active", "multi-user.target"]);
            up.status.success().then_some(())
        });
        machine
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A command in the machine's namespaces; with `--root`, also in its root.
    fn enter(&self, options: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(options)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn try_run(&self, words: &[&str]) -> Output {
        let mut command = self.enter(&["--all", "--root", "--wdns=/"]);
        command.args(words).output().unwrap()
    }

    /// What a command prints that runs in the machine, and must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let [text, error] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(
            output.status.success(),
            "{words:?}: {text}{error}\n{}",
            self.log()
        );
        text
    }

    /// A command of this system that sees the machine's network.
    pub(crate) fn beside(&self, program: &str) -> Command {
        let mut command = self.enter(&["--net"]);
        command.arg(program);
        command
    }

    pub(crate) fn log(&self) -> String {
        let log = self.try_run(&["journalctl", "--no-pager", "--lines=80"]);
        String::from_utf8_lossy(&log.stdout).into_owned()
    }
}

impl Drop for Machine {
    #[expect(
        clippy::print_stderr,
        reason = "why a machine does not boot stands on its console"
    )]
    fn drop(&mut self) {
        // With its first process all others end, for they are in its namespace.
        let _ = kill(self.init, Signal::SIGKILL);
        let _ = self.console.wait();
        let console = self.folder.path().with_extension("console");
        if std::thread::panicking() {
            let mut text = String::new();
            if let Ok(mut file) = fs::File::open(&console) {
                let _ = file.read_to_string(&mut text);
            }
            eprintln!("the machine's console:\n{text}");
        }
        let _ = fs::remove_file(console);
        for folder in ["systemd/", "unified/", ""] {
            let group = format!("/sys/fs/cgroup/{folder}seawall-test-{}", std::process::id());
            // Empty groups only.
            let _ = Command::new("find")
                .args([&group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn child_of(process: u32) -> Option<Pid> {
    let list = format!("/proc/{process}/task/{process}/children");
    let list = fs::read_to_string(list).ok()?;
    let child = list.split_whitespace().next()?.parse().ok()?;
    // Before it has become the first process of its namespace, it is nspawn itself.
    let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    (name.trim() == "systemd").then(|| Pid::from_raw(child))
}

/// The archive with a bare root; made once, which takes minutes.
fn bare_root() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let archive = cache.join(format!("debian-12-{EDITION}.tar"));
    // Only one test process makes it; the lock ends with its holder.
    let lock = fs::File::create(archive.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if archive.exists() {
        return archive;
    }
    let folder = TempDir::with_prefix_in("debootstrap-", cache).unwrap();
    let root = folder.path().join("root");
    let mut make = Command::new("debootstrap");
    make.args(["--variant=minbase", "--include", INCLUDED, "bookworm"]);
    done(make.arg(&root).args(mirror()));
    let mut download = Command::new("chroot");
    download.arg(&root).args([
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "--download-only",
    ]);
    // Debootstrap leaves the mirror's list in the root, and fetches through this system's network.
    fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf")).unwrap();
    done(
        Command::new("chroot")
            .arg(&root)
            .args(["apt-get", "update"]),
    );
    done(download.args(DOWNLOADED));
    fs::File::create(root.join("etc/resolv.conf"))
        .unwrap()
        .write_all(b"")
        .unwrap();
    done(
        Command::new("chroot")
            .arg(&root)
            .args(["systemctl", "enable", "nftables.service"]),
    );
    // Each machine has these; debootstrap makes no hosts, and copies this system's name.
    fs::write(root.join("etc/hostname"), "debian\n").unwrap();
    fs::write(
        root.join("etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 debian\n",
    )
    .unwrap();
    let unfinished = archive.with_extension("unfinished");
    done(
        Command::new("tar")
            .arg("--directory")
            .arg(&root)
            .arg("--create")
            .args([
                "--numeric-owner",
                "--exclude=./dev/*",
                "--exclude=./proc/*",
                "--file",
            ])
            .arg(&unfinished)
            .arg("."),
    );
    fs::rename(unfinished, &archive).unwrap();
    archive
}

/// Where this system's own packages come from, if it is a Debian; else debootstrap's default.
fn mirror() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    if !release.lines().any(|line| line == "ID=debian") {
        return None;
    }
    let folder = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let mut files: Vec<_> = folder.map(|entry| entry.path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|kind| kind == "sources" || kind == "list")
    });
    files.sort();
    files.insert(0, "/etc/apt/sources.list".into());
    let text: Vec<_> = files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    text.join("\n").lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["URIs:", url, ..] | ["deb", url, ..] => Some((*url).to_owned()),
            _ => None,
        }
    })
}

fn done(command: &mut Command) {
    let output = command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run `cargo xtask setup`"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
