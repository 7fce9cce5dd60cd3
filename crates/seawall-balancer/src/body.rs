//! The bodies that pass through.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use seawall_net::BoxError;
use tokio::time::{Instant, Sleep};

use crate::{
    in_flight,
    pool::Lease,
    upload::{Turn, Upload},
};

/// A request's body on its way to a server.
#[derive(Debug, Default)]
pub(crate) enum RequestBody {
    /// There is none, so the request can be sent again.
    #[default]
    Empty,
    /// The client's, which can be read once.
    Client { body: Incoming, upload: Upload },
}

impl RequestBody {
    pub(crate) fn of_client(body: Incoming) -> Self {
        let upload = Upload::begin();
        Self::Client { body, upload }
    }

    /// How it gets on.
    pub(crate) fn upload(&self) -> Upload {
        match self {
            Self::Empty => Upload::done(),
            Self::Client { upload, .. } => upload.clone(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Client { body, upload } => {
                let frame = Pin::new(body).poll_frame(context);
                match &frame {
                    Poll::Pending => upload.waits_for_client(),
                    Poll::Ready(Some(Err(_))) => upload.broke_off(),
                    Poll::Ready(_) => upload.arrived(),
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client { body, .. } => body.size_hint(),
        }
    }
}

pin_project! {
    /// A response's body on its way to the client.
    #[project = ResponseBodyProjection]
    #[derive(Debug)]
    pub(crate) enum ResponseBody {
        /// All of it is here.
        Whole { #[pin] body: Full<Bytes> },
        /// The server is still sending. An error on its side ends the client's connection, so that
        /// a part never looks like the whole.
        Passing {
            #[pin] body: Incoming,
            #[pin] stalled: Sleep,
            waits: bool,
            limit: Duration,
            lease: Option<Lease>,
            in_flight: Option<in_flight::Passing>,
            upload: Upload,
        },
    }
}

impl ResponseBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole {
            body: Full::new(bytes.into()),
        }
    }

    /// Passes the server's body on; `lease` gives the connection back when all of it has passed. The
    /// request's own body may still be on its way: `upload` tells.
    pub(crate) fn passing(
        body: Incoming,
        lease: Lease,
        in_flight: in_flight::Passing,
        upload: Upload,
        limit: Duration,
    ) -> Self {
        let stalled = tokio::time::sleep(limit);
        Self::Passing {
            body,
            stalled,
            waits: false,
            limit,
            lease: Some(lease),
            in_flight: Some(in_flight),
            upload,
        }
    }
}

/// Ends an answer that did not come to its end, once. It is the server's fault, unless the client is to
/// send more of its request, or has broken that off.
fn broke_off(
    lease: &mut Option<Lease>,
    in_flight: &mut Option<in_flight::Passing>,
    upload: &Upload,
) {
    drop(lease.take());
    if let Some(in_flight) = in_flight.take()
        && upload.turn().0 == Turn::Server
    {
        in_flight.server().lost();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            ResponseBodyProjection::Whole { body } => {
                body.poll_frame(context).map_err(|never| match never {})
            }
            ResponseBodyProjection::Passing {
                mut body,
                mut stalled,
                waits,
                limit,
                lease,
                in_flight,
                upload,
            } => {
                let Poll::Ready(frame) = body.as_mut().poll_frame(context) else {
                    // The time runs from when the server is waited for: before, it may have been
                    // the client that took nothing.
                    if !std::mem::replace(waits, true) {
                        stalled.as_mut().reset(Instant::now() + *limit);
                    }
                    ready!(stalled.poll(context));
                    broke_off(lease, in_flight, upload);
                    return Poll::Ready(Some(Err("the server stopped sending".into())));
                };
                *waits = false;
                // A body whose length is known is not polled again after its last part.
                let is_over = match &frame {
                    None => true,
                    Some(Ok(frame)) => {
                        if let (Some(part), Some(in_flight)) = (frame.data_ref(), &in_flight) {
                            in_flight.server().came(part);
                        }
                        body.is_end_stream()
                    }
                    Some(Err(_)) => {
                        broke_off(lease, in_flight, upload);
                        false
                    }
                };
                if is_over {
                    drop(in_flight.take());
                    if let Some(lease) = lease.take() {
                        lease.give_back();
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { body } => body.is_end_stream(),
            Self::Passing { body, lease, .. } => lease.is_none() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { body } => body.size_hint(),
            Self::Passing { body, .. } => body.size_hint(),
        }
    }
}
