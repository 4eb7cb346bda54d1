//! Replay: putting archived mail on another server, every message once.
//!
//! ```text
//! archive ─ wanted ─┐
//! ledger ───────────┼─ assign ─ recognise ─► outbound ─► intent ─► APPEND ─► outcome ─► settle
//! target ─ survey ──┘
//! ```
//!
//! `wanted` is what the archive holds, `survey` what the target has and how its mailboxes are
//! called ([`names`]). `assign` (pure) sets both against the [`ledger`], `recognise` finds on the
//! target what the ledger knows nothing of ([`ladder`], pure). What is missing is read from the
//! archive in the order in which it lies (`outbound`), and sent over several connections
//! (`append`), never without a durable intent. Intents whose outcome nobody knows are looked for
//! (`settle`). `moves` repeats moves of the source, `touch` brings flags up to date.
//!
//! `gmail` is what is peculiar to a target whose mailboxes are labels.
//!
//! `deliver` is another way to a target, for places without IMAP: SMTP and LMTP, at most once.
//!
//! [`verify`] compares what is on the target with what is to be there, and changes nothing.
//!
//! The archive is only read. What is written is the ledger, which has a lock of its own.

mod append;
mod assign;
mod deliver;
pub mod flags;
mod flow;
mod gmail;
pub mod inspect;
pub mod ladder;
pub mod ledger;
mod moves;
pub mod names;
mod outbound;
mod recognise;
pub mod repair;
mod report;
mod run;
mod settle;
mod survey;
mod touch;
pub mod verify;
mod wanted;

use std::path::PathBuf;

use crate::catalog::{AsOf, CatalogError, Within};
use crate::clock::Clock;
use crate::contact::ServerError;
use crate::model::AccountId;
use crate::source::ImapSource;
use crate::spool::SpoolError;
use crate::store::StoreError;

pub use assign::Resend;
pub use deliver::{DeliverRequest, DeliveryTarget, deliver};
pub use flow::Sent;
pub(crate) use flow::{Flow, account_in, sign_in};
pub use report::{LeftOut, LeftOutKind, MailboxRow, MessageNote, ReplayReport, What};
pub use run::run;

/// What to replay, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// The archive.
    pub archive: PathBuf,
    /// Its catalog, if it does not lie in the archive.
    pub catalog: Option<PathBuf>,
    /// The folder of the ledgers, if they are not kept in the archive.
    pub ledger: Option<PathBuf>,
    /// The clock.
    pub clock: Clock,
    /// The account in the archive. A migration finds it by itself.
    pub account: AccountId,
    /// The account on its new server.
    pub target: ImapSource,
    /// Globs of mailboxes; empty means all.
    pub mailboxes: Vec<String>,
    /// Globs of mailboxes to leave out.
    pub exclude: Vec<String>,
    /// Which messages.
    pub within: Within,
    /// The mailboxes as they were; `None` as they are.
    pub as_of: Option<AsOf>,
    /// Where mailboxes go.
    pub rules: names::Rules,
    /// How messages are sent.
    pub manner: Manner,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
}

/// How messages are sent.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Copies of one content in one mailbox are sent once.
    pub collapse: bool,
    /// Messages marked as deleted keep that mark.
    pub deleted_too: bool,
    /// Messages that are sent again on a person's word.
    pub resend: Resend,
    /// Repairs of the copy that is sent.
    pub repairs: repair::Repairs,
}

/// A replay that could not be made. A target that is lost on the way is no error: that stands in
/// the report.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The archive cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// The target cannot be reached, or does not let us in.
    #[error("cannot work with {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// What happened.
        #[source]
        source: Box<ServerError>,
    },
    /// The target does not say what there is.
    #[error("cannot list the target's mailboxes")]
    List(#[source] ServerError),
    /// Patterns that match no mailbox.
    #[error("no mailbox matches {}", patterns.join(", "))]
    IdlePatterns {
        /// The patterns.
        patterns: Vec<String>,
        /// The mailboxes there are.
        mailboxes: Vec<String>,
    },
    /// A large message cannot be kept in the temporary folder on its way.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A thread cannot be started, or died.
    #[error("a part of mailstow could not go on")]
    Thread(#[source] std::io::Error),
}

impl From<CatalogError> for ReplayError {
    fn from(error: CatalogError) -> Self {
        Self::Store(error.into())
    }
}
