//! The one writer: arrivals become contents and placements, and a commit makes them true.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::StoreError;
use super::adopt::Findings;
use super::pop::{PopArrival, PopPlacing};
use super::repack::number_in;
use crate::archive::format::Record;
use crate::archive::{ArchiveDir, Body, LastSegment, LogWriter, MailWriter, NewContent};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::durable::Lock;
use crate::model::{
    Account, ContentId, Evidence, Mailbox, MailboxId, Placement, RemoteId, Renamed,
};

/// A commit closes at this many bytes of mail …
const COMMIT_BYTES: u64 = 64 << 20;
/// … or this many records, which bounds the memory they take …
const COMMIT_RECORDS: usize = 16_384;
/// … or after this long.
const COMMIT_AFTER: Duration = Duration::from_secs(30);

/// A message that was fetched.
#[derive(Debug)]
pub struct Arrived {
    /// The mailbox it was fetched from.
    pub mailbox: MailboxId,
    /// The content, with the date, flags and remote id it was seen under.
    pub content: NewContent,
    /// RFC822.SIZE as it was reported, in bytes.
    pub reported: u32,
    /// Its bytes.
    pub body: Body,
    /// What is known besides of a message that came over POP3, which may change its remote id.
    pub pop: Option<PopArrival>,
}

/// What a commit made durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Per mailbox: contents new to the archive, and contents that were held already.
    pub mailboxes: BTreeMap<MailboxId, (u32, u32)>,
    /// Messages that were forgotten on request: placed, and not stored again.
    pub forgotten: BTreeMap<MailboxId, u32>,
    /// Messages that came over POP3 to learn that they are held, and where they are.
    pub known: BTreeMap<MailboxId, u32>,
    /// Messages.
    pub messages: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Messages stored that differ from a held one only by the line end that POP3 adds.
    pub line_end_added: u32,
}

