//! What was where at the end of a commit.
//!
//! A row of `placements` or `lives` is one life of a placement. At the end of a commit the one
//! that counts is the last that had begun; it is there unless it had ended, or its mailbox had
//! another epoch by then.

use super::messages::placement;
use super::{MailboxTotals, PlacementRow};
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, MailboxId, RemoteId};

/// Behind every commit.
pub const NOW: u64 = i64::MAX.cast_unsigned();

/// The lives that count at the end of commit ?1.
const LIVES: &str = "WITH life AS (
    SELECT x.mailbox, x.uidvalidity, x.uid, x.uidl, x.content, x.flags, x.date, x.zone, x.size, x.healed, x.gone AS until
    FROM placements x WHERE x.since <= ?1 AND {only}
    UNION ALL
    SELECT x.mailbox, x.uidvalidity, x.uid, x.uidl, x.content, x.flags, x.date, x.zone, x.size, x.healed, x.until
    FROM lives x WHERE x.since <= ?1 AND {only}
    AND NOT EXISTS (SELECT 1 FROM placements n WHERE n.mailbox = x.mailbox AND n.uidvalidity = x.uidvalidity
                    AND n.uid = x.uid AND n.uidl = x.uidl AND n.since <= ?1)
    AND NOT EXISTS (SELECT 1 FROM lives n WHERE n.mailbox = x.mailbox AND n.uidvalidity = x.uidvalidity
                    AND n.uid = x.uid AND n.uidl = x.uidl AND n.since > x.since AND n.since <= ?1))";

/// Whether a life had neither ended nor its epoch been followed by another.
const THERE: &str =
    "((p.until = 0 OR p.until > ?1) AND (p.uidl <> '' OR p.uidvalidity IN (0, coalesce(
    (SELECT t.uidvalidity FROM mailbox_states t WHERE t.mailbox = p.mailbox AND t.began <= ?1
     ORDER BY t.began DESC LIMIT 1), p.uidvalidity))))";

const ROWS: &str =
    "FROM life p JOIN contents c ON c.no = p.content JOIN segments s ON s.id = c.segment";

/// Flags that changed later in the same life were others at the time.
const FLAGS: &str = "JOIN flag_sets f ON f.id = coalesce(
    (SELECT e.flags FROM earlier_flags e WHERE p.uidl = '' AND e.mailbox = p.mailbox AND e.uidvalidity = p.uidvalidity
     AND e.uid = p.uid AND e.until > ?1 AND (p.until = 0 OR e.until <= p.until) ORDER BY e.until LIMIT 1), p.flags)";

/// As `super::SHOWN`, at the time.
const SHOWN: &str = "(p.uidl = '' OR NOT (
    EXISTS (SELECT 1 FROM placements o JOIN mailboxes om ON om.id = o.mailbox
            WHERE o.content = p.content AND o.uidl = '' AND o.since <= ?1
            AND om.account = (SELECT account FROM mailboxes WHERE id = p.mailbox))
    OR EXISTS (SELECT 1 FROM lives o JOIN mailboxes om ON om.id = o.mailbox
               WHERE o.content = p.content AND o.uidl = '' AND o.since <= ?1
               AND om.account = (SELECT account FROM mailboxes WHERE id = p.mailbox))))";

/// Messages by what the catalog knows of them. One without a date is not left out by date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Within {
    /// INTERNALDATE at this Unix time or later.
    pub since: Option<i64>,
    /// INTERNALDATE before this Unix time.
    pub before: Option<i64>,
    /// More bytes than this.
    pub larger: Option<u64>,
    /// Fewer bytes than this.
    pub smaller: Option<u64>,
}

const WITHIN: &str =
    "(p.date IS NULL OR ((?4 IS NULL OR p.date >= ?4) AND (?5 IS NULL OR p.date < ?5)))
    AND (?6 IS NULL OR c.len > ?6) AND (?7 IS NULL OR c.len < ?7)";

/// A content that may be what somebody looks for. In order they lie as in the archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    segment: i64,
    frame: u64,
    pos: u64,
    /// The catalog's number of the content.
    pub content: i64,
}

fn lives(only: &str) -> String {
    LIVES.replace("{only}", only)
}

fn columns() -> String {
    format!(
        "p.mailbox, p.uidvalidity, p.uid, p.uidl, f.flags, p.date, p.zone, p.healed, NOT {THERE},
         c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size, c.damaged, p.size, c.forgotten {ROWS} {FLAGS}"
    )
}

