//! Backing up over POP3.
//!
//! Sessions follow one another. `survey` sorts what a session lists into held,
//! excluded and wanted, by the rules of `plan`, which is pure, and what `known` says of the
//! archive; where UIDLs cannot be believed (`trust`), `matching` compares headers. `fetch` goes
//! from session to session and `transfer` takes what is wanted in one, what was skipped before
//! (`retry`) last. `books` adds it all up.
//! `delete` is the only part that asks the server for a change, and only on the user's order.
//!
//! Messages go by UIDL, never by their number in a session.

mod books;
mod delete;
mod fetch;
mod known;
mod matching;
mod plan;
mod retry;
mod survey;
mod transfer;
mod trust;
mod wanted;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

pub use delete::DeletePolicy;

use self::books::{Books, MAILDROP};
use self::known::{Known, inbox, junk};
use self::matching::Candidates;
use self::survey::Told;
use self::wanted::Wanted;
use super::commit::Committer;
use super::side::{Ended, Ground, Load, Side};
use super::{BackupError, Request};
use crate::archive::MailReader;
use crate::archive::format::Record;
use crate::catalog::Catalog;
use crate::contact::{Door, Interrupted, Open};
use crate::model::{
    Account, ContentId, InternalDate, JobMailbox, Mailbox, MailboxId, Maildrop, PopSpam,
};
use crate::pop3::{Listing, Pop3Error};
use crate::report::BackupReport;
use crate::source::Pop3Source;
use crate::store::{Committed, StoreError, Writer};

/// The POP3 side of a run.
pub(super) struct Pop3Side<'a> {
    ground: Ground<'a>,
    source: &'a Pop3Source,
    door: Door<'a>,
    open: Option<Open>,
    /// What the first session listed.
    listing: Listing,
    /// The UIDLs the last session listed.
    listed: Arc<HashSet<String>>,
    known: Known,
    /// UIDLs mean what they meant.
    trusted: bool,
    /// What is held, where UIDLs do not tell.
    candidates: Option<Candidates>,
    /// Header digests and sizes of what is held under UIDLs that are listed with another size.
    heads: HashMap<String, Vec<(String, u32)>>,
    /// The first run with `from-today`.
    first: bool,
    start: Option<InternalDate>,
    /// What headers told, while a survey starts over, and sessions lost over each.
    told: HashMap<String, Told>,
    losses: HashMap<String, u32>,
    /// A session of this run was sorted before.
    later: bool,
    /// The session at work lists nothing that is held or was listed before: what comes with the
    /// bytes of what is held may be that, under another name.
    renamed_all: bool,
    /// What came in this run.
    came: HashSet<ContentId>,
    /// Messages that came shorter than LIST said, as what, and whether one came otherwise later.
    short: HashMap<String, ContentId>,
    short_differs: bool,
    /// Such messages, to be asked for in another session.
    doubted: Vec<Wanted>,
    /// Messages in a row over which sessions were lost, with nothing gained in between.
    culprits: u32,
    /// Sessions lost over messages that were skipped before …
    retry_losses: u32,
    /// … and how many more of those may be asked for in vain.
    tries_left: u64,
    wanted: VecDeque<Wanted>,
    planned: Load,
    books: Books,
    filing: Option<Filing>,
    /// It was said that nothing tells spam.
    told_without: bool,
    notes: Vec<String>,
    /// As notes, but the run is not complete with them.
    warnings: Vec<String>,
}

/// The mailboxes in which the messages of a maildrop are filed.
struct Filing {
    inbox: Mailbox,
    junk: Mailbox,
}

