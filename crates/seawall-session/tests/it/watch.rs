//! Answers that last as long as their session: they end when it ends, on whichever node.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Path, http::StatusCode, routing::get};
use futures_util::stream;
use http::{Request, header::COOKIE, header::SET_COOKIE};
use seawall_session::{
    Consistency, Listeners, Session, SessionError, SessionLayer, SessionManager, SessionSettings,
    sweep::sweep,
};
use seawall_store::{SessionStore, StoreUrl, SystemClock};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, TestRedisCluster, TestRedisSentinel};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;

use crate::support::{Browser, node, settings};

/// How soon an answer ends that its store tells about, and one for which the node looks itself.
const PUSHED: Duration = Duration::from_secs(1);
const POLLED: Duration = Duration::from_secs(2);

/// Something is wrong after this time, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(30);

const ROUNDS: usize = 5;

async fn log_in(session: Session, Path(name): Path<String>) -> Result<(), SessionError> {
    session.log_in(name).await
}

async fn log_out(session: Session) -> Result<(), SessionError> {
    session.invalidate().await
}

async fn rotate(session: Session) -> Result<(), SessionError> {
    session.rotate_id().await
}

async fn revoke_others(session: Session) -> Result<String, SessionError> {
    Ok(session.revoke_others().await?.to_string())
}

/// An answer that ends with its session.
async fn stay(session: Session) -> Body {
    Body::from_stream(stream::once(async move {
        session.ended().await;
        Ok::<_, std::io::Error>("ended")
    }))
}

