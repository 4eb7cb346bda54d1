//! Backup: enumerate, plan, fetch, commit. One account per run.
//!
//! ```text
//! enumerate ─ plan ─► job ─► sessions (one per connection) ─► queue ─► committer
//! ```
//!
//! The engine ties ends and stores together and decides nothing about either. It emits
//! events and returns a report whose numbers add up, or do not and say so.
//!
//! `run.rs` is the course of a run. What a protocol does in it is a `Side`: [`imap`] and
//! [`pop3`] each have their enumeration, their pure plan and their way of fetching. They share
//! the committer, the job, the limits, and the rule by which skips are tried again; how a server is
//! kept in contact with is [`crate::contact`]'s.

mod commit;
mod identify;
mod imap;
mod job;
mod limit;
mod pop3;
mod retries;
mod run;
mod side;

use std::path::PathBuf;

pub use limit::Limits;
pub use pop3::DeletePolicy;
pub use run::{dry_run, run};

use crate::catalog::CatalogError;
#[cfg(feature = "testing")]
pub use crate::contact::testing;
pub use crate::contact::{ServerError, Stop};
use crate::model::Selection;
use crate::source::Source;
use crate::store::{OpenOptions, StoreError};

/// What to back up, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// The archive.
    pub archive: PathBuf,
    /// How to open it.
    pub open: OpenOptions,
    /// The account on its server.
    pub source: Source,
    /// What the user calls the account.
    pub account: String,
    /// The source as it was given, without any secret; `resume` starts from it.
    pub source_text: String,
    /// Which messages.
    pub selection: Selection,
    /// What to delete from a POP3 server once it is held. Not part of a job: resuming one
    /// deletes nothing.
    pub delete: DeletePolicy,
    /// How often the flags of all messages are looked at where the server cannot tell which
    /// changed.
    pub flags: FlagPolicy,
    /// What is missing is gone, however much it is.
    pub believe_deletions: bool,
    /// Where the run ends although there is more to do. Not part of a job.
    pub limits: Limits,
    /// Fetch the newest messages of each mailbox first. Not part of a job.
    pub newest_first: bool,
    /// Only plan: leave a job that `resume` can run.
    pub plan_only: bool,
    /// The job to go on with, when the user named one.
    pub job: Option<u32>,
}

/// How often the flags of all messages are looked at on a server without CONDSTORE (RFC 7162).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlagPolicy {
    /// Once a week.
    #[default]
    Weekly,
    /// On every run. On any server all mailboxes are then listed in full.
    Always,
    /// When a message is new, and not again.
    Never,
}

/// A backup that could not be begun, or not be ended in good order. What was committed
/// before is in the archive.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog, while planning.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The server, before anything was planned.
    #[error("cannot work with {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// What happened.
        #[source]
        source: Box<ServerError>,
    },
    /// The server, while it was asked what there is.
    #[error("cannot list the messages")]
    List(#[source] ServerError),
    /// Patterns that match no mailbox.
    #[error("no mailbox matches {}", quoted(patterns))]
    IdlePatterns {
        /// The patterns.
        patterns: Vec<String>,
        /// The mailboxes there are.
        mailboxes: Vec<String>,
    },
    /// A POP3 server without UIDL, by which messages are told apart.
    #[error("the server has no UIDL, so it cannot be told which messages are new")]
    NoUidl,
    /// `--pop-spam only`, and nothing by which spam could be told.
    #[error(
        "not one of {judged} messages carries a verdict of a spam filter, so spam cannot be told"
    )]
    NoVerdict {
        /// Messages whose header was looked at.
        judged: u32,
    },
    /// A thread could not be started or died.
    #[error("a part of the run died")]
    Thread(#[source] std::io::Error),
    /// Large messages cannot be written to the archive's `tmp/`.
    #[error("cannot keep a large message")]
    Spool(#[source] ServerError),
}

fn quoted(patterns: &[String]) -> String {
    patterns
        .iter()
        .map(|p| format!("`{p}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
