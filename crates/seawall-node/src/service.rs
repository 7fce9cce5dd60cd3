//! From a request to its response.

use std::{
    convert::Infallible,
    mem,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, HOST},
    request::Parts,
    uri::Authority,
};
use hyper::{body::Incoming, service::Service};

use crate::{
    admin,
    config::NodeConfig,
    health::{Health, OpenConnection},
    metrics::{self, METRICS_PATH, Sources},
    node::SharedCatalog,
    params::{self, Params},
    respond::{self, Body},
    webapp::{Catalog, PageRequest, Resource},
};

const HEALTH_PATH: &str = "/.seawall/health";
const FORWARDED_FOR: &str = "x-forwarded-for";
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// What all connections of a node share.
#[derive(Debug)]
pub(crate) struct Server {
    config: Arc<NodeConfig>,
    health: Arc<Health>,
    sources: Sources,
    catalog: SharedCatalog,
}

impl Server {
    pub(crate) fn new(
        config: Arc<NodeConfig>,
        health: Arc<Health>,
        sources: Sources,
        catalog: Catalog,
    ) -> Self {
        Self {
            config,
            health,
            sources,
            catalog: RwLock::new(Arc::new(catalog)),
        }
    }

    /// Serves another set of applications from now on.
    pub(crate) fn replace(&self, catalog: Catalog) {
        let mut served = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *served, Arc::new(catalog));
        // Many pages take their time to go; nobody waits for that.
        drop(served);
        drop(old);
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn respond(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        if let Some(sentence) = seawall_net::host_refusal(&request) {
            return respond::problem(StatusCode::BAD_REQUEST, sentence);
        }
        let catalog = self.catalog();
        if request.uri().path() == HEALTH_PATH {
            return self.health.respond(catalog.cached_sessions());
        }
        // Not for those who come through a balancer.
        let is_direct = !request.headers().contains_key(FORWARDED_FOR);
        if request.uri().path() == METRICS_PATH && is_direct {
            let snapshot = self.sources.snapshot(&self.health, catalog.statistics());
            return metrics::respond(&snapshot);
        }
        let token = self.config.admin_token.as_ref();
        if let Some(response) = admin::respond(&request, token, &self.health) {
            return response;
        }
        let _in_flight = self.health.enter();
        if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
            let sentence = "This server answers GET, HEAD and POST.";
            let mut response = respond::problem(StatusCode::METHOD_NOT_ALLOWED, sentence);
            response.headers_mut().insert(ALLOW, ALLOWED);
            return response;
        }
        match catalog.find(request.uri().path()) {
            Some(Resource::Page(page)) => match self.read(request, peer).await {
                Ok(request) => page.respond(&request).await,
                Err((status, sentence)) => respond::problem(status, sentence),
            },
            Some(Resource::File(file)) => file.respond(request.headers()).await,
            Some(Resource::Index) => catalog.index(),
            Some(Resource::Moved(mut location)) => {
                if let Some(query) = request.uri().query() {
                    location = format!("{location}?{query}");
                }
                respond::redirect(&location)
            }
            None => respond::problem(StatusCode::NOT_FOUND, "There is nothing at this address."),
        }
    }

    /// What a page gets to see of a request.
    async fn read(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<PageRequest, (StatusCode, &'static str)> {
        let (parts, body) = request.into_parts();
        let mut params = Params::new();
        params::add(
            &mut params,
            parts.uri.query().unwrap_or_default().as_bytes(),
        );
        if parts.method == Method::POST {
            let (limit, patience) = (self.config.form_limit, self.config.limits.idle_timeout);
            let form = params::read_form(&parts.headers, body, limit, patience).await?;
            params::add(&mut params, &form);
        }
        Ok(PageRequest {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            host: host(&parts).to_owned(),
            remote: self
                .config
                .trusted_proxies
                .client(peer.ip(), &parts.headers),
            params,
            headers: parts.headers,
        })
    }
}

/// The host that a request names. A target in absolute form counts before the field (RFC 9112,
/// section 3.2.2).
fn host(request: &Parts) -> &str {
    let target = request.uri.authority().map(Authority::as_str);
    let field = request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let named = target.or(field).unwrap_or_default();
    named.rsplit_once('@').map_or(named, |(_, host)| host)
}

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    server: Arc<Server>,
    peer: SocketAddr,
    _open: OpenConnection,
}

impl Connection {
    pub(crate) fn new(server: Arc<Server>, peer: SocketAddr) -> Self {
        let _open = server.health.open();
        Self {
            server,
            peer,
            _open,
        }
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (server, peer) = (self.server.clone(), self.peer);
        Box::pin(async move {
            let mut response = server.respond(request, peer).await;
            server.health.announce(response.headers_mut());
            Ok(response)
        })
    }
}
