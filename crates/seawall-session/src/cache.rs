//! This node's copies, bounded by their number and by the memory that they take.
//!
//! One weight keeps both bounds: a copy weighs the bytes that it takes, but at least the share of
//! them that one of the allowed number has. What is evicted is only forgotten here: a commit that is
//! under way holds its copy, and so does every request that works on it.

use std::{convert::Infallible, mem::size_of, sync::Arc, sync::atomic::Ordering::Relaxed};

use quick_cache::{
    DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use seawall_store::{
    Attributes, SessionKey, SessionRecord, Value, Version, Writers, statistics::Counter,
};

use crate::{cached::Cached, settings::SessionSettings};

/// This node's copies of sessions.
#[derive(Debug)]
pub(crate) struct SessionCache {
    copies: Cache<SessionKey, Copy, Weigher, DefaultHashBuilder, CountEvictions>,
    /// What a copy weighs at least.
    share: u64,
    evictions: Arc<Counter>,
}

/// A copy, and what it weighs in the cache. That must not change while it is there.
#[derive(Debug, Clone)]
struct Copy {
    cached: Arc<Cached>,
    weight: u64,
}

impl SessionCache {
    pub(crate) fn new(settings: &SessionSettings) -> Self {
        let (number, bytes) = (settings.cache_capacity, settings.cache_bytes as u64);
        let capacity = if number == 0 { 0 } else { bytes };
        let options = OptionsBuilder::new()
            .shards(shards(settings))
            .estimated_items_capacity(number.max(1))
            .weight_capacity(capacity)
            .build()
            .expect("number and weight are given");
        let evictions = Arc::new(Counter::default());
        let copies = Cache::with_options(
            options,
            Weigher,
            DefaultHashBuilder::default(),
            CountEvictions(evictions.clone()),
        );
        Self {
            copies,
            share: (bytes / number.max(1) as u64).max(1),
            evictions,
        }
    }

    pub(crate) fn get(&self, key: &SessionKey) -> Option<Arc<Cached>> {
        self.copies.get(key).map(|copy| copy.cached)
    }

    /// A copy, without its counting as used.
    pub(crate) fn peek(&self, key: &SessionKey) -> Option<Arc<Cached>> {
        self.copies.peek(key).map(|copy| copy.cached)
    }

    /// All copies.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Cached>> {
        self.copies.iter().map(|(_, copy)| copy.cached)
    }

    /// Keeps a copy. One that is too large for the cache is not kept.
    pub(crate) fn insert(&self, cached: &Arc<Cached>) {
        self.copies.insert(cached.key.clone(), self.weigh(cached));
    }

    /// Keeps a copy, unless there is one of this session; gives the one that is kept.
    pub(crate) fn get_or_insert(&self, cached: &Arc<Cached>) -> Arc<Cached> {
        let weighed = || Ok::<_, Infallible>(self.weigh(cached));
        let Ok(kept) = self.copies.get_or_insert_with(&cached.key, weighed);
        kept.cached
    }

    pub(crate) fn remove(&self, cached: &Arc<Cached>) {
        self.copies
            .remove_if(&cached.key, |kept| Arc::ptr_eq(&kept.cached, cached));
    }

    /// Takes note of what a copy takes now, when that is more than an eighth more or less.
    pub(crate) fn reweigh(&self, cached: &Arc<Cached>, bytes: usize) {
        let (known, now) = (cached.weight.load(Relaxed), self.weight(bytes));
        if known.abs_diff(now) <= known / 8 {
            return;
        }
        let kept = self.peek(&cached.key);
        if kept.is_some_and(|kept| Arc::ptr_eq(&kept, cached)) {
            cached.weight.store(now, Relaxed);
            let (cached, weight) = (cached.clone(), now);
            let key = cached.key.clone();
            // One that has become too large is dropped.
            let _ = self.copies.replace(key, Copy { cached, weight }, true);
        }
    }

    fn weigh(&self, cached: &Arc<Cached>) -> Copy {
        let weight = self.weight(memory_of(cached.lock().tip()));
        cached.weight.store(weight, Relaxed);
        Copy {
            cached: cached.clone(),
            weight,
        }
    }

    fn weight(&self, bytes: usize) -> u64 {
        self.share.max(bytes as u64)
    }

    pub(crate) fn len(&self) -> usize {
        self.copies.len()
    }

    /// What all copies weigh.
    pub(crate) fn weight_of_all(&self) -> u64 {
        self.copies.weight()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.total()
    }
}

