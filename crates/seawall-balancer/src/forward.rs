//! A request on its way through the balancer.

use std::{
    cell::RefCell,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header::CONTENT_LENGTH, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::{
    access_log::Waiting,
    balancer::Shared,
    body::ResponseBody,
    failure::{self, Failure, Losses},
    headers,
    in_flight::{self, InFlight},
    pick::{Candidate, Picker, Tier},
    pool::{self, Lease, Pool, Upstream},
    prepare::{Outgoing, Prepared, prepare},
    respond,
    server::{Server, count},
    sticky, tunnel,
    upload::{Turn, Upload},
    wait::Patience,
};

/// Answers up to this size are taken in whole before the client gets them, when the request can be
/// sent again: so a server that dies in the middle of one is not seen.
const BUFFERED_BYTES: u64 = 64 * 1024;

/// One worker's side of the balancer.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pool: Pool,
    picker: RefCell<Picker>,
    patience: Patience,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let pool = Pool::new(shared.servers.len(), shared.config.limits.connections_max);
        Self {
            patience: Patience::of(&shared.config),
            shared,
            pool,
            picker: RefCell::default(),
        }
    }

    /// Answers one request of a client, and logs it.
    pub(crate) async fn respond(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Response<ResponseBody> {
        count(&self.shared.requests);
        let waiting = Waiting::new(&self.shared, &request, client.ip());
        let (response, server) = match prepare(&self.shared, request, client) {
            Ok(prepared) => self.direct(prepared).await,
            Err((status, sentence)) => (respond::problem(status, sentence), None),
        };
        let name = server.map(|index| &*self.shared.servers[index].config.name);
        waiting.answered(&response, name);
        response
    }

    /// The answer to a request, with the server that gave it, if one did.
    async fn direct(&self, prepared: Prepared) -> (Response<ResponseBody>, Option<usize>) {
        let Prepared {
            outgoing,
            wanted,
            session,
            client_upgrade,
        } = prepared;
        match self.forward(outgoing, wanted).await {
            Ok((response, server)) => {
                let directed = wanted == Some(server);
                if let Some(session) = session.filter(|_| !directed) {
                    self.shared.moved.insert(&session, server);
                }
                let response = self.finish(response, server, directed, client_upgrade);
                (response, Some(server))
            }
            Err(response) => {
                let of_client = response.status().is_client_error();
                let counter = if of_client {
                    &self.shared.refused
                } else {
                    &self.shared.failed
                };
                count(counter);
                (response, None)
            }
        }
    }

    /// Tries servers until one answers. The error is what the client gets when none does.
    async fn forward(
        &self,
        outgoing: Box<Outgoing>,
        wanted: Option<usize>,
    ) -> Result<(Response<ResponseBody>, usize), Response<ResponseBody>> {
        // The only copy, for the second try: a request that went out does not come back.
        let head = outgoing.is_repeatable().then(|| outgoing.parts.clone());
        let mut next = Some(outgoing);
        let mut tried = vec![false; self.shared.servers.len()];
        let mut losses = Losses::default();
        let mut left: Option<&Server> = None;
        while let Some(outgoing) = next.take() {
            let Some(index) = self.pick(wanted, &tried) else {
                return Err(losses.answer());
            };
            let server = &self.shared.servers[index];
            if let Some(left) = left.replace(server) {
                count(&left.counters.retries);
                count(&server.counters.redispatches);
            }
            tried[index] = true;
            let _in_flight = InFlight::enter(server);
            count(&server.counters.requests);
            match self.send(index, outgoing, head.as_ref()).await {
                Ok(response) => return Ok((response, index)),
                Err(Failure::NotSent(outgoing)) => {
                    count(&server.counters.connect_errors);
                    server.suspect();
                    next = Some(outgoing);
                }
                // Nothing that the server is to blame for.
                Err(Failure::Client(status)) => return Err(failure::not_sent_in_full(status)),
                Err(Failure::Own(error)) => {
                    tracing::error!(%error, "no connection; raise the limit on open files");
                    return Err(losses.answer());
                }
                Err(Failure::Lost { hung }) => {
                    server.lost();
                    let may_go_on = losses.add(hung);
                    next = head.as_ref().filter(|_| may_go_on).map(Outgoing::again);
                }
            }
        }
        Err(losses.answer())
    }

    fn pick(&self, wanted: Option<usize>, tried: &[bool]) -> Option<usize> {
        let (servers, sure) = (&self.shared.servers, self.shared.config.check.sure());
        let candidate = |(server, tried): (&Arc<Server>, &bool)| Candidate {
            weight: server.config.weight,
            in_flight: server.in_flight.load(Relaxed),
            tier: if *tried {
                Tier::Tried
            } else {
                server.tier(server.has_worse_store(servers, sure))
            },
        };
        let candidates: Vec<_> = servers.iter().zip(tried).map(candidate).collect();
        self.picker
            .borrow_mut()
            .pick(&candidates, wanted, self.shared.config.algorithm)
    }

    /// Sends a request to one server and awaits its answer. `head` is there when the request may be
    /// sent again.
    async fn send(
        &self,
        index: usize,
        mut outgoing: Box<Outgoing>,
        head: Option<&Parts>,
    ) -> Result<Response<ResponseBody>, Failure> {
        if let Some(lease) = self.pool.reuse(index).await {
            match self.exchange(index, lease, outgoing, head.is_some()).await {
                // The server closed the idle connection just then. That says nothing about it: once
                // more on a new connection, if there is nothing to be done twice.
                Err(Failure::NotSent(unsent)) => outgoing = unsent,
                Err(Failure::Lost { hung: false }) if let Some(head) = head => {
                    outgoing = Outgoing::again(head);
                }
                outcome => return outcome,
            }
        }
        let address = &self.shared.servers[index].config.address;
        let limit = self.shared.config.timeouts.connect;
        match self.pool.connect(index, address, limit).await {
            Ok(lease) => self.exchange(index, lease, outgoing, head.is_some()).await,
            Err(error) if pool::is_own_limit(&error) => Err(Failure::Own(error)),
            Err(_) => Err(Failure::NotSent(outgoing)),
        }
    }

    async fn exchange(
        &self,
        index: usize,
        mut lease: Lease,
        outgoing: Box<Outgoing>,
        repeatable: bool,
    ) -> Result<Response<ResponseBody>, Failure> {
        let server = &self.shared.servers[index];
        if let Some(length) = content_length(&outgoing.parts.headers) {
            server.counters.bytes_in.fetch_add(length, Relaxed);
        }
        let upload = outgoing.body.upload();
        let sent = Instant::now();
        let answer = self.answer(server, &mut lease.upstream, outgoing, &upload, repeatable);
        let response = answer.await.inspect_err(|failure| {
            if matches!(failure, Failure::Lost { hung: true }) {
                self.pool.clear(index);
            }
        })?;
        let answered = Instant::now();
        server.answered(answered.into_std());
        server.counters.latency.record(answered - sent);
        let (mut parts, incoming) = response.into_parts();
        if !headers::settle_length(&mut parts.headers) {
            return Err(Failure::Lost { hung: false });
        }
        let class = usize::from(parts.status.as_u16() / 100).clamp(1, 5) - 1;
        count(&server.counters.responses[class]);
        parts.version = Version::HTTP_11;
        if incoming.is_end_stream() && parts.status != StatusCode::SWITCHING_PROTOCOLS {
            lease.give_back();
            return Ok(Response::from_parts(parts, ResponseBody::whole("")));
        }
        let length = content_length(&parts.headers);
        if repeatable && length.is_some_and(|length| length <= BUFFERED_BYTES) {
            let timer = lease.upstream.timer.as_mut();
            let whole = self.take_whole(server, timer, incoming).await?;
            server.came(&whole);
            lease.give_back();
            return Ok(Response::from_parts(parts, ResponseBody::whole(whole)));
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let response = Response::from_parts(parts, incoming);
            let in_flight = in_flight::Passing::go_on(server);
            let place = lease.into_place();
            return Ok(tunnel::keep_upgrade(response, in_flight, place));
        }
        let limit = self.shared.config.timeouts.server;
        let in_flight = in_flight::Passing::go_on(server);
        let body = ResponseBody::passing(incoming, lease, in_flight, upload, limit);
        Ok(Response::from_parts(parts, body))
    }

    /// The head of the server's answer.
    async fn answer(
        &self,
        server: &Server,
        upstream: &mut Upstream,
        outgoing: Box<Outgoing>,
        upload: &Upload,
        repeatable: bool,
    ) -> Result<Response<Incoming>, Failure> {
        let Upstream { sender, timer, .. } = upstream;
        let Outgoing { parts, body } = *outgoing;
        let answer = pin!(sender.try_send_request(Request::from_parts(parts, body)));
        let answered = self
            .patience
            .wait(server, timer.as_mut(), answer, upload, repeatable)
            .await?;
        answered.map_err(|error| match upload.turn() {
            (Turn::Broken, _) => Failure::Client(StatusCode::BAD_REQUEST),
            _ => Failure::of(error),
        })
    }

    /// A short answer's body, when it can be asked for again.
    async fn take_whole(
        &self,
        server: &Server,
        timer: Pin<&mut Sleep>,
        body: Incoming,
    ) -> Result<Bytes, Failure> {
        let limit = usize::try_from(BUFFERED_BYTES).unwrap_or(usize::MAX);
        let whole = pin!(Limited::new(body, limit).collect());
        let whole = self
            .patience
            .wait(server, timer, whole, &Upload::done(), true)
            .await?;
        whole
            .map(http_body_util::Collected::to_bytes)
            .map_err(|_| Failure::Lost { hung: false })
    }

    /// What the client gets: without what is for one connection only, with its server's name.
    fn finish(
        &self,
        mut response: Response<ResponseBody>,
        server: usize,
        directed: bool,
        client_upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Response<ResponseBody> {
        let config = &self.shared.config;
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(http::header::UPGRADE).cloned();
        let server = &self.shared.servers[server];
        if headers::strip_hop_by_hop(response.headers_mut()) {
            server.announced_drain();
        }
        let name = &server.config.name;
        sticky::mark_response(
            response.headers_mut(),
            config.sticky,
            &config.cookie,
            name,
            directed,
        );
        if !switching {
            return response;
        }
        match (client_upgrade, protocol) {
            (Some(client), Some(protocol)) => {
                tunnel::ask(response.headers_mut(), protocol);
                tunnel::open(client, &mut response, config.timeouts.tunnel);
                response
            }
            _ => {
                count(&self.shared.failed);
                let sentence = "The server switched protocols unasked.";
                respond::problem(StatusCode::BAD_GATEWAY, sentence)
            }
        }
    }
}

fn content_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
