//! Up to where a mailbox is known, so that only what changed since has to be looked at.

use std::collections::HashMap;

use crate::backup::FlagPolicy;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Checkpoint, Job, JobMailbox, MailboxId, Selection, UidSet};

/// Flags are looked at again after this many seconds: a week, less half a day for a timer that
/// is not punctual.
const FLAGS_LAST: i64 = 7 * 86_400 - 43_200;

/// What was concluded from changes is proven by a listing after this many seconds: 30 days, and up
/// to a week more, so that not all mailboxes are listed in one night.
const PROVEN_LASTS: i64 = 30 * DAY;
const DAY: i64 = 86_400;

/// What decides how a mailbox is looked at, the same for all mailboxes of a run.
pub(super) struct Eye<'a> {
    pub(super) selection: &'a Selection,
    pub(super) fingerprint: String,
    pub(super) flags: FlagPolicy,
    /// Unix seconds.
    pub(super) now: i64,
    /// The interrupted job that goes on.
    pub(super) job: Option<&'a Job>,
    /// Healed messages that are to be fetched in this run, by mailbox and UIDVALIDITY.
    pub(super) prove: HashMap<(MailboxId, u32), UidSet>,
}

/// A state of a mailbox that is held in full, `wanted` aside.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    pub(super) uidvalidity: u32,
    pub(super) uidnext: u32,
    /// `None` where there are no mod-sequences.
    pub(super) highestmodseq: Option<u64>,
    /// Messages a filter excluded.
    pub(super) excluded: u32,
    /// When it was last listed in full.
    pub(super) listed_at: Option<i64>,
    /// Messages below `uidnext` that are looked at all the same: planned and not fetched yet,
    /// skipped, lost, or healed and to be proven.
    pub(super) wanted: UidSet,
    /// Messages below `uidnext` that are held and have not left, `wanted` aside.
    pub(super) known: u64,
    /// It is that of an interrupted job.
    pub(super) goes_on: bool,
}

impl Eye<'_> {
    /// The checkpoint under which a mailbox can be left alone without EXAMINE.
    pub(super) fn unchanged(
        &self,
        catalog: &Catalog,
        id: MailboxId,
        status: &crate::model::MailboxStatus,
    ) -> Result<Option<Checkpoint>, CatalogError> {
        if self.flags == FlagPolicy::Always {
            return Ok(None);
        }
        let checkpoint = catalog
            .checkpoint(id)?
            .filter(|c| c.stands_still(status, &self.fingerprint))
            .filter(|c| !self.prove.contains_key(&(id, c.uidvalidity)))
            .filter(|c| !c.by_changes || self.is_proven(id, c.listed_at));
        // An open skip is tried again, and a lost content fetched again, however still it stands.
        let settled =
            checkpoint.is_some() && catalog.open_skips(id)? == 0 && !catalog.has_damage(id)?;
        Ok(checkpoint.filter(|_| settled))
    }

    /// From where a mailbox is to be looked at; `None` where all of it is.
    pub(super) fn base(
        &self,
        catalog: &Catalog,
        id: MailboxId,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<Base>, CatalogError> {
        let checkpoint = checkpoint.filter(|c| c.fingerprint == self.fingerprint);
        let planned = self
            .job
            .and_then(|job| job.mailboxes.iter().find(|m| m.mailbox == id));
        let Some(mut base) = newer(checkpoint, planned) else {
            return Ok(None);
        };
        // UIDVALIDITY 0 and 1 identify nothing (Zoho answers 1 for every mailbox): where no
        // mod-sequence tells of a UID that was given to another message, all are looked at.
        let blind = match base.highestmodseq {
            None => base.uidvalidity == 1 || self.flags_due(base.listed_at),
            Some(_) => !self.is_proven(id, base.listed_at),
        };
        if base.uidvalidity == 0 || self.flags == FlagPolicy::Always || blind {
            return Ok(None);
        }
        let v = base.uidvalidity;
        let planned = std::mem::take(&mut base.wanted);
        let unheld = planned.difference(&catalog.present_among(id, v, &planned)?);
        // What was accepted as lost counts as excluded.
        let accepted = catalog.skipped_uids(id, v, true)?;
        let again = self.prove.get(&(id, v)).cloned().unwrap_or_default();
        base.wanted = unheld
            .union(&catalog.skipped_uids(id, v, false)?)
            .union(&catalog.damaged_uids(id, v)?)
            .union(&again)
            .difference(&accepted)
            .intersection(&UidSet::below(base.uidnext));
        let elsewhere = base.wanted.union(&accepted);
        let elsewhere = elsewhere.intersection(&UidSet::below(base.uidnext));
        let elsewhere = catalog.present_among(id, v, &elsewhere)?.len();
        let present = catalog.count_present(id, v, base.uidnext)?;
        let Some(known) = present.checked_sub(elsewhere) else {
            return Ok(None);
        };
        base.known = known;
        Ok(Some(base))
    }

    fn flags_due(&self, looked_at: Option<i64>) -> bool {
        match self.flags {
            FlagPolicy::Never => false,
            FlagPolicy::Always => true,
            FlagPolicy::Weekly => !self.is_within(looked_at, FLAGS_LAST),
        }
    }

    fn is_proven(&self, id: MailboxId, listed_at: Option<i64>) -> bool {
        self.is_within(listed_at, PROVEN_LASTS + i64::from(id.0 % 7) * DAY)
    }

    /// Whether a time lies within so many seconds before now; one in the future does not.
    fn is_within(&self, time: Option<i64>, seconds: i64) -> bool {
        time.is_some_and(|at| (0..seconds).contains(&(self.now - at)))
    }
}

