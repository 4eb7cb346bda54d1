//! Journal records become rows. The only code that writes to the catalog.

use std::collections::HashMap;
use std::path::{Component, Path};

use rusqlite::{OptionalExtension, Transaction, params};

use super::file::set_position;
use super::{Catalog, CatalogError};
use crate::archive::LogPosition;
use crate::archive::format::{Damaged, Record, Seal};
use crate::model::{
    Account, Checkpoint, ContentId, Evidence, Flags, Job, LineEnds, Location, Mailbox, Placement,
    RemoteId, RunReport, Skip, StoredContent,
};

/// A run's record is written at its end; one that is older than this, in seconds, is a copy.
const COPIED_AFTER: i64 = 60;

impl Catalog {
    /// Applies the records of one journal frame, and the frame's end as the new position, in
    /// one transaction.
    ///
    /// # Errors
    /// SQLite's; nothing of the frame is then applied.
    pub fn apply(
        &mut self,
        archive: &str,
        run: u32,
        at: &str,
        records: &[Record],
        end: LogPosition,
    ) -> Result<(), CatalogError> {
        let path = self.path.clone();
        let mut apply = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            let commit = end.commit.cast_signed();
            let unix = crate::clock::parse_rfc3339(at).unwrap_or(0);
            tx.prepare_cached("INSERT OR REPLACE INTO commits (n, run, at) VALUES (?1, ?2, ?3)")?
                .execute((commit, run, unix))?;
            let mut applier = Applier {
                tx: &tx,
                run,
                at,
                unix,
                commit,
                flags: HashMap::new(),
                last: None,
            };
            for record in records {
                applier.record(record)?;
            }
            set_position(&tx, archive, end)?;
            tx.commit()
        };
        apply().map_err(|source| CatalogError { path, source })
    }
}

pub(super) struct Applier<'a> {
    pub(super) tx: &'a Transaction<'a>,
    run: u32,
    at: &'a str,
    /// The same in Unix seconds.
    unix: i64,
    /// The number of this commit, by which history goes: times may jump, runs may share a number.
    pub(super) commit: i64,
    flags: HashMap<Flags, i64>,
    /// The content stored last: most placements follow their `store`.
    last: Option<(ContentId, i64)>,
}

