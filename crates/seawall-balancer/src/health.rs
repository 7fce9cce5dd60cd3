//! Whether a server is well: a state machine over the results of its checks.

/// What the balancer thinks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It failed its checks.
    Down,
    /// It has not been checked yet; it gets no traffic unless nothing else is there.
    Unknown,
    /// It takes traffic.
    Up,
}

/// The state of one server's checks.
#[derive(Debug)]
pub(crate) struct Health {
    status: Status,
    /// Results in a row that speak against the status.
    against: u32,
    rise: u32,
    fall: u32,
}

impl Health {
    pub(crate) fn new(rise: u32, fall: u32) -> Self {
        Self {
            status: Status::Unknown,
            against: 0,
            rise: rise.max(1),
            fall: fall.max(1),
        }
    }

    /// Takes note of a check; the answer is the new status when it changed.
    pub(crate) fn observe(&mut self, passed: bool) -> Option<Status> {
        let (next, needed) = match (self.status, passed) {
            // Nothing is known against it, so the first good check counts.
            (Status::Unknown, true) => (Status::Up, 1),
            (Status::Down, true) => (Status::Up, self.rise),
            (Status::Unknown | Status::Up, false) => (Status::Down, self.fall),
            (Status::Up, true) | (Status::Down, false) => {
                self.against = 0;
                return None;
            }
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.status = next;
        Some(next)
    }

    /// Whether the next check should come soon.
    pub(crate) fn is_changing(&self) -> bool {
        self.status != Status::Up || self.against > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(results: &[bool]) -> Status {
        let mut health = Health::new(2, 3);
        for &passed in results {
            health.observe(passed);
        }
        health.status
    }

    #[test]
    fn a_server_starts_unknown_and_rises_and_falls_by_count() {
        assert_eq!(after(&[]), Status::Unknown);
        assert_eq!(after(&[true]), Status::Up);
        assert_eq!(after(&[false]), Status::Unknown);
        assert_eq!(after(&[false, true]), Status::Up, "it was still starting");
        assert_eq!(after(&[false, false, false]), Status::Down);
        assert_eq!(after(&[true, false, false]), Status::Up);
        assert_eq!(after(&[true, false, false, false]), Status::Down);
        assert_eq!(after(&[true, false, false, true, false, false]), Status::Up);
        assert_eq!(after(&[false, false, false, true]), Status::Down);
        assert_eq!(after(&[false, false, false, true, true]), Status::Up);
    }

    #[test]
    fn a_change_is_told_once_and_checked_fast_before() {
        let mut health = Health::new(2, 3);
        assert!(health.is_changing());
        assert_eq!(health.observe(true), Some(Status::Up));
        assert!(!health.is_changing());
        assert_eq!(health.observe(false), None);
        assert!(health.is_changing());
        assert_eq!(health.observe(false), None);
        assert_eq!(health.observe(false), Some(Status::Down));
        assert_eq!(health.observe(false), None);
        assert!(
            health.is_changing(),
            "a server that is down is looked for often"
        );
    }
}
