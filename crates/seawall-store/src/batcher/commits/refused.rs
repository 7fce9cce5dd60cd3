//! Batches that the store refused.
//!
//! One commit that it cannot take must not drag the others along. So such a batch is sent again in
//! halves, and a half that is refused in halves again: few sends find the one among many. That is
//! done between the batches of what comes meanwhile, so that nobody waits for it but who must.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{super::outage::Waiters, Lane, ROUND, Sent};
use crate::store::StoreError;

/// Parts of refused batches.
#[derive(Default)]
pub(super) struct Refused {
    parts: VecDeque<Vec<Sent>>,
}

impl Refused {
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Takes those out to which `is_over` applies.
    pub(super) fn extract(&mut self, is_over: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        let parts = self.parts.iter_mut();
        let over = parts.flat_map(|part| part.extract_if(.., |sent| is_over(sent)));
        let over = over.collect();
        self.parts.retain(|part| !part.is_empty());
        over
    }
}

impl Lane {
    /// The store refuses the first `count`. Some of them may have taken effect, unless it is one.
    pub(super) fn reject(&mut self, count: usize, error: &StoreError) {
        let mut batch: Vec<Sent> = self.sent.drain(..count).collect();
        if batch.len() == 1 {
            let finish = |sent: Sent| sent.finish(&self.way, Err(error.clone()));
            return batch.into_iter().for_each(finish);
        }
        for sent in &mut batch {
            sent.uncertain = true;
        }
        let second = batch.split_off(batch.len() / 2);
        self.refused.parts.extend([batch, second]);
    }

    /// Sends parts of what was refused, for a round. Then what came meanwhile gets its turn.
    pub(super) async fn send_refused(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < ROUND
            && let Some(part) = self.refused.parts.pop_front()
        {
            let count = part.len();
            self.sent.splice(..0, part);
            self.send_first(count).await;
            self.look_after(&self.way.no_answer());
        }
    }
}
