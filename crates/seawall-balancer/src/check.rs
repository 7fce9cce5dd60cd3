//! The health checks: one task for each server, in one worker, for all workers.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use seawall_net::Address;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    config::CheckConfig,
    health::{Health, Status},
    pool::is_own_limit,
    server::{Server, count},
};

/// The most bytes of an answer that are looked at.
const BODY_LIMIT: usize = 16 * 1024;

/// The least time between two checks of a server that is well. Many requests may wait for it, each of
/// which asks for a check.
const APART: Duration = Duration::from_millis(100);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckResult {
    passed: bool,
    draining: bool,
    store_away: bool,
    code: Option<u16>,
    detail: String,
}

/// Checks one server for as long as the balancer runs.
pub(crate) async fn keep_checking(server: Arc<Server>, config: Arc<CheckConfig>) {
    let mut health = Health::new(config.rise, config.fall);
    loop {
        let started = Instant::now();
        if let Some(result) = check(&server, &config).await {
            note(&server, &mut health, &result, started.elapsed());
        }
        let fast = health.is_changing() || server.is_suspect();
        let apart = if fast { Duration::MAX } else { APART }.min(config.fast_interval);
        sleep(apart).await;
        // A server that requests wait for, or that has just been found suspect, is looked at now.
        if !fast && !server.is_suspect() {
            tokio::select! {
                () = sleep(config.interval.saturating_sub(apart)) => {}
                () = server.check_now.notified() => {}
            }
        }
    }
}

fn note(server: &Server, health: &mut Health, result: &CheckResult, took: Duration) {
    let counters = &server.counters;
    counters
        .check_micros
        .store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    counters
        .check_code
        .store(u64::from(result.code.unwrap_or(0)), Relaxed);
    if result.code.is_some() {
        server.answered(Instant::now());
    }
    counters.check_passed.store(result.passed, Relaxed);
    if result.passed {
        server.clear_suspicion();
    } else {
        count(&counters.failed_checks);
    }
    // A server that cannot be reached has not said that it is ready again.
    if result.code.is_some() {
        server.set_draining(result.draining);
        server.set_store_away(result.store_away);
    }
    let Some(status) = health.observe(result.passed) else {
        return;
    };
    server.set_status(status);
    match status {
        Status::Up => tracing::info!(server = %server.config.name, "server is up"),
        _ => tracing::warn!(server = %server.config.name, reason = result.detail, "server is down"),
    }
}

/// What a check found; `None` when the server could not be looked at, through no fault of its own.
async fn check(server: &Server, config: &CheckConfig) -> Option<CheckResult> {
    let answer = timeout(config.timeout, ask(&server.config.address, &config.path)).await;
    Some(match answer {
        Ok(Err(error)) if error.downcast_ref().is_some_and(is_own_limit) => return None,
        Ok(Ok((status, body))) => judge(status, &body, config),
        Ok(Err(error)) => CheckResult::failed(error.to_string()),
        Err(_) => CheckResult::failed(format!("no answer within {:?}", config.timeout)),
    })
}

impl CheckResult {
    fn failed(detail: String) -> Self {
        Self {
            passed: false,
            draining: false,
            store_away: false,
            code: None,
            detail,
        }
    }
}

/// What an answer says. A node of Seawall says which part is sick: when it is the store, all nodes
/// are mostly as sick as this one, and taking them out would take the site away.
fn judge(status: StatusCode, body: &[u8], config: &CheckConfig) -> CheckResult {
    let report: Value = serde_json::from_slice(body).unwrap_or_default();
    let draining = report["draining"] == true;
    let store_away = report["store"] == "down";
    let passed = config.expected.contains(&status.as_u16()) || draining || store_away;
    let detail = format!("it answers {status} to GET {}", config.path);
    CheckResult {
        passed,
        draining,
        store_away,
        code: Some(status.as_u16()),
        detail,
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn ask(address: &Address, path: &str) -> Result<(StatusCode, Bytes), BoxError> {
    let stream = address.connect().await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::task::spawn_local(connection);
    let request = Request::get(path)
        .header(header::HOST, address.host())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    // A page that is too long, or cut off, still has its status.
    let body = Limited::new(response.into_body(), BODY_LIMIT)
        .collect()
        .await;
    connection.abort();
    Ok((
        status,
        body.map(http_body_util::Collected::to_bytes)
            .unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> (bool, bool) {
        let status = StatusCode::from_u16(status).unwrap();
        let result = judge(status, body.as_bytes(), &CheckConfig::default());
        (result.passed, result.draining)
    }

    #[test]
    fn a_sick_store_is_not_a_sick_server() {
        assert_eq!(
            judged(200, r#"{"store":"up","draining":false}"#),
            (true, false)
        );
        assert_eq!(
            judged(503, r#"{"store":"down","draining":false}"#),
            (true, false)
        );
        assert_eq!(
            judged(503, r#"{"store":"up","draining":true}"#),
            (true, true)
        );
        assert_eq!(
            judged(503, r#"{"store":"up","draining":false}"#),
            (false, false)
        );
    }

    #[test]
    fn other_servers_are_judged_by_their_status() {
        assert_eq!(judged(200, "<h1>Jetty</h1>"), (true, false));
        assert_eq!(judged(500, "{"), (false, false));
        assert_eq!(judged(404, ""), (false, false));
    }
}
