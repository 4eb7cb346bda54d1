//! Questions to the catalog.

mod as_of;
mod compare;
mod contents;
mod epochs;
mod known;
mod life;
mod lives_at;
mod mailboxes;
mod maildrops;
mod messages;
mod work;

use rusqlite::{OptionalExtension, Row};

use super::{Catalog, CatalogError};
use crate::model::{
    ContentId, Evidence, Flags, InternalDate, LineEnds, Location, MailboxId, RemoteId,
    StoredContent,
};

pub use as_of::{AsOf, Moment};
pub use epochs::{HealedRow, PoolRow};
pub use life::{Happened, LifeEvent};
pub use lives_at::{Candidate, NOW, Within};

/// What is there now: it has not left, and its epoch is the newest of its mailbox. UIDVALIDITY 0
/// stands for none and is never an older epoch.
macro_rules! present {
    () => {
        "(p.gone = 0 AND (p.uidl <> '' OR p.uidvalidity IN (0, coalesce(
             (SELECT pm.uidvalidity FROM mailboxes pm WHERE pm.id = p.mailbox), p.uidvalidity))))"
    };
}
use present;

/// A placement with its content, for lists and exports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacementRow {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The server's name for it.
    pub remote: RemoteId,
    /// Flags and keywords.
    pub flags: Flags,
    /// INTERNALDATE.
    pub date: Option<InternalDate>,
    /// RFC822.SIZE as it was reported, in bytes.
    pub size: u32,
    /// How sure the placement is.
    pub evidence: Evidence,
    /// It has left the mailbox, or belongs to an older epoch of it.
    pub gone: bool,
    /// The content and where it lies.
    pub content: StoredContent,
    /// Why the content is lost, if it is.
    pub damaged: Option<String>,
    /// Why the content was forgotten, if it was.
    pub forgotten: Option<String>,
}

/// What is known of a UIDL beside placements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UidlRow {
    /// The UIDL.
    pub uidl: String,
    /// It was there at the first run with `from-today`.
    pub baseline: bool,
    /// Dated before the start day.
    pub before: bool,
    /// Spam by its header; `None` where nobody judged.
    pub spam: Option<bool>,
    /// The header by which.
    pub evidence: Option<String>,
    /// mailstow deleted it from the server.
    pub removed: bool,
}

/// A placement that came over POP3, as the planner sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PopHeld {
    /// The mailbox it is filed in.
    pub mailbox: MailboxId,
    /// The catalog's number of its content.
    pub content: i64,
    /// Its size in bytes as LIST reported it.
    pub size: u32,
    /// Its content was found damaged, so it is not held.
    pub damaged: bool,
}

/// A placement that came over POP3, with its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopPlace {
    /// The mailbox it is filed in.
    pub mailbox: MailboxId,
    /// Its key: the UIDL, or more where that does not tell it from others.
    pub key: String,
    /// Its content.
    pub content: ContentId,
    /// Its size in bytes as LIST reported it.
    pub size: u32,
    /// The content was found damaged, so it is not held.
    pub damaged: bool,
}

/// Placements a person sees: one that came over POP3 counts only where IMAP never showed its
/// content in that account, or the message would be seen twice.
const SHOWN: &str = "(p.uidl = '' OR NOT EXISTS (
    SELECT 1 FROM placements o JOIN mailboxes om ON om.id = o.mailbox
    WHERE o.content = p.content AND o.uidl = ''
    AND om.account = (SELECT account FROM mailboxes WHERE id = p.mailbox)))";

/// What the archive holds of one mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailboxTotals {
    /// Messages present.
    pub present: u64,
    /// Bytes of those on the wire.
    pub bytes: u64,
    /// Messages that have left.
    pub gone: u64,
    /// Open skips.
    pub skipped: u64,
}

/// A skip with its history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkipRow {
    /// Its number, for `--accept`.
    pub id: i64,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The server's name for the message; `None` if it was never listed.
    pub remote: Option<RemoteId>,
    /// How many messages it is about, where none of them has a name.
    pub count: u32,
    /// What went wrong last.
    pub reason: String,
    /// How often it was tried.
    pub tries: u32,
    /// RFC 3339, UTC.
    pub first: String,
    /// RFC 3339, UTC.
    pub last: String,
    /// A person's note, if the loss was accepted.
    pub accepted: Option<String>,
}

impl Catalog {
    fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, CatalogError> {
        let query = || {
            self.db
                .prepare_cached(sql)?
                .query_map(params, |row| read(row))?
                .collect::<rusqlite::Result<Vec<T>>>()
        };
        query().map_err(|e| self.error(e))
    }

    fn row<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, CatalogError> {
        let query = || {
            self.db
                .prepare_cached(sql)?
                .query_row(params, |row| read(row))
                .optional()
        };
        query().map_err(|e| self.error(e))
    }
}

fn remote(uidvalidity: u32, uid: u32, uidl: String) -> RemoteId {
    if uidl.is_empty() {
        RemoteId::Imap { uidvalidity, uid }
    } else {
        RemoteId::Pop { uidl }
    }
}

fn stored(row: &Row<'_>, from: usize) -> rusqlite::Result<StoredContent> {
    let raw: bool = row.get(from + 2)?;
    Ok(StoredContent {
        id: ContentId::from_bytes(row.get(from)?),
        len: row.get(from + 1)?,
        eol: if raw { LineEnds::Raw } else { LineEnds::Crlf },
        head: row.get(from + 3)?,
        at: Location {
            segment: row.get(from + 4)?,
            frame: row.get(from + 5)?,
            pos: row.get(from + 6)?,
            size: row.get(from + 7)?,
        },
    })
}
