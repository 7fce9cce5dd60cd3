//! Random operations, compared with the memory back end after each step.

use super::random::Random;
use super::*;
use crate::memory::MemoryStore;

const STEPS: u64 = 400;
const SEEDS: u64 = 4;
const IDS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];

pub(super) async fn run(store: &dyn SessionStore) {
    for seed in 1..=SEEDS {
        let model = MemoryStore::new();
        let mut random = Random::new(seed);
        for step in 0..STEPS {
            let operation = random.commit(step);
            let expected = commit(&model, operation.clone()).await;
            let outcome = commit(store, operation.clone()).await;
            assert_eq!(outcome, expected, "seed {seed}, step {step}: {operation:?}");
            let id = IDS[random.below(IDS.len())];
            let known = Some(random.version());
            let (modelled, real) = (
                read(&model, key(id), known).await,
                read(store, key(id), known).await,
            );
            assert_eq!(real, modelled, "seed {seed}, step {step}: read {id}");
        }
        for id in IDS {
            let both = (
                commit(&model, delete(id)).await,
                commit(store, delete(id)).await,
            );
            assert_eq!(both.0, both.1);
        }
    }
}

impl Random {
    /// One of few versions, so that comparisons succeed often.
    fn version(&mut self) -> i64 {
        i64::try_from(self.draw() % 3).expect("a small number") + 1
    }

    fn commit(&mut self, step: u64) -> Commit {
        let id = IDS[self.below(IDS.len())];
        let new_id = IDS[self.below(IDS.len())];
        let access = START.plus(Duration::from_secs(self.draw() % (step + 1)));
        let written = SessionRecord {
            last_access: access,
            ..record(self.version())
        };
        let expected = self.version();
        match self.below(8) {
            0 | 1 => create(id, written),
            2 => delete(id),
            // An id is not given twice in life, so no two sessions have the same origin.
            3 if new_id != id => {
                let origin = Some(format!("origin{step}").into());
                let record = SessionRecord { origin, ..written };
                rename(id, new_id, expected, record)
            }
            4 => touch(id, access),
            _ => update(id, expected, written),
        }
    }
}
