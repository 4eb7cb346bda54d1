//! Whatever is lost of an archive, what is left of it is saved, and nothing is invented.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mailstow::archive::format::{Departure, FlagChange, Record};
use mailstow::clock::Clock;
use mailstow::event::Silent;
use mailstow::model::{ContentId, Flags, RemoteId, Skip};
use mailstow::store::{Reader, RecoverError, RecoverReport, recover};
use mailstow::verify::{VerifyOptions, verify};
use support::fixture::{self, Fixture, Placed};

/// Recovers, checks that the old archive was left alone and the new one is sound.
fn run(from: &Path, name: &str) -> (PathBuf, RecoverReport) {
    let to = from.parent().unwrap().join(name);
    let before = fixture::snapshot(from);
    let report = recover(from, &to, Clock::Fixed(1_800_000_000), &Silent).unwrap();
    assert_eq!(
        fixture::snapshot(from),
        before,
        "the old archive was touched"
    );
    let verified = verify(
        &Reader::open(&to, None).unwrap(),
        &VerifyOptions::default(),
        &Silent,
    )
    .unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(fixture::snapshot(&to.join("tmp")).len(), 0);
    (to, report)
}

fn contents(placed: &BTreeSet<Placed>) -> BTreeSet<ContentId> {
    placed.iter().map(|p| p.5).collect()
}

fn remove(root: &Path, parts: &[&str]) {
    for part in parts {
        let path = root.join(part);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
    }
}

/// An archive with some history: flags that changed, messages that left, a skip.
fn lived() -> Fixture {
    let fixture = fixture::build();
    let mut writer = fixture::options().open(&fixture.root).unwrap();
    let boxes = fixture::mailboxes(&mut writer);
    let uids = |n: usize| {
        fixture
            .mails
            .iter()
            .filter(move |m| m.mailbox == n)
            .map(|m| m.uid)
    };
    let flags = Flags::from_wire(["\\Seen", "later"]);
    writer.record(Record::Flags(FlagChange {
        mailbox: boxes[0].id,
        uidvalidity: 7,
        uids: uids(0).take(3).collect(),
        flags,
    }));
    writer.record(Record::Gone(Departure {
        mailbox: boxes[1].id,
        uidvalidity: 7,
        uids: uids(1).take(2).collect(),
    }));
    let remote = Some(RemoteId::Imap {
        uidvalidity: 7,
        uid: 999,
    });
    writer.record(Record::Skip(Skip {
        mailbox: boxes[2].id,
        remote,
        count: 1,
        reason: "NO [SERVERBUG]".into(),
        accepted: None,
    }));
    writer.commit().unwrap();
    writer.finish().unwrap();
    fixture
}

#[test]
fn a_whole_archive_comes_out_the_same() {
    let fixture = lived();
    let (to, report) = run(&fixture.root, "new");
    assert!(
        report.is_complete() && report.journal_whole && report.damage.is_empty(),
        "{report:?}"
    );
    assert_eq!(fixture::placed(&to), fixture::placed(&fixture.root));
    assert_eq!(
        (
            report.from_journal,
            report.from_catalog,
            report.from_contents
        ),
        (fixture.mails.len() as u64, 0, 0)
    );
    let (old, new) = (fixture.reader(), Reader::open(&to, None).unwrap());
    let boxes = |r: &Reader| r.catalog().mailboxes(None).unwrap();
    assert_eq!(boxes(&old), boxes(&new));
    assert_eq!(
        old.catalog().accounts().unwrap(),
        new.catalog().accounts().unwrap()
    );
    for (a, b) in boxes(&old).iter().zip(boxes(&new)) {
        let gone = |r: &Reader, id| -> Vec<_> {
            let rows = r.catalog().placements(id, true).unwrap().into_iter();
            rows.map(|p| (p.remote, p.content.id, p.gone, p.flags, p.size, p.evidence))
                .collect()
        };
        assert_eq!(gone(&old, a.id), gone(&new, b.id));
        assert_eq!(new.catalog().checkpoint(b.id).unwrap(), None);
    }
    let skips = new.catalog().skips(true).unwrap();
    assert_eq!(
        (skips.len(), skips[0].reason.as_str()),
        (1, "NO [SERVERBUG]")
    );
}

#[test]
fn any_two_of_journal_catalog_and_manifest_may_be_gone() {
    for (n, parts) in [
        &["journal"][..],
        &["catalog.sqlite"],
        &["archive.toml"],
        &["journal", "archive.toml"],
        &["catalog.sqlite", "archive.toml"],
    ]
    .iter()
    .enumerate()
    {
        let fixture = lived();
        let state = fixture::placed(&fixture.root);
        remove(&fixture.root, parts);
        let (to, report) = run(&fixture.root, &format!("new{n}"));
        assert!(report.is_complete(), "{parts:?}: {report:?}");
        assert_eq!(fixture::placed(&to), state, "{parts:?}");
        assert_eq!(report.from_catalog > 0, parts.contains(&"journal"));
    }
}

