//! A timer for waits below a millisecond, which is as fine as the runtime's own timer gets.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's, used for one wait after the other.
#[derive(Debug)]
pub(super) struct ShortTimer {
    descriptor: AsyncFd<Descriptor>,
}

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl ShortTimer {
    /// Must be called on a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe; the descriptor belongs to the timer that it is of"
        )]
        let descriptor = AsyncFd::new(Descriptor(timer))?;
        Ok(Self { descriptor })
    }

    /// Waits for `duration`, or not at all when the kernel refuses. May be dropped half-way.
    pub(super) async fn wait(&self, duration: Duration) {
        if duration.is_zero() {
            // Zero would switch the timer off.
            return;
        }
        let end = Expiration::OneShot(TimeSpec::from_duration(duration));
        let timer = &self.descriptor.get_ref().0;
        if timer.set(end, TimerSetTimeFlags::empty()).is_err() {
            return;
        }
        while let Ok(mut ready) = self.descriptor.readable().await {
            // A wait that was dropped may have left the descriptor marked as ready.
            if timer.wait().is_ok() {
                return;
            }
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_wait_takes_its_time_also_after_one_that_was_dropped() {
        let timer = ShortTimer::new().unwrap();
        let long = timer.wait(Duration::from_secs(3_600));
        let dropped = tokio::time::timeout(Duration::from_millis(1), long).await;
        assert!(dropped.is_err());
        for micros in [0, 100, 500, 2_000] {
            let started = Instant::now();
            timer.wait(Duration::from_micros(micros)).await;
            assert!(started.elapsed() >= Duration::from_micros(micros));
        }
    }
}
