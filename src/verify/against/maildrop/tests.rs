use proptest::prelude::*;

use super::*;
use crate::model::PopSelection;

fn offered(number: u32, uidl: &str, size: u64) -> Offered {
    Offered {
        number,
        size: Some(size),
        uidl: (!uidl.is_empty()).then(|| uidl.to_owned()),
    }
}

fn kept(size: u32) -> Kept {
    Kept {
        content: ContentId::of(&size.to_le_bytes()),
        size,
        damaged: false,
        healed: false,
        shared: false,
    }
}

fn known(entries: &[(&str, Kept)]) -> Known {
    let mut known = Known::default();
    for (uidl, entry) in entries {
        let list = known.kept.entry((*uidl).to_owned()).or_default();
        list.push(*entry);
    }
    known
}

fn names(uidls: &[&str]) -> Vec<String> {
    uidls.iter().map(|u| (*u).to_owned()).collect()
}

#[test]
fn what_is_not_offered_is_not_gone_and_what_is_not_kept_is_missing() {
    let known = known(&[("a", kept(10)), ("b", kept(20))]);
    let all = [offered(1, "b", 20), offered(2, "c", 30)];
    let done = compare(&all, &known, &Selection::default());
    let expected = Fates {
        present: names(&["b"]),
        missing: names(&["c"]),
        not_offered: names(&["a"]),
        ..Fates::default()
    };
    assert_eq!(done.fates, expected);
    assert_eq!((done.in_archive, done.differs.len()), (2, 0));
}

#[test]
fn another_size_differs_unless_somebody_does_not_know() {
    let known = known(&[("a", kept(10)), ("b", kept(0)), ("c", kept(30))]);
    let mut all = [
        offered(1, "a", 11),
        offered(2, "b", 20),
        offered(3, "c", 30),
    ];
    all[2].size = None;
    let done = compare(&all, &known, &Selection::default());
    assert_eq!(done.fates.present, names(&["a", "b", "c"]));
    let sizes: Vec<_> = done
        .differs
        .iter()
        .map(|d| (d.remote.as_str(), d.size))
        .collect();
    assert_eq!(sizes, [("a", Some((10, 11)))]);
}

#[test]
fn decisions_that_were_recorded_say_why_something_is_not_kept() {
    let mut known = known(&[(
        "lost",
        Kept {
            damaged: true,
            ..kept(5)
        },
    )]);
    let decide = |before, spam| Decided {
        before,
        spam,
        removed: false,
    };
    known.decided = HashMap::from([
        ("old".to_owned(), decide(true, None)),
        ("spam".to_owned(), decide(false, Some(true))),
        ("clean".to_owned(), decide(false, Some(false))),
    ]);
    known.accepted.insert("accepted".to_owned());
    known.skipped.insert("skipped".to_owned());
    let uidls = [
        "lost", "old", "spam", "clean", "accepted", "skipped", "large",
    ];
    let all: Vec<Offered> = (1..).zip(uidls).map(|(n, u)| offered(n, u, 5)).collect();
    let mut all = all;
    all[6].size = Some(500);
    let pop = |messages, spam| PopSelection {
        messages,
        spam,
        ..PopSelection::default()
    };
    let excluded = |selection: &Selection| {
        let fates = compare(&all, &known, selection).fates;
        assert_eq!(fates.damaged, names(&["lost"]));
        assert_eq!(fates.accepted, names(&["accepted"]));
        assert_eq!(fates.skipped, names(&["skipped"]));
        fates.excluded
    };
    let of = |pop| Selection {
        pop,
        ..Selection::default()
    };
    assert_eq!(excluded(&Selection::default()), names(&[]));
    let selection = of(pop(PopMessages::FromToday, PopSpam::Include));
    assert_eq!(excluded(&selection), names(&["old"]));
    let selection = of(pop(PopMessages::All, PopSpam::Exclude));
    assert_eq!(excluded(&selection), names(&["spam"]));
    let selection = of(pop(PopMessages::All, PopSpam::Only));
    assert_eq!(excluded(&selection), names(&["clean"]));
    let selection = Selection {
        max_size: Some(499),
        ..Selection::default()
    };
    assert_eq!(excluded(&selection), names(&["large"]));
}

#[test]
fn a_uidl_that_several_bear_tells_nothing() {
    let shared = Kept {
        shared: true,
        ..kept(10)
    };
    let known = known(&[("x", shared), ("y", kept(20))]);
    let all = [
        offered(1, "z", 10),
        offered(2, "z", 10),
        offered(3, "", 10),
        offered(4, "y", 20),
    ];
    let done = compare(&all, &known, &Selection::default());
    assert_eq!(done.nameless, [1, 2, 3]);
    assert_eq!(done.fates.present, names(&["y"]));
    assert_eq!(done.fates.not_offered, names(&[]));
}

#[test]
fn what_mailstow_deleted_is_expected_nowhere() {
    let mut known = known(&[("a", kept(10)), ("b", kept(20))]);
    for uidl in ["a", "b"] {
        let removed = Decided {
            removed: true,
            ..Decided::default()
        };
        known.decided.insert(uidl.to_owned(), removed);
    }
    let done = compare(&[offered(1, "b", 20)], &known, &Selection::default());
    assert_eq!(done.fates.not_offered, names(&[]));
    assert_eq!(done.fates.present, names(&["b"]), "it is offered still");
    assert_eq!(done.in_archive, 1);
}

proptest! {
    #[test]
    fn everything_offered_has_exactly_one_place(
        all in proptest::collection::vec((0u8..12, 0u64..3), 0..20),
        there in proptest::collection::vec((0u8..12, 0u32..3, any::<bool>()), 0..20),
        accepted in proptest::collection::hash_set(0u8..12, 0..3),
        max_size in proptest::option::of(0u64..3),
    ) {
        let name = |n: &u8| format!("u{n}");
        let offered: Vec<Offered> = (1..).zip(&all).map(|(n, (uidl, size))| offered(n, &name(uidl), *size)).collect();
        let mut known = Known::default();
        for (uidl, size, damaged) in &there {
            known.kept.entry(name(uidl)).or_default().push(Kept { damaged: *damaged, ..kept(*size) });
        }
        known.accepted = accepted.iter().map(name).collect();
        let selection = Selection { max_size, ..Selection::default() };
        let done = compare(&offered, &known, &selection);
        let f = done.fates;
        let sets = [&f.present, &f.newer, &f.excluded, &f.skipped, &f.accepted, &f.missing, &f.damaged];
        let mut placed: Vec<&String> = sets.into_iter().flatten().collect();
        prop_assert_eq!(placed.len() + done.nameless.len(), offered.len());
        placed.sort_unstable();
        let before = placed.len();
        placed.dedup();
        prop_assert_eq!(placed.len(), before);
        prop_assert!(f.departed.is_empty(), "over POP3 nothing is ever gone");
        prop_assert!(f.not_offered.iter().all(|u| known.kept.contains_key(u) && !offered.iter().any(|m| m.uidl.as_ref() == Some(u))));
        prop_assert_eq!(done.in_archive as usize, there.len());
    }
}
