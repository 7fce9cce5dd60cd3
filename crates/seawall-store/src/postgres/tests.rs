//! What PostgreSQL does for the statements, whatever its statistics say.

use std::time::Duration;

use seawall_testing::TestPostgres;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{connection::configure, sql};
use crate::StoreUrl;

const KEYS: &str = "text[],text[],text[]";
const ROWS: &str =
    "text[],text[],text[],int8[],int8[],int8[],int8[],int8[],int8[],text[],text[],bytea[]";

/// How a plan finds the rows: the condition of a lookup in an index.
const BY_KEY: &str = "Index Cond: sessionid >= u.id AND sessionid <= u.id AND contextpath = ";
const BY_ID: &str = "Index Cond: sessionid >= u.id AND sessionid <= u.id";
const BY_ONE_KEY: &str = "Index Cond: sessionid >= $1 AND sessionid <= $1 AND contextpath = ";
const BY_BUCKET: &str = "Index Cond: expirybucket ";
const BY_ORIGIN: &str = "Index Cond: origin = ";
const BY_PRINCIPAL: &str = "Index Cond: principal = ";

/// The statements, the types of their parameters, and how each is to find its rows.
fn planned() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let keys = |more: &str| format!("{KEYS}{more}");
    let one = ROWS.replace("[]", "");
    let uniform = "text[],text,text,int8[],int8[],int8[],int8[],int8[],int8[],text,text[],bytea[]";
    let moved = vec![BY_ORIGIN];
    vec![
        (sql::READ, keys(",int8[]"), vec![BY_KEY]),
        (
            sql::READ_ONE,
            "text,text,text,int8".to_owned(),
            vec![BY_ONE_KEY],
        ),
        (sql::EXISTS, keys(""), vec![BY_KEY]),
        (sql::UPDATE, ROWS.to_owned(), vec![BY_KEY]),
        (sql::UPDATE_ONE, one, vec![BY_ONE_KEY]),
        (sql::UPDATE_UNIFORM, uniform.to_owned(), vec![BY_ID]),
        (sql::RENAME, format!("{ROWS},text,text"), vec![BY_KEY]),
        (sql::TOUCH, keys(",int8[]"), vec![BY_KEY]),
        (sql::DELETE, keys(""), vec![BY_KEY]),
        (sql::DELETE_MOVED, keys(""), moved.clone()),
        (sql::CLAIM, "int8,int8".to_owned(), vec![BY_BUCKET, BY_KEY]),
        (
            sql::CLAIM_FOREIGN,
            "int8,int8".to_owned(),
            vec![BY_BUCKET, BY_KEY],
        ),
        (
            sql::REBUCKET,
            "int8,int8".to_owned(),
            vec![BY_BUCKET, BY_KEY],
        ),
        (sql::LIST, "text,int8".to_owned(), vec![BY_PRINCIPAL]),
        (sql::LOCATE, keys(",int8"), vec![BY_KEY]),
        (sql::LOCATE_MOVED, keys(",int8"), moved),
    ]
}

/// Rows in a table: nobody's and somebody's, moved and not, of Jetty and of Seawall.
const FILL: &str = "INSERT INTO jettysessions (sessionid, contextpath, virtualhost, accesstime, \
     lastsavedtime, expirytime, maxinterval, expirybucket, origin, principal) \
     SELECT md5(random()::text), '_', 'h', n, 1, n * 300000, 60000, \
     CASE WHEN n % 10 > 0 THEN n * 300000 END, CASE WHEN n % 2 > 0 THEN md5(random()::text) END, \
     CASE WHEN n % 3 > 0 THEN 'user:' || n / 5 END FROM generate_series(1::bigint, ROWS) AS n";

/// What may have become of a table before a node prepares its statements. A table that was vacuumed
/// when it was empty or tiny, with indexes that have grown, is what a node meets that starts at night.
const LIVES: [&[&str]; 8] = [
    &[],
    &["VACUUM ANALYZE jettysessions"],
    &["FILL 1", "VACUUM ANALYZE jettysessions"],
    &[
        "FILL 3000",
        "DELETE FROM jettysessions",
        "VACUUM ANALYZE jettysessions",
    ],
    &[
        "FILL 3000",
        "DELETE FROM jettysessions",
        "FILL 8",
        "VACUUM ANALYZE jettysessions",
    ],
    &[
        "FILL 8",
        "UPDATE jettysessions SET sessionid = md5(sessionid), origin = sessionid",
        "DELETE FROM jettysessions WHERE origin < '8'",
        "VACUUM ANALYZE jettysessions",
    ],
    &["FILL 20000", "ANALYZE jettysessions"],
    // Somebody set this for reports; it stays for what comes after.
    &[
        "FILL 3000",
        "ALTER DATABASE postgres SET enable_indexscan = off",
        "ALTER DATABASE postgres SET enable_nestloop = off",
    ],
];

/// A connection with the settings that nodes use.
async fn connect(server: &TestPostgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    configure(&client, Duration::from_secs(3)).await.unwrap();
    client
}

async fn plan(client: &Client, statement: &str, types: &str) -> String {
    let nulls = vec!["NULL"; types.split(',').count()].join(",");
    let explain = format!(
        "PREPARE planned({types}) AS {statement}; EXPLAIN EXECUTE planned({nulls}); \
         DEALLOCATE planned"
    );
    let lines = client.simple_query(&explain).await.unwrap();
    let lines = lines.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan = lines.collect::<Vec<_>>().join("\n");
    plan.replace("::text", "").replace(['(', ')'], "")
}

#[tokio::test]
async fn whatever_became_of_the_table_its_rows_are_looked_up() {
    let server = TestPostgres::start();
    let url: StoreUrl = server.url().parse().unwrap();
    assert_eq!(url.open().await.unwrap().count().await.unwrap(), 0);
    for life in LIVES {
        server.query("TRUNCATE jettysessions");
        for event in life {
            match event.strip_prefix("FILL ") {
                Some(rows) => server.query(&FILL.replace("ROWS", rows)),
                None => server.query(event),
            };
        }
        let fresh = url.open().await.unwrap();
        assert!(fresh.count().await.is_ok(), "{life:?}: a node cannot start");
        let client = connect(&server).await;
        for (statement, types, conditions) in planned() {
            let plan = plan(&client, statement, &types).await;
            for condition in conditions {
                assert!(plan.contains(condition), "{life:?}\n{statement}\n{plan}");
            }
            assert!(!plan.contains("Seq Scan"), "{life:?}\n{statement}\n{plan}");
        }
    }
}
