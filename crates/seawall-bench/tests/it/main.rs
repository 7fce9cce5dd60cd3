//! The verdict against servers that are right, and against servers that are wrong on purpose.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use std::{future::pending, time::Duration};

use seawall_bench::{BenchError, BenchOptions, Report, Route, run};
use server::{Behaviour, Server};

const LOAD: Duration = Duration::from_millis(300);

fn options(server: &Server) -> BenchOptions {
    BenchOptions {
        duration: LOAD,
        sessions: 8,
        connections: 4,
        ..BenchOptions::new(server.uri())
    }
}

/// A load that nobody stops.
async fn load(options: BenchOptions) -> Result<Report, BenchError> {
    run(options, pending(), |_| ()).await
}

async fn bench(behaviour: Behaviour) -> Report {
    let server = Server::start(behaviour).await;
    load(options(&server)).await.unwrap()
}

#[tokio::test]
async fn a_correct_server_has_a_good_verdict() {
    let report = bench(Behaviour::Correct).await;
    assert!(report.passed() && report.errors.is_empty(), "{report}");
    assert!(
        report.requests > 10 && report.verdict.extra == 0,
        "{report}"
    );
}

#[tokio::test]
async fn lost_updates_are_found() {
    let report = bench(Behaviour::LosesUpdates).await;
    assert!(
        report.verdict.lost_updates > 0 && !report.passed(),
        "{report}"
    );
}

#[tokio::test]
async fn stale_reads_are_found() {
    let report = bench(Behaviour::ServesStaleCounts).await;
    assert!(
        report.verdict.stale_reads > 0 && !report.passed(),
        "{report}"
    );
}

#[tokio::test]
async fn lost_sessions_are_found() {
    let report = bench(Behaviour::LosesSessions).await;
    assert!(
        report.verdict.sessions_lost > 0 && !report.passed(),
        "{report}"
    );
}

#[tokio::test]
async fn failures_are_counted_by_kind_and_are_no_harm() {
    let report = bench(Behaviour::Fails).await;
    assert!(
        report.errors["status 500"] > 0 && report.passed(),
        "{report}"
    );
    let report = bench(Behaviour::Hangs).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn closed_keep_alive_connections_are_no_failures() {
    let report = bench(Behaviour::ClosesConnections).await;
    assert!(report.passed() && report.errors.is_empty(), "{report}");
}

#[tokio::test]
async fn shared_sessions_are_judged_by_their_total() {
    let shared = |server: &Server| BenchOptions {
        sessions: 1,
        shared: 4,
        ..options(server)
    };
    let server = Server::start(Behaviour::Correct).await;
    let report = load(shared(&server)).await.unwrap();
    assert!(report.passed() && report.requests > 10, "{report}");
    let server = Server::start(Behaviour::LosesUpdates).await;
    let report = load(shared(&server)).await.unwrap();
    assert!(report.verdict.lost_updates > 0, "{report}");
}

#[tokio::test]
async fn random_routes_reach_every_target() {
    let (one, two) = Server::start_two().await;
    let targets = vec![one.uri(), two.uri()];
    let options = BenchOptions {
        targets,
        route: Route::Random,
        ..options(&one)
    };
    let report = load(options).await.unwrap();
    assert!(report.passed() && report.moves > 0, "{report}");
}

#[tokio::test]
async fn at_a_fixed_rate_waiting_counts() {
    let server = Server::start(Behaviour::SlowOnce).await;
    let connections = 1;
    let options = BenchOptions {
        rate: Some(200),
        connections,
        ..options(&server)
    };
    let report = load(options).await.unwrap();
    assert!(report.requests <= 61, "{report}");
    assert!(
        report.latency_ms.p50 > 10.0,
        "requests that waited for their turn: {report}"
    );
}

#[tokio::test]
async fn a_page_of_another_kind_is_an_error() {
    let server = Server::start(Behaviour::OtherPage).await;
    let error = load(options(&server)).await.unwrap_err();
    assert!(matches!(error, BenchError::Page { .. }), "{error}");
}

#[tokio::test]
async fn a_load_that_is_stopped_is_reported_as_a_whole_one() {
    let long = |server: &Server| BenchOptions {
        duration: Duration::from_secs(600),
        ..options(server)
    };
    let stop = || tokio::time::sleep(LOAD);
    let server = Server::start(Behaviour::Correct).await;
    let report = run(long(&server), stop(), |_| ()).await.unwrap();
    assert!(report.passed() && report.errors.is_empty(), "{report}");
    assert!(report.requests > 10 && report.seconds < 60.0, "{report}");
    let server = Server::start(Behaviour::LosesUpdates).await;
    let report = run(long(&server), stop(), |_| ()).await.unwrap();
    assert!(report.verdict.lost_updates > 0, "{report}");
    // Most connections wait for a request that is due later.
    let server = Server::start(Behaviour::Correct).await;
    let rate = Some(1);
    let options = BenchOptions {
        rate,
        ..long(&server)
    };
    let report = run(options, stop(), |_| ()).await.unwrap();
    assert!(report.passed() && report.seconds < 3.0, "{report}");
}

#[tokio::test]
async fn a_load_that_is_stopped_before_it_begins_has_no_report() {
    let server = Server::start(Behaviour::Correct).await;
    let stopped = async {};
    let outcome = run(options(&server), stopped, |_| ()).await;
    // Making the sessions takes round trips, so the stop comes first.
    assert!(matches!(outcome, Err(BenchError::Stopped)), "{outcome:?}");
}
