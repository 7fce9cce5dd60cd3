//! All of a transaction, or nothing of it.

use mysql_async::{Conn, prelude::Queryable};

use super::error::Failure;

pub(super) async fn begin(conn: &mut Conn) -> Result<(), Failure> {
    Ok(conn.query_drop("START TRANSACTION").await?)
}

/// Commits what went through, and rolls back what did not.
pub(super) async fn finish<T>(conn: &mut Conn, result: Result<T, Failure>) -> Result<T, Failure> {
    match result {
        Ok(value) => {
            conn.query_drop("COMMIT").await?;
            Ok(value)
        }
        Err(failure) => {
            // A connection that cannot roll back is lost, and the transaction with it.
            let _ = conn.query_drop("ROLLBACK").await;
            Err(failure)
        }
    }
}
