//! What is PostgreSQL's own: the table, starting together, and a server that goes away.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seawall_store::{
    Batcher, BatcherSettings, Cause, Commit, CommitOutcome, Notice, Read, ReadOutcome, StoreError,
    Timestamp, Version,
};
use seawall_testing::{TestPgBouncer, TestPostgres};

use crate::support::{assert_table_is_made_again, create, key, open, start_together};

#[tokio::test]
async fn nodes_that_start_together_on_an_empty_database_all_serve() {
    let server = TestPostgres::start();
    for round in 0..20 {
        start_together(&server.create_database(&format!("round{round}"))).await;
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test]
async fn a_table_that_was_dropped_is_made_again() {
    let server = TestPostgres::start();
    let drop_table = || drop(server.query("DROP TABLE jettysessions"));
    assert_table_is_made_again(&server.url(), drop_table).await;
}

#[tokio::test]
async fn a_table_that_jetty_made_is_taken_over() {
    let server = TestPostgres::start();
    server.query(
        "CREATE TABLE JettySessions (sessionId varchar(120), contextPath varchar(60), \
         virtualHost varchar(60), lastNode varchar(60), accessTime bigint, lastAccessTime bigint, \
         createTime bigint, cookieTime bigint, lastSavedTime bigint, expiryTime bigint, \
         maxInterval bigint, map bytea, PRIMARY KEY (sessionId, contextPath, virtualHost))",
    );
    server.query(
        "INSERT INTO JettySessions VALUES ('old', '_', '0.0.0.0', 'node0', 1, 1, 1, 1, 1, 5, 4, \
         '\\xaced0005')",
    );
    let store = open(&server.url()).await;
    assert_eq!(
        store.commit(&[create("new")]).await.unwrap(),
        [CommitOutcome::Done]
    );
    let outcomes = store
        .read(&[Read {
            key: key("old"),
            known: None,
        }])
        .await
        .unwrap();
    assert!(
        matches!(outcomes[0], ReadOutcome::Unreadable(_)),
        "{outcomes:?}"
    );
    assert_eq!(
        server.query("SELECT count(*) FROM JettySessions"),
        "2",
        "it is left as it is"
    );
    let expired = store
        .claim_expired(Timestamp::from_millis(6), 10)
        .await
        .unwrap();
    assert_eq!(expired.len(), 1, "what Jetty wrote expires too");
}

#[tokio::test]
async fn updates_stay_in_their_page() {
    let server = TestPostgres::start();
    let store = open(&server.url()).await;
    store.commit(&[create("hot")]).await.unwrap();
    for version in 1..200 {
        let Commit::Create { key, record } = create("hot") else {
            unreachable!()
        };
        let mut record = (*record).clone();
        record.version = Version::from_i64(version + 1);
        let update = Commit::Update {
            key,
            expected: Version::from_i64(version),
            record: Arc::new(record),
        };
        assert_eq!(
            store.commit(&[update]).await.unwrap(),
            [CommitOutcome::Done]
        );
    }
    drop(store);
    let statistics = "SELECT n_tup_hot_upd * 100 / greatest(n_tup_upd, 1) FROM \
                      pg_stat_user_tables WHERE relname = 'jettysessions' AND n_tup_upd >= 199";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let hot = server.query(statistics);
        if !hot.is_empty() {
            let percent: u32 = hot.parse().unwrap();
            assert!(
                percent >= 95,
                "only {percent} % of the updates were heap-only"
            );
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no statistics");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_of_many_sessions_that_end_together_is_told() {
    let server = TestPostgres::start();
    let (one, other) = (open(&server.url()).await, open(&server.url()).await);
    let ids: Vec<_> = (0..1_000).map(|index| format!("{index:043}")).collect();
    let creates: Vec<_> = ids.iter().map(|id| create(id)).collect();
    one.commit(&creates).await.unwrap();
    let mut notices = other.notices().unwrap();
    let heard = async {
        while !notices.is_live() {
            notices.next().await;
        }
        let deletes: Vec<_> = ids.iter().map(|id| Commit::delete(key(id))).collect();
        let done = vec![CommitOutcome::Done; ids.len()];
        assert_eq!(one.commit(&deletes).await.unwrap(), done);
        let mut heard = BTreeSet::new();
        while heard.len() < ids.len() {
            if let Notice::Changed(sessions) = notices.next().await {
                heard.extend(sessions.iter().map(|session| session.id.to_string()));
            }
        }
        heard
    };
    let heard = tokio::time::timeout(Duration::from_secs(30), heard).await;
    assert!(heard.expect("some were not told").iter().eq(&ids));
}

#[tokio::test]
async fn what_is_wrong_with_a_database_is_said_plainly() {
    let server = TestPostgres::start();
    let url = server.url().replace("//seawall@", "//seawall:hush@");
    let missing = format!("{}nowhere", url.strip_suffix("postgres").unwrap());
    let error = open(&missing).await.count().await;
    let Err(error @ StoreError::Rejected { .. }) = error else {
        panic!("{error:?}")
    };
    let text = error.to_string();
    assert!(
        text.contains("nowhere") && text.contains("create the database"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
    // As it is since PostgreSQL 15.
    server.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    server.query("CREATE USER guest");
    let guest = server.url().replace("seawall@", "guest@");
    let error = open(&guest).await.count().await.unwrap_err().to_string();
    assert!(error.contains("GRANT CREATE"), "{error}");
    assert_eq!(open(&server.url()).await.count().await.unwrap(), 0);
    let error = open(&guest).await.count().await.unwrap_err().to_string();
    assert!(
        error.contains("DELETE ON jettysessions, seawall_schema"),
        "{error}"
    );
    server.query("GRANT SELECT, INSERT, UPDATE, DELETE ON jettysessions, seawall_schema TO guest");
    // A node needs nothing else, and some databases hide this.
    server.query("REVOKE SELECT ON pg_settings FROM PUBLIC");
    let outcomes = open(&guest).await.commit(&[create("a")]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Done]);
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_harms_no_other() {
    let server = TestPostgres::start();
    let batcher = Batcher::spawn(open(&server.url()).await, &BatcherSettings::default());
    assert_eq!(
        batcher.commit(create("good")).await.unwrap(),
        CommitOutcome::Done
    );
    let Commit::Create { key, record } = create("good") else {
        unreachable!()
    };
    let mut updated = (*record).clone();
    updated.version = Version::from_i64(2);
    let expected = record.version;
    let good = Commit::Update {
        key,
        expected,
        record: Arc::new(updated),
    };
    let Commit::Create { key, record } = create("bad") else {
        unreachable!()
    };
    let mut refused = (*record).clone();
    refused.principal = Some("a\0b".into());
    let bad = Commit::Create {
        key,
        record: Arc::new(refused),
    };
    let (good, bad) = tokio::join!(batcher.commit(good), batcher.commit(bad));
    assert_eq!(
        good.unwrap(),
        CommitOutcome::Done,
        "written, and reported as a conflict"
    );
    assert!(matches!(bad, Err(StoreError::Rejected { .. })), "{bad:?}");
}

#[tokio::test]
async fn a_sweep_goes_by_its_index() {
    let server = TestPostgres::start();
    let store = open(&server.url()).await;
    let early = Timestamp::from_millis(1);
    assert_eq!(store.claim_expired(early, 500).await.unwrap().len(), 0);
    server.query(
        "INSERT INTO jettysessions (sessionid, contextpath, virtualhost, accesstime, \
         lastsavedtime, expirytime, maxinterval, expirybucket) SELECT 's' || n, '_', 'h', n, 1, \
         n * 300000, 60000, n * 300000 FROM generate_series(1::bigint, 20000) AS n",
    );
    server.query("ANALYZE jettysessions");
    let scanned = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jettysessions'";
    let by_index = "SELECT idx_scan FROM pg_stat_user_indexes \
                    WHERE indexrelname = 'jettysessions_expirybucket' AND idx_tup_read >= 10";
    let now = Timestamp::from_millis(10 * 300_000);
    assert_eq!(store.claim_expired(now, 500).await.unwrap().len(), 10);
    assert_eq!(store.claim_expired(now, 500).await.unwrap().len(), 0);
    drop(store);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while server.query(by_index).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "no statistics");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.query(scanned), "0", "a sweep read the table");
}

#[tokio::test]
async fn a_missing_index_is_noticed_before_it_costs_anything() {
    let server = TestPostgres::start();
    assert_eq!(open(&server.url()).await.count().await.unwrap(), 0);
    for index in ["expirybucket", "principal", "origin"] {
        let definition = server.query(&format!(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'jettysessions_{index}'"
        ));
        server.query(&format!("DROP INDEX jettysessions_{index}"));
        let error = open(&server.url())
            .await
            .count()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("CREATE INDEX jettysessions_{index} ")),
            "{error}"
        );
        server.query(&definition);
        assert_eq!(open(&server.url()).await.count().await.unwrap(), 0);
    }
    server.query("ALTER TABLE jettysessions DROP CONSTRAINT jettysessions_pkey");
    let error = open(&server.url()).await.count().await.unwrap_err();
    assert!(error.to_string().contains("ADD PRIMARY KEY"), "{error}");
}

