//! Signs of life of the workers, for whoever restarts a process that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often each worker gives a sign of life.
const BEAT: Duration = Duration::from_millis(250);

/// Says whether every worker's runtime still turns. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse {
    beats: Arc<[AtomicBool]>,
}

impl Pulse {
    /// A pulse of so many workers, none of which has given a sign yet.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            beats: (0..workers.max(1))
                .map(|_| AtomicBool::new(false))
                .collect(),
        }
    }

    /// Gives a sign of life for a worker again and again. It runs as a task *of that worker*: one
    /// that hangs gives none.
    pub async fn beat(self, worker: usize) {
        let Some(beat) = self.beats.get(worker) else {
            return;
        };
        loop {
            beat.store(true, Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Whether every worker has given a sign since this was asked last.
    #[must_use]
    pub fn has_beaten(&self) -> bool {
        if !self.beats.iter().all(|beat| beat.load(Ordering::Relaxed)) {
            return false;
        }
        for beat in self.beats.iter() {
            beat.store(false, Ordering::Relaxed);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn one_worker_that_hangs_stops_the_pulse() {
        let pulse = Pulse::new(2);
        assert!(!pulse.has_beaten(), "nobody has started");
        let first = tokio::spawn(pulse.clone().beat(0));
        tokio::time::sleep(BEAT * 2).await;
        assert!(!pulse.has_beaten(), "one of two has started");
        let second = tokio::spawn(pulse.clone().beat(1));
        tokio::time::sleep(BEAT * 2).await;
        assert!(pulse.has_beaten());
        second.abort();
        let _ = second.await;
        let _ = pulse.has_beaten();
        for _ in 0..2 {
            tokio::time::sleep(BEAT * 2).await;
            assert!(!pulse.has_beaten(), "one of two hangs");
        }
        first.abort();
    }
}
