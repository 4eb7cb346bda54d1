//! Planning one mailbox: a pure merge of the listing with what is held.

use std::collections::HashMap;

use crate::model::{FlagSetId, Held, Listed, Listing, Selection, UidSet};

/// The facts a plan is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// EXISTS of the EXAMINE that preceded the listing.
    pub(super) exists: u32,
    /// A UID may stand for another message than before: UIDVALIDITY is 0 or 1, which identifies
    /// nothing, or the server was seen to reuse one.
    pub(super) may_reuse: bool,
    /// UIDNEXT of that EXAMINE; UIDs from it on came later and belong to the next run.
    pub(super) uidnext: Option<u32>,
    /// What the server lists, ascending.
    pub(super) listing: &'a Listing,
    /// What the archive holds under this UIDVALIDITY, ascending.
    pub(super) held: &'a [Held],
    /// Held messages that are to be fetched again all the same.
    pub(super) again: &'a UidSet,
    /// Messages whose loss a person accepted: they are not tried again.
    pub(super) accepted: &'a UidSet,
    /// Messages that could not be archived so far.
    pub(super) skipped: &'a UidSet,
    /// Messages whose place in the listing nobody can read: they are there.
    pub(super) unreadable: u32,
    /// Others of that kind, whose loss was accepted.
    pub(super) written_off: &'a UidSet,
    /// How many messages that the server counts and does not list were accepted as lost.
    pub(super) accepted_nameless: u32,
    /// The catalog's number of each flag set of the listing; `None` for one it never saw.
    pub(super) flag_numbers: &'a HashMap<FlagSetId, Option<i64>>,
    /// Which messages count.
    pub(super) selection: &'a Selection,
}

/// What is to be done in one mailbox, and where each of its messages goes.
#[derive(Debug, Default, Clone)]
pub(super) struct Plan {
    /// Messages to fetch, ascending.
    pub(super) fetch: Vec<Listed>,
    /// Bytes of those, as reported.
    pub(super) bytes: u64,
    /// Messages known from before.
    pub(super) held: u32,
    /// Messages a filter excludes, and those whose loss was accepted.
    pub(super) excluded: u32,
    /// Messages announced as expunged while they were listed.
    pub(super) left: u32,
    /// Messages that EXISTS counts and the listing lacks.
    pub(super) unlisted: u32,
    /// Others of that kind, whose loss was accepted; they count as excluded.
    pub(super) nameless: u32,
    /// Flags that changed: messages by their new flags.
    pub(super) flags: Vec<(FlagSetId, UidSet)>,
    /// Messages that were held as present and are listed no more.
    pub(super) gone: UidSet,
}

/// Makes the plan. Both inputs ascend by UID; each is walked once.
#[must_use]
pub(super) fn plan(facts: &Facts<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut changed: HashMap<FlagSetId, UidSet> = HashMap::new();
    let mut vanished = UidSet::new();
    let mut listed = 0u32;
    let mut held = facts.held.iter().peekable();
    let in_reach = |m: &&Listed| facts.uidnext.is_none_or(|next| m.uid < next);
    for message in facts.listing.messages.iter().filter(in_reach) {
        listed += 1;
        while let Some(before) = held.next_if(|h| h.uid < message.uid) {
            if !before.gone {
                vanished.push(before.uid);
            }
        }
        match held.next_if(|h| h.uid == message.uid) {
            Some(known)
                if is_same(known, message, facts.may_reuse)
                    && !facts.again.contains(message.uid) =>
            {
                plan.held += 1;
                if let Some(number) = facts.flag_numbers.get(&message.flags)
                    && *number != Some(known.flags)
                {
                    changed.entry(message.flags).or_default().push(message.uid);
                }
            }
            _ if facts.accepted.contains(message.uid)
                || facts.selection.leaves_out(message) && !facts.again.contains(message.uid) =>
            {
                plan.excluded += 1
            }
            _ => {
                plan.bytes += u64::from(message.size);
                plan.fetch.push(*message);
            }
        }
    }
    for rest in held.filter(|h| !h.gone) {
        vanished.push(rest.uid);
    }
    let missing = facts.exists.saturating_sub(listed);
    let written_off = u32::try_from(facts.written_off.len())
        .unwrap_or(u32::MAX)
        .min(missing);
    plan.excluded += written_off;
    let missing = missing - written_off;
    plan.left = missing
        .saturating_sub(facts.unreadable)
        .min(facts.listing.expunged);
    plan.unlisted = missing - plan.left;
    // Nobody can tell which they are. One more than was accepted, and all of them are missed.
    let nameless = plan.unlisted.saturating_sub(facts.unreadable);
    if nameless <= facts.accepted_nameless {
        plan.nameless = nameless;
        plan.excluded += nameless;
        plan.unlisted -= nameless;
    }
    // A listing that lacks messages the server counts is no evidence that any has left. That
    // holds for accepted ones as well: held messages may be among them.
    if missing == 0 {
        let listed = |uid: &u32| {
            facts
                .listing
                .messages
                .binary_search_by_key(uid, |m| m.uid)
                .is_ok()
        };
        let departed = facts.skipped.iter().filter(|uid| !listed(uid));
        let seen = |uid: &u32| !facts.written_off.contains(*uid);
        plan.gone = vanished.iter().chain(departed).filter(seen).collect();
    }
    plan.flags = changed.into_iter().collect();
    plan.flags.sort_by_key(|(flags, _)| *flags);
    plan
}

/// Whether a held placement is this message still. A content that was lost, or a message that
/// was gone and is back, is fetched again; and where UIDs are reused, one whose size or date
/// changed is another message.
fn is_same(held: &Held, listed: &Listed, may_reuse: bool) -> bool {
    let reused =
        may_reuse && (held.size != listed.size || held.date != listed.date().map(|d| d.unix));
    !held.gone && !held.damaged && !reused
}

#[cfg(test)]
mod tests;
