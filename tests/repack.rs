//! Small frames of many runs are put together, and nobody who reads the archive notices.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop"
)]

mod support;

#[path = "repack/reading.rs"]
mod reading;
#[path = "repack/remains.rs"]
mod remains;
#[path = "repack/space.rs"]
mod space;

use std::path::{Path, PathBuf};

use mailstow::archive::SegmentReader;
use mailstow::archive::format::Record;
use mailstow::store::{RepackPolicy, RepackReport, Writer};
use support::archive_state::{ArchiveState, archive_state, assert_sound, commits};
use support::nights::{Night, Nights, imap};

/// Full at two kilobytes, so that a handful of messages fills a frame.
const SMALL: RepackPolicy = RepackPolicy {
    full: 2_000,
    frames: 6,
    carry: 4_000,
    budget: 1 << 20,
};

fn never() -> bool {
    false
}

fn repack(writer: &mut Writer) -> RepackReport {
    writer.repack(&SMALL, &never).unwrap()
}

/// One night with the messages of these numbers, and what repacking did at its end.
fn night(nights: &mut Nights, numbers: std::ops::Range<u32>) -> RepackReport {
    let mut night = begin(nights, numbers);
    night.commit();
    let report = repack(&mut night.writer);
    night.end(0);
    report
}

fn begin(nights: &mut Nights, numbers: std::ops::Range<u32>) -> Night {
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    for n in numbers {
        night.place(inbox, imap(1, n), n, &[]);
    }
    night
}

/// Nights of one message each, before the first of which nothing was.
fn small_nights(count: u32) -> Nights {
    let mut nights = Nights::new();
    for n in 1..=count {
        let mut night = begin(&mut nights, n..n + 1);
        night.commit();
        night.end(0);
    }
    nights
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = support::archive_state::files(&root.join("mail"))
        .into_keys()
        .collect();
    found.sort();
    found
}

fn names(root: &Path) -> Vec<String> {
    let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
    segments(root).iter().map(name).collect()
}

/// Messages per data frame of a segment.
fn frames(path: &Path) -> Vec<usize> {
    let mut reader = SegmentReader::open(path, 0).unwrap();
    let mut found = Vec::new();
    while let Some(pair) = reader.next_pair().unwrap() {
        found.push(pair.lines.len());
        reader.skip_data(&pair).unwrap();
    }
    found
}

fn state(root: &Path) -> ArchiveState {
    assert_sound(root);
    archive_state(root)
}

/// `cp -al` makes a snapshot of names: what is cut off here would be cut off there.
#[test]
fn a_snapshot_of_hard_links_keeps_what_it_had() {
    let mut nights = Nights::new();
    night(&mut nights, 1_000..1_080);
    for n in 1..=5 {
        let mut night = begin(&mut nights, n..n + 1);
        night.commit();
        night.end(0);
    }
    let root = nights.root();
    let old = segments(&root)[0].clone();
    let before = std::fs::read(&old).unwrap();
    assert!(before.len() as u64 > SMALL.carry, "{}", before.len());
    let snapshot = nights.dir.path().join("snapshot");
    std::fs::hard_link(&old, &snapshot).unwrap();
    assert_eq!(night(&mut nights, 6..7).segments, 1);
    assert!(std::fs::read(&snapshot).unwrap().starts_with(&before));
    assert_eq!(state(&root).contents.len(), 86);
    // Nor is it cut after a death.
    drop(begin(&mut nights, 1..1));
    night(&mut nights, 7..8);
    assert!(std::fs::read(&snapshot).unwrap().starts_with(&before));
    assert_eq!(state(&root).contents.len(), 87);
}

