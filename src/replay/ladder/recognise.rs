//! The step that goes by headers and sizes.

use std::collections::{BTreeMap, BTreeSet};

use super::Identity;
use crate::model::ContentId;

/// A placement that wants a message on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// The caller's number for it, each one once.
    pub item: usize,
    /// Its content; several items may have the same.
    pub content: ContentId,
    /// Bytes of the content on the wire.
    pub len: u64,
    /// What its header says; `None` without any of the four fields.
    pub identity: Option<Identity>,
}

/// A message of the target's mailbox that stands for no placement yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theirs {
    /// Its UID, each one once.
    pub uid: u32,
    /// RFC822.SIZE, in bytes.
    pub size: u64,
    /// What its header says; `None` without any of the four fields.
    pub identity: Option<Identity>,
}

/// What headers and sizes show. An item or a UID is in one pair or one group at most; what is in
/// none has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Items and the UIDs they are there under.
    pub sure: Vec<(usize, u32)>,
    /// What only the bodies tell.
    pub look: Vec<Group>,
}

/// Items and messages that may be each other's, in ascending order; neither is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Items.
    pub ours: Vec<usize>,
    /// UIDs.
    pub theirs: Vec<u32>,
}

/// Compares what is to be there with what is there.
///
/// Sure are messages with equal Message-ID, Date, From and Subject whose topmost Received the
/// target's copy has too, with sizes within 2 % + 4 KiB, where all that have these four fields in
/// common are copies of one content on this side and pass on the other. Everything else with
/// these fields in common is to be looked at, unless the sizes are beyond what any server does to
/// a message (twice as large + 64 KiB). Messages with none of the four fields are grouped by size.
///
/// Looking costs at most one body per message of the target, however large the groups are.
#[must_use]
pub fn recognise(ours: &[Ours], theirs: &[Theirs]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_fields: BTreeMap<u128, (Vec<&Ours>, Vec<&Theirs>)> = BTreeMap::new();
    let (mut our_rest, mut their_rest) = (Vec::new(), Vec::new());
    for one in ours {
        match &one.identity {
            Some(id) => by_fields.entry(id.fields).or_default().0.push(one),
            None => our_rest.push(one),
        }
    }
    for one in theirs {
        match &one.identity {
            Some(id) => by_fields.entry(id.fields).or_default().1.push(one),
            None => their_rest.push(one),
        }
    }
    for (mut ours, mut theirs) in by_fields.into_values() {
        ours.sort_by_key(|o| o.item);
        theirs.sort_by_key(|t| t.uid);
        if beyond_doubt(&ours, &theirs) {
            let pairs = ours.iter().zip(&theirs).map(|(o, t)| (o.item, t.uid));
            verdict.sure.extend(pairs);
        } else {
            verdict.look.extend(plausible(&ours, &theirs));
        }
    }
    verdict.look.extend(near(our_rest, their_rest));
    verdict
}

fn beyond_doubt(ours: &[&Ours], theirs: &[&Theirs]) -> bool {
    ours.first().is_some_and(|first| {
        ours.iter().all(|o| o.content == first.content) && theirs.iter().all(|t| passes(first, t))
    })
}

/// Whether the target's message is ours, as far as a header can tell. The four fields agree already.
fn passes(ours: &Ours, theirs: &Theirs) -> bool {
    let (Some(o), Some(t)) = (&ours.identity, &theirs.identity) else {
        return false;
    };
    let received = match o.received.first() {
        // The target may have put its own on top.
        Some(topmost) => t.received.contains(topmost),
        // What was sent from here has none.
        None => t.received.is_empty(),
    };
    o.has_message_id && t.has_message_id && received && is_near(ours.len, theirs.size)
}

/// Sizes of one message on two servers: added header fields, other line ends.
fn is_near(ours: u64, theirs: u64) -> bool {
    ours.abs_diff(theirs) <= ours.max(theirs) / 50 + (4 << 10)
}

/// Sizes one message can have at all: an LF that became CRLF doubles an empty line, a provider
/// puts a lot of header fields on top.
fn is_possible(ours: u64, theirs: u64) -> bool {
    ours.max(theirs) <= ours.min(theirs).saturating_mul(2).saturating_add(64 << 10)
}

/// Those of a set that have a counterpart of a possible size.
fn plausible(ours: &[&Ours], theirs: &[&Theirs]) -> Option<Group> {
    // In order, so that ten thousand copies beside ten thousand others take no hundred million steps.
    let our_sizes: BTreeSet<u64> = ours.iter().map(|o| o.len).collect();
    let their_sizes: BTreeSet<u64> = theirs.iter().map(|t| t.size).collect();
    // The nearest below and above: where neither is possible, none is.
    let has = |sizes: &BTreeSet<u64>, size: u64| {
        let below = sizes.range(..=size).next_back();
        let above = sizes.range(size..).next();
        below
            .into_iter()
            .chain(above)
            .any(|s| is_possible(*s, size))
    };
    let of_ours = ours.iter().filter(|o| has(&their_sizes, o.len));
    let of_theirs = theirs.iter().filter(|t| has(&our_sizes, t.size));
    Group::of(
        of_ours.map(|o| o.item).collect(),
        of_theirs.map(|t| t.uid).collect(),
    )
}

/// Groups messages nothing is known of but their sizes: each reaches from the smallest to the
/// largest size that are linked by steps of a few KiB, with members of both sides at hand.
fn near(mut ours: Vec<&Ours>, mut theirs: Vec<&Theirs>) -> Vec<Group> {
    ours.sort_by_key(|o| (o.len, o.item));
    theirs.sort_by_key(|t| (t.size, t.uid));
    let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
    let mut groups = Vec::new();
    while let (Some(o), Some(t)) = (ours.peek(), theirs.peek()) {
        if !is_near(o.len, t.size) {
            // The smaller one is near to none: the other side begins above it.
            if o.len < t.size {
                ours.next();
            } else {
                theirs.next();
            }
            continue;
        }
        let mut group = Group::default();
        let (mut our_top, mut their_top) = (o.len, t.size);
        loop {
            if let Some(o) = ours.next_if(|o| is_near(o.len, their_top)) {
                our_top = o.len;
                group.ours.push(o.item);
            } else if let Some(t) = theirs.next_if(|t| is_near(our_top, t.size)) {
                their_top = t.size;
                group.theirs.push(t.uid);
            } else {
                break;
            }
        }
        groups.extend(Group::of(group.ours, group.theirs));
    }
    groups
}

impl Group {
    fn of(mut ours: Vec<usize>, mut theirs: Vec<u32>) -> Option<Self> {
        ours.sort_unstable();
        theirs.sort_unstable();
        (!ours.is_empty() && !theirs.is_empty()).then_some(Self { ours, theirs })
    }
}

#[cfg(test)]
mod tests;
