//! Notices: the scripts publish them, a connection of its own hears them.

use std::{fmt, pin::pin, sync::Arc};

use futures_util::{StreamExt, future};

use super::{connection::RedisConnector, error::Failure};
use crate::{
    link::{Connector, Failure as _},
    listener::{self, Listen},
    notices::{Notice, NoticeSender},
    store::StoreError,
};

/// The way to hear what the scripts publish.
pub(super) struct RedisListener {
    connector: Arc<RedisConnector>,
    channel: String,
}

impl fmt::Debug for RedisListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisListener").field(&self.channel).finish()
    }
}

impl RedisListener {
    pub(super) fn new(connector: Arc<RedisConnector>, channel: String) -> Self {
        Self { connector, channel }
    }

    async fn listen_once(&self, notices: &NoticeSender) -> Result<(), Failure> {
        let limit = self.connector.connect_limit();
        let connected = tokio::time::timeout(limit, self.connector.listening()).await;
        let (mut sink, mut stream) = connected.map_err(|_| Failure::NoAnswer(limit))??.split();
        let receive = async {
            while let Some(message) = stream.next().await {
                let text = std::str::from_utf8(message.get_payload_bytes());
                notices.tell(text.map_or(Notice::Missed, listener::decode));
            }
            Err(Failure::Unexpected("the end of a connection that listens"))
        };
        let ask = async {
            sink.subscribe(&self.channel).await?;
            notices.set_live(true);
            let probe = || {
                let mut sink = sink.clone();
                async move {
                    sink.ping::<redis::Value>().await?;
                    Ok(())
                }
            };
            listener::probe(notices, probe, Failure::NoAnswer).await
        };
        future::select(pin!(receive), pin!(ask))
            .await
            .factor_first()
            .0
    }
}

impl Listen for RedisListener {
    async fn listen(&self, notices: &NoticeSender) -> Result<(), StoreError> {
        self.listen_once(notices)
            .await
            .map_err(|failure| failure.into_store_error(self.connector.description()))
    }
}
