//! Which behaviours hold, and what is said of those that do not.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;

use crate::{SessionStore, Timestamp};

/// Collects what does not hold, so that an author sees all of it at once.
pub(super) struct Report {
    store: Arc<dyn SessionStore>,
    checked: usize,
    failures: Vec<String>,
}

/// Checks a behaviour: a call of an async function, whose name names it.
macro_rules! check {
    ($report:ident, $behaviour:ident($($argument:expr),*)) => {
        $report
            .check(stringify!($behaviour), $behaviour($($argument),*))
            .await
    };
}
pub(super) use check;

impl Report {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        let (checked, failures) = (0, Vec::new());
        Self {
            store,
            checked,
            failures,
        }
    }

    pub(super) async fn check(&mut self, name: &str, behaviour: impl Future<Output = ()>) {
        self.checked += 1;
        if let Err(panic) = AssertUnwindSafe(behaviour).catch_unwind().await {
            self.failures.push(format!("{name}: {}", text(&*panic)));
            self.sweep().await;
        }
    }

    /// Removes what a behaviour that failed has left, for the sake of the next ones. Immortal
    /// sessions stay, which harm nobody.
    async fn sweep(&self) {
        let far = Timestamp::from_millis(1 << 51);
        // A store that does not delete what it claims is not asked for ever.
        for _ in 0..10 {
            match self.store.claim_expired(far, 100).await {
                Ok(claimed) if claimed.len() == 100 => {}
                _ => return,
            }
        }
    }

    /// # Panics
    /// When a behaviour did not hold.
    pub(super) fn finish(self) {
        let Self {
            store,
            checked,
            failures,
        } = self;
        assert!(
            failures.is_empty(),
            "{}: {} of {checked} behaviours do not hold:\n- {}",
            store.description(),
            failures.len(),
            failures.join("\n- ")
        );
    }
}

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
}
