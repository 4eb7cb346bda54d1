//! What happens to placements and mailboxes after they came: nothing of what was is forgotten.

use rusqlite::OptionalExtension;

use super::apply::{Applier, key};
use crate::archive::format::{Departure, Doubt, Doubted, FlagChange};
use crate::model::{Evidence, Mailbox, MailboxId, Placement, RemoteId};

impl Applier<'_> {
    /// Notes a mailbox that has another name or UIDVALIDITY than before, or none before.
    pub(super) fn mailbox_state(&self, m: &Mailbox) -> rusqlite::Result<()> {
        let before: Option<(String, String, Option<u32>)> = self
            .tx
            .prepare_cached(
                "SELECT name, wire, uidvalidity FROM mailbox_states WHERE mailbox = ?1 ORDER BY began DESC LIMIT 1",
            )?
            .query_row([m.id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((name, wire, uidvalidity)) = &before
            && *name == m.name
            && *wire == m.wire
            && *uidvalidity == m.uidvalidity
        {
            return Ok(());
        }
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO mailbox_states (mailbox, began, name, wire, uidvalidity) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((m.id.0, self.commit, &m.name, &m.wire, m.uidvalidity))?;
        // UIDVALIDITY 0 stands for none, and what came under it is never taken for an older
        // epoch: a server may forget to send one. One that has begun to send it is another
        // matter.
        let had_none = before.is_some_and(|(_, _, before)| before.unwrap_or(0) == 0);
        if had_none && m.uidvalidity.unwrap_or(0) != 0 {
            self.tx
                .prepare_cached(
                    "UPDATE placements SET gone = ?2 WHERE mailbox = ?1 AND uidvalidity = 0 AND uidl = '' AND gone = 0",
                )?
                .execute((m.id.0, self.commit))?;
        }
        Ok(())
    }

    /// Whether a placement is the one there is, healed so far and proven by its bytes now. Its life
    /// goes on.
    pub(super) fn confirmed(
        &self,
        p: &Placement,
        content: i64,
        flags: i64,
    ) -> rusqlite::Result<bool> {
        let (uidvalidity, uid, uidl) = key(&p.remote);
        let confirmed = self
            .tx
            .prepare_cached(
                "UPDATE placements SET healed = 0 WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3
                 AND uidl = ?4 AND content = ?5 AND healed = 1 AND gone = 0 AND ?6",
            )?
            .execute((p.mailbox.0, uidvalidity, uid, uidl, content, p.evidence == Evidence::Bytes))?;
        if confirmed == 0 {
            return Ok(false);
        }
        self.set_flags(p.mailbox, uidvalidity, uid, flags)?;
        Ok(true)
    }

    /// Puts the life of a placement among the earlier ones, and removes the placement.
    pub(super) fn end_life(&self, mailbox: MailboxId, remote: &RemoteId) -> rusqlite::Result<()> {
        let (uidvalidity, uid, uidl) = key(remote);
        // What came with this very commit was never there at the end of one.
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO lives
                 (mailbox, uidvalidity, uid, uidl, since, until, content, flags, date, zone, size, healed)
                 SELECT mailbox, uidvalidity, uid, uidl, since, iif(gone = 0, ?5, gone), content, flags, date, zone, size, healed
                 FROM placements WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4 AND since < ?5",
            )?
            .execute((mailbox.0, uidvalidity, uid, uidl, self.commit))?;
        self.tx
            .prepare_cached(
                "DELETE FROM placements WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4",
            )?
            .execute((mailbox.0, uidvalidity, uid, uidl))?;
        Ok(())
    }

    pub(super) fn flag_change(&mut self, change: &FlagChange) -> rusqlite::Result<()> {
        let flags = self.flag_set(&change.flags)?;
        for uid in change.uids.iter() {
            self.set_flags(change.mailbox, change.uidvalidity, uid, flags)?;
        }
        Ok(())
    }

    /// Gives a message its flags, and keeps those it had.
    fn set_flags(
        &self,
        mailbox: MailboxId,
        uidvalidity: u32,
        uid: u32,
        flags: i64,
    ) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO earlier_flags (mailbox, uidvalidity, uid, until, flags)
                 SELECT mailbox, uidvalidity, uid, ?5, flags FROM placements
                 WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = '' AND flags <> ?4 AND since < ?5",
            )?
            .execute((mailbox.0, uidvalidity, uid, flags, self.commit))?;
        self.tx
            .prepare_cached(
                "UPDATE placements SET flags = ?4 WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ''",
            )?
            .execute((mailbox.0, uidvalidity, uid, flags))?;
        Ok(())
    }

    pub(super) fn doubt(&self, doubt: &Doubt) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("DELETE FROM doubts WHERE account = ?1")?
            .execute([doubt.account.0])?;
        let mut insert = self.tx.prepare_cached(
            "INSERT OR REPLACE INTO doubts (account, mailbox, uidvalidity, since, uids) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for Doubted { gone, since } in &doubt.missing {
            let uids = gone.uids.to_string();
            let (mailbox, uidvalidity) = (gone.mailbox.0, gone.uidvalidity);
            insert.execute((doubt.account.0, mailbox, uidvalidity, since, uids))?;
        }
        Ok(())
    }

    pub(super) fn gone(&self, gone: &Departure) -> rusqlite::Result<()> {
        // It left when that was said first.
        let mut update = self.tx.prepare_cached(
            "UPDATE placements SET gone = ?4
             WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = '' AND gone = 0",
        )?;
        let mut forget = self.tx.prepare_cached(
            "DELETE FROM skips WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ''",
        )?;
        for uid in gone.uids.iter() {
            update.execute((gone.mailbox.0, gone.uidvalidity, uid, self.commit))?;
            forget.execute((gone.mailbox.0, gone.uidvalidity, uid))?;
        }
        Ok(())
    }
}
