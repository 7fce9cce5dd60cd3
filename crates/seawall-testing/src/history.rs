//! What clients saw, and what of it breaks a promise of `docs/guarantees.md`.
//!
//! Every session gets a token when it is made, which stays when its id rotates. An event tells
//! which session the client meant by the cookie that it sent, and which one it got.

use std::{collections::BTreeMap, fmt, time::Duration};

/// A session, whatever its id is.
pub type Token = i64;

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Added one to the count; made a session if there was none.
    Increment,
    /// Ended the session.
    Invalidate,
    /// Presented a cookie from before a rotation that has been acknowledged.
    Probe,
    /// Read the count.
    Read,
    /// Gave the session a new id.
    Rotate,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer: the session, if there was one, and its count.
    Answered(Option<(Token, i64)>),
    /// An error, or no answer: it may have taken effect or not.
    Unknown,
}

/// Times are since the start of the schedule.
#[derive(Clone)]
pub struct Event {
    /// What the client did.
    pub action: Action,
    /// The session that the cookie stood for.
    pub meant: Option<Token>,
    /// When the request left.
    pub start: Duration,
    /// When the answer was there.
    pub end: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// A session that a node claimed because it had expired.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Which session.
    pub token: Token,
    /// When it was claimed, at the latest.
    pub at: Duration,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct History {
    /// What the clients did.
    pub events: Vec<Event>,
    /// What the sweepers did.
    pub claims: Vec<Claim>,
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

    fn has_got(&self, token: Token) -> bool {
        self.got().is_some_and(|(got, _)| got == token)
    }

    /// Whether this may have added one to the session's count.
    fn may_increment(&self, token: Token) -> bool {
        let touches = match self.outcome {
            Outcome::Answered(_) => self.has_got(token),
            Outcome::Unknown => self.meant == Some(token),
        };
        self.action == Action::Increment && touches
    }

    fn has_incremented(&self, token: Token) -> bool {
        self.action == Action::Increment && self.has_got(token)
    }

    fn may_end(&self, token: Token) -> bool {
        let ends = matches!(self.action, Action::Invalidate | Action::Rotate);
        ends && (self.meant == Some(token) || self.has_got(token))
    }
}

/// A session's events and claims, in the order in which they were noted.
#[derive(Default)]
struct Life<'a> {
    events: Vec<&'a Event>,
    claims: Vec<Claim>,
}

impl History {
    /// How many events have no answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let unknown = |event: &&Event| event.outcome == Outcome::Unknown;
        self.events.iter().filter(unknown).count()
    }

    /// The first promise that is broken, in words.
    ///
    /// `idle_timeout` is how long sessions live unused; `skew` is how far clocks stand apart.
    ///
    /// # Errors
    /// The promise, and the events that show it.
    pub fn check(&self, idle_timeout: Duration, skew: Duration) -> Result<(), String> {
        for (token, life) in self.lives() {
            for event in &life.events {
                match event.got() {
                    Some((got, count)) if got == token => {
                        life.check_count(event, token, count)?;
                        life.check_end(event, token)?;
                    }
                    _ => life.check_found(event, token, idle_timeout.saturating_sub(skew))?,
                }
            }
            life.check_increments()?;
            life.check_claims(token, idle_timeout, skew)?;
        }
        Ok(())
    }

    fn lives(&self) -> BTreeMap<Token, Life<'_>> {
        let mut lives = BTreeMap::<Token, Life<'_>>::new();
        for event in &self.events {
            let got = event.got().map(|(token, _)| token);
            for token in [event.meant, got.filter(|_| got != event.meant)]
                .into_iter()
                .flatten()
            {
                lives.entry(token).or_default().events.push(event);
            }
        }
        for claim in &self.claims {
            lives.entry(claim.token).or_default().claims.push(*claim);
        }
        lives
    }
}

impl Life<'_> {
    /// P1, P3: what was acknowledged before is seen; what nobody did is not.
    fn check_count(&self, event: &Event, token: Token, count: i64) -> Result<(), String> {
        let others = || {
            self.events
                .iter()
                .filter(|other| !std::ptr::eq(**other, event))
        };
        let before =
            others().filter(|other| other.has_incremented(token) && other.end < event.start);
        let possible =
            others().filter(|other| other.may_increment(token) && other.start <= event.end);
        let own = usize::from(event.action == Action::Increment);
        let (least, most) = (before.count() + own, possible.count() + own);
        if usize::try_from(count).is_ok_and(|count| (least..=most).contains(&count)) {
            return Ok(());
        }
        Err(format!(
            "P3: {event:?} should have counted {least} to {most}"
        ))
    }

    /// P4, P8: a session that ended is not seen again, and neither is one by an old id.
    fn check_end(&self, event: &Event, token: Token) -> Result<(), String> {
        if event.action == Action::Probe {
            return Err(format!(
                "P8: {event:?} got in by an id that was rotated away"
            ));
        }
        let ended = self.events.iter().find(|other| {
            other.action == Action::Invalidate && other.has_got(token) && other.end < event.start
        });
        if let Some(end) = ended {
            return Err(format!("P4: {event:?} saw what {end:?} ended"));
        }
        match self.claims.iter().find(|claim| claim.at < event.start) {
            Some(claim) => Err(format!("P4: {event:?} saw what had expired: {claim:?}")),
            None => Ok(()),
        }
    }

    /// A session that nobody ended, and that was used often enough, is found.
    fn check_found(&self, event: &Event, token: Token, time: Duration) -> Result<(), String> {
        if event.action == Action::Probe || event.outcome == Outcome::Unknown {
            return Ok(());
        }
        let excused = self.events.iter().any(|other| {
            !std::ptr::eq(*other, event) && other.may_end(token) && other.start <= event.end
        });
        if excused || self.lay_unused(token, event.end, time) {
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
            .filter(|event| event.has_got(token) && event.start <= end);
        let mut uses: Vec<_> = uses.map(|event| (event.start, event.end)).collect();
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
    fn check_claims(
        &self,
        token: Token,
        idle_timeout: Duration,
        skew: Duration,
    ) -> Result<(), String> {
        if let [_, second, ..] = self.claims.as_slice() {
            return Err(format!("P5: {second:?} is the second for its session"));
        }
        for claim in &self.claims {
            let early = self.events.iter().find(|event| {
                event.has_got(token)
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
