//! The machine's own noise: what its host, or another program, takes away makes every latency
//! longer, whatever is measured.
//!
//! Source: Linux's `osnoise` tracer watches in the same way.

use std::{
    thread,
    time::{Duration, Instant},
};

/// A thread that does nothing but read the clock reads it far more often than this.
const SHORTEST_GAP: Duration = Duration::from_micros(100);

/// What threads on all cores saw while they did nothing but read the clock.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Noise {
    watched: Duration,
    lost: Duration,
    longest: Duration,
}

impl Noise {
    /// Keeps every core busy for so long.
    pub(crate) fn watch(duration: Duration) -> Self {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..cores)
                .map(|_| scope.spawn(|| Self::watch_one(duration)))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .fold(Self::default(), Self::and)
        })
    }

    fn watch_one(duration: Duration) -> Self {
        let begin = Instant::now();
        let (mut seen, mut last) = (Self::default(), begin);
        while last - begin < duration {
            let now = Instant::now();
            seen.gap(now - last);
            last = now;
        }
        seen.watched = last - begin;
        seen
    }

    fn gap(&mut self, gap: Duration) {
        if gap >= SHORTEST_GAP {
            self.lost += gap;
            self.longest = self.longest.max(gap);
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            watched: self.watched + other.watched,
            lost: self.lost + other.lost,
            longest: self.longest.max(other.longest),
        }
    }

    pub(crate) fn print(self) {
        let share = 100.0 * self.lost.as_secs_f64() / self.watched.as_secs_f64();
        println!(
            "\nBefore the turns, without load, others had the processors for {share:.1} % of the time, \
             for {:.1} ms at the longest.",
            self.longest.as_secs_f64() * 1e3
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_added_up_and_the_longest_is_kept() {
        let millis = Duration::from_millis;
        let mut seen = Noise::default();
        for gap in [millis(2), Duration::from_micros(5), millis(7)] {
            seen.gap(gap);
        }
        let both = seen.and(seen);
        assert_eq!((both.lost, both.longest), (millis(18), millis(7)));
    }

    #[test]
    fn all_cores_are_watched_for_as_long_as_was_asked() {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        let asked = Duration::from_millis(20);
        let seen = Noise::watch(asked);
        assert!(seen.watched.div_f64(cores as f64) >= asked, "{seen:?}");
        assert!(seen.lost <= seen.watched);
    }
}
