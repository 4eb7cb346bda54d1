//! From an enumeration to the archive: mailboxes get their numbers, and what needs no fetching
//! is recorded.

use super::batch::FetchMailbox;
use super::found::{Enumerated, Enumeration, Outcome, Planned};
use crate::archive::format::{Departure, Doubt, FlagChange, Record};
use crate::backup::retries::Retry;
use crate::catalog::SkipRow;
use crate::model::{
    Account, Checkpoint, Evidence, JobMailbox, Mailbox, MailboxId, Placement, RemoteId, Skip,
    UidSet,
};
use crate::source::SeenMailbox;
use crate::store::Writer;

/// Gives every mailbox its number, but one that vanished before it was ever seen open.
pub(super) fn register(
    writer: &mut Writer,
    account: &Account,
    enumerated: &mut [Enumerated],
    known: &mut Vec<Mailbox>,
    plan_only: bool,
) {
    // A mailbox that was renamed leaves its name to another one.
    let (renamed, others): (Vec<_>, Vec<_>) = enumerated
        .iter_mut()
        .partition(|e| e.renamed_from.is_some());
    for e in renamed.into_iter().chain(others) {
        let uidvalidity = match &e.outcome {
            Outcome::Failed { vanished: true, .. } => continue,
            // Only what goes on to recognise messages under another UIDVALIDITY may say so.
            Outcome::Failed { .. } => None,
            Outcome::Planned(_) if plan_only => None,
            Outcome::Planned(planned) => planned.status.uidvalidity,
            Outcome::Unchanged { .. } => e.seen.status.and_then(|s| s.uidvalidity),
        };
        let mailbox = Mailbox {
            id: e.id.unwrap_or(MailboxId(0)),
            ..as_mailbox(&e.seen, account, uidvalidity)
        };
        e.id = Some(writer.mailbox(account, mailbox, known).id);
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
///
/// Of a job that is only planned no later run goes on: what else had changed is not recorded.
pub(super) fn job_mailboxes(enumerated: &[Enumerated], plan_only: bool) -> Vec<JobMailbox> {
    enumerated
        .iter()
        .filter_map(|e| match &e.outcome {
            Outcome::Planned(p) if !p.plan.fetch.is_empty() => Some(JobMailbox {
                mailbox: e.id?,
                uidvalidity: p.uidvalidity,
                exists: p.exists,
                uidnext: p.status.uidnext.filter(|_| !plan_only && is_whole(p)),
                highestmodseq: p.status.highestmodseq,
                listed_at: p.listed_at,
                fetch: p.plan.fetch.iter().map(|m| m.uid).collect::<UidSet>(),
                bytes: p.plan.bytes,
                held: p.plan.held + u32::try_from(p.healed.len()).unwrap_or(u32::MAX),
                excluded: p.plan.excluded,
                messages: 0,
                came_before: 0,
            }),
            _ => None,
        })
        .collect()
}

/// Whether everything that is there was seen, so that a later run can go on from here.
fn is_whole(planned: &Planned) -> bool {
    let plan = &planned.plan;
    planned.doubtful.is_empty() && plan.unlisted == 0 && plan.left == 0
}

/// What needs no fetching: flags that changed, messages that left, and messages that are held
/// under another remote id.
pub(super) fn record_changes(writer: &mut Writer, found: &Enumeration, account: &Account) {
    for departure in &found.departed {
        writer.record(Record::Gone(departure.clone()));
        // If the mailbox comes back, nothing is to be taken for unchanged.
        let tombstone = Checkpoint::tombstone(departure.mailbox, departure.uidvalidity);
        writer.record(Record::Checkpoint(tombstone));
    }
    if let Some(missing) = &found.doubts {
        writer.record(Record::Doubt(Doubt {
            account: account.id,
            missing: missing.clone(),
        }));
    }
    for e in &found.mailboxes {
        let (Outcome::Planned(planned), Some(mailbox)) = (&e.outcome, e.id) else {
            continue;
        };
        if planned.plan.unlisted == 0 && planned.plan.nameless < planned.accepted_nameless {
            let fewer = lower_acceptance(writer, mailbox, planned.plan.nameless);
            fewer.into_iter().for_each(|record| writer.record(record));
        }
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
        for (message, content) in &planned.healed {
            writer.record(Record::Place(Placement {
                content: *content,
                mailbox,
                remote: RemoteId::Imap {
                    uidvalidity,
                    uid: message.uid,
                },
                flags: planned
                    .flags
                    .get(message.flags)
                    .cloned()
                    .unwrap_or_default(),
                date: message.date(),
                size: message.size,
                evidence: Evidence::Healed,
            }));
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

/// Fewer messages without a name are missing than were accepted: one more would be news again.
fn lower_acceptance(writer: &Writer, mailbox: MailboxId, count: u32) -> Option<Record> {
    // Without the catalog the next commit fails, and says why.
    let skips = writer.catalog().skips(true).ok()?;
    let skip = skips
        .into_iter()
        .find(|s| s.mailbox == mailbox && s.remote.is_none() && s.accepted.is_some())?;
    Some(Record::Skip(Skip {
        mailbox,
        remote: None,
        count,
        reason: skip.reason,
        accepted: skip.accepted,
    }))
}

/// The mailboxes with something to fetch. `skips` are the open ones of the archive.
pub(super) fn fetch_list(
    enumerated: &[Enumerated],
    known: &[Mailbox],
    skips: &[SkipRow],
) -> Vec<FetchMailbox> {
    enumerated
        .iter()
        .filter_map(|e| {
            let Outcome::Planned(planned) = &e.outcome else {
                return None;
            };
            let mailbox = known.iter().find(|m| Some(m.id) == e.id)?.clone();
            let messages = planned.plan.fetch.clone();
            let (uidvalidity, flags) = (planned.uidvalidity, planned.flags.clone());
            let skipped = skips.iter().filter_map(|skip| match skip.remote {
                Some(RemoteId::Imap {
                    uidvalidity: of,
                    uid,
                }) if skip.mailbox == mailbox.id && of == uidvalidity => Some(Retry {
                    last: skip.last.clone(),
                    message: uid,
                    reason: skip.reason.clone(),
                }),
                _ => None,
            });
            let is_there = |retry: &Retry<u32>| {
                let found = messages.binary_search_by_key(&retry.message, |m| m.uid);
                found.is_ok()
            };
            let skipped = skipped.filter(is_there).collect();
            (!messages.is_empty()).then_some(FetchMailbox {
                mailbox,
                uidvalidity,
                flags,
                messages,
                skipped,
            })
        })
        .collect()
}
