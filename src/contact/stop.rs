//! A request to stop, from a signal or from a part of the run that failed.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared by everything that works on a run. Once set it stays set.
#[derive(Debug, Clone)]
pub struct Stop {
    set: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            set: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Stop {
    /// Asks everybody to stop at the next good moment.
    pub fn request(&self) {
        self.set.send_replace(true);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.set.borrow()
    }

    /// Waits until somebody asks. Safe to drop at any time.
    pub async fn requested(&self) {
        let mut receiver = self.set.subscribe();
        if receiver.wait_for(|set| *set).await.is_err() {
            // The sender lives in self, so this cannot be; never returning is "not asked".
            std::future::pending::<()>().await;
        }
    }
}
