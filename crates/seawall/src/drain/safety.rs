//! Whether a node that drains is safe to stop. Pure: what was seen and the time go in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::reports::{NodeReport, ServerReport};

/// How long a node must have been quiet even when all its balancers have turned away: a request may
/// have been on its way.
const QUIET: Duration = Duration::from_millis(500);

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) node: NodeReport,
    /// The balancers that answered, and what they say of the node, if they know it.
    pub(super) seen: Vec<(SocketAddr, Option<ServerReport>)>,
    /// The balancers that could not be asked, and why.
    pub(super) unseen: Vec<String>,
}

/// What follows from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is safe to stop; the text says why.
    Safe(String),
    /// The node drains no more.
    Undone,
    /// What is waited for.
    Waiting(String),
}

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    requests: Option<u64>,
    quiet_since: Instant,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            requests: None,
            quiet_since: now,
        }
    }

    /// Takes note of a look. `unseen` is how long a balancer that cannot be asked may take to notice
    /// that the node drains.
    pub(super) fn look(&mut self, now: Instant, look: &Look, unseen: Duration) -> State {
        let node = &look.node;
        if self.requests != node.requests || node.in_flight > 0 {
            self.requests = node.requests;
            self.quiet_since = now;
        }
        if !node.draining {
            return State::Undone;
        }
        if node.in_flight > 0 {
            return State::Waiting(format!("{} requests are in flight", node.in_flight));
        }
        if let Some(waiting) = look.seen.iter().find_map(busy) {
            return State::Waiting(waiting);
        }
        let all_are_seen = look.unseen.is_empty();
        let needed = if all_are_seen { QUIET } else { unseen };
        let quiet = now.saturating_duration_since(self.quiet_since);
        if quiet < needed {
            return State::Waiting(format!("the last request came less than {needed:?} ago"));
        }
        State::Safe(if all_are_seen {
            "no balancer sends it requests, and none is in flight: safe to stop".to_owned()
        } else {
            format!(
                "not every balancer could be asked ({}), but no request came for {needed:?}, and none \
                 is in flight: safe to stop, if all balancers check their servers more often than that",
                look.unseen.join("; ")
            )
        })
    }
}

/// What a balancer still does with the node.
fn busy((balancer, server): &(SocketAddr, Option<ServerReport>)) -> Option<String> {
    let server = server.as_ref()?;
    if !server.draining && server.state != "DOWN" {
        return Some(format!("the balancer at {balancer} has not noticed yet"));
    }
    (server.in_flight > 0).then(|| {
        let count = server.in_flight;
        format!("{count} requests or tunnels of the balancer at {balancer} are in flight")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::Latency;

    const UNSEEN: Duration = Duration::from_secs(3);

    fn node(requests: u64, in_flight: u64) -> NodeReport {
        NodeReport {
            node: "node1".to_owned(),
            version: "1".to_owned(),
            pid: 1,
            sessions: 0,
            in_flight,
            store: "up".to_owned(),
            draining: true,
            requests: Some(requests),
            uptime_seconds: None,
            memory_bytes: None,
            time_ms: None,
            configuration: std::collections::BTreeMap::new(),
        }
    }

    fn server(draining: bool, in_flight: u64) -> ServerReport {
        ServerReport {
            name: "node1".to_owned(),
            address: String::new(),
            state: if draining { "DRAIN" } else { "UP" }.to_owned(),
            suspect: false,
            check_code: None,
            draining,
            since_seconds: 0,
            in_flight,
            requests: 0,
            latency: Latency {
                bounds_us: Vec::new(),
                counts: Vec::new(),
            },
        }
    }

    fn seen(node: NodeReport, server: ServerReport) -> Look {
        let balancer = "127.0.0.1:8404".parse().unwrap();
        Look {
            node,
            seen: vec![(balancer, Some(server))],
            unseen: Vec::new(),
        }
    }

    fn is_safe(state: &State) -> bool {
        matches!(state, State::Safe(_))
    }

    #[test]
    fn a_node_is_safe_when_its_balancers_have_turned_away_and_nothing_is_in_flight() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let mut look = |ms, look| watch.look(start + Duration::from_millis(ms), &look, UNSEEN);
        assert!(!is_safe(&look(0, seen(node(7, 0), server(false, 0)))));
        assert!(!is_safe(&look(900, seen(node(7, 0), server(false, 0)))));
        assert!(
            !is_safe(&look(910, seen(node(7, 0), server(true, 1)))),
            "a tunnel"
        );
        assert!(
            !is_safe(&look(920, seen(node(7, 1), server(true, 0)))),
            "a request"
        );
        assert!(
            !is_safe(&look(930, seen(node(7, 0), server(true, 0)))),
            "just now"
        );
        assert!(
            !is_safe(&look(1_400, seen(node(8, 0), server(true, 0)))),
            "another"
        );
        assert!(!is_safe(&look(1_899, seen(node(8, 0), server(true, 0)))));
        assert!(is_safe(&look(1_900, seen(node(8, 0), server(true, 0)))));
    }

    #[test]
    fn a_balancer_that_cannot_be_asked_is_given_time() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let look = || Look {
            node: node(7, 0),
            seen: Vec::new(),
            unseen: vec!["127.0.0.1:8404: refused".to_owned()],
        };
        assert!(!is_safe(&watch.look(start, &look(), UNSEEN)));
        assert!(!is_safe(&watch.look(start + UNSEEN / 2, &look(), UNSEEN)));
        let State::Safe(text) = watch.look(start + UNSEEN, &look(), UNSEEN) else {
            panic!("three seconds are enough");
        };
        assert!(text.contains("127.0.0.1:8404"), "{text}");
    }

    #[test]
    fn a_node_that_was_made_ready_is_not_waited_for() {
        let now = Instant::now();
        let mut undone = seen(node(1, 0), server(false, 0));
        undone.node.draining = false;
        assert_eq!(Watch::new(now).look(now, &undone, UNSEEN), State::Undone);
    }
}
