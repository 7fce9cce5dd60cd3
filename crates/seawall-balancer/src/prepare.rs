//! From what a client has sent to what servers get.

use std::net::SocketAddr;

use http::{HeaderMap, Request, StatusCode, request::Parts};
use http_body::Body;
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    balancer::Shared, body::RequestBody, config::StickyMode, headers, internal, server::count,
    sticky, tunnel,
};

/// A request that is about to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
}

impl Outgoing {
    /// Whether sending it twice does no harm, and can be done.
    pub(crate) fn is_repeatable(&self) -> bool {
        headers::is_safe(&self.parts.method) && matches!(self.body, RequestBody::Empty)
    }

    /// A repeatable request, from its head.
    pub(crate) fn again(parts: &Parts) -> Box<Self> {
        Box::new(Self {
            parts: parts.clone(),
            body: RequestBody::Empty,
        })
    }
}

/// A request that can be sent, and what its answer needs to know of it.
pub(crate) struct Prepared {
    pub(crate) outgoing: Box<Outgoing>,
    /// The server that the client's cookie leads to.
    pub(crate) wanted: Option<usize>,
    /// The session, if a client that has to move is to be remembered by it.
    pub(crate) session: Option<String>,
    /// The client's end of a tunnel, if it wants one.
    pub(crate) client_upgrade: Option<OnUpgrade>,
}

/// The status and sentence of the answer to a request that no server is to see.
pub(crate) type Refusal = (StatusCode, &'static str);

/// Makes a request ready to be sent.
pub(crate) fn prepare(
    shared: &Shared,
    mut request: Request<Incoming>,
    client: SocketAddr,
) -> Result<Prepared, Refusal> {
    check(shared, &mut request)?;
    let config = &shared.config;
    let upgrade = headers::upgrade(&request);
    let wanted = wanted(shared, request.headers());
    let session = (config.sticky == StickyMode::Prefix)
        .then(|| sticky::session_value(request.headers(), &config.cookie).map(str::to_owned))
        .flatten();
    let request_headers = request.headers_mut();
    headers::strip_hop_by_hop(request_headers);
    headers::add_forwarded(request_headers, client.ip(), &config.trusted_proxies);
    sticky::strip_request(request_headers, config.sticky, &config.cookie);
    headers::settle_version(&mut request);
    let client_upgrade = upgrade.map(|protocol| {
        tunnel::ask(request.headers_mut(), protocol);
        hyper::upgrade::on(&mut request)
    });
    let (mut parts, body) = request.into_parts();
    let body = outgoing_body(&mut parts, body);
    Ok(Prepared {
        outgoing: Box::new(Outgoing { parts, body }),
        wanted,
        session,
        client_upgrade,
    })
}

fn check(shared: &Shared, request: &mut Request<Incoming>) -> Result<(), Refusal> {
    let refusal = headers::refusal(request).or_else(|| headers::to_origin_form(request));
    if let Some(sentence) = refusal {
        count(&shared.refused);
        return Err((StatusCode::BAD_REQUEST, sentence));
    }
    if internal::is_internal(request.uri().path()) {
        return Err((StatusCode::NOT_FOUND, "There is nothing at this address."));
    }
    Ok(())
}

fn outgoing_body(parts: &mut Parts, body: Incoming) -> RequestBody {
    if body.is_end_stream() {
        return RequestBody::Empty;
    }
    if body.size_hint().exact().is_none() {
        headers::say_chunked(&mut parts.headers);
    }
    RequestBody::of_client(body)
}

fn wanted(shared: &Shared, headers: &HeaderMap) -> Option<usize> {
    let config = &shared.config;
    let named = sticky::wanted(headers, config.sticky, &config.cookie)?;
    let named = shared
        .servers
        .iter()
        .position(|server| &*server.config.name == named);
    if config.sticky != StickyMode::Prefix {
        return named;
    }
    // The session cookie of a client that had to move still names its first server.
    let session = sticky::session_value(headers, &config.cookie)?;
    shared.moved.get(session).or(named)
}
