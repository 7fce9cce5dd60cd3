//! Watchers of sessions: they are told when their session ends, and not before.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use seawall_session::{Presented, SessionManager};
use seawall_store::{Notice, NoticeSender, Notices, SessionStore, Timestamp};
use seawall_testing::history::Token;
use tokio::time::sleep;

use super::{faults::FaultyStore, random::Random};

/// The longest time until a watcher is told, when all is well again.
pub(crate) const TELL_LIMIT: Duration = Duration::from_secs(15);

/// Whom the sessions of a schedule belong to, so that the store can be asked for each of them.
pub(crate) fn principal(token: Token) -> String {
    format!("token:{token}")
}

/// A watcher, and whether it was told.
#[derive(Debug)]
struct Watcher {
    token: Token,
    /// The store of its node, which may have crashed.
    store: Arc<FaultyStore>,
    is_told: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watchers: Mutex<Vec<Watcher>>,
    broken: Mutex<Option<String>>,
}

impl Watchers {
    /// Watches the session of `token`, which a client presents. `now` is the node's clock.
    pub(crate) async fn watch(
        &self,
        token: Token,
        (manager, presented): (&SessionManager, &[Presented]),
        store: Arc<FaultyStore>,
        now: impl Fn() -> Timestamp,
    ) {
        let Ok(Some(watch)) = manager.watch(presented).await else {
            return;
        };
        let is_told = Arc::new(AtomicBool::new(false));
        self.watchers.lock().unwrap().push(Watcher {
            token,
            store: store.clone(),
            is_told: is_told.clone(),
        });
        watch.ended().await;
        is_told.store(true, Ordering::Relaxed);
        if is_there(&*store.inner, token, now()).await {
            let broken = format!("a watcher was told of the end of session {token}, which goes on");
            self.broken.lock().unwrap().get_or_insert(broken);
        }
    }

    /// Sees that all are told whose session is gone.
    pub(crate) async fn check(
        &self,
        store: &dyn SessionStore,
        now: Timestamp,
    ) -> Result<(), String> {
        let mut watched = std::mem::take(&mut *self.watchers.lock().unwrap());
        watched.retain(|watcher| !watcher.store.is_dead.load(Ordering::Relaxed));
        let mut gone = Vec::new();
        for watcher in watched {
            if !is_there(store, watcher.token, now).await {
                gone.push(watcher);
            }
        }
        sleep(TELL_LIMIT).await;
        let untold = gone
            .iter()
            .find(|watcher| !watcher.is_told.load(Ordering::Relaxed));
        if let Some(watcher) = untold {
            return Err(format!(
                "a watcher of session {} is not told of its end",
                watcher.token
            ));
        }
        self.broken.lock().unwrap().take().map_or(Ok(()), Err)
    }
}

async fn is_there(store: &dyn SessionStore, token: Token, now: Timestamp) -> bool {
    let principal = principal(token);
    let listed = store.list_by_principal(&principal, now).await;
    !listed.unwrap().is_empty()
}

/// How notices reach a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// They do.
    Faithful,
    /// Some are lost, late, repeated or false, and the connection breaks now and then.
    Faulty,
    /// The store sends none.
    None,
}

/// The notices of `store` as they reach a node.
pub(crate) fn reach(store: &dyn SessionStore, push: Push, random: Random) -> Option<Notices> {
    match push {
        Push::Faithful => store.notices(),
        Push::None => None,
        Push::Faulty => {
            let sender = NoticeSender::new(true);
            let reached = sender.subscribe();
            tokio::spawn(garble(store.notices()?, sender, random));
            Some(reached)
        }
    }
}

async fn garble(mut notices: Notices, sender: NoticeSender, random: Random) {
    while sender.has_listeners() {
        let notice = tokio::select! {
            notice = notices.next() => notice,
            () = sleep(Duration::from_secs(5)) => Notice::Missed,
        };
        match random.below(6) {
            0 | 1 => continue,
            2 => sleep(random.up_to(Duration::from_secs(2))).await,
            3 => sender.tell(notice.clone()),
            4 => {
                sender.set_live(false);
                sleep(random.up_to(Duration::from_secs(3))).await;
                sender.set_live(true);
            }
            _ => {}
        }
        sender.tell(notice);
    }
}
