//! Setting a mailbox of the target against what the ledger says of it. Pure.

use std::collections::{HashMap, HashSet};

use super::report::Lack;
use crate::model::{Flags, InternalDate, Listing, UidSet};
use crate::replay::assign::Assigned;
use crate::replay::wanted::Item;

/// A message of the archive that is on the target. Items by their index, pieces by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct There {
    pub(super) item: usize,
    pub(super) piece: Option<u64>,
    pub(super) uid: u32,
    /// It was found by its header, since its UID was not known.
    pub(super) recognised: bool,
}

/// Messages by whether the ledger knows under which UID they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    /// They are listed under their UID.
    pub(super) there: Vec<There>,
    /// The target has said that it has them; they have to be looked for.
    pub(super) lost: Vec<(usize, u64)>,
}

/// Finds the messages that are listed under the UID the ledger knows. `uid` gives that of a piece.
///
/// A UID stands for one message. Where two pieces have the same, which a target may make believe
/// that mixes up its APPENDUIDs, the second has to be looked for.
#[must_use]
pub(super) fn locate(assigned: &Assigned, uid: impl Fn(u64) -> Option<u32>) -> Located {
    let mut located = Located::default();
    let mut taken = HashSet::new();
    for (item, no) in &assigned.there {
        match uid(*no).filter(|uid| taken.insert(*uid)) {
            Some(uid) => located.there.push(There {
                item: *item,
                piece: Some(*no),
                uid,
                recognised: false,
            }),
            None => located.lost.push((*item, *no)),
        }
    }
    let elsewhere = assigned.unlocated.iter().chain(&assigned.renumbered);
    located.lost.extend(elsewhere.copied());
    located.lost.sort_unstable();
    located
}

/// What was found of the messages that had to be looked for.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// Items, and the UIDs that are them.
    pub(super) there: &'a [(usize, u32)],
    /// Items that a message may be which the target would not send.
    pub(super) unsure: &'a [usize],
}

/// Where every message of both sides stands.
#[derive(Debug, Default)]
pub(super) struct Stands {
    pub(super) there: Vec<There>,
    pub(super) lacks: Vec<(usize, Lack)>,
    /// Listed, known from this archive, and not asked for.
    pub(super) left_over: UidSet,
    /// Listed, and not from this archive.
    pub(super) others: UidSet,
}

/// Says where each item that is asked for stands, and what else is listed. `uid` gives the UID of
/// a piece: what is there under it and is not the item differs from it.
#[must_use]
pub(super) fn stand(
    assigned: &Assigned,
    located: Located,
    found: &Found<'_>,
    listing: &Listing,
    is_asked: impl Fn(usize) -> bool,
    is_refused: impl Fn(usize) -> bool,
    uid: impl Fn(u64) -> Option<u32>,
) -> Stands {
    let found_uids: HashMap<usize, u32> = found.there.iter().copied().collect();
    let mut known = assigned
        .claimed
        .union(&of(found_uids.values().copied().collect()));
    let listed = of(listing.messages.iter().map(|m| m.uid).collect());
    let unlocated: HashMap<usize, u64> = assigned.unlocated.iter().copied().collect();
    let mut others_size: Vec<u32> = Vec::new();
    let (mut there, mut lacks) = (located.there, Vec::new());
    for (item, no) in located.lost {
        match found_uids.get(&item) {
            Some(uid) => there.push(There {
                item,
                piece: Some(no),
                uid: *uid,
                recognised: true,
            }),
            None if found.unsure.contains(&item) => lacks.push((item, Lack::Doubtful)),
            None => {
                // Its size says that it is another message, or no longer what it was.
                let other = unlocated.get(&item).and_then(|no| uid(*no));
                let free = |uid: &u32| {
                    listed.contains(*uid) && !known.contains(*uid) && !others_size.contains(uid)
                };
                match other.filter(free) {
                    Some(uid) => {
                        others_size.push(uid);
                        there.push(There {
                            item,
                            piece: Some(no),
                            uid,
                            recognised: false,
                        });
                    }
                    None => lacks.push((item, Lack::Removed)),
                }
            }
        }
    }
    known = known.union(&of(others_size));
    let pieces = [
        (&assigned.removed, Lack::Removed),
        (&assigned.doubtful, Lack::Doubtful),
        (&assigned.open, Lack::Open),
    ];
    for (pairs, lack) in pieces {
        lacks.extend(pairs.iter().map(|(item, _)| (*item, lack)));
    }
    lacks.extend(assigned.collapsed.iter().map(|n| (*n, Lack::Collapsed)));
    for (item, _) in &assigned.missing {
        let lack = if is_refused(*item) {
            Lack::Refused
        } else {
            Lack::NeverSent
        };
        lacks.push((*item, lack));
    }
    there.retain(|one| is_asked(one.item));
    lacks.retain(|(item, _)| is_asked(*item));
    lacks.sort_unstable();
    let mut uids: Vec<u32> = there.iter().map(|one| one.uid).collect();
    uids.sort_unstable();
    Stands {
        left_over: listed.intersection(&known).difference(&of(uids)),
        others: listed.difference(&known),
        there,
        lacks,
    }
}

