//! Listening to a server's notices, over a connection of its own that is made again after a loss.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use crate::{
    key::SessionKey,
    notices::{Notice, NoticeSender, Notices},
    store::StoreError,
};

/// How often a connection that only listens is tried. A server that does not answer within the same
/// time is taken to be away.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The pause before the next try to connect: it doubles, from and to.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The name of a notice that could be about any session.
const ANY: &str = "*";

/// A longer text (in bytes) is not ours.
const LONGEST_TEXT: usize = 1 << 20;

/// How a back end listens.
pub(crate) trait Listen: fmt::Debug + Send + Sync + 'static {
    /// Connects, and tells `notices` what comes, until the connection is lost or nobody listens.
    fn listen(&self, notices: &NoticeSender)
    -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The task that listens. It runs while there are subscribers.
#[derive(Debug)]
pub(crate) struct Listener<L> {
    way: Arc<L>,
    notices: NoticeSender,
    description: Arc<str>,
    is_running: Mutex<bool>,
}

impl<L: Listen> Listener<L> {
    pub(crate) fn new(way: Arc<L>, description: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            way,
            notices: NoticeSender::new(false),
            description,
            is_running: Mutex::new(false),
        })
    }

    /// Another subscriber. The first one starts the task, on the current tokio runtime.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Notices {
        let mut is_running = self.is_running();
        let notices = self.notices.subscribe();
        if !*is_running {
            *is_running = true;
            tokio::spawn(Running(self.clone()).run());
        }
        notices
    }

    fn is_running(&self) -> MutexGuard<'_, bool> {
        self.is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the task may end, because nobody listens. Nobody begins to meanwhile.
    fn is_over(&self) -> bool {
        let mut is_running = self.is_running();
        *is_running = self.notices.has_listeners();
        !*is_running
    }

    async fn listen(&self) {
        let (mut pause, mut has_warned) = (SHORTEST_PAUSE, false);
        loop {
            let result = self.way.listen(&self.notices).await;
            if self.notices.set_live(false) {
                (pause, has_warned) = (SHORTEST_PAUSE, false);
            }
            if self.is_over() {
                return;
            }
            if let Err(error) = result
                && !std::mem::replace(&mut has_warned, true)
            {
                tracing::warn!(
                    store = %self.description, %error,
                    "the store sends no notices now; watched sessions are looked for every second"
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Takes note when the task ends, even with its runtime.
struct Running<L: Listen>(Arc<Listener<L>>);

impl<L: Listen> Running<L> {
    async fn run(self) {
        self.0.listen().await;
    }
}

impl<L: Listen> Drop for Running<L> {
    fn drop(&mut self) {
        *self.0.is_running() = false;
        self.0.notices.set_live(false);
    }
}

/// Probes a connection until it does not answer in time, which is an error, or nobody listens.
pub(crate) async fn probe<E, F>(
    notices: &NoticeSender,
    mut ask: impl FnMut() -> F,
    no_answer: impl FnOnce(Duration) -> E,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    while notices.has_listeners() {
        sleep(PROBE_INTERVAL).await;
        match timeout(PROBE_INTERVAL, ask()).await {
            Ok(answer) => answer?,
            Err(_) => return Err(no_answer(PROBE_INTERVAL)),
        }
    }
    Ok(())
}

/// Sessions as texts to send, of at most `size` bytes each: a line for each session. When that would
/// be more than `count` texts, one that could be about any session.
#[cfg(feature = "postgres")]
pub(crate) fn encode(sessions: &[SessionKey], size: usize, count: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    for line in sessions.iter().map(SessionKey::to_text) {
        let full = texts
            .last()
            .is_none_or(|text| text.len() + line.len() >= size);
        if full || line.len() > size {
            texts.push(String::new());
        }
        if texts.len() > count || line.len() > size {
            return vec![ANY.to_owned()];
        }
        if let Some(text) = texts.last_mut() {
            text.push_str(&line);
            text.push('\n');
        }
    }
    texts.retain(|text| !text.is_empty());
    texts
}

/// What a text says. Lines that name no session are left out: anybody may have sent it.
pub(crate) fn decode(text: &str) -> Notice {
    if text == ANY || text.len() > LONGEST_TEXT {
        return Notice::Missed;
    }
    Notice::Changed(text.lines().filter_map(SessionKey::from_text).collect())
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    fn keys(count: usize) -> Vec<SessionKey> {
        let key = |index| SessionKey {
            id: format!("{index:043}").into(),
            context: "_a|b%7C".into(),
            virtual_host: "0.0.0.0".into(),
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn notices_come_back_in_pieces() {
        for count in [0, 1, 7, 400] {
            let keys = keys(count);
            let texts = encode(&keys, 1_000, 100);
            assert!(texts.iter().all(|text| text.len() <= 1_000));
            let mut back = Vec::new();
            for text in &texts {
                match decode(text) {
                    Notice::Changed(keys) => back.extend_from_slice(&keys),
                    Notice::Missed => panic!("{text}"),
                }
            }
            assert_eq!(back, keys);
        }
    }

    #[test]
    fn too_many_sessions_are_any() {
        assert_eq!(encode(&keys(400), 1_000, 3), [ANY]);
        assert_eq!(encode(&keys(1), 10, 3), [ANY]);
        assert_eq!(decode(ANY), Notice::Missed);
    }

    #[test]
    fn what_names_no_session_is_left_out() {
        assert_eq!(decode("\nhello|\n|"), Notice::Changed(Arc::from([])));
    }
}
