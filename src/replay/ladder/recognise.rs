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
    /// RFC822.SIZE, in bytes; 0 where it is not known.
    pub size: u64,
    /// What its header says; `None` without any of the four fields.
    pub identity: Option<Identity>,
    /// [`Identity::fields`] of what it may have been before a server added some of the four
    /// ([`shorter`](crate::header::shorter)), as far as any of ours has them.
    pub lacking: Vec<u128>,
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
/// common are copies of one content on this side and pass on the other. Everything else whose
/// fields theirs has too, whatever fields it has besides, is to be looked at, unless the sizes are
/// beyond what any server does to a message (twice as large + 64 KiB). What has none of the four
/// fields here may be any message of its size there.
///
/// Looking costs at most one body per message of the target, however large the groups are.
#[must_use]
pub fn recognise(ours: &[Ours], theirs: &[Theirs]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_fields: BTreeMap<u128, (Vec<&Ours>, Vec<&Theirs>)> = BTreeMap::new();
    let mut open = Open::default();
    for one in ours {
        match &one.identity {
            Some(id) => by_fields.entry(id.fields).or_default().0.push(one),
            None => open.bare.push(one),
        }
    }
    for one in theirs {
        match &one.identity {
            Some(id) => by_fields.entry(id.fields).or_default().1.push(one),
            None => open.theirs.push(one),
        }
    }
    for (mut ours, mut theirs) in by_fields.into_values() {
        ours.sort_by_key(|o| o.item);
        theirs.sort_by_key(|t| t.uid);
        if beyond_doubt(&ours, &theirs) {
            let pairs = ours.iter().zip(&theirs).map(|(o, t)| (o.item, t.uid));
            verdict.sure.extend(pairs);
            let sure = ours.len().min(theirs.len());
            open.ours.extend(ours.split_off(sure));
            open.theirs.extend(theirs.split_off(sure));
        } else {
            open.ours.extend(ours);
            open.theirs.extend(theirs);
        }
    }
    verdict.look = open.groups();
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
#[must_use]
pub fn is_near(ours: u64, theirs: u64) -> bool {
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
            // Not known.
            || size == 0
            || sizes.contains(&0)
    };
    let of_ours = ours.iter().filter(|o| has(&their_sizes, o.len));
    let of_theirs = theirs.iter().filter(|t| has(&our_sizes, t.size));
    Group::of(
        of_ours.map(|o| o.item).collect(),
        of_theirs.map(|t| t.uid).collect(),
    )
}

/// What is left when the sure ones are taken away.
#[derive(Default)]
struct Open<'a> {
    ours: Vec<&'a Ours>,
    /// Ours without any of the four fields.
    bare: Vec<&'a Ours>,
    theirs: Vec<&'a Theirs>,
}

impl<'a> Open<'a> {
    /// Puts together what may be one: ours by their fields, each of theirs with all of ours whose
    /// fields it has, and by its size with ours that have none.
    fn groups(mut self) -> Vec<Group> {
        let mut links = Links::default();
        let mut by_fields: BTreeMap<u128, usize> = BTreeMap::new();
        for one in &self.ours {
            if let Some(id) = &one.identity {
                let link = *by_fields
                    .entry(id.fields)
                    .or_insert_with(|| links.new_one());
                links.ours.push((link, one));
            }
        }
        self.bare.sort_by_key(|o| (o.len, o.item));
        let mut sizes: Vec<(u64, u64, usize)> = Vec::new();
        for one in self.bare {
            let (from, to) = near_sizes(one.len);
            let link = match sizes.last_mut() {
                Some((_, end, link)) if from <= *end => {
                    *end = (*end).max(to);
                    *link
                }
                _ => {
                    let link = links.new_one();
                    sizes.push((from, to, link));
                    link
                }
            };
            links.ours.push((link, one));
        }
        for one in self.theirs {
            let own = one.identity.iter().map(|id| id.fields);
            let all = own.chain(one.lacking.iter().copied());
            let by_fields = all.filter_map(|fields| by_fields.get(&fields).copied());
            let first = sizes.partition_point(|(_, end, _)| *end < one.size);
            let by_size = (sizes.iter().enumerate())
                .skip(if one.size == 0 { 0 } else { first })
                .take_while(|(_, (from, _, _))| one.size == 0 || *from <= one.size)
                .map(|(_, (_, _, link))| *link);
            let all: Vec<usize> = by_fields.chain(by_size).collect();
            links.add(&all, one);
        }
        links.groups()
    }
}

/// Which are linked by others.
#[derive(Default)]
struct Links<'a> {
    /// Each points to one before it that it is linked with, or to itself.
    to: Vec<usize>,
    ours: Vec<(usize, &'a Ours)>,
    theirs: Vec<(usize, &'a Theirs)>,
}

impl<'a> Links<'a> {
    fn new_one(&mut self) -> usize {
        self.to.push(self.to.len());
        self.to.len() - 1
    }

    fn root(&self, mut link: usize) -> usize {
        while let Some(to) = self.to.get(link).copied().filter(|to| *to != link) {
            link = to;
        }
        link
    }

    /// A message that belongs to all of these; nothing where there are none.
    fn add(&mut self, links: &[usize], one: &'a Theirs) {
        let Some(least) = links.iter().map(|link| self.root(*link)).min() else {
            return;
        };
        for link in links {
            let root = self.root(*link);
            for link in [root, *link] {
                if let Some(to) = self.to.get_mut(link) {
                    *to = least;
                }
            }
        }
        self.theirs.push((least, one));
    }

    fn groups(self) -> Vec<Group> {
        let mut sets: BTreeMap<usize, (Vec<&Ours>, Vec<&Theirs>)> = BTreeMap::new();
        for (link, one) in &self.ours {
            sets.entry(self.root(*link)).or_default().0.push(one);
        }
        for (link, one) in &self.theirs {
            sets.entry(self.root(*link)).or_default().1.push(one);
        }
        let groups = sets.into_values();
        groups
            .filter_map(|(ours, theirs)| plausible(&ours, &theirs))
            .collect()
    }
}

/// The sizes a message of this length may have on another server.
const fn near_sizes(len: u64) -> (u64, u64) {
    // Exactly those for which `is_near` holds.
    let most = len.saturating_add(4 << 10);
    let least = len.saturating_sub(len / 50 + (4 << 10));
    (least, most.saturating_add(most / 49))
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