#[tokio::test]
async fn an_index_that_no_statement_can_go_by_is_none() {
    let server = TestPostgres::start();
    assert_eq!(open(&server.url()).await.count().await.unwrap(), 0);
    for (index, definition) in [
        ("expirybucket", "USING hash (expirybucket)"),
        ("expirybucket", "USING brin (expirybucket)"),
        ("origin", "(origin COLLATE \"POSIX\")"),
        ("principal", "(principal text_pattern_ops)"),
        ("principal", "(lower(principal))"),
    ] {
        server.query(&format!("DROP INDEX jettysessions_{index}"));
        let make = format!("CREATE INDEX jettysessions_{index} ON jettysessions");
        server.query(&format!("{make} {definition}"));
        let error = open(&server.url()).await.count().await.unwrap_err();
        assert!(error.to_string().contains(&make), "{definition}: {error}");
        server.query(&format!("DROP INDEX jettysessions_{index}"));
        server.query(&format!("{make} ({index})"));
        assert_eq!(open(&server.url()).await.count().await.unwrap(), 0);
    }
    server.query(
        "ALTER TABLE jettysessions DROP CONSTRAINT jettysessions_pkey, \
         ADD PRIMARY KEY (sessionid, contextpath, virtualhost) DEFERRABLE",
    );
    let error = open(&server.url()).await.count().await.unwrap_err();
    assert!(error.to_string().contains("ADD PRIMARY KEY"), "{error}");
}