#[test]
fn segments_alone_give_back_every_message_where_it_was_first_seen() {
    for parts in [
        &["journal", "catalog.sqlite"][..],
        &["journal", "catalog.sqlite", "archive.toml", "lock"],
    ] {
        let fixture = fixture::build();
        let all = fixture.expected();
        remove(&fixture.root, parts);
        let (to, report) = run(&fixture.root, "new");
        let saved = fixture::placed(&to);
        assert!(report.is_complete() && !report.journal_whole);
        assert_eq!(contents(&saved), contents(&all), "every message once");
        assert_eq!(
            (report.from_contents, report.messages),
            (saved.len() as u64, saved.len() as u64)
        );
        // Mailbox, remote id, flags and date of each are those of one of its placements.
        assert!(
            saved.is_subset(&all),
            "{:?}",
            saved.difference(&all).collect::<Vec<_>>()
        );
        assert!(!contents(&saved).contains(&fixture::forged()));
    }
}

#[test]
fn damage_to_the_journal_costs_nothing_while_the_catalog_is_there() {
    let fixture = lived();
    let state = fixture::placed(&fixture.root);
    let journal = "journal/000001.jsonl.zst";
    let len = std::fs::metadata(fixture.root.join(journal)).unwrap().len() as usize;
    for (n, at) in (0..len).step_by(len / 12).enumerate() {
        let copy = fixture.copy(&format!("damaged{n}"));
        fixture::flip(&copy.join(journal), at, 4);
        let (to, report) = run(&copy, &format!("new{n}"));
        assert!(report.is_complete(), "byte {at}");
        assert_eq!(fixture::placed(&to), state, "byte {at}: {report:?}");
        // Without the catalog the frames behind the damage still count, and the contents
        // frames fill the gap: no message is lost, and none is in a place it never was.
        remove(&copy, &["catalog.sqlite"]);
        let (to, report) = run(&copy, &format!("less{n}"));
        assert!(report.is_complete(), "byte {at}: {report:?}");
        let (saved, all) = (fixture::placed(&to), fixture.expected());
        let gone: BTreeSet<ContentId> = contents(&all)
            .difference(&contents(&state))
            .copied()
            .collect();
        assert!(
            contents(&all)
                .difference(&contents(&saved))
                .all(|id| gone.contains(id)),
            "byte {at}"
        );
        let places = |set: &BTreeSet<Placed>| {
            set.iter()
                .map(|p| (p.1.clone(), p.2.clone(), p.5))
                .collect::<BTreeSet<_>>()
        };
        let nameless = |place: &&(String, String, ContentId)| place.0.starts_with("recovered");
        assert_eq!(
            places(&saved)
                .difference(&places(&all))
                .find(|p| !nameless(p)),
            None,
            "byte {at}"
        );
        assert!(!report.journal_whole);
    }
}

#[test]
fn damage_to_a_segment_costs_exactly_the_messages_it_hit() {
    let fixture = fixture::build();
    let segment = fixture.segment(1);
    let relative = segment.strip_prefix(&fixture.root).unwrap();
    let len = std::fs::metadata(&segment).unwrap().len() as usize;
    let all = contents(&fixture.expected());
    for (n, at) in (3..len).step_by(len / 25).enumerate() {
        for without in [&[][..], &["catalog.sqlite"], &["catalog.sqlite", "journal"]] {
            let copy = fixture.copy(&format!("damaged{n}-{}", without.len()));
            fixture::flip(&copy.join(relative), at, 1);
            remove(&copy, without);
            let (to, report) = run(&copy, &format!("new{n}-{}", without.len()));
            let saved = contents(&fixture::placed(&to));
            let lost: BTreeSet<ContentId> = report.lost.iter().map(|l| l.content).collect();
            assert!(
                saved.is_disjoint(&lost) && saved.is_subset(&all),
                "byte {at}"
            );
            if without.len() < 2 {
                // The journal knows of every message: all is saved or named as lost.
                assert_eq!(
                    saved.union(&lost).copied().collect::<BTreeSet<_>>(),
                    all,
                    "byte {at} without {without:?}"
                );
            }
            assert!(
                lost.len() <= 7 && all.len() - saved.len() <= 7,
                "one frame holds seven: byte {at} took {}",
                lost.len()
            );
        }
    }
}