/// A node that serves over TCP, with connections of its own to the store.
struct Node {
    store: Arc<dyn SessionStore>,
    manager: SessionManager,
    application: Router,
    address: String,
    server: AbortHandle,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Node {
    async fn start(url: &str, settings: SessionSettings) -> Self {
        let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
        let manager = node(store.clone(), Arc::new(SystemClock), settings);
        let application = Router::new()
            .route("/log-in/{name}", get(log_in))
            .route("/log-out", get(log_out))
            .route("/rotate", get(rotate))
            .route("/revoke-others", get(revoke_others))
            .route("/stay", get(stay))
            .layer(SessionLayer::new(manager.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = axum::serve(listener, application.clone());
        let server = tokio::spawn(async move { serving.await.unwrap() }).abort_handle();
        Self {
            store,
            manager,
            application,
            address,
            server,
        }
    }

    async fn start_two(url: &str) -> [Self; 2] {
        [
            Self::start(url, settings("node1")).await,
            Self::start(url, settings("node2")).await,
        ]
    }

    async fn get(&self, browser: &Browser, path: &str) -> String {
        let mut request = Request::get(path);
        if let Some(cookie) = browser.cookie() {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.application.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        browser.keep(response.headers().get(SET_COOKIE));
        let body = axum::body::to_bytes(response.into_body(), 1_024).await;
        String::from_utf8(body.unwrap().to_vec()).unwrap()
    }

    async fn logged_in(&self, name: &str) -> Browser {
        let browser = Browser::default();
        self.get(&browser, &format!("/log-in/{name}")).await;
        browser
    }

    /// Begins an answer that lasts.
    async fn stay(&self, browser: &Browser) -> Stay {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let cookie = browser.cookie().unwrap();
        let request = format!(
            "GET /stay HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{head:?}");
        Stay(stream)
    }
}

/// An answer that goes on until its session ends.
struct Stay(TcpStream);

impl Stay {
    fn is_open(&self) -> bool {
        let mut byte = [0];
        let read = self.0.try_read(&mut byte);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Waits for the end; how long that took.
    async fn end(mut self) -> Duration {
        let (began, mut rest) = (Instant::now(), String::new());
        let read = timeout(LIMIT, self.0.read_to_string(&mut rest)).await;
        read.expect("the answer goes on after the end of its session")
            .unwrap();
        assert!(rest.contains("ended"), "{rest}");
        began.elapsed()
    }
}

/// Logs out on one node while an answer goes on on the other: several times, of which most are
/// quick. The others may have met a busy machine.
async fn log_outs_end_answers(nodes: &[Node; 2], soon: Duration) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let browser = nodes[0].logged_in("user:42").await;
        let (near, far) = (nodes[0].stay(&browser).await, nodes[1].stay(&browser).await);
        nodes[0].get(&browser, "/log-out").await;
        let (near, far) = tokio::join!(near.end(), far.end());
        times[0].push(near);
        times[1].push(far);
    }
    for (times, soon) in times.iter_mut().zip([PUSHED, soon]) {
        times.sort();
        assert!(times[ROUNDS / 2] < soon, "it took {times:?}");
    }
}

/// A session goes on when it gets another id, and ends as any other, even for one who knows only
/// the first id.
async fn rotations_go_on(nodes: &[Node; 2]) {
    let browser = nodes[0].logged_in("user:42").await;
    let answer = nodes[1].stay(&browser).await;
    for turn in 0..3 {
        nodes[turn % 2].get(&browser, "/rotate").await;
    }
    // When the end of another session has been noticed, the rotations have been too.
    let other = nodes[0].logged_in("user:43").await;
    let other_answer = nodes[1].stay(&other).await;
    nodes[0].get(&other, "/log-out").await;
    other_answer.end().await;
    assert!(answer.is_open(), "a rotation is not an end");
    nodes[0].get(&browser, "/log-out").await;
    answer.end().await;
}

async fn revocations_end_answers(nodes: &[Node; 2]) {
    let (phone, laptop) = (
        nodes[0].logged_in("user:44").await,
        nodes[1].logged_in("user:44").await,
    );
    let answers = [
        nodes[1].stay(&phone).await,
        nodes[0].stay(&laptop).await,
        nodes[1].stay(&laptop).await,
    ];
    assert_eq!(nodes[0].get(&phone, "/revoke-others").await, "1");
    let [own, near, far] = answers;
    tokio::join!(near.end(), far.end());
    assert!(own.is_open(), "the session of the one who revokes");
    let revoked = nodes[1].manager.revoke_all("user:44", None).await.unwrap();
    assert_eq!(revoked, 1);
    own.end().await;
}

async fn expiries_end_answers(url: &str) {
    let short = SessionSettings {
        idle_timeout: Some(Duration::from_secs(2)),
        ..settings("node3")
    };
    let node = Node::start(url, short).await;
    let browser = node.logged_in("user:45").await;
    let answer = node.stay(&browser).await;
    let began = Instant::now();
    let ended = answer.end();
    let swept = async {
        while sweep(&*node.store, &SystemClock, &Listeners::default())
            .await
            .unwrap()
            == 0
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(ended, swept);
    assert!(began.elapsed() > Duration::from_secs(1), "it ended early");
}

async fn answers_end_with_their_session(url: &str, soon: Duration) {
    let nodes = Node::start_two(url).await;
    log_outs_end_answers(&nodes, soon).await;
    rotations_go_on(&nodes).await;
    revocations_end_answers(&nodes).await;
    expiries_end_answers(url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_postgresql() {
    let server = TestPostgres::start();
    answers_end_with_their_session(&server.url(), PUSHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_redis() {
    let server = TestRedis::start();
    answers_end_with_their_session(&server.url(), PUSHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_a_redis_cluster() {
    let server = TestRedisCluster::start();
    answers_end_with_their_session(&server.url(), PUSHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_redis_with_a_sentinel() {
    let servers = TestRedisSentinel::start();
    answers_end_with_their_session(&servers.url(), PUSHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_mariadb() {
    let server = TestMariaDb::start();
    answers_end_with_their_session(&server.url(), POLLED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_with_their_session_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    answers_end_with_their_session(&url, POLLED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_while_postgresql_cannot_tell() {
    const LISTENING: &str = "FROM pg_stat_activity WHERE application_name = 'seawall notices'";
    let mut server = TestPostgres::start();
    let nodes = Node::start_two(&server.url()).await;
    log_outs_end_answers(&nodes, PUSHED).await;
    for _ in 0..ROUNDS {
        let browser = nodes[0].logged_in("user:42").await;
        let answer = nodes[1].stay(&browser).await;
        let cut = server.query(&format!(
            "SELECT count(pg_terminate_backend(pid)) {LISTENING}"
        ));
        nodes[0].get(&browser, "/log-out").await;
        answer.end().await;
        assert_ne!(cut, "0", "nobody listened");
        until(|| server.query(&format!("SELECT count(*) {LISTENING}")) == "2").await;
    }
    let browser = nodes[0].logged_in("user:42").await;
    let answer = nodes[1].stay(&browser).await;
    server.kill();
    server.start_again();
    nodes[0].get(&browser, "/log-out").await;
    answer.end().await;
    log_outs_end_answers(&nodes, PUSHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_end_while_redis_cannot_tell() {
    let server = TestRedis::start();
    let nodes = Node::start_two(&server.url()).await;
    log_outs_end_answers(&nodes, PUSHED).await;
    let listening = || server.command(&["pubsub", "numsub", "seawall:notices"]);
    for _ in 0..ROUNDS {
        let browser = nodes[0].logged_in("user:42").await;
        let answer = nodes[1].stay(&browser).await;
        let cut = server.command(&["client", "kill", "type", "pubsub"]);
        nodes[0].get(&browser, "/log-out").await;
        answer.end().await;
        assert_ne!(cut, "0", "nobody listened");
        until(|| listening().ends_with('2')).await;
    }
    // A user who may neither publish nor subscribe; Redis ends what is subscribed already.
    server.command(&["acl", "setuser", "default", "resetchannels"]);
    until(|| listening().ends_with('0')).await;
    log_outs_end_answers(&nodes, POLLED).await;
    rotations_go_on(&nodes).await;
}

async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "it does not come to that");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn log_outs_are_seen_by_those_who_trust(url: &str) {
    let trusting = |name| SessionSettings {
        consistency: Consistency::Sticky,
        sticky_trust: Duration::from_secs(3_600),
        ..settings(name)
    };
    let nodes = [
        Node::start(url, trusting("node1")).await,
        Node::start(url, trusting("node2")).await,
    ];
    for _ in 0..ROUNDS {
        let browser = Browser::default();
        browser.count(&nodes[1].manager).await.unwrap();
        let thief = Browser::with_cookie(browser.cookie());
        assert_eq!(thief.read(&nodes[1].manager).await.unwrap(), Some(1));
        nodes[0].get(&browser, "/log-out").await;
        let began = Instant::now();
        while thief.read(&nodes[1].manager).await.unwrap().is_some() {
            assert!(began.elapsed() < LIMIT, "a dead session is still trusted");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sticky_nodes_see_log_outs_at_once_on_postgresql() {
    log_outs_are_seen_by_those_who_trust(&TestPostgres::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sticky_nodes_see_log_outs_at_once_on_redis() {
    log_outs_are_seen_by_those_who_trust(&TestRedis::start().url()).await;
}
