//! What this machine knows of an address: whether it is its own, and which process listens there.
//!
//! Source: `/proc/net/tcp` and `/proc/net/tcp6`, proc_pid_net(5); `/proc/PID/fd` and `/proc/PID/comm`,
//! proc(5).

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
};

/// The state of a socket that takes connections.
const LISTENS: &str = "0A";

/// Whether an address is one of this machine's, or stands for all of them.
pub(crate) fn is_here(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // This sends nothing: it chooses the address by which the other one is reached, which is the same
    // one here.
    let chosen = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    let is_plain = address.ip().is_loopback() || address.ip().is_unspecified();
    is_plain || chosen.is_ok_and(|own| own.ip() == address.ip())
}

/// A process that listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    name: String,
    id: u32,
}

impl Listener {
    /// Whether it is Seawall, or systemd, which listens for the balancer.
    pub(crate) fn is_ours(&self) -> bool {
        ["seawall", "systemd"].contains(&self.name.as_str())
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.id)
    }
}

/// The process that listens at an address of this machine, if it is not ours. Only root sees those of
/// other users.
pub(crate) fn stranger(address: SocketAddr) -> Option<Listener> {
    let listeners = is_here(address).then(|| listeners(address))?;
    let has_ours = listeners.iter().any(Listener::is_ours);
    listeners.into_iter().next().filter(|_| !has_ours)
}

/// The processes that listen at an address of this machine. Only root sees those of other users.
pub(crate) fn listeners(address: SocketAddr) -> Vec<Listener> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let sockets = tables.iter().flatten();
    let sockets: Vec<_> = sockets
        .flat_map(|table| sockets_at(table, address))
        .collect();
    // Beside processes, /proc has files, and links to this process.
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let named = ids.filter_map(|id: u32| {
        let process = Path::new("/proc").join(id.to_string());
        let name = fs::read_to_string(process.join("comm")).ok()?;
        let name = name.trim_end().to_owned();
        has_socket(&process, &sockets).then_some(Listener { name, id })
    });
    named.collect()
}

/// The sockets that listen at an address, or would be in the way of one that does, as file descriptors
/// lead to them.
fn sockets_at(table: &str, address: SocketAddr) -> Vec<String> {
    let rows = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (ip, port) = fields.next()?.split_once(':')?;
        let is_listener = fields.nth(1)? == LISTENS;
        let is_port = u16::from_str_radix(port, 16).ok()? == address.port();
        let ip = parse_ip(ip)?.to_canonical();
        let is_any = ip.is_unspecified() || address.ip().is_unspecified();
        let is_at = is_any || ip == address.ip();
        let inode = fields.nth(5)?;
        (is_listener && is_port && is_at).then(|| format!("socket:[{inode}]"))
    });
    rows.collect()
}

/// An address as the kernel prints it: words of 32 bits, in the order of this machine.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

fn has_socket(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path());
        target.is_ok_and(|target| sockets.iter().any(|socket| target == Path::new(socket)))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_machines_addresses_are_known() {
        for (address, here) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("0.0.0.0:80", true),
            ("192.0.2.1:80", false),
        ] {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }

    #[test]
    fn the_process_that_listens_is_found() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue; // Not every machine has IPv6.
            };
            let mut address = listener.local_addr().unwrap();
            let own = Some(std::process::id());
            let found = |address| Some(stranger(address)?.id);
            assert_eq!(found(address), own);
            if !address.is_ipv6() {
                let port = address.port();
                address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                assert_eq!(found(address), own);
                let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
                assert_eq!(found(any), own);
            }
            drop(listener);
            assert_eq!(found(address), None);
        }
    }
}
