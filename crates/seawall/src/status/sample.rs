//! What the parts of a cluster say at one moment.

use std::time::{Duration, Instant};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    config::Settings,
    node,
    reports::{self, BalancerReport, NodeAnswer, ReportError},
    store_access,
};

/// How long any part may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What nodes and balancer said.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// In the order of the configuration.
    pub(super) nodes: Vec<Result<NodeAnswer, String>>,
    /// `None` when there is none.
    pub(super) balancer: Option<Result<BalancerReport, String>>,
}

impl Sample {
    /// Asks all at the same time.
    pub(super) async fn take(settings: &Settings) -> Self {
        let (nodes, balancer) = tokio::join!(
            reports::nodes(&settings.nodes, ANSWER_LIMIT),
            reports::some_balancer(settings.stats(), ANSWER_LIMIT),
        );
        Self {
            at: Instant::now(),
            nodes: nodes
                .into_iter()
                .map(|node| in_words(node.answer))
                .collect(),
            balancer: balancer.map(in_words),
        }
    }
}

fn in_words<T>(answer: Result<T, ReportError>) -> Result<T, String> {
    answer.map_err(|error| error.to_string())
}

type Question = oneshot::Sender<Result<u64, String>>;

/// A thread that keeps the store open and counts its sessions when it is asked.
#[derive(Debug)]
pub(super) struct StoreWatch {
    questions: mpsc::Sender<Question>,
}

impl StoreWatch {
    pub(super) fn start(settings: &Settings) -> Self {
        let (questions, mut asked) = mpsc::channel::<Question>(1);
        let (url, options) = (settings.store.clone(), settings.store_options.clone());
        std::thread::spawn(move || {
            let Ok(runtime) = node::runtime() else {
                return;
            };
            runtime.block_on(async {
                let mut store = None;
                while let Some(question) = asked.recv().await {
                    if store.is_none() {
                        match store_access::open(&url, &options).await {
                            Ok(opened) => store = Some(opened),
                            Err(reason) => {
                                let _ = question.send(Err(reason));
                                continue;
                            }
                        }
                    }
                    let count = match &store {
                        Some(store) => store.count().await.map_err(|error| error.to_string()),
                        None => continue,
                    };
                    // Nobody waits for an answer that comes too late.
                    let _ = question.send(count);
                }
            });
        });
        Self { questions }
    }

    /// How many sessions there are, if the store says so in time.
    pub(super) async fn look(&self) -> Result<u64, String> {
        let ask = async {
            let (sender, answer) = oneshot::channel();
            self.questions.send(sender).await.ok()?;
            answer.await.ok()
        };
        match timeout(ANSWER_LIMIT, ask).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("it cannot be looked at".to_owned()),
            Err(_) => Err(format!("no answer within {ANSWER_LIMIT:?}")),
        }
    }
}
