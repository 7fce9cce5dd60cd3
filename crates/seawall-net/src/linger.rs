//! Closing a connection on which the client still sends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

/// For how long what a client still sends is taken, and for how long it may send nothing meanwhile.
const LIMIT: Duration = Duration::from_secs(5);
const QUIET_LIMIT: Duration = Duration::from_secs(1);

const BUFFER_BYTES: usize = 16 * 1024;

/// A socket that is closed with something unread resets its client, which then may never see the
/// answer: that its upload is too large, for example. So what still comes is read, and forgotten, for
/// a while (RFC 9112, section 9.6). Who cannot have anything more to send is not waited for.
#[derive(Debug, Default)]
pub(crate) struct Linger {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    end: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    /// Ready when the socket, whose writing side is closed already, can be dropped. `expects_more` says
    /// that something may be on its way.
    pub(crate) fn poll(
        &mut self,
        mut stream: Pin<&mut impl AsyncRead>,
        expects_more: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if expects_more && self.waiting.is_none() {
            self.wait();
        }
        loop {
            let mut bytes = [0; BUFFER_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match stream.as_mut().poll_read(context, &mut buffer) {
                // The timer is not asked while something always comes.
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && !self.is_over() => {
                    self.wait();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    if let Some(waiting) = &mut self.waiting {
                        ready!(waiting.timer.as_mut().poll(context));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        let waiting = self.waiting.as_ref();
        waiting.is_some_and(|waiting| waiting.end <= Instant::now())
    }

    /// Waits for more from now on.
    fn wait(&mut self) {
        let now = Instant::now();
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            end: now + LIMIT,
            timer: Box::pin(tokio::time::sleep(QUIET_LIMIT)),
        });
        let end = waiting.end.min(now + QUIET_LIMIT);
        waiting.timer.as_mut().reset(end);
    }
}
