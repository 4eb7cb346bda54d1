//! The life of a content: where it came, what became of it there, and of its bytes.

use rusqlite::Row;

use super::remote;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, Evidence, Flags, InternalDate, MailboxId, RemoteId};

/// Something that happened to a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LifeEvent {
    /// The commit that says so.
    pub commit: u64,
    /// The run that made it. One that was broken off shares its number with the next.
    pub run: u32,
    /// When, in Unix seconds.
    pub at: i64,
    /// The mailbox, where it happened in one.
    pub mailbox: Option<MailboxId>,
    /// What happened.
    pub what: Happened,
}

/// What can happen to a content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happened {
    /// It was seen in a mailbox.
    Placed {
        /// Under this remote id.
        remote: RemoteId,
        /// With these flags.
        flags: Flags,
        /// INTERNALDATE.
        date: Option<InternalDate>,
        /// How sure that is.
        evidence: Evidence,
        /// It was there already and its bytes were fetched anew.
        again: bool,
    },
    /// Its flags changed.
    Flags {
        /// The message.
        remote: RemoteId,
        /// The flags it had.
        from: Flags,
        /// The flags it has since.
        to: Flags,
    },
    /// It was no longer in the mailbox.
    Left {
        /// The message.
        remote: RemoteId,
    },
    /// The mailbox has another UIDVALIDITY since, so this remote id means nothing any more.
    EpochEnded {
        /// The message.
        remote: RemoteId,
        /// The UIDVALIDITY that followed.
        uidvalidity: Option<u32>,
    },
    /// The mailbox had the UIDVALIDITY of this remote id again.
    EpochReturned {
        /// The message.
        remote: RemoteId,
    },
    /// POP3 called it by another UIDL.
    Renamed {
        /// The UIDL it had.
        from: String,
        /// The UIDL it has since.
        to: String,
        /// Matched by size and header digest; otherwise by its bytes.
        healed: bool,
    },
    /// mailstow deleted it from the server, on the user's order.
    Removed {
        /// The message.
        remote: RemoteId,
    },
    /// Its bytes were found lost.
    Damaged {
        /// What was found.
        reason: String,
    },
    /// Its bytes were stored again.
    StoredAgain,
    /// It was erased on a person's request.
    Forgotten {
        /// Why.
        reason: String,
    },
}

/// One life of one placement.
struct Life {
    mailbox: MailboxId,
    uidvalidity: u32,
    uid: u32,
    uidl: String,
    since: u64,
    /// 0 while it lasts.
    until: u64,
    content: i64,
    flags: Flags,
    date: Option<InternalDate>,
    healed: bool,
}

type Untimed = (u64, Option<MailboxId>, Happened);

