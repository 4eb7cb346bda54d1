//! Points in the history of an archive: the ends of runs.

use std::collections::BTreeMap;

use super::NOW;
use super::mailboxes::mailbox;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{AccountId, JobState, Mailbox, RunReport};

/// The end of a run, as a point in the history of its account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The run.
    pub run: RunReport,
    /// The commit it ended with. What came with a later one was not there.
    pub commit: u64,
}

/// For every account that had one by some time, the end of its last complete run until then.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AsOf(BTreeMap<AccountId, Moment>);

impl AsOf {
    /// The end of the last complete run of each account that ended at or before `unix` seconds.
    ///
    /// Complete is a run that went through all it had planned: exit 0; and, if it ended its job, 3,
    /// where messages or mailboxes were skipped and all others looked at, and 7, where mail was
    /// found damaged. A run that was interrupted, that stopped at a limit, or that lost its server,
    /// is none.
    ///
    /// # Errors
    /// SQLite's.
    pub fn find(
        catalog: &Catalog,
        account: Option<AccountId>,
        unix: i64,
    ) -> Result<Self, CatalogError> {
        let mut found = BTreeMap::new();
        for moment in catalog.moments()? {
            let in_time = crate::clock::parse_rfc3339(&moment.run.ended).is_some_and(|e| e <= unix);
            if in_time && account.is_none_or(|a| a == moment.run.account) {
                found.insert(moment.run.account, moment);
            }
        }
        Ok(Self(found))
    }

    /// No account had a complete run by then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The accounts with their runs.
    pub fn moments(&self) -> impl Iterator<Item = &Moment> {
        self.0.values()
    }

    /// The commit that counts for an account; `None` where it had no complete run by then.
    #[must_use]
    pub fn commit(&self, account: AccountId) -> Option<u64> {
        self.0.get(&account).map(|moment| moment.commit)
    }
}

impl Catalog {
    /// The ends of all complete runs whose history this archive has, by number.
    ///
    /// # Errors
    /// SQLite's.
    pub fn moments(&self) -> Result<Vec<Moment>, CatalogError> {
        let rows = self.rows(
            "SELECT record, \"commit\" FROM runs ORDER BY id",
            [],
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<u64>>(1)?)),
        )?;
        let runs: Vec<(RunReport, Option<u64>)> = rows
            .into_iter()
            .filter_map(|(text, commit)| Some((serde_json::from_str(&text).ok()?, commit)))
            .collect();
        let jobs: BTreeMap<u32, JobState> =
            self.jobs()?.into_iter().map(|j| (j.id, j.state)).collect();
        let last_of_job: BTreeMap<u32, u32> = runs
            .iter()
            .filter_map(|(run, _)| Some((run.job?, run.id)))
            .collect();
        let ended_its_job = |run: &RunReport| {
            run.job.is_none_or(|job| {
                jobs.get(&job) == Some(&JobState::Done) && last_of_job.get(&job) == Some(&run.id)
            })
        };
        Ok(runs
            .iter()
            .filter(|(run, _)| match run.exit {
                0 => true,
                3 | 7 => ended_its_job(run),
                _ => false,
            })
            .filter_map(|(run, commit)| {
                Some(Moment {
                    run: run.clone(),
                    commit: (*commit)?,
                })
            })
            .collect())
    }

    /// The mailboxes of an account, each with the commit at whose end it is to be looked at: as
    /// they were, or as they are. There are none where the account had no complete run by then.
    ///
    /// # Errors
    /// SQLite's.
    pub fn mailboxes_as_of(
        &self,
        account: AccountId,
        as_of: Option<&AsOf>,
    ) -> Result<Vec<(Mailbox, u64)>, CatalogError> {
        let (mailboxes, commit) = match as_of {
            None => (self.mailboxes(Some(account))?, NOW),
            Some(as_of) => match as_of.commit(account) {
                Some(commit) => (self.mailboxes_at(account, commit)?, commit),
                None => return Ok(Vec::new()),
            },
        };
        Ok(mailboxes.into_iter().map(|m| (m, commit)).collect())
    }

    /// The mailboxes of an account that were known at the end of a commit, with the names and
    /// UIDVALIDITYs they had.
    ///
    /// # Errors
    /// SQLite's.
    pub fn mailboxes_at(
        &self,
        account: AccountId,
        commit: u64,
    ) -> Result<Vec<Mailbox>, CatalogError> {
        self.rows(
            "SELECT m.id, m.account, t.name, t.wire, m.separator, m.folder, t.uidvalidity, m.special_use, m.subscribed
             FROM mailboxes m JOIN mailbox_states t ON t.mailbox = m.id
             WHERE m.account = ?1 AND t.began = (
                 SELECT max(l.began) FROM mailbox_states l WHERE l.mailbox = m.id AND l.began <= ?2)
             ORDER BY t.name <> 'INBOX', t.name, m.id",
            (account.0, commit),
            mailbox,
        )
    }
}
