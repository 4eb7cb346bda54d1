use super::*;
use crate::model::{FlagTable, Flags, InternalDate};
use proptest::prelude::*;

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

fn run(
    messages: Vec<Listed>,
    held: &[Held],
    exists: u32,
    may_reuse: bool,
    selection: &Selection,
) -> Plan {
    let listing = Listing {
        messages,
        ..Listing::default()
    };
    let flag_numbers = HashMap::new();
    plan(&Facts {
        exists,
        may_reuse,
        uidnext: Some(1000),
        listing: &listing,
        held,
        again: &UidSet::new(),
        accepted: &UidSet::new(),
        skipped: &UidSet::new(),
        unreadable: 0,
        written_off: &UidSet::new(),
        accepted_nameless: 0,
        flag_numbers: &flag_numbers,
        selection,
    })
}

#[test]
fn only_what_is_missing_is_fetched_whatever_its_uid() {
    let all: Vec<Listed> = (1..=5).map(|u| listed(u, 10, Some(5))).collect();
    let plan = run(
        all,
        &[held(1), held(3), held(5)],
        5,
        false,
        &Selection::default(),
    );
    assert_eq!(plan.fetch.iter().map(|m| m.uid).collect::<Vec<_>>(), [2, 4]);
    assert_eq!((plan.held, plan.bytes, plan.unlisted), (3, 20, 0));
}

#[test]
fn damaged_and_returned_messages_are_fetched_again() {
    let lost = Held {
        damaged: true,
        ..held(1)
    };
    let back = Held {
        gone: true,
        ..held(2)
    };
    let plan = run(
        vec![listed(1, 10, Some(5)), listed(2, 10, Some(5))],
        &[lost, back],
        2,
        false,
        &Selection::default(),
    );
    assert_eq!(plan.fetch.len(), 2);
}

#[test]
fn a_reused_uid_is_another_message_only_where_uids_are_reused() {
    for (may_reuse, fetched) in [(true, 1), (false, 0)] {
        let plan = run(
            vec![listed(1, 99, Some(5))],
            &[held(1)],
            1,
            may_reuse,
            &Selection::default(),
        );
        assert_eq!(plan.fetch.len(), fetched, "{may_reuse}");
    }
}

#[test]
fn a_short_listing_never_makes_anything_gone() {
    let plan = run(vec![], &[held(1), held(2)], 2, false, &Selection::default());
    assert_eq!((plan.unlisted, plan.gone.len()), (2, 0));
    let plan = run(
        vec![listed(2, 10, Some(5))],
        &[held(1), held(2)],
        1,
        false,
        &Selection::default(),
    );
    assert_eq!((plan.unlisted, plan.gone.to_string().as_str()), (0, "1"));
}

#[test]
fn a_skip_that_a_whole_listing_lacks_is_gone_and_an_unreadable_message_has_not_left() {
    let skipped: UidSet = [1, 2].into_iter().collect();
    let listing = Listing {
        messages: vec![listed(2, 10, Some(5))],
        expunged: 1,
        ..Listing::default()
    };
    let (none, flag_numbers, selection) = (UidSet::new(), HashMap::new(), Selection::default());
    let facts = |exists, unreadable| Facts {
        exists,
        may_reuse: false,
        uidnext: None,
        listing: &listing,
        held: &[],
        again: &none,
        accepted: &none,
        skipped: &skipped,
        unreadable,
        written_off: &none,
        accepted_nameless: 0,
        flag_numbers: &flag_numbers,
        selection: &selection,
    };
    assert_eq!(plan(&facts(1, 0)).gone.to_string(), "1");
    let one_missing = plan(&facts(2, 1));
    assert_eq!((one_missing.left, one_missing.unlisted), (0, 1));
    assert!(one_missing.gone.is_empty());
    assert_eq!(plan(&facts(2, 0)).left, 1);
}

