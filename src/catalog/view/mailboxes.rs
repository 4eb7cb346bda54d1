//! Accounts, mailboxes, checkpoints and skips.

use rusqlite::Row;

use super::{MailboxTotals, SHOWN, SkipRow, present, remote};
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Account, AccountId, Checkpoint, Mailbox, MailboxId, UidSet};

const PRESENT: &str = present!();

impl Catalog {
    /// All accounts, by number.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn accounts(&self) -> Result<Vec<Account>, CatalogError> {
        self.rows(
            "SELECT id, name, aliases, folder FROM accounts ORDER BY id",
            [],
            |row| {
                let aliases: String = row.get(2)?;
                let aliases = aliases.lines().map(str::to_owned).collect();
                Ok(Account {
                    id: AccountId(row.get(0)?),
                    name: row.get(1)?,
                    aliases,
                    folder: row.get(3)?,
                })
            },
        )
    }

    /// The mailboxes of an account, or of all accounts, by name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn mailboxes(&self, account: Option<AccountId>) -> Result<Vec<Mailbox>, CatalogError> {
        self.rows(
            "SELECT id, account, name, wire, separator, folder, uidvalidity, special_use, subscribed FROM mailboxes
             WHERE ?1 IS NULL OR account = ?1 ORDER BY account, name <> 'INBOX', name, id",
            [account.map(|a| a.0)],
            mailbox,
        )
    }

    /// The checkpoint of a mailbox.
    ///
    /// # Errors
    /// SQLite's.
    pub fn checkpoint(&self, mailbox: MailboxId) -> Result<Option<Checkpoint>, CatalogError> {
        self.row(
            "SELECT uidvalidity, uidnext, messages, highestmodseq, excluded, listed_at, by_changes, fingerprint FROM checkpoints WHERE mailbox = ?1",
            [mailbox.0],
            |row| {
                Ok(Checkpoint {
                    mailbox,
                    uidvalidity: row.get(0)?,
                    uidnext: row.get(1)?,
                    messages: row.get(2)?,
                    highestmodseq: row.get(3)?,
                    excluded: row.get(4)?,
                    listed_at: row.get(5)?,
                    by_changes: row.get(6)?,
                    fingerprint: row.get(7)?,
                })
            },
        )
    }

    /// What the archive holds of a mailbox.
    ///
    /// # Errors
    /// SQLite's.
    pub fn totals(&self, mailbox: MailboxId) -> Result<MailboxTotals, CatalogError> {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {PRESENT}), coalesce(sum(c.len) FILTER (WHERE {PRESENT}), 0),
                    count(*) FILTER (WHERE NOT {PRESENT}),
                    (SELECT coalesce(sum(count), 0) FROM skips WHERE mailbox = ?1 AND accepted IS NULL)
             FROM placements p JOIN contents c ON c.no = p.content WHERE p.mailbox = ?1 AND {SHOWN}"
        );
        let row = self.row(&sql, [mailbox.0], |row| {
            Ok(MailboxTotals {
                present: row.get(0)?,
                bytes: row.get(1)?,
                gone: row.get(2)?,
                skipped: row.get(3)?,
            })
        });
        Ok(row?.unwrap_or_default())
    }

    /// Whether IMAP showed a message in a mailbox that is present there.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_filled_by_imap(&self, mailbox: MailboxId) -> Result<bool, CatalogError> {
        let sql = format!(
            "SELECT 1 FROM placements p WHERE p.mailbox = ?1 AND p.uidl = '' AND {PRESENT} LIMIT 1"
        );
        Ok(self.row(&sql, [mailbox.0], |_| Ok(()))?.is_some())
    }

    /// Whether a content that IMAP showed in a mailbox was found damaged.
    ///
    /// # Errors
    /// SQLite's.
    pub fn has_damage(&self, mailbox: MailboxId) -> Result<bool, CatalogError> {
        // Damage is rare: the few damaged contents are looked up, not the many placements.
        let sql = format!(
            "SELECT 1 FROM contents c JOIN placements p ON p.content = c.no
             WHERE c.damaged IS NOT NULL AND p.mailbox = ?1 AND p.uidl = '' AND {PRESENT} LIMIT 1"
        );
        Ok(self.row(&sql, [mailbox.0], |_| Ok(()))?.is_some())
    }

    /// Open skips of a mailbox over IMAP.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open_skips(&self, mailbox: MailboxId) -> Result<u32, CatalogError> {
        let sql =
            "SELECT count(*) FROM skips WHERE mailbox = ?1 AND uidl = '' AND accepted IS NULL";
        Ok(self
            .row(sql, [mailbox.0], |row| row.get(0))?
            .unwrap_or_default())
    }

    /// UIDs of messages that were skipped: those whose loss a person accepted, or the others.
    ///
    /// # Errors
    /// SQLite's.
    pub fn skipped_uids(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        accepted: bool,
    ) -> Result<UidSet, CatalogError> {
        let sql = "SELECT uid FROM skips WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid > 0
                   AND (accepted IS NOT NULL) = ?3";
        let uids = self.rows(sql, (mailbox.0, uidvalidity, accepted), |row| row.get(0))?;
        Ok(uids.into_iter().collect())
    }

    /// How many messages of a mailbox without a name a person has accepted as lost.
    ///
    /// # Errors
    /// SQLite's.
    pub fn accepted_nameless(&self, mailbox: MailboxId) -> Result<u32, CatalogError> {
        let sql = "SELECT count FROM skips
                   WHERE mailbox = ?1 AND uid = 0 AND uidl = '' AND accepted IS NOT NULL";
        Ok(self
            .row(sql, [mailbox.0], |row| row.get(0))?
            .unwrap_or_default())
    }

    /// Skips, by number.
    ///
    /// # Errors
    /// SQLite's.
    pub fn skips(&self, accepted_too: bool) -> Result<Vec<SkipRow>, CatalogError> {
        self.rows(
            "SELECT id, mailbox, uidvalidity, uid, uidl, reason, tries, first, last, accepted, count FROM skips
             WHERE ?1 OR accepted IS NULL ORDER BY id",
            [accepted_too],
            |row| {
                let (uidvalidity, uid, uidl): (u32, u32, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let remote = if uidl.is_empty() && uid == 0 { None } else { Some(remote(uidvalidity, uid, uidl)) };
                Ok(SkipRow {
                    id: row.get(0)?,
                    mailbox: MailboxId(row.get(1)?),
                    remote,
                    reason: row.get(5)?,
                    tries: row.get(6)?,
                    first: row.get(7)?,
                    last: row.get(8)?,
                    accepted: row.get(9)?,
                    count: row.get(10)?,
                })
            },
        )
    }
}

/// Reads the columns id, account, name, wire, separator, folder, uidvalidity, special_use,
/// subscribed.
pub(super) fn mailbox(row: &Row<'_>) -> rusqlite::Result<Mailbox> {
    let separator: Option<String> = row.get(4)?;
    Ok(Mailbox {
        id: MailboxId(row.get(0)?),
        account: AccountId(row.get(1)?),
        name: row.get(2)?,
        wire: row.get(3)?,
        separator: separator.and_then(|s| s.chars().next()),
        folder: row.get(5)?,
        uidvalidity: row.get(6)?,
        special_use: row.get(7)?,
        subscribed: row.get(8)?,
    })
}
