//! One session id for several applications, with contents of their own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use seawall_session::{
    Draft, Listeners, SessionError, SessionEvent, SessionHandle, SessionLayer, SessionListener,
    SessionManager, SessionSettings,
};
use seawall_store::{ManualClock, SessionKey, SessionStore, StoreUrl, SystemClock};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, TestRedisCluster};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Browser, Watched, clock, node, settings};

fn shared(node: &str) -> SessionSettings {
    SessionSettings {
        shared_id: true,
        context_path: "/shop".into(),
        ..settings(node)
    }
}

/// The shop and the forum of a node.
fn applications(shop: SessionManager) -> [SessionManager; 2] {
    let forum = shop.application("/forum").unwrap();
    [shop, forum]
}

/// Two nodes with a shop and a forum each.
fn two_nodes(store: &Arc<Watched>, clock: &Arc<ManualClock>) -> [[SessionManager; 2]; 2] {
    ["node1", "node2"].map(|name| applications(node(store.clone(), clock.clone(), shared(name))))
}

#[tokio::test]
async fn applications_share_the_id_and_not_the_contents() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let [[shop, forum], [other_shop, other_forum]] = &nodes;
    let browser = Browser::default();
    browser.count(shop).await.unwrap();
    let cookie = browser.cookie();
    assert_eq!(browser.read(forum).await.unwrap(), None);
    assert_eq!(browser.count(forum).await.unwrap(), 1);
    assert_eq!(browser.count(forum).await.unwrap(), 2);
    assert_eq!(browser.cookie(), cookie, "it is the same session");
    assert_eq!(browser.count(other_shop).await.unwrap(), 2);
    assert_eq!(browser.read(other_forum).await.unwrap(), Some(2));
    let names = |draft: &mut Draft<'_>| draft.attributes().map(|(n, _)| n.to_owned()).collect();
    let names: Vec<String> = browser.visit(other_forum, names).await.unwrap();
    assert_eq!(names, ["count"]);
    browser
        .visit(forum, |draft| draft.remove("count"))
        .await
        .unwrap();
    assert_eq!(browser.read(other_shop).await.unwrap(), Some(2));
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_logout_of_one_application_is_a_logout_of_all() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    for sessions in nodes.iter().flatten() {
        browser.count(sessions).await.unwrap();
    }
    let old = browser.cookie();
    browser
        .visit(&nodes[1][1], |draft| draft.invalidate())
        .await
        .unwrap();
    for sessions in nodes.iter().flatten() {
        let thief = Browser::with_cookie(old.clone());
        assert_eq!(thief.read(sessions).await.unwrap(), None, "P4");
        assert_eq!(thief.count(sessions).await.unwrap(), 1);
        assert_ne!(thief.cookie(), old, "an id that is dead was adopted");
    }
}

#[tokio::test]
async fn a_new_id_is_new_for_all_applications() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    for sessions in nodes.iter().flatten() {
        browser.count(sessions).await.unwrap();
    }
    let old = browser.cookie();
    let rotate = service_fn(|request: Request<()>| async move {
        let handle = request.extensions().get::<SessionHandle>().unwrap();
        handle.session().await?.rotate_id().await?;
        Ok::<_, SessionError>(Response::new(()))
    });
    let request = Request::get("/").header(COOKIE, old.clone().unwrap());
    let service = SessionLayer::new(nodes[0][1].clone()).layer(rotate);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    browser.keep(response.headers().get(SET_COOKIE));
    assert_ne!(browser.cookie(), old);
    for sessions in nodes.iter().flatten() {
        assert_eq!(browser.read(sessions).await.unwrap(), Some(2));
        let thief = Browser::with_cookie(old.clone());
        assert_eq!(thief.read(sessions).await.unwrap(), None, "P8");
    }
}

#[tokio::test]
async fn unknown_ids_are_not_adopted_by_any_application() {
    let (store, clock) = (Watched::new(), clock());
    let [shop, forum] = applications(node(store, clock, shared("node1")));
    for sessions in [&forum, &shop] {
        let forged = "JSESSIONID=AAAAAAAAAAAAAAAAAAAAAA.node1".to_owned();
        let browser = Browser::with_cookie(Some(forged));
        browser.count(sessions).await.unwrap();
        assert!(!browser.cookie().unwrap().contains("AAAAAAAAAAAAAAAAAAAAAA"));
    }
}

