//! POP3 maildrops.

use rusqlite::Row;

use super::{PlacementRow, PopHeld, PopPlace, UidlRow, stored};
use crate::catalog::view::messages::{PLACEMENT_COLUMNS, placement};
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, InternalDate, MailboxId, Maildrop, StoredContent, split_uidl};

impl Catalog {
    /// What is kept of a maildrop as a whole, the baseline aside.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn maildrop(&self, mailbox: MailboxId) -> Result<Option<Maildrop>, CatalogError> {
        self.row(
            "SELECT server, start, zone FROM maildrops WHERE mailbox = ?1",
            [mailbox.0],
            |row| {
                let start: Option<i64> = row.get(1)?;
                let zone = row.get(2)?;
                Ok(Maildrop {
                    mailbox,
                    server: row.get(0)?,
                    start: start.map(|unix| InternalDate {
                        unix,
                        offset_minutes: zone,
                    }),
                    baseline: Vec::new(),
                })
            },
        )
    }

    /// What is known of the UIDLs of a maildrop beside placements.
    ///
    /// # Errors
    /// SQLite's.
    pub fn uidls(&self, mailbox: MailboxId) -> Result<Vec<UidlRow>, CatalogError> {
        self.rows(
            "SELECT uidl, baseline, before, spam, evidence, removed FROM uidls WHERE mailbox = ?1",
            [mailbox.0],
            |row| {
                Ok(UidlRow {
                    uidl: row.get(0)?,
                    baseline: row.get(1)?,
                    before: row.get(2)?,
                    spam: row.get(3)?,
                    evidence: row.get(4)?,
                    removed: row.get::<_, i64>(5)? != 0,
                })
            },
        )
    }

    /// Hands every placement that came over POP3 into a mailbox to `each`, by its key.
    ///
    /// # Errors
    /// SQLite's.
    pub fn pop_held(
        &self,
        mailbox: MailboxId,
        mut each: impl FnMut(String, PopHeld),
    ) -> Result<(), CatalogError> {
        let mut query = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(
                "SELECT p.uidl, p.content, p.size, c.damaged IS NOT NULL
                 FROM placements p JOIN contents c ON c.no = p.content
                 WHERE p.mailbox = ?1 AND p.uidvalidity = 0 AND p.uid = 0 AND p.uidl <> ''",
            )?;
            let mut rows = statement.query([mailbox.0])?;
            while let Some(row) = rows.next()? {
                let held = PopHeld {
                    mailbox,
                    content: row.get(1)?,
                    size: row.get(2)?,
                    damaged: row.get(3)?,
                };
                each(row.get(0)?, held);
            }
            Ok(())
        };
        query().map_err(|e| self.error(e))
    }

    /// The content with this number of the catalog's.
    ///
    /// # Errors
    /// SQLite's.
    pub fn content_numbered(&self, no: i64) -> Result<Option<StoredContent>, CatalogError> {
        self.row(
            "SELECT c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size
             FROM contents c JOIN segments s ON s.id = c.segment WHERE c.no = ?1",
            [no],
            |row| stored(row, 0),
        )
    }

    /// What came over POP3 into the account of a mailbox and has this content.
    ///
    /// # Errors
    /// SQLite's.
    pub fn pop_places_of(
        &self,
        maildrop: MailboxId,
        content: ContentId,
    ) -> Result<Vec<PopPlace>, CatalogError> {
        let sql = format!("{POP_PLACES} AND c.id = ?2 ORDER BY p.mailbox, p.uidl");
        self.rows(&sql, (maildrop.0, content.as_bytes()), pop_place)
    }

    /// What came over POP3 into the account of a mailbox under this UIDL, several where it does
    /// not tell messages apart.
    ///
    /// # Errors
    /// SQLite's.
    pub fn pop_places_under(
        &self,
        maildrop: MailboxId,
        uidl: &str,
    ) -> Result<Vec<PopPlace>, CatalogError> {
        // A key is the UIDL, or the UIDL, a blank and more.
        let sql = format!("{POP_PLACES} AND p.uidl >= ?2 AND p.uidl < ?2 || '!' ORDER BY p.uidl");
        let mut places = self.rows(&sql, (maildrop.0, uidl), pop_place)?;
        places.retain(|p| split_uidl(&p.key).0 == uidl);
        Ok(places)
    }

    /// A placement that came over POP3, with the Unix time since which it is durable here.
    ///
    /// # Errors
    /// SQLite's.
    pub fn pop_placement(
        &self,
        mailbox: MailboxId,
        key: &str,
    ) -> Result<Option<(PlacementRow, i64)>, CatalogError> {
        let sql = format!(
            "SELECT {PLACEMENT_COLUMNS} WHERE p.mailbox = ?1 AND p.uidvalidity = 0 AND p.uid = 0 AND p.uidl = ?2"
        );
        let since = "SELECT k.at FROM placements p JOIN commits k ON k.n = p.since
                     WHERE mailbox = ?1 AND uidvalidity = 0 AND uid = 0 AND uidl = ?2";
        let found = self.row(&sql, (mailbox.0, key), placement)?;
        let at = self.row(since, (mailbox.0, key), |row| row.get(0))?;
        Ok(found.zip(at))
    }

    /// Whether mailstow deleted from the server what is placed in a mailbox under this UIDL.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_removed(&self, mailbox: MailboxId, uidl: &str) -> Result<bool, CatalogError> {
        let found = self.row(
            "SELECT 1 FROM uidls u JOIN mailboxes m ON m.id = u.mailbox
             WHERE u.uidl = ?2 AND u.removed <> 0
             AND m.account = (SELECT account FROM mailboxes WHERE id = ?1)",
            (mailbox.0, uidl),
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    /// How many messages came over POP3 into a mailbox.
    ///
    /// # Errors
    /// SQLite's.
    pub fn count_over_pop(&self, mailbox: MailboxId) -> Result<u64, CatalogError> {
        let sql = "SELECT count(*) FROM placements
                   WHERE mailbox = ?1 AND uidvalidity = 0 AND uid = 0 AND uidl <> ''";
        Ok(self
            .row(sql, [mailbox.0], |row| row.get(0))?
            .unwrap_or_default())
    }

    /// UIDLs of messages that were skipped: those whose loss a person accepted, or the others.
    ///
    /// # Errors
    /// SQLite's.
    pub fn skipped_over_pop(
        &self,
        mailbox: MailboxId,
        accepted: bool,
    ) -> Result<Vec<String>, CatalogError> {
        self.rows(
            "SELECT uidl FROM skips WHERE mailbox = ?1 AND uidl <> '' AND (accepted IS NOT NULL) = ?2",
            (mailbox.0, accepted),
            |row| row.get(0),
        )
    }
}

const POP_PLACES: &str = "SELECT p.mailbox, p.uidl, c.id, p.size, c.damaged IS NOT NULL
     FROM mailboxes m JOIN placements p ON p.mailbox = m.id JOIN contents c ON c.no = p.content
     WHERE m.account = (SELECT account FROM mailboxes WHERE id = ?1)
     AND p.uidvalidity = 0 AND p.uid = 0 AND p.uidl <> ''";

fn pop_place(row: &Row<'_>) -> rusqlite::Result<PopPlace> {
    Ok(PopPlace {
        mailbox: MailboxId(row.get(0)?),
        key: row.get(1)?,
        content: ContentId::from_bytes(row.get(2)?),
        size: row.get(3)?,
        damaged: row.get(4)?,
    })
}