/// The newer of two states. A job that was interrupted later than a checkpoint was made knows
/// what was to be fetched.
fn newer(checkpoint: Option<&Checkpoint>, planned: Option<&JobMailbox>) -> Option<Base> {
    let of_checkpoint = checkpoint.map(|c| Base {
        uidvalidity: c.uidvalidity,
        uidnext: c.uidnext,
        highestmodseq: c.highestmodseq,
        excluded: c.excluded,
        listed_at: c.listed_at,
        ..Base::default()
    });
    let of_job = planned.and_then(|p| {
        Some(Base {
            uidvalidity: p.uidvalidity,
            uidnext: p.uidnext?,
            highestmodseq: p.highestmodseq,
            excluded: p.excluded,
            listed_at: p.listed_at,
            wanted: p.fetch.clone(),
            goes_on: true,
            ..Base::default()
        })
    });
    let age = |b: &Base| (b.uidnext, b.highestmodseq);
    match (of_checkpoint, of_job) {
        (Some(c), Some(j)) if c.uidvalidity != j.uidvalidity || age(&c) < age(&j) => Some(j),
        (Some(c), _) => Some(c),
        (None, job) => job,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(uidnext: u32, modseq: u64) -> Checkpoint {
        Checkpoint {
            mailbox: MailboxId(1),
            uidvalidity: 7,
            uidnext,
            messages: 3,
            highestmodseq: Some(modseq),
            excluded: 1,
            listed_at: None,
            by_changes: false,
            fingerprint: String::new(),
        }
    }

    fn planned(uidvalidity: u32, uidnext: Option<u32>, modseq: u64) -> JobMailbox {
        JobMailbox {
            mailbox: MailboxId(1),
            uidvalidity,
            exists: 3,
            uidnext,
            highestmodseq: Some(modseq),
            listed_at: None,
            fetch: [4, 5].into_iter().collect(),
            bytes: 0,
            held: 0,
            excluded: 2,
            messages: 0,
            came_before: 0,
        }
    }

    #[test]
    fn the_newer_of_checkpoint_and_job_counts() {
        let goes_on = |c: Option<Checkpoint>, j: Option<JobMailbox>| {
            newer(c.as_ref(), j.as_ref()).map(|base| base.goes_on)
        };
        assert_eq!(goes_on(None, None), None);
        assert_eq!(goes_on(Some(checkpoint(5, 9)), None), Some(false));
        assert_eq!(goes_on(None, Some(planned(7, Some(5), 9))), Some(true));
        // A job that was only planned, or had no UIDNEXT, is no state to go on from.
        assert_eq!(goes_on(None, Some(planned(7, None, 9))), None);
        let two = |u, m, j| goes_on(Some(checkpoint(u, m)), Some(j));
        assert_eq!(two(5, 9, planned(7, Some(6), 9)), Some(true));
        assert_eq!(two(5, 9, planned(7, Some(5), 10)), Some(true));
        assert_eq!(two(5, 9, planned(7, Some(5), 9)), Some(false));
        assert_eq!(two(6, 9, planned(7, Some(5), 10)), Some(false));
        assert_eq!(two(6, 9, planned(8, Some(5), 1)), Some(true));
    }
}
