//! A connection by a Unix socket that is not told of space to write before it needs any.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream as TokioUnixStream;

/// The least and the most that is read at once. A read begins with clearing the memory that it may fill,
/// so it is to be little more than what comes.
const READ_MIN: usize = 1024;
const READ_MAX: usize = 64 * 1024;

/// A connection by a Unix socket.
///
/// Whenever one side has read something, the kernel tells the other one that there is space again, and
/// wakes it for nothing: `unix_write_space` in Linux's `net/unix/af_unix.c`. (Of TCP's sockets only
/// those that were full are told.) tokio's stream always asks for that; this one does once it has been full.
#[derive(Debug)]
pub struct UnixStream {
    socket: AsyncFd<StdUnixStream>,
    has_been_full: bool,
    /// Who waits to read, until the socket has been full.
    reader: Option<Waker>,
    portion: Portion,
}

impl UnixStream {
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Self::new(TokioUnixStream::connect(path).await?.into_std()?)
    }

    /// Takes a socket that does not block.
    pub(crate) fn new(socket: StdUnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            has_been_full: false,
            reader: None,
            portion: Portion::FIRST,
        })
    }

    /// Writes what there is space for now.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.get_ref().write(bytes)
    }

    fn poll_with_space(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&StdUnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
            if !self.has_been_full {
                self.ask_for_space()?;
            }
            let mut space = ready!(self.socket.poll_write_ready(context))?;
            // There may have come some since the try: the next one knows.
            space.clear_ready();
        }
    }

    fn ask_for_space(&mut self) -> io::Result<()> {
        let socket = self.socket.get_ref().try_clone()?;
        self.socket = register(socket, Interest::READABLE | Interest::WRITABLE)?;
        self.has_been_full = true;
        // It waits at the registration that is gone.
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn remember_reader(&mut self, waker: &Waker) {
        let is_known = |known: &Waker| known.will_wake(waker);
        if !self.has_been_full && !self.reader.as_ref().is_some_and(is_known) {
            self.reader = Some(waker.clone());
        }
    }
}

#[expect(
    deprecated,
    reason = "it is for what may change its descriptor meanwhile, which a socket of the standard library does not"
)]
fn register(socket: StdUnixStream, interest: Interest) -> io::Result<AsyncFd<StdUnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Portion {
    bytes: usize,
    /// Whether the last one was filled: what comes next is a message's rest.
    was_filled: bool,
}

impl Portion {
    const FIRST: Self = Self {
        bytes: READ_MIN,
        was_filled: false,
    };

    /// After a read of `count` bytes, where `wanted` found room.
    fn after(self, count: usize, wanted: usize) -> Self {
        let was_filled = count >= wanted;
        let is_short = count < wanted / 4 && !self.was_filled;
        let bytes = match (was_filled, is_short) {
            (true, _) => (self.bytes * 2).min(READ_MAX),
            (false, true) => (self.bytes / 2).max(READ_MIN),
            (false, false) => self.bytes,
        };
        Self { bytes, was_filled }
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let wanted = this.portion.bytes.min(buffer.remaining());
        loop {
            let Poll::Ready(guard) = this.socket.poll_read_ready(context) else {
                this.remember_reader(context.waker());
                return Poll::Pending;
            };
            let mut guard = guard?;
            match guard
                .get_inner()
                .read(buffer.initialize_unfilled_to(wanted))
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    // A part of what was asked for is all that there was, and 0 is the end.
                    if 0 < count && count < wanted {
                        guard.clear_ready();
                    }
                    buffer.advance(count);
                    this.portion = this.portion.after(count, wanted);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_with_space(context, |mut socket| socket.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_with_space(context, |mut socket| socket.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (left, right) = StdUnixStream::pair().unwrap();
        let open = |socket: StdUnixStream| {
            socket.set_nonblocking(true).unwrap();
            UnixStream::new(socket).unwrap()
        };
        (open(left), open(right))
    }

    /// Bytes that show when one is missing or out of order.
    fn numbered(count: u32) -> Vec<u8> {
        (0..count).flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn reads_become_as_long_as_messages() {
        let after = |counts: &[usize]| {
            let next = |last: Portion, &count: &usize| last.after(count, last.bytes);
            counts.iter().fold(Portion::FIRST, next).bytes / READ_MIN
        };
        assert_eq!(after(&[300, 300]), 1);
        assert_eq!(
            after(&[READ_MIN, 172]),
            2,
            "the rest of a message says nothing"
        );
        assert_eq!(after(&[READ_MIN, 172, READ_MIN + 172]), 2);
        assert_eq!(after(&[READ_MIN, 172, 300]), 1);
        assert_eq!(after(&[READ_MIN, 2 * READ_MIN, 4 * READ_MIN]), 8);
        assert_eq!(after(&[READ_MAX; 10]), READ_MAX / READ_MIN);
    }

    #[tokio::test]
    async fn more_than_fits_is_written_when_there_is_space() {
        let (mut left, mut right) = pair();
        let sent = numbered(1_000_000);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            left.write_all(&sent).await.unwrap();
            left.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        right.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        assert!(received == expected, "{} bytes", received.len());
    }

    #[tokio::test]
    async fn who_waits_to_read_is_woken_after_the_socket_was_full() {
        let (left, mut right) = pair();
        let (mut reader, mut writer) = split(left);
        let reading = tokio::spawn(async move {
            let mut word = [0; 5];
            reader.read_exact(&mut word).await.unwrap();
            word
        });
        // The reader waits before the socket is full.
        tokio::task::yield_now().await;
        let writing = tokio::spawn(async move { writer.write_all(&numbered(500_000)).await });
        tokio::task::yield_now().await;
        right.write_all(b"hello").await.unwrap();
        assert_eq!(&reading.await.unwrap(), b"hello");
        let mut received = vec![0; 2_000_000];
        right.read_exact(&mut received).await.unwrap();
        writing.await.unwrap().unwrap();
        assert!(received == numbered(500_000));
    }

    #[tokio::test]
    async fn the_end_is_seen_by_who_reads_and_by_who_writes() {
        let (mut left, right) = pair();
        let waiting = tokio::spawn(async move {
            let mut byte = [0];
            let count = left.read(&mut byte).await.unwrap();
            (count, left.write(b"x").await.unwrap_err().kind())
        });
        tokio::task::yield_now().await;
        drop(right);
        assert_eq!(waiting.await.unwrap(), (0, io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn a_writer_that_waits_for_space_sees_the_end() {
        let (mut left, right) = pair();
        let writing = tokio::spawn(async move { left.write_all(&numbered(1_000_000)).await });
        tokio::task::yield_now().await;
        drop(right);
        let error = writing.await.unwrap().unwrap_err();
        let kind = error.kind();
        assert!(matches!(
            kind,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ));
    }
}
