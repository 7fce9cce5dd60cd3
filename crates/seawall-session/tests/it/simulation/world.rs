//! One schedule: nodes that crash, a store that fails, and clients that use any node.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, header::COOKIE, header::SET_COOKIE};
use seawall_session::{
    Presented, SessionError, SessionHandle, SessionLayer, SessionManager, SessionSettings,
};
use seawall_store::{Batcher, BatcherSettings, Clock, SessionStore, Timestamp};
use seawall_testing::{
    BrowserState,
    history::{Action, Claim, Event, History, Outcome, Token},
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn};

use super::{
    faults::{FaultyStore, Weather},
    mutants::{Mutant, MutantStore},
    random::Random,
    watchers::{Push, Watchers, principal},
};

const BROWSERS: usize = 2;
const CLIENTS: usize = 5;
const ACTIONS: usize = 14;
pub(crate) const SKEW: Duration = Duration::from_secs(1);

/// The time since the start of the schedule, on a clock that is a little wrong.
#[derive(Debug)]
struct SkewedClock {
    start: Instant,
    ahead: Duration,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let began = Timestamp::from_millis(1_790_000_000_000);
        began.plus(self.start.elapsed() + self.ahead)
    }
}

struct Node {
    store: Arc<FaultyStore>,
    manager: SessionManager,
    sweeper: AbortHandle,
}

pub(crate) struct World {
    start: Instant,
    random: Random,
    store: Arc<MutantStore>,
    weather: Arc<Weather>,
    pub(crate) idle_timeout: Duration,
    renewal_timeout: Option<Duration>,
    clocks: Vec<Arc<SkewedClock>>,
    nodes: Mutex<Vec<Arc<Node>>>,
    browsers: Vec<Mutex<BrowserState>>,
    next_token: AtomicI64,
    history: Mutex<History>,
    push: Push,
    watchers: Watchers,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>) -> Arc<Self> {
        let random = Random::new(seed);
        let start = Instant::now();
        let outage = |random: &Random| {
            let from = start + random.up_to(Duration::from_secs(20));
            (from, from + random.up_to(Duration::from_secs(8)))
        };
        let weather = Weather {
            failure_in: [0, 30, 8][random.below(3)],
            outages: (0..random.below(3)).map(|_| outage(&random)).collect(),
            is_over: AtomicBool::new(false),
        };
        let clock = |random: &Random| {
            Arc::new(SkewedClock {
                start,
                ahead: random.up_to(SKEW),
            })
        };
        let world = Arc::new(Self {
            start,
            store: Arc::new(MutantStore::new(mutant, random.fork())),
            weather: Arc::new(weather),
            idle_timeout: Duration::from_secs([20, 1_800][random.below(2)]),
            renewal_timeout: [None, Some(Duration::from_secs(5))][random.below(2)],
            clocks: (0..2 + random.below(2)).map(|_| clock(&random)).collect(),
            nodes: Mutex::default(),
            browsers: (0..BROWSERS).map(|_| Mutex::default()).collect(),
            next_token: AtomicI64::new(1),
            history: Mutex::default(),
            push: [Push::Faithful, Push::Faulty, Push::None][random.below(3)],
            watchers: Watchers::default(),
            random,
        });
        let nodes = (0..world.clocks.len())
            .map(|index| world.start_node(index))
            .collect();
        *world.nodes.lock().unwrap() = nodes;
        world
    }

    fn start_node(self: &Arc<Self>, index: usize) -> Arc<Node> {
        let store = Arc::new(FaultyStore {
            inner: self.store.clone(),
            weather: self.weather.clone(),
            random: self.random.fork(),
            push: self.push,
            is_dead: AtomicBool::new(false),
        });
        let settings = SessionSettings {
            node: format!("node{index}").into(),
            idle_timeout: Some(self.idle_timeout),
            renewal_timeout: self.renewal_timeout,
            // A client whose answer is lost may come back with the old id much later.
            renewal_grace: Duration::from_secs(3_600),
            ..SessionSettings::default()
        };
        let linger = BatcherSettings {
            linger: false,
            ..BatcherSettings::default()
        };
        let clock = self.clocks[index].clone();
        let batcher = Batcher::spawn(store.clone(), &linger);
        let manager = SessionManager::new(batcher, clock.clone(), settings).unwrap();
        let sweeper = tokio::spawn(sweep(self.clone(), store.clone(), clock));
        Arc::new(Node {
            store,
            manager,
            sweeper: sweeper.abort_handle(),
        })
    }

    /// Runs the schedule to its end; what the clients saw.
    pub(crate) async fn run(self: Arc<Self>) -> History {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(self.clone().client(client % BROWSERS, self.random.fork()));
        }
        let chaos = tokio::spawn(self.clone().crash_nodes(self.random.fork()));
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        chaos.abort();
        self.weather.is_over.store(true, Ordering::Relaxed);
        sleep(Duration::from_secs(10)).await;
        for browser in 0..BROWSERS {
            self.act(browser, 0, Action::Read).await;
        }
        for node in &*self.nodes.lock().unwrap() {
            node.sweeper.abort();
        }
        std::mem::take(&mut *self.history.lock().unwrap())
    }

    /// Whether the watchers were told what they should be, and nothing else.
    pub(crate) async fn check_watchers(&self) -> Result<(), String> {
        let now = self.clocks[0].now();
        self.watchers.check(&*self.store, now).await
    }

    /// Watches the session that a client has just seen.
    fn watch(self: &Arc<Self>, node: usize, served: &Arc<Node>, token: Token, cookie: &str) {
        let (world, served) = (self.clone(), served.clone());
        let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())]);
        tokio::spawn(async move {
            let presented = Presented::all(&headers, "JSESSIONID");
            let (store, clock) = (served.store.clone(), world.clocks[node].clone());
            let client = (&served.manager, &*presented);
            world
                .watchers
                .watch(token, client, store, || clock.now())
                .await;
        });
    }

    async fn client(self: Arc<Self>, browser: usize, random: Random) {
        for _ in 0..ACTIONS {
            let pause = match random.below(20) {
                0 => Duration::from_secs(30),
                1..4 => Duration::from_secs(3),
                _ => Duration::from_millis(60),
            };
            sleep(random.up_to(pause)).await;
            let action = match random.below(20) {
                0 => Action::Invalidate,
                1 | 2 => Action::Rotate,
                3 => Action::Probe,
                4..10 => Action::Read,
                _ => Action::Increment,
            };
            let node = random.below(self.clocks.len());
            self.act(browser, node, action).await;
        }
    }

    /// Crashes nodes, and starts others in their place.
    async fn crash_nodes(self: Arc<Self>, random: Random) {
        loop {
            sleep(random.up_to(Duration::from_secs(20))).await;
            let index = random.below(self.clocks.len());
            let fresh = self.start_node(index);
            let crashed = std::mem::replace(&mut self.nodes.lock().unwrap()[index], fresh);
            crashed.store.is_dead.store(true, Ordering::Relaxed);
            crashed.sweeper.abort();
        }
    }

    async fn act(self: &Arc<Self>, browser: usize, node: usize, action: Action) {
        let before = self.browsers[browser].lock().unwrap().clone();
        let start = self.start.elapsed();
        let Some((cookie, meant)) = before.present(action, start) else {
            return;
        };
        let index = node;
        let node = self.nodes.lock().unwrap()[index].clone();
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let answer = request(&node.manager, cookie.as_deref(), action, token).await;
        // A node that crashed meanwhile has answered nobody.
        let answer = answer.filter(|_| !node.store.is_dead.load(Ordering::Relaxed));
        if let Some((got, set_cookie)) = &answer
            && action != Action::Probe
        {
            let mut browser = self.browsers[browser].lock().unwrap();
            browser.keep(
                self.start.elapsed(),
                before.cookie.as_deref(),
                action,
                got.map(|(token, _)| token),
                set_cookie.as_deref(),
            );
        }
        if let (Some((Some((seen, _)), _)), Action::Read, Some(cookie)) = (&answer, action, &cookie)
        {
            self.watch(index, &node, *seen, cookie);
        }
        let outcome = answer.map_or(Outcome::Unknown, |(got, _)| Outcome::Answered(got));
        self.history.lock().unwrap().events.push(Event {
            action,
            meant,
            start,
            end: self.start.elapsed(),
            outcome,
        });
    }
}

