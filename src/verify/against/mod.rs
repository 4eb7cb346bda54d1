//! Comparing an archive with the server its mail came from. Nothing is changed on either side:
//! the archive is read without a lock, and the server is asked to show, never to do.
//!
//! ```text
//! listing ─┐
//!          ├─ compare ─► fates ─► choose ─► fetch + hash ─► proof ─► report
//! catalog ─┘
//! ```
//!
//! `compare` and `maildrop` say of every message where it stands, by what IMAP or POP3 lists;
//! `choose` draws a sample; all three are pure. `imap` with `bodies` and `pop3` ask the servers,
//! and `proof` holds bytes against bytes.

mod bodies;
pub(crate) mod choose;
mod compare;
mod fates;
mod imap;
mod maildrop;
mod pop3;
mod proof;
mod report;

use std::sync::atomic::Ordering;

pub use fates::{Difference, Fates, Names};
pub use report::{
    AgainstReport, BytesDiffer, MailboxComparison, NotProven, SampleReport, Sampled, State,
};

use crate::catalog::CatalogError;
use crate::contact::{ServerError, Stop, describe, spool_into};
use crate::event::{Event, Sink};
use crate::model::{Account, Selection};
use crate::report::Ending;
use crate::source::Source;
use crate::spool::{SpoolError, SpoolOptions};
use crate::store::Reader;

/// How many messages are fetched to compare their bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// So many.
    Messages(u64),
    /// This share, in percent.
    Percent(f64),
    /// All of them.
    Full,
}

impl Sample {
    /// How many messages to choose among so many.
    #[must_use]
    pub(crate) fn size(self, of: u64) -> usize {
        let n = match self {
            Self::Messages(n) => n,
            Self::Percent(percent) => share(of, percent),
            Self::Full => of,
        };
        usize::try_from(n.min(of)).unwrap_or(usize::MAX)
    }
}

/// What to compare with what.
#[derive(Debug, Clone)]
pub struct AgainstRequest<'a> {
    /// The account on its server.
    pub source: &'a Source,
    /// The account in the archive.
    pub account: &'a Account,
    /// Globs of mailboxes to compare; empty means all.
    pub mailboxes: &'a [String],
    /// Globs of mailboxes to leave out.
    pub exclude: &'a [String],
    /// How many messages to fetch.
    pub sample: Sample,
    /// Which: the same seed draws the same sample from the same mail.
    pub seed: u64,
}

/// A comparison that could not be made. What differs is no error, and neither is a server that
/// is lost on the way: both stand in the report.
#[derive(Debug, thiserror::Error)]
pub enum AgainstError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The server cannot be reached, or does not let us in.
    #[error("cannot work with {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// What happened.
        #[source]
        source: Box<ServerError>,
    },
    /// The server does not say what there is.
    #[error("cannot list the messages")]
    List(#[source] ServerError),
    /// Patterns that match no mailbox.
    #[error("no mailbox matches {}", patterns.join(", "))]
    IdlePatterns {
        /// The patterns.
        patterns: Vec<String>,
        /// The mailboxes there are.
        mailboxes: Vec<String>,
    },
    /// A large message cannot be kept in the temporary folder while it is looked at.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Compares an account of the archive with its server.
///
/// Mail too large for memory passes through the temporary folder. Connections that break are
/// dialled again as a backup does. Asked to stop, or when the server is lost for good, it reports
/// what it has found so far and says so. Safe to drop at any await.
///
/// # Errors
/// The server cannot be had at all, or this machine failed.
pub async fn against(
    reader: &Reader,
    request: &AgainstRequest<'_>,
    sink: &dyn Sink,
    stop: &Stop,
) -> Result<AgainstReport, AgainstError> {
    let spool = spool_into(&std::env::temp_dir());
    let ground = Ground {
        reader,
        request,
        spool: &spool,
        sink,
        stop,
    };
    let mut report = match request.source {
        Source::Imap(source) => imap::compare_with(ground, source).await?,
        Source::Pop3(source) => pop3::compare_with(ground, source).await?,
    };
    report.damaged = reader.catalog().damaged()?.len() as u64;
    report.received = request
        .source
        .net()
        .counters
        .received
        .load(Ordering::Relaxed);
    Ok(report)
}

/// What every part of a comparison stands on.
#[derive(Clone, Copy)]
struct Ground<'a> {
    reader: &'a Reader,
    request: &'a AgainstRequest<'a>,
    spool: &'a SpoolOptions,
    sink: &'a dyn Sink,
    stop: &'a Stop,
}

impl Ground<'_> {
    /// A report in which nothing was compared yet.
    fn report(&self) -> AgainstReport {
        let AgainstRequest {
            account, source, ..
        } = *self.request;
        let server = source.alias();
        let mut notes = Vec::new();
        if !account.aliases.contains(&server) {
            notes.push(format!(
                "the archive knows this account as {}, and never fetched it from {server}",
                account.aliases.join(", ")
            ));
        }
        AgainstReport {
            account: account.name.clone(),
            server,
            ending: Ending::Complete,
            error: None,
            mailboxes: Vec::new(),
            sample: SampleReport::default(),
            damaged: 0,
            warnings: Vec::new(),
            notes,
            received: 0,
        }
    }

    fn connect_error(&self, source: ServerError) -> AgainstError {
        let endpoint = self.request.source.endpoint();
        AgainstError::Connect {
            server: format!("{}:{}", endpoint.host, endpoint.port),
            source: Box::new(source),
        }
    }

    /// The selection of the account's last job over this protocol: what was left out on purpose
    /// is no gap.
    fn recorded_selection(&self) -> Result<Selection, CatalogError> {
        let scheme = match self.request.source {
            Source::Imap(_) => "imap",
            Source::Pop3(_) => "pop3",
        };
        let jobs = self.reader.catalog().jobs()?;
        let job = jobs
            .into_iter()
            .rfind(|j| j.account == self.request.account.id && j.source.starts_with(scheme));
        Ok(job.map(|job| job.selection).unwrap_or_default())
    }

    /// Says in the report how a comparison ended early.
    ///
    /// # Errors
    /// It was this machine that failed.
    fn cut_short(
        &self,
        report: &mut AgainstReport,
        cause: Interrupted,
    ) -> Result<(), AgainstError> {
        match cause {
            Interrupted::Here(error) => return Err(error),
            Interrupted::Server(_) if self.stop.is_requested() => {
                report.ending = Ending::Interrupted;
            }
            Interrupted::Server(error) => {
                report.ending = Ending::ServerLost;
                report.error = Some(describe(&error));
            }
        }
        Ok(())
    }
}

/// A part of a number, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a sample need not be exact, and the caller bounds it"
)]
fn share(of: u64, percent: f64) -> u64 {
    (of as f64 * percent / 100.0).ceil() as u64
}

/// What ends a comparison before its end.
#[derive(Debug)]
enum Interrupted {
    /// The server is lost, or somebody asked to stop.
    Server(ServerError),
    /// This machine failed.
    Here(AgainstError),
}

impl<E: Into<AgainstError>> From<E> for Interrupted {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// Tells how many messages were compared, now and then.
struct Progress<'a> {
    sink: &'a dyn Sink,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn one_more(&mut self) {
        self.done += 1;
        let (done, total) = (self.done, self.total);
        if done.is_multiple_of(64) || done == total {
            self.sink.event(Event::Comparing { done, total });
        }
    }
}
