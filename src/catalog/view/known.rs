//! What a look at a mailbox starts from: the messages of one UIDVALIDITY that are known.

use rusqlite::Row;

use crate::archive::format::{Departure, Doubted};
use crate::catalog::{Catalog, CatalogError};
use crate::model::{AccountId, Held, MailboxId, UidSet};

const HELD: &str = "SELECT p.uid, p.flags, p.size, p.date, p.gone, c.damaged IS NOT NULL
     FROM placements p JOIN contents c ON c.no = p.content
     WHERE p.mailbox = ?1 AND p.uidvalidity = ?2 AND p.uidl = ''";

impl Catalog {
    /// Hands the placements of one UIDVALIDITY to `each`, in UID order. Gone are those that left;
    /// whether the epoch is the newest makes no difference here, nor below.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn held(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        each: impl FnMut(Held),
    ) -> Result<(), CatalogError> {
        let all = UidSet::of_ranges([(1, u32::MAX)]);
        self.held_among(mailbox, uidvalidity, &all, each)
    }

    /// [`Self::held`], of some UIDs only.
    pub fn held_among(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        uids: &UidSet,
        mut each: impl FnMut(Held),
    ) -> Result<(), CatalogError> {
        let sql = format!("{HELD} AND p.uid BETWEEN ?3 AND ?4 ORDER BY p.uid");
        let mut query = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(&sql)?;
            for (begin, end) in uids.ranges() {
                let mut rows = statement.query((mailbox.0, uidvalidity, begin, end))?;
                while let Some(row) = rows.next()? {
                    each(held(row)?);
                }
            }
            Ok(())
        };
        query().map_err(|e| self.error(e))
    }

    /// Of these UIDs those of messages that have not left.
    pub fn present_among(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        uids: &UidSet,
    ) -> Result<UidSet, CatalogError> {
        let mut present = UidSet::new();
        let mut query = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(
                "SELECT uid FROM placements WHERE mailbox = ?1 AND uidvalidity = ?2 AND uidl = ''
                 AND uid BETWEEN ?3 AND ?4 AND gone = 0 ORDER BY uid",
            )?;
            for (begin, end) in uids.ranges() {
                let mut rows = statement.query((mailbox.0, uidvalidity, begin, end))?;
                while let Some(row) = rows.next()? {
                    present.push(row.get(0)?);
                }
            }
            Ok(())
        };
        query().map_err(|e| self.error(e))?;
        Ok(present)
    }

    /// How many messages with a UID below one have not left.
    pub fn count_present(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        below: u32,
    ) -> Result<u64, CatalogError> {
        let sql = "SELECT count(*) FROM placements WHERE mailbox = ?1 AND uidvalidity = ?2
                   AND uid < ?3 AND uidl = '' AND gone = 0";
        let count = self.row(sql, (mailbox.0, uidvalidity, below), |row| row.get(0))?;
        Ok(count.unwrap_or_default())
    }

    /// What has not left a mailbox, by UIDVALIDITY: its newest one, and 0, which stands for none.
    pub fn present_epochs(
        &self,
        mailbox: MailboxId,
        newest: Option<u32>,
    ) -> Result<Vec<(u32, UidSet)>, CatalogError> {
        let all = UidSet::of_ranges([(1, u32::MAX)]);
        let mut epochs = vec![0];
        epochs.extend(newest.filter(|v| *v != 0));
        let mut present = Vec::new();
        for epoch in epochs {
            let uids = self.present_among(mailbox, epoch, &all)?;
            if !uids.is_empty() {
                present.push((epoch, uids));
            }
        }
        Ok(present)
    }

    /// Messages that have not left and whose content was found damaged.
    pub fn damaged_uids(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
    ) -> Result<UidSet, CatalogError> {
        // Damage is rare: the few damaged contents are looked up, not the many placements.
        let sql = "SELECT p.uid FROM contents c JOIN placements p ON p.content = c.no
                   WHERE c.damaged IS NOT NULL AND p.mailbox = ?1 AND p.uidvalidity = ?2
                   AND p.uidl = '' AND p.gone = 0";
        let uids = self.rows(sql, (mailbox.0, uidvalidity), |row| row.get(0))?;
        Ok(uids.into_iter().collect())
    }

    /// The last, the first and a middle one of the messages with a UID below one that have not
    /// left.
    pub fn guards(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        below: u32,
    ) -> Result<Vec<Held>, CatalogError> {
        let first = |order: &str, from: u32| {
            let sql = format!(
                "{HELD} AND p.uid >= ?3 AND p.uid < ?4 AND p.gone = 0 ORDER BY p.uid {order} LIMIT 1"
            );
            self.row(&sql, (mailbox.0, uidvalidity, from, below), held)
        };
        let Some((low, high)) = first("ASC", 1)?.zip(first("DESC", 1)?) else {
            return Ok(Vec::new());
        };
        let middle = first("ASC", low.uid + (high.uid - low.uid) / 2)?;
        let mut guards: Vec<Held> = [Some(low), middle, Some(high)]
            .into_iter()
            .flatten()
            .collect();
        guards.dedup_by_key(|held| held.uid);
        Ok(guards)
    }

    /// What the last run of an account did not find and did not take for gone.
    pub fn doubts(&self, account: AccountId) -> Result<Vec<Doubted>, CatalogError> {
        let sql = "SELECT mailbox, uidvalidity, since, uids FROM doubts WHERE account = ?1
                   ORDER BY mailbox, uidvalidity, since";
        self.rows(sql, [account.0], |row| {
            let uids: String = row.get(3)?;
            Ok(Doubted {
                gone: Departure {
                    mailbox: MailboxId(row.get(0)?),
                    uidvalidity: row.get(1)?,
                    uids: uids.parse().unwrap_or_default(),
                },
                since: row.get(2)?,
            })
        })
    }
}

fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        uid: row.get(0)?,
        flags: row.get(1)?,
        size: row.get(2)?,
        date: row.get(3)?,
        gone: row.get::<_, i64>(4)? != 0,
        damaged: row.get(5)?,
    })
}
