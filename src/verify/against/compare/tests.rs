use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::{FlagTable, Flags, InternalDate};

fn listed(uid: u32, size: u32, date: Option<i64>) -> Listed {
    Listed::new(uid, size, FlagSetId::UNKNOWN, date.map(InternalDate::utc))
}

fn held(uid: u32) -> Held {
    Held {
        uid,
        flags: 1,
        size: 10,
        date: Some(5),
        gone: false,
        damaged: false,
    }
}

/// Facts that most tests change one of.
struct Case {
    exists: Option<u32>,
    uidnext: Option<u32>,
    messages: Vec<Listed>,
    expunged: u32,
    held: Vec<Held>,
    reach: Option<u32>,
    accepted: UidSet,
    skipped: UidSet,
    selection: Selection,
}

impl Case {
    fn new(messages: Vec<Listed>, held: Vec<Held>) -> Self {
        Self {
            exists: None,
            uidnext: Some(1000),
            messages,
            expunged: 0,
            held,
            reach: None,
            accepted: UidSet::new(),
            skipped: UidSet::new(),
            selection: Selection::default(),
        }
    }

    fn run(self) -> Compared {
        let exists = u32::try_from(self.messages.len()).unwrap();
        let listing = Listing {
            messages: self.messages,
            expunged: self.expunged,
            ..Listing::default()
        };
        compare(&Facts {
            exists: self.exists.unwrap_or(exists),
            uidnext: self.uidnext,
            listing: &listing,
            held: &self.held,
            reach: self.reach,
            accepted: &self.accepted,
            skipped: &self.skipped,
            flag_numbers: &HashMap::new(),
            selection: &self.selection,
        })
    }
}

fn same(uid: u32) -> Listed {
    listed(uid, 10, Some(5))
}

fn set(uids: &[u32]) -> UidSet {
    uids.iter().copied().collect()
}

#[test]
fn what_is_not_held_is_told_apart_by_why() {
    let mut case = Case::new((1..=9).map(same).collect(), vec![held(1)]);
    case.messages[1] = listed(2, 99, Some(5));
    case.accepted = set(&[3, 8]);
    case.skipped = set(&[4]);
    case.reach = Some(7);
    case.selection.max_size = Some(50);
    let fates = case.run().fates;
    let expected = Fates {
        present: set(&[1]),
        excluded: set(&[2]),
        accepted: set(&[3, 8]),
        skipped: set(&[4]),
        missing: set(&[5, 6]),
        newer: set(&[7, 9]),
        ..Fates::default()
    };
    assert_eq!(fates, expected);
}

#[test]
fn without_a_complete_run_only_what_came_during_the_listing_is_newer() {
    let mut case = Case::new((1..=3).map(same).collect(), vec![]);
    (case.uidnext, case.exists) = (Some(3), Some(2));
    let done = case.run();
    assert_eq!(done.fates.missing, set(&[1, 2]));
    assert_eq!(done.fates.newer, set(&[3]));
    assert_eq!(done.unlisted, 0);
}

#[test]
fn what_was_gone_or_is_damaged_is_not_present() {
    let back = Held {
        gone: true,
        ..held(1)
    };
    let lost = Held {
        damaged: true,
        ..held(2)
    };
    let left = Held {
        gone: true,
        ..held(9)
    };
    let done = Case::new((1..=3).map(same).collect(), vec![back, lost, held(3), left]).run();
    assert_eq!(done.fates.returned, set(&[1]));
    assert_eq!(done.fates.damaged, set(&[2]));
    assert_eq!(done.fates.present, set(&[3]));
    assert!(done.fates.departed.is_empty(), "that is known already");
    assert_eq!(done.in_archive, 2);
}

#[test]
fn a_listing_that_is_not_whole_proves_no_departure() {
    let mut case = Case::new(vec![same(2)], vec![held(1), held(2)]);
    assert_eq!(
        Case::new(vec![same(2)], vec![held(1), held(2)])
            .run()
            .fates
            .departed,
        set(&[1])
    );
    case.exists = Some(2);
    let done = case.run();
    assert_eq!((done.fates.unseen, done.unlisted), (set(&[1]), 1));
    assert!(done.fates.departed.is_empty());

    // Announced as expunged while it was listed: counted, but the server said why.
    let mut case = Case::new(vec![same(2)], vec![held(1), held(2)]);
    (case.exists, case.expunged) = (Some(2), 1);
    let done = case.run();
    assert_eq!((done.fates.unseen, done.unlisted), (set(&[1]), 0));
}

