//! The statistics: a page, HAProxy's CSV, Prometheus' metrics and a health report.

mod csv;
mod metrics;
mod page;

use std::{convert::Infallible, future::Ready, sync::Arc};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::Service};

use crate::{balancer::Shared, body::ResponseBody, health::Status, respond, server::Server};

/// The service of one connection to the statistics' address.
pub(crate) struct Statistics {
    shared: Arc<Shared>,
}

impl Statistics {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn respond(&self, path: &str) -> Response<ResponseBody> {
        let (content_type, text) = match path {
            "/" | "/stats" => ("text/html; charset=utf-8", page::page(&self.shared)),
            "/health" => ("application/json", health(&self.shared)),
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

fn health(shared: &Shared) -> String {
    let servers: Vec<_> = shared
        .servers
        .iter()
        .map(|server| {
            serde_json::json!({
                "name": &*server.config.name,
                "address": server.config.address.to_string(),
                "state": state(server),
                "suspect": server.is_suspect(),
            })
        })
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    serde_json::json!({ "version": version, "pid": pid, "servers": servers }).to_string()
}