/// An archive opened for writing. Holds its lock until it is dropped or finished.
#[derive(Debug)]
pub struct Writer {
    dir: ArchiveDir,
    lock: Lock,
    pub(super) catalog: Catalog,
    journal: LogWriter<Record>,
    pub(super) mail: MailWriter,
    clock: Clock,
    findings: Findings,
    run: u32,
    /// Records of the open commit, `store` records not among them.
    pub(super) pending: Vec<Record>,
    /// Mailboxes no message was filed in yet.
    pub(super) dormant: Vec<Record>,
    /// What the open commit renames: the catalog has it under its old key still.
    pub(super) renamed: HashSet<(MailboxId, String)>,
    fresh: HashSet<ContentId>,
    open: Committed,
    opened: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        dir: ArchiveDir,
        lock: Lock,
        catalog: Catalog,
        journal: LogWriter<Record>,
        mut mail: MailWriter,
        clock: Clock,
        findings: Findings,
    ) -> Result<Self, StoreError> {
        let segments = catalog.segments()?;
        let accounts = catalog.accounts()?;
        for mailbox in catalog.mailboxes(None)? {
            if let Some(account) = accounts.iter().find(|a| a.id == mailbox.account) {
                mail.register(
                    account,
                    &mailbox,
                    last_segment(&segments, account, &mailbox),
                );
            }
        }
        #[cfg(feature = "testing")]
        if let Some(bytes) = lowered("MAILSTOW_TEST_SEGMENT_BYTES") {
            mail.seal_at(bytes);
        }
        let run = catalog.runs()?.last().map_or(0, |r| r.id) + 1;
        Ok(Self {
            dir,
            lock,
            catalog,
            journal,
            mail,
            clock,
            findings,
            run,
            pending: Vec::new(),
            dormant: Vec::new(),
            renamed: HashSet::new(),
            fresh: HashSet::new(),
            open: Committed::default(),
            opened: None,
        })
    }

    /// What opening after an unclean stop found.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The catalog, as of the last commit.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The archive's folder.
    #[must_use]
    pub const fn dir(&self) -> &ArchiveDir {
        &self.dir
    }

    /// This run's number.
    #[must_use]
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// Seals segments at another size; for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn seal_at(&mut self, bytes: u64) {
        self.mail.seal_at(bytes);
    }

    /// Adds a record to the open commit.
    pub fn record(&mut self, record: Record) {
        self.opened.get_or_insert_with(Instant::now);
        if let Record::Renamed(r) = &record {
            self.renamed.insert((r.mailbox, r.from.clone()));
        }
        self.pending.push(record);
    }

    /// Takes a message: its content is kept unless it is held already, and it is placed.
    ///
    /// # Errors
    /// Writing failed; the run is over.
    pub fn arrive(&mut self, arrived: Arrived) -> Result<(), StoreError> {
        let Arrived {
            mailbox,
            mut content,
            reported,
            body,
            pop,
        } = arrived;
        // Erased for good: where it was seen is recorded, so that it is not fetched every night.
        let forgotten = self.catalog.why_forgotten(content.id)?.is_some();
        let held = forgotten || self.holds(content.id)?;
        let mut filed = mailbox;
        let mut renamed = None;
        if let Some(pop) = &pop {
            let key = match self.place_pop(content.id, reported, pop)? {
                PopPlacing::Known(_) if held => {
                    *self.open.known.entry(mailbox).or_default() += 1;
                    return Ok(());
                }
                PopPlacing::Known(key) => key,
                PopPlacing::At(key, before) => {
                    filed = before.unwrap_or(mailbox);
                    key
                }
                PopPlacing::Renamed(from, key) => {
                    renamed = Some(from).filter(|_| held);
                    key
                }
            };
            content.remote = RemoteId::Pop { uidl: key };
        }
        self.wake(filed);
        let counts = self.open.mailboxes.entry(mailbox).or_default();
        if forgotten {
            *self.open.forgotten.entry(mailbox).or_default() += 1;
        } else if held {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        if !forgotten {
            self.open.messages += 1;
            self.open.bytes += content.len;
        }
        self.record(match renamed {
            Some(from) => Record::Renamed(Renamed {
                mailbox: from.mailbox,
                from: from.key,
                to: content.remote.to_string(),
                healed: false,
            }),
            None => Record::Place(Placement {
                content: content.id,
                mailbox: filed,
                remote: content.remote.clone(),
                flags: content.flags.clone(),
                date: content.date,
                size: reported,
                evidence: Evidence::Bytes,
            }),
        });
        if held {
            return Ok(());
        }
        if let Some(id) = pop.and_then(|p| p.unterminated)
            && self.holds(id)?
        {
            self.open.line_end_added += 1;
        }
        // Where it is filed, which alone is sure to be recorded.
        self.add(filed, &content, body)
    }

    /// Whether a content is held, committed or not.
    ///
    /// # Errors
    /// The catalog's.
    pub fn holds(&self, id: ContentId) -> Result<bool, StoreError> {
        Ok(self.fresh.contains(&id) || self.catalog.holds(id)?)
    }

    /// Takes a content that is not held, without placing it: it is kept with the mail of
    /// `mailbox`.
    ///
    /// # Errors
    /// Writing failed; the run is over.
    pub(crate) fn keep(
        &mut self,
        mailbox: MailboxId,
        content: &NewContent,
        body: Body,
    ) -> Result<(), StoreError> {
        self.opened.get_or_insert_with(Instant::now);
        self.open.messages += 1;
        self.open.bytes += content.len;
        self.add(mailbox, content, body)
    }

    fn add(
        &mut self,
        mailbox: MailboxId,
        content: &NewContent,
        body: Body,
    ) -> Result<(), StoreError> {
        self.fresh.insert(content.id);
        Ok(self.mail.add(mailbox, content, body)?)
    }

    /// Whether the open commit is due: by size, number of records, or age.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.open.bytes >= COMMIT_BYTES
            || self.pending.len() + self.fresh.len() >= COMMIT_RECORDS
            || self.opened.is_some_and(|at| at.elapsed() >= COMMIT_AFTER)
            || lowered("MAILSTOW_TEST_COMMIT_MESSAGES")
                .is_some_and(|most| self.open.messages >= most)
    }

    /// When the open commit is due by age; `None` when nothing is open.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.opened.map(|at| at + COMMIT_AFTER)
    }

    /// Commits everything taken since the last commit. On return it is durable, and only now
    /// may it be reported.
    ///
    /// # Errors
    /// The run is over, and nothing since the last commit counts. Nothing is retried.
    pub fn commit(&mut self) -> Result<Committed, StoreError> {
        let records = std::mem::take(&mut self.pending);
        self.opened = None;
        self.fresh.clear();
        self.renamed.clear();
        let done = std::mem::take(&mut self.open);
        self.commit_records(records)?;
        Ok(done)
    }

    /// One commit of these records and of all mail taken so far.
    pub(super) fn commit_records(&mut self, others: Vec<Record>) -> Result<(), StoreError> {
        // ORDER: 1. message bytes are durable …
        let (stored, seals) = self.mail.sync()?;
        if stored.is_empty() && seals.is_empty() && others.is_empty() {
            return Ok(());
        }
        let first = |r: &Record| {
            matches!(
                r,
                Record::Account(_) | Record::Mailbox(_) | Record::Store(_)
            )
        };
        let (mut records, rest): (Vec<Record>, Vec<Record>) = others.into_iter().partition(first);
        records.extend(stored.into_iter().map(Record::Store));
        records.extend(rest);
        records.extend(seals.into_iter().map(Record::Seal));
        // ORDER: 2. … then the journal names them: the commit point …
        let at = self.clock.now();
        let end = self.journal.append(self.run, &at, &records)?;
        self.mail.committed();
        // ORDER: 3. … then the catalog follows.
        self.catalog
            .apply(self.dir.id(), self.run, &at, &records, end)?;
        crate::durable::step("catalog applied");
        Ok(())
    }

    /// Ends a run in good order: whatever is open must have been committed. The catalog is
    /// closed and the archive marked clean.
    ///
    /// A reader that still looks at the catalog keeps it from being closed. That is no failure:
    /// the archive is left unmarked, and the next opening looks closer.
    ///
    /// # Errors
    /// The mark cannot be written; the archive is whole all the same.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let commit = self.journal.position().commit;
        if let Err(error) = self.catalog.close() {
            tracing::debug!(%error, "the catalog stays open for a reader");
            return Ok(());
        }
        crate::durable::step("catalog closed");
        let path = ArchiveDir::lock_path(self.dir.root());
        self.lock
            .write_mark(&format!("clean {commit}\n"))
            .map_err(|source| StoreError::Io { path, source })
    }

    /// Ends a run after a failure: what no commit names is cut off again as well as possible.
    pub fn abandon(self) {
        self.mail.abandon();
    }
}

/// A limit that a test lowers through the environment, to have many commits or full segments
/// of little mail.
pub(super) fn lowered(name: &str) -> Option<u64> {
    if cfg!(feature = "testing") {
        std::env::var(name).ok()?.parse().ok()
    } else {
        None
    }
}

/// The segment in which a mailbox goes on: the newest that is not sealed, else the newest.
pub(super) fn last_segment(
    segments: &[(String, u64, bool)],
    account: &Account,
    mailbox: &Mailbox,
) -> Option<LastSegment> {
    let folder = format!("{}/{}", account.folder, mailbox.folder);
    let own: Vec<(u32, u64, bool)> = segments
        .iter()
        .filter_map(|(path, last, sealed)| Some((number_in(&folder, path)?, *last, *sealed)))
        .collect();
    let highest = own.iter().map(|(number, ..)| *number).max()?;
    let (number, last, sealed) = own
        .into_iter()
        .max_by_key(|(number, _, sealed)| (!*sealed, *number))?;
    Some(LastSegment {
        number,
        last_pair: (!sealed).then_some(last),
        highest,
    })
}
