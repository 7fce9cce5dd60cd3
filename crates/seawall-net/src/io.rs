//! The client's socket as hyper sees it: counted, and watched for double framing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::either::Either;

use crate::address::Stream;
use crate::connection::{Connection, Phase};
use crate::framing::HeadScanner;
use crate::linger::Linger;
use crate::small_writes::SmallWrites;

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 53\r\n\r\n\
    408 Request Timeout: the request head came too slowly";

pub(crate) struct ServerIo {
    stream: SmallWrites<Stream>,
    pub(crate) connection: Connection,
    scanner: HeadScanner,
    linger: Linger,
    /// Held as long as the socket is open, upgraded or not.
    _permit: OwnedSemaphorePermit,
}

impl ServerIo {
    pub(crate) fn new(
        stream: Stream,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream: SmallWrites(stream),
            connection,
            scanner: HeadScanner::new(),
            linger: Linger::default(),
            _permit: permit,
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.mark_stuck(written.is_pending());
        if let Poll::Ready(Ok(count)) = written {
            self.connection.add_bytes_out(count);
        }
        written
    }

    fn received(&mut self, bytes: &[u8]) {
        self.connection.add_bytes_in(bytes.len());
        match self.connection.phase() {
            Phase::Busy | Phase::Closing => return,
            Phase::Idle => {
                self.connection.enter(Phase::Head);
                self.scanner = HeadScanner::new();
            }
            Phase::Head => (),
        }
        self.scanner.feed(bytes);
        if self.scanner.is_ambiguous() {
            self.connection.mark_ambiguous();
        }
    }
}

impl Drop for ServerIo {
    fn drop(&mut self) {
        if self.connection.refused_with() == Some(StatusCode::REQUEST_TIMEOUT) {
            // hyper only closes. A client that reads deserves to know why; best effort.
            let _ = match &self.stream.0 {
                Either::Left(stream) => stream.try_write(TIMED_OUT),
                Either::Right(stream) => stream.try_write(TIMED_OUT),
            };
        }
    }
}

impl AsyncRead for ServerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            this.received(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.connection.mark_stuck(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        if this.connection.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        // A head that was refused may still be on its way, too.
        let expects_more = this.connection.had_body() || this.connection.phase() == Phase::Head;
        this.connection.mark_closing();
        let stream = Pin::new(&mut this.stream);
        this.linger.poll(stream, expects_more, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
