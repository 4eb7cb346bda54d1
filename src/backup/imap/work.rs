//! What is left to fetch: batches, taken by the workers in mailbox order, and after all of them
//! what was skipped before, one by one.

mod blame;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{Batch, Failure, FetchMailbox, batches};
use crate::backup::limit::Quota;
use crate::backup::retries::{LOSSES, Retry, in_order, share};
use crate::backup::side::Load;
use crate::model::{ContentId, MailboxId, UidSet};

/// How often a mailbox is waited for that the server says is busy.
const BUSY_WAITS: u32 = 2;
/// A message: an index into the fetch mailboxes, and a UID.
type Message = (usize, u32);

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
    /// Messages that were skipped before and are to be tried again …
    retries: VecDeque<Message>,
    /// … how many more of them may be asked for in vain …
    tries_left: u64,
    /// … and connections lost over them.
    retry_losses: u32,
    /// How often each mailbox was waited for.
    waits: HashMap<usize, u32>,
    /// The server cut a pipelined connection: no more than one command at a time.
    shallow: bool,
    /// A worker died with what it had asked for.
    lost_track: bool,
}

impl State {
    fn may_retry(&self) -> bool {
        self.tries_left > 0 && self.retry_losses < LOSSES
    }
}

impl Work {
    pub(super) fn new(mailboxes: Vec<FetchMailbox>, newest_first: bool, quota: Quota) -> Self {
        let as_wished = |(n, m): (usize, &FetchMailbox)| {
            let mut batches = batches(n, m);
            if newest_first {
                batches.reverse();
            }
            batches
        };
        let batches: VecDeque<Batch> = mailboxes.iter().enumerate().flat_map(as_wished).collect();
        let retries = mailboxes.iter().enumerate().flat_map(|(n, m)| {
            m.skipped.iter().map(move |retry| Retry {
                last: retry.last.clone(),
                message: (n, retry.message),
                reason: retry.reason.clone(),
            })
        });
        let new = batches.iter().map(|b| b.uids.len()).sum();
        let retries = in_order(retries.collect());
        let state = State {
            batches,
            retries: retries.into_iter().map(|retry| retry.message).collect(),
            tries_left: share(new),
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
        let Some(next) = state.batches.front() else {
            // What was taken before is received first.
            return match mailbox {
                Some(_) => None,
                None => self.take_retry(&mut state),
            };
        };
        if !self.quota.has_room() || mailbox.is_some_and(|open| open != next.mailbox) {
            return None;
        }
        let mut batch = state.batches.pop_front()?;
        let later = self.cut_at_limit(&mut batch);
        if !later.is_empty() {
            state.batches.push_front(batch.of(later));
        }
        Some(batch)
    }

    /// A message that was skipped before. Alone, so that it is known who is to blame.
    fn take_retry(&self, state: &mut State) -> Option<Batch> {
        if !self.quota.has_room() || !state.may_retry() {
            return None;
        }
        let (mailbox, uid) = state.retries.pop_front()?;
        self.quota.ask(self.announced(mailbox, uid));
        state.tries_left -= 1;
        Some(Batch {
            mailbox,
            uids: [uid].into_iter().collect(),
            retry: true,
        })
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

    /// A message of this batch came, with so many bytes.
    pub(super) fn came(&self, batch: &Batch, announced: u64, len: u64) {
        self.quota.came(announced, len);
        // It was not tried in vain.
        self.state().tries_left += u64::from(batch.retry);
    }

    /// What was asked for did not come.
    fn give_back(&self, batch: &Batch) {
        for uid in batch.uids.iter() {
            self.quota.give_back(self.announced(batch.mailbox, uid));
        }
    }

    /// Whether there is anything to be taken.
    pub(super) fn may_take(&self) -> bool {
        self.quota.has_room() && self.commands() > 0
    }

    /// How many commands it takes at least.
    pub(super) fn commands(&self) -> usize {
        let state = self.state();
        let retries = state.may_retry().then_some(state.retries.len());
        state.batches.len() + retries.unwrap_or(0)
    }

    /// Whether a mailbox that is busy is to be waited for; not for ever.
    pub(super) fn is_worth_waiting_for(&self, mailbox: usize) -> bool {
        let mut state = self.state();
        let waits = state.waits.entry(mailbox).or_default();
        *waits += 1;
        *waits <= BUSY_WAITS
    }

    /// Batches of new mail that nobody took.
    pub(super) fn batches_left(&self) -> usize {
        self.state().batches.len()
    }

    /// The new mail that nobody took.
    pub(super) fn left(&self) -> Load {
        let state = self.state();
        let of = |b: &Batch| {
            b.uids
                .iter()
                .map(|uid| (b.mailbox, uid))
                .collect::<Vec<_>>()
        };
        self.load_of(state.batches.iter().flat_map(of))
    }

    /// What is tried again in this run.
    pub(super) fn retries(&self) -> Load {
        self.load_of(self.state().retries.iter().copied())
    }

    fn load_of(&self, messages: impl Iterator<Item = Message>) -> Load {
        let mut load = Load::default();
        let mut mailboxes = HashSet::new();
        for (mailbox, uid) in messages {
            load.messages += 1;
            load.bytes += self.announced(mailbox, uid);
            mailboxes.insert(mailbox);
        }
        load.mailboxes = mailboxes.len() as u64;
        load
    }

    /// What was skipped before and was not tried again in this run, with the reason of then.
    pub(super) fn untried(&self) -> Vec<Failure> {
        let state = self.state();
        let mut untried: Vec<Failure> = Vec::new();
        for &(mailbox, uid) in &state.retries {
            let of = self.mailboxes.get(mailbox);
            let before = of.and_then(|m| m.skipped.iter().find(|r| r.message == uid));
            untried.push(Failure {
                mailbox,
                uid,
                reason: before.map(|r| r.reason.clone()).unwrap_or_default(),
            });
        }
        untried
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
        if batch.retry {
            let mut state = self.state();
            for uid in batch.uids.iter() {
                state.retries.push_front((batch.mailbox, uid));
                state.tries_left += 1;
            }
        } else if !batch.uids.is_empty() {
            self.state().batches.push_front(batch);
        }
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