impl Catalog {
    /// Everything that is known to have happened to a content, in order.
    ///
    /// # Errors
    /// SQLite's.
    pub fn life(&self, id: ContentId) -> Result<Vec<LifeEvent>, CatalogError> {
        let mut events = self.damage_of(id)?;
        events.extend(self.row(
            "SELECT forgotten_at, forgotten FROM contents WHERE id = ?1 AND forgotten IS NOT NULL",
            [id.as_bytes()],
            |row| {
                let reason = row.get(1)?;
                Ok((row.get(0)?, None, Happened::Forgotten { reason }))
            },
        )?);
        let lives = self.lives_of(id)?;
        for life in &lives {
            self.one_life(life, &mut events)?;
        }
        events.sort_by_key(|(commit, mailbox, _)| (*commit, *mailbox));
        let mut timed = Vec::with_capacity(events.len());
        for (commit, mailbox, what) in events {
            let sql = "SELECT run, at FROM commits WHERE n = ?1";
            let (run, at) = self
                .row(sql, [commit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .unwrap_or_default();
            timed.push(LifeEvent {
                commit,
                run,
                at,
                mailbox,
                what,
            });
        }
        Ok(timed)
    }

    fn damage_of(&self, id: ContentId) -> Result<Vec<Untimed>, CatalogError> {
        self.rows(
            "SELECT d.\"commit\", d.reason FROM damages d JOIN contents c ON c.no = d.content
             WHERE c.id = ?1 ORDER BY d.\"commit\"",
            [id.as_bytes()],
            |row| {
                let reason: String = row.get(1)?;
                let what = if reason.is_empty() {
                    Happened::StoredAgain
                } else {
                    Happened::Damaged { reason }
                };
                Ok((row.get(0)?, None, what))
            },
        )
    }

    fn lives_of(&self, id: ContentId) -> Result<Vec<Life>, CatalogError> {
        self.rows(
            "SELECT p.mailbox, p.uidvalidity, p.uid, p.uidl, p.since, p.until, p.content, f.flags, p.date, p.zone, p.healed
             FROM (SELECT mailbox, uidvalidity, uid, uidl, since, gone AS until, content, flags, date, zone, healed FROM placements
                   WHERE content = (SELECT no FROM contents WHERE id = ?1)
                   UNION ALL
                   SELECT mailbox, uidvalidity, uid, uidl, since, until, content, flags, date, zone, healed FROM lives
                   WHERE content = (SELECT no FROM contents WHERE id = ?1)) p
             JOIN flag_sets f ON f.id = p.flags ORDER BY p.since, p.mailbox, p.uidvalidity, p.uid, p.uidl",
            [id.as_bytes()],
            life,
        )
    }

    fn one_life(&self, life: &Life, events: &mut Vec<Untimed>) -> Result<(), CatalogError> {
        let end = if life.until == 0 {
            u64::MAX
        } else {
            life.until
        };
        let in_mailbox = Some(life.mailbox);
        let key = (life.mailbox.0, life.uidvalidity, life.uid, &life.uidl);

        let changes = self.flag_changes(life, end)?;
        let renames = self.renames_of(life, end)?;
        let first = renames.first().map_or(&life.uidl, |(_, from, ..)| from);
        let remote_then = remote(life.uidvalidity, life.uid, first.clone());
        let remote_now = remote(life.uidvalidity, life.uid, life.uidl.clone());
        // It was there until the very commit, and was not gone: its bytes came anew.
        let before =
            "SELECT 1 FROM lives WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4
                      AND until = ?5 AND content = ?6";
        let (mailbox, uidvalidity, uid, uidl) = key;
        let values = (mailbox, uidvalidity, uid, uidl, life.since, life.content);
        let again = self.row(before, values, |_| Ok(()))?.is_some();
        events.push((
            life.since,
            in_mailbox,
            Happened::Placed {
                remote: remote_then,
                flags: changes
                    .first()
                    .map_or(&life.flags, |(_, from)| from)
                    .clone(),
                date: life.date,
                evidence: if life.healed {
                    Evidence::Healed
                } else {
                    Evidence::Bytes
                },
                again,
            },
        ));
        let next = changes
            .iter()
            .skip(1)
            .map(|(_, flags)| flags)
            .chain([&life.flags]);
        for ((at, from), to) in changes.iter().zip(next) {
            let what = Happened::Flags {
                remote: remote_now.clone(),
                from: from.clone(),
                to: to.clone(),
            };
            events.push((*at, in_mailbox, what));
        }
        for (at, from, to, healed) in renames {
            events.push((at, in_mailbox, Happened::Renamed { from, to, healed }));
        }
        self.epochs_of(life, end, &remote_now, events)?;
        self.removals_of(life, end, &remote_now, events)?;
        if life.until != 0 {
            let after = "SELECT 1 FROM placements WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4
                         AND since = ?5 AND content = ?6
                         UNION ALL SELECT 1 FROM lives WHERE mailbox = ?1 AND uidvalidity = ?2 AND uid = ?3 AND uidl = ?4
                         AND since = ?5 AND content = ?6";
            let values = (mailbox, uidvalidity, uid, uidl, life.until, life.content);
            if self.row(after, values, |_| Ok(()))?.is_none() {
                let remote = remote_now;
                events.push((life.until, in_mailbox, Happened::Left { remote }));
            }
        }
        Ok(())
    }

    /// The changes of flags in a life: when, and the flags until then.
    fn flag_changes(&self, life: &Life, end: u64) -> Result<Vec<(u64, Flags)>, CatalogError> {
        if !life.uidl.is_empty() {
            return Ok(Vec::new());
        }
        let end = end.min(super::NOW);
        self.rows(
            "SELECT e.until, f.flags FROM earlier_flags e JOIN flag_sets f ON f.id = e.flags
             WHERE e.mailbox = ?1 AND e.uidvalidity = ?2 AND e.uid = ?3 AND e.until > ?4 AND e.until <= ?5 ORDER BY e.until",
            (life.mailbox.0, life.uidvalidity, life.uid, life.since, end),
            |row| {
                let flags: String = row.get(1)?;
                Ok((row.get(0)?, serde_json::from_str(&flags).unwrap_or_default()))
            },
        )
    }

    /// How the UIDL of a life came to be, the oldest rename first.
    fn renames_of(
        &self,
        life: &Life,
        end: u64,
    ) -> Result<Vec<(u64, String, String, bool)>, CatalogError> {
        if life.uidl.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<(u64, String, String, bool)> = self.rows(
            "SELECT \"commit\", \"from\", \"to\", healed FROM renames WHERE mailbox = ?1 AND \"commit\" > ?2 ORDER BY no DESC",
            (life.mailbox.0, life.since),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let mut name = life.uidl.clone();
        let mut own = Vec::new();
        for rename in all.into_iter().filter(|(at, ..)| *at <= end) {
            if rename.2 == name {
                name.clone_from(&rename.1);
                own.push(rename);
            }
        }
        own.reverse();
        Ok(own)
    }

    fn epochs_of(
        &self,
        life: &Life,
        end: u64,
        remote: &RemoteId,
        events: &mut Vec<Untimed>,
    ) -> Result<(), CatalogError> {
        if !life.uidl.is_empty() || life.uidvalidity == 0 {
            return Ok(());
        }
        let states: Vec<(u64, Option<u32>)> = self.rows(
            "SELECT began, uidvalidity FROM mailbox_states WHERE mailbox = ?1 ORDER BY began",
            [life.mailbox.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let is_this = |uidvalidity: Option<u32>| uidvalidity.is_none_or(|v| v == life.uidvalidity);
        let (before, after): (Vec<_>, Vec<_>) = states
            .into_iter()
            .filter(|(began, _)| *began < end)
            .partition(|(began, _)| *began <= life.since);
        // A salvaged placement may be of an epoch that had ended before.
        let first = before.last().filter(|(_, v)| !is_this(*v));
        let mut current = first.is_none();
        let mut push = |at, returned: bool, uidvalidity| {
            let remote = remote.clone();
            let what = if returned {
                Happened::EpochReturned { remote }
            } else {
                Happened::EpochEnded {
                    remote,
                    uidvalidity,
                }
            };
            events.push((at, Some(life.mailbox), what));
        };
        if let Some((_, uidvalidity)) = first {
            push(life.since, false, *uidvalidity);
        }
        for (began, uidvalidity) in after {
            if is_this(uidvalidity) != current {
                current = !current;
                push(began, current, uidvalidity);
            }
        }
        Ok(())
    }

    fn removals_of(
        &self,
        life: &Life,
        end: u64,
        remote: &RemoteId,
        events: &mut Vec<Untimed>,
    ) -> Result<(), CatalogError> {
        if life.uidl.is_empty() {
            return Ok(());
        }
        // They stand with the mailbox that stands for the maildrop.
        let found: Vec<u64> = self.rows(
            "SELECT r.\"commit\" FROM removals r JOIN mailboxes m ON m.id = r.mailbox
             WHERE r.uidl = ?2 AND r.\"commit\" > ?3
             AND m.account = (SELECT account FROM mailboxes WHERE id = ?1)",
            (life.mailbox.0, &life.uidl, life.since),
            |row| row.get(0),
        )?;
        for at in found.into_iter().filter(|at| *at <= end) {
            let remote = remote.clone();
            events.push((at, Some(life.mailbox), Happened::Removed { remote }));
        }
        Ok(())
    }
}

fn life(row: &Row<'_>) -> rusqlite::Result<Life> {
    let flags: String = row.get(7)?;
    let zone: i16 = row.get(9)?;
    Ok(Life {
        mailbox: MailboxId(row.get(0)?),
        uidvalidity: row.get(1)?,
        uid: row.get(2)?,
        uidl: row.get(3)?,
        since: row.get(4)?,
        until: row.get(5)?,
        content: row.get(6)?,
        flags: serde_json::from_str(&flags).unwrap_or_default(),
        date: row.get::<_, Option<i64>>(8)?.map(|unix| InternalDate {
            unix,
            offset_minutes: zone,
        }),
        healed: row.get(10)?,
    })
}