/// UIDs as a set.
pub(super) fn of(uids: Vec<u32>) -> UidSet {
    UidSet::of_ranges(uids.into_iter().map(|uid| (uid, uid)))
}

/// UIDs whose date of arrival, and whose flags, are not those they ought to have.
///
/// `date` gives the date a message was sent with, `flags` the flags mailstow gave a piece last;
/// what they don't know, and what the target does not say readably, is not compared. Dates are
/// equal to the second, in whatever zone.
#[must_use]
pub(super) fn shown_otherwise<'f>(
    there: &[There],
    items: &[Item],
    listing: &Listing,
    date: impl Fn(&Item) -> Option<InternalDate>,
    flags: impl Fn(u64) -> Option<&'f Flags>,
) -> (UidSet, UidSet) {
    let (mut dates, mut others) = (Vec::new(), Vec::new());
    for one in there {
        let at = listing.messages.binary_search_by_key(&one.uid, |m| m.uid);
        let Some(listed) = at.ok().and_then(|at| listing.messages.get(at)) else {
            continue;
        };
        let sent = items.get(one.item).and_then(&date);
        if let (Some(sent), Some(shown)) = (sent, listed.date())
            && sent.unix != shown.unix
        {
            dates.push(one.uid);
        }
        let given = one.piece.and_then(&flags);
        if let (Some(given), Some(shown)) = (given, listing.flags.get(listed.flags))
            && given != shown
        {
            others.push(one.uid);
        }
    }
    (of(dates), of(others))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FlagTable, Listed, MailboxId, RemoteId};

    fn item(uid: u32) -> Item {
        let remote = RemoteId::Imap {
            uidvalidity: 1,
            uid,
        };
        Item::test(MailboxId(1), remote, &uid.to_string())
    }

    /// Messages with their dates and flags.
    fn listing(messages: &[(u32, Option<i64>, &str)]) -> Listing {
        let mut flags = FlagTable::default();
        let one = |(uid, date, set): &(u32, Option<i64>, &str)| {
            let set = flags.intern(Flags::from_wire(set.split_ascii_whitespace()));
            Listed::new(*uid, 1, set, date.map(InternalDate::utc))
        };
        Listing {
            messages: messages.iter().map(one).collect(),
            flags,
            expunged: 0,
        }
    }

    fn listed(uids: &[u32]) -> Listing {
        let all: Vec<_> = uids.iter().map(|uid| (*uid, None, "")).collect();
        listing(&all)
    }

    /// Piece 10 is UID 10, and so on; 99 has none.
    fn uid(no: u64) -> Option<u32> {
        u32::try_from(no).ok().filter(|no| *no != 99)
    }

    fn set(uids: &[u32]) -> UidSet {
        uids.iter().copied().collect()
    }

    #[test]
    fn every_message_of_both_sides_stands_somewhere() {
        let assigned = Assigned {
            there: vec![(0, 10), (1, 11)],
            collapsed: vec![2],
            removed: vec![(3, 13)],
            doubtful: vec![(4, 14)],
            open: vec![(5, 15)],
            unlocated: vec![(6, 99), (7, 99)],
            renumbered: vec![(8, 18)],
            missing: vec![(9, None), (10, None)],
            spare: vec![30],
            claimed: set(&[10, 11, 30]),
        };
        let located = locate(&assigned, uid);
        assert_eq!(located.there.len(), 2);
        assert_eq!(located.lost, [(6, 99), (7, 99), (8, 18)]);
        let found = Found {
            there: &[(6, 21)],
            unsure: &[7],
        };
        let listing = listed(&[10, 11, 21, 30, 40, 41]);
        let stands = stand(
            &assigned,
            located,
            &found,
            &listing,
            |_| true,
            |n| n == 10,
            uid,
        );
        let uids: Vec<_> = stands.there.iter().map(|t| (t.item, t.uid)).collect();
        assert_eq!(uids, [(0, 10), (1, 11), (6, 21)]);
        assert!(stands.there[2].recognised);
        assert_eq!(
            stands.lacks,
            [
                (2, Lack::Collapsed),
                (3, Lack::Removed),
                (4, Lack::Doubtful),
                (5, Lack::Open),
                (7, Lack::Doubtful),
                (8, Lack::Removed),
                (9, Lack::NeverSent),
                (10, Lack::Refused),
            ]
        );
        assert_eq!(stands.left_over, set(&[30]));
        assert_eq!(stands.others, set(&[40, 41]));
    }

    #[test]
    fn a_message_of_the_target_stands_for_one_of_the_archive() {
        let assigned = Assigned {
            there: vec![(0, 10), (1, 10)],
            claimed: set(&[10]),
            ..Assigned::default()
        };
        let located = locate(&assigned, uid);
        assert_eq!(located.there.len(), 1);
        assert_eq!(located.lost, [(1, 10)]);
        let listing = listed(&[10]);
        let none = Found::default();
        let stands = stand(
            &assigned,
            located,
            &none,
            &listing,
            |_| true,
            |_| false,
            uid,
        );
        assert_eq!(stands.lacks, [(1, Lack::Removed)]);
    }

    #[test]
    fn what_was_not_asked_for_is_left_over_where_it_is_there_and_nothing_where_it_is_not() {
        let assigned = Assigned {
            there: vec![(0, 10), (1, 11)],
            missing: vec![(2, None)],
            claimed: set(&[10, 11]),
            ..Assigned::default()
        };
        let located = locate(&assigned, uid);
        let listing = listed(&[10, 11]);
        let none = Found::default();
        let stands = stand(
            &assigned,
            located,
            &none,
            &listing,
            |n| n == 0,
            |_| false,
            uid,
        );
        assert_eq!(stands.there.len(), 1);
        assert_eq!(stands.lacks, []);
        assert_eq!(stands.left_over, set(&[11]));
    }

    #[test]
    fn dates_and_flags_are_compared_where_both_sides_know_them() {
        let (seen, none) = (Flags::from_wire(["\\Seen"]), Flags::default());
        for (date, given, shown_date, shown_flags, want) in [
            (Some(5), Some(&seen), Some(5), "\\Seen", (0, 0)),
            (Some(5), Some(&seen), Some(6), "\\Seen", (1, 0)),
            (Some(5), Some(&seen), None, "\\Seen", (0, 0)),
            (None, Some(&seen), Some(6), "\\Seen", (0, 0)),
            (Some(5), Some(&seen), Some(5), "", (0, 1)),
            (Some(5), Some(&none), Some(5), "\\Seen", (0, 1)),
            // It was there before: nobody gave it any.
            (Some(5), None, Some(5), "\\Seen", (0, 0)),
        ] {
            let there = [There {
                item: 0,
                piece: Some(10),
                uid: 10,
                recognised: false,
            }];
            let mut item = item(1);
            item.date = date.map(|unix| InternalDate {
                unix,
                offset_minutes: 60,
            });
            let listing = listing(&[(10, shown_date, shown_flags)]);
            let (dates, flags) =
                shown_otherwise(&there, &[item], &listing, |item| item.date, |_| given);
            assert_eq!((dates.len(), flags.len()), want, "{date:?} {given:?}");
        }
    }
}
