//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback address that nobody listens on now.
///
/// # Panics
/// When the machine has no free port.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}
