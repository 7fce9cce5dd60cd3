//! One virtual user: its cookies, and what it must be shown.

use std::collections::{BTreeMap, HashSet};

use http::{HeaderMap, header::SET_COOKIE};

use crate::report::Verdict;

/// The most cookies that a user keeps; a page that sets more is not one of ours.
const COOKIE_LIMIT: usize = 50;

/// A session as its user sees it. With shared sessions several requests are under way at once.
#[derive(Debug, Default)]
pub(crate) struct User {
    cookies: BTreeMap<String, String>,
    /// Visits that were acknowledged.
    acknowledged: u64,
    /// Requests that failed, and may have been counted all the same.
    failed: u64,
    /// The highest count that was shown.
    highest: u64,
    /// All counts that were shown, with shared sessions.
    shown: HashSet<u64>,
    node: Option<String>,
    moves: u64,
}

impl User {
    /// The `Cookie` header.
    pub(crate) fn cookie(&self) -> Option<String> {
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes over the cookies of an answer.
    pub(crate) fn keep_cookies(&mut self, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Some((name, value, deleted)) = header.to_str().ok().and_then(parse_cookie) else {
                continue;
            };
            if deleted {
                self.cookies.remove(&name);
            } else if self.cookies.len() < COOKIE_LIMIT || self.cookies.contains_key(&name) {
                self.cookies.insert(name, value);
            }
        }
    }

    /// Judges the count of an answer when requests of the session come one after the other.
    pub(crate) fn judge(&mut self, count: u64, verdict: &mut Verdict) {
        if count == 1 && self.highest > 0 {
            verdict.sessions_lost += 1;
            self.acknowledged = 0;
            self.failed = 0;
        } else if count <= self.highest {
            verdict.stale_reads += 1;
        } else {
            verdict.extra += count - self.highest - 1;
        }
        self.highest = count;
        self.acknowledged += 1;
    }

    /// Judges the count of an answer when several requests of the session are under way.
    pub(crate) fn judge_shared(&mut self, count: u64, verdict: &mut Verdict) {
        if !self.shown.insert(count) {
            verdict.lost_updates += 1;
        }
        self.highest = self.highest.max(count);
        self.acknowledged += 1;
    }

    pub(crate) fn fail(&mut self) {
        self.failed += 1;
    }

    /// Judges the last count, which includes the visit that asked for it.
    pub(crate) fn judge_end(&mut self, count: u64, verdict: &mut Verdict) {
        verdict.lost_updates += (self.acknowledged + 1).saturating_sub(count);
    }

    /// Notes which node answered.
    pub(crate) fn served_by(&mut self, node: Option<String>) {
        if self.node.is_some() && self.node != node {
            self.moves += 1;
        }
        self.node = node;
    }

    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }
}

/// Name, value, and whether the cookie is to be forgotten.
fn parse_cookie(header: &str) -> Option<(String, String, bool)> {
    let mut parts = header.split(';');
    let (name, value) = parts.next()?.trim().split_once('=')?;
    let deleted = parts.any(|part| {
        let part = part.trim().to_ascii_lowercase();
        part == "max-age=0" || part.starts_with("expires=thu, 01") && part.contains("1970")
    });
    Some((name.to_owned(), value.to_owned(), deleted))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judged(counts: &[u64], last: u64) -> Verdict {
        let (mut user, mut verdict) = (User::default(), Verdict::default());
        for &count in counts {
            user.judge(count, &mut verdict);
        }
        user.judge_end(last, &mut verdict);
        verdict
    }

    #[test]
    fn a_correct_server_has_a_clean_verdict() {
        assert_eq!(judged(&[1, 2, 3], 4), Verdict::default());
    }

    #[test]
    fn what_is_wrong_is_called_by_its_name() {
        let stale = judged(&[1, 2, 2, 3], 4);
        assert_eq!((stale.stale_reads, stale.lost_updates), (1, 1));
        assert_eq!(judged(&[1, 2, 3], 3).lost_updates, 1);
        assert_eq!(judged(&[1, 2, 1, 2], 3).sessions_lost, 1);
        let extra = judged(&[1, 2, 4], 5);
        assert_eq!((extra.extra, extra.is_good()), (1, true));
    }

    #[test]
    fn shared_sessions_may_answer_in_any_order_but_not_twice() {
        let (mut user, mut verdict) = (User::default(), Verdict::default());
        for count in [3, 1, 2] {
            user.judge_shared(count, &mut verdict);
        }
        assert!(verdict.is_good());
        user.judge_shared(2, &mut verdict);
        assert_eq!(verdict.lost_updates, 1);
    }

    #[test]
    fn cookies_are_kept_and_forgotten() {
        let mut user = User::default();
        let mut keep = |text: &'static str| {
            user.keep_cookies(&HeaderMap::from_iter([(
                SET_COOKIE,
                HeaderValue::from_static(text),
            )]));
            user.cookie()
        };
        assert_eq!(
            keep("a=1.node1; Path=/; HttpOnly").as_deref(),
            Some("a=1.node1")
        );
        assert_eq!(keep("b=2").as_deref(), Some("a=1.node1; b=2"));
        assert_eq!(keep("a=; Max-Age=0").as_deref(), Some("b=2"));
        assert_eq!(keep("b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), None);
    }
}
