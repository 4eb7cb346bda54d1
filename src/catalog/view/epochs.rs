//! Older epochs of mailboxes, and what was matched from them.

use crate::catalog::{Catalog, CatalogError};
use crate::model::{AccountId, ContentId, MailboxId};

/// A message that may be found again under another remote id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolRow {
    /// RFC822.SIZE as it was reported.
    pub size: u32,
    /// INTERNALDATE in Unix seconds.
    pub date: i64,
    /// Digest of Message-ID, Date, From and Subject.
    pub head: u128,
    /// The catalog's number of its content.
    pub content: i64,
}

/// A placement that was matched and not fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealedRow {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UID.
    pub uid: u32,
}

impl Catalog {
    /// The messages of one epoch of a mailbox that are held and had not left, or all of them, as
    /// far as size, date and digest are known, in no order.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn pool(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        gone_too: bool,
    ) -> Result<Vec<PoolRow>, CatalogError> {
        let sql = "SELECT p.size, p.date, c.head, c.no
                   FROM placements p JOIN contents c ON c.no = p.content
                   WHERE p.mailbox = ?1 AND p.uidvalidity = ?2 AND p.uidl = '' AND (?3 OR p.gone = 0)
                   AND p.date IS NOT NULL AND c.head IS NOT NULL AND c.damaged IS NULL";
        let rows = self.rows(sql, (mailbox.0, uidvalidity, gone_too), |row| {
            let head: String = row.get(2)?;
            let (size, date, content) = (row.get(0)?, row.get(1)?, row.get(3)?);
            let row = |head| PoolRow {
                size,
                date,
                head,
                content,
            };
            Ok(u128::from_str_radix(&head, 16).ok().map(row))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The digest of a held message of IMAP, where it has one.
    pub fn head_of(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        uid: u32,
    ) -> Result<Option<u128>, CatalogError> {
        let sql = "SELECT c.head FROM placements p JOIN contents c ON c.no = p.content
                   WHERE p.mailbox = ?1 AND p.uidvalidity = ?2 AND p.uid = ?3 AND p.uidl = ''";
        let head: Option<Option<String>> =
            self.row(sql, (mailbox.0, uidvalidity, uid), |row| row.get(0))?;
        Ok(head
            .flatten()
            .as_deref()
            .and_then(|head| u128::from_str_radix(head, 16).ok()))
    }

    /// The id of a content by the catalog's number.
    pub fn content_id(&self, no: i64) -> Result<Option<ContentId>, CatalogError> {
        self.row("SELECT id FROM contents WHERE no = ?1", [no], |row| {
            row.get(0).map(ContentId::from_bytes)
        })
    }

    /// The UIDVALIDITY a mailbox had before it had one.
    pub fn epoch_before(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
    ) -> Result<Option<u32>, CatalogError> {
        let sql = "SELECT uidvalidity FROM mailbox_states WHERE mailbox = ?1
                   AND coalesce(uidvalidity, 0) <> ?2 ORDER BY began DESC LIMIT 1";
        let before: Option<Option<u32>> =
            self.row(sql, (mailbox.0, uidvalidity), |row| row.get(0))?;
        Ok(before.map(Option::unwrap_or_default))
    }

    /// How many placements of an account are healed, and the oldest of those that were there
    /// before a Unix time: those to be proven next.
    pub fn healed(
        &self,
        account: AccountId,
        before: i64,
        limit: impl FnOnce(u64) -> u64,
    ) -> Result<Vec<HealedRow>, CatalogError> {
        let from = "FROM placements p JOIN mailboxes m ON m.id = p.mailbox
                    WHERE p.healed = 1 AND p.gone = 0 AND p.uidl = '' AND m.account = ?1
                    AND p.uidvalidity = m.uidvalidity
                    AND (SELECT forgotten FROM contents WHERE no = p.content) IS NULL";
        let all: u64 = self
            .row(&format!("SELECT count(*) {from}"), [account.0], |row| {
                row.get(0)
            })?
            .unwrap_or_default();
        if all == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT p.mailbox, p.uidvalidity, p.uid {from}
             AND (SELECT at FROM commits WHERE n = p.since) <= ?2
             ORDER BY p.since, p.mailbox, p.uid LIMIT ?3"
        );
        self.rows(&sql, (account.0, before, limit(all)), |row| {
            Ok(HealedRow {
                mailbox: MailboxId(row.get(0)?),
                uidvalidity: row.get(1)?,
                uid: row.get(2)?,
            })
        })
    }
}
