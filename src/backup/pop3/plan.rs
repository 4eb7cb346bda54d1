//! Planning a maildrop: where each message goes, by what is listed, known and asked for. Pure.

use std::collections::HashMap;

use super::known::Known;
use crate::model::{InternalDate, PopMessages, PopSpam, Selection};
use crate::pop3::Offered;

/// Why a message is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Before,
    Spam,
    NotSpam,
    TooLarge,
    Accepted,
}

impl Why {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Before => "before the start day",
            Self::Spam => "spam",
            Self::NotSpam => "not spam",
            Self::TooLarge => "larger than --max-size",
            Self::Accepted => "accepted loss",
        }
    }
}

/// What has to be looked at in a header before a message's place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Look {
    /// Its date, against the start day.
    pub(super) date: bool,
    /// Whether it is spam.
    pub(super) spam: bool,
    /// Whether it is a message that is held: its UIDL does not tell.
    pub(super) held: bool,
}

impl Look {
    pub(super) const fn is_needed(self) -> bool {
        self.date || self.spam || self.held
    }

    /// Without the question whether it is held, which its bytes answer as well.
    pub(super) const fn without_held(self) -> Self {
        Self {
            held: false,
            ..self
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Known from before.
    Held,
    /// Left out.
    Excluded(Why),
    /// To be fetched, once nothing has to be looked at.
    Fetch(Look),
}

/// What a plan is made from, the messages aside.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) known: &'a Known,
    pub(super) selection: &'a Selection,
    /// The first run with `from-today`: whatever is there belongs to the baseline.
    pub(super) first: bool,
    /// UIDLs mean what they meant: it is the same server, and it lists some that are held. What
    /// was decided by UIDL counts only then.
    pub(super) trusted: bool,
}

/// Whether a UIDL identifies a message in this listing: there is one, and only one bears it.
#[derive(Debug, Default)]
pub(super) struct Names<'a>(HashMap<&'a str, u32>);

impl<'a> Names<'a> {
    pub(super) fn of(messages: &'a [Offered]) -> Self {
        let mut names = HashMap::new();
        for uidl in messages.iter().filter_map(|m| m.uidl.as_deref()) {
            *names.entry(uidl).or_default() += 1;
        }
        Self(names)
    }

    pub(super) fn identifies(&self, uidl: &str) -> bool {
        self.0.get(uidl) == Some(&1)
    }
}

/// A size as it is recorded. What LIST does not say is 0.
pub(super) fn recorded_size(size: Option<u64>) -> u32 {
    u32::try_from(size.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Where a message goes. `uidl` is the one that identifies it, if one does.
pub(super) fn fate(message: &Offered, uidl: Option<&str>, facts: &Facts<'_>) -> Fate {
    let Facts {
        known,
        selection,
        first,
        trusted,
    } = *facts;
    let pop = selection.pop;
    let mut look = Look::default();
    let mut decided = super::known::Decided::default();
    if let Some(uidl) = uidl {
        if trusted {
            let size = recorded_size(message.size);
            let whole = known.entries(uidl).iter().filter(|e| !e.held.damaged);
            let mut sizes = whole.map(|e| e.held.size);
            let fits = sizes.any(|held| held == size || held == 0 || size == 0);
            if fits && !known.is_unsettled(uidl) {
                return Fate::Held;
            }
            if known.is_accepted(uidl) {
                return Fate::Excluded(Why::Accepted);
            }
            decided = known.decided(uidl);
            // Of another size: reused for another message, or rewritten by the server.
            look.held =
                known.entries(uidl).iter().any(|e| !e.held.damaged) && !known.is_unsettled(uidl);
        } else {
            look.held = true;
        }
    }
    if decided.before && pop.messages == PopMessages::FromToday {
        return Fate::Excluded(Why::Before);
    }
    match (pop.spam, decided.spam) {
        _ if pop.spam_from_server => {}
        (PopSpam::Exclude, Some(true)) => return Fate::Excluded(Why::Spam),
        (PopSpam::Only, Some(false)) => return Fate::Excluded(Why::NotSpam),
        (PopSpam::Exclude | PopSpam::Only, None) => look.spam = true,
        _ => {}
    }
    if selection
        .max_size
        .zip(message.size)
        .is_some_and(|(max, size)| size > max)
    {
        return Fate::Excluded(Why::TooLarge);
    }
    // Outside the baseline everything is new, however old its date; where UIDLs do not mean what
    // they meant, nobody knows what is outside.
    look.date = pop.messages == PopMessages::FromToday
        && (first || !trusted || decided.baseline || uidl.is_none());
    Fate::Fetch(look)
}

/// Whether two sizes are of one message of which the server has rewritten some header fields.
///
/// QUIRK(GNU mailutils 3.15, UW ipop3d, qpopper): servers on an mbox add Status, X-UIDL and X-IMAP
/// fields between sessions, so a message changes its size once or more.
pub(super) fn is_about_as_large(held: u32, listed: u32) -> bool {
    held.abs_diff(listed) <= REWRITTEN + held.min(listed) / 50
}

/// Bytes that such fields may take, besides two in a hundred.
const REWRITTEN: u32 = 4096;

/// What a header says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it was delivered.
    pub(super) date: Option<InternalDate>,
    /// Whether it is spam.
    pub(super) spam: bool,
}

/// Why a message is excluded by what its header says, if it is. One without a date never is by
/// its date.
pub(super) fn excluded_by(
    seen: Seen,
    look: Look,
    start: Option<InternalDate>,
    selection: &Selection,
) -> Option<Why> {
    let before = start.zip(seen.date).is_some_and(|(s, d)| d.unix < s.unix);
    if look.date && before {
        return Some(Why::Before);
    }
    match selection.pop.spam {
        PopSpam::Exclude if look.spam && seen.spam => Some(Why::Spam),
        PopSpam::Only if look.spam && !seen.spam => Some(Why::NotSpam),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
