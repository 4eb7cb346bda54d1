//! Where a run ends although there is more to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::contact::Stop;
use crate::report::Limit;

/// What ends a run in good order before it is complete. Not part of a job: each run has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// From this time on nothing new is asked for; what was asked for may come in for a minute.
    pub until: Option<Instant>,
    /// Bytes of message bodies to fetch. What is asked for together when the limit is reached
    /// exceeds it by less than one message, so that a message larger than the limit is fetched.
    pub bytes: Option<u64>,
}

/// How much of a limit in bytes is used up. Shared by all connections of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Quota {
    limit: Option<u64>,
    /// Bytes that came, and those announced for what was asked for and has not come.
    used: Arc<AtomicU64>,
}

impl Quota {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            used: Arc::default(),
        }
    }

    /// Whether one more message may be asked for, however large it is.
    pub(super) fn has_room(&self) -> bool {
        self.limit
            .is_none_or(|limit| self.used.load(Ordering::Relaxed) < limit)
    }

    /// A message of this size is asked for.
    pub(super) fn ask(&self, announced: u64) {
        self.change(|used| used.saturating_add(announced));
    }

    /// It will not come: the connection was lost, or the server sent nothing.
    pub(super) fn give_back(&self, announced: u64) {
        self.change(|used| used.saturating_sub(announced));
    }

    /// It came, with so many bytes.
    pub(super) fn came(&self, announced: u64, len: u64) {
        self.change(|used| used.saturating_sub(announced).saturating_add(len));
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        let _: Result<u64, u64> =
            self.used
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    Some(change(used))
                });
    }

    /// Which limit a run that stopped short was stopped by; `None` where somebody asked it to.
    pub(super) fn reached(&self, stop: &Stop) -> Option<Limit> {
        if stop.is_ordered() {
            None
        } else if stop.is_requested() {
            Some(Limit::MaxRuntime)
        } else {
            (!self.has_room()).then_some(Limit::MaxBytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_asked_for_as_long_as_anything_is_left_of_the_limit() {
        let quota = Quota::new(Some(10));
        assert!(quota.has_room());
        quota.ask(50);
        assert!(!quota.clone().has_room());
        quota.give_back(50);
        quota.ask(4);
        quota.came(4, 9);
        assert!(quota.has_room(), "9 of 10");
        quota.ask(1);
        assert!(!quota.has_room());
        assert_eq!(quota.reached(&Stop::default()), Some(Limit::MaxBytes));
        assert!(Quota::new(None).has_room());
    }
}
