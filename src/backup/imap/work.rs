//! What is left to fetch: batches, taken by the workers in mailbox order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backup::limit::Quota;
use crate::backup::side::Load;
use crate::model::{ContentId, FlagTable, Listed, Mailbox, MailboxId, UidSet};

/// A batch is closed at this many bytes …
const BATCH_BYTES: u64 = 2 << 20;
/// … or this many messages, which keeps its UID set below 1,000 bytes (RFC 2683 §3.2.1.5).
const BATCH_MESSAGES: usize = 80;

/// Tries, the first of them in a batch, after which a message has failed …
const NARROW_TRIES: u32 = 2;
/// … and after which it is to blame for what may be nobody's fault.
const SUSPECT_TRIES: u32 = 3;

/// How often a mailbox is waited for that the server says is busy.
const BUSY_WAITS: u32 = 2;
/// How often a body is fetched that is never the same.
const SHORT_TRIES: u32 = 4;

/// A mailbox with messages to fetch.
#[derive(Debug)]
pub(super) struct FetchMailbox {
    pub(super) mailbox: Mailbox,
    pub(super) uidvalidity: u32,
    pub(super) flags: FlagTable,
    /// Ascending by UID.
    pub(super) messages: Vec<Listed>,
}

impl FetchMailbox {
    pub(super) fn listed(&self, uid: u32) -> Option<&Listed> {
        let at = self.messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
        self.messages.get(at)
    }
}

/// Messages of one mailbox that are asked for together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Index into the fetch mailboxes.
    pub(super) mailbox: usize,
    pub(super) uids: UidSet,
}

/// Why a message was not archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) mailbox: usize,
    pub(super) uid: u32,
    pub(super) reason: String,
}

/// The work of one run, shared by its workers.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) mailboxes: Arc<Vec<FetchMailbox>>,
    state: Arc<Mutex<State>>,
    /// Within each mailbox the newest come first.
    newest_first: bool,
    quota: Quota,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Messages that were asked for alone and failed, with the tries.
    tries: HashMap<(usize, u32), u32>,
    /// First look at bodies shorter than the server said they are.
    short: HashMap<(usize, u32), ContentId>,
    failures: Vec<Failure>,
    /// How often each mailbox was waited for.
    waits: HashMap<usize, u32>,
    /// The server cut a pipelined connection: no more than one command at a time.
    shallow: bool,
    /// A worker died with what it had asked for.
    lost_track: bool,
}

