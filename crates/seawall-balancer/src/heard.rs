//! A server's socket that is read when nothing can be written any more.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server may refuse an upload and close before it has taken all of it. hyper gives up on a
/// connection to which it cannot write, and what the server has said before would be lost. So what
/// cannot be written counts as written: reading then gives the answer, or the end without one. When
/// that has come, nothing is pretended any more: a tunnel has to break then.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    stream: S,
    takes_nothing: TakesNothing,
    has_ended: bool,
}

/// Whether a server takes nothing any more, so that its connection is of no use for another request.
#[derive(Debug, Clone, Default)]
pub(crate) struct TakesNothing(Arc<AtomicBool>);

impl TakesNothing {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl<S> Heard<S> {
    pub(crate) fn new(stream: S, takes_nothing: TakesNothing) -> Self {
        Self {
            stream,
            takes_nothing,
            has_ended: false,
        }
    }

    /// Whether what is to be written only counts as written.
    fn pretends(&self) -> bool {
        self.takes_nothing.is_so() && !self.has_ended
    }

    /// The outcome of writing `length` bytes.
    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_closed(&error) && !self.has_ended => {
                self.takes_nothing.0.store(true, Relaxed);
                Poll::Ready(Ok(length))
            }
            written => written,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.has_ended |= match &read {
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pretends() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.pretends() {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
