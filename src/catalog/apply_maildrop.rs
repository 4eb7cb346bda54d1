//! Records of POP3 maildrops become rows.

use rusqlite::OptionalExtension;

use super::apply::Applier;
use crate::model::{Judged, MailboxId, Maildrop, RemoteId, Removed, Renamed, Verdict, split_uidl};

impl Applier<'_> {
    pub(super) fn maildrop(&self, m: &Maildrop) -> rusqlite::Result<()> {
        self.forget_other_server(m)?;
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO maildrops (mailbox, server, start, zone) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((
                m.mailbox.0,
                &m.server,
                m.start.map(|d| d.unix),
                m.start.map_or(0, |d| d.offset_minutes),
            ))?;
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO uidls (mailbox, uidl, baseline) VALUES (?1, ?2, 1)
             ON CONFLICT (mailbox, uidl) DO UPDATE SET baseline = 1",
        )?;
        for uidl in &m.baseline {
            insert.execute((m.mailbox.0, uidl))?;
        }
        Ok(())
    }

    /// What was decided by the UIDLs of another server says nothing of this one's.
    fn forget_other_server(&self, m: &Maildrop) -> rusqlite::Result<()> {
        let is_other = "SELECT 1 FROM maildrops WHERE mailbox = ?1 AND server <> ?2";
        if !self
            .tx
            .prepare_cached(is_other)?
            .exists((m.mailbox.0, &m.server))?
        {
            return Ok(());
        }
        self.tx
            .prepare_cached("DELETE FROM uidls WHERE mailbox = ?1")?
            .execute([m.mailbox.0])?;
        self.tx
            .prepare_cached(
                "DELETE FROM skips WHERE uidl <> '' AND mailbox IN (SELECT id FROM mailboxes
                 WHERE account = (SELECT account FROM mailboxes WHERE id = ?1))",
            )?
            .execute([m.mailbox.0])?;
        Ok(())
    }

    /// A message came under this UIDL, or goes by it now: it is no skip any more, and was not
    /// deleted for good.
    pub(super) fn pop_placed(&self, mailbox: MailboxId, key: &str) -> rusqlite::Result<()> {
        let (uidl, _) = split_uidl(key);
        for sql in [
            "DELETE FROM skips WHERE uidl = ?2 AND mailbox IN (SELECT id FROM mailboxes
             WHERE account = (SELECT account FROM mailboxes WHERE id = ?1))",
            "UPDATE uidls SET removed = 0 WHERE uidl = ?2 AND mailbox IN (SELECT id FROM mailboxes
             WHERE account = (SELECT account FROM mailboxes WHERE id = ?1))",
        ] {
            self.tx.prepare_cached(sql)?.execute((mailbox.0, uidl))?;
        }
        Ok(())
    }

    pub(super) fn judged(&self, j: &Judged) -> rusqlite::Result<()> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO uidls (mailbox, uidl, before, spam, evidence) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (mailbox, uidl) DO UPDATE SET
                 before = before OR ?3, spam = coalesce(?4, spam), evidence = coalesce(?5, evidence)",
        )?;
        let spam = match j.verdict {
            Verdict::Before => None,
            Verdict::Spam => Some(true),
            Verdict::Clean => Some(false),
        };
        for uidl in &j.uidls {
            let before = j.verdict == Verdict::Before;
            insert.execute((j.mailbox.0, uidl, before, spam, &j.evidence))?;
        }
        Ok(())
    }

    pub(super) fn renamed(&self, r: &Renamed) -> rusqlite::Result<()> {
        let held: Option<()> = self
            .tx
            .prepare_cached(
                "SELECT 1 FROM placements WHERE mailbox = ?1 AND uidvalidity = 0 AND uid = 0 AND uidl = ?2",
            )?
            .query_row((r.mailbox.0, &r.from), |_| Ok(()))
            .optional()?;
        if held.is_none() {
            return Ok(());
        }
        if r.from != r.to {
            let uidl = r.to.clone();
            self.end_life(r.mailbox, &RemoteId::Pop { uidl })?;
        }
        self.tx
            .prepare_cached(
                "UPDATE placements SET uidl = ?3, healed = ?4
                 WHERE mailbox = ?1 AND uidvalidity = 0 AND uid = 0 AND uidl = ?2",
            )?
            .execute((r.mailbox.0, &r.from, &r.to, r.healed))?;
        self.tx
            .prepare_cached(
                "INSERT INTO renames (mailbox, \"from\", \"to\", healed, \"commit\") VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((r.mailbox.0, &r.from, &r.to, r.healed, self.commit))?;
        self.pop_placed(r.mailbox, &r.to)
    }

    pub(super) fn removed(&self, r: &Removed) -> rusqlite::Result<()> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO uidls (mailbox, uidl, removed) VALUES (?1, ?2, ?3)
             ON CONFLICT (mailbox, uidl) DO UPDATE SET removed = ?3",
        )?;
        let mut keep = self.tx.prepare_cached(
            "INSERT OR IGNORE INTO removals (mailbox, uidl, \"commit\") VALUES (?1, ?2, ?3)",
        )?;
        for uidl in &r.uidls {
            insert.execute((r.mailbox.0, uidl, self.commit))?;
            keep.execute((r.mailbox.0, uidl, self.commit))?;
        }
        Ok(())
    }
}
