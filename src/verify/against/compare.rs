//! Comparing one IMAP mailbox: a pure merge of its listing with what is held.

use std::collections::HashMap;

use super::fates::{Difference, Fates};
use crate::model::{FlagSetId, Held, Listed, Listing, Selection, UidSet};

/// The facts of a comparison.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// EXISTS of the EXAMINE that preceded the listing.
    pub(super) exists: u32,
    /// UIDNEXT of that EXAMINE; UIDs from it on came while the mailbox was listed.
    pub(super) uidnext: Option<u32>,
    /// What the server lists, ascending.
    pub(super) listing: &'a Listing,
    /// What the archive knows under this UIDVALIDITY, ascending.
    pub(super) held: &'a [Held],
    /// UIDNEXT of the last complete run under this UIDVALIDITY; `None` if there was none.
    pub(super) reach: Option<u32>,
    /// Messages whose loss a person accepted.
    pub(super) accepted: &'a UidSet,
    /// Messages that could not be archived so far.
    pub(super) skipped: &'a UidSet,
    /// The catalog's number of each flag set of the listing; `None` for one it never saw.
    pub(super) flag_numbers: &'a HashMap<FlagSetId, Option<i64>>,
    /// The selection of the last complete run.
    pub(super) selection: &'a Selection,
}

/// How a mailbox compares.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) fates: Fates<UidSet>,
    /// Of those present: what the server says of them is not what it said.
    pub(super) differs: Vec<Difference>,
    /// Messages held as present, damaged ones included.
    pub(super) in_archive: u32,
    /// Messages that EXISTS counts and the listing lacks.
    pub(super) unlisted: u32,
}

/// Compares. Both inputs ascend by UID; each is walked once.
#[must_use]
pub(super) fn compare(facts: &Facts<'_>) -> Compared {
    let mut done = Compared::default();
    let mut vanished = UidSet::new();
    let mut counted = 0u32;
    let mut held = facts.held.iter().peekable();
    for message in &facts.listing.messages {
        while let Some(before) = held.next_if(|h| h.uid < message.uid) {
            if !before.gone {
                vanished.push(before.uid);
            }
        }
        let meanwhile = facts.uidnext.is_some_and(|next| message.uid >= next);
        counted += u32::from(!meanwhile);
        let set = match held.next_if(|h| h.uid == message.uid) {
            Some(known) if known.gone => &mut done.fates.returned,
            Some(known) if known.damaged => {
                done.in_archive += 1;
                &mut done.fates.damaged
            }
            Some(known) => {
                done.in_archive += 1;
                done.differs.extend(difference(known, message));
                let flags = facts.flag_numbers.get(&message.flags);
                if flags.is_some_and(|number| *number != Some(known.flags)) {
                    done.fates.flags.push(message.uid);
                }
                &mut done.fates.present
            }
            None => absent(message, meanwhile, facts, &mut done.fates),
        };
        set.push(message.uid);
    }
    for rest in held.filter(|h| !h.gone) {
        vanished.push(rest.uid);
    }
    done.in_archive += u32::try_from(vanished.len()).unwrap_or(u32::MAX);
    let missing = facts.exists.saturating_sub(counted);
    done.unlisted = missing.saturating_sub(facts.listing.expunged);
    // A listing that lacks messages the server counts is no evidence that any has left.
    if missing == 0 {
        done.fates.departed = vanished;
    } else {
        done.fates.unseen = vanished;
    }
    done
}

/// Why a message is not in the archive.
fn absent<'f>(
    message: &Listed,
    meanwhile: bool,
    facts: &Facts<'_>,
    fates: &'f mut Fates<UidSet>,
) -> &'f mut UidSet {
    if facts.accepted.contains(message.uid) {
        &mut fates.accepted
    } else if facts.skipped.contains(message.uid) {
        &mut fates.skipped
    } else if meanwhile || facts.reach.is_some_and(|reach| message.uid >= reach) {
        &mut fates.newer
    } else if facts.selection.leaves_out(message) {
        &mut fates.excluded
    } else {
        &mut fates.missing
    }
}

/// What the server says otherwise than it did. A size of 0 or a date that is not there may be one
/// that nobody could read, so it tells nothing.
fn difference(held: &Held, listed: &Listed) -> Option<Difference> {
    let size = (held.size != listed.size && held.size != 0 && listed.size != 0)
        .then_some((u64::from(held.size), u64::from(listed.size)));
    let dates = held.date.zip(listed.date().map(|d| d.unix));
    let date = dates.filter(|(held, listed)| held != listed);
    (size.is_some() || date.is_some()).then(|| Difference {
        remote: listed.uid.to_string(),
        size,
        date,
    })
}

/// How many messages of a listing have a counterpart of the same size and date among what is
/// held, each of which counts once. It is a hint, never a proof.
#[must_use]
pub(super) fn counterparts(listing: &Listing, held: &[Held]) -> u32 {
    let mut there: HashMap<(u32, Option<i64>), u32> = HashMap::new();
    for message in held.iter().filter(|h| !h.gone && !h.damaged) {
        *there.entry((message.size, message.date)).or_default() += 1;
    }
    let mut found = 0;
    for message in &listing.messages {
        let key = (message.size, message.date().map(|d| d.unix));
        if let Some(left) = there.get_mut(&key).filter(|left| **left > 0) {
            *left -= 1;
            found += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests;