impl Catalog {
    /// Hands the placements of a mailbox that a person saw at the end of a commit to `each`, by
    /// date: those that were present, or all there had ever been.
    ///
    /// # Errors
    /// SQLite's; likewise below.
    pub fn shown_at(
        &self,
        mailbox: MailboxId,
        commit: u64,
        gone_too: bool,
        within: &Within,
        mut each: impl FnMut(PlacementRow),
    ) -> Result<(), CatalogError> {
        let names = self.names_at(mailbox, commit)?;
        let sql = format!(
            "{} SELECT {} WHERE (?3 OR {THERE}) AND {SHOWN} AND {WITHIN} ORDER BY p.date, p.uidvalidity, p.uid, p.uidl",
            lives("x.mailbox = ?2"),
            columns()
        );
        let mut query = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(&sql)?;
            let mut rows = statement.query((
                commit,
                mailbox.0,
                gone_too,
                within.since,
                within.before,
                within.larger,
                within.smaller,
            ))?;
            while let Some(row) = rows.next()? {
                let mut row = placement(row)?;
                names.restore(&mut row.remote);
                each(row);
            }
            Ok(())
        };
        query().map_err(|e| self.error(e))
    }

    /// The contents of what [`shown_at`](Self::shown_at) hands out, in no order, each once per
    /// placement, without those that were forgotten.
    ///
    /// # Errors
    /// SQLite's.
    pub fn candidates(
        &self,
        mailbox: MailboxId,
        commit: u64,
        gone_too: bool,
        within: &Within,
    ) -> Result<Vec<Candidate>, CatalogError> {
        let sql = format!(
            "{} SELECT c.segment, c.frame, c.pos, c.no {ROWS}
             WHERE (?3 OR {THERE}) AND {SHOWN} AND {WITHIN} AND c.forgotten IS NULL",
            lives("x.mailbox = ?2"),
        );
        let values = (
            commit,
            mailbox.0,
            gone_too,
            within.since,
            within.before,
            within.larger,
            within.smaller,
        );
        self.rows(&sql, values, |row| {
            Ok(Candidate {
                segment: row.get(0)?,
                frame: row.get(1)?,
                pos: row.get(2)?,
                content: row.get(3)?,
            })
        })
    }

    /// All contents that were not forgotten, placed or not, damaged or not.
    ///
    /// # Errors
    /// SQLite's.
    pub fn all_candidates(&self) -> Result<Vec<Candidate>, CatalogError> {
        let sql = "SELECT segment, frame, pos, no FROM contents WHERE forgotten IS NULL";
        self.rows(sql, [], |row| {
            Ok(Candidate {
                segment: row.get(0)?,
                frame: row.get(1)?,
                pos: row.get(2)?,
                content: row.get(3)?,
            })
        })
    }

    /// What a mailbox held at the end of a commit. Of skips nothing is known but the last.
    ///
    /// # Errors
    /// SQLite's.
    pub fn totals_at(
        &self,
        mailbox: MailboxId,
        commit: u64,
    ) -> Result<MailboxTotals, CatalogError> {
        let sql = format!(
            "{} SELECT count(*) FILTER (WHERE {THERE}), coalesce(sum(c.len) FILTER (WHERE {THERE}), 0),
             count(*) FILTER (WHERE NOT {THERE}) {ROWS} WHERE {SHOWN}",
            lives("x.mailbox = ?2"),
        );
        let totals = self.row(&sql, (commit, mailbox.0), |row| {
            Ok(MailboxTotals {
                present: row.get(0)?,
                bytes: row.get(1)?,
                gone: row.get(2)?,
                skipped: 0,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    /// The placements of a content in a mailbox as they were at the end of a commit, those that
    /// had left as well.
    ///
    /// # Errors
    /// SQLite's.
    pub fn placements_at(
        &self,
        id: ContentId,
        mailbox: MailboxId,
        commit: u64,
    ) -> Result<Vec<PlacementRow>, CatalogError> {
        let names = self.names_at(mailbox, commit)?;
        let sql = format!(
            "{} SELECT {} ORDER BY p.uidvalidity, p.uid, p.uidl",
            // The plus: few placements have the content, many lie in the mailbox.
            lives("+x.mailbox = ?2 AND x.content = (SELECT no FROM contents WHERE id = ?3)"),
            columns()
        );
        let mut rows = self.rows(&sql, (commit, mailbox.0, id.as_bytes()), placement)?;
        for row in &mut rows {
            names.restore(&mut row.remote);
        }
        Ok(rows)
    }

    /// The UIDLs that messages of a mailbox have got since a commit.
    fn names_at(&self, mailbox: MailboxId, commit: u64) -> Result<Names, CatalogError> {
        let renames = self.rows(
            "SELECT \"from\", \"to\" FROM renames WHERE mailbox = ?1 AND \"commit\" > ?2 ORDER BY no DESC",
            (mailbox.0, commit),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(Names::new(renames))
    }
}

/// UIDLs of today and what they were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names(std::collections::HashMap<String, String>);

impl Names {
    /// From renames, the newest first.
    fn new(renames: Vec<(String, String)>) -> Self {
        // By the name at the time; it goes back one rename after the other.
        let mut now = std::collections::HashMap::new();
        for (from, to) in renames {
            let today = now.remove(&to).unwrap_or(to);
            now.insert(from, today);
        }
        Self(now.into_iter().map(|(then, now)| (now, then)).collect())
    }

    fn restore(&self, remote: &mut RemoteId) {
        if let RemoteId::Pop { uidl } = remote
            && let Some(then) = self.0.get(uidl)
        {
            uidl.clone_from(then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_back_one_rename_after_the_other() {
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        // b took the name of a, then c that of b, and a is d by now.
        let names = Names::new(vec![pair("c", "b"), pair("b", "a"), pair("a", "d")]);
        let then = |now: &str| {
            let mut remote = RemoteId::Pop { uidl: now.into() };
            names.restore(&mut remote);
            remote.to_string()
        };
        assert_eq!(
            (then("d"), then("a"), then("b")),
            ("a".into(), "b".into(), "c".into())
        );
        assert_eq!(then("x"), "x");
    }
}
