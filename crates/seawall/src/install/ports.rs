//! Whether the ports are free that the services will listen on. systemd says only that it failed.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::unix::ffi::OsStrExt,
};

use super::{InstallError, target::succeeds};

/// Finds the first port that somebody else has.
pub(super) fn check(listeners: &[(String, SocketAddr)]) -> Result<(), InstallError> {
    for (unit, address) in listeners {
        let Err(error) = TcpListener::bind(address) else {
            continue;
        };
        if error.kind() == ErrorKind::AddrNotAvailable {
            return Err(InstallError::Plan(format!(
                "{unit} is to listen on {address}, which is no address of this machine; choose one \
                 that is, or 0.0.0.0 for all"
            )));
        }
        if error.kind() == ErrorKind::AddrInUse {
            let holder = holder(address.port()).unwrap_or("another program".to_owned());
            // A unit that runs may have its port already; systemd holds that of a socket.
            let runs = is_active(unit)
                || (unit.ends_with(".socket") && is_active("seawall-balancer.service"));
            if runs
                && ["seawall ", "systemd "]
                    .iter()
                    .any(|ours| holder.starts_with(ours))
            {
                continue;
            }
            return Err(InstallError::Plan(format!(
                "{unit} is to listen on {address}, and {holder} does already; stop that, or choose \
                 another port"
            )));
        }
    }
    Ok(())
}

fn is_active(unit: &str) -> bool {
    succeeds(&["systemctl", "--quiet", "is-active", unit])
}

/// The process that listens on a port, by its name and number.
fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let sockets: Vec<_> = tables
        .iter()
        .flatten()
        .flat_map(|table| listening(table, port))
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let name = process.file_name();
        let number = name.to_str()?.parse::<u32>().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            let aim = fs::read_link(file.path()).unwrap_or_default();
            sockets
                .iter()
                .any(|socket| aim.as_os_str().as_bytes() == socket.as_bytes())
        })?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {number})", name.trim()))
    })
}

/// The sockets that listen on a port, in a table of proc(5), as file descriptors lead to them.
fn listening(table: &str, port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            // 0A: it listens.
            let is_one = words.get(1)?.ends_with(&end) && *words.get(3)? == "0A";
            is_one.then(|| Some(format!("socket:[{}]", words.get(9)?)))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = [("seawall-test.service".to_owned(), address)];
        let error = check(&taken).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(error.contains(&process), "{error}");
        drop(listener);
        check(&taken).unwrap();
        // An address for documents, which no machine has (RFC 5737).
        let nowhere = [(
            "seawall-test.service".to_owned(),
            "192.0.2.1:80".parse().unwrap(),
        )];
        let error = check(&nowhere).unwrap_err().to_string();
        assert!(error.contains("no address of this machine"), "{error}");
    }
}
