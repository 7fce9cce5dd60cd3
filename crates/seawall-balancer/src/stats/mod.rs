//! The statistics: a page, HAProxy's CSV, Prometheus' metrics and a health report.

mod csv;
mod health;
mod metrics;
mod page;

use std::{cell::RefCell, convert::Infallible, future::Ready, rc::Rc, sync::Arc, time::Instant};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::Service};

use crate::{
    balancer::Shared,
    body::ResponseBody,
    health::Status,
    recent::{Recent, SAMPLE_INTERVAL},
    respond,
    server::Server,
};

/// The counters of the last minutes. All that look at the statistics are on one thread.
#[derive(Debug, Clone)]
pub(crate) struct Recently(Rc<RefCell<Recent>>);

impl Recently {
    /// Takes samples for as long as the balancer runs.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let recently = Self(Rc::new(RefCell::new(Recent::new(shared.started))));
        let (shared, recent) = (shared.clone(), recently.0.clone());
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SAMPLE_INTERVAL).await;
                let counts = health::counts(&shared);
                recent.borrow_mut().sample(Instant::now(), counts);
            }
        });
        recently
    }
}

/// The service of one connection to the statistics' address.
pub(crate) struct Statistics {
    shared: Arc<Shared>,
    recent: Recently,
}

impl Statistics {
    pub(crate) fn new(shared: Arc<Shared>, recent: Recently) -> Self {
        Self { shared, recent }
    }

    fn respond(&self, path: &str) -> Response<ResponseBody> {
        let (content_type, text) = match path {
            "/" | "/stats" => ("text/html; charset=utf-8", page::page(&self.shared)),
            "/health" => (
                "application/json",
                health::health(&self.shared, &self.recent.0.borrow()),
            ),
            "/metrics" => (
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::text(&self.shared),
            ),
            "/stats;csv" => ("text/plain; charset=utf-8", csv::csv(&self.shared)),
            _ => {
                let sentence = "See /stats, /stats;csv, /metrics or /health.";
                return respond::problem(StatusCode::NOT_FOUND, sentence);
            }
        };
        respond::with_type(StatusCode::OK, content_type, text)
    }
}

impl Service<Request<Incoming>> for Statistics {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        std::future::ready(Ok(self.respond(request.uri().path())))
    }
}

/// The state of a server in HAProxy's words.
fn state(server: &Server) -> &'static str {
    match server.status() {
        Status::Down => "DOWN",
        Status::Unknown => "no check",
        Status::Up if server.is_draining() => "DRAIN",
        Status::Up => "UP",
    }
}
