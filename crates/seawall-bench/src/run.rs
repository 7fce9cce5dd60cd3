//! The run: make the sessions, put the load on, ask for the last counts.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    connection::{Connections, Target},
    options::{BenchError, BenchOptions, Route},
    page,
    report::{Report, Tally},
    user::User,
};

/// How often the caller hears of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How long the last counts are asked for after a failure.
const END_LIMIT: Duration = Duration::from_secs(15);

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Since the load began.
    pub elapsed: Duration,
    /// Answers so far.
    pub requests: u64,
    /// Failures so far.
    pub failures: u64,
}

/// What the connections share.
struct Load {
    options: BenchOptions,
    targets: Vec<Target>,
    users: Vec<Mutex<User>>,
    /// Users whose session another connection may take.
    free: Mutex<VecDeque<usize>>,
    places: Semaphore,
    tally: Mutex<Tally>,
    started: Instant,
    /// How many requests have been due, at a fixed rate.
    due: Mutex<u32>,
    /// Whether no request may begin any more, though there is time left.
    stopped: watch::Sender<bool>,
}

/// Puts the load on and says what came of it. With `stop` the load ends early: what is under way is
/// waited for, and the report is as whole as any.
///
/// # Errors
/// [`BenchError`] when the options make no sense, or the page does not answer before the load, or
/// `stop` comes before it.
pub async fn run(
    options: BenchOptions,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, BenchError> {
    options.validate()?;
    let mut stop = pin!(stop);
    let load = tokio::select! {
        load = Load::prepare(options) => Arc::new(load?),
        () = &mut stop => return Err(BenchError::Stopped),
    };
    let mut connections = JoinSet::new();
    for index in 0..load.options.connections {
        connections.spawn(load.clone().keep_busy(index as u64));
    }
    let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            ended = connections.join_next() => if ended.is_none() { break },
            () = &mut stop, if !*load.stopped.borrow() => { load.stopped.send_replace(true); },
            _ = tick.tick() => progress(load.progress()),
        }
    }
    let seconds = load.started.elapsed().as_secs_f64();
    load.ask_last_counts().await;
    Ok(load.report(seconds))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Looks the targets up and makes every session.
    async fn prepare(options: BenchOptions) -> Result<Self, BenchError> {
        let mut targets = Vec::new();
        for uri in &options.targets {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let port = uri.port_u16().unwrap_or(80);
            let resolved = tokio::net::lookup_host((host, port)).await;
            let resolved = resolved.map_err(|error| error.to_string());
            let address = resolved.and_then(|mut all| all.next().ok_or("no address".to_owned()));
            let address = address.map_err(|reason| BenchError::Resolve {
                host: host.to_owned(),
                reason,
            })?;
            targets.push(Target {
                uri: uri.clone(),
                address,
                method: options.method.clone(),
            });
        }
        let (sessions, shared) = (options.sessions, options.shared);
        let load = Self {
            targets,
            users: (0..sessions).map(|_| Mutex::default()).collect(),
            free: Mutex::new((0..shared).flat_map(|_| 0..sessions).collect()),
            places: Semaphore::new(sessions * shared),
            tally: Mutex::new(Tally::new()),
            started: Instant::now(),
            due: Mutex::new(0),
            stopped: watch::Sender::new(false),
            options,
        };
        load.make_sessions().await?;
        *lock(&load.tally) = Tally::new();
        Ok(Self {
            started: Instant::now(),
            ..load
        })
    }

    async fn make_sessions(&self) -> Result<(), BenchError> {
        let mut connections = Connections::default();
        for user in 0..self.users.len() {
            let target = &self.targets[user % self.targets.len()];
            self.visit(&mut connections, user, target)
                .await
                .map_err(|reason| BenchError::Page {
                    target: target.uri.to_string(),
                    reason,
                })?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        let tally = lock(&self.tally);
        let (requests, failures) = (tally.requests(), tally.failures());
        Progress {
            elapsed: self.started.elapsed(),
            requests,
            failures,
        }
    }

    /// Sends requests over one connection until the time is up or the load is stopped.
    async fn keep_busy(self: Arc<Self>, index: u64) {
        let mut random = SmallRng::seed_from_u64(self.options.seed.wrapping_add(index));
        let mut connections = Connections::default();
        let mut stopped = self.stopped.subscribe();
        loop {
            let turn = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => None,
                turn = self.next_turn() => turn,
            };
            let Some((due, _place)) = turn else {
                return;
            };
            let Some(user) = lock(&self.free).pop_front() else {
                return;
            };
            let target = match self.options.route {
                Route::Random => &self.targets[random.random_range(0..self.targets.len())],
                Route::Sticky => &self.targets[0],
            };
            let result = self.visit(&mut connections, user, target).await;
            {
                let mut tally = lock(&self.tally);
                match result {
                    Ok(()) => tally.answered(due.elapsed()),
                    Err(kind) => tally.failed(kind, due.elapsed()),
                }
            }
            lock(&self.free).push_back(user);
        }
    }

    /// Waits until the next request is due and may use a session; `None` when the time is up.
    async fn next_turn(&self) -> Option<(Instant, SemaphorePermit<'_>)> {
        let due = self.next_due().await?;
        let place = self.places.acquire().await.ok()?;
        Some((due, place))
    }

    /// Waits until the next request is due; `None` when the time is up.
    async fn next_due(&self) -> Option<Instant> {
        let end = self.started + self.options.duration;
        let due = match self.options.rate {
            None => Instant::now(),
            Some(rate) => {
                let mut number = lock(&self.due);
                *number += 1;
                self.started + Duration::from_secs(1) * *number / rate
            }
        };
        if due >= end || Instant::now() >= end {
            return None;
        }
        sleep_until(due).await;
        Some(due)
    }

    /// One visit of one user.
    async fn visit(
        &self,
        connections: &mut Connections,
        user: usize,
        target: &Target,
    ) -> Result<(), String> {
        let cookie = lock(&self.users[user]).cookie();
        let answer = connections
            .get(target, cookie.as_deref(), self.options.timeout)
            .await;
        let mut user = lock(&self.users[user]);
        let answer = answer.inspect_err(|_| user.fail())?;
        let html = String::from_utf8_lossy(&answer.body);
        let Some(count) = page::visit_count(&html) else {
            user.fail();
            return Err("page without a visit count".to_owned());
        };
        user.keep_cookies(&answer.headers);
        user.served_by(page::node(&html));
        let verdict = &mut lock(&self.tally).verdict;
        if self.options.shared > 1 {
            user.judge_shared(count, verdict);
        } else {
            user.judge(count, verdict);
        }
        Ok(())
    }

    /// Visits every session once more and compares its count with what was acknowledged.
    async fn ask_last_counts(&self) {
        let mut connections = Connections::default();
        let deadline = Instant::now() + END_LIMIT;
        for user in &self.users {
            let cookie = lock(user).cookie();
            let count = loop {
                let target = &self.targets[0];
                let answer = connections
                    .get(target, cookie.as_deref(), self.options.timeout)
                    .await;
                let count = answer
                    .ok()
                    .and_then(|answer| page::visit_count(&String::from_utf8_lossy(&answer.body)));
                if count.is_some() || Instant::now() >= deadline {
                    break count;
                }
                tokio::time::sleep(PROGRESS_INTERVAL).await;
            };
            let verdict = &mut lock(&self.tally).verdict;
            match count {
                Some(count) => lock(user).judge_end(count, verdict),
                None => verdict.unchecked += 1,
            }
        }
    }

    fn report(&self, seconds: f64) -> Report {
        let tally = lock(&self.tally);
        let requests = tally.requests();
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 requests")]
        let requests_per_second = requests as f64 / seconds;
        Report {
            requests,
            requests_per_second,
            latency_ms: tally.latency(),
            errors: tally.errors.clone(),
            longest_wait_ms: tally.longest_wait_ms(),
            moves: self.users.iter().map(|user| lock(user).moves()).sum(),
            verdict: tally.verdict.clone(),
            sessions: self.options.sessions,
            connections: self.options.connections,
            seconds,
            seed: self.options.seed,
        }
    }
}