impl<'a> Pop3Side<'a> {
    pub(super) fn new(ground: Ground<'a>, source: &'a Pop3Source) -> Self {
        Self {
            ground,
            source,
            door: Door::new(
                source,
                ground.spool,
                &**ground.sink,
                ground.stop,
                ground.request.selection.pop.without_uidl,
            ),
            open: None,
            listing: Listing::default(),
            listed: Arc::default(),
            known: Known::default(),
            trusted: true,
            candidates: None,
            heads: HashMap::new(),
            first: false,
            start: None,
            told: HashMap::new(),
            losses: HashMap::new(),
            later: false,
            renamed_all: false,
            came: HashSet::new(),
            short: HashMap::new(),
            short_differs: false,
            doubted: Vec::new(),
            culprits: 0,
            retry_losses: 0,
            tries_left: 0,
            wanted: VecDeque::new(),
            planned: Load::default(),
            books: Books::default(),
            filing: None,
            told_without: false,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    const fn request(&self) -> &'a Request {
        self.ground.request
    }

    /// The mailbox that stands for the maildrop.
    fn mailbox(&self) -> Option<MailboxId> {
        self.filing.as_ref().map(|f| f.inbox.id)
    }

    fn listing_failed(interrupted: Interrupted) -> BackupError {
        BackupError::List(interrupted.into_error().into())
    }
}

impl Side for Pop3Side<'_> {
    async fn connect(&mut self) -> Result<(), BackupError> {
        let endpoint = &self.source.endpoint;
        let opened = self.door.open().await;
        let (open, listing) = opened.map_err(|interrupted| match interrupted.into_error() {
            Pop3Error::NoUidl => BackupError::NoUidl,
            error => BackupError::Connect {
                server: format!("{}:{}", endpoint.host, endpoint.port),
                source: Box::new(error.into()),
            },
        })?;
        self.open = Some(open);
        self.listing = listing;
        Ok(())
    }

    /// The mailboxes, and with `from-today` the baseline: it must not move when the run that
    /// makes it is interrupted.
    fn prepare(&mut self, writer: &mut Writer, account: &Account) -> Result<(), StoreError> {
        let mut all = writer.catalog().mailboxes(None)?;
        let mine = |all: &[Mailbox]| -> Vec<Mailbox> {
            let mut mine = all.to_vec();
            mine.retain(|m| m.account == account.id);
            mine
        };
        let inbox = match inbox(&mine(&all)) {
            Some(mailbox) => mailbox.clone(),
            None => writer.mailbox(account, new_mailbox(account, "INBOX", None), &mut all),
        };
        let junk = match junk(&mine(&all)) {
            Some(mailbox) => mailbox.clone(),
            None => {
                let seen = new_mailbox(account, "Junk", Some("\\Junk"));
                writer.mailbox_if_used(account, seen, &mut all)
            }
        };
        let before = writer.catalog().maildrop(inbox.id)?;
        self.known.start = before.as_ref().and_then(|m| m.start);
        if self.is_first() {
            let now = self.request().open.clock.now_unix();
            let listed = self.listing.messages.iter().filter_map(|m| m.uidl.clone());
            writer.record(Record::Maildrop(Maildrop {
                mailbox: inbox.id,
                server: before.map_or_else(|| self.source.alias(), |m| m.server),
                start: Some(crate::clock::local_day_start(now)),
                baseline: listed.collect(),
            }));
        }
        self.filing = Some(Filing { inbox, junk });
        writer.commit()?;
        Ok(())
    }

    async fn enumerate(
        &mut self,
        catalog: &Catalog,
        account: Option<&Account>,
    ) -> Result<(), BackupError> {
        self.known = Known::load(catalog, account)?;
        // Only a dry run comes here without a start day.
        self.first = self.is_first();
        let today = crate::clock::local_day_start(self.request().open.clock.now_unix());
        self.start = self.known.start.or(self.first.then_some(today));
        self.trusted = self.trusts();
        self.renamed_all = self.lists_nothing_known();
        if !self.trusted {
            let reader = MailReader::new(&self.request().archive);
            self.candidates = Some(Candidates::of(&self.known, catalog, reader)?);
        }
        self.find_heads(catalog)?;
        self.listed = Arc::new(survey::listed(&self.listing));
        self.survey_first().await.map_err(Self::listing_failed)?;
        self.order_retries();
        if self.is_without_verdict() {
            let judged = self.books.judgements;
            if self.request().selection.pop.spam == PopSpam::Only {
                return Err(BackupError::NoVerdict { judged });
            }
            self.note_without_verdict(judged);
        }
        let nameless = self.wanted.iter().filter(|w| w.uidl.is_none()).count();
        if nameless > 0 && !self.request().selection.pop.without_uidl {
            self.notes.push(format!(
                "{nameless} messages have no UIDL of their own, by which they could be told from others: they are fetched in every run, and kept once"
            ));
        }
        self.planned = Load {
            messages: self.wanted.len() as u64,
            bytes: self.wanted.iter().filter_map(|w| w.size).sum(),
            mailboxes: u64::from(!self.wanted.is_empty()),
        };
        Ok(())
    }

