//! What happened lately, from counters that only ever grow. Pure: the time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How often a sample is taken, and how many are kept: five minutes.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
const SAMPLES: usize = 30;

/// Two counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Answers with status 500 and more.
    pub(crate) errors: u64,
}

/// The counters as they were in the last minutes.
#[derive(Debug)]
pub(crate) struct Recent {
    samples: VecDeque<(Instant, Counts)>,
}

impl Recent {
    /// Nothing has been counted at `started`.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            samples: VecDeque::from([(started, Counts::default())]),
        }
    }

    /// Takes note of the counters.
    pub(crate) fn sample(&mut self, now: Instant, counts: Counts) {
        self.samples.push_back((now, counts));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// What has been counted since the oldest sample, and how long that is.
    pub(crate) fn until(&self, now: Instant, counts: Counts) -> (Duration, Counts) {
        let (since, before) = self.samples.front().copied().unwrap_or((now, counts));
        let counted = Counts {
            requests: counts.requests.saturating_sub(before.requests),
            errors: counts.errors.saturating_sub(before.errors),
        };
        (now.saturating_duration_since(since), counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_five_minutes_is_forgotten() {
        let start = Instant::now();
        let counts = |requests, errors| Counts { requests, errors };
        let mut recent = Recent::new(start);
        assert_eq!(
            recent.until(start + Duration::from_secs(3), counts(9, 4)),
            (Duration::from_secs(3), counts(9, 4))
        );
        for turn in 1..=60 {
            recent.sample(start + SAMPLE_INTERVAL * turn, counts(u64::from(turn), 4));
        }
        let (time, counted) = recent.until(start + SAMPLE_INTERVAL * 60, counts(60, 4));
        assert_eq!(time, Duration::from_secs(290));
        assert_eq!(counted, counts(29, 0));
    }
}
