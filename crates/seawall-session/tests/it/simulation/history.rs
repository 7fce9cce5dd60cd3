//! What the clients saw, and what of it breaks a promise.
//!
//! Every session gets a token when it is made, which stays when its id rotates. An event tells
//! which session the client meant by the cookie that it sent, and which one it got.

use std::{collections::BTreeMap, fmt, time::Duration};

/// A session, whatever its id is.
pub(crate) type Token = i64;

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Increment,
    Invalidate,
    /// Presented a cookie from before a rotation that has been acknowledged.
    Probe,
    Read,
    Rotate,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer: the session, if there was one, and its count.
    Answered(Option<(Token, i64)>),
    /// An error, or no answer: it may have taken effect or not.
    Unknown,
}

/// Times are since the start of the schedule.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) action: Action,
    /// The session that the cookie stood for.
    pub(crate) meant: Option<Token>,
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    pub(crate) outcome: Outcome,
}

/// A session that a node claimed because it had expired.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) token: Token,
    pub(crate) at: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<Event>,
    pub(crate) claims: Vec<Claim>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            meant,
            start,
            end,
            outcome,
        } = self;
        write!(
            f,
            "[{start:.3?} to {end:.3?}] {action:?} of {meant:?}: {outcome:?}"
        )
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event:?}")?;
        }
        for claim in &self.claims {
            writeln!(f, "{claim:?}")?;
        }
        Ok(())
    }
}

impl Event {
    fn got(&self) -> Option<(Token, i64)> {
        match self.outcome {
            Outcome::Answered(got) => got,
            Outcome::Unknown => None,
        }
    }

    /// Whether this may have added one to the session's count.
    fn may_increment(&self, token: Token) -> bool {
        let touches = match self.outcome {
            Outcome::Answered(got) => got.is_some_and(|(got, _)| got == token),
            Outcome::Unknown => self.meant.is_none_or(|meant| meant == token),
        };
        self.action == Action::Increment && touches
    }

    fn has_incremented(&self, token: Token) -> bool {
        self.action == Action::Increment && self.got().is_some_and(|(got, _)| got == token)
    }

    fn may_end(&self, token: Token) -> bool {
        let ends = matches!(self.action, Action::Invalidate | Action::Rotate);
        let seen = self.got().map(|(got, _)| got);
        ends && (self.meant == Some(token) || seen == Some(token))
    }
}

impl History {
    /// How many events have no answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.events
            .iter()
            .filter(|event| event.outcome == Outcome::Unknown)
            .count()
    }

    /// The first promise that is broken, in words.
    ///
    /// `idle_timeout` is how long sessions live unused; `skew` is how far clocks stand apart.
    pub(crate) fn check(&self, idle_timeout: Duration, skew: Duration) -> Result<(), String> {
        for event in &self.events {
            if let Some((token, count)) = event.got() {
                self.check_count(event, token, count)?;
                self.check_life(event, token)?;
            }
            self.check_found(event, idle_timeout, skew)?;
        }
        self.check_increments()?;
        self.check_claims(idle_timeout, skew)
    }

    /// P1, P3: what was acknowledged before is seen; what nobody did is not.
    fn check_count(&self, event: &Event, token: Token, count: i64) -> Result<(), String> {
        let others = || {
            self.events
                .iter()
                .filter(|other| !std::ptr::eq(*other, event))
        };
        let before = |other: &&Event| other.has_incremented(token) && other.end < event.start;
        let possible = |other: &&Event| other.may_increment(token) && other.start <= event.end;
        let own = i64::from(event.action == Action::Increment);
        let least = i64::try_from(others().filter(before).count()).unwrap() + own;
        let most = i64::try_from(others().filter(possible).count()).unwrap() + own;
        if (least..=most).contains(&count) {
            return Ok(());
        }
        Err(format!(
            "P3: {event:?} should have counted {least} to {most}"
        ))
    }

    /// P4, P8: a session that ended is not seen again, and neither is one by an old id.
    fn check_life(&self, event: &Event, token: Token) -> Result<(), String> {
        if event.action == Action::Probe {
            return Err(format!(
                "P8: {event:?} got in by an id that was rotated away"
            ));
        }
        let ended = self.events.iter().find(|other| {
            other.action == Action::Invalidate
                && other.got().is_some_and(|(got, _)| got == token)
                && other.end < event.start
        });
        if let Some(end) = ended {
            return Err(format!("P4: {event:?} saw what {end:?} ended"));
        }
        let claimed = self
            .claims
            .iter()
            .find(|claim| claim.token == token && claim.at < event.start);
        match claimed {
            Some(claim) => Err(format!("P4: {event:?} saw what had expired: {claim:?}")),
            None => Ok(()),
        }
    }

    /// A session that nobody ended is found.
    fn check_found(
        &self,
        event: &Event,
        idle_timeout: Duration,
        skew: Duration,
    ) -> Result<(), String> {
        let (Some(meant), Outcome::Answered(got)) = (event.meant, event.outcome) else {
            return Ok(());
        };
        if event.action == Action::Probe || got.is_some_and(|(got, _)| got == meant) {
            return Ok(());
        }
        let excused = self.events.iter().any(|other| {
            !std::ptr::eq(other, event) && other.may_end(meant) && other.start <= event.end
        });
        if excused || self.lay_unused(meant, event.end, idle_timeout.saturating_sub(skew)) {
            return Ok(());
        }
        Err(format!("P1: {event:?} did not find its session"))
    }

    /// Whether a session lay unused for so long that it might have expired, at any time until `end`.
    /// One that is used again after that, because nobody had noticed, may be found or not.
    fn lay_unused(&self, token: Token, end: Duration, time: Duration) -> bool {
        let uses = self
            .events
            .iter()
            .filter(|event| event.got().is_some_and(|(got, _)| got == token) && event.start <= end);
        let mut uses: Vec<(Duration, Duration)> =
            uses.map(|event| (event.start, event.end)).collect();
        uses.sort();
        uses.push((end, end));
        uses.windows(2).any(|pair| pair[1].1 >= pair[0].0 + time)
    }

    /// P2: no two increments give the same count.
    fn check_increments(&self) -> Result<(), String> {
        let mut seen = BTreeMap::new();
        for event in self
            .events
            .iter()
            .filter(|event| event.action == Action::Increment)
        {
            let Some(result) = event.got() else { continue };
            if let Some(other) = seen.insert(result, event) {
                return Err(format!("P2: {event:?} and {other:?} are one increment"));
            }
        }
        Ok(())
    }

    /// P5: a session expires once, and not before its time.
    fn check_claims(&self, idle_timeout: Duration, skew: Duration) -> Result<(), String> {
        for (index, claim) in self.claims.iter().enumerate() {
            if self.claims[..index]
                .iter()
                .any(|other| other.token == claim.token)
            {
                return Err(format!("P5: {claim:?} is the second for its session"));
            }
            let early = self.events.iter().find(|event| {
                event.got().is_some_and(|(got, _)| got == claim.token)
                    && event.end <= claim.at
                    && claim.at + skew < event.start + idle_timeout
            });
            if let Some(event) = early {
                return Err(format!("P5: {claim:?} is too early after {event:?}"));
            }
        }
        Ok(())
    }
}
