//! What was skipped before is tried again behind all new mail, one message at a time.

use std::collections::HashMap;

use super::{Pop3Side, Wanted};
use crate::archive::format::Record;
use crate::backup::retries::{LOSSES, Retry, in_order, share};
use crate::model::{MailboxId, Skip};

use super::plan::Why;

impl Pop3Side<'_> {
    /// Puts them behind what is new.
    pub(super) fn order_retries(&mut self) {
        let mut again = HashMap::new();
        let mut retries = Vec::new();
        let mut new = Vec::new();
        for wanted in std::mem::take(&mut self.wanted) {
            match (&wanted.before, &wanted.uidl) {
                (Some((last, reason)), Some(uidl)) => {
                    retries.push(Retry {
                        last: last.clone(),
                        message: uidl.clone(),
                        reason: reason.clone(),
                    });
                    again.insert(uidl.clone(), wanted);
                }
                _ => new.push(wanted),
            }
        }
        self.tries_left = share(new.len() as u64);
        let retries = in_order(retries);
        let retries = retries.iter().filter_map(|r| again.remove(&r.message));
        self.wanted = new.into_iter().chain(retries).collect();
    }

    /// What is wanted in the order in which it is asked for. A maildrop numbers its messages as
    /// they came.
    pub(super) fn put_in_order(&mut self) {
        let newest_first = self.request().newest_first;
        let order = |wanted: &Wanted| {
            let is_new = wanted.before.is_none();
            // What was asked for in vain stays behind.
            let by_age = (wanted.tries > 0, std::cmp::Reverse(wanted.number));
            (!is_new, (newest_first && is_new).then_some(by_age))
        };
        self.wanted.make_contiguous().sort_by_key(order);
    }

    /// A session was lost over a message that was skipped before. A few of these, and the run
    /// tries no more of them.
    pub(super) fn lost_over_retry(&mut self) {
        self.retry_losses += 1;
        if self.retry_losses >= LOSSES {
            self.put_off_retries();
        }
    }

    /// A message that was skipped before was tried in vain.
    pub(super) fn retried_in_vain(&mut self) {
        self.tries_left = self.tries_left.saturating_sub(1);
        if self.tries_left == 0 {
            self.put_off_retries();
        }
    }

    /// The rest of them is not for this run.
    pub(super) fn put_off_retries(&mut self) {
        for wanted in std::mem::take(&mut self.wanted) {
            match wanted.before {
                Some((_, reason)) => self.books.untried.push((wanted.uidl, reason)),
                None => self.wanted.push_back(wanted),
            }
        }
    }

    /// The skip of messages that have no UIDL of their own: one record for all of them. Those
    /// that were accepted count as excluded, as long as they do not grow in number.
    pub(super) fn settle_nameless(&mut self, mailbox: MailboxId, done: bool) -> Option<Record> {
        let now = self.books.skipped.iter().filter(|(uidl, _)| uidl.is_none());
        let now = u32::try_from(now.count()).unwrap_or(u32::MAX);
        let before = self.known.nameless.as_ref();
        let reason = self.books.skipped.iter().find(|(uidl, _)| uidl.is_none());
        let skip = |count, reason: &str, accepted: Option<&String>| {
            Record::Skip(Skip {
                mailbox,
                remote: None,
                count,
                reason: reason.to_owned(),
                accepted: accepted.cloned(),
            })
        };
        match (before, reason) {
            (Some(row), _) if row.accepted.is_some() && now <= row.count => {
                let fewer = (done && now < row.count)
                    .then(|| skip(now, &row.reason, row.accepted.as_ref()));
                self.books.skipped.retain(|(uidl, _)| uidl.is_some());
                (0..now).for_each(|_| self.books.exclude(Why::Accepted));
                fewer
            }
            (_, Some((_, reason))) => Some(skip(now, reason, None)),
            // They came, or are there no more.
            (Some(row), None) if done => Some(skip(0, &row.reason, None)),
            _ => None,
        }
    }
}