/// The answer of a node: the session and its count, and the cookie; `None` for an error.
async fn request(
    manager: &SessionManager,
    cookie: Option<&str>,
    action: Action,
    token: Token,
) -> Option<(Option<(Token, i64)>, Option<String>)> {
    let mut request = Request::get("/");
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    let work = service_fn(move |request: Request<()>| async move {
        handle(&request, action, token).await.map(Response::new)
    });
    let service = SessionLayer::new(manager.clone()).layer(work);
    let response = service.oneshot(request.body(()).unwrap()).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let cookie = response.headers().get(SET_COOKIE);
    let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
    Some((response.into_body(), cookie))
}

async fn handle(
    request: &Request<()>,
    action: Action,
    token: Token,
) -> Result<Option<(Token, i64)>, SessionError> {
    let handle = request.extensions().get::<SessionHandle>().unwrap();
    let session = handle.session().await?;
    let known: Option<Token> = session.get("token")?;
    let count: Option<i64> = session.get("count")?;
    let seen = known.zip(count);
    // Some handlers lose their patience before the store answers.
    let hurry = Duration::from_millis(token.unsigned_abs() % 60);
    match action {
        Action::Increment => {
            if known.is_none() {
                session.set("token", &token)?;
                session.set_principal(Some(principal(token).into()))?;
            } else {
                session.set("by", &token)?;
                let _ = timeout(hurry, session.save()).await;
            }
            let count = session
                .update("count", |count: Option<i64>| count.unwrap_or(0) + 1)
                .await?;
            Ok(Some((known.unwrap_or(token), count)))
        }
        Action::Invalidate => {
            insist(hurry, || session.invalidate()).await?;
            Ok(seen)
        }
        Action::Rotate => {
            insist(hurry, || session.rotate_id()).await?;
            Ok(seen)
        }
        Action::Probe | Action::Read => Ok(seen),
    }
}

/// Tries again and again, in a hurry at first.
async fn insist<W>(hurry: Duration, attempt: impl Fn() -> W) -> Result<(), SessionError>
where
    W: Future<Output = Result<(), SessionError>>,
{
    for _ in 0..3 {
        if let Ok(Ok(())) = timeout(hurry, attempt()).await {
            return Ok(());
        }
    }
    attempt().await
}

/// A node's sweeper, which notes what it claims.
async fn sweep(world: Arc<World>, store: Arc<FaultyStore>, clock: Arc<SkewedClock>) {
    loop {
        sleep(Duration::from_secs(1) + store.random.up_to(Duration::from_secs(3))).await;
        let Ok(claimed) = store.claim_expired(clock.now(), 100).await else {
            continue;
        };
        let tokens = claimed.iter().filter_map(|expired| {
            let record = expired.record.as_ref()?;
            record.attributes.get("token")?.as_i64()
        });
        let at = world.start.elapsed();
        let claims = tokens.map(|token| Claim { token, at });
        world.history.lock().unwrap().claims.extend(claims);
    }
}
