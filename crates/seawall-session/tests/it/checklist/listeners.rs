//! What listeners are told, and what not.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use seawall_session::{
    Listeners, Session, SessionEvent, SessionListener, SessionManager, SessionSettings,
    sweep::sweep,
};
use seawall_store::{ManualClock, SessionKey};

use super::request;
use crate::support::{Browser, Watched, clock, node, settings};

/// Writes down the names of events.
#[derive(Debug, Default)]
struct Names(Mutex<Vec<&'static str>>);

impl Names {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl SessionListener for Names {
    fn on_event(&self, _session: &SessionKey, event: &SessionEvent<'_>) {
        self.0.lock().unwrap().push(match event {
            SessionEvent::Bound { .. } => "bound",
            SessionEvent::Created => "created",
            SessionEvent::Expired { .. } => "expired",
            SessionEvent::Invalidated => "invalidated",
            SessionEvent::Rotated { .. } => "rotated",
            SessionEvent::Unbound { .. } => "unbound",
        });
    }
}

struct World {
    store: Arc<Watched>,
    clock: Arc<ManualClock>,
    names: Arc<Names>,
    listeners: Listeners,
    node: SessionManager,
    browser: Browser,
}

/// A node that is listened to, and a browser with a session there.
async fn listened() -> World {
    let (store, clock, names) = (Watched::new(), clock(), Arc::new(Names::default()));
    let listeners = Listeners::default().with(names.clone());
    let listened = SessionSettings {
        listeners: listeners.clone(),
        ..settings("node1")
    };
    let node = node(store.clone(), clock.clone(), listened);
    let browser = Browser::default();
    browser.count(&node).await.unwrap();
    assert_eq!(names.take(), ["created", "bound"]);
    World {
        store,
        clock,
        names,
        listeners,
        node,
        browser,
    }
}

#[tokio::test]
async fn setting_an_equal_value_tells_nobody_and_is_saved() {
    let world = listened().await;
    let before = world.store.commits.load(Ordering::SeqCst);
    let same = |draft: &mut seawall_session::Draft<'_>| draft.set("count", 1).unwrap();
    world.browser.visit(&world.node, same).await.unwrap();
    assert_eq!(world.names.take(), [""; 0]);
    assert_eq!(world.store.commits.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn setting_another_value_is_told() {
    let world = listened().await;
    let other = |draft: &mut seawall_session::Draft<'_>| draft.set("count", 7).unwrap();
    world.browser.visit(&world.node, other).await.unwrap();
    assert_eq!(world.names.take(), ["bound"]);
}

#[tokio::test]
async fn an_end_is_told_once() {
    let world = listened().await;
    let end = |session: Session| async move {
        session.invalidate().await.unwrap();
        session.invalidate().await.unwrap();
    };
    request(&world.node, &world.browser, end).await;
    assert_eq!(world.names.take(), ["invalidated"]);
}

#[tokio::test]
async fn a_new_id_is_told_and_is_no_new_session() {
    let world = listened().await;
    let rotate = |session: Session| async move { session.rotate_id().await.unwrap() };
    request(&world.node, &world.browser, rotate).await;
    assert_eq!(world.names.take(), ["rotated"]);
}

/// Jetty tells it when the session is asked for; here the sweep does, once in the cluster.
#[tokio::test]
async fn asking_for_an_expired_session_leaves_telling_to_the_sweep() {
    let world = listened().await;
    world.clock.advance(Duration::from_secs(4 * 3_600));
    let late = Browser::with_cookie(world.browser.cookie());
    assert_eq!(late.read(&world.node).await.unwrap(), None);
    assert_eq!(world.names.take(), [""; 0]);
    for expected in [vec!["expired"], vec![]] {
        sweep(&*world.store, &*world.clock, &world.listeners)
            .await
            .unwrap();
        assert_eq!(world.names.take(), expected);
    }
}

#[tokio::test]
async fn a_change_that_is_not_committed_is_not_told() {
    let world = listened().await;
    let change_and_end = |session: Session| async move {
        session.set("never", &1).unwrap();
        session.invalidate().await.unwrap();
    };
    request(&world.node, &world.browser, change_and_end).await;
    assert_eq!(world.names.take(), ["invalidated"]);
}
