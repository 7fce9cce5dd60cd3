//! Listeners are told of everything once, in order.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use seawall_session::{
    Listeners, SessionEvent, SessionListener, SessionManager, SessionSettings, sweep::sweep,
};
use seawall_store::SessionKey;

use crate::support::{Browser, Watched, clock, node, settings};

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl SessionListener for Diary {
    fn on_event(&self, _session: &SessionKey, event: &SessionEvent<'_>) {
        let line = match event {
            SessionEvent::Bound {
                name,
                value,
                replaced,
            } => {
                let replaced = replaced.and_then(|value| value.as_i64());
                format!(
                    "bound {name} {:?} after {replaced:?}",
                    value.as_i64().unwrap()
                )
            }
            SessionEvent::Created => "created".to_owned(),
            SessionEvent::Expired { record } => {
                format!("expired with {}", record.unwrap().attributes.len())
            }
            SessionEvent::Invalidated => "invalidated".to_owned(),
            SessionEvent::Rotated { .. } => "rotated".to_owned(),
            SessionEvent::Unbound { name, value } => {
                format!("unbound {name} {:?}", value.as_i64().unwrap())
            }
        };
        self.0.lock().unwrap().push(line);
    }
}

/// Listens badly.
#[derive(Debug)]
struct Panics;

impl SessionListener for Panics {
    fn on_event(&self, _session: &SessionKey, _event: &SessionEvent<'_>) {
        panic!("a listener of the test panics");
    }
}

#[tokio::test]
async fn listeners_are_told_everything_in_order() {
    let (store, clock, diary) = (Watched::new(), clock(), Arc::new(Diary::default()));
    let listeners = Listeners::default()
        .with(Arc::new(Panics))
        .with(diary.clone());
    let managers: [SessionManager; 2] = ["node1", "node2"].map(|name| {
        let listened = SessionSettings {
            listeners: listeners.clone(),
            ..settings(name)
        };
        node(store.clone(), clock.clone(), listened)
    });
    let browser = Browser::default();
    browser.read(&managers[0]).await.unwrap();
    assert_eq!(diary.take(), [""; 0], "nothing happened to anything");
    browser.count(&managers[0]).await.unwrap();
    browser.count(&managers[1]).await.unwrap();
    let remove = |draft: &mut seawall_session::Draft<'_>| draft.remove("count");
    browser.visit(&managers[0], remove).await.unwrap();
    let told = [
        "created",
        "bound count 1 after None",
        "bound count 2 after Some(1)",
        "unbound count 2",
    ];
    assert_eq!(diary.take(), told);
    browser
        .visit(&managers[1], |draft| draft.invalidate())
        .await
        .unwrap();
    assert_eq!(diary.take(), ["invalidated"]);
    browser.count(&managers[0]).await.unwrap();
    clock.advance(Duration::from_secs(4 * 3_600));
    diary.take();
    let sweeps = tokio::join!(
        sweep(&*store, &*clock, &listeners),
        sweep(&*store, &*clock, &listeners)
    );
    assert_eq!(sweeps.0.unwrap() + sweeps.1.unwrap(), 1);
    assert_eq!(diary.take(), ["expired with 1"]);
}
