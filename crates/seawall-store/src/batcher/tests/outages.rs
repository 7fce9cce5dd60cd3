//! Stores that are away.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_outage_is_known_while_it_lasts() {
    let store = Faulty::new(99, &[]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    assert_eq!(batcher.store_away_for(), None);
    let faults = [Fault::RequestLost; 6];
    store.faults.lock().unwrap().extend(faults);
    let waiting = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.commit(create("a")).await }
    });
    tokio::time::sleep(LONGEST_PAUSE * 5 / 2).await;
    assert!(batcher.store_away_for() >= Some(LONGEST_PAUSE * 2));
    assert_eq!(waiting.await.unwrap().unwrap(), CommitOutcome::Done);
    assert_eq!(batcher.store_away_for(), None);
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_one_probe_at_a_time_and_no_rush_afterwards() {
    let store = Faulty::new(999, &[]);
    store.is_away.store(true, Ordering::SeqCst);
    let settings = BatcherSettings {
        batch_limit: 100,
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store.clone(), &settings);
    let requests: Vec<_> = (0..500)
        .map(|i| {
            let (batcher, key) = (batcher.clone(), key("a"));
            tokio::spawn(async move {
                batcher.read(Read { key, known: None }).await.unwrap();
                batcher.commit(create(&format!("s{i}"))).await.unwrap();
            })
        })
        .collect();
    let writer = batcher.clone();
    let write = tokio::spawn(async move { writer.commit(create("first")).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Both lanes have noticed by now.
    store.most_calls.store(0, Ordering::SeqCst);
    store.tries.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.most_calls.load(Ordering::SeqCst), 1);
    let tries = store.tries.load(Ordering::SeqCst);
    assert!((15..=90).contains(&tries), "{tries} probes in 3 s");
    store.is_away.store(false, Ordering::SeqCst);
    assert_eq!(write.await.unwrap().unwrap(), CommitOutcome::Done);
    for request in requests {
        request.await.unwrap();
    }
    let batches = store.batches.lock().unwrap().clone();
    assert!(batches.iter().all(|size| *size <= 100), "{batches:?}");
    assert!(batches.len() < 20, "{batches:?}");
    let statistics = batcher.statistics();
    assert!(
        statistics.is_up && statistics.outages == 1,
        "{statistics:?}"
    );
    assert_eq!(statistics.committed.creates, 501);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_found_back_though_nobody_asks() {
    let store = Faulty::new(999, &[]);
    store.is_away.store(true, Ordering::SeqCst);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    let read = Read {
        key: key("a"),
        known: None,
    };
    let now = Duration::ZERO;
    assert!(batcher.read_within(read.clone(), now).await.is_err());
    assert!(batcher.commit_within(create("a"), now).await.is_err());
    assert!(batcher.cannot_read() && !batcher.statistics().is_up);
    let tries = store.tries.load(Ordering::SeqCst);
    assert!(batcher.read_within(read.clone(), now).await.is_err());
    assert_eq!(
        store.tries.load(Ordering::SeqCst),
        tries,
        "it was not asked"
    );
    store.is_away.store(false, Ordering::SeqCst);
    tokio::time::sleep(LONGEST_PAUSE * 2).await;
    assert!(!batcher.cannot_read() && batcher.statistics().is_up);
    assert_eq!(
        batcher.read_within(read, now).await.unwrap(),
        ReadOutcome::Missing
    );
}
