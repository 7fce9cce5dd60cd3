//! Notices: `pg_notify` beside the commits, and the connection that listens.
//!
//! A notice is a statement of its own, behind the deletions in the same flight, and not a part of
//! their transactions: PostgreSQL lets one transaction at a time commit that notifies, so the wait
//! for the log would not be shared; and a full queue of notices would fail the deletion. A database
//! that cannot notify, such as CockroachDB, does everything else all the same.

use std::{future::poll_fn, pin::pin};

use futures_util::future;
use tokio_postgres::{AsyncMessage, types::ToSql};

use super::{
    connection::{PostgresConnector, Session},
    error::Failure,
};
use crate::{
    key::SessionKey,
    link::{Connector, Failure as _},
    listener::{self, Listen},
    notices::NoticeSender,
    store::StoreError,
};

/// The name of the connection that listens, as `pg_stat_activity` shows it.
const APPLICATION: &str = "seawall notices";

const CHANNEL: &str = "seawall_sessions";

/// The server takes less than 8000 bytes for each notice.
const SIZE_LIMIT: usize = 7_900;

/// The most notices of one batch.
const COUNT_LIMIT: usize = 16;

/// Each of the texts is a notice.
pub(super) const NOTIFY: &str =
    "SELECT pg_notify($1::text, u.text) FROM unnest($2::text[]) AS u(text)";

/// A notice that a listener sends itself, to see whether it hears any.
const HELLO: &str = "";

/// Tells the other nodes of these sessions. That it fails harms nothing.
pub(super) async fn notify(session: &Session, sessions: &[SessionKey]) {
    let Some(statement) = session.statements.notify.as_ref() else {
        return;
    };
    if sessions.is_empty() {
        return;
    }
    let texts = listener::encode(sessions, SIZE_LIMIT, COUNT_LIMIT);
    let parameters: [&(dyn ToSql + Sync); 2] = [&CHANNEL, &texts];
    if let Err(failure) = session.execute(statement, &parameters).await {
        tracing::debug!(?failure, "notices not sent");
    }
}

impl Listen for PostgresConnector {
    async fn listen(&self, notices: &NoticeSender) -> Result<(), StoreError> {
        self.listen_once(notices)
            .await
            .map_err(|failure| failure.into_store_error(&self.description))
    }
}

impl PostgresConnector {
    async fn listen_once(&self, notices: &NoticeSender) -> Result<(), Failure> {
        let mut config = self.config.clone();
        config.application_name(APPLICATION);
        let connecting = config.connect(self.tls.clone());
        let connected = tokio::time::timeout(self.connect_limit(), connecting).await;
        let connected = connected.map_err(|_| Failure::NoAnswer(self.connect_limit()))?;
        let (client, mut connection) = connected.map_err(Failure::Connecting)?;
        let receive = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message? {
                    AsyncMessage::Notification(notice) if notice.payload() == HELLO => {
                        notices.set_live(true);
                    }
                    AsyncMessage::Notification(notice) => {
                        notices.tell(listener::decode(notice.payload()));
                    }
                    _ => {}
                }
            }
            Err(Failure::Unexpected("the end of a connection that listens"))
        };
        let ask = async {
            client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
            let hello: [&(dyn ToSql + Sync); 2] = [&CHANNEL, &HELLO];
            client
                .execute("SELECT pg_notify($1::text, $2::text)", &hello)
                .await?;
            let probe = || async { Ok(client.batch_execute("").await?) };
            listener::probe(notices, probe, Failure::NoAnswer).await
        };
        let (receive, ask) = (pin!(receive), pin!(ask));
        future::select(receive, ask).await.factor_first().0
    }
}
