//! Delivering archived mail by SMTP or LMTP, for places without IMAP: a journaling address, an
//! archiving system, a ticket system.
//!
//! At most once: nobody can look whether a message has arrived, so what may have arrived is never
//! sent again by itself. Each content goes once, in whichever mailboxes it lies. Dates of arrival,
//! flags and mailboxes cannot travel.

mod course;
mod judge;
mod pace;
mod rules;
mod send;

use std::path::PathBuf;
use std::time::Duration;

use super::repair::Repairs;
use crate::catalog::{AsOf, Within};
use crate::clock::Clock;
use crate::model::AccountId;
use crate::net::{Endpoint, NetOptions};
use crate::secret::Credentials;

pub use course::deliver;
pub(super) use rules::Delivery;

/// A server that takes mail to be delivered.
#[derive(Debug, Clone)]
pub struct DeliveryTarget {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Trust, time-outs and limits.
    pub net: NetOptions,
    /// User and password; `None` where none are wanted.
    pub credentials: Option<Credentials>,
    /// It speaks LMTP (RFC 2033).
    pub lmtp: bool,
}

impl DeliveryTarget {
    /// `user@host`, or the host.
    #[must_use]
    pub fn alias(&self) -> String {
        match &self.credentials {
            Some(credentials) => format!("{}@{}", credentials.user, self.endpoint.host),
            None => self.endpoint.host.clone(),
        }
    }
}

/// What to deliver, and where to.
#[derive(Debug, Clone)]
pub struct DeliverRequest {
    /// The archive.
    pub archive: PathBuf,
    /// Its catalog, if it does not lie in the archive.
    pub catalog: Option<PathBuf>,
    /// The folder of the ledgers, if they are not kept in the archive.
    pub ledger: Option<PathBuf>,
    /// The clock.
    pub clock: Clock,
    /// The account in the archive.
    pub account: AccountId,
    /// The server.
    pub target: DeliveryTarget,
    /// Who gets the mail.
    pub recipient: String,
    /// Who is told of what cannot be delivered later (MAIL FROM); may be empty.
    pub reverse_path: String,
    /// The least time between two messages.
    pub pace: Duration,
    /// Globs of mailboxes; empty means all.
    pub mailboxes: Vec<String>,
    /// Globs of mailboxes to leave out.
    pub exclude: Vec<String>,
    /// Which messages.
    pub within: Within,
    /// The mailboxes as they were; `None` as they are.
    pub as_of: Option<AsOf>,
    /// Send again what may have been delivered: a person has looked, and takes the risk.
    pub resend_doubtful: bool,
    /// Repairs of the copy that is sent.
    pub repairs: Repairs,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
}

impl DeliverRequest {
    /// Whose mail the ledger is about, and the report.
    fn address(&self) -> String {
        format!("{} by {}", self.recipient, self.target.alias())
    }
}

/// The one mailbox of the ledger: what was delivered is in no mailbox we know of.
const NOWHERE: u32 = 1;
