//! Range-compressed sets of UIDs (RFC 3501 `sequence-set`, numbers only).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ascending, range-compressed set of UIDs; its text is an IMAP sequence set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct UidSet {
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds a UID that is larger than every UID in the set; others are inserted in order.
    pub fn push(&mut self, uid: u32) {
        match self.ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(uid) => *end = uid,
            Some((_, end)) if *end >= uid => {
                let all: Vec<u32> = self.iter().chain([uid]).collect();
                *self = all.into_iter().collect();
            }
            _ => self.ranges.push((uid, uid)),
        }
    }

    /// Takes a UID out of the set.
    pub fn remove(&mut self, uid: u32) {
        let Some(at) = self
            .ranges
            .iter()
            .position(|&(a, b)| (a..=b).contains(&uid))
        else {
            return;
        };
        let (a, b) = self.ranges.remove(at);
        if uid < b {
            self.ranges.insert(at, (uid + 1, b));
        }
        if a < uid {
            self.ranges.insert(at, (a, uid - 1));
        }
    }

    /// The UIDs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|&(a, b)| a..=b)
    }

    /// How many UIDs the set holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(a, b)| u64::from(b - a) + 1).sum()
    }

    /// Whether the set holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a UID is in the set.
    #[must_use]
    pub fn contains(&self, uid: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < uid);
        self.ranges.get(at).is_some_and(|&(begin, _)| begin <= uid)
    }

    /// The ranges in ascending order, first and last UID of each.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.ranges.iter().copied()
    }

    /// The set of these ranges, which may come in any order, overlap, and be written backwards
    /// (RFC 3501 §9, `seq-range`). UID 0 does not exist and is left out.
    #[must_use]
    pub fn of_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let ordered = |(a, b): (u32, u32)| (a.min(b).max(1), a.max(b));
        let mut ranges: Vec<(u32, u32)> = ranges.into_iter().map(ordered).collect();
        ranges.retain(|&(_, end)| end > 0);
        ranges.sort_unstable();
        let mut set = Self::new();
        for (begin, end) in ranges {
            match set.ranges.last_mut() {
                Some((_, last)) if begin <= last.saturating_add(1) => *last = end.max(*last),
                _ => set.ranges.push((begin, end)),
            }
        }
        set
    }

    /// All UIDs below one.
    #[must_use]
    pub fn below(uid: u32) -> Self {
        match uid {
            0 | 1 => Self::new(),
            _ => Self {
                ranges: vec![(1, uid - 1)],
            },
        }
    }

    /// The UIDs of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of_ranges(self.ranges().chain(other.ranges()))
    }

    /// The UIDs of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut theirs = other.ranges().peekable();
        let mut both = Self::new();
        for (begin, end) in self.ranges() {
            while theirs.next_if(|&(_, last)| last < begin).is_some() {}
            while let Some(&(first, last)) = theirs.peek().filter(|&&(first, _)| first <= end) {
                both.ranges.push((first.max(begin), last.min(end)));
                if last > end {
                    break;
                }
                theirs.next();
            }
        }
        both
    }

    /// The UIDs of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        let mut theirs = other.ranges().peekable();
        for (mut begin, end) in self.ranges() {
            while theirs.next_if(|&(_, last)| last < begin).is_some() {}
            let mut open = true;
            while let Some(&(first, last)) = theirs.peek().filter(|&&(first, _)| first <= end) {
                if first > begin {
                    rest.ranges.push((begin, first - 1));
                }
                if last >= end {
                    open = false;
                    break;
                }
                begin = last + 1;
                theirs.next();
            }
            if open {
                rest.ranges.push((begin, end));
            }
        }
        rest
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut uids: Vec<u32> = uids.into_iter().collect();
        uids.sort_unstable();
        uids.dedup();
        let mut set = Self::new();
        for uid in uids {
            set.push(uid);
        }
        set
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (a, b)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if a == b {
                write!(f, "{comma}{a}")?;
            } else {
                write!(f, "{comma}{a}:{b}")?;
            }
        }
        Ok(())
    }
}

/// The text is not a set of UIDs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a set of UIDs")]
pub struct ParseUidSetError(String);

impl FromStr for UidSet {
    type Err = ParseUidSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseUidSetError(text.to_owned());
        let mut ranges = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            let (a, b) = (a.parse().map_err(|_| bad())?, b.parse().map_err(|_| bad())?);
            if a == 0 || a > b || ranges.last().is_some_and(|&(_, end)| end >= a) {
                return Err(bad());
            }
            ranges.push((a, b));
        }
        Ok(Self { ranges })
    }
}

impl Serialize for UidSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UidSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips_and_holds_what_was_put_in(uids in proptest::collection::btree_set(1u32..200, 0..60)) {
            let set: UidSet = uids.iter().copied().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), uids.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.to_string().parse::<UidSet>().unwrap(), set.clone());
            prop_assert_eq!(set.len(), uids.len() as u64);
            for uid in 0..220 {
                prop_assert_eq!(set.contains(uid), uids.contains(&uid));
                let mut without = set.clone();
                without.remove(uid);
                prop_assert_eq!(without, uids.iter().copied().filter(|u| *u != uid).collect());
            }
        }
    }

    proptest! {
        #[test]
        fn sets_are_joined_crossed_and_subtracted(
            a in proptest::collection::btree_set(1u32..60, 0..40),
            b in proptest::collection::btree_set(1u32..60, 0..40),
            ranges in proptest::collection::vec((0u32..60, 0u32..60), 0..10),
        ) {
            let (x, y): (UidSet, UidSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(x.union(&y), a.union(&b).copied().collect());
            prop_assert_eq!(x.intersection(&y), a.intersection(&b).copied().collect());
            prop_assert_eq!(x.difference(&y), a.difference(&b).copied().collect());
            let all = ranges.iter().flat_map(|&(a, b)| a.min(b)..=a.max(b)).filter(|n| *n > 0);
            prop_assert_eq!(UidSet::of_ranges(ranges.iter().copied()), all.collect());
        }
    }

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(
            [1, 2, 3, 7, 9, 10]
                .into_iter()
                .collect::<UidSet>()
                .to_string(),
            "1:3,7,9:10"
        );
        assert!("3:1".parse::<UidSet>().is_err());
        assert!("0".parse::<UidSet>().is_err());
    }
}
