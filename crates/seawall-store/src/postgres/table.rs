//! Whether the table is one that the statements can work on.

use tokio_postgres::{Client, Row};

use super::error::Failure;

/// The columns that the statements use, and their types.
const COLUMNS: [(&str, &str); 16] = [
    ("accesstime", BIGINT),
    ("contextpath", TEXT),
    ("cookietime", BIGINT),
    ("createtime", BIGINT),
    ("deadline", BIGINT),
    ("expirybucket", BIGINT),
    ("expirytime", BIGINT),
    ("lastaccesstime", BIGINT),
    ("lastnode", TEXT),
    ("lastsavedtime", BIGINT),
    ("map", "bytea"),
    ("maxinterval", BIGINT),
    ("origin", TEXT),
    ("principal", TEXT),
    ("sessionid", TEXT),
    ("virtualhost", TEXT),
];
const BIGINT: &str = "bigint";
const TEXT: &str = "text";

/// An index of the table: its columns, whether a row's values are unique at any time, and which rows are
/// in it.
struct Index {
    columns: Vec<String>,
    is_unique: bool,
    condition: Option<String>,
}

impl Index {
    /// Whether it finds the row of a key.
    fn finds_keys(&self) -> bool {
        let mut columns: Vec<_> = self.columns.iter().map(String::as_str).collect();
        columns.sort_unstable();
        self.is_unique
            && self.condition.is_none()
            && self
                .columns
                .first()
                .is_some_and(|first| first == "sessionid")
            && columns == ["contextpath", "sessionid", "virtualhost"]
    }

    /// Whether it finds the rows with a value in `column`.
    fn finds(&self, column: &str) -> bool {
        let is_set = format!("({column} IS NOT NULL)");
        let condition = self.condition.as_deref();
        self.columns.first().is_some_and(|first| first == column)
            && condition.is_none_or(|condition| condition == is_set)
    }
}

/// Refuses a table whose columns have other types, or that has no indexes for the statements to go
/// by: without them each would read all of it.
pub(super) async fn check(client: &Client) -> Result<(), Failure> {
    check_types(client).await?;
    check_indexes(client).await
}

async fn check_types(client: &Client) -> Result<(), Failure> {
    // A domain stands for its base type.
    let find = "SELECT attname::text, format_type(COALESCE(NULLIF(typbasetype, 0), atttypid), NULL) \
                FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid \
                WHERE attrelid = 'jettysessions'::regclass AND attnum > 0 AND NOT attisdropped";
    for row in client.query(find, &[]).await? {
        let (column, has): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let expected = COLUMNS.iter().find(|(name, _)| *name == column);
        if let Some((_, expected)) = expected.filter(|(_, expected)| !is_like(&has, expected)) {
            return Err(Failure::Schema(format!(
                "column {column} of table jettysessions has type {has}: ALTER TABLE jettysessions \
                 ALTER COLUMN {column} TYPE {expected}"
            )));
        }
    }
    Ok(())
}

/// Whether a column of a type does for one of another. One of type `character` does not: it pads.
fn is_like(has: &str, expected: &str) -> bool {
    has == expected || expected == TEXT && ["character varying", "name"].contains(&has)
}

async fn check_indexes(client: &Client) -> Result<(), Failure> {
    let indexes = indexes(client).await?;
    let missing = |what: &str, mend: &str| {
        Failure::Schema(format!("table jettysessions has no {what}: {mend}"))
    };
    if !indexes.iter().any(Index::finds_keys) {
        return Err(missing(
            "primary key that Seawall can use",
            "ALTER TABLE jettysessions ADD PRIMARY KEY (sessionid, contextpath, virtualhost)",
        ));
    }
    for column in ["expirybucket", "principal", "origin"] {
        if !indexes.iter().any(|index| index.finds(column)) {
            return Err(missing(
                &format!("index on {column}"),
                &format!("CREATE INDEX jettysessions_{column} ON jettysessions ({column})"),
            ));
        }
    }
    Ok(())
}

/// The indexes, with an empty name in the place of a column that no statement can look up by them: of
/// another kind than a tree, or in the order of another collation or type.
async fn indexes(client: &Client) -> Result<Vec<Index>, Failure> {
    let find = "SELECT ARRAY(SELECT CASE WHEN amname <> 'btree' OR indcollation[place] <> attcollation \
                OR opfname NOT IN ('integer_ops', 'text_ops') THEN '' \
                ELSE COALESCE(attname::text, '') END FROM generate_series(0, indnkeyatts - 1) AS place \
                LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[place] \
                LEFT JOIN pg_opclass ON pg_opclass.oid = indclass[place] \
                LEFT JOIN pg_opfamily ON pg_opfamily.oid = opcfamily \
                LEFT JOIN pg_am ON pg_am.oid = opfmethod ORDER BY place), \
                indisunique AND indimmediate, pg_get_expr(indpred, indrelid) \
                FROM pg_index WHERE indrelid = 'jettysessions'::regclass AND indisvalid";
    let rows = client.query(find, &[]).await?;
    let index = |row: &Row| {
        Ok(Index {
            columns: row.try_get(0)?,
            is_unique: row.try_get(1)?,
            condition: row.try_get(2)?,
        })
    };
    rows.iter().map(index).collect()
}