#[test]
fn a_lost_contents_frame_costs_nothing_while_the_journal_is_there() {
    let fixture = fixture::build();
    let segment = fixture.segment(1);
    // The magic, the length, and the middle of the description.
    for (n, at) in [0, 5, 30].into_iter().enumerate() {
        let copy = fixture.copy(&format!("damaged{n}"));
        fixture::flip(
            &copy.join(segment.strip_prefix(&fixture.root).unwrap()),
            at,
            1,
        );
        let (to, report) = run(&copy, &format!("new{n}"));
        assert!(report.is_complete(), "byte {at}: {report:?}");
        assert_eq!(fixture::placed(&to), fixture.expected(), "byte {at}");
        assert!(!report.damage.is_empty());
    }
}

#[test]
fn a_pair_inside_a_message_is_not_taken_for_one_of_ours() {
    // The message that holds a forged pair, incompressible so that it stands in the segment
    // as it is, then damage in front of it.
    let mails: Vec<_> = fixture::mails()
        .into_iter()
        .filter(|m| m.bytes == fixture::pair_in_a_message())
        .collect();
    let mut noise = mails[0].clone();
    let mut state = 7u64;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        noise.bytes.insert(noise.bytes.len(), (state >> 56) as u8);
    }
    let fixture = fixture::build_of(vec![noise], 1);
    let segment = fixture.segment(mails[0].mailbox);
    let bytes = std::fs::read(&segment).unwrap();
    let magic = 0x184D_2A5Cu32.to_le_bytes();
    let hits = bytes.windows(4).filter(|w| *w == magic).count();
    assert!(
        hits > 1,
        "the forged pair does not stand in the segment as it is"
    );
    for at in [0, 5, 20] {
        let copy = fixture.copy(&format!("damaged{at}"));
        fixture::flip(
            &copy.join(segment.strip_prefix(&fixture.root).unwrap()),
            at,
            0,
        );
        let (to, _) = run(&copy, &format!("new{at}"));
        assert!(
            !contents(&fixture::placed(&to)).contains(&fixture::forged()),
            "byte {at}"
        );
        assert_eq!(fixture::placed(&to), fixture.expected(), "byte {at}");
    }
}

#[test]
fn a_lost_message_that_may_still_be_on_the_server_is_asked_for_again() {
    let fixture = fixture::build();
    std::fs::remove_file(fixture.segment(3)).unwrap();
    let (to, report) = run(&fixture.root, "new");
    assert!(!report.lost.is_empty() && !report.is_complete());
    let reader = Reader::open(&to, None).unwrap();
    let skips = reader.catalog().skips(false).unwrap();
    assert_eq!(skips.len(), report.lost.len());
    assert_eq!(
        fixture::placed(&to).len() + skips.len(),
        fixture.mails.len()
    );
}

#[test]
fn a_large_message_is_saved_through_a_file() {
    let mut bytes = b"Subject: large\r\n\r\n".to_vec();
    while bytes.len() < 10 << 20 {
        bytes.extend_from_slice(format!("{:>70}\r\n", bytes.len()).as_bytes());
    }
    let mut mails: Vec<_> = fixture::mails().into_iter().take(4).collect();
    mails.push(fixture::Mail {
        mailbox: 1,
        uid: 900,
        bytes,
        flags: vec!["\\Seen"],
        date: None,
    });
    let fixture = fixture::build_of(mails, 2);
    let (to, report) = run(&fixture.root, "new");
    assert!(report.is_complete());
    assert_eq!(fixture::placed(&to), fixture.expected());
}

#[test]
fn it_refuses_to_write_over_anything() {
    let fixture = fixture::build_of(fixture::mails().into_iter().take(3).collect(), 3);
    let dir = fixture.dir.path();
    let full = dir.join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("x"), "y").unwrap();
    let try_to = |from: &Path, to: &Path| recover(from, to, Clock::Fixed(0), &Silent).unwrap_err();
    assert!(matches!(
        try_to(&fixture.root, &full),
        RecoverError::NotEmpty(_)
    ));
    assert!(matches!(
        try_to(&fixture.root, &fixture.root),
        RecoverError::NotEmpty(_)
    ));
    assert!(matches!(
        try_to(&fixture.root, &fixture.root.join("tmp/new")),
        RecoverError::Nested { .. }
    ));
    assert!(matches!(
        try_to(&full, &dir.join("new")),
        RecoverError::Nothing(_)
    ));
    std::fs::write(fixture.root.join("archive.toml"), "format = 2\n").unwrap();
    assert!(matches!(
        try_to(&fixture.root, &dir.join("new")),
        RecoverError::Newer(_)
    ));
}
