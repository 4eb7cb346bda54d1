//! What is to be on the target: placements of the archive, kept small, since there may be a
//! million.

use std::collections::HashMap;

use super::ReplayError;
use super::ledger::OriginKey;
use crate::archive::ledger::Origin;
use crate::catalog::{AsOf, Catalog, CatalogError, PlacementRow, Within};
use crate::header;
use crate::model::{
    AccountId, ContentId, FlagSetId, FlagTable, Flags, InternalDate, LineEnds, Location, Mailbox,
    MailboxId, RemoteId, StoredContent,
};
use crate::source::select;

/// A message that is to be in a mailbox of the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    /// The content.
    pub(super) content: ContentId,
    /// Bytes on the wire.
    pub(super) len: u64,
    /// Where it lies in the archive; the first number stands for the segment.
    pub(super) at: (u32, u64, u64, u64),
    eol: LineEnds,
    /// Digest of Message-ID, Date, From and Subject.
    pub(super) head: Option<u128>,
    /// The mailbox of the archive it was seen in, and its name there.
    pub(super) mailbox: MailboxId,
    /// Its name there.
    pub(super) remote: RemoteId,
    /// Its flags.
    pub(super) flags: FlagSetId,
    /// INTERNALDATE.
    pub(super) date: Option<InternalDate>,
}

impl Item {
    /// Its placement, short.
    #[must_use]
    pub(super) fn key(&self) -> OriginKey {
        OriginKey::new(self.mailbox, &self.remote)
    }

    #[cfg(test)]
    pub(super) fn test(mailbox: MailboxId, remote: RemoteId, body: &str) -> Self {
        Self {
            content: ContentId::of(body.as_bytes()),
            len: body.len() as u64,
            at: (0, 0, 0, 0),
            eol: LineEnds::Raw,
            head: None,
            mailbox,
            remote,
            flags: FlagTable::default().intern(Flags::default()),
            date: None,
        }
    }

    /// Its placement.
    #[must_use]
    pub(super) fn origin(&self) -> Origin {
        Origin {
            mailbox: self.mailbox,
            remote: self.remote.clone(),
        }
    }
}

/// What items share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    segments: Vec<String>,
    index: HashMap<String, u32>,
    flags: FlagTable,
}

/// Messages of a mailbox that are not for the target, by why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct NotSent {
    /// Their bytes are not in the archive any more, by a person's order.
    pub(super) forgotten: u64,
    /// Further copies of a content, left out on request.
    pub(super) copies: u64,
}

impl Shared {
    /// The messages of a mailbox at the end of a commit.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn items(
        &mut self,
        catalog: &Catalog,
        mailbox: MailboxId,
        commit: u64,
        within: &Within,
    ) -> Result<(Vec<Item>, NotSent), CatalogError> {
        let mut items = Vec::new();
        let mut not_sent = NotSent::default();
        catalog.shown_at(mailbox, commit, false, within, |row| {
            if row.forgotten.is_some() {
                not_sent.forgotten += 1;
            } else {
                items.push(self.item(row));
            }
        })?;
        Ok((items, not_sent))
    }

    /// The messages of a mailbox that came with a later commit than `after`, up to `until`.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn arrived_between(
        &mut self,
        catalog: &Catalog,
        mailbox: MailboxId,
        after: u64,
        until: u64,
    ) -> Result<Vec<Item>, CatalogError> {
        let rows = catalog.arrived_between(mailbox, after, until)?;
        let rows = rows.into_iter().filter(|row| row.forgotten.is_none());
        Ok(rows.map(|row| self.item(row)).collect())
    }

    fn item(&mut self, row: PlacementRow) -> Item {
        let StoredContent {
            id,
            len,
            eol,
            head,
            at,
        } = row.content;
        let next = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let segment = match self.index.get(&at.segment) {
            Some(segment) => *segment,
            None => {
                self.segments.push(at.segment.clone());
                self.index.insert(at.segment, next);
                next
            }
        };
        Item {
            content: id,
            len,
            at: (segment, at.frame, at.pos, at.size),
            eol,
            head: head.as_deref().and_then(header::digest_number),
            mailbox: row.mailbox,
            remote: row.remote,
            flags: self.flags.intern(row.flags),
            date: row.date,
        }
    }

    /// Where an item's content lies. The digest of its header is left out.
    #[must_use]
    pub(super) fn stored(&self, item: &Item) -> StoredContent {
        let (segment, frame, pos, size) = item.at;
        let segment = usize::try_from(segment)
            .ok()
            .and_then(|n| self.segments.get(n));
        StoredContent {
            id: item.content,
            len: item.len,
            eol: item.eol,
            head: None,
            at: Location {
                segment: segment.cloned().unwrap_or_default(),
                frame,
                pos,
                size,
            },
        }
    }

    /// An item's flags.
    #[must_use]
    pub(super) fn flags(&self, item: &Item) -> Flags {
        self.flags.get(item.flags).cloned().unwrap_or_default()
    }
}

/// The mailboxes of an account that globs choose, each with the commit at whose end it is looked at.
///
/// # Errors
/// SQLite's, and patterns that match nothing.
pub(super) fn chosen(
    catalog: &Catalog,
    account: AccountId,
    as_of: Option<&AsOf>,
    include: &[String],
    exclude: &[String],
) -> Result<Vec<(Mailbox, u64)>, ReplayError> {
    let all = catalog.mailboxes_as_of(account, as_of)?;
    let names: Vec<&str> = all.iter().map(|(m, _)| m.name.as_str()).collect();
    let selected = select(&names, include, exclude);
    if !selected.idle.is_empty() {
        return Err(ReplayError::IdlePatterns {
            patterns: selected.idle,
            mailboxes: names.into_iter().map(str::to_owned).collect(),
        });
    }
    let chosen = all.into_iter().zip(selected.chosen);
    Ok(chosen.filter(|(_, yes)| *yes).map(|(m, _)| m).collect())
}

/// Keeps the first of the items of each content, in order; gives how many it left out.
pub(super) fn collapse(items: &mut Vec<Item>) -> u64 {
    let before = items.len();
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.content));
    (before - items.len()) as u64
}