    fn report(&self) -> BackupReport {
        let mut report = BackupReport::planned(&self.request().account, vec![self.books.report()]);
        report.notes.clone_from(&self.notes);
        report
    }

    fn load(&self) -> Load {
        self.planned
    }

    /// Done in [`Self::prepare`].
    fn register(&mut self, _: &mut Writer, _: &Account) {}

    fn job_mailboxes(&self) -> Vec<JobMailbox> {
        let row = self.books.report().tally;
        let messages = u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
        let held: usize = self.known.held.values().map(Vec::len).sum();
        self.mailbox()
            .filter(|_| messages > 0)
            .map(|mailbox| JobMailbox {
                mailbox,
                uidvalidity: 0,
                exists: row.exists,
                uidnext: None,
                highestmodseq: None,
                listed_at: None,
                fetch: crate::model::UidSet::new(),
                bytes: self.planned.bytes,
                held: row.held,
                excluded: row.excluded,
                messages,
                came_before: u32::try_from(held).unwrap_or(u32::MAX),
            })
            .into_iter()
            .collect()
    }

    fn record(&mut self, writer: &mut Writer) {
        let Some(mailbox) = self.mailbox() else {
            return;
        };
        // What was judged on another server counts from the moment on at which this one does.
        if !self.is_another_server() {
            for judged in self.books.take_judged(mailbox) {
                writer.record(Record::Judged(judged));
            }
        }
        for renamed in &self.books.renamed {
            writer.record(Record::Renamed(renamed.clone()));
        }
    }

    async fn fetch(&mut self, committer: &Committer) -> Ended {
        match committer.queue() {
            Some(queue) => self.fetch_all(&queue).await,
            None => Ended::Stopped,
        }
    }

    fn left(&self) -> Load {
        let left = || self.wanted.iter().chain(&self.doubted);
        Load {
            messages: left().count() as u64,
            bytes: left().filter_map(|w| w.size).sum(),
            mailboxes: u64::from(left().next().is_some()),
        }
    }

    fn tally(&self, report: &mut BackupReport, committed: &Committed) {
        let mut row = self.books.report();
        let Some(filing) = &self.filing else { return };
        let mut filed = vec![&filing.inbox, &filing.junk];
        filed.dedup_by_key(|m| m.id);
        for mailbox in filed {
            let (stored, linked) = committed
                .mailboxes
                .get(&mailbox.id)
                .copied()
                .unwrap_or_default();
            row.tally.stored += stored;
            row.tally.linked += linked;
            if stored + linked > 0 {
                row.filed.push((mailbox.name.clone(), stored + linked));
            }
        }
        let known: u32 = committed.known.values().sum();
        row.tally.held = (row.tally.held + known).saturating_sub(self.books.again);
        report.mailboxes = vec![row];
        report.skipped = self.books.skipped_messages();
        report.notes.clone_from(&self.notes);
        report.warnings.extend_from_slice(&self.warnings);
        report.add_up();
    }

    async fn afterwards(
        &mut self,
        writer: &mut Writer,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        self.delete_held(writer, report).await
    }

    async fn part(self) {
        if let Some(open) = self.open
            && let Err(error) = open.quit().await
        {
            tracing::debug!(%error, "the session was not ended in good order");
        }
    }
}

fn new_mailbox(account: &Account, name: &str, special_use: Option<&str>) -> Mailbox {
    Mailbox {
        id: MailboxId(0),
        account: account.id,
        name: name.to_owned(),
        wire: name.to_owned(),
        separator: None,
        folder: String::new(),
        uidvalidity: None,
        special_use: special_use.map(str::to_owned),
        subscribed: false,
    }
}
