//! The arithmetic of a maildrop over all sessions of a run.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::plan::Why;
use crate::model::{Judged, MailboxId, Renamed, Tally, Verdict};
use crate::report::{MailboxReport, SkippedMessage};

/// The name of a maildrop in a report.
pub(super) const MAILDROP: &str = "maildrop";

/// Where the messages of a maildrop went.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// UIDLs that were counted.
    seen: HashSet<String>,
    exists: u32,
    /// Those of them that have no name of their own.
    nameless: u32,
    held: u32,
    left: u32,
    excluded: BTreeMap<Why, u32>,
    /// Judged by a header and not fetched: by verdict and evidence.
    judged: HashMap<(Verdict, Option<String>), Vec<String>>,
    /// Called by another UIDL than before, as headers showed.
    pub(super) renamed: Vec<Renamed>,
    /// Messages that could not be archived, with their UIDL if they have one.
    pub(super) skipped: Vec<(Option<String>, String)>,
    /// Messages that were skipped before and not tried again, with the reason of then.
    pub(super) untried: Vec<(Option<String>, String)>,
    /// Messages that were fetched before in this run, and nothing but their bytes could tell.
    pub(super) again: u32,
    /// Messages shorter than LIST said.
    pub(super) short: u32,
    /// Headers that were looked at for spam, and those with a verdict.
    pub(super) judgements: u32,
    pub(super) verdicts: u32,
}

impl Books {
    /// A message is there; whether its UIDL was counted before.
    pub(super) fn see(&mut self, uidl: Option<&str>) -> bool {
        if let Some(uidl) = uidl
            && !self.seen.insert(uidl.to_owned())
        {
            return true;
        }
        self.nameless += u32::from(uidl.is_none());
        self.exists += 1;
        false
    }

    /// A later session lists so many messages without a name of their own, `became` of which had
    /// one before. Of those that are not wanted still, `fetched`, all that were counted before are
    /// fetched again.
    pub(super) fn see_nameless(&mut self, listed: u32, became: u32, fetched: u32) {
        let new = listed.saturating_sub(self.nameless + became).min(fetched);
        self.exists += new;
        self.nameless = self.nameless.max(listed);
        self.again += fetched - new;
    }

    /// It is not counted after all.
    pub(super) fn unsee(&mut self, uidl: &str) {
        if self.seen.remove(uidl) {
            self.exists -= 1;
        }
    }

    /// What is not known to be spam is not known to be none either: nothing is kept of it.
    pub(super) fn forget_clean(&mut self) {
        self.judged
            .retain(|(verdict, _), _| *verdict != Verdict::Clean);
    }

    /// Whether a UIDL was listed in this run.
    pub(super) fn has_seen(&self, uidl: &str) -> bool {
        self.seen.contains(uidl)
    }

    /// UIDLs that were listed in this run.
    pub(super) fn seen(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(String::as_str)
    }

    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    pub(super) fn leave(&mut self) {
        self.left += 1;
    }

    pub(super) fn exclude(&mut self, why: Why) {
        *self.excluded.entry(why).or_default() += 1;
    }

    /// Excluded by its header, which is kept by UIDL: it is not looked at again.
    pub(super) fn judge(&mut self, why: Why, uidl: Option<&str>, evidence: Option<String>) {
        self.exclude(why);
        let (verdict, evidence) = match why {
            Why::Before => (Verdict::Before, None),
            Why::Spam => (Verdict::Spam, evidence),
            Why::NotSpam => (Verdict::Clean, None),
            Why::TooLarge | Why::Accepted => return,
        };
        if let Some(uidl) = uidl {
            let judged = self.judged.entry((verdict, evidence)).or_default();
            judged.push(uidl.to_owned());
        }
    }

    /// The records of what was judged since the last call.
    pub(super) fn take_judged(&mut self, mailbox: MailboxId) -> Vec<Judged> {
        let mut judged: Vec<Judged> = std::mem::take(&mut self.judged)
            .into_iter()
            .map(|((verdict, evidence), uidls)| Judged {
                mailbox,
                verdict,
                evidence,
                uidls,
            })
            .collect();
        judged.sort_by(|a, b| (&a.evidence, &a.uidls).cmp(&(&b.evidence, &b.uidls)));
        judged
    }

    /// The messages that are not there, for a report.
    pub(super) fn skipped_messages(&self) -> Vec<SkippedMessage> {
        let tried = self.skipped.iter().map(|skip| (skip, false));
        let untried = self.untried.iter().map(|skip| (skip, true));
        tried
            .chain(untried)
            .map(|((uidl, reason), untried)| SkippedMessage {
                mailbox: MAILDROP.to_owned(),
                remote: uidl.clone().unwrap_or_else(|| "?".to_owned()),
                reason: reason.clone(),
                untried,
            })
            .collect()
    }

    /// The row of a report, without what was stored and linked.
    pub(super) fn report(&self) -> MailboxReport {
        let mut report = MailboxReport::new(MAILDROP);
        report.tally = Tally {
            exists: self.exists,
            held: self.held,
            excluded: self.excluded.values().sum(),
            left: self.left,
            skipped: u32::try_from(self.skipped.len() + self.untried.len()).unwrap_or(u32::MAX),
            ..Tally::default()
        };
        report.excluded_because = self
            .excluded
            .iter()
            .map(|(why, count)| (why.words().to_owned(), *count))
            .collect();
        report
    }
}
