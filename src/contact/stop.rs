//! A request to stop: from a signal, from a part of the run that failed, or from the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long what was asked for before the time was up may take to come in. A stalled server is
/// left sooner than its connection would time out.
const GRACE: Duration = Duration::from_secs(60);

/// Shared by everything that works on a run. Once set it stays set.
#[derive(Debug, Clone)]
pub struct Stop {
    set: Arc<watch::Sender<bool>>,
    until: Option<Instant>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            set: Arc::new(watch::Sender::new(false)),
            until: None,
        }
    }
}

impl Stop {
    /// Asks everybody to stop at the next good moment.
    pub fn request(&self) {
        self.set.send_replace(true);
    }

    /// The same request, which at this time comes by itself as well. Whoever has the original
    /// knows nothing of the time.
    #[must_use]
    pub fn or_at(&self, until: Option<Instant>) -> Self {
        Self {
            set: Arc::clone(&self.set),
            until,
        }
    }

    /// Whether somebody asked, or the time is up. Nothing new is begun then.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.is_ordered() || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Whether somebody asked, whatever the time.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        *self.set.borrow()
    }

    /// Whether it is nothing but the time that is up.
    #[must_use]
    pub fn is_time_up(&self) -> bool {
        self.is_requested() && !self.is_ordered()
    }

    /// Waits until somebody asks, or the time is up. Safe to drop at any time.
    pub async fn requested(&self) {
        self.requested_after(Duration::ZERO).await;
    }

    /// The same for what is coming in already: it may take a minute longer than the time that
    /// was set, but no longer than somebody who asks wants to wait. Safe to drop at any time.
    pub async fn overdue(&self) {
        self.requested_after(grace()).await;
    }

    async fn requested_after(&self, grace: Duration) {
        let mut receiver = self.set.subscribe();
        let ordered = async {
            if receiver.wait_for(|set| *set).await.is_err() {
                // The sender lives in self, so this cannot be; never returning is "not asked".
                std::future::pending::<()>().await;
            }
        };
        let time_is_up = async {
            match self.until.and_then(|until| until.checked_add(grace)) {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ordered => {}
            () = time_is_up => {}
        }
    }
}

#[cfg(not(feature = "testing"))]
const fn grace() -> Duration {
    GRACE
}

/// `MAILSTOW_TEST_GRACE_MS` replaces it: tests of servers that stall have no minute.
#[cfg(feature = "testing")]
fn grace() -> Duration {
    let named = std::env::var("MAILSTOW_TEST_GRACE_MS").ok();
    let millis = named.and_then(|ms| ms.parse().ok());
    millis.map_or(GRACE, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_asks_only_those_who_were_told_it() {
        let stop = Stop::default();
        let past = stop.or_at(Instant::now().checked_sub(Duration::from_secs(1)));
        assert!(past.is_requested() && past.is_time_up() && !past.is_ordered());
        assert!(!stop.is_requested());
        past.requested().await;
        let later = stop.or_at(Instant::now().checked_add(Duration::from_secs(3600)));
        assert!(!later.is_requested());
        stop.request();
        assert!(later.is_ordered() && !later.is_time_up());
        assert!(past.is_ordered() && !past.is_time_up());
        later.overdue().await;
    }
}