/// The catalog is derived: what it does not tell of is not destroyed because of that.
#[test]
fn a_message_the_catalog_does_not_tell_of_is_no_reason_to_remove_a_segment() {
    for lost in ["3", "(SELECT max(no) FROM contents)"] {
        let mut nights = small_nights(7);
        let root = nights.root();
        let before = std::fs::read(&segments(&root)[0]).unwrap();
        let catalog = rusqlite::Connection::open(root.join("catalog.sqlite")).unwrap();
        let row = format!("DELETE FROM contents WHERE no = {lost}");
        assert_eq!(catalog.execute(&row, []).unwrap(), 1);
        drop(catalog);
        assert_eq!(night(&mut nights, 8..9).segments, 0);
        let after = std::fs::read(&segments(&root)[0]).unwrap();
        assert!(after.starts_with(&before), "the segment was written anew");
        // Built again from the journal, the catalog tells of all of them.
        std::fs::remove_file(root.join("catalog.sqlite")).unwrap();
        assert_eq!(state(&root).contents.len(), 8);
    }
}

#[test]
fn small_frames_are_put_together_in_a_segment_of_the_next_number() {
    let mut nights = small_nights(5);
    let root = nights.root();
    assert_eq!(frames(&segments(&root)[0]), [1; 5]);
    let report = night(&mut nights, 6..7);
    assert_eq!((report.segments, report.frames), (1, 6));
    assert!(report.after < report.before, "{report:?}");
    assert_eq!(names(&root), ["000002.mbox.zst"]);
    assert_eq!(frames(&segments(&root)[0]), [6]);
    assert_eq!(state(&root).contents.len(), 6);
    // Mail goes on where it was put.
    assert_eq!(night(&mut nights, 7..8), RepackReport::default());
    assert_eq!(frames(&segments(&root)[0]), [6, 1]);
    // A run without new mail looks at no segment.
    let before = commits(&root).len();
    assert_eq!(night(&mut nights, 1..1), RepackReport::default());
    assert_eq!(commits(&root).len(), before + 1);
    assert_eq!(state(&root).contents.len(), 7);
    // What the journal says, a catalog of its own says as well.
    let rebuilt = support::nights::rebuilt(&root);
    let live = nights.reader();
    assert_eq!(
        rebuilt.catalog().digests().unwrap(),
        live.catalog().digests().unwrap()
    );
}

#[test]
fn a_large_part_before_the_small_frames_stays_as_a_sealed_segment() {
    let mut nights = Nights::new();
    let root = nights.root();
    // Frames of a thousand messages that do not compress away, and 5 small ones behind.
    night(&mut nights, 0..400);
    for n in 400..405 {
        night(&mut nights, n..n + 1);
    }
    let before = std::fs::read(&segments(&root)[0]).unwrap();
    assert_eq!(frames(&segments(&root)[0]), [400, 1, 1, 1, 1, 1]);
    assert!(before.len() > SMALL.carry as usize);
    night(&mut nights, 405..406);
    assert_eq!(names(&root), ["000001.mbox.zst", "000002.mbox.zst"]);
    assert_eq!(frames(&segments(&root)[0]), [400]);
    assert_eq!(frames(&segments(&root)[1]), [6]);
    let after = std::fs::read(&segments(&root)[0]).unwrap();
    assert_eq!(before[..after.len()], after[..]);
    let said = nights.reader().catalog().segments().unwrap();
    let sealed: Vec<bool> = said.iter().map(|(_, _, sealed)| *sealed).collect();
    assert_eq!(sealed, [true, false]);
    assert_eq!(state(&root).contents.len(), 406);
    night(&mut nights, 406..407);
    assert_eq!(frames(&segments(&root)[1]), [6, 1]);
    state(&root);
}

