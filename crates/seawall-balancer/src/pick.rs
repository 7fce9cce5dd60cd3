//! Which server gets a request. Pure: what is known of the servers goes in, an index comes out.

use crate::config::Algorithm;

/// What a choice is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) weight: u32,
    pub(crate) in_flight: usize,
    pub(crate) tier: Tier,
}

/// How willingly a server is used; a worse tier only when all better ones are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Good,
    /// Up, and about to leave.
    Draining,
    /// Up, but its session store does not answer.
    StoreAway,
    /// Up, but it has just refused or hung.
    Suspect,
    Unknown,
    Down,
    /// This request has been there.
    Tried,
}

/// One worker's memory of whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Picker {
    /// Smooth weighted round robin: each turn adds the weights, the highest is taken and pays the
    /// sum. So the turns of a heavy server are spread out.
    credit: Vec<i64>,
}

impl Picker {
    /// The index of the server that a request goes to; `None` when it has been everywhere.
    ///
    /// A server that the cookie names is taken whatever its weight, while no better tier is there.
    pub(crate) fn pick(
        &mut self,
        candidates: &[Candidate],
        wanted: Option<usize>,
        algorithm: Algorithm,
    ) -> Option<usize> {
        let best = candidates.iter().map(|candidate| candidate.tier).min()?;
        if best == Tier::Tried {
            return None;
        }
        if let Some(wanted) = wanted
            && candidates
                .get(wanted)
                .is_some_and(|candidate| candidate.tier == best)
        {
            return Some(wanted);
        }
        // Weight 0 takes no new clients, unless nobody else is there at all.
        let weighty = |c: &&Candidate| c.weight > 0 && c.tier < Tier::Tried;
        let best_weighty = candidates.iter().filter(weighty).map(|c| c.tier).min();
        let best = best_weighty.unwrap_or(best);
        let open = |c: &Candidate| c.tier == best && (c.weight > 0 || best_weighty.is_none());
        match algorithm {
            Algorithm::LeastConnections => {
                let least = candidates.iter().filter(|c| open(c)).map(load).min();
                self.round_robin(candidates, |c| open(c) && Some(load(c)) == least)
            }
            Algorithm::RoundRobin => self.round_robin(candidates, open),
        }
    }

    fn round_robin(
        &mut self,
        candidates: &[Candidate],
        open: impl Fn(&Candidate) -> bool,
    ) -> Option<usize> {
        self.credit.resize(candidates.len(), 0);
        let (mut total, mut best) = (0, None);
        for (index, candidate) in candidates.iter().enumerate().filter(|(_, c)| open(c)) {
            let weight = i64::from(candidate.weight.max(1));
            self.credit[index] += weight;
            total += weight;
            if best.is_none_or(|best: usize| self.credit[index] > self.credit[best]) {
                best = Some(index);
            }
        }
        self.credit[best?] -= total;
        best
    }
}

/// What a server is busy with for its weight: (in flight + 1) / weight, in whole numbers.
fn load(candidate: &Candidate) -> u64 {
    (candidate.in_flight as u64 + 1) * 1_000_000 / u64::from(candidate.weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(weight: u32, tier: Tier) -> Candidate {
        Candidate {
            weight,
            in_flight: 0,
            tier,
        }
    }

    fn turns(servers: &[Candidate], wanted: Option<usize>, count: usize) -> Vec<usize> {
        let mut picker = Picker::default();
        let turn = |_| picker.pick(servers, wanted, Algorithm::RoundRobin).unwrap();
        (0..count).map(turn).collect()
    }

    #[test]
    fn turns_go_round_by_weight_and_are_spread_out() {
        let even = [server(1, Tier::Good); 3];
        assert_eq!(turns(&even, None, 6), [0, 1, 2, 0, 1, 2]);
        let heavy = [server(3, Tier::Good), server(1, Tier::Good)];
        assert_eq!(turns(&heavy, None, 8), [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn the_wanted_server_is_kept_while_it_is_as_good_as_any() {
        let servers = [server(1, Tier::Good), server(0, Tier::Good)];
        assert_eq!(
            turns(&servers, Some(1), 3),
            [1, 1, 1],
            "weight 0 keeps its clients"
        );
        assert_eq!(turns(&servers, None, 3), [0, 0, 0], "and takes no new ones");
        for tier in [
            Tier::Draining,
            Tier::StoreAway,
            Tier::Suspect,
            Tier::Unknown,
            Tier::Down,
            Tier::Tried,
        ] {
            let servers = [server(1, Tier::Good), server(1, tier)];
            assert_eq!(turns(&servers, Some(1), 2), [0, 0], "{tier:?}");
        }
        assert_eq!(
            turns(&[server(1, Tier::Down); 2], Some(1), 2),
            [1, 1],
            "nobody is better"
        );
    }

    #[test]
    fn worse_servers_are_used_only_when_all_better_ones_are_gone() {
        let tiers = [
            Tier::Down,
            Tier::Unknown,
            Tier::Suspect,
            Tier::StoreAway,
            Tier::Draining,
            Tier::Good,
        ];
        for better in 1..tiers.len() {
            let servers: Vec<_> = tiers[..=better]
                .iter()
                .map(|tier| server(1, *tier))
                .collect();
            assert_eq!(turns(&servers, None, 2), [better, better]);
        }
        let mut picker = Picker::default();
        let tried = [server(1, Tier::Tried); 2];
        assert_eq!(picker.pick(&tried, Some(0), Algorithm::RoundRobin), None);
        assert_eq!(picker.pick(&[], None, Algorithm::RoundRobin), None);
        let only_zero = [server(0, Tier::Good), server(1, Tier::Tried)];
        assert_eq!(turns(&only_zero, None, 1), [0], "rather than nobody");
    }

    #[test]
    fn least_connections_counts_by_weight() {
        let busy = |weight, in_flight| Candidate {
            weight,
            in_flight,
            tier: Tier::Good,
        };
        let pick = |servers: &[Candidate]| {
            Picker::default().pick(servers, None, Algorithm::LeastConnections)
        };
        assert_eq!(pick(&[busy(1, 3), busy(1, 2)]), Some(1));
        assert_eq!(pick(&[busy(4, 3), busy(1, 2)]), Some(0));
        let mut picker = Picker::default();
        let mut idle = || picker.pick(&[busy(1, 0); 2], None, Algorithm::LeastConnections);
        let turns = [(); 4].map(|()| idle().unwrap());
        assert_eq!(turns, [0, 1, 0, 1], "equals take turns");
    }
}
