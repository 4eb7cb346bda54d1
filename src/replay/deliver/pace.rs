//! How often messages go. Pure: the caller tells the time.

use std::time::Duration;

use tokio::time::Instant;

/// Keeps messages apart.
#[derive(Debug)]
pub(super) struct Pace {
    apart: Duration,
    next: Option<Instant>,
}

impl Pace {
    pub(super) const fn new(apart: Duration) -> Self {
        Self { apart, next: None }
    }

    /// How long the next message has to wait; the first one does not.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// A message goes now.
    pub(super) fn goes(&mut self, now: Instant) {
        self.next = now.checked_add(self.apart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_apart_and_time_that_was_lost_is_not_made_up_for() {
        let second = Duration::from_secs(1);
        let mut now = Instant::now();
        let mut pace = Pace::new(2 * second);
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.goes(now);
        assert_eq!(pace.wait(now), 2 * second);
        now += second;
        assert_eq!(pace.wait(now), second);
        now += 60 * second;
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.goes(now);
        // A minute without a message is no right to thirty at once.
        assert_eq!(pace.wait(now), 2 * second);
    }
}
