//! Which copy of a content is which: they have the same bytes, and differ in date and flags. Pure.

use std::collections::HashMap;

use crate::model::{Flags, InternalDate};

/// What tells copies of one content apart. A target may change either.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Look {
    pub(super) date: Option<InternalDate>,
    pub(super) flags: Flags,
}

/// Gives each of the UIDs found for copies of one content to the copy that looks like it: same
/// date and flags, else same date, else same flags, else any. The first `certain` of ours are
/// there whatever they look like, and are served before the others go away with one.
pub(super) fn sort_out(ours: &[Look], certain: usize, uids: &[(u32, Look)]) -> Vec<(usize, u32)> {
    let mut given: Vec<Option<u32>> = vec![None; ours.len()];
    let mut free: Vec<bool> = vec![true; uids.len()];
    give(&mut given, &mut free, ours, uids, |l| {
        (l.date, Some(&l.flags))
    });
    give(&mut given, &mut free, ours, uids, |l| (l.date, None));
    give(&mut given, &mut free, ours, uids, |l| {
        (None, Some(&l.flags))
    });
    give(&mut given, &mut free, ours, uids, |_| (None, None));
    let mut spare: Vec<usize> = (certain..ours.len()).collect();
    for n in 0..certain.min(ours.len()) {
        if given.get(n) != Some(&None) {
            continue;
        }
        // The last of the others is the most doubtful one.
        while let Some(other) = spare.pop() {
            let uid = given.get_mut(other).and_then(Option::take);
            if let (Some(uid), Some(slot)) = (uid, given.get_mut(n)) {
                *slot = Some(uid);
                break;
            }
        }
    }
    let given = given.into_iter().enumerate();
    given.filter_map(|(n, uid)| Some((n, uid?))).collect()
}

/// What has to be equal in a round.
type Key<'a> = (Option<InternalDate>, Option<&'a Flags>);

/// One round: equal keys go together, in order.
fn give<'a>(
    given: &mut [Option<u32>],
    free: &mut [bool],
    ours: &'a [Look],
    uids: &'a [(u32, Look)],
    key: impl Fn(&'a Look) -> Key<'a>,
) {
    let mut by_key: HashMap<Key<'_>, Vec<usize>> = HashMap::new();
    // From the back, as the first is to be taken first.
    for (n, (_, look)) in uids.iter().enumerate().rev() {
        if free.get(n) == Some(&true) {
            by_key.entry(key(look)).or_default().push(n);
        }
    }
    for (slot, look) in given.iter_mut().zip(ours) {
        if slot.is_some() {
            continue;
        }
        let taken = by_key.get_mut(&key(look)).and_then(Vec::pop);
        if let Some((n, (uid, _))) = taken.and_then(|n| Some((n, uids.get(n)?))) {
            *slot = Some(*uid);
            if let Some(free) = free.get_mut(n) {
                *free = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(day: i64, flags: &str) -> Look {
        Look {
            date: Some(InternalDate {
                unix: day * 86_400,
                offset_minutes: 0,
            }),
            flags: Flags::from_wire(flags.split_ascii_whitespace()),
        }
    }

    #[test]
    fn copies_go_to_the_uids_that_look_like_them() {
        let ours = [look(1, "\\Seen"), look(2, ""), look(3, "\\Flagged")];
        for (certain, theirs, want) in [
            // All there: each its own.
            (
                0,
                vec![look(3, "\\Flagged"), look(2, ""), look(1, "\\Seen")],
                vec![(0, 3), (1, 2), (2, 1)],
            ),
            // One of them: the one it looks like.
            (0, vec![look(3, "\\Flagged")], vec![(2, 1)]),
            (0, vec![look(2, "\\Seen")], vec![(1, 1)]),
            (0, vec![look(9, "\\Flagged")], vec![(2, 1)]),
            // Nothing to tell them apart: the first.
            (0, vec![look(9, "\\Draft")], vec![(0, 1)]),
            // Whatever it looks like, those that are there for certain come first.
            (1, vec![look(3, "\\Flagged")], vec![(0, 1)]),
            (
                2,
                vec![look(3, "\\Flagged"), look(2, "")],
                vec![(0, 1), (1, 2)],
            ),
            (3, vec![look(3, "\\Flagged")], vec![(2, 1)]),
        ] {
            let uids: Vec<(u32, Look)> = (1..).zip(theirs).collect();
            assert_eq!(sort_out(&ours, certain, &uids), want, "{certain} {uids:?}");
        }
    }
}
