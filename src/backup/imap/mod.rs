//! Backing up over IMAP.
//!
//! `enumerate` lists mailboxes, recognises renamed ones (`rename`) and has `look` look at each: not at
//! all, at what `changes` since its `base` (planned by `delta`), or at all of it (planned by `plan`,
//! with `heal` for messages under new numbers). `missing` decides by the `brake` what is gone.
//! `workers` starts a `fetch` worker per connection, which take each `batch` from `work`. `settle`
//! finds out what became of messages that did not come. All that needs only one session goes over
//! a [`Line`].

mod base;
mod batch;
mod brake;
mod changes;
mod delta;
mod enumerate;
mod fetch;
mod found;
mod heal;
mod list;
mod look;
mod missing;
mod plan;
mod register;
mod rename;
mod settle;
mod work;
mod workers;

use super::BackupError;
use super::commit::Committer;
use super::side::{Ended, Ground, Load, Side};
use crate::catalog::{Catalog, SkipRow};
use crate::contact::Line;
use crate::imap::{Quirks, Session};
use crate::model::{Account, JobMailbox, Mailbox};
use crate::report::BackupReport;
use crate::source::ImapSource;
use crate::store::{Committed, Writer};

use self::enumerate::enumerate;
use self::found::{Enumeration, Outcome};
use self::settle::Closing;
use self::work::Work;
use self::workers::{Stage, fetch_all};

/// The IMAP side of a run.
pub(super) struct ImapSide<'a> {
    ground: Ground<'a>,
    source: &'a ImapSource,
    line: Option<Line<'a>>,
    session: Option<Session>,
    quirks: Quirks,
    found: Enumeration,
    /// The mailboxes of the archive.
    known: Vec<Mailbox>,
    /// Open skips of the archive.
    skips: Vec<SkipRow>,
    work: Option<Work>,
    left: Load,
    closing: Closing,
    account: Option<Account>,
}

impl<'a> ImapSide<'a> {
    pub(super) fn new(ground: Ground<'a>, source: &'a ImapSource) -> Self {
        Self {
            ground,
            source,
            line: None,
            session: None,
            quirks: Quirks::default(),
            found: Enumeration::default(),
            known: Vec::new(),
            skips: Vec::new(),
            work: None,
            left: Load::default(),
            closing: Closing::default(),
            account: None,
        }
    }
}

impl Side for ImapSide<'_> {
    async fn connect(&mut self) -> Result<(), BackupError> {
        let Ground {
            spool, sink, stop, ..
        } = self.ground;
        let line = Line::open(self.source, spool.clone(), &**sink, stop).await;
        let endpoint = &self.source.endpoint;
        self.line = Some(line.map_err(|source| BackupError::Connect {
            server: format!("{}:{}", endpoint.host, endpoint.port),
            source: Box::new(source.into()),
        })?);
        Ok(())
    }

    async fn enumerate(
        &mut self,
        catalog: &Catalog,
        account: Option<&Account>,
    ) -> Result<(), BackupError> {
        self.known = catalog.mailboxes(None)?;
        self.skips = catalog.skips(false)?;
        let of_account: Vec<Mailbox> = self
            .known
            .iter()
            .filter(|m| account.is_some_and(|a| a.id == m.account))
            .cloned()
            .collect();
        let Some(mut line) = self.line.take() else {
            return Ok(());
        };
        let Ground { request, sink, .. } = self.ground;
        let found = enumerate(
            self.source,
            &mut line,
            catalog,
            account,
            &of_account,
            request,
            &**sink,
        );
        self.found = found.await?;
        self.quirks = line.quirks();
        self.session = line.into_session();
        Ok(())
    }

    fn report(&self) -> BackupReport {
        settle::planned_report(self.ground.request, &self.found)
    }

    fn load(&self) -> Load {
        if let Some(work) = &self.work {
            let (new, again) = (work.left(), work.retries());
            return Load {
                messages: new.messages + again.messages,
                bytes: new.bytes + again.bytes,
                mailboxes: new.mailboxes.max(again.mailboxes),
            };
        }
        let plans = self
            .found
            .mailboxes
            .iter()
            .filter_map(|e| match &e.outcome {
                Outcome::Planned(planned) => Some(&planned.plan),
                _ => None,
            });
        let mut load = Load::default();
        for plan in plans.filter(|p| !p.fetch.is_empty()) {
            load.messages += plan.fetch.len() as u64;
            load.bytes += plan.bytes;
            load.mailboxes += 1;
        }
        load
    }

    fn register(&mut self, writer: &mut Writer, account: &Account) {
        self.account = Some(account.clone());
        let Ground { request, quota, .. } = self.ground;
        register::register(
            writer,
            account,
            &mut self.found.mailboxes,
            &mut self.known,
            request.plan_only,
        );
        let mailboxes = register::fetch_list(&self.found.mailboxes, &self.known, &self.skips);
        self.work = Some(Work::new(mailboxes, request.newest_first, quota.clone()));
    }

    fn job_mailboxes(&self) -> Vec<JobMailbox> {
        register::job_mailboxes(&self.found.mailboxes, self.ground.request.plan_only)
    }

    fn record(&mut self, writer: &mut Writer) {
        if let Some(account) = &self.account {
            register::record_changes(writer, &self.found, account);
        }
    }

    async fn fetch(&mut self, committer: &Committer) -> Ended {
        let Some(work) = self.work.clone() else {
            return Ended::Done;
        };
        let stop = self.ground.stop;
        let stage = Stage {
            ground: self.ground,
            source: self.source,
            work: &work,
            committer,
        };
        let (ended, session) = fetch_all(&stage, self.session.take(), self.quirks).await;
        self.closing = settle::close(&stage, session, &self.found.mailboxes).await;
        self.left = work.left();
        let is_all_done = work.batches_left() == 0;
        match ended {
            Ended::Done if !is_all_done => Ended::Stopped,
            // The time was up when the last message had come.
            Ended::Stopped if is_all_done && !stop.is_ordered() => Ended::Done,
            ended => ended,
        }
    }

    fn left(&self) -> Load {
        self.left
    }

    fn tally(&self, report: &mut BackupReport, committed: &Committed) {
        settle::tally(report, &self.found.mailboxes, committed, &self.closing);
    }

    async fn part(self) {
        if let Some(session) = self.session {
            session.logout().await;
        }
    }
}
