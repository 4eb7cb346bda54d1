//! Which messages that were skipped before are tried again in a run. Pure; the same for all
//! protocols.
//!
//! They come after new mail, the ones whose last try is the longest ago first, so that each gets
//! its turn however many they are. What fails again is bounded, in messages and in connections. A
//! server that is well again gives them all.

/// Tries in vain are one in so many of the messages of a run …
const ONE_IN: u64 = 10;
/// … but so many are made in any case.
const AT_LEAST: u64 = 50;
/// Connections lost over messages that were skipped before, after which a run tries no more of
/// them. What a dead message costs a night is bounded by this, however many there are.
pub(super) const LOSSES: u32 = 3;

/// A message that was skipped before and is there still.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Retry<T> {
    /// When it was tried last: RFC 3339, UTC, so that the order of the texts is that of the times.
    pub(super) last: String,
    /// Which one.
    pub(super) message: T,
    /// Why it was skipped then.
    pub(super) reason: String,
}

/// In the order in which they are tried.
pub(super) fn in_order<T: Ord>(mut retries: Vec<Retry<T>>) -> Vec<Retry<T>> {
    retries.sort();
    retries
}

/// How many tries in vain a run makes that fetches so many new messages.
pub(super) fn share(new: u64) -> u64 {
    // One in ten of all is one to nine of the new ones.
    (new / (ONE_IN - 1)).max(AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ones_tried_longest_ago_come_first_and_not_too_many_in_vain() {
        let retry = |minute: u32| Retry {
            last: format!("2026-01-01T00:{minute:02}:00Z"),
            message: 60 - minute,
            reason: String::new(),
        };
        let ordered = in_order((0..60).rev().map(retry).collect());
        let minutes: Vec<u32> = ordered.iter().map(|r| 60 - r.message).collect();
        assert_eq!(minutes, (0..60).collect::<Vec<_>>());
        assert_eq!((share(0), share(90), share(900)), (50, 50, 100));
    }
}