#[test]
fn a_frame_that_is_damaged_stays_where_it_is_and_its_messages_are_named() {
    let mut nights = small_nights(5);
    let root = nights.root();
    let path = segments(&root)[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    // Inside the third data frame.
    let mut reader = SegmentReader::open(&path, 0).unwrap();
    for _ in 0..2 {
        let pair = reader.next_pair().unwrap().unwrap();
        reader.skip_data(&pair).unwrap();
    }
    let third = reader.next_pair().unwrap().unwrap();
    bytes[third.data_offset as usize + 30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = night(&mut nights, 6..7);
    assert_eq!((report.segments, report.damaged), (0, 1));
    let left = std::fs::read(&path).unwrap();
    assert_eq!(left[..bytes.len()], bytes[..], "it was touched");
    let reader = nights.reader();
    let damaged = reader.catalog().damaged().unwrap();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].0, third.lines[0].id);
    assert_eq!(reader.catalog().content_totals().unwrap().0, 5);
    // It is sealed as it is; new mail goes elsewhere, and that is repacked again in its turn.
    for n in 7..13 {
        night(&mut nights, n..n + 1);
    }
    assert_eq!(names(&root), ["000001.mbox.zst", "000003.mbox.zst"]);
    assert_eq!(std::fs::read(&path).unwrap(), left);
}

#[test]
fn damage_in_what_would_be_copied_along_is_seen_as_well() {
    let mut nights = Nights::new();
    let root = nights.root();
    night(&mut nights, 100..120);
    for n in 1..6 {
        night(&mut nights, n..n + 1);
    }
    let path = segments(&root)[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let mut reader = SegmentReader::open(&path, 0).unwrap();
    let first = reader.next_pair().unwrap().unwrap();
    assert!(first.lines.len() == 20 && first.end() < SMALL.carry);
    bytes[first.end() as usize - 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = night(&mut nights, 6..7);
    assert_eq!(report.segments, 0);
    assert!(report.damaged > 0);
    assert_eq!(names(&root), ["000001.mbox.zst"]);
    assert_eq!(std::fs::read(&path).unwrap()[..bytes.len()], bytes[..]);
}

#[test]
fn dead_copies_are_left_out() {
    let mut nights = small_nights(5);
    let root = nights.root();
    let before = state(&root);
    // Message 3 is recorded lost and fetched again, though its first copy is whole.
    let lost = support::nights::message(3);
    let id = mailstow::model::ContentId::of(&lost);
    let mut night = nights.begin();
    let inbox = night.mailbox("INBOX", Some(1));
    night
        .writer
        .record(Record::Damaged(mailstow::archive::format::Damaged {
            id,
            segment: String::new(),
            reason: "a test says so".into(),
        }));
    night.commit();
    night.place(inbox, imap(1, 3), 3, &[]);
    night.place(inbox, imap(1, 6), 6, &[]);
    night.commit();
    let report = repack(&mut night.writer);
    night.end(0);
    assert_eq!(report.segments, 0, "five frames hold something");
    let mut night = begin(&mut nights, 7..8);
    night.commit();
    let report = repack(&mut night.writer);
    night.end(0);
    assert_eq!((report.segments, report.frames), (1, 6));
    assert_eq!(frames(&segments(&root)[0]), [7]);
    assert_eq!(
        archive_state(&root).contents.len(),
        before.contents.len() + 2
    );
}

#[test]
fn what_the_budget_does_not_reach_is_done_later_and_a_stop_is_heard() {
    let mut nights = small_nights(20);
    let root = nights.root();
    let mut night = begin(&mut nights, 21..22);
    night.commit();
    assert_eq!(
        night.writer.repack(&SMALL, &|| true).unwrap(),
        RepackReport::default()
    );
    // More than one full frame of text, and less than all there is.
    let little = RepackPolicy {
        budget: 2_100,
        ..SMALL
    };
    let report = night.writer.repack(&little, &never).unwrap();
    night.end(0);
    assert_eq!(report.segments, 1);
    let first = frames(&segments(&root)[0]);
    assert!(first[0] > 1 && *first.last().unwrap() == 1, "{first:?}");
    state(&root);
    self::night(&mut nights, 22..23);
    let then = frames(&segments(&root)[0]);
    assert!(then.len() < 5, "{then:?}");
    assert_eq!(state(&root).contents.len(), 22);
}
