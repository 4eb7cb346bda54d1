//! What an archive holds, read back in full with the library, in a form that can be compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mailstow::archive::format::Record;
use mailstow::archive::{ArchiveDir, LogPosition, LogReader, SegmentReader};
use mailstow::event::Silent;
use mailstow::model::{ContentId, Job};
use mailstow::store::Reader;
use mailstow::verify::{VerifyOptions, VerifyReport, verify};

/// One placement of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub account: String,
    pub mailbox: String,
    /// UIDVALIDITY:UID.
    pub remote: String,
    pub content: String,
    pub flags: Vec<String>,
    pub date: Option<String>,
    pub gone: bool,
}

/// A mailbox as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MailboxState {
    pub account: String,
    pub name: String,
    pub wire: String,
    pub folder: String,
    pub uidvalidity: Option<u32>,
    pub special_use: Option<String>,
    pub subscribed: bool,
}

/// What an archive holds, in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveState {
    /// Sorted; a placement that was there twice would be here twice.
    pub placed: Vec<Placed>,
    /// Content id and length, of contents without a placement as well.
    pub contents: BTreeMap<String, u64>,
    pub mailboxes: Vec<MailboxState>,
    /// Mailbox, UIDVALIDITY, UIDNEXT, messages.
    pub checkpoints: Vec<(String, u32, u32, u32)>,
    pub skips: usize,
}

/// Reads an archive with the library. Every content is read back and hashed again, and every
/// byte of mail is passed to nobody but the hash.
#[track_caller]
pub fn archive_state(archive: &Path) -> ArchiveState {
    let reader = Reader::open(archive, None).expect("an archive");
    let catalog = reader.catalog();
    let mut state = ArchiveState {
        placed: Vec::new(),
        contents: BTreeMap::new(),
        mailboxes: Vec::new(),
        checkpoints: Vec::new(),
        skips: catalog.skips(true).unwrap().len(),
    };
    for account in catalog.accounts().unwrap() {
        for mailbox in catalog.mailboxes(Some(account.id)).unwrap() {
            if let Some(c) = catalog.checkpoint(mailbox.id).unwrap() {
                let name = mailbox.name.clone();
                state
                    .checkpoints
                    .push((name, c.uidvalidity, c.uidnext, c.messages));
            }
            for row in catalog.placements(mailbox.id, true).unwrap() {
                assert_eq!(row.damaged, None);
                state.placed.push(Placed {
                    account: account.name.clone(),
                    mailbox: mailbox.name.clone(),
                    remote: row.remote.to_string(),
                    content: row.content.id.to_string(),
                    flags: row.flags.iter().map(str::to_owned).collect(),
                    date: row.date.map(|date| date.to_string()),
                    gone: row.gone,
                });
            }
            state.mailboxes.push(MailboxState {
                account: account.name.clone(),
                name: mailbox.name,
                wire: mailbox.wire,
                folder: mailbox.folder,
                uidvalidity: mailbox.uidvalidity,
                special_use: mailbox.special_use,
                subscribed: mailbox.subscribed,
            });
        }
    }
    let mut mail = reader.mail();
    for (segment, _, _) in catalog.segments().unwrap() {
        for content in catalog.contents_in(&segment, 0).unwrap() {
            let bytes = mail
                .read_to_vec(&content)
                .expect("a message that can be read");
            assert_eq!(ContentId::of(&bytes), content.id);
            assert_eq!(bytes.len() as u64, content.len);
            let before = state.contents.insert(content.id.to_string(), content.len);
            assert_eq!(before, None, "{} is kept twice", content.id);
        }
    }
    state.placed.sort();
    state.mailboxes.sort();
    state.checkpoints.sort();
    state
}

/// The bytes of a message, by its content id.
pub fn message(archive: &Path, content: &str) -> Vec<u8> {
    let reader = Reader::open(archive, None).unwrap();
    let found = reader.catalog().contents_like(content, 2).unwrap();
    assert_eq!(found.len(), 1);
    reader.mail().read_to_vec(&found[0]).unwrap()
}

/// The jobs of an archive.
pub fn jobs(archive: &Path) -> Vec<Job> {
    let reader = Reader::open(archive, None).unwrap();
    reader.catalog().jobs().unwrap()
}

/// Verifies in-process; panics unless the archive is sound and nothing is left unnamed. And
/// walks the segments itself: from the first byte to the last they are whole pairs, so that
/// a stock `zstd -d` reads them.
#[track_caller]
pub fn assert_sound(archive: &Path) -> VerifyReport {
    let reader = Reader::open(archive, None).expect("an archive");
    let report = verify(&reader, &VerifyOptions::default(), &Silent).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.known_damaged, []);
    assert_eq!(report.unnamed, []);
    assert_eq!(report.unfinished_commit, None);
    for (segment, _, _) in reader.catalog().segments().unwrap() {
        let path = archive.join("mail").join(&segment);
        let mut pairs = SegmentReader::open(&path, 0).unwrap();
        let mut end = 0;
        while let Some(pair) = pairs
            .next_pair()
            .unwrap_or_else(|e| panic!("{segment}: {e}"))
        {
            assert_eq!(pair.offset, end, "{segment}: bytes between two pairs");
            end = pair.end();
            pairs.skip_data(&pair).unwrap();
        }
        assert_eq!(
            end,
            pairs.file_len(),
            "{segment}: bytes behind the last pair"
        );
    }
    report
}

/// The records of every commit.
pub fn commits(archive: &Path) -> Vec<Vec<Record>> {
    let dir = ArchiveDir::open(archive).unwrap();
    let mut log = LogReader::<Record>::new(&dir.journal(), dir.id(), LogPosition::START);
    let mut commits = Vec::new();
    while let Some(frame) = log.next_frame().expect("a whole journal") {
        commits.push(frame.records);
    }
    commits
}

/// Paths and bytes of all files below a folder.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                found.insert(entry.path(), bytes);
            }
        }
    }
    found
}

/// Runs `again`, and demands that it adds one commit with nothing but a `run` record and
/// changes no segment.
#[track_caller]
pub fn assert_adds_a_run_record_only(archive: &Path, again: impl FnOnce()) {
    let (mail, before) = (files(&archive.join("mail")), commits(archive));
    again();
    let after = commits(archive);
    assert!(files(&archive.join("mail")) == mail, "a segment changed");
    let added = &after[before.len()..];
    assert!(
        matches!(added, [records] if matches!(records.as_slice(), [Record::Run(_)])),
        "more than a run record: {added:#?}"
    );
}
