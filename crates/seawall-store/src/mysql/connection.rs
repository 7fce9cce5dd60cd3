//! How a connection to MariaDB or MySQL is made.

use std::time::Duration;

use mysql_async::{Conn, Opts, prelude::Queryable};
use tokio::sync::Mutex;

use super::{error::Failure, schema};
use crate::link::Connector;

/// The way to the database.
pub(super) struct MysqlConnector {
    pub(super) options: Opts,
    pub(super) connect_limit: Duration,
}

impl Connector for MysqlConnector {
    /// One statement at a time; the lanes of the batcher send no more anyway.
    type Connection = Mutex<Conn>;
    type Failure = Failure;

    type Raw = Conn;

    async fn connect(&self) -> Result<Conn, Failure> {
        Ok(Conn::new(self.options.clone()).await?)
    }

    async fn make_ready(&self, mut conn: Conn) -> Result<Mutex<Conn>, Failure> {
        schema::migrate(&mut conn).await?;
        Ok(Mutex::new(conn))
    }

    /// A connection that was lost says so when it is used.
    fn is_closed(_connection: &Mutex<Conn>) -> bool {
        false
    }

    async fn check(connection: &Mutex<Conn>) -> Result<(), Failure> {
        Ok(connection.lock().await.ping().await?)
    }

    fn connect_limit(&self) -> Duration {
        self.connect_limit
    }
}
