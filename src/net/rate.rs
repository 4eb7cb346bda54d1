//! A bound on bytes per second, shared by all connections of a run.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket over bytes moved. Its burst is a quarter of a second's worth.
#[derive(Debug)]
pub struct RateLimiter {
    bytes_per_second: NonZeroU64,
    /// When everything granted so far will have been paid for.
    paid_until: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// A limiter that lets `bytes_per_second` through on average.
    #[must_use]
    pub const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            paid_until: Mutex::new(None),
        }
    }

    /// The largest read that still gives an even flow.
    #[must_use]
    pub fn chunk(&self) -> usize {
        let quarter = (self.bytes_per_second.get() / 4).max(4096);
        usize::try_from(quarter).unwrap_or(usize::MAX)
    }

    /// Charges `bytes` just moved; the caller goes on after the returned wait.
    pub fn charge(&self, bytes: u64, now: Instant) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate needs no more than 52 bits"
        )]
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.get() as f64);
        let mut paid_until = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let start = paid_until.map_or(now, |t| t.max(now));
        // A cost that overflows the clock would take longer than the machine lives.
        let end = start.checked_add(cost).unwrap_or(start);
        *paid_until = Some(end);
        (end - now).saturating_sub(BURST)
    }
}

const BURST: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_bytes_takes_a_second_whoever_reads_them() {
        let limiter = RateLimiter::new(NonZeroU64::new(1000).unwrap());
        let now = Instant::now();
        assert_eq!(limiter.charge(250, now), Duration::ZERO);
        assert_eq!(limiter.charge(1000, now), Duration::from_secs(1));
        let later = now + Duration::from_secs(10);
        assert_eq!(limiter.charge(250, later), Duration::ZERO);
        assert_eq!(limiter.chunk(), 4096);
    }
}
