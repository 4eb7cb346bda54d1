//! Which message is to blame for what did not come.

use super::{Batch, Failure, Work};
use crate::model::ContentId;

/// Tries, the first of them in a batch, after which a message has failed …
const NARROW_TRIES: u32 = 2;
/// … and after which it is to blame for what may be nobody's fault.
const SUSPECT_TRIES: u32 = 3;
/// How often a body is fetched that is never the same.
const SHORT_TRIES: u32 = 4;

impl Work {
    /// Asks for each of these messages alone: one of them may be what the server or the
    /// parser stumbles over. A message that was alone already has failed.
    pub(in crate::backup::imap) fn narrow(&self, batch: &Batch, reason: &str) {
        self.narrow_after(batch, reason, NARROW_TRIES);
    }

    /// A session ended over a message that was skipped before; a few of these end the tries.
    pub(in crate::backup::imap) fn lost_over_retry(&self) {
        self.state().retry_losses += 1;
    }

    /// [`narrow`](Self::narrow) after a lost connection or a call for patience, which may be
    /// nobody's fault: it takes several to convict a message. Whether one is now.
    pub(in crate::backup::imap) fn suspect(&self, batch: &Batch, reason: &str) -> bool {
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
            // One that was skipped before had its tries.
            if alone && (*tries >= enough || batch.retry) {
                failed = true;
                state.failures.push(Failure {
                    mailbox: batch.mailbox,
                    uid,
                    reason: reason.to_owned(),
                });
            } else {
                state
                    .batches
                    .push_front(batch.of([uid].into_iter().collect()));
            }
        }
        failed
    }

    /// A body shorter than RFC822.SIZE says. `true` once two fetches in a row agree on it, so
    /// it may be kept; otherwise it is asked for again, or fails after a few tries.
    pub(in crate::backup::imap) fn confirm_short(
        &self,
        mailbox: usize,
        uid: u32,
        id: ContentId,
    ) -> bool {
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
                retry: false,
            });
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::limit::Quota;

    #[test]
    fn a_bad_batch_is_narrowed_to_the_culprit_and_only_that_fails() {
        let work = Work::new(Vec::new(), false, Quota::default());
        let batch = Batch {
            mailbox: 0,
            uids: [1, 2].into_iter().collect(),
            retry: false,
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
