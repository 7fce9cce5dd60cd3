//! Machines whose disks and limits are too small, or not their own.

use std::{
    fs,
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{sys::signal::Signal, unistd::Uid};
use seawall_testing::{TestPostgres, find_program};

use super::{assert_found, examine, found, running};
use crate::{
    cluster::{get, until},
    health::stores::Mount,
    site::{Service, Site},
};

#[test]
fn a_process_that_has_hardly_any_files_left_is_diagnosed() {
    let mut site = running("");
    site.until_all_are_up();
    site.nodes[1].take().unwrap().stop();
    let config = site.path("seawall.toml");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 200 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_seawall"))
        .args(["node", "--name", "node2", "--workers", "1", "--config"])
        .arg(&config);
    let _limited = Service::start(&mut limited, &site.path("node2.log"));
    until("the node answers", || get(site.ports[1], "/", ""));
    site.until_all_are_up();
    assert_found(&site, &[], &[]);
    let connect = |_| TcpStream::connect(("127.0.0.1", site.ports[1])).unwrap();
    let held: Vec<_> = (0..143).map(connect).collect();
    let found = assert_found(&site, &[], &["files-limit"]);
    assert!(found[0].seen.contains("may have 200"), "{found:?}");
    assert!(found[0].mend.contains("seawall-node@node2"), "{found:?}");
    drop(held);
}

/// A control group that may take little memory, of either version; only root can make one.
struct SmallGroup(PathBuf);

impl SmallGroup {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("seawall-test-{}", std::process::id());
        for (root, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let group = Self(Path::new(root).join(&name));
            let made = fs::create_dir(&group.0).is_ok();
            if made && fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    fn take_in(&self, process: i32) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).unwrap();
    }
}

impl Drop for SmallGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_whose_memory_is_limited_is_diagnosed() {
    let Some(group) = SmallGroup::new(100 << 20) else {
        let is_certain = Uid::effective().is_root() && Path::new("/sys/fs/cgroup/memory").is_dir();
        assert!(!is_certain, "root can make control groups");
        return;
    };
    let mut site = running("");
    site.until_all_are_up();
    group.take_in(site.nodes[1].as_ref().unwrap().pid().as_raw());
    let found = assert_found(&site, &[], &["memory-limit"]);
    assert!(
        found[0]
            .seen
            .contains("may take 100 MB, and its cache alone 256 MB"),
        "{found:?}"
    );
    site.nodes[1].take();
}

#[test]
fn a_data_folder_on_a_full_disk_is_diagnosed() {
    let mut site = Site::plan(2, "");
    let folder = site.path("small");
    fs::create_dir(&folder).unwrap();
    let Some(mount) = Mount::small(&folder) else {
        assert!(!Uid::effective().is_root(), "root can mount");
        return;
    };
    start_with_data_in(&mut site, &folder);
    let found = assert_found(&site, &[], &["disk-full"]);
    assert!(found[0].mend.contains("small"), "{found:?}");
    drop((site, mount));
}

fn start_with_data_in(site: &mut Site, folder: &Path) {
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let data = format!("data = \"{}\"", site.folder.path().display());
    let text = text.replace(&data, &format!("data = \"{}\"", folder.display()));
    fs::write(&file, text).unwrap();
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
    }
    site.start_balancer();
    site.until_all_are_up();
}

