//! An archive that is written in-process run by run, a day apart, and what it says of each day.
#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers of a test's own making"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mailstow::archive::format::{Departure, FlagChange, Record};
use mailstow::archive::mboxrd::LineEndScan;
use mailstow::archive::{Body, NewContent};
use mailstow::catalog::{AsOf, NOW, Within};
use mailstow::clock::{Clock, rfc3339};
use mailstow::durable::LockError;
use mailstow::model::{
    Account, AccountId, ContentId, Flags, InternalDate, Mailbox, MailboxId, RemoteId, RunReport,
    Tally, UidSet,
};
use mailstow::store::{Arrived, OpenOptions, Reader, StoreError, Writer};
use tempfile::TempDir;

/// The time of the first run; each takes place a day after the one before.
pub const FIRST: i64 = 1_780_000_000;
pub const DAY: i64 = 86_400;

pub fn message(n: u32) -> Vec<u8> {
    format!("From: Ada <ada@example.org>\r\nSubject: number {n}\r\nMessage-ID: <{n}@x>\r\n\r\nbody {n}\r\n").into_bytes()
}

pub fn imap(uidvalidity: u32, uid: u32) -> RemoteId {
    RemoteId::Imap { uidvalidity, uid }
}

pub fn pop(uidl: &str) -> RemoteId {
    RemoteId::Pop { uidl: uidl.into() }
}

/// An archive that is written run by run.
pub struct Nights {
    pub dir: TempDir,
    night: i64,
}

/// One of its runs.
pub struct Night {
    pub writer: Writer,
    pub account: Account,
    known: Vec<Mailbox>,
    at: i64,
}

/// Opens an archive. A process that another test is just starting has our files open as well, and
/// with them a lock that was let go, until it runs its own program.
pub fn open(options: &OpenOptions, root: &Path) -> Writer {
    for _ in 0..200 {
        match options.open(root) {
            Err(StoreError::Lock {
                source: LockError::Held,
                ..
            }) => std::thread::sleep(std::time::Duration::from_millis(10)),
            other => return other.unwrap(),
        }
    }
    panic!("{} stays locked", root.display());
}

impl Nights {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, night: 0 }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.root(), None).unwrap()
    }

    pub fn begin(&mut self) -> Night {
        self.begin_for("me@example.org")
    }

    pub fn begin_for(&mut self, account: &str) -> Night {
        let at = FIRST + self.night * DAY;
        self.night += 1;
        let options = OpenOptions {
            create: true,
            clock: Clock::Fixed(at),
            threads: 1,
            ..OpenOptions::default()
        };
        let mut writer = open(&options, &self.root());
        let account = writer.account(account, &format!("{account}.host")).unwrap();
        let known = writer.catalog().mailboxes(None).unwrap();
        Night {
            writer,
            account,
            known,
            at,
        }
    }
}

impl Night {
    pub fn mailbox(&mut self, name: &str, uidvalidity: Option<u32>) -> MailboxId {
        let seen = Mailbox {
            id: MailboxId(0),
            account: AccountId(0),
            name: name.to_owned(),
            wire: name.to_owned(),
            separator: Some('/'),
            folder: String::new(),
            uidvalidity,
            special_use: None,
            subscribed: false,
        };
        self.writer.mailbox(&self.account, seen, &mut self.known).id
    }

    pub fn place(&mut self, mailbox: MailboxId, remote: RemoteId, n: u32, flags: &[&str]) {
        self.arrive(mailbox, remote, n, flags, message(n));
    }

    pub fn arrive(
        &mut self,
        mailbox: MailboxId,
        remote: RemoteId,
        n: u32,
        flags: &[&str],
        bytes: Vec<u8>,
    ) {
        let content = NewContent {
            id: ContentId::of(&bytes),
            len: bytes.len() as u64,
            eol: LineEndScan::of(&bytes),
            head: mailstow::header::digest(&bytes),
            date: Some(InternalDate::utc(1_700_000_000 + i64::from(n))),
            remote,
            flags: Flags::from_wire(flags),
        };
        self.writer
            .arrive(Arrived {
                mailbox,
                content,
                reported: bytes.len() as u32,
                body: Body::Memory(bytes),
                pop: None,
            })
            .unwrap();
    }

