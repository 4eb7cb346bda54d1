//! What a comparison with a server asks of single placements.

use super::PopPlace;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, MailboxId, UidSet};

impl Catalog {
    /// UIDs whose content was matched after UIDVALIDITY had changed, and not fetched since.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn healed_uids(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
    ) -> Result<UidSet, CatalogError> {
        let uids = self.rows(
            "SELECT uid FROM placements
             WHERE mailbox = ?1 AND uidvalidity = ?2 AND uidl = '' AND healed <> 0 ORDER BY uid",
            (mailbox.0, uidvalidity),
            |row| row.get(0),
        )?;
        Ok(uids.into_iter().collect())
    }

    /// The content that is placed under a UID.
    ///
    /// # Errors
    /// SQLite's.
    pub fn content_under(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        uid: u32,
    ) -> Result<Option<ContentId>, CatalogError> {
        self.row(
            "SELECT c.id FROM placements p JOIN contents c ON c.no = p.content
             WHERE p.mailbox = ?1 AND p.uidvalidity = ?2 AND p.uid = ?3 AND p.uidl = ''",
            (mailbox.0, uidvalidity, uid),
            |row| Ok(ContentId::from_bytes(row.get(0)?)),
        )
    }

    /// Hands every placement that came over POP3 into a mailbox to `each`, and whether it was
    /// matched by its header after the server had renamed it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn pop_places_in(
        &self,
        mailbox: MailboxId,
        mut each: impl FnMut(PopPlace, bool),
    ) -> Result<(), CatalogError> {
        let mut query = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(
                "SELECT p.uidl, c.id, p.size, c.damaged IS NOT NULL, p.healed
                 FROM placements p JOIN contents c ON c.no = p.content
                 WHERE p.mailbox = ?1 AND p.uidvalidity = 0 AND p.uid = 0 AND p.uidl <> ''",
            )?;
            let mut rows = statement.query([mailbox.0])?;
            while let Some(row) = rows.next()? {
                let place = PopPlace {
                    mailbox,
                    key: row.get(0)?,
                    content: ContentId::from_bytes(row.get(1)?),
                    size: row.get(2)?,
                    damaged: row.get(3)?,
                };
                each(place, row.get(4)?);
            }
            Ok(())
        };
        query().map_err(|e| self.error(e))
    }
}
