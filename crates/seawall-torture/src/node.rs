//! A node: an axum application with a session, and a sweeper that writes down what it claims.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use axum::{Router, extract::Query, routing::get};
use seawall_session::{Session, SessionError, SessionLayer, SessionManager, SessionSettings};
use seawall_store::{
    Batcher, BatcherSettings, Clock, SessionStore, StoreUrl, SystemClock, Timestamp,
};
use serde::Deserialize;
use tokio::{net::TcpListener, time::sleep};

use crate::{IDLE_TIMEOUT, NodeArguments};

const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

/// A clock that is set wrong.
#[derive(Debug)]
struct WrongClock {
    ahead: Duration,
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.ahead)
    }
}

#[derive(Debug, Deserialize)]
struct Fresh {
    /// The token of the session, should this request make one.
    token: i64,
}

pub(crate) async fn serve(arguments: NodeArguments) -> Result<()> {
    let store = arguments.store.parse::<StoreUrl>()?.open().await?;
    let clock = Arc::new(WrongClock {
        ahead: Duration::from_millis(arguments.ahead),
    });
    let settings = SessionSettings {
        node: arguments.name.into(),
        idle_timeout: Some(IDLE_TIMEOUT),
        ..SessionSettings::default()
    };
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    let manager =
        SessionManager::new(batcher, clock.clone(), settings).map_err(anyhow::Error::msg)?;
    let claims = OpenOptions::new()
        .create(true)
        .append(true)
        .open(arguments.claims)?;
    tokio::spawn(sweep(store, clock, claims));
    let sessions = Router::new()
        .route("/increment", get(increment))
        .route("/invalidate", get(invalidate))
        .route("/read", get(read))
        .route("/rotate", get(rotate))
        .layer(SessionLayer::new(manager));
    let application = sessions.route("/ready", get(|| async {}));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    Ok(axum::serve(listener, application).await?)
}

async fn seen(session: &Session) -> Result<String, SessionError> {
    let token: Option<i64> = session.get("token")?;
    let count: Option<i64> = session.get("count")?;
    let seen = token.zip(count);
    Ok(seen.map_or(String::new(), |(token, count)| format!("{token} {count}")))
}

async fn increment(session: Session, fresh: Query<Fresh>) -> Result<String, SessionError> {
    if session.get::<i64>("token")?.is_none() {
        session.set("token", &fresh.token)?;
    }
    session
        .update("count", |count: Option<i64>| count.unwrap_or(0) + 1)
        .await?;
    seen(&session).await
}

async fn read(session: Session) -> Result<String, SessionError> {
    seen(&session).await
}

async fn invalidate(session: Session) -> Result<String, SessionError> {
    let seen = seen(&session).await?;
    session.invalidate().await?;
    Ok(seen)
}

async fn rotate(session: Session) -> Result<String, SessionError> {
    let seen = seen(&session).await?;
    session.rotate_id().await?;
    Ok(seen)
}

/// Claims expired sessions, and writes each down with the time.
async fn sweep(store: Arc<dyn SessionStore>, clock: Arc<WrongClock>, mut claims: File) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Ok(claimed) = store.claim_expired(clock.now(), 100).await else {
            continue;
        };
        let tokens = claimed.iter().filter_map(|expired| {
            let record = expired.record.as_ref()?;
            record.attributes.get("token")?.as_i64()
        });
        let at = SystemClock.now().as_millis();
        let lines: String = tokens.map(|token| format!("{token} {at}\n")).collect();
        if let Err(error) = claims.write_all(lines.as_bytes()) {
            panic!("the claims cannot be written down: {error}");
        }
    }
}