    pub fn flags(&mut self, mailbox: MailboxId, uidvalidity: u32, uid: u32, flags: &[&str]) {
        self.writer.record(Record::Flags(FlagChange {
            mailbox,
            uidvalidity,
            uids: UidSet::from_iter([uid]),
            flags: Flags::from_wire(flags),
        }));
    }

    pub fn gone(&mut self, mailbox: MailboxId, uidvalidity: u32, uid: u32) {
        self.writer.record(Record::Gone(Departure {
            mailbox,
            uidvalidity,
            uids: UidSet::from_iter([uid]),
        }));
    }

    pub fn commit(&mut self) {
        self.writer.commit().unwrap();
    }

    /// Ends the run with this exit code; gives its number and its time.
    pub fn end(self, exit: u8) -> (u32, i64) {
        self.end_job(exit, None)
    }

    pub fn end_job(mut self, exit: u8, job: Option<u32>) -> (u32, i64) {
        let id = self.writer.run();
        self.writer.record(Record::Run(RunReport {
            id,
            job,
            account: self.account.id,
            started: rfc3339(self.at),
            ended: rfc3339(self.at),
            version: String::new(),
            exit,
            total: Tally::default(),
        }));
        self.commit();
        self.writer.finish().unwrap();
        (id, self.at)
    }
}

/// Mailbox, remote id, flags, content.
pub type State = BTreeSet<(String, String, Vec<String>, ContentId)>;

pub fn words(flags: &Flags) -> Vec<String> {
    flags.iter().map(str::to_owned).collect()
}

/// What was shown as of a time; `None` where there was no complete run.
pub fn state_at(reader: &Reader, unix: i64) -> Option<State> {
    let catalog = reader.catalog();
    let as_of = AsOf::find(catalog, None, unix).unwrap();
    let mut state = State::new();
    for account in catalog.accounts().unwrap() {
        for (mailbox, commit) in catalog.mailboxes_as_of(account.id, Some(&as_of)).unwrap() {
            let mut present = 0;
            let within = Within::default();
            catalog
                .shown_at(mailbox.id, commit, false, &within, |row| {
                    assert!(!row.gone);
                    present += 1;
                    let of_content = catalog
                        .placements_at(row.content.id, mailbox.id, commit)
                        .unwrap();
                    assert!(of_content.contains(&row), "{row:?} not in {of_content:?}");
                    state.insert((
                        mailbox.name.clone(),
                        row.remote.to_string(),
                        words(&row.flags),
                        row.content.id,
                    ));
                })
                .unwrap();
            let totals = catalog.totals_at(mailbox.id, commit).unwrap();
            assert_eq!(totals.present, present);
            let candidates = catalog
                .candidates(mailbox.id, commit, false, &within)
                .unwrap();
            assert_eq!(candidates.len() as u64, present);
            let mut all = 0;
            let mut once = BTreeSet::new();
            catalog
                .shown_at(mailbox.id, commit, true, &within, |row| {
                    all += 1;
                    assert!(once.insert(row.remote.clone()), "{} twice", row.remote);
                })
                .unwrap();
            assert_eq!(totals.present + totals.gone, all);
        }
    }
    (!as_of.is_empty()).then_some(state)
}

/// What is present now, by the lists that know no history.
pub fn state_now(reader: &Reader) -> State {
    let catalog = reader.catalog();
    let mut state = State::new();
    for mailbox in catalog.mailboxes(None).unwrap() {
        let rows = catalog.shown(mailbox.id, false).unwrap();
        let totals = catalog.totals(mailbox.id).unwrap();
        assert_eq!(rows.len() as u64, totals.present);
        assert_eq!(totals, catalog.totals_at(mailbox.id, NOW).unwrap());
        for row in rows {
            state.insert((
                mailbox.name.clone(),
                row.remote.to_string(),
                words(&row.flags),
                row.content.id,
            ));
        }
    }
    state
}

/// The same archive with no catalog of its own.
pub fn rebuilt(root: &Path) -> Reader {
    let away = root.join("catalog.sqlite");
    let aside = root.join("aside");
    std::fs::rename(&away, &aside).unwrap();
    let reader = Reader::open(root, None).unwrap();
    assert!(reader.catalog().is_private());
    std::fs::rename(&aside, &away).unwrap();
    reader
}