#[tokio::test]
async fn ids_are_shared_only_if_that_is_set() {
    let (store, clock) = (Watched::new(), clock());
    let alone = node(store, clock, settings("node1"));
    let error = alone.application("/forum").unwrap_err().to_string();
    assert!(error.contains("session.shared_id"), "{error}");
}

/// Writes down what it is told, with the application that it is told of.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<String>>);

impl SessionListener for Diary {
    fn on_event(&self, session: &SessionKey, event: &SessionEvent<'_>) {
        let what = match event {
            SessionEvent::Bound { name, .. } => format!("bound {name}"),
            SessionEvent::Unbound { name, .. } => format!("unbound {name}"),
            SessionEvent::Created => "created".to_owned(),
            SessionEvent::Invalidated => "invalidated".to_owned(),
            other => format!("{other:?}"),
        };
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {what}", session.context));
    }
}

#[tokio::test]
async fn listeners_are_told_of_the_application_once() {
    let (store, clock, diary) = (Watched::new(), clock(), Arc::new(Diary::default()));
    let listened = SessionSettings {
        listeners: Listeners::default().with(diary.clone()),
        ..shared("node1")
    };
    let [shop, forum] = applications(node(store, clock, listened));
    let browser = Browser::default();
    browser.count(&shop).await.unwrap();
    browser.count(&forum).await.unwrap();
    browser
        .visit(&shop, |draft| draft.remove("count"))
        .await
        .unwrap();
    browser
        .visit(&forum, |draft| draft.invalidate())
        .await
        .unwrap();
    let told = [
        "* created",
        "_shop bound count",
        "_forum bound count",
        "_shop unbound count",
        "* invalidated",
    ];
    assert_eq!(*diary.0.lock().unwrap(), told);
}

/// The forum writes its first attribute, on another node, while the shop ends the session.
async fn a_logout_is_final_for_an_application_that_just_comes(url: &str) {
    let mut nodes = Vec::new();
    for name in ["node1", "node2"] {
        let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
        nodes.push(applications(node(
            store,
            Arc::new(SystemClock),
            shared(name),
        )));
    }
    for round in 0..60_u64 {
        let browser = Browser::default();
        browser.count(&nodes[0][0]).await.unwrap();
        let old = browser.cookie();
        let [leaver, comer] = [0; 2].map(|_| Browser::with_cookie(old.clone()));
        let (shop, forum) = (&nodes[0][0], &nodes[1][1]);
        let ending = leaver.visit(shop, |draft| draft.invalidate());
        let coming = async {
            sleep(Duration::from_micros(round * 40)).await;
            comer.count(forum).await
        };
        match round {
            0 => {
                coming.await.unwrap();
                ending.await.unwrap();
            }
            1 => {
                ending.await.unwrap();
                coming.await.unwrap();
            }
            _ => {
                tokio::try_join!(ending, coming).unwrap();
            }
        }
        let id = |cookie: Option<String>| cookie.unwrap().split_once('.').unwrap().0.to_owned();
        let joined = id(comer.cookie()) == id(old.clone());
        assert!(round != 0 || joined, "it came first");
        assert!(round != 1 || !joined, "it came last");
        for sessions in nodes.iter().flatten() {
            let thief = Browser::with_cookie(old.clone());
            let read = thief.read(sessions).await.unwrap();
            assert_eq!(read, None, "P4 in round {round}");
        }
        if !joined {
            assert_eq!(comer.read(&nodes[0][1]).await.unwrap(), Some(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let url = format!("sqlite:{}", file.display());
    a_logout_is_final_for_an_application_that_just_comes(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_on_postgresql() {
    let server = TestPostgres::start();
    a_logout_is_final_for_an_application_that_just_comes(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_on_mariadb() {
    let server = TestMariaDb::start();
    a_logout_is_final_for_an_application_that_just_comes(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_on_redis() {
    let server = TestRedis::start();
    a_logout_is_final_for_an_application_that_just_comes(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_on_a_redis_cluster() {
    let server = TestRedisCluster::start();
    a_logout_is_final_for_an_application_that_just_comes(&server.url()).await;
}