#[test]
fn what_was_accepted_is_excluded_as_long_as_it_does_not_grow() {
    let selection = Selection::default();
    let facts = |exists, accepted_nameless, written_off: &UidSet| {
        let listing = Listing {
            messages: vec![listed(2, 10, Some(5))],
            ..Listing::default()
        };
        let plan = plan(&Facts {
            exists,
            may_reuse: false,
            uidnext: None,
            listing: &listing,
            held: &[held(1), held(2), held(3)],
            again: &UidSet::new(),
            accepted: &UidSet::new(),
            skipped: &UidSet::new(),
            unreadable: 0,
            written_off,
            accepted_nameless,
            flag_numbers: &HashMap::new(),
            selection: &selection,
        });
        (plan.excluded, plan.unlisted, plan.gone.to_string())
    };
    let none = UidSet::new();
    assert_eq!(facts(2, 1, &none), (1, 0, String::new()));
    assert_eq!(facts(3, 1, &none), (0, 2, String::new()));
    assert_eq!(facts(1, 2, &none), (0, 0, "1,3".to_owned()));
    // One that is there and cannot be read, accepted by its UID.
    let third = [3].into_iter().collect();
    assert_eq!(facts(2, 0, &third), (1, 0, "1".to_owned()));
    assert_eq!(facts(3, 0, &third), (1, 1, String::new()));
}

#[test]
fn filters_exclude_by_date_and_size_but_never_what_is_held_or_has_no_date() {
    let selection = Selection {
        since: Some(10),
        before: Some(20),
        max_size: Some(100),
        ..Selection::default()
    };
    let all = vec![
        listed(1, 10, Some(5)),
        listed(2, 10, Some(9)),
        listed(3, 10, Some(10)),
        listed(4, 10, Some(20)),
        listed(5, 101, Some(15)),
        listed(6, 100, None),
    ];
    let plan = run(all, &[held(1)], 6, false, &selection);
    assert_eq!(plan.fetch.iter().map(|m| m.uid).collect::<Vec<_>>(), [3, 6]);
    assert_eq!((plan.held, plan.excluded), (1, 3));
}

#[test]
fn changed_flags_are_grouped_and_unknown_ones_change_nothing() {
    let mut flags = FlagTable::default();
    let seen = flags.intern(Flags::from_wire(["\\Seen"]));
    let fresh = flags.intern(Flags::from_wire(["$New"]));
    let messages = vec![
        Listed::new(1, 10, seen, Some(InternalDate::utc(5))),
        Listed::new(2, 10, fresh, Some(InternalDate::utc(5))),
        Listed::new(3, 10, FlagSetId::UNKNOWN, Some(InternalDate::utc(5))),
        Listed::new(4, 10, fresh, Some(InternalDate::utc(5))),
    ];
    let listing = Listing {
        messages,
        flags,
        expunged: 0,
    };
    let flag_numbers = HashMap::from([(seen, Some(1)), (fresh, None)]);
    let held: Vec<Held> = (1..=4).map(held).collect();
    let plan = plan(&Facts {
        exists: 4,
        may_reuse: false,
        uidnext: None,
        listing: &listing,
        held: &held,
        again: &UidSet::new(),
        accepted: &UidSet::new(),
        skipped: &UidSet::new(),
        unreadable: 0,
        written_off: &UidSet::new(),
        accepted_nameless: 0,
        flag_numbers: &flag_numbers,
        selection: &Selection::default(),
    });
    assert_eq!(plan.flags, [(fresh, [2, 4].into_iter().collect())]);
}

proptest! {
    #[test]
    fn every_message_that_exists_goes_somewhere(
        uids in proptest::collection::btree_set(1u32..60, 0..30),
        held_uids in proptest::collection::btree_set(1u32..60, 0..30),
        accepted in proptest::collection::btree_set(1u32..60, 0..5),
        missing in 0u32..5, expunged in 0u32..5, max in 0u64..40, accepted_nameless in 0u32..3,
    ) {
        let messages: Vec<Listed> = uids.iter().map(|u| listed(*u, *u, Some(5))).collect();
        let held: Vec<Held> = held_uids.iter().map(|u| held(*u)).collect();
        let listing = Listing { messages, expunged, ..Listing::default() };
        let exists = u32::try_from(uids.len()).unwrap() + missing;
        let selection = Selection { max_size: Some(max), ..Selection::default() };
        let plan = plan(&Facts {
            exists, may_reuse: false, uidnext: None, listing: &listing, held: &held, again: &UidSet::new(), accepted: &accepted.iter().copied().collect(), skipped: &UidSet::new(), unreadable: 0, written_off: &UidSet::new(), accepted_nameless,
            flag_numbers: &HashMap::new(), selection: &selection,
        });
        let sum = u32::try_from(plan.fetch.len()).unwrap() + plan.held + plan.excluded + plan.left + plan.unlisted;
        prop_assert_eq!(sum, exists);
        prop_assert!(plan.fetch.iter().all(|m| !accepted.contains(&m.uid)));
        for uid in plan.gone.iter() {
            prop_assert!(held_uids.contains(&uid) && !uids.contains(&uid));
        }
    }
}