#[test]
fn sizes_and_dates_differ_only_where_both_sides_know_them() {
    for (size, date, differs) in [
        (10, Some(5), None),
        (11, Some(5), Some((Some((10, 11)), None))),
        (10, Some(6), Some((None, Some((5, 6))))),
        (0, Some(5), None),
        (10, None, None),
    ] {
        let done = Case::new(vec![listed(1, size, date)], vec![held(1)]).run();
        let got = done.differs.first().map(|d| (d.size, d.date));
        assert_eq!(got, differs, "{size} {date:?}");
        assert_eq!(done.fates.present, set(&[1]), "it is there all the same");
    }
}

#[test]
fn flags_are_compared_only_where_the_server_told_them() {
    let mut table = FlagTable::default();
    let seen = table.intern(Flags::from_wire(["\\Seen"]));
    let new = table.intern(Flags::from_wire(["$New"]));
    let message = |uid, flags| Listed::new(uid, 10, flags, Some(InternalDate::utc(5)));
    let messages = vec![
        message(1, seen),
        message(2, new),
        message(3, FlagSetId::UNKNOWN),
    ];
    let numbers = HashMap::from([(seen, Some(1)), (new, None)]);
    let listing = Listing {
        messages,
        flags: table,
        expunged: 0,
    };
    let done = compare(&Facts {
        exists: 3,
        uidnext: None,
        listing: &listing,
        held: &[held(1), held(2), held(3)],
        reach: None,
        accepted: &UidSet::new(),
        skipped: &UidSet::new(),
        flag_numbers: &numbers,
        selection: &Selection::default(),
    });
    assert_eq!(done.fates.flags, set(&[2]));
}

#[test]
fn each_counterpart_counts_once() {
    let listing = Listing {
        messages: vec![same(1), same(2), listed(3, 11, Some(5)), same(4)],
        ..Listing::default()
    };
    let gone = Held {
        gone: true,
        ..held(8)
    };
    assert_eq!(counterparts(&listing, &[held(7), gone, held(9)]), 2);
}

proptest! {
    /// Every message listed has one place, and every one held another, whatever is there.
    #[test]
    fn everything_has_exactly_one_place(
        on_server in proptest::collection::btree_map(1u32..60, (9u32..12, 4i64..7), 0..40),
        in_archive in proptest::collection::btree_map(1u32..60, (any::<bool>(), any::<bool>()), 0..40),
        accepted in proptest::collection::btree_set(1u32..60, 0..5),
        skipped in proptest::collection::btree_set(1u32..60, 0..5),
        reach in proptest::option::of(1u32..60),
        max_size in proptest::option::of(9u64..12),
        phantoms in 0u32..3,
    ) {
        let mut case = Case::new(
            on_server.iter().map(|(uid, (size, date))| listed(*uid, *size, Some(*date))).collect(),
            in_archive.iter().map(|(uid, (gone, damaged))| Held { gone: *gone, damaged: *damaged, ..held(*uid) }).collect(),
        );
        case.exists = Some(u32::try_from(on_server.len()).unwrap() + phantoms);
        (case.accepted, case.skipped) = (accepted.into_iter().collect(), skipped.into_iter().collect());
        (case.reach, case.selection.max_size) = (reach, max_size);
        let done = case.run();
        let Fates { present, newer, excluded, skipped, accepted, missing, damaged, returned, departed, unseen, not_offered, flags } = done.fates;
        let place = |sets: &[&UidSet]| -> Vec<u32> {
            let mut all: Vec<u32> = sets.iter().flat_map(|s| s.iter()).collect();
            all.sort_unstable();
            all
        };
        let server = place(&[&present, &newer, &excluded, &skipped, &accepted, &missing, &damaged, &returned]);
        prop_assert_eq!(server, on_server.keys().copied().collect::<Vec<_>>());
        let archive = place(&[&present, &damaged, &departed, &unseen]);
        let lives: BTreeSet<u32> = in_archive.iter().filter(|(_, (gone, _))| !gone).map(|(uid, _)| *uid).collect();
        prop_assert_eq!(archive.len(), done.in_archive as usize);
        prop_assert_eq!(archive, lives.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(done.unlisted, phantoms);
        prop_assert!(departed.is_empty() || unseen.is_empty());
        prop_assert!(not_offered.is_empty() && flags.is_empty());
    }
}
