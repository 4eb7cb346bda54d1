//! Which small data frames of a segment are put together. Pure: no I/O, no clock.
//!
//! A nightly run leaves a small frame in every mailbox that got mail. Small frames compress badly,
//! so the last ones of a segment are put together from time to time. Not all of them every time:
//! that would write a mailbox of few messages anew every month for years. What is put together
//! has to be at least twice as much as the largest frame among it, so a message is moved only when
//! its frame doubles: less than a dozen times on its way into a full frame, whatever comes.

use std::ops::Range;

use crate::archive::format::DATA_FRAME_BYTES;
use crate::store::write::lowered;

/// When frames are small, and how much is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepackPolicy {
    /// Text of a full data frame, in bytes.
    pub full: u64,
    /// So many small frames are put together, also if they do not fill one.
    pub frames: usize,
    /// What stands before the small frames is copied along if it takes fewer bytes than this;
    /// otherwise it stays, as a sealed segment.
    pub carry: u64,
    /// Bytes of text put together and bytes copied along, in one run.
    pub budget: u64,
}

impl Default for RepackPolicy {
    fn default() -> Self {
        Self {
            full: DATA_FRAME_BYTES,
            frames: 32,
            // Five times the bytes of the full frame it is copied for, at the most.
            carry: 16 << 20,
            budget: 256 << 20,
        }
    }
}

impl RepackPolicy {
    /// The limits, or those that a test lowers through the environment.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let usual = Self::default();
        Self {
            full: lowered("MAILSTOW_TEST_FRAME_BYTES").unwrap_or(usual.full),
            frames: lowered("MAILSTOW_TEST_REPACK_FRAMES")
                .map_or(usual.frames, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            carry: lowered("MAILSTOW_TEST_REPACK_CARRY").unwrap_or(usual.carry),
            budget: lowered("MAILSTOW_TEST_REPACK_BUDGET").unwrap_or(usual.budget),
        }
    }

    /// Whether a frame with so many bytes of text is small. A frame that the next message did not
    /// fit into is not: it would not compress much better.
    pub(super) const fn is_small(&self, text: u64) -> bool {
        text < self.full / 4
    }
}

/// A data frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where its pair begins in the segment.
    pub(super) offset: u64,
    /// Its text, in bytes.
    pub(super) text: u64,
}

/// What is to be done with a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// Pairs that begin here or behind go into a new segment.
    pub(super) from: u64,
    /// Of the frames the planner was given, those that are put together.
    pub(super) merge: Range<usize>,
    /// How much of the budget that takes, in bytes.
    pub(super) cost: u64,
}

/// Decides about a segment of `len` bytes whose last frames, all small, are `tail`.
pub(super) fn decide(
    tail: &[Frame],
    len: u64,
    policy: &RepackPolicy,
    budget: u64,
) -> Option<Decision> {
    let tail_at = tail.first()?.offset;
    let start = (0..tail.len()).find(|n| pays(tail.get(*n..).unwrap_or_default(), policy))?;
    // What is carried along costs its bytes on disk, also behind what the budget lets us merge.
    let from = if tail_at < policy.carry { 0 } else { tail_at };
    let mut cost = tail.get(start)?.offset.saturating_sub(from);
    let mut end = start;
    while let Some(frame) = tail.get(end) {
        if cost.saturating_add(frame.text) > budget {
            break;
        }
        cost = cost.saturating_add(frame.text);
        end += 1;
    }
    if let Some(next) = tail.get(end) {
        cost = cost.saturating_add(len.saturating_sub(next.offset));
    }
    let merge = start..end;
    // Less than all is worth it only where it fills a frame: the rest goes on next time.
    let text = sum(tail.get(merge.clone()).unwrap_or_default());
    (end == tail.len() || text >= policy.full).then_some(Decision { from, merge, cost })
}

/// Whether frames are worth putting together: enough of them, and none makes up most of it.
fn pays(frames: &[Frame], policy: &RepackPolicy) -> bool {
    let text = sum(frames);
    let largest = frames.iter().map(|f| f.text).max().unwrap_or(0);
    let enough = frames.len() >= policy.frames || text >= policy.full;
    enough && frames.len() > 1 && largest <= text / 2
}

fn sum(frames: &[Frame]) -> u64 {
    frames.iter().fold(0, |sum, f| sum.saturating_add(f.text))
}

#[cfg(test)]
mod tests;
