//! The job of a run: the plan as it is kept.

use super::Request;
use super::side::Load;
use crate::archive::format::Record;
use crate::event::{Event, Sink};
use crate::model::{AccountId, Job, JobMailbox, JobState};
use crate::store::{StoreError, Writer};

/// The job of this run: an open one with the same source and selection goes on, another open
/// one is superseded, and none is made where there is nothing to do.
pub(super) fn plan_job(
    writer: &mut Writer,
    request: &Request,
    account: AccountId,
    mailboxes: Vec<JobMailbox>,
    load: Load,
    sink: &dyn Sink,
) -> Result<Option<Job>, StoreError> {
    let jobs = writer.catalog().jobs()?;
    let mut current = None;
    for mut job in jobs
        .iter()
        .filter(|j| j.account == account && j.state == JobState::Open)
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
        let planned = job.mailboxes.iter();
        let messages: u64 = planned
            .clone()
            .map(|m| m.fetch.len() + u64::from(m.messages))
            .sum();
        let bytes: u64 = planned.map(|m| m.bytes).sum();
        sink.event(Event::Resuming {
            job: job.id,
            done: messages.saturating_sub(load.messages),
            bytes: bytes.saturating_sub(load.bytes),
        });
        return Ok(Some(job));
    }
    if mailboxes.is_empty() {
        return Ok(None);
    }
    let job = Job {
        id: jobs.iter().map(|j| j.id).max().unwrap_or(0) + 1,
        account,
        source: request.source_text.clone(),
        selection: request.selection.clone(),
        created: request.open.clock.now(),
        state: JobState::Open,
        mailboxes,
    };
    writer.record(Record::Job(job.clone()));
    Ok(Some(job))
}
