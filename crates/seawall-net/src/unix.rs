//! The Unix socket of a server: taken over from a dead process, never from a living one.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// The longest path that a socket can have (`sun_path` in unix(7), with its final zero).
pub const SOCKET_PATH_MAX: usize = 107;

/// Why a Unix socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on unix:{}: {source}; name a path below {SOCKET_PATH_MAX} bytes, in a folder that can be \
         written, that no other process listens on", path.display())]
pub struct UnixBindError {
    /// The path asked for.
    path: PathBuf,
    /// What the system said.
    source: io::Error,
}

/// A listening Unix socket.
#[derive(Debug)]
pub struct UnixSocket {
    listeners: Vec<UnixListener>,
    file: SocketFile,
}

/// The file of a [`UnixSocket`], which is removed when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Which file we made; another process may have replaced it since.
    identity: Identity,
}

impl UnixSocket {
    /// Listens on `path`, with one listener for each worker; all of them take connections from the
    /// same queue. The socket of a process that has died is replaced.
    ///
    /// # Errors
    /// When another process listens there, or the path cannot be used.
    pub fn bind(path: &Path, workers: usize) -> Result<Self, UnixBindError> {
        open(path, workers).map_err(|source| UnixBindError {
            path: path.to_owned(),
            source,
        })
    }

    /// The listeners, and the file to be kept while there are any: when they are closed, clients
    /// are refused, and none waits in a queue that nobody looks at.
    #[must_use]
    pub fn into_parts(self) -> (Vec<UnixListener>, SocketFile) {
        (self.listeners, self.file)
    }
}

fn open(path: &Path, workers: usize) -> io::Result<UnixSocket> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        listener => listener?,
    };
    listener.set_nonblocking(true)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path)?,
    };
    let mut listeners = vec![listener];
    while listeners.len() < workers {
        listeners.push(listeners[0].try_clone()?);
    }
    Ok(UnixSocket { listeners, file })
}

/// Whether the path is a socket that nobody listens on.
fn is_dead(path: &Path) -> bool {
    // Connecting to a plain file is refused as well.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).err().is_some_and(refused)
}

/// What tells a file from others of its path. A file system gives the number of a file that was removed
/// to the next one, so the time at which it was made counts too.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
    made_at: (i64, i64),
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(Identity {
        device: metadata.dev(),
        number: metadata.ino(),
        made_at: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Left behind, the file does no harm: the next process replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_dead_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node1.sock");
        drop(UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path, 2).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_ends_leaves_the_socket_of_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node1.sock");
        let (listeners, file) = UnixSocket::bind(&path, 1).unwrap().into_parts();
        drop(listeners);
        // The clock of a file system ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let _successor = UnixSocket::bind(&path, 1).unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn the_socket_of_a_living_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node1.sock");
        let _first = UnixSocket::bind(&path, 2).unwrap();
        let error = UnixSocket::bind(&path, 2).unwrap_err();
        assert!(error.to_string().contains("no other process"), "{error}");
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        fs::write(&path, "dear").unwrap();
        assert!(UnixSocket::bind(&path, 2).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear");
    }
}
