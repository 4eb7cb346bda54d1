//! What a run needs of a protocol. `run.rs` does what is the same for all.

use std::sync::Arc;

use super::commit::Committer;
use super::limit::Quota;
use super::{BackupError, Request};
use crate::catalog::Catalog;
use crate::contact::{ServerError, Stop};
use crate::event::Sink;
use crate::model::{Account, JobMailbox};
use crate::report::BackupReport;
use crate::spool::SpoolOptions;
use crate::store::{Committed, StoreError, Writer};

/// What every part of a run stands on.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) request: &'a Request,
    pub(super) spool: &'a SpoolOptions,
    pub(super) sink: &'a Arc<dyn Sink>,
    pub(super) stop: &'a Stop,
    pub(super) quota: &'a Quota,
}

/// One protocol's side of a run, in the order in which its parts are called.
pub(super) trait Side {
    /// The first contact.
    async fn connect(&mut self) -> Result<(), BackupError>;

    /// Makes durable what has to outlive an interruption of the enumeration.
    fn prepare(&mut self, _writer: &mut Writer, _account: &Account) -> Result<(), StoreError> {
        Ok(())
    }

    /// Finds out what is there and what is to be fetched.
    async fn enumerate(
        &mut self,
        catalog: &Catalog,
        account: Option<&Account>,
    ) -> Result<(), BackupError>;

    /// A report with the numbers of the plan.
    fn report(&self) -> BackupReport;

    /// What is to be fetched.
    fn load(&self) -> Load;

    /// Gives the mailboxes their numbers.
    fn register(&mut self, writer: &mut Writer, account: &Account);

    /// What a job says of each mailbox in which something is to be done.
    fn job_mailboxes(&self) -> Vec<JobMailbox>;

    /// Records what needs no fetching.
    fn record(&mut self, writer: &mut Writer);

    /// Fetches, and hands the committer everything that came and what became of the rest.
    async fn fetch(&mut self, committer: &Committer) -> Ended;

    /// What was to be fetched and was not, once fetching has ended.
    fn left(&self) -> Load;

    /// Fills in what was stored, linked, left and skipped.
    fn tally(&self, report: &mut BackupReport, committed: &Committed);

    /// What is to be done once everything is durable.
    async fn afterwards(
        &mut self,
        _writer: &mut Writer,
        _report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        Ok(())
    }

    /// Ends the session, if there is one.
    async fn part(self);
}

/// How much is to be fetched.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Load {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) mailboxes: u64,
}

/// How fetching ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing is left to take.
    Done,
    /// Somebody asked to stop, a limit was reached, or the committer failed (its own error says
    /// why).
    Stopped,
    /// More is left, and the server would only bring again what it brought before.
    Short,
    /// The server, or the spool.
    Failed(ServerError),
    /// It panicked, which is a defect of ours.
    Died,
}
