//! The access log: one line for each request, with the program's other logs.

use std::{net::IpAddr, sync::atomic::AtomicU64, time::Instant};

use http::{Method, Request, Response, Uri};
use http_body::Body;
use seawall_net::Refused;

use crate::{balancer::Shared, server::count};

/// What stands in the place of what a request did not have, as in HAProxy's and nginx' logs.
const NOTHING: &str = "-";

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// Every request.
    All,
    /// Those that ended with a status of 500 or more. What the parser refuses is not among them: it is
    /// the client's fault, whatever its status, and comes as often as a client likes.
    Errors,
    /// None.
    Off,
}

/// The status in the log of a request whose client left before it had an answer, as nginx has it.
const CLIENT_LEFT: u16 = 499;

/// A request that has no answer yet. When it is dropped without one, its client has left.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    log: AccessLog,
    entry: Option<Entry>,
    aborts: &'a AtomicU64,
    is_answered: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new<B>(shared: &'a Shared, request: &Request<B>, client: IpAddr) -> Self {
        let log = shared.config.access_log;
        Self {
            log,
            entry: Entry::of(log, request, client),
            aborts: &shared.aborts,
            is_answered: false,
        }
    }

    /// Writes the line, now that the head of the answer is known.
    pub(crate) fn answered<B: Body>(mut self, response: &Response<B>, server: Option<&str>) {
        self.is_answered = true;
        if let Some(entry) = self.entry.take() {
            let bytes = response.body().size_hint().exact();
            let server = server.unwrap_or(NOTHING);
            entry.write(self.log, response.status().as_u16(), bytes, server);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        count(self.aborts);
        if let Some(entry) = self.entry.take() {
            entry.write(self.log, CLIENT_LEFT, None, NOTHING);
        }
    }
}

/// A request whose line is still to be written.
#[derive(Debug)]
struct Entry {
    method: Method,
    uri: Uri,
    client: IpAddr,
    since: Instant,
}

impl Entry {
    fn of<B>(log: AccessLog, request: &Request<B>, client: IpAddr) -> Option<Self> {
        (log != AccessLog::Off).then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            client,
            since: Instant::now(),
        })
    }

    fn write(self, log: AccessLog, status: u16, bytes: Option<u64>, server: &str) {
        if log == AccessLog::Errors && status < 500 {
            return;
        }
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "seawall::access",
            client = %self.client,
            method = %self.method,
            path = shown_path(&self.uri),
            status,
            bytes,
            server,
            micros,
        );
    }
}

/// Writes the line of a request that was refused before its method and path were known.
pub(crate) fn write_refused(log: AccessLog, refused: &Refused) {
    if log != AccessLog::All {
        return;
    }
    tracing::info!(
        target: "seawall::access",
        client = %refused.client.ip(),
        method = NOTHING,
        path = NOTHING,
        status = refused.status.as_u16(),
        server = NOTHING,
        micros = u64::try_from(refused.took.as_micros()).unwrap_or(u64::MAX),
    );
}

/// The path without what may be secret: the query, and path parameters such as `;jsessionid=`.
fn shown_path(uri: &Uri) -> &str {
    let path = uri.path();
    path.split_once(';').map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_an_address_is_logged() {
        let shown = |uri: &'static str| shown_path(&Uri::from_static(uri)).to_owned();
        assert_eq!(shown("/shop/cart?token=hush"), "/shop/cart");
        assert_eq!(shown("/shop/cart;jsessionid=hush?a=1"), "/shop/cart");
    }

    #[test]
    fn only_a_log_that_is_on_costs_anything() {
        let request = Request::new(());
        let client = IpAddr::from([192, 0, 2, 1]);
        assert!(Entry::of(AccessLog::Off, &request, client).is_none());
        assert!(Entry::of(AccessLog::Errors, &request, client).is_some());
    }
}