#[tokio::test]
async fn columns_of_other_types_are_named() {
    let server = TestPostgres::start();
    let running = open(&server.url()).await;
    running.commit(&[create("a")]).await.unwrap();
    let read = [Read {
        key: key("a"),
        known: None,
    }];
    running.read(&read).await.unwrap();
    for (column, other, right) in [
        ("sessionid", "character(120)", "text"),
        ("maxinterval", "integer", "bigint"),
        ("accesstime", "numeric", "bigint"),
    ] {
        let alter = format!("ALTER TABLE jettysessions ALTER COLUMN {column} TYPE");
        server.query(&format!("{alter} {other}"));
        let error = open(&server.url()).await.count().await.unwrap_err();
        assert_eq!(error.cause(), Cause::OtherTables, "{error}");
        let mend = format!("{alter} {right}");
        assert!(error.to_string().contains(&mend), "{error}");
        server.query(&mend);
        assert_eq!(open(&server.url()).await.count().await.unwrap(), 1);
    }
    // A node that runs says so as well, and takes the table when it is mended.
    server.query("ALTER TABLE jettysessions ALTER COLUMN maxinterval TYPE integer");
    assert!(running.read(&read).await.unwrap_err().is_transient());
    let error = running.read(&read).await.unwrap_err();
    assert_eq!(error.cause(), Cause::OtherTables, "{error}");
    assert!(!error.is_transient(), "{error}");
    server.query("ALTER TABLE jettysessions ALTER COLUMN maxinterval TYPE bigint");
    assert!(running.read(&read).await.unwrap_err().is_transient());
    running.read(&read).await.unwrap();
}

/// PgBouncer knows few startup parameters, and passes no others.
#[tokio::test]
async fn a_pooler_that_pools_sessions_is_no_obstacle() {
    let server = TestPostgres::start();
    let pooler = TestPgBouncer::start(&server, "session");
    let (one, other) = (open(&pooler.url()).await, open(&pooler.url()).await);
    let mut notices = other.notices().unwrap();
    while !notices.is_live() {
        notices.next().await;
    }
    one.commit(&[create("a")]).await.unwrap();
    let delete = [Commit::delete(key("a"))];
    assert_eq!(one.commit(&delete).await.unwrap(), [CommitOutcome::Done]);
    let heard = tokio::time::timeout(Duration::from_secs(30), notices.next()).await;
    assert!(matches!(heard, Ok(Notice::Changed(_))), "{heard:?}");
}

#[tokio::test]
async fn a_pooler_that_mixes_connections_up_is_named() {
    let server = TestPostgres::start();
    let pooler = TestPgBouncer::start(&server, "transaction");
    let store = open(&pooler.url()).await;
    let told = async {
        loop {
            let read = [Read {
                key: key("a"),
                known: None,
            }];
            let (read, counted) = tokio::join!(store.read(&read), store.count());
            if let Some(error) = read.err().or(counted.err()) {
                return error;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    let error = told.expect("nothing was mixed up");
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("pool_mode = session"), "{error}");
}

#[tokio::test]
async fn a_column_that_gets_another_type_is_noticed_and_goes_on() {
    let server = TestPostgres::start();
    let store = open(&server.url()).await;
    store.commit(&[create("a")]).await.unwrap();
    let read = [Read {
        key: key("a"),
        known: None,
    }];
    assert!(matches!(
        store.read(&read).await.as_deref(),
        Ok([ReadOutcome::Found(_)])
    ));
    server.query("ALTER TABLE jettysessions ALTER COLUMN lastnode TYPE varchar(90)");
    let error = store.read(&read).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(matches!(
        store.read(&read).await.as_deref(),
        Ok([ReadOutcome::Found(_)])
    ));
}
