//! `mailstow jobs`.

use std::collections::HashSet;

use mailstow::model::{Job, JobState};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::ArchiveArgs;
use super::failure::CommandError;
use super::output::Output;
use super::text::{bytes, escaped, table};

pub(crate) fn run(args: &ArchiveArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive, args.catalog.as_deref())?;
    let jobs = reader.catalog().jobs().map_err(StoreError::from)?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for job in &jobs {
        let planned: u64 = job
            .mailboxes
            .iter()
            .map(|m| m.fetch.len() + u64::from(m.messages))
            .sum();
        let size: u64 = job.mailboxes.iter().map(|m| m.bytes).sum();
        let done = done(&reader, job)?;
        let state = match job.state {
            JobState::Open => "open",
            JobState::Done => "done",
            JobState::Superseded => "superseded",
        };
        rows.push(vec![
            job.id.to_string(),
            state.to_owned(),
            job.created.clone(),
            format!("{done}/{planned}"),
            bytes(size),
            escaped(&job.source),
        ]);
        values.push(json!({"id": job.id, "state": state, "created": job.created, "source": job.source, "planned": planned, "held": done, "bytes": size}));
    }
    let words = if rows.is_empty() {
        "no jobs".to_owned()
    } else {
        table(
            &["job", "state", "planned at", "messages", "size", "source"],
            &rows,
        )
    };
    output.result("jobs", &json!({ "jobs": values }), &words, 0);
    Ok(0)
}

/// How many of a job's messages are held by now: progress is what is stored.
pub(super) fn done(reader: &Reader, job: &Job) -> Result<u64, CommandError> {
    let mut done = 0;
    for mailbox in &job.mailboxes {
        if mailbox.messages > 0 {
            done += over_pop(reader, job)?
                .saturating_sub(u64::from(mailbox.came_before))
                .min(u64::from(mailbox.messages));
            continue;
        }
        let mut held = HashSet::new();
        let each = |row: mailstow::model::Held| {
            held.insert(row.uid);
        };
        reader
            .catalog()
            .held(mailbox.mailbox, mailbox.uidvalidity, each)
            .map_err(StoreError::from)?;
        done += mailbox
            .fetch
            .iter()
            .filter(|uid| held.contains(uid))
            .count() as u64;
    }
    Ok(done)
}

/// How much has come over POP3, whatever it is filed as.
fn over_pop(reader: &Reader, job: &Job) -> Result<u64, CommandError> {
    let catalog = reader.catalog();
    let mut came = 0;
    for mailbox in catalog
        .mailboxes(Some(job.account))
        .map_err(StoreError::from)?
    {
        came += catalog
            .count_over_pop(mailbox.id)
            .map_err(StoreError::from)?;
    }
    Ok(came)
}
