//! A client: it visits any node, and writes down what it did and saw.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{
    Request,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use seawall_testing::{
    BrowserState,
    history::{Action, Event, Outcome, Token},
};
use tokio::time::{sleep, timeout};

use crate::unanswered::{Reason, Unanswered};

/// After this time the client gives up. Longer than a node makes it wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// What the clients share.
pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) ports: Vec<u16>,
    pub(crate) browsers: Vec<Mutex<BrowserState>>,
    pub(crate) next_token: AtomicI64,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) unanswered: Unanswered,
    pub(crate) is_over: AtomicBool,
}

impl World {
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits, at most until it is over.
    async fn pause(&self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end && !self.is_over.load(Ordering::Relaxed) {
            sleep(
                end.saturating_sub(self.now())
                    .min(Duration::from_millis(200)),
            )
            .await;
        }
    }

    fn browser(&self, index: usize) -> std::sync::MutexGuard<'_, BrowserState> {
        self.browsers[index]
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

pub(crate) struct Visitor {
    world: Arc<World>,
    browser: usize,
    http: Client<HttpConnector, Empty<Bytes>>,
}

/// An answer: the session and its count, and the cookie.
type Answer = (Option<(Token, i64)>, Option<String>);

impl Visitor {
    pub(crate) fn new(world: Arc<World>, browser: usize) -> Self {
        // A request that is sent again by itself could count twice.
        let http = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build_http();
        Self {
            world,
            browser,
            http,
        }
    }

    /// Visits until it is over.
    pub(crate) async fn run(self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.world.is_over.load(Ordering::Relaxed) {
            let node = random.random_range(0..self.world.ports.len());
            self.act(node, action(&mut random)).await;
            // Now and then long enough for the session to expire.
            let pause = match random.random_range(0..1_000) {
                0 => 25_000,
                1..10 => 3_000,
                _ => 20,
            };
            let pause = Duration::from_millis(random.random_range(0..=pause));
            self.world.pause(pause).await;
        }
    }

    pub(crate) async fn act(&self, node: usize, action: Action) {
        let before = self.world.browser(self.browser).clone();
        let start = self.world.now();
        let Some((cookie, meant)) = before.present(action, start) else {
            return;
        };
        let request = self.request(node, action, cookie.as_deref());
        let answer = timeout(ANSWER_LIMIT, request).await;
        let answer = answer.unwrap_or(Err(Reason::Late));
        if let Err(reason) = answer {
            self.world.unanswered.count(reason);
        }
        if let Ok((got, set_cookie)) = &answer
            && action != Action::Probe
        {
            self.world.browser(self.browser).keep(
                self.world.now(),
                before.cookie.as_deref(),
                action,
                got.map(|(token, _)| token),
                set_cookie.as_deref(),
            );
        }
        let event = Event {
            action,
            meant,
            start,
            end: self.world.now(),
            outcome: answer.map_or(Outcome::Unknown, |(got, _)| Outcome::Answered(got)),
        };
        self.world
            .events
            .lock()
            .expect("nothing panics while it holds this lock")
            .push(event);
    }

    /// What a node answers.
    async fn request(
        &self,
        node: usize,
        action: Action,
        cookie: Option<&str>,
    ) -> Result<Answer, Reason> {
        let port = self.world.ports[node];
        let path = match action {
            Action::Increment => {
                let token = self.world.next_token.fetch_add(1, Ordering::Relaxed);
                format!("increment?token={token}")
            }
            Action::Invalidate => "invalidate".to_owned(),
            Action::Probe | Action::Read => "read".to_owned(),
            Action::Rotate => "rotate".to_owned(),
        };
        let mut request = Request::get(format!("http://127.0.0.1:{port}/{path}"));
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request
            .body(Empty::new())
            .expect("cookies that were received can be sent");
        let response = self.http.request(request).await?;
        if !response.status().is_success() {
            return Err(Reason::Status(response.status()));
        }
        let cookie = response.headers().get(SET_COOKIE);
        let cookie = cookie.and_then(|cookie| cookie.to_str().ok().map(str::to_owned));
        let body = response.into_body().collect().await;
        let body = body.map_err(|_| Reason::Broken)?.to_bytes();
        let text = std::str::from_utf8(&body).expect("nodes answer with text");
        let got = text
            .split_once(' ')
            .map(|(token, count)| Some((token.parse().ok()?, count.parse().ok()?)));
        Ok((got.flatten(), cookie))
    }
}

fn action(random: &mut impl Rng) -> Action {
    match random.random_range(0..100) {
        0..2 => Action::Invalidate,
        2..8 => Action::Rotate,
        8..11 => Action::Probe,
        11..40 => Action::Read,
        _ => Action::Increment,
    }
}
