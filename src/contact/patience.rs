//! How often a server that was lost is tried again, and how long between.

use std::time::Duration;

use super::error::describe;
use super::stop::Stop;
use crate::event::{Event, Sink};
use crate::net::Backoff;

/// Failed attempts in a row, without anything gained in between, after which one gives up.
const ATTEMPTS: u32 = 6;

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(120));

/// Counts failed attempts and waits between them.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failed: u32,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The wait is over: try again.
    Again,
    /// It has failed often enough.
    Enough,
    /// Somebody asked to stop.
    Stopped,
}

impl Patience {
    /// Something was gained: the next failure is a first one.
    pub(crate) const fn gained(&mut self) {
        self.failed = 0;
    }

    /// Waits for at least `least` after this failure, if it is to be tried again at all.
    pub(crate) async fn after(
        &mut self,
        error: &(dyn std::error::Error + Sync),
        least: Duration,
        sink: &dyn Sink,
        stop: &Stop,
    ) -> Verdict {
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            return Verdict::Enough;
        }
        let wait = least.max(BACKOFF.delay(self.failed - 1, 1.0));
        sink.event(Event::Retrying {
            reason: describe(error),
            wait_seconds: wait.as_secs(),
        });
        tokio::select! {
            () = tokio::time::sleep(really(wait)) => Verdict::Again,
            () = stop.requested() => Verdict::Stopped,
        }
    }
}

#[cfg(not(feature = "testing"))]
const fn really(wait: Duration) -> Duration {
    wait
}

/// `MAILSTOW_TEST_BACKOFF_MS` bounds the wait: tests count attempts and have no time.
#[cfg(feature = "testing")]
fn really(wait: Duration) -> Duration {
    let bound = testing::BOUND_MS.load(std::sync::atomic::Ordering::Relaxed);
    let named = std::env::var("MAILSTOW_TEST_BACKOFF_MS")
        .ok()
        .and_then(|ms| ms.parse().ok());
    wait.min(Duration::from_millis(named.unwrap_or(u64::MAX).min(bound)))
}

/// For tests that run the engine in their own process.
#[cfg(feature = "testing")]
pub mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(super) static BOUND_MS: AtomicU64 = AtomicU64::new(u64::MAX);

    /// Bounds every wait between attempts, in this process.
    pub fn bound_waits_ms(ms: u64) {
        BOUND_MS.store(ms, Ordering::Relaxed);
    }
}