impl Applier<'_> {
    fn record(&mut self, record: &Record) -> rusqlite::Result<()> {
        match record {
            Record::Account(account) => self.account(account),
            Record::Mailbox(mailbox) => self.mailbox(mailbox),
            Record::Job(job) => self.job(job),
            Record::Run(run) => self.run_report(run),
            Record::Store(content) => self.store(content),
            Record::Place(placement) => self.place(placement),
            Record::Flags(change) => self.flag_change(change),
            Record::Gone(departure) => self.gone(departure),
            Record::Skip(skip) => self.skip(skip),
            Record::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Record::Seal(seal) => self.seal(seal),
            Record::Moved(moved) => self.moved(moved),
            Record::Repacked(repacked) => self.repacked(repacked),
            Record::Damaged(damaged) => self.damaged(damaged),
            Record::Forgotten(forgotten) => self.forgotten(forgotten),
            Record::Maildrop(maildrop) => self.maildrop(maildrop),
            Record::Judged(judged) => self.judged(judged),
            Record::Renamed(renamed) => self.renamed(renamed),
            Record::Removed(removed) => self.removed(removed),
            Record::Doubt(doubt) => self.doubt(doubt),
        }
    }

    fn account(&self, account: &Account) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("INSERT OR REPLACE INTO accounts (id, name, aliases, folder) VALUES (?1, ?2, ?3, ?4)")?
            .execute((account.id.0, &account.name, account.aliases.join("\n"), &account.folder))?;
        Ok(())
    }

    fn mailbox(&self, m: &Mailbox) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO mailboxes (id, account, name, wire, separator, folder, uidvalidity, special_use, subscribed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                m.id.0,
                m.account.0,
                m.name,
                m.wire,
                m.separator.map(String::from),
                m.folder,
                m.uidvalidity,
                m.special_use,
                m.subscribed
            ])?;
        self.mailbox_state(m)
    }

    fn job(&self, job: &Job) -> rusqlite::Result<()> {
        let state = serde_json::to_value(job.state)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        let record = serde_json::to_string(job).unwrap_or_default();
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO jobs (id, account, state, record) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((job.id, job.account.0, state, record))?;
        Ok(())
    }

    fn run_report(&self, run: &RunReport) -> rusqlite::Result<()> {
        let record = serde_json::to_string(run).unwrap_or_default();
        let commit = self.is_of_this_commit(run).then_some(self.commit);
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO runs (id, record, \"commit\") VALUES (?1, ?2, ?3)",
            )?
            .execute((run.id, record, commit))?;
        Ok(())
    }

    /// Whether a run ended with this commit. `recover` copies the records of runs whose history
    /// it cannot bring along: they come under the number of another run, or long after their end.
    fn is_of_this_commit(&self, run: &RunReport) -> bool {
        let ended = crate::clock::parse_rfc3339(&run.ended);
        let late = ended.is_none_or(|ended| self.unix - ended > COPIED_AFTER);
        run.id == self.run && !late
    }

    pub(super) fn segment(&self, path: &str, frame: u64) -> rusqlite::Result<i64> {
        stays_inside(path)?;
        self.tx
            .prepare_cached(
                "INSERT INTO segments (path, last_frame) VALUES (?1, ?2)
                 ON CONFLICT (path) DO UPDATE SET last_frame = max(last_frame, ?2) RETURNING id",
            )?
            .query_row((path, frame), |row| row.get(0))
    }

    fn store(&mut self, content: &StoredContent) -> rusqlite::Result<()> {
        let Location {
            segment,
            frame,
            pos,
            size,
        } = &content.at;
        let segment = self.segment(segment, *frame)?;
        let values = params![
            content.id.as_bytes(),
            content.len,
            content.eol == LineEnds::Raw,
            content.head,
            segment,
            frame,
            pos,
            size
        ];
        let new = self
            .tx
            .prepare_cached(
                "INSERT INTO contents (id, len, raw, head, segment, frame, pos, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO NOTHING RETURNING no",
            )?
            .query_row(values, |row| row.get(0))
            .optional()?;
        let no = match new {
            Some(no) => no,
            None => self.store_again(content, segment)?,
        };
        self.last = Some((content.id, no));
        Ok(())
    }

    /// A content that was found damaged may be stored again: the new copy takes over.
    fn store_again(&self, content: &StoredContent, segment: i64) -> rusqlite::Result<i64> {
        let id = content.id.as_bytes();
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO damages (content, \"commit\", reason)
                 SELECT no, ?2, '' FROM contents WHERE id = ?1 AND damaged IS NOT NULL",
            )?
            .execute((id, self.commit))?;
        let Location {
            frame, pos, size, ..
        } = &content.at;
        self.tx
            .prepare_cached(
                "UPDATE contents SET segment = ?2, frame = ?3, pos = ?4, size = ?5, damaged = NULL
                 WHERE id = ?1 AND forgotten IS NULL",
            )?
            .execute((id, segment, frame, pos, size))?;
        self.tx
            .prepare_cached("SELECT no FROM contents WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
    }

    fn damaged(&self, damaged: &Damaged) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached("UPDATE contents SET damaged = ?2 WHERE id = ?1 AND forgotten IS NULL")?
            .execute((damaged.id.as_bytes(), &damaged.reason))?;
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO damages (content, \"commit\", reason)
                 SELECT no, ?2, coalesce(nullif(?3, ''), 'damaged') FROM contents WHERE id = ?1",
            )?
            .execute((damaged.id.as_bytes(), self.commit, &damaged.reason))?;
        Ok(())
    }

    fn content_no(&mut self, id: ContentId) -> rusqlite::Result<Option<i64>> {
        if let Some((last, no)) = self.last
            && last == id
        {
            return Ok(Some(no));
        }
        self.tx
            .prepare_cached("SELECT no FROM contents WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()
    }

    pub(super) fn flag_set(&mut self, flags: &Flags) -> rusqlite::Result<i64> {
        if let Some(id) = self.flags.get(flags) {
            return Ok(*id);
        }
        let text = serde_json::to_string(flags).unwrap_or_default();
        self.tx
            .prepare_cached("INSERT OR IGNORE INTO flag_sets (flags) VALUES (?1)")?
            .execute([&text])?;
        let id = self
            .tx
            .prepare_cached("SELECT id FROM flag_sets WHERE flags = ?1")?
            .query_row([&text], |row| row.get(0))?;
        self.flags.insert(flags.clone(), id);
        Ok(id)
    }

    fn place(&mut self, p: &Placement) -> rusqlite::Result<()> {
        // A placement of a content nobody stored cannot come from us; the verifier reports it.
        let Some(content) = self.content_no(p.content)? else {
            return Ok(());
        };
        let flags = self.flag_set(&p.flags)?;
        let (uidvalidity, uid, uidl) = key(&p.remote);
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO placements
             (mailbox, uidvalidity, uid, uidl, content, flags, date, zone, size, healed, since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?;
        let values = params![
            p.mailbox.0,
            uidvalidity,
            uid,
            uidl,
            content,
            flags,
            p.date.map(|d| d.unix),
            p.date.map_or(0, |d| d.offset_minutes),
            p.size,
            p.evidence == Evidence::Healed,
            self.commit
        ];
        if insert.execute(values)? == 0 {
            let over_imap = matches!(p.remote, RemoteId::Imap { .. });
            if !(over_imap && self.confirmed(p, content, flags)?) {
                self.end_life(p.mailbox, &p.remote)?;
                insert.execute(values)?;
            }
        }
        if let RemoteId::Pop { uidl } = &p.remote {
            return self.pop_placed(p.mailbox, uidl);
        }
        // What was skipped before and is held now is no skip any more.
        self.tx
            .prepare_cached("DELETE FROM skips WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4")?
            .execute((p.mailbox.0, uidvalidity, uid, uidl))?;
        Ok(())
    }

    fn skip(&self, skip: &Skip) -> rusqlite::Result<()> {
        let (uidvalidity, uid, uidl) = skip.remote.as_ref().map_or((0, 0, ""), key);
        if skip.count == 0 {
            self.tx
                .prepare_cached(
                    "DELETE FROM skips WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4",
                )?
                .execute((skip.mailbox.0, uidvalidity, uid, uidl))?;
            return Ok(());
        }
        // Accepting is no try.
        self.tx
            .prepare_cached(
                "INSERT INTO skips (mailbox, uidvalidity, uid, uidl, reason, tries, first, last, accepted, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7, ?8)
                 ON CONFLICT (mailbox, uidvalidity, uid, uidl) DO UPDATE SET
                     reason = ?5, last = iif(?7 IS NULL, ?6, last), accepted = ?7, count = ?8,
                     tries = tries + (?7 IS NULL)",
            )?
            .execute(params![skip.mailbox.0, uidvalidity, uid, uidl, skip.reason, self.at, skip.accepted, skip.count])?;
        Ok(())
    }

    fn checkpoint(&self, c: &Checkpoint) -> rusqlite::Result<()> {
        self.tx
            .prepare_cached(
                "INSERT OR REPLACE INTO checkpoints (mailbox, uidvalidity, uidnext, messages, highestmodseq, excluded, listed_at, by_changes, fingerprint)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![c.mailbox.0, c.uidvalidity, c.uidnext, c.messages, c.highestmodseq, c.excluded, c.listed_at, c.by_changes, c.fingerprint])?;
        // Everything the mailbox was seen to hold is held: a message that was only counted has
        // turned up or gone, and one that was skipped and is not held has left. What a filter
        // excludes may be there still, and so may what was accepted, which counts as excluded;
        // under another UIDVALIDITY nothing is.
        self.tx
            .prepare_cached(
                "DELETE FROM skips WHERE mailbox = ?1 AND uidl = ''
                 AND ((uid = 0 AND (accepted IS NULL OR ?3 = 0))
                     OR (uid > 0 AND accepted IS NULL AND (uidvalidity <> ?2 OR ?3 = 0)))",
            )?
            .execute((c.mailbox.0, c.uidvalidity, c.excluded))?;
        Ok(())
    }

    fn seal(&self, seal: &Seal) -> rusqlite::Result<()> {
        stays_inside(&seal.segment)?;
        self.tx
            .prepare_cached(
                "INSERT INTO segments (path, last_frame, sealed, len) VALUES (?1, 0, 1, ?2)
                 ON CONFLICT (path) DO UPDATE SET sealed = 1, len = ?2",
            )?
            .execute((&seal.segment, seal.len))?;
        Ok(())
    }
}

/// Segments are opened, cut and removed by what the journal calls them: a name that leads out of
/// `mail/` is none. The empty one stands for nowhere.
fn stays_inside(segment: &str) -> rusqlite::Result<()> {
    let path = Path::new(segment);
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.components().all(inside) {
        Ok(())
    } else {
        Err(rusqlite::Error::InvalidPath(path.to_owned()))
    }
}

/// The columns of a remote id.
pub(super) fn key(remote: &RemoteId) -> (u32, u32, &str) {
    match remote {
        RemoteId::Imap { uidvalidity, uid } => (*uidvalidity, *uid, ""),
        RemoteId::Pop { uidl } => (0, 0, uidl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_lies_below_the_mail_and_nowhere_else() {
        for good in ["", "a", "me@x/INBOX/000001.mbox.zst", "a/..b/c"] {
            assert!(stays_inside(good).is_ok(), "{good}");
        }
        for bad in ["/etc/passwd", "..", "a/../../b", "../a", "./a"] {
            assert!(stays_inside(bad).is_err(), "{bad}");
        }
    }
}