/// In a network of its own, with an /etc of its own, where an installation has left its rules.
#[test]
fn rules_that_the_firewall_has_lost_are_diagnosed() {
    if !Uid::effective().is_root() {
        return;
    }
    let site = running("");
    let script = "set -e
        mkdir $1 && cp -a /etc/. $1/ && mkdir -p $1/seawall && mount --bind $1 /etc
        printf 'flush ruleset\ntable inet filter { chain input { type filter hook input priority 0; }; }' \
            > /etc/nftables.conf
        printf 'insert rule inet filter input tcp dport 80 accept comment \"seawall\"\n' \
            > /etc/seawall/firewall.nft
        nft --file /etc/nftables.conf
        test $2 = lost || nft --file /etc/seawall/firewall.nft
        shift 2; exec \"$@\"";
    for (state, is_lost) in [("loaded", false), ("lost", true)] {
        let mut doctor = Command::new("unshare");
        doctor.args(["--net", "--mount", "sh", "-c", script, "sh"]);
        doctor.arg(site.path(state)).arg(state);
        doctor.arg(env!("CARGO_BIN_EXE_seawall"));
        doctor.args(["doctor", "--json", "--config"]);
        let found = found(doctor.arg(site.path("seawall.toml")));
        let is_found = found
            .iter()
            .any(|found| found.case == "firewall-rules-missing");
        assert_eq!(is_found, is_lost, "{found:?}");
    }
}

/// A folder of another machine, over SFTP: here, of the same one.
struct NetworkDisk {
    folder: PathBuf,
    server: Service,
    _client: Service,
}

impl NetworkDisk {
    /// Only root may always mount one, and not every system lets it: `None` elsewhere.
    fn mount(site: &Site, folder: PathBuf, of: &Path) -> Option<Self> {
        if !Uid::effective().is_root() || !Path::new("/dev/fuse").exists() {
            return None;
        }
        fs::create_dir(of).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(of.join("mounted"), "").unwrap();
        let (client, server) = UnixStream::pair().unwrap();
        let stdio = |stream: &UnixStream| Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
        let log = site.path("sftp.log");
        let mut sftp = Command::new(find_program(&["sftp-server"]));
        let server = Service::start_on(&mut sftp, stdio(&server), stdio(&server), &log);
        let mut sshfs = Command::new(find_program(&["sshfs"]));
        sshfs.args(["-f", "-o", "passive"]);
        sshfs.arg(format!("here:{}", of.display())).arg(&folder);
        let client = Service::start_on(&mut sshfs, stdio(&client), stdio(&client), &log);
        until("it is mounted", || {
            folder.join("mounted").exists().then_some(())
        });
        Some(Self {
            folder,
            server,
            _client: client,
        })
    }
}

impl Drop for NetworkDisk {
    fn drop(&mut self) {
        // A folder that hangs holds up whoever deletes what is around it.
        self.server.signal(Signal::SIGCONT);
        let _ = Command::new("umount").arg("-l").arg(&self.folder).output();
    }
}

#[test]
fn a_file_on_a_disk_of_the_network_is_diagnosed() {
    let site = running("");
    site.until_all_are_up();
    let (there, here) = (site.path("there"), site.path("here"));
    let Some(disk) = NetworkDisk::mount(&site, here.clone(), &there) else {
        return;
    };
    fs::copy(site.path("sessions.db"), here.join("sessions.db")).unwrap();
    let url = format!("sqlite:{}", here.join("sessions.db").display());
    let found = examine(&site, &["--store", &url]);
    let seen = found
        .iter()
        .find(|found| found.case == "sqlite-on-network-disk");
    let seen = &seen.unwrap_or_else(|| panic!("{found:#?}")).seen;
    assert!(seen.contains("fuse.sshfs"), "{seen}");
    drop(disk);
}

#[test]
fn a_data_folder_on_a_disk_that_hangs_is_diagnosed() {
    let store = TestPostgres::start();
    let mut site = Site::plan(2, &format!("[store]\nurl = \"{}\"", store.url()));
    let (there, here) = (site.path("there"), site.path("here"));
    let Some(disk) = NetworkDisk::mount(&site, here.clone(), &there) else {
        return;
    };
    start_with_data_in(&mut site, &here);
    assert_found(&site, &[], &[]);
    disk.server.signal(Signal::SIGSTOP);
    let found = assert_found(&site, &[], &["disk-hangs"]);
    assert!(found[0].seen.contains("no answer within 3s"), "{found:?}");
    let health = site.run(&["health"]);
    assert_eq!(health.status.code(), Some(2), "{health:?}");
}
