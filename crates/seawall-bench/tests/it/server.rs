//! A small session server that does what it is told, wrong things too.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    ClosesConnections,
    Correct,
    Fails,
    Hangs,
    LosesSessions,
    LosesUpdates,
    OtherPage,
    ServesStaleCounts,
    SlowOnce,
}

/// Which request in a row goes wrong.
const WRONG_ONE: u64 = 25;

#[derive(Debug, Default)]
struct State {
    requests: u64,
    sessions: u64,
    counts: HashMap<String, u64>,
}

pub(crate) struct Server {
    port: u16,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::with(behaviour, Arc::default()).await
    }

    /// Two servers with the same sessions.
    pub(crate) async fn start_two() -> (Self, Self) {
        let state: Arc<Mutex<State>> = Arc::default();
        let one = Self::with(Behaviour::Correct, state.clone()).await;
        (one, Self::with(Behaviour::Correct, state).await)
    }

    pub(crate) fn uri(&self) -> Uri {
        format!("http://127.0.0.1:{}/session-test/", self.port)
            .parse()
            .unwrap()
    }

    async fn with(behaviour: Behaviour, state: Arc<Mutex<State>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = state.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(answer(request, behaviour, state, port).await) }
                });
                let mut http = http1::Builder::new();
                http.keep_alive(behaviour != Behaviour::ClosesConnections);
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port }
    }
}

async fn answer(
    request: Request<Incoming>,
    behaviour: Behaviour,
    state: Arc<Mutex<State>>,
    port: u16,
) -> Response<Full<Bytes>> {
    let (wrong, count, id) = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        let wrong = state.requests.is_multiple_of(WRONG_ONE);
        let cookie = request
            .headers()
            .get(header::COOKIE)
            .and_then(|value| value.to_str().ok());
        let known = cookie
            .and_then(|cookie| cookie.strip_prefix("ID="))
            .map(str::to_owned);
        let forgets = wrong && behaviour == Behaviour::LosesSessions;
        let id = known.filter(|_| !forgets).unwrap_or_else(|| {
            state.sessions += 1;
            state.sessions.to_string()
        });
        let count = state.counts.entry(id.clone()).or_default();
        let shown = *count + 1;
        if !(wrong && behaviour == Behaviour::LosesUpdates) {
            *count = shown;
        }
        let stale = wrong && behaviour == Behaviour::ServesStaleCounts;
        (wrong, if stale { shown - 1 } else { shown }, id)
    };
    match behaviour {
        Behaviour::Fails if wrong => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
        Behaviour::Hangs if wrong => tokio::time::sleep(Duration::from_millis(100)).await,
        Behaviour::SlowOnce if count == 2 => tokio::time::sleep(Duration::from_millis(20)).await,
        Behaviour::OtherPage => return Response::new(Full::from("<h1>It works!</h1>")),
        _ => {}
    }
    let html = format!(
        "<ul><li><b>Server:</b> test</li><li><b>Port:</b> {port}</li>\
         <li><b>Visit Count:</b> {count}</li></ul>"
    );
    let mut response = Response::new(Full::from(html));
    let cookie = format!("ID={id}; Path=/").parse().unwrap();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
