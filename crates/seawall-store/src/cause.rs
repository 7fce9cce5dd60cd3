//! What lies behind an error of a store, as far as it can be told: what an operator would mend.

#[cfg(any(
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
use std::{error::Error, io};

/// Why a store refuses or cannot be reached, for tools that advise on it. The error's text has the
/// store's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The file holds no usable database.
    Damaged,
    /// The server has no database of that name.
    DatabaseMissing,
    /// Another transaction holds for long what is to be read or changed: a row, or the whole table.
    Locked,
    /// Anything else.
    Other,
    /// Tables of another version, or not the tables that this program knows.
    OtherTables,
    /// The store's user may not do what is needed.
    PrivilegeMissing,
    /// The store takes no writes: a standby, a read-only server or file.
    ReadOnly,
    /// Nobody listens at the address.
    Refused,
    /// No room on the disk, or in the memory that the store may use.
    StoreFull,
    /// The server has as many connections as it allows.
    TooManyConnections,
    /// The host's name has no address.
    UnknownHost,
    /// No way leads to the host.
    Unreachable,
    /// The user is unknown, or the password is wrong.
    WrongPassword,
}

/// What the system's resolver says of a name without an address; it has no error number of its own.
#[cfg(any(
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
const NOT_RESOLVED: &str = "failed to lookup address information";

/// The system's words for a host that cannot be reached.
#[cfg(any(
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
const NO_WAY: [&str; 3] = [
    "No route to host",
    "Network is unreachable",
    "Network is down",
];

#[cfg(any(
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
impl Cause {
    /// The cause of an error that came from the network or a file.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let cause = Self::of_one(error);
            if cause != Self::Other {
                return cause;
            }
            next = error.source();
        }
        Self::Other
    }

    fn of_one(error: &(dyn Error + 'static)) -> Self {
        let Some(error) = error.downcast_ref::<io::Error>() else {
            return Self::of_text(&error.to_string());
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StoreFull,
            io::ErrorKind::PermissionDenied => Self::PrivilegeMissing,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::of_text(&error.to_string()),
        }
    }

    /// Some drivers pass on the words of an error only.
    pub(crate) fn of_text(text: &str) -> Self {
        if text.contains(NOT_RESOLVED) {
            Self::UnknownHost
        } else if text.contains("Connection refused") {
            Self::Refused
        } else if NO_WAY.iter().any(|words| text.contains(words)) {
            Self::Unreachable
        } else {
            Self::Other
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connecting")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn the_cause_is_found_behind_what_wraps_it() {
        let wrapped = |kind: io::ErrorKind| Cause::of(&Wrapped(kind.into()));
        assert_eq!(wrapped(io::ErrorKind::ConnectionRefused), Cause::Refused);
        assert_eq!(wrapped(io::ErrorKind::StorageFull), Cause::StoreFull);
        assert_eq!(wrapped(io::ErrorKind::NotConnected), Cause::Other);
        let unresolved = io::Error::other(format!("{NOT_RESOLVED}: Name or service not known"));
        assert_eq!(Cause::of(&Wrapped(unresolved)), Cause::UnknownHost);
    }
}
