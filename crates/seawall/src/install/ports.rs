//! Whether the ports are free that the services will listen on. systemd says only that it failed.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use super::{InstallError, target::succeeds};
use crate::local::{self, Listener};

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
            let holder = local::listeners(*address).into_iter().next();
            // A unit that runs may have its port already; systemd holds that of a socket.
            let runs = is_active(unit)
                || (unit.ends_with(".socket") && is_active("seawall-balancer.service"));
            if runs && holder.as_ref().is_some_and(Listener::is_ours) {
                continue;
            }
            let holder = holder.map_or("another program".to_owned(), |is| is.to_string());
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
