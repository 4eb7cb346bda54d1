use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn identity(fields: u128, has_message_id: bool, received: &[u64]) -> Option<Identity> {
    Some(Identity {
        fields,
        has_message_id,
        received: received.to_vec(),
    })
}

fn ours(item: usize, content: u8, len: u64, identity: Option<Identity>) -> Ours {
    Ours {
        item,
        content: ContentId::of(&[content]),
        len,
        identity,
    }
}

fn theirs(uid: u32, size: u64, identity: Option<Identity>) -> Theirs {
    Theirs {
        uid,
        size,
        identity,
        lacking: Vec::new(),
    }
}

fn group(ours: &[usize], theirs: &[u32]) -> Group {
    Group {
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
    }
}

#[test]
fn one_message_on_either_side_is_sure_to_be_looked_at_or_another() {
    const LEN: u64 = 1_000_000;
    let whole = identity(1, true, &[10, 11]);
    for (why, mine, size, other, expected) in [
        (
            "the same",
            &whole,
            LEN,
            identity(1, true, &[10, 11]),
            "sure",
        ),
        (
            "a Received on top",
            &whole,
            LEN,
            identity(1, true, &[9, 10, 11]),
            "sure",
        ),
        (
            "lower ones lost",
            &whole,
            LEN,
            identity(1, true, &[10]),
            "sure",
        ),
        (
            "larger by 2 % + 4 KiB",
            &whole,
            1_024_587,
            identity(1, true, &[10]),
            "sure",
        ),
        (
            "larger by more",
            &whole,
            1_024_588,
            identity(1, true, &[10]),
            "look",
        ),
        (
            "smaller by 2 % + 4 KiB",
            &whole,
            LEN - 24_096,
            identity(1, true, &[10]),
            "sure",
        ),
        (
            "smaller by more",
            &whole,
            LEN - 24_097,
            identity(1, true, &[10]),
            "look",
        ),
        (
            "twice as large + 64 KiB",
            &whole,
            2_065_536,
            identity(1, true, &[10]),
            "look",
        ),
        (
            "larger still",
            &whole,
            2_065_537,
            identity(1, true, &[10]),
            "none",
        ),
        (
            "another Received",
            &whole,
            LEN,
            identity(1, true, &[12]),
            "look",
        ),
        (
            "no Received there",
            &whole,
            LEN,
            identity(1, true, &[]),
            "look",
        ),
        (
            "no Received here",
            &identity(1, true, &[]),
            LEN,
            identity(1, true, &[10]),
            "look",
        ),
        (
            "none on either side",
            &identity(1, true, &[]),
            LEN,
            identity(1, true, &[]),
            "sure",
        ),
        (
            "no Message-ID",
            &identity(1, false, &[10]),
            LEN,
            identity(1, false, &[10]),
            "look",
        ),
        (
            "other fields",
            &whole,
            LEN,
            identity(2, true, &[10, 11]),
            "none",
        ),
        ("no fields there", &whole, LEN, None, "none"),
        ("no fields here", &None, LEN, whole.clone(), "look"),
        ("no fields at all", &None, LEN, None, "look"),
        ("no fields, near", &None, 1_024_587, None, "look"),
        ("no fields, farther", &None, 1_024_588, None, "none"),
    ] {
        let verdict = recognise(&[ours(4, 0, LEN, mine.clone())], &[theirs(7, size, other)]);
        let found = match (&*verdict.sure, &*verdict.look) {
            ([(4, 7)], []) => "sure",
            ([], [looked]) if *looked == group(&[4], &[7]) => "look",
            ([], []) => "none",
            _ => "nonsense",
        };
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn copies_of_one_content_are_paired_as_far_as_they_go() {
    for k in 0..4usize {
        for n in 0..4u32 {
            let id = identity(1, true, &[10]);
            let mine: Vec<_> = (0..k).rev().map(|i| ours(i, 0, 900, id.clone())).collect();
            let there: Vec<_> = (0..n).rev().map(|u| theirs(u, 950, id.clone())).collect();
            let verdict = recognise(&mine, &there);
            assert_eq!(verdict.sure, (0..k).zip(0..n).collect::<Vec<_>>());
            assert_eq!(verdict.look, [], "{k} {n}");
        }
    }
}

#[test]
fn two_contents_with_equal_headers_or_one_that_does_not_pass_make_it_a_matter_of_bodies() {
    let id = || identity(1, true, &[10]);
    let two = [ours(0, 0, 900, id()), ours(1, 1, 900, id())];
    let verdict = recognise(&two, &[theirs(5, 900, id())]);
    assert_eq!(verdict.sure, []);
    assert_eq!(verdict.look, [group(&[0, 1], &[5])]);

    let odd = [
        theirs(5, 900, id()),
        theirs(6, 900, identity(1, true, &[11])),
    ];
    let verdict = recognise(&two[..1], &odd);
    assert_eq!(verdict.sure, []);
    assert_eq!(verdict.look, [group(&[0], &[5, 6])]);

    // What no server makes of it is not even read, but it is a reason to read the other.
    let far = [theirs(5, 900, id()), theirs(6, 900_000, id())];
    assert_eq!(recognise(&two[..1], &far).look, [group(&[0], &[5])]);
    let mine = [ours(0, 0, 900, id()), ours(1, 1, 900_000, id())];
    assert_eq!(recognise(&mine, &far[..1]).look, [group(&[0], &[5])]);
}

#[test]
fn what_has_only_a_size_is_grouped_by_it() {
    let mine: Vec<_> = [10_000, 500, 900_000, 300_000]
        .into_iter()
        .enumerate()
        .map(|(item, len)| ours(item, 0, len, None))
        .collect();
    let there: Vec<_> = [310_000, 600, 100_000, 905_000, 12_000, 890_000]
        .into_iter()
        .zip(0..)
        .map(|(size, uid)| theirs(uid, size, None))
        .collect();
    let verdict = recognise(&mine, &there);
    assert_eq!(verdict.sure, []);
    assert_eq!(
        verdict.look,
        [
            group(&[1], &[1]),
            group(&[0], &[4]),
            group(&[3], &[0]),
            group(&[2], &[3, 5])
        ]
    );
}

#[test]
fn what_lacks_fields_that_theirs_has_is_looked_at_beside_what_has_the_same() {
    let id = |fields| identity(fields, true, &[]);
    let added = |uid, fields, lacking: &[u128]| Theirs {
        lacking: lacking.to_vec(),
        ..theirs(uid, 900, id(fields))
    };
    let one = [ours(0, 0, 900, id(1))];
    let verdict = recognise(&one, &[added(5, 7, &[1, 2])]);
    assert_eq!(
        (verdict.sure, verdict.look),
        (vec![], vec![group(&[0], &[5])])
    );
    // One that is the same without doubt is taken first, and is no longer to be had.
    let there = [added(5, 7, &[1, 2]), theirs(6, 900, id(1))];
    let verdict = recognise(&one, &there);
    assert_eq!((verdict.sure, verdict.look), (vec![(0, 6)], vec![]));
    // It may be either of two.
    let two = [ours(0, 0, 900, id(1)), ours(1, 1, 900, id(2))];
    let verdict = recognise(&two, &[added(5, 7, &[2, 1]), added(6, 8, &[2])]);
    assert_eq!(verdict.look, [group(&[0, 1], &[5, 6])]);
    assert_eq!(recognise(&two, &[added(5, 7, &[3])]).look, []);
}

#[test]
fn a_size_that_is_not_known_rules_nothing_out() {
    for id in [None, identity(1, true, &[])] {
        let verdict = recognise(&[ours(0, 0, 9_000_000, id.clone())], &[theirs(5, 0, id)]);
        assert_eq!(
            (verdict.sure, verdict.look),
            (vec![], vec![group(&[0], &[5])])
        );
    }
}

#[test]
fn the_range_of_near_sizes_is_exact() {
    for len in [0, 1, 48, 49, 50, 5_000, 1_000_000, 123_456_789] {
        let (from, to) = near_sizes(len);
        assert!(is_near(len, from) && is_near(len, to), "{len}");
        assert!(from == 0 || !is_near(len, from - 1), "{len}");
        assert!(!is_near(len, to + 1), "{len}");
    }
}

fn any_identity() -> impl Strategy<Value = Option<Identity>> {
    let one = (
        0u128..3,
        any::<bool>(),
        proptest::collection::vec(0u64..3, 0..3),
    );
    proptest::option::of(one).prop_map(|one| {
        // The digest covers the Message-ID, so one digest has one or has none.
        one.map(|(fields, _, received)| Identity {
            fields,
            has_message_id: fields > 0,
            received,
        })
    })
}

proptest! {
    #[test]
    fn nothing_is_in_two_places_and_no_near_pair_is_torn_apart(
        mine in proptest::collection::vec((0u8..3, 0u64..40_000, any_identity()), 0..12),
        there in proptest::collection::vec((0u64..40_000, any_identity()), 0..12),
    ) {
        let mine: Vec<_> = mine.into_iter().enumerate()
            .map(|(item, (content, len, id))| ours(item, content, len, id))
            .collect();
        let there: Vec<_> = there.into_iter().zip(1..)
            .map(|((size, id), uid)| theirs(uid, size, id))
            .collect();
        let verdict = recognise(&mine, &there);
        let pairs = verdict.sure.len();
        let items: Vec<usize> = verdict.sure.iter().map(|p| p.0)
            .chain(verdict.look.iter().flat_map(|g| g.ours.clone())).collect();
        let uids: Vec<u32> = verdict.sure.iter().map(|p| p.1)
            .chain(verdict.look.iter().flat_map(|g| g.theirs.clone())).collect();
        prop_assert_eq!(items.iter().collect::<HashSet<_>>().len(), items.len());
        prop_assert_eq!(uids.iter().collect::<HashSet<_>>().len(), uids.len());
        prop_assert!(verdict.look.iter().all(|g| !g.ours.is_empty() && !g.theirs.is_empty()));

        let fields = |id: &Option<Identity>| id.as_ref().map(|id| id.fields);
        for o in &mine {
            for t in &there {
                let bare = o.identity.is_none();
                if !bare && fields(&o.identity) != fields(&t.identity) {
                    continue;
                }
                let near = is_near(o.len, t.size) || !bare && is_possible(o.len, t.size);
                let together = verdict.look.iter()
                    .any(|g| g.ours.contains(&o.item) && g.theirs.contains(&t.uid));
                // Of copies that are sure, the surplus of one side is in no pair.
                let decided = verdict.sure[..pairs].iter()
                    .any(|p| fields(&mine[p.0].identity) == fields(&o.identity) || p.1 == t.uid);
                prop_assert!(!near || together || decided, "{:?} {:?}", o, t);
            }
        }
    }
}
