//! What MariaDB does for the statements, on a table that is worth an index.

use seawall_testing::TestMariaDb;

use super::sql;
use crate::StoreUrl;

/// A statement, its parameters as literals, and the index that it must go by.
type Planned<'a> = (&'a str, &'a [&'a str], &'a str);

const KEYS: &str =
    r#"'[{"id":"s7","context":"_","host":"h"},{"id":"s9","context":"_","host":"h"}]'"#;
const NOW: &str = "1000000";

const PLANNED: [Planned<'_>; 9] = [
    (sql::READ, &[KEYS], "PRIMARY"),
    (sql::LOCK, &[KEYS], "PRIMARY"),
    (sql::TOUCH, &[KEYS], "PRIMARY"),
    (sql::DELETE, &[KEYS], "PRIMARY"),
    (
        sql::DELETE_MOVED,
        &["'s7'", "'_'", "'h'"],
        "JettySessions_origin",
    ),
    (
        sql::EXPIRED,
        &["1200000", NOW, "500"],
        "JettySessions_expirybucket",
    ),
    (
        sql::EXPIRED_FOREIGN,
        &[NOW, "500"],
        "JettySessions_expirybucket",
    ),
    (
        sql::REBUCKET,
        &[NOW, NOW, "500"],
        "JettySessions_expirybucket",
    ),
    (sql::LIST, &["'user:7'", NOW], "JettySessions_principal"),
];

/// The statement with literals in the place of its parameters.
fn filled(statement: &str, literals: &[&str]) -> String {
    let mut parts = statement.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut literals = literals.iter();
    for part in parts {
        text += literals.next().expect("a literal for each parameter");
        text += part;
    }
    assert_eq!(literals.next(), None, "{statement}");
    text
}

#[tokio::test]
async fn every_statement_goes_by_an_index() {
    let server = TestMariaDb::start();
    let store = server
        .url()
        .parse::<StoreUrl>()
        .unwrap()
        .open()
        .await
        .unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
    server.query(
        "USE sessions; INSERT INTO JettySessions (sessionId, contextPath, virtualHost, accessTime, \
         lastSavedTime, expiryTime, maxInterval, principal, origin, expirybucket) \
         SELECT CONCAT('s', seq), '_', 'h', seq, 1, seq * 300000, 60000, \
         CONCAT('user:', seq DIV 3), CONCAT('o', seq), seq * 300000 FROM seq_1_to_20000; \
         ANALYZE TABLE JettySessions",
    );
    let written = [
        "'node1'", "1", "1", "2", "3", "4", "'map'", "NULL", "NULL", "5",
    ];
    let (key, new) = (["'s7'", "'_'", "'h'"], ["'new'", "NULL"]);
    let (update_one, rename) = (sql::update_one(), sql::rename());
    let updated = [&written[..], &key, &["1", "9"]].concat();
    let renamed = [&new[..], &written, &key, &["1"]].concat();
    let writes: [Planned<'_>; 2] = [
        (&update_one, &updated, "PRIMARY"),
        (&rename, &renamed, "PRIMARY"),
    ];
    for (statement, literals, index) in PLANNED.into_iter().chain(writes) {
        let explain = format!("USE sessions; EXPLAIN {}", filled(statement, literals));
        let plan = server.query(&explain);
        // id, select type, table, type, possible keys, key, …
        let steps = plan
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>());
        let mut steps = steps.filter(|step| ["s", "JettySessions"].contains(&step[2]));
        let step = steps
            .next()
            .unwrap_or_else(|| panic!("{statement}\n{plan}"));
        assert_eq!(step[5], index, "{statement}\n{plan}");
        assert!(!["ALL", "index"].contains(&step[3]), "{statement}\n{plan}");
    }
}
