//! Chance that can be repeated by its seed, shared by reference.

use std::{sync::Mutex, time::Duration};

use seawall_store::conformance::random;

#[derive(Debug)]
pub(crate) struct Random(Mutex<random::Random>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(random::Random::new(seed)))
    }

    /// A generator of its own, which goes on from here by itself.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.draw())
    }

    fn draw(&self) -> u64 {
        self.0.lock().unwrap().draw()
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        self.0.lock().unwrap().below(limit)
    }

    pub(crate) fn one_in(&self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn up_to(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap();
        Duration::from_micros(self.draw() % (micros + 1))
    }
}
