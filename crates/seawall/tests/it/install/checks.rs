//! What the programs say for which the files are written: systemd, rsyslog, logrotate, nftables.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Command, Output},
};

use super::{image::Image, is_root};

/// The most that `systemd-analyze security` may say: 0 is no exposure, 10 is all.
const EXPOSURE_TENTHS: u32 = 20;

const SERVICES: [&str; 4] = [
    "seawall-balancer.service",
    "seawall-health.service",
    "seawall-node@node1.service",
    "seawall-sweep.service",
];

fn output(program: &str, arguments: &[&str]) -> Output {
    // Administrators' programs are not on everybody's path.
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output();
    output.unwrap_or_else(|error| panic!("{program}: {error}; run `cargo xtask setup`"))
}

fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn installed() -> Image {
    let image = Image::new();
    image.run(&["install", "--yes", "--log-files"]);
    image
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    if !is_root() {
        return;
    }
    let image = installed();
    let folder = image.path("/etc/systemd/system");
    // The program stands elsewhere here; all else is checked as it is.
    let program = env!("CARGO_BIN_EXE_seawall");
    let units: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(units.len(), 9, "{units:?}");
    for unit in &units {
        let text = fs::read_to_string(unit).unwrap();
        fs::write(unit, text.replace("/usr/local/bin/seawall", program)).unwrap();
    }
    for unit in &units {
        let place = unit.display().to_string();
        let path = format!("{}:", folder.display());
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=yes", &place])
            .env("SYSTEMD_UNIT_PATH", path)
            .output()
            .unwrap();
        let said = complaints(&checked);
        let ours = said.lines().any(|line| line.contains("seawall"));
        assert!(
            checked.status.success() && !ours,
            "{}: {said}",
            unit.display()
        );
    }
}

#[test]
fn each_service_is_hardened() {
    if !is_root() {
        return;
    }
    let image = installed();
    let root = format!("--root={}", image.root().display());
    for service in SERVICES {
        let threshold = format!("--threshold={EXPOSURE_TENTHS}");
        let checked = output(
            "systemd-analyze",
            &[
                "security",
                "--no-pager",
                "--offline=true",
                &threshold,
                &root,
                service,
            ],
        );
        assert!(
            checked.status.success(),
            "{service}: {}",
            complaints(&checked)
        );
    }
}

#[test]
fn logrotate_and_rsyslog_take_their_files() {
    if !is_root() {
        return;
    }
    let image = installed();
    // The folder as the programs see it here.
    let logs = image.path("/var/log/seawall").display().to_string();
    let here = |path: &str| {
        let path = image.path(path);
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("/var/log/seawall", &logs);
        fs::write(&path, &text).unwrap();
        (path.display().to_string(), text)
    };
    fs::write(format!("{logs}/node1.log"), "a line\n").unwrap();
    let (rotation, _) = here("/etc/logrotate.d/seawall");
    let state = image.path("/logrotate.state").display().to_string();
    let checked = output("logrotate", &["--debug", "--state", &state, &rotation]);
    let said = complaints(&checked);
    assert!(
        checked.status.success() && !said.contains("error:"),
        "{said}"
    );
    for part in ["node1.log", "after 1 days", "(30 rotations)"] {
        assert!(said.contains(part), "{said}");
    }
    let checked = output("logrotate", &["--force", "--state", &state, &rotation]);
    assert!(checked.status.success(), "{}", complaints(&checked));
    assert_eq!(
        fs::read_to_string(format!("{logs}/node1.log.1")).unwrap(),
        "a line\n"
    );
    let fresh = fs::metadata(format!("{logs}/node1.log")).unwrap();
    assert_eq!((fresh.len(), fresh.mode() & 0o777), (0, 0o640));
    let (rules, text) = here("/etc/rsyslog.d/30-seawall.conf");
    for program in ["seawall-node1", "seawall-node2", "seawall-balancer"] {
        assert!(
            text.contains(&format!("$programname == '{program}'")),
            "{text}"
        );
    }
    let checked = output("rsyslogd", &["-N1", "-f", &rules]);
    assert!(checked.status.success(), "{}", complaints(&checked));
}
