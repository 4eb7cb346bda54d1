//! Damage of every kind is found, and named exactly; what is no damage is not called so.
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
use std::path::Path;

use mailstow::archive::LogError;
use mailstow::event::Silent;
use mailstow::model::ContentId;
use mailstow::store::{OpenOptions, Reader, StoreError};
use mailstow::verify::{FindingKind, VerifyOptions, VerifyReport, verify};
use support::fixture::{self, Fixture};

fn check(root: &Path) -> VerifyReport {
    verify(
        &Reader::open(root, None).unwrap(),
        &VerifyOptions::default(),
        &Silent,
    )
    .unwrap()
}

/// The messages that cannot be read back, found out by reading them.
fn unreadable(root: &Path) -> BTreeSet<ContentId> {
    let reader = Reader::open(root, None).unwrap();
    let mut mail = reader.mail();
    let mut lost = BTreeSet::new();
    for mailbox in reader.catalog().mailboxes(None).unwrap() {
        for row in reader.catalog().placements(mailbox.id, true).unwrap() {
            if mail.read_to_vec(&row.content).is_err() {
                lost.insert(row.content.id);
            }
        }
    }
    lost
}

fn affected(report: &VerifyReport) -> BTreeSet<ContentId> {
    report.affected().into_iter().collect()
}

/// An archive small enough to damage at every byte: ten messages in three frames.
fn small() -> Fixture {
    let mails: Vec<_> = fixture::mails()
        .into_iter()
        .filter(|m| m.mailbox == 0)
        .take(10)
        .collect();
    fixture::build_of(mails, 4)
}

#[test]
fn a_whole_archive_is_sound_and_every_message_was_read() {
    let fixture = fixture::build();
    let before = fixture::snapshot(&fixture.root);
    let report = check(&fixture.root);
    assert_eq!(report.findings, []);
    let contents: BTreeSet<ContentId> = fixture.mails.iter().map(fixture::Mail::id).collect();
    assert_eq!(report.messages, contents.len() as u64);
    assert_eq!(report.contents, contents.len() as u64);
    assert_eq!(report.placements, fixture.mails.len() as u64);
    assert_eq!(
        (
            report.frames,
            report.unfinished_commit.clone(),
            report.unnamed.len()
        ),
        (report.frames_read, None, 0)
    );
    let bytes: usize = contents
        .iter()
        .map(|id| {
            fixture
                .mails
                .iter()
                .find(|m| m.id() == *id)
                .unwrap()
                .bytes
                .len()
        })
        .sum();
    assert_eq!(report.bytes, bytes as u64);
    // A16: no lock, no -wal, no litter, not a byte changed.
    assert_eq!(fixture::snapshot(&fixture.root), before);
    assert_eq!(fixture::placed(&fixture.root), fixture.expected());
}

#[test]
fn a_sample_reads_a_part_and_the_same_part_again() {
    let fixture = fixture::build_of(fixture::mails(), 1);
    let reader = fixture.reader();
    let half = |seed| VerifyOptions {
        sample_percent: Some(50.0),
        seed,
        threads: 1,
    };
    let first = verify(&reader, &half(1), &Silent).unwrap();
    assert!(
        first.frames_read > 0 && first.frames_read < first.frames,
        "{first:?}"
    );
    assert_eq!(verify(&reader, &half(1), &Silent).unwrap(), first);
    assert_ne!(
        verify(&reader, &half(2), &Silent).unwrap().bytes,
        first.bytes
    );
    let none = VerifyOptions {
        sample_percent: Some(0.0),
        ..half(1)
    };
    assert_eq!(verify(&reader, &none, &Silent).unwrap().frames_read, 0);
}

#[test]
fn every_flipped_bit_of_a_segment_is_found_and_exactly_its_messages_are_named() {
    let fixture = small();
    let segment = fixture.segment(0);
    let good = std::fs::read(&segment).unwrap();
    let all = check(&fixture.root).messages;
    let mut harmless = 0;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&segment, &bad).unwrap();
        let report = check(&fixture.root);
        let lost = unreadable(&fixture.root);
        if report.is_sound() {
            // zstd has a few bits that mean nothing: with one of them flipped, every message
            // still comes out whole.
            assert_eq!(
                (lost.len(), report.messages),
                (0, all),
                "bit {} of byte {at} went unseen",
                at % 8
            );
            harmless += 1;
        }
        assert_eq!(affected(&report), lost, "byte {at}: {:?}", report.findings);
        assert!(
            lost.len() <= 4,
            "one frame holds four: byte {at} took {}",
            lost.len()
        );
        assert!(
            report
                .findings
                .iter()
                .all(|f| matches!(f.kind, FindingKind::Mail | FindingKind::Segment))
        );
    }
    assert!(
        harmless * 50 < good.len(),
        "{harmless} of {} flips went unseen",
        good.len()
    );
}

