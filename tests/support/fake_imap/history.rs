//! Mod-sequences (RFC 7162): what changed in a mailbox, and when.
//!
//! A test changes the world directly, so the server finds out by comparison: before each answer
//! it looks at every mailbox and counts one change for all that is other than it was.

use std::collections::BTreeMap;

use super::world::{FakeMailbox, Message, World};

/// What a mailbox was when it was last looked at.
#[derive(Debug, Clone, Default)]
pub struct History {
    uidvalidity: Option<u32>,
    highest: u64,
    /// By UID: what it looked like, and the change that made it so.
    present: BTreeMap<u32, (Looks, u64)>,
    /// By UID: the change it left with.
    vanished: BTreeMap<u32, u64>,
    /// Made-up messages with flags of their own.
    reflagged: BTreeMap<u32, u64>,
}

/// A message with another one of these is another message, or has other flags.
type Looks = (String, String, usize);

fn looks(message: &Message) -> Looks {
    (
        message.flags.clone(),
        message.date.clone(),
        message.body.len(),
    )
}

impl World {
    /// Counts what changed since it was last called.
    pub(super) fn observe(&mut self) {
        self.mailboxes.iter_mut().for_each(FakeMailbox::observe);
    }
}

impl FakeMailbox {
    pub(super) fn observe(&mut self) {
        let Self {
            history,
            messages,
            reflagged,
            ..
        } = self;
        if history.uidvalidity != self.uidvalidity {
            *history = History {
                uidvalidity: self.uidvalidity,
                ..History::default()
            };
        }
        let change = history.highest + 1;
        let mut changed = history.highest == 0;
        for message in messages.iter() {
            let now = looks(message);
            let before = history.present.get(&message.uid);
            if before.is_none_or(|(before, _)| *before != now) {
                history.present.insert(message.uid, (now, change));
                history.vanished.remove(&message.uid);
                changed = true;
            }
        }
        if history.present.len() > messages.len() {
            let there: std::collections::BTreeSet<u32> = messages.iter().map(|m| m.uid).collect();
            history.present.retain(|uid, _| {
                let stays = there.contains(uid);
                if !stays {
                    history.vanished.insert(*uid, change);
                }
                stays
            });
            changed = true;
        }
        for uid in reflagged.keys() {
            if !history.reflagged.contains_key(uid) {
                history.reflagged.insert(*uid, change);
                changed = true;
            }
        }
        if changed {
            history.highest = change;
        }
    }

    /// Begins to count anew, as a server does that was restored from its own backup.
    pub fn forget_changes(&mut self) {
        self.history = History::default();
    }

    /// HIGHESTMODSEQ, if it is the truth that is told.
    pub fn highest_modseq(&self) -> u64 {
        self.history.highest
    }

    pub(super) fn modseq_of(&self, uid: u32) -> u64 {
        let History {
            present, reflagged, ..
        } = &self.history;
        let counted = present.get(&uid).map(|(_, modseq)| *modseq);
        counted.or(reflagged.get(&uid).copied()).unwrap_or(1)
    }

    /// UIDs that left after this change.
    pub(super) fn vanished_since(&self, modseq: u64) -> Vec<u32> {
        let left = self.history.vanished.iter();
        left.filter(|(_, at)| **at > modseq)
            .map(|(uid, _)| *uid)
            .collect()
    }
}
