//! How long to wait before the next attempt: exponential, bounded, with jitter.

use std::time::Duration;

/// An exponential back-off. It holds no clock and no source of randomness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// A back-off that starts at `base` and never exceeds `max`.
    #[must_use]
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The wait before attempt number `attempt` (0 is the first retry).
    ///
    /// `jitter` lies in 0 to 1 (others are clamped) and moves the result between half of
    /// the step and the whole of it, so connections cut together do not return together.
    #[must_use]
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        let step = self.base.saturating_mul(factor).min(self.max);
        let jitter = if jitter.is_nan() {
            1.0
        } else {
            jitter.clamp(0.0, 1.0)
        };
        step.mul_f64(0.5 + jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_stays_below_its_bound_and_never_overflows() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (0..8).map(|n| backoff.delay(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(60));
        assert_eq!(backoff.delay(3, 0.0), Duration::from_secs(4));
        assert_eq!(backoff.delay(0, f64::NAN), Duration::from_secs(1));
        assert_eq!(backoff.delay(0, 9.0), Duration::from_secs(1));
    }
}