#[test]
fn a_segment_cut_at_any_byte_loses_exactly_what_was_behind() {
    let fixture = small();
    let segment = fixture.segment(0);
    let good = std::fs::read(&segment).unwrap();
    for len in 0..good.len() {
        std::fs::write(&segment, &good[..len]).unwrap();
        let report = check(&fixture.root);
        assert!(!report.is_sound(), "cut at {len}");
        assert_eq!(
            affected(&report),
            unreadable(&fixture.root),
            "cut at {len}: {:?}",
            report.findings
        );
    }
    std::fs::remove_file(&segment).unwrap();
    let report = check(&fixture.root);
    assert_eq!(
        report.affected().len(),
        fixture
            .mails
            .iter()
            .map(fixture::Mail::id)
            .collect::<BTreeSet<_>>()
            .len()
    );
    assert!(report.findings[0].text.contains("missing"));
}

#[test]
fn damage_in_one_of_many_segments_leaves_the_others_alone() {
    let fixture = fixture::build();
    let segment = fixture.segment(3);
    let len = std::fs::metadata(&segment).unwrap().len() as usize;
    for at in (0..len).step_by(len / 40 + 1) {
        let good = std::fs::read(&segment).unwrap();
        fixture::flip(&segment, at, 3);
        let report = check(&fixture.root);
        assert!(!report.is_sound(), "byte {at}");
        assert_eq!(affected(&report), unreadable(&fixture.root), "byte {at}");
        assert!(report.findings.iter().all(|f| f.path == segment));
        std::fs::write(&segment, good).unwrap();
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_reported_and_opening_for_writing_changes_nothing() {
    let fixture = small();
    let journal = fixture.root.join("journal/000001.jsonl.zst");
    let good = std::fs::read(&journal).unwrap();
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&journal, &bad).unwrap();
        let report = check(&fixture.root);
        assert!(
            report
                .findings
                .iter()
                .any(|f| f.kind == FindingKind::Journal),
            "byte {at}: {report:?}"
        );
    }
    // The catalog is gone, so the journal has to be read: damage anywhere in it is an error,
    // and nothing is touched.
    std::fs::remove_file(fixture.root.join("catalog.sqlite")).unwrap();
    for at in (0..good.len()).step_by(19) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&journal, &bad).unwrap();
        let before = fixture::snapshot(&fixture.root);
        match OpenOptions::default().open(&fixture.root) {
            Err(StoreError::Journal(LogError::Damaged { .. } | LogError::Torn { .. })) => {}
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fixture::snapshot(&fixture.root), before, "byte {at}");
    }
}

#[test]
fn the_end_of_the_journal_inside_a_frame_is_an_unfinished_commit_and_no_damage() {
    let fixture = small();
    let journal = fixture.root.join("journal/000001.jsonl.zst");
    let whole = std::fs::metadata(&journal).unwrap().len();
    {
        // Killed in the middle of the next commit: mail is there, half a journal frame too.
        let mut writer = fixture::options().open(&fixture.root).unwrap();
        let boxes = fixture::mailboxes(&mut writer);
        let bytes = b"Subject: never committed\r\n\r\n".to_vec();
        let mail = fixture::Mail {
            mailbox: 0,
            uid: 500,
            bytes,
            flags: vec![],
            date: None,
        };
        writer.arrive(fixture::arrived(&boxes[0], &mail)).unwrap();
        writer.commit().unwrap();
        // No finish: dropped as a kill would.
    }
    std::fs::remove_file(fixture.root.join("catalog.sqlite")).unwrap();
    for sidecar in ["-wal", "-shm"] {
        std::fs::remove_file(fixture.root.join(format!("catalog.sqlite{sidecar}")))
            .unwrap_or_default();
    }
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .unwrap();
    file.set_len(whole + 20).unwrap();
    let report = check(&fixture.root);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.unfinished_commit, Some((journal, whole)));
    assert_eq!(report.unnamed.iter().map(|u| u.messages).sum::<u64>(), 1);
    assert_eq!(fixture::placed(&fixture.root), fixture.expected());
}

