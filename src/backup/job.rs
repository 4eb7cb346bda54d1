//! From an enumeration to a job: mailboxes get their numbers, the plan is kept, and what
//! needs no fetching is recorded.

use super::Request;
use super::enumerate::{Enumerated, Outcome};
use super::work::FetchMailbox;
use crate::archive::format::{Departure, FlagChange, Record};
use crate::event::{Event, Sink};
use crate::model::{Account, Job, JobMailbox, JobState, Mailbox, MailboxId, UidSet};
use crate::source::SeenMailbox;
use crate::store::{StoreError, Writer};

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

/// The job of this run: an open one with the same source and selection goes on, another open
/// one is superseded, and none is made where there is nothing to do.
pub(super) fn plan_job(
    writer: &mut Writer,
    request: &Request,
    account: &Account,
    enumerated: &[Enumerated],
    sink: &dyn Sink,
) -> Result<Option<Job>, StoreError> {
    let jobs = writer.catalog().jobs()?;
    let mut current = None;
    for mut job in jobs
        .iter()
        .filter(|j| j.account == account.id && j.state == JobState::Open)
        .cloned()
    {
        let named = request.job == Some(job.id);
        if named
            || (job.source == request.source_text
                && job.selection == request.selection
                && current.is_none())
        {
            current = Some(job);
        } else {
            job.state = JobState::Superseded;
            writer.record(Record::Job(job));
        }
    }
    if let Some(job) = current {
        sink.event(Event::Resuming { job: job.id });
        return Ok(Some(job));
    }
    let mailboxes: Vec<JobMailbox> = enumerated
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
            }),
            _ => None,
        })
        .collect();
    if mailboxes.is_empty() {
        return Ok(None);
    }
    let job = Job {
        id: jobs.iter().map(|j| j.id).max().unwrap_or(0) + 1,
        account: account.id,
        source: request.source_text.clone(),
        selection: request.selection.clone(),
        created: request.open.clock.now(),
        state: JobState::Open,
        mailboxes,
    };
    writer.record(Record::Job(job.clone()));
    Ok(Some(job))
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
