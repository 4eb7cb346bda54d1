//! Placements: what was where, with which flags.

use rusqlite::Row;

use super::{PlacementRow, SHOWN, present, remote, stored};
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, Evidence, Flags, InternalDate, MailboxId};

pub(super) const PLACEMENT_COLUMNS: &str = concat!(
    "p.mailbox, p.uidvalidity, p.uid, p.uidl, f.flags, p.date, p.zone, p.healed, NOT ",
    present!(),
    ", c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size, c.damaged, p.size, c.forgotten
     FROM placements p JOIN contents c ON c.no = p.content JOIN segments s ON s.id = c.segment
     JOIN flag_sets f ON f.id = p.flags"
);
const PRESENT: &str = present!();

impl Catalog {
    /// The catalog's number of a flag set; `None` when no placement ever had it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn flag_set(&self, flags: &Flags) -> Result<Option<i64>, CatalogError> {
        let text = serde_json::to_string(flags).unwrap_or_default();
        self.row("SELECT id FROM flag_sets WHERE flags = ?1", [text], |row| {
            row.get(0)
        })
    }

    /// Placements of a mailbox, present ones or all, by date.
    ///
    /// # Errors
    /// SQLite's.
    pub fn placements(
        &self,
        mailbox: MailboxId,
        gone_too: bool,
    ) -> Result<Vec<PlacementRow>, CatalogError> {
        self.placements_where("TRUE", mailbox, gone_too)
    }

    /// The placements of a mailbox that a person sees: each message once. What came over POP3
    /// is left out where IMAP showed the same content in that account.
    ///
    /// # Errors
    /// SQLite's.
    pub fn shown(
        &self,
        mailbox: MailboxId,
        gone_too: bool,
    ) -> Result<Vec<PlacementRow>, CatalogError> {
        self.placements_where(SHOWN, mailbox, gone_too)
    }

    /// Those that came with a later commit than `after`, up to `until`, and are present, as
    /// [`Self::shown`]. A writer may commit more meanwhile.
    ///
    /// # Errors
    /// SQLite's.
    pub fn arrived_between(
        &self,
        mailbox: MailboxId,
        after: u64,
        until: u64,
    ) -> Result<Vec<PlacementRow>, CatalogError> {
        let sql = format!(
            "SELECT {PLACEMENT_COLUMNS} WHERE p.mailbox = ?1 AND p.since > ?2 AND p.since <= ?3
             AND {PRESENT} AND {SHOWN}"
        );
        self.rows(&sql, (mailbox.0, after, until), placement)
    }

    fn placements_where(
        &self,
        condition: &str,
        mailbox: MailboxId,
        gone_too: bool,
    ) -> Result<Vec<PlacementRow>, CatalogError> {
        let sql = format!(
            "SELECT {PLACEMENT_COLUMNS} WHERE p.mailbox = ?1 AND (?2 OR {PRESENT}) AND {condition}
             ORDER BY p.date, p.uidvalidity, p.uid, p.uidl"
        );
        self.rows(&sql, (mailbox.0, gone_too), placement)
    }

    /// All placements of a content.
    ///
    /// # Errors
    /// SQLite's.
    pub fn placements_of(&self, id: ContentId) -> Result<Vec<PlacementRow>, CatalogError> {
        let sql = format!(
            "SELECT {PLACEMENT_COLUMNS} WHERE c.id = ?1 ORDER BY p.mailbox, p.uidvalidity, p.uid, p.uidl"
        );
        self.rows(&sql, [id.as_bytes()], placement)
    }
}

pub(super) fn placement(row: &Row<'_>) -> rusqlite::Result<PlacementRow> {
    let flags: String = row.get(4)?;
    let zone: i16 = row.get(6)?;
    let healed: bool = row.get(7)?;
    Ok(PlacementRow {
        mailbox: MailboxId(row.get(0)?),
        remote: remote(row.get(1)?, row.get(2)?, row.get(3)?),
        flags: serde_json::from_str(&flags).unwrap_or_default(),
        date: row.get::<_, Option<i64>>(5)?.map(|unix| InternalDate {
            unix,
            offset_minutes: zone,
        }),
        evidence: if healed {
            Evidence::Healed
        } else {
            Evidence::Bytes
        },
        gone: row.get(8)?,
        content: stored(row, 9)?,
        damaged: row.get(17)?,
        size: row.get(18)?,
        forgotten: row.get(19)?,
    })
}
