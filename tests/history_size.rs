//! The catalog of a million placements, with a history: how large it is. Not run by itself; it
//! says the time as well, which means something on a quiet machine only:
//! `cargo test --release --features testing --test history_size -- --ignored --nocapture`
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

use std::time::Instant;

use mailstow::archive::format::{Departure, FlagChange, Record};
use mailstow::archive::{ArchiveDir, LogPosition, LogWriter};
use mailstow::catalog::{Catalog, NOW, Within};
use mailstow::clock::{Clock, rfc3339};
use mailstow::model::{
    AccountId, ContentId, Evidence, Flags, InternalDate, LineEnds, Location, Mailbox, MailboxId,
    Placement, RemoteId, StoredContent, UidSet,
};
use mailstow::store::{OpenOptions, Reader};

const PLACEMENTS: u32 = 1_000_000;
const MAILBOXES: u32 = 100;
const PER_COMMIT: u32 = 8_192;
const FIRST: i64 = 1_780_000_000;

fn stored(n: u32) -> StoredContent {
    let id = ContentId::of(&n.to_le_bytes());
    StoredContent {
        id,
        len: 20_000 + u64::from(n % 30_000),
        eol: LineEnds::Crlf,
        head: Some(id.to_string().chars().take(32).collect()),
        at: Location {
            segment: format!(
                "me@example.org/mailbox {}/{:06}.mbox.zst",
                n % MAILBOXES,
                n / 200_000
            ),
            frame: u64::from(n / 400) * 4_000_000,
            pos: u64::from(n % 400) * 30_000,
            size: 25_000,
        },
    }
}

fn place(n: u32) -> Placement {
    let flags: [&[&str]; 3] = [&["\\Seen"], &[], &["\\Answered", "\\Seen"]];
    Placement {
        content: ContentId::of(&n.to_le_bytes()),
        mailbox: MailboxId(1 + n % MAILBOXES),
        remote: RemoteId::Imap {
            uidvalidity: 1_700_000_000 + n % MAILBOXES,
            uid: 1 + n / MAILBOXES,
        },
        flags: Flags::from_wire(flags[(n % 3) as usize]),
        date: Some(InternalDate::utc(1_500_000_000 + i64::from(n) * 200)),
        size: 20_000,
        evidence: Evidence::Bytes,
    }
}

/// The mail is read once by its owner, a tenth of it is deleted again, and one mailbox in a
/// hundred begins anew.
#[test]
#[ignore = "a million placements; see above"]
fn the_catalog_of_a_million_placements_stays_below_300_mb() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let options = OpenOptions {
        create: true,
        clock: Clock::Fixed(FIRST),
        ..OpenOptions::default()
    };
    options.open(&root).unwrap().finish().unwrap();
    let archive = ArchiveDir::open(&root).unwrap();
    let mut journal =
        LogWriter::<Record>::open(&archive.journal(), archive.id(), LogPosition::START).unwrap();
    let mut run = 1;
    let mut append = |records: &[Record]| {
        journal
            .append(run, &rfc3339(FIRST + i64::from(run) * 86_400), records)
            .unwrap();
        run += 1;
    };
    let mailboxes: Vec<Record> = (0..MAILBOXES)
        .map(|n| {
            Record::Mailbox(Mailbox {
                id: MailboxId(1 + n),
                account: AccountId(1),
                name: format!("mailbox {n}"),
                wire: format!("mailbox {n}"),
                separator: Some('/'),
                folder: format!("mailbox {n}"),
                uidvalidity: Some(1_700_000_000 + n),
                special_use: None,
                subscribed: true,
            })
        })
        .collect();
    append(&mailboxes);
    for from in (0..PLACEMENTS).step_by(PER_COMMIT as usize) {
        let numbers = from..(from + PER_COMMIT).min(PLACEMENTS);
        let contents = numbers.clone().map(|n| Record::Store(stored(n)));
        let records: Vec<Record> = contents
            .chain(numbers.map(|n| Record::Place(place(n))))
            .collect();
        append(&records);
    }
    let per_mailbox = PLACEMENTS / MAILBOXES;
    for n in 0..MAILBOXES {
        let (mailbox, uidvalidity) = (MailboxId(1 + n), 1_700_000_000 + n);
        let uids: UidSet = (1..=per_mailbox).collect();
        append(&[Record::Flags(FlagChange {
            mailbox,
            uidvalidity,
            uids,
            flags: Flags::from_wire(["\\Seen", "$Forwarded"]),
        })]);
        let uids: UidSet = (1..=per_mailbox).step_by(10).collect();
        append(&[Record::Gone(Departure {
            mailbox,
            uidvalidity,
            uids,
        })]);
    }
    drop(journal);

    let began = Instant::now();
    std::fs::remove_file(root.join("catalog.sqlite")).unwrap();
    let reader = Reader::open(&root, None).unwrap();
    let rebuilt = began.elapsed();
    let path = reader.catalog().path().to_owned();
    let size = std::fs::metadata(&path).unwrap().len();
    let began = Instant::now();
    let catalog = Catalog::open_for_reading(&path).unwrap();
    let totals = catalog.totals(MailboxId(1)).unwrap();
    let opened = began.elapsed();
    let began = Instant::now();
    let mut then = 0;
    let before_flags = u64::from(PLACEMENTS / PER_COMMIT) + 2;
    let each = |_| then += 1;
    let within = Within::default();
    catalog
        .shown_at(MailboxId(1), before_flags, false, &within, each)
        .unwrap();
    let listed = began.elapsed();
    println!(
        "{} MB, rebuilt in {rebuilt:?}, opened in {opened:?}, one mailbox as of then in {listed:?}",
        size / 1_000_000
    );
    assert_eq!(then, per_mailbox);
    assert_eq!(totals, catalog.totals_at(MailboxId(1), NOW).unwrap());
    assert_eq!(totals.gone, u64::from(per_mailbox / 10));
    assert!(size < 300_000_000, "{size} bytes");
}