impl Work {
    pub(super) fn new(mailboxes: Vec<FetchMailbox>, newest_first: bool, quota: Quota) -> Self {
        let in_order = |(n, m): (usize, &FetchMailbox)| {
            let mut batches = batches(n, &m.messages);
            if newest_first {
                batches.reverse();
            }
            batches
        };
        let batches = mailboxes.iter().enumerate().flat_map(in_order).collect();
        let state = State {
            batches,
            ..State::default()
        };
        Self {
            mailboxes: Arc::new(mailboxes),
            state: Arc::new(Mutex::new(state)),
            newest_first,
            quota,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, of `mailbox` only if one is named; none once the limit is reached.
    pub(super) fn take(&self, mailbox: Option<usize>) -> Option<Batch> {
        let mut state = self.state();
        let next = state.batches.front()?;
        if !self.quota.has_room() || mailbox.is_some_and(|open| open != next.mailbox) {
            return None;
        }
        let mut batch = state.batches.pop_front()?;
        let later = self.cut_at_limit(&mut batch);
        if !later.is_empty() {
            state.batches.push_front(Batch {
                mailbox: batch.mailbox,
                uids: later,
            });
        }
        Some(batch)
    }

    /// Counts a batch against the limit. Takes out of it, and gives, what is beyond.
    fn cut_at_limit(&self, batch: &mut Batch) -> UidSet {
        let mut uids: Vec<u32> = batch.uids.iter().collect();
        if self.newest_first {
            uids.reverse();
        }
        let mut beyond = Vec::new();
        for uid in uids {
            if self.quota.has_room() {
                self.quota.ask(self.announced(batch.mailbox, uid));
            } else {
                batch.uids.remove(uid);
                beyond.push(uid);
            }
        }
        beyond.into_iter().collect()
    }

    /// The bytes of a message, as the server says.
    fn announced(&self, mailbox: usize, uid: u32) -> u64 {
        let listed = self.mailboxes.get(mailbox).and_then(|m| m.listed(uid));
        listed.map_or(0, |m| u64::from(m.size))
    }

    /// A message that was asked for came, with so many bytes.
    pub(super) fn came(&self, announced: u64, len: u64) {
        self.quota.came(announced, len);
    }

    /// What was asked for did not come.
    fn give_back(&self, batch: &Batch) {
        for uid in batch.uids.iter() {
            self.quota.give_back(self.announced(batch.mailbox, uid));
        }
    }

    /// Whether there is anything to be taken.
    pub(super) fn may_take(&self) -> bool {
        self.quota.has_room() && self.batches_left() > 0
    }

    /// Whether a mailbox that is busy is to be waited for; not for ever.
    pub(super) fn is_worth_waiting_for(&self, mailbox: usize) -> bool {
        let mut state = self.state();
        let waits = state.waits.entry(mailbox).or_default();
        *waits += 1;
        *waits <= BUSY_WAITS
    }

    pub(super) fn batches_left(&self) -> usize {
        self.state().batches.len()
    }

    /// What nobody took.
    pub(super) fn left(&self) -> Load {
        let mut left = Load::default();
        for batch in &self.state().batches {
            for uid in batch.uids.iter() {
                left.messages += 1;
                left.bytes += self.announced(batch.mailbox, uid);
            }
        }
        left
    }

    /// Whether nothing of a mailbox is left to be fetched.
    pub(super) fn is_through_with(&self, mailbox: MailboxId) -> bool {
        let state = self.state();
        let is_it = |b: &Batch| {
            self.mailboxes
                .get(b.mailbox)
                .is_some_and(|m| m.mailbox.id == mailbox)
        };
        !state.lost_track && !state.batches.iter().any(is_it)
    }

    /// A worker died: what it had asked for stands nowhere any more.
    pub(super) fn lose_track(&self) {
        self.state().lost_track = true;
    }

    /// Puts messages back as they were, after a lost connection.
    pub(super) fn put_back(&self, batch: Batch) {
        self.give_back(&batch);
        if !batch.uids.is_empty() {
            self.state().batches.push_front(batch);
        }
    }

    /// Asks for each of these messages alone: one of them may be what the server or the
    /// parser stumbles over. A message that was alone already has failed.
    pub(super) fn narrow(&self, batch: &Batch, reason: &str) {
        self.narrow_after(batch, reason, NARROW_TRIES);
    }

    /// [`narrow`](Self::narrow) after a lost connection or a call for patience, which may be
    /// nobody's fault: it takes several to convict a message. Whether one is now.
    pub(super) fn suspect(&self, batch: &Batch, reason: &str) -> bool {
        self.narrow_after(batch, reason, SUSPECT_TRIES)
    }

    fn narrow_after(&self, batch: &Batch, reason: &str, enough: u32) -> bool {
        self.give_back(batch);
        let mut failed = false;
        let mut state = self.state();
        let alone = batch.uids.len() == 1;
        let uids: Vec<u32> = batch.uids.iter().collect();
        for uid in uids.into_iter().rev() {
            let tries = state.tries.entry((batch.mailbox, uid)).or_default();
            *tries += 1;
            // In a batch it may have been a neighbour's fault, so that does not count.
            if alone && *tries >= enough {
                failed = true;
                state.failures.push(Failure {
                    mailbox: batch.mailbox,
                    uid,
                    reason: reason.to_owned(),
                });
            } else {
                state.batches.push_front(Batch {
                    mailbox: batch.mailbox,
                    uids: [uid].into_iter().collect(),
                });
            }
        }
        failed
    }

    /// A body shorter than RFC822.SIZE says. `true` once two fetches in a row agree on it, so
    /// it may be kept; otherwise it is asked for again, or fails after a few tries.
    pub(super) fn confirm_short(&self, mailbox: usize, uid: u32, id: ContentId) -> bool {
        let mut state = self.state();
        if state.short.insert((mailbox, uid), id) == Some(id) {
            return true;
        }
        let tries = state.tries.entry((mailbox, uid)).or_default();
        *tries += 1;
        if *tries > SHORT_TRIES {
            let reason =
                "the server sends it shorter than announced, and differently each time".to_owned();
            state.failures.push(Failure {
                mailbox,
                uid,
                reason,
            });
        } else {
            state.batches.push_front(Batch {
                mailbox,
                uids: [uid].into_iter().collect(),
            });
        }
        false
    }

    /// Gives a mailbox up: all that is left of it fails with this reason.
    pub(super) fn close_mailbox(&self, mailbox: usize, reason: &str) {
        let mut state = self.state();
        let (ended, rest) = std::mem::take(&mut state.batches)
            .into_iter()
            .partition(|b: &Batch| b.mailbox == mailbox);
        state.batches = rest;
        let ended: VecDeque<Batch> = ended;
        for uid in ended.iter().flat_map(|b| b.uids.iter()) {
            state.failures.push(Failure {
                mailbox,
                uid,
                reason: reason.to_owned(),
            });
        }
    }

    pub(super) fn failures(&self) -> Vec<Failure> {
        self.state().failures.clone()
    }

    pub(super) fn go_shallow(&self) {
        self.state().shallow = true;
    }

    pub(super) fn is_shallow(&self) -> bool {
        self.state().shallow
    }
}

fn batches(mailbox: usize, messages: &[Listed]) -> Vec<Batch> {
    let mut all = Vec::new();
    let mut uids = Vec::new();
    let mut bytes = 0u64;
    for message in messages {
        if !uids.is_empty()
            && (bytes + u64::from(message.size) > BATCH_BYTES || uids.len() >= BATCH_MESSAGES)
        {
            all.push(Batch {
                mailbox,
                uids: std::mem::take(&mut uids).into_iter().collect(),
            });
            bytes = 0;
        }
        uids.push(message.uid);
        bytes += u64::from(message.size);
    }
    if !uids.is_empty() {
        all.push(Batch {
            mailbox,
            uids: uids.into_iter().collect(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FlagSetId;

    fn listed(uid: u32, size: u32) -> Listed {
        Listed::new(uid, size, FlagSetId::UNKNOWN, None)
    }

    #[test]
    fn batches_are_bounded_in_bytes_and_in_length_of_their_set() {
        let scattered: Vec<Listed> = (0..1000)
            .map(|n| listed(4_000_000_000 + n * 2, 10))
            .collect();
        for batch in batches(0, &scattered) {
            assert!(batch.uids.to_string().len() < 1000);
        }
        let large = [
            listed(1, 9 << 20),
            listed(2, 1 << 20),
            listed(3, 1 << 20),
            listed(4, 1),
        ];
        let sets: Vec<String> = batches(0, &large)
            .iter()
            .map(|b| b.uids.to_string())
            .collect();
        assert_eq!(sets, ["1", "2:3", "4"]);
    }

    #[test]
    fn a_bad_batch_is_narrowed_to_the_culprit_and_only_that_fails() {
        let work = Work::new(Vec::new(), false, Quota::default());
        let batch = Batch {
            mailbox: 0,
            uids: [1, 2].into_iter().collect(),
        };
        work.narrow(&batch, "unreadable");
        let first = work.take(None).unwrap();
        assert_eq!(first.uids.to_string(), "1");
        work.narrow(&first, "unreadable");
        assert_eq!(
            work.failures(),
            [Failure {
                mailbox: 0,
                uid: 1,
                reason: "unreadable".into()
            }]
        );
        assert_eq!(work.take(Some(0)).unwrap().uids.to_string(), "2");
        assert!(work.take(None).is_none());
    }

    #[test]
    fn a_short_body_counts_once_two_fetches_agree() {
        let work = Work::new(Vec::new(), false, Quota::default());
        let (one, two) = (ContentId::of(b"1"), ContentId::of(b"2"));
        assert!(!work.confirm_short(0, 1, one));
        assert!(!work.confirm_short(0, 1, two));
        assert!(work.confirm_short(0, 1, two));
    }
}
