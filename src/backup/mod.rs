//! Backup: enumerate, plan, fetch, commit. One account per run.
//!
//! ```text
//! enumerate ─ plan ─► job ─► workers (one per connection) ─► queue ─► committer
//! ```
//!
//! The engine ties ends and stores together and decides nothing about either. It emits
//! events and returns a report whose numbers add up, or do not and say so.

mod commit;
mod enumerate;
mod fetch;
mod job;
mod line;
mod patience;
mod plan;
mod run;
mod settle;
mod stop;
mod work;
mod workers;

use std::path::PathBuf;

pub use enumerate::{EnumerateError, Enumerated, Enumeration, Outcome, Planned};
#[cfg(feature = "testing")]
pub use patience::testing;
pub use plan::{Facts, Plan, plan};
pub use run::{dry_run, run};
pub use stop::Stop;

use crate::imap::ImapError;
use crate::model::Selection;
use crate::source::ImapSource;
use crate::store::{OpenOptions, StoreError};

/// What to back up, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// The archive.
    pub archive: PathBuf,
    /// How to open it.
    pub open: OpenOptions,
    /// The account on its server.
    pub source: ImapSource,
    /// What the user calls the account.
    pub account: String,
    /// The source as it was given, without any secret; `resume` starts from it.
    pub source_text: String,
    /// Which messages.
    pub selection: Selection,
    /// Only plan: leave a job that `resume` can run.
    pub plan_only: bool,
    /// The job to go on with, when the user named one.
    pub job: Option<u32>,
}

/// A backup that could not be begun, or not be ended in good order. What was committed
/// before is in the archive.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server, before anything was planned.
    #[error("cannot work with {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// What happened.
        #[source]
        source: ImapError,
    },
    /// Listing and planning.
    #[error(transparent)]
    Enumerate(#[from] EnumerateError),
    /// A thread could not be started or died.
    #[error("a part of the run died")]
    Thread(#[source] std::io::Error),
    /// Large messages cannot be written to the archive's `tmp/`.
    #[error("cannot keep a large message")]
    Spool(#[source] ImapError),
}
