//! From an enumeration to the archive: mailboxes get their numbers, and what needs no fetching
//! is recorded.

use super::enumerate::{Enumerated, Outcome};
use super::work::FetchMailbox;
use crate::archive::format::{Departure, FlagChange, Record};
use crate::model::{Account, JobMailbox, Mailbox, MailboxId, UidSet};
use crate::source::SeenMailbox;
use crate::store::Writer;

/// Gives every mailbox its number, but one that vanished before it was ever seen open.
pub(super) fn register(
    writer: &mut Writer,
    account: &Account,
    enumerated: &mut [Enumerated],
    known: &mut Vec<Mailbox>,
) {
    for e in enumerated {
        let uidvalidity = match &e.outcome {
            Outcome::Failed { vanished: true, .. } => continue,
            Outcome::Planned(planned) => planned.status.uidvalidity,
            _ => e.seen.status.and_then(|s| s.uidvalidity),
        };
        e.id = Some(
            writer
                .mailbox(account, as_mailbox(&e.seen, account, uidvalidity), known)
                .id,
        );
    }
}

fn as_mailbox(seen: &SeenMailbox, account: &Account, uidvalidity: Option<u32>) -> Mailbox {
    Mailbox {
        id: MailboxId(0),
        account: account.id,
        name: seen.name.clone(),
        wire: seen.wire.clone(),
        separator: seen.separator,
        folder: String::new(),
        uidvalidity,
        special_use: seen.special_use.clone(),
        subscribed: seen.subscribed,
    }
}

/// What a job says of each mailbox in which something is to be fetched.
pub(super) fn job_mailboxes(enumerated: &[Enumerated]) -> Vec<JobMailbox> {
    enumerated
        .iter()
        .filter_map(|e| match &e.outcome {
            Outcome::Planned(p) if !p.plan.fetch.is_empty() => Some(JobMailbox {
                mailbox: e.id?,
                uidvalidity: p.uidvalidity,
                exists: p.exists,
                fetch: p.plan.fetch.iter().map(|m| m.uid).collect::<UidSet>(),
                bytes: p.plan.bytes,
                held: p.plan.held,
                excluded: p.plan.excluded,
                messages: 0,
                came_before: 0,
            }),
            _ => None,
        })
        .collect()
}

/// Flags that changed and messages that left need no fetching.
pub(super) fn record_changes(writer: &mut Writer, enumerated: &[Enumerated]) {
    for e in enumerated {
        let (Outcome::Planned(planned), Some(mailbox)) = (&e.outcome, e.id) else {
            continue;
        };
        let uidvalidity = planned.uidvalidity;
        for (set, uids) in &planned.plan.flags {
            if let Some(flags) = planned.flags.get(*set) {
                let change = FlagChange {
                    mailbox,
                    uidvalidity,
                    uids: uids.clone(),
                    flags: flags.clone(),
                };
                writer.record(Record::Flags(change));
            }
        }
        if !planned.plan.gone.is_empty() {
            let uids = planned.plan.gone.clone();
            writer.record(Record::Gone(Departure {
                mailbox,
                uidvalidity,
                uids,
            }));
        }
    }
}

/// The mailboxes with something to fetch.
pub(super) fn fetch_list(enumerated: &[Enumerated], known: &[Mailbox]) -> Vec<FetchMailbox> {
    enumerated
        .iter()
        .filter_map(|e| {
            let Outcome::Planned(planned) = &e.outcome else {
                return None;
            };
            let mailbox = known.iter().find(|m| Some(m.id) == e.id)?.clone();
            let messages = planned.plan.fetch.clone();
            let (uidvalidity, flags) = (planned.uidvalidity, planned.flags.clone());
            (!messages.is_empty()).then_some(FetchMailbox {
                mailbox,
                uidvalidity,
                flags,
                messages,
            })
        })
        .collect()
}