#[test]
fn a_catalog_is_never_believed_over_the_journal() {
    let fixture = small();
    let catalog = fixture.root.join("catalog.sqlite");
    let good = std::fs::read(&catalog).unwrap();
    for rubbish in [&b"this is no database"[..], &[0; 4096], b""] {
        std::fs::write(&catalog, rubbish).unwrap();
        assert_eq!(fixture::placed(&fixture.root), fixture.expected());
        let report = check(&fixture.root);
        assert!(
            report
                .findings
                .iter()
                .any(|f| f.kind == FindingKind::Catalog),
            "{report:?}"
        );
    }
    // A7: whatever bit flips, either nothing that counts has changed, or it is reported.
    let mut seen = 0;
    for at in (0..good.len()).step_by(211) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&catalog, &bad).unwrap();
        let Ok(reader) = Reader::open(&fixture.root, None) else {
            seen += 1;
            continue;
        };
        match verify(&reader, &VerifyOptions::default(), &Silent) {
            Ok(report) if report.is_sound() => {
                assert_eq!(
                    fixture::placed(&fixture.root),
                    fixture.expected(),
                    "byte {at} lies and nobody says so"
                );
            }
            _ => seen += 1,
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_catalog_from_before_the_last_commits_costs_nothing() {
    let fixture = small();
    let catalog = fixture.root.join("catalog.sqlite");
    let old = std::fs::read(&catalog).unwrap();
    let more: Vec<_> = fixture::mails()
        .into_iter()
        .filter(|m| m.mailbox == 1)
        .collect();
    fixture::fill(&fixture.root, &more, 3);
    let segments = || {
        let mut files = fixture::snapshot(&fixture.root);
        files.retain(|path, _| path.starts_with("mail") || path.starts_with("journal"));
        files
    };
    let before = segments();
    let state = fixture::placed(&fixture.root);
    // A9: the .sqlite comes back from last week's backup.
    std::fs::write(&catalog, &old).unwrap();
    assert_eq!(fixture::placed(&fixture.root), state);
    assert!(check(&fixture.root).is_sound());
    let writer = fixture::options().open(&fixture.root).unwrap();
    writer.finish().unwrap();
    assert_eq!(segments(), before);
    assert_eq!(fixture::placed(&fixture.root), state);
}

#[test]
fn a_stale_wal_beside_a_catalog_is_not_applied_to_it() {
    let fixture = small();
    let wal = fixture.root.join("catalog.sqlite-wal");
    let state = fixture::placed(&fixture.root);
    // The WAL of a run that was killed …
    let stale = {
        let mut writer = fixture::options().open(&fixture.root).unwrap();
        let boxes = fixture::mailboxes(&mut writer);
        let mail = fixture::mails()
            .into_iter()
            .find(|m| m.mailbox == 2)
            .unwrap();
        writer.arrive(fixture::arrived(&boxes[0], &mail)).unwrap();
        let copy = fixture.copy("before");
        writer.commit().unwrap();
        let stale = std::fs::read(&wal).unwrap();
        drop(copy);
        stale
    };
    // … beside the catalog, the journal and the mark of the archive as it was before.
    let other = fixture::build_of(fixture.mails.clone(), 4);
    std::fs::write(other.root.join("catalog.sqlite-wal"), &stale).unwrap();
    assert_eq!(fixture::placed(&other.root), state);
    fixture::options()
        .open(&other.root)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(fixture::placed(&other.root), state);
    assert!(check(&other.root).is_sound());
}

#[test]
fn only_one_writer_at_a_time() {
    let fixture = small();
    let first = fixture::options().open(&fixture.root).unwrap();
    match fixture::options().open(&fixture.root) {
        Err(StoreError::Lock {
            source: mailstow::durable::LockError::Held,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    // A reader needs no lock.
    assert!(check(&fixture.root).is_sound());
    first.finish().unwrap();
    fixture::options()
        .open(&fixture.root)
        .unwrap()
        .finish()
        .unwrap();
}

#[test]
fn hostile_lengths_in_a_contents_frame_are_errors_and_not_allocations() {
    let fixture = small();
    let segment = fixture.segment(0);
    let good = std::fs::read(&segment).unwrap();
    let pair = |data: u64, text: u64, line: &str| {
        let contents = format!(
            "{{\"k\":\"contents\",\"account\":\"a\",\"mailbox\":\"b\",\"wire\":\"b\",\"data\":{data},\"text\":{text}}}\n{line}"
        );
        let packed = zstd::bulk::compress(contents.as_bytes(), 3).unwrap();
        [
            &0x184D_2A5Cu32.to_le_bytes()[..],
            &(packed.len() as u32).to_le_bytes(),
            &packed,
        ]
        .concat()
    };
    let id = "0".repeat(64);
    let line = |len: u64, pos: u64, size: u64| {
        format!(
            "{{\"c\":\"{id}\",\"len\":{len},\"eol\":\"raw\",\"pos\":{pos},\"size\":{size},\"v\":1,\"u\":1}}\n"
        )
    };
    let bomb = zstd::bulk::compress(&vec![b'\n'; 300 << 20], 1).unwrap();
    for bad in [
        pair(u64::MAX, u64::MAX, &line(u64::MAX, 0, u64::MAX)),
        pair(10, u64::MAX, &line(u64::MAX, 0, u64::MAX)),
        pair(10, 10, &line(1, u64::MAX, u64::MAX)),
        pair(0, 0, ""),
        [&0x184D_2A5Cu32.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat(),
        [
            &0x184D_2A5Cu32.to_le_bytes()[..],
            &(bomb.len() as u32).to_le_bytes(),
            &bomb,
        ]
        .concat(),
    ] {
        std::fs::write(&segment, [&bad[..], &good].concat()).unwrap();
        let report = check(&fixture.root);
        assert!(!report.is_sound());
        assert_eq!(affected(&report), unreadable(&fixture.root));
    }
}

#[test]
fn damage_that_is_found_on_opening_takes_no_whole_message_with_it() {
    let fixture = small();
    let segment = fixture.segment(0);
    let whole = std::fs::read(&segment).unwrap();
    let good = fixture
        .expected()
        .iter()
        .map(|p| p.5)
        .collect::<BTreeSet<_>>()
        .len();
    // In the first of three frames, then an unclean stop without a catalog: all is read again.
    fixture::flip(&segment, whole.len() / 6, 0);
    let lost = unreadable(&fixture.root);
    assert!(!lost.is_empty() && lost.len() < good);
    for _ in 0..2 {
        std::fs::write(fixture.root.join("lock"), "in use\n").unwrap();
        std::fs::remove_file(fixture.root.join("catalog.sqlite")).unwrap();
        fixture::options()
            .open(&fixture.root)
            .unwrap()
            .finish()
            .unwrap();
        let reader = Reader::open(&fixture.root, None).unwrap();
        let damaged: BTreeSet<ContentId> = reader
            .catalog()
            .damaged()
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        assert_eq!(damaged, lost, "the messages behind the damage are whole");
        assert_eq!(
            std::fs::metadata(&segment).unwrap().len() as usize,
            whole.len(),
            "nothing is cut"
        );
        let report = check(&fixture.root);
        assert_eq!(
            (report.findings.clone(), report.known_damaged.len()),
            (vec![], lost.len())
        );
    }
}

#[test]
fn a_journal_that_lost_its_end_is_damage_also_when_the_catalog_is_gone() {
    let fixture = small();
    let journal = fixture.root.join("journal/000001.jsonl.zst");
    let len = std::fs::metadata(&journal).unwrap().len();
    std::fs::remove_file(fixture.root.join("catalog.sqlite")).unwrap();
    // The mark says how many commits there were, so this is no torn tail.
    for cut in [1, 50] {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&journal)
            .unwrap()
            .set_len(len - cut)
            .unwrap();
        let before = fixture::snapshot(&fixture.root);
        assert!(matches!(
            OpenOptions::default().open(&fixture.root),
            Err(StoreError::Journal(LogError::Damaged { .. }))
        ));
        assert_eq!(fixture::snapshot(&fixture.root), before);
        assert!(!check(&fixture.root).is_sound());
    }
    std::fs::remove_file(&journal).unwrap();
    assert!(matches!(
        OpenOptions::default().open(&fixture.root),
        Err(StoreError::Journal(LogError::Damaged { .. }))
    ));
    assert!(!check(&fixture.root).is_sound());
}
