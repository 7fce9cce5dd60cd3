//! How a connection to MariaDB or MySQL is made, and lent.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use mysql_async::{Conn, Opts, prelude::Queryable};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{error::Failure, schema};
use crate::link::Connector;

/// The way to the database.
pub(super) struct MysqlConnector {
    pub(super) options: Opts,
    pub(super) connect_limit: Duration,
}

/// A connection that is lent to one piece of work at a time; the lanes of the batcher send no more
/// anyway.
pub(super) struct MysqlConnection(Arc<Mutex<Option<Conn>>>);

impl MysqlConnection {
    /// Waits until the connection is free. `None` when it has ended.
    pub(super) async fn lend(&self) -> Option<Lent> {
        let mut place = self.0.clone().lock_owned().await;
        let conn = place.take()?;
        Some(Lent { conn, place })
    }
}

/// A connection at work, which whoever is done with it gives back.
///
/// Work may be dropped before its end, as when a client goes away. What the server still answers to
/// it would be taken for the answer to the next statement then, and its transaction would go on. So
/// the connection is dropped with it.
pub(super) struct Lent {
    conn: Conn,
    place: OwnedMutexGuard<Option<Conn>>,
}

impl Lent {
    /// Lets others have the connection. `result` goes through, so that a failure is seen after that.
    pub(super) fn give_back<R>(mut self, result: R) -> R {
        *self.place = Some(self.conn);
        result
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Connector for MysqlConnector {
    type Connection = MysqlConnection;
    type Failure = Failure;

    type Raw = Conn;

    async fn connect(&self) -> Result<Conn, Failure> {
        Ok(Conn::new(self.options.clone()).await?)
    }

    async fn make_ready(&self, mut conn: Conn) -> Result<MysqlConnection, Failure> {
        schema::migrate(&mut conn).await?;
        Ok(MysqlConnection(Arc::new(Mutex::new(Some(conn)))))
    }

    /// A connection that the server has closed says so when it is used.
    fn is_closed(connection: &MysqlConnection) -> bool {
        let place = connection.0.try_lock();
        place.is_ok_and(|place| place.is_none())
    }

    async fn check(connection: &MysqlConnection) -> Result<(), Failure> {
        if let Some(mut conn) = connection.lend().await {
            let result = conn.ping().await;
            conn.give_back(result)?;
        }
        Ok(())
    }

    fn connect_limit(&self) -> Duration {
        self.connect_limit
    }
}
