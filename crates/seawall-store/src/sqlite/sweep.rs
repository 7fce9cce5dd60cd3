//! Claiming expired sessions: finding, deleting and returning them in one transaction.

use rusqlite::{Connection, Row, params};

use super::row::{self, RECORD_WIDTH};
use crate::{
    clock::Timestamp,
    codec::Codec,
    columns::{KEY_COLUMNS, RECORD_COLUMNS, bucket, bucket_column},
    store::Expired,
};

/// The SQL of a sweep, put together once.
#[derive(Debug)]
pub(super) struct Sweep {
    bucketed: String,
    bucketless: String,
}

/// Rows whose expiry moved beyond their bucket: a writer that knows no buckets touched them.
const STRAYS: &str = "SELECT rowid, expiryTime FROM JettySessions \
    WHERE expirybucket <= ?1 AND (expiryTime = 0 OR expiryTime > expirybucket) LIMIT ?2";

impl Sweep {
    pub(super) fn new() -> Self {
        let select = format!("SELECT {RECORD_COLUMNS}, {KEY_COLUMNS}, rowid FROM JettySessions");
        Self {
            bucketed: format!(
                "{select} WHERE expirybucket <= ?1 AND expiryTime > 0 AND expiryTime <= ?2 LIMIT ?3"
            ),
            // Rows that a writer without buckets left; they have an index of their own. SQLite
            // would rather look through all rows without a bucket, with the immortal sessions.
            bucketless: format!(
                "{select} INDEXED BY JettySessions_no_bucket WHERE expirybucket IS NULL AND expiryTime > 0 \
                 AND ?1 IS NOT NULL AND expiryTime <= ?2 LIMIT ?3"
            ),
        }
    }

    /// Claims expired sessions, inside the write transaction that `connection` is in.
    pub(super) fn claim(
        &self,
        connection: &Connection,
        codec: &Codec,
        now: Timestamp,
        limit: usize,
    ) -> rusqlite::Result<Vec<Expired>> {
        let now = now.as_millis();
        let mut claimed = Vec::new();
        for select in [&self.bucketed, &self.bucketless] {
            let wanted = column(limit - claimed.len());
            let mut statement = connection.prepare_cached(select)?;
            let rows = statement
                .query_map(params![bucket(now), now, wanted], |row| expired(row, codec))?;
            for row in rows {
                claimed.push(row?);
            }
        }
        let mut delete = connection.prepare_cached("DELETE FROM JettySessions WHERE rowid = ?1")?;
        let mut expired = Vec::with_capacity(claimed.len());
        for (rowid, session) in claimed {
            delete.execute([rowid])?;
            expired.push(session);
        }
        // Finding such rows looks at all that have expired: see to them when nothing else is due.
        if expired.is_empty() {
            correct_buckets(connection, now, limit)?;
        }
        Ok(expired)
    }
}

fn expired(row: &Row<'_>, codec: &Codec) -> rusqlite::Result<(i64, Expired)> {
    let key = row::key(row, RECORD_WIDTH)?;
    let record = row::record(row, &key, codec).ok();
    Ok((row.get(RECORD_WIDTH + 3)?, Expired { key, record }))
}

/// Moves rows to the bucket of their expiry, so that the next sweeps need not look at them again.
fn correct_buckets(connection: &Connection, now: i64, limit: usize) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(STRAYS)?;
    let strays = statement
        .query_map(params![bucket(now), column(limit)], |row| {
            Ok((row.get(0)?, row::integer(row, 1)?.unwrap_or(0)))
        })?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    let mut correct =
        connection.prepare_cached("UPDATE JettySessions SET expirybucket = ?2 WHERE rowid = ?1")?;
    for (rowid, expiry) in strays {
        correct.execute(params![rowid, bucket_column(expiry)])?;
    }
    Ok(())
}

fn column(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{schema, statements::Statements};

    /// What SQLite does for a statement, in its words.
    fn plan(connection: &Connection, statement: &str) -> String {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let mut explain = connection.prepare(&explain).unwrap();
        let parameters = vec![rusqlite::types::Null; explain.parameter_count()];
        let steps = explain
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
            .unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        steps.join("\n")
    }

    #[test]
    fn every_statement_goes_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = "sqlite".into();
        let path = schema::prepare_file(&store, &folder.path().join("sessions.db")).unwrap();
        let connection = schema::connect(&store, &path).unwrap();
        let (sweep, statements) = (Sweep::new(), Statements::new());
        let swept = [
            (&*sweep.bucketed, "JettySessions_expirybucket"),
            (&*sweep.bucketless, "JettySessions_no_bucket"),
            (STRAYS, "JettySessions_expirybucket"),
        ];
        for (statement, index) in swept.into_iter().chain(statements.indexed()) {
            let plan = plan(&connection, statement);
            let is_by_index = plan.contains(&format!("USING INDEX {index}"));
            assert!(is_by_index && !plan.contains("SCAN"), "{statement}\n{plan}");
        }
    }
}
