//! The bodies of responses.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// How much of a file is read at once.
const CHUNK: usize = 64 * 1024;

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    /// A file, a piece at a time.
    File(FileBody),
    /// Whole, so that it leaves in one write with its length.
    Whole(Full<Bytes>),
}

/// What is left of a file that is sent.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: File,
    left: u64,
    chunk: Vec<u8>,
}

impl FileBody {
    /// The first `length` bytes of a file.
    pub(crate) fn new(file: File, length: u64) -> Self {
        Self {
            file,
            left: length,
            chunk: vec![0; CHUNK],
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = ReadBuf::new(&mut self.chunk[..wanted]);
        let read = ready!(Pin::new(&mut self.file).poll_read(cx, &mut chunk));
        let read = read.map(|()| Bytes::copy_from_slice(chunk.filled()));
        Poll::Ready(Some(match read {
            // The length has left already, so the client must not take this for all.
            Ok(bytes) if bytes.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.left -= bytes.len() as u64;
                Ok(bytes)
            }
            Err(error) => Err(error),
        }))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::File(file) => file.poll_chunk(cx).map_ok(Frame::data),
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::File(file) => file.left == 0,
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::File(file) => SizeHint::with_exact(file.left),
            Self::Whole(body) => body.size_hint(),
        }
    }
}
