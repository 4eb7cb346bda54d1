//! Messages that are asked for together.

use crate::backup::retries::Retry;
use crate::model::{FlagTable, Listed, Mailbox, UidSet};

/// A batch is closed at this many bytes …
const BATCH_BYTES: u64 = 2 << 20;
/// … or this many messages, which keeps its UID set below 1,000 bytes (RFC 2683 §3.2.1.5).
const BATCH_MESSAGES: usize = 80;

/// A mailbox with messages to fetch.
#[derive(Debug)]
pub(super) struct FetchMailbox {
    pub(super) mailbox: Mailbox,
    pub(super) uidvalidity: u32,
    pub(super) flags: FlagTable,
    /// Ascending by UID.
    pub(super) messages: Vec<Listed>,
    /// Those of them that were skipped before.
    pub(super) skipped: Vec<Retry<u32>>,
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
    /// A message that was skipped before, asked for alone.
    pub(super) retry: bool,
}

impl Batch {
    /// The same with these messages.
    pub(super) fn of(&self, uids: UidSet) -> Self {
        Self { uids, ..*self }
    }

    fn new(mailbox: usize, uids: Vec<u32>) -> Self {
        Self {
            mailbox,
            uids: uids.into_iter().collect(),
            retry: false,
        }
    }
}

/// Why a message was not archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) mailbox: usize,
    pub(super) uid: u32,
    pub(super) reason: String,
}

/// The new messages of a mailbox, ascending.
pub(super) fn batches(mailbox: usize, of: &FetchMailbox) -> Vec<Batch> {
    let skipped: UidSet = of.skipped.iter().map(|retry| retry.message).collect();
    let new = of.messages.iter().filter(|m| !skipped.contains(m.uid));
    let mut all = Vec::new();
    let mut uids = Vec::new();
    let mut bytes = 0u64;
    for message in new {
        if !uids.is_empty()
            && (bytes + u64::from(message.size) > BATCH_BYTES || uids.len() >= BATCH_MESSAGES)
        {
            all.push(Batch::new(mailbox, std::mem::take(&mut uids)));
            bytes = 0;
        }
        uids.push(message.uid);
        bytes += u64::from(message.size);
    }
    if !uids.is_empty() {
        all.push(Batch::new(mailbox, uids));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FlagSetId, MailboxId};

    fn mailbox(messages: Vec<Listed>, skipped: &[u32]) -> FetchMailbox {
        let retry = |uid: &u32| Retry {
            last: String::new(),
            message: *uid,
            reason: String::new(),
        };
        FetchMailbox {
            mailbox: Mailbox {
                id: MailboxId(1),
                account: crate::model::AccountId(1),
                name: String::new(),
                wire: String::new(),
                separator: None,
                folder: String::new(),
                uidvalidity: None,
                special_use: None,
                subscribed: false,
            },
            uidvalidity: 1,
            flags: FlagTable::default(),
            messages,
            skipped: skipped.iter().map(retry).collect(),
        }
    }

    fn listed(uid: u32, size: u32) -> Listed {
        Listed::new(uid, size, FlagSetId::UNKNOWN, None)
    }

    #[test]
    fn batches_are_bounded_in_bytes_and_in_length_of_their_set() {
        let scattered: Vec<Listed> = (0..1000)
            .map(|n| listed(4_000_000_000 + n * 2, 10))
            .collect();
        for batch in batches(0, &mailbox(scattered, &[])) {
            assert!(batch.uids.to_string().len() < 1000);
        }
        let large = vec![
            listed(1, 9 << 20),
            listed(2, 1 << 20),
            listed(3, 1 << 20),
            listed(4, 1),
        ];
        let sets: Vec<String> = batches(0, &mailbox(large, &[]))
            .iter()
            .map(|b| b.uids.to_string())
            .collect();
        assert_eq!(sets, ["1", "2:3", "4"]);
    }

    #[test]
    fn what_was_skipped_before_is_in_no_batch_of_new_mail() {
        let all = (1..=5).map(|uid| listed(uid, 10)).collect();
        let sets: Vec<String> = batches(0, &mailbox(all, &[2, 5]))
            .iter()
            .map(|b| b.uids.to_string())
            .collect();
        assert_eq!(sets, ["1,3:4"]);
    }
}