/// How many parts the cache has, each with a lock of its own and its part of the capacity: four for
/// each core, but so few that the largest session fits into one.
fn shards(settings: &SessionSettings) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let largest = settings.limits.session.max(1);
    (4 * cores).min(settings.cache_bytes / 4 / largest).max(1)
}

#[derive(Debug, Clone)]
struct Weigher;

impl Weighter<SessionKey, Copy> for Weigher {
    fn weight(&self, _key: &SessionKey, copy: &Copy) -> u64 {
        copy.weight
    }
}

#[derive(Debug, Clone)]
struct CountEvictions(Arc<Counter>);

type Dropped = DefaultLifecycle<SessionKey, Copy>;

impl Lifecycle<SessionKey, Copy> for CountEvictions {
    /// What is evicted is dropped after the cache's lock is released.
    type RequestState = <Dropped as Lifecycle<SessionKey, Copy>>::RequestState;

    fn on_evict(&self, state: &mut Self::RequestState, key: SessionKey, copy: Copy) {
        self.0.increment();
        Dropped::default().on_evict(state, key, copy);
    }
}

/// What an allocation takes besides its content: two counts of an `Arc`, or the allocator's share.
const ALLOCATION: usize = 16;

/// What the cache itself takes for a copy: key, value and the rest, of which it keeps half as many
/// again, in a table that is three quarters full on average.
const PLACE: usize = (size_of::<SessionKey>() + size_of::<Copy>() + 21) * 2;

/// The texts of a session that are there once: the id, its digest, and the node's name.
const TEXTS: usize = 22 + 43 + 16 + 3 * 2 * ALLOCATION;

/// What a copy takes without any attributes.
const EMPTY: usize =
    size_of::<Cached>() + size_of::<SessionRecord>() + 4 * ALLOCATION + TEXTS + PLACE;

/// Entries of a map live in nodes with room for 11, which are filled by half.
const NODE_ENTRIES: usize = 11;
const FILLED: usize = 6;

/// About how many bytes of memory a copy of this record takes. The test `memory` compares it with
/// what the process takes.
pub(crate) fn memory_of(record: &SessionRecord) -> usize {
    let writers = map::<Arc<str>, Version>(Writers::len(&record.writers));
    let principal = record.principal.as_deref().map_or(0, text);
    let origin = record.origin.as_deref().map_or(0, text);
    let values = attributes(&record.attributes) + attributes(&record.notes);
    EMPTY + values + writers + principal + origin
}

fn attributes(attributes: &Attributes) -> usize {
    let entries = attributes
        .iter()
        .map(|(name, value)| text(name) + heap(value));
    map::<Arc<str>, Value>(attributes.len()) + entries.sum::<usize>()
}

/// What a value takes beside its place in the map or list.
fn heap(value: &Value) -> usize {
    match value {
        Value::Bool(_) | Value::F64(_) | Value::I64(_) | Value::Null => 0,
        Value::Bytes(bytes) | Value::Opaque(bytes) => 2 * ALLOCATION + bytes.len(),
        Value::String(string) => text(string),
        Value::List(values) => {
            ALLOCATION
                + values.capacity() * size_of::<Value>()
                + values.iter().map(heap).sum::<usize>()
        }
        Value::Map(values) => attributes(values),
    }
}

fn text(text: &str) -> usize {
    2 * ALLOCATION + text.len()
}

/// What the nodes of a map take.
fn map<K, V>(entries: usize) -> usize {
    let node = NODE_ENTRIES * (size_of::<K>() + size_of::<V>()) + 2 * ALLOCATION;
    entries.div_ceil(FILLED) * node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_weighs_more() {
        let of = |value: Value| attributes(&Attributes::from([("name".into(), value)]));
        let small = of(Value::Null);
        assert_eq!(attributes(&Attributes::new()), 0);
        assert!(of("x".repeat(1_000).as_str().into()) >= small + 1_000);
        let nested = Value::List(vec![Value::Bytes(vec![0; 500].into()); 2]);
        assert!(of(nested) >= small + 1_000);
    }
}
