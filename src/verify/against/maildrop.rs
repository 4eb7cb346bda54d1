//! Comparing a POP3 maildrop, by UIDL and by the size LIST says. Pure.

use std::collections::{HashMap, HashSet};

use super::fates::{Difference, Fates};
use crate::model::{ContentId, PopMessages, PopSpam, Selection};
use crate::pop3::Offered;

/// What came over POP3 under a UIDL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) content: ContentId,
    /// Its size as LIST said.
    pub(super) size: u32,
    pub(super) damaged: bool,
    /// Recognised by its header when the server had renamed it.
    pub(super) healed: bool,
    /// Its UIDL alone does not tell it from others.
    pub(super) shared: bool,
}

/// What was decided about a UIDL, beside what is kept under it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decided {
    /// Dated before the start day of `from-today`.
    pub(super) before: bool,
    /// Spam by its header; `None` where nobody judged.
    pub(super) spam: Option<bool>,
    /// mailstow deleted it from the server.
    pub(super) removed: bool,
}

/// What the archive knows of a maildrop.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) kept: HashMap<String, Vec<Kept>>,
    pub(super) decided: HashMap<String, Decided>,
    pub(super) accepted: HashSet<String>,
    pub(super) skipped: HashSet<String>,
}

/// How a maildrop compares.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) fates: Fates<Vec<String>>,
    /// Of those present: LIST says another size than it did.
    pub(super) differs: Vec<Difference>,
    /// Messages that came over POP3 and that mailstow did not delete from the server.
    pub(super) in_archive: u32,
    /// Numbers of messages that have no UIDL of their own, so that only their bytes can tell.
    pub(super) nameless: Vec<u32>,
}

/// A size as the archive keeps it. What LIST does not say is 0.
fn recorded(size: Option<u64>) -> u32 {
    u32::try_from(size.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Whether two sizes by LIST can be of one message.
fn fits(kept: u32, listed: u32) -> bool {
    kept == listed || kept == 0 || listed == 0
}

impl Known {
    /// The contents that a message with this UIDL and this size may be.
    pub(super) fn contents(&self, uidl: &str, size: Option<u64>) -> Vec<ContentId> {
        let entries = self.kept.get(uidl).into_iter().flatten();
        let whole: Vec<&Kept> = entries.filter(|k| !k.damaged).collect();
        let fitting = whole.iter().filter(|k| fits(k.size, recorded(size)));
        let mut ids: Vec<ContentId> = fitting.map(|k| k.content).collect();
        if ids.is_empty() {
            ids = whole.iter().map(|k| k.content).collect();
        }
        ids
    }

    /// Whether nothing but a header tells that a UIDL stands for what is kept under it.
    pub(super) fn is_healed(&self, uidl: &str) -> bool {
        let mut entries = self.kept.get(uidl).into_iter().flatten();
        entries.any(|k| k.healed)
    }
}

/// Compares what a session lists with what is known.
///
/// POP3 has neither dates nor an order, so nothing tells whether a message that is not kept came
/// after the last run: it is missing. One that is kept and not offered may be hidden by a setting
/// or a window, so it is never said to have gone.
#[must_use]
pub(super) fn compare(offered: &[Offered], known: &Known, selection: &Selection) -> Compared {
    let mut done = Compared::default();
    let mut bearers: HashMap<&str, u32> = HashMap::new();
    for uidl in offered.iter().filter_map(|m| m.uidl.as_deref()) {
        *bearers.entry(uidl).or_default() += 1;
    }
    for message in offered {
        let own = message
            .uidl
            .as_deref()
            .filter(|u| bearers.get(u) == Some(&1));
        let Some(uidl) = own else {
            done.nameless.push(message.number);
            continue;
        };
        let entries = known.kept.get(uidl).map_or(&[][..], Vec::as_slice);
        let size = recorded(message.size);
        let whole: Vec<u32> = entries
            .iter()
            .filter(|k| !k.damaged)
            .map(|k| k.size)
            .collect();
        let set = if let Some(kept) = whole.first() {
            if !whole.iter().any(|kept| fits(*kept, size)) {
                done.differs.push(Difference {
                    remote: uidl.to_owned(),
                    size: Some((u64::from(*kept), u64::from(size))),
                    date: None,
                });
            }
            &mut done.fates.present
        } else if !entries.is_empty() {
            &mut done.fates.damaged
        } else if known.accepted.contains(uidl) {
            &mut done.fates.accepted
        } else if known.skipped.contains(uidl) {
            &mut done.fates.skipped
        } else if is_excluded(message, uidl, known, selection) {
            &mut done.fates.excluded
        } else {
            &mut done.fates.missing
        };
        set.push(uidl.to_owned());
    }
    for (uidl, entries) in &known.kept {
        let decided = known.decided.get(uidl).copied().unwrap_or_default();
        let is_offered = bearers.contains_key(uidl.as_str());
        if decided.removed && !is_offered {
            continue;
        }
        done.in_archive += u32::try_from(entries.len()).unwrap_or(u32::MAX);
        // Those without a name of their own may be among the nameless ones that are offered.
        let named = entries.iter().filter(|k| !k.shared).count();
        if !is_offered && named > 0 {
            done.fates.not_offered.push(uidl.clone());
        }
    }
    done.fates.not_offered.sort_unstable();
    done
}

/// Whether the selection of the last run leaves a message out.
fn is_excluded(message: &Offered, uidl: &str, known: &Known, selection: &Selection) -> bool {
    let decided = known.decided.get(uidl).copied().unwrap_or_default();
    let pop = selection.pop;
    let by_spam = match (pop.spam, decided.spam) {
        _ if pop.spam_from_server => false,
        (PopSpam::Exclude, Some(spam)) => spam,
        (PopSpam::Only, Some(spam)) => !spam,
        _ => false,
    };
    let by_date = pop.messages == PopMessages::FromToday && decided.before;
    let largest = selection.max_size.zip(message.size);
    by_date || by_spam || largest.is_some_and(|(max, size)| size > max)
}

#[cfg(test)]
mod tests;
