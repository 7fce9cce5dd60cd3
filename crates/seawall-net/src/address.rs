//! Where a server can be reached: over the network, or by a socket of this machine.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::unix_stream::UnixStream;

/// A connection of either kind.
pub type Stream = Either<TcpStream, UnixStream>;

/// Where a server can be reached. As text `127.0.0.1:8080` or `unix:/run/node1.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over the network.
    Tcp(SocketAddr),
    /// By a Unix socket: only on this machine, and cheaper, because nothing passes the network
    /// stack.
    Unix(Arc<Path>),
}

/// Text that is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address; write for example 127.0.0.1:8080 or unix:/run/node1.sock")]
pub struct AddressError(String);

impl Address {
    /// Opens a connection.
    ///
    /// # Errors
    /// What the system says when it cannot.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Self::Unix(path) => Ok(Either::Right(UnixStream::connect(path).await?)),
        }
    }

    /// What the `Host` field of a request to this address says.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        match text.strip_prefix("unix:") {
            Some("") => Err(error()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path).into())),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:8080", "[::1]:80", "unix:/run/seawall/node1.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "node1", "unix:", "127.0.0.1"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("write for example"), "{error}");
        }
    }
}
