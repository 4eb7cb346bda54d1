//! One run over one account.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::commit::{Committer, Finished};
use super::enumerate::{Enumerated, Outcome, enumerate};
use super::fetch::{Ended, describe};
use super::job::{fetch_list, plan_job, record_changes, register};
use super::line::Line;
use super::settle;
use super::stop::Stop;
use super::work::Work;
use super::workers::{Stage, fetch_all, is_local};
use super::{BackupError, Request};
use crate::archive::format::Record;
use crate::catalog::Catalog;
use crate::event::{Event, Sink};
use crate::imap::{ImapError, SpoolOptions};
use crate::model::{AccountId, Job, JobState, Mailbox, RunReport};
use crate::report::{BackupReport, Ending, MailboxReport};
use crate::store::{Reader, StoreError, Writer};

/// Plans a backup against an archive that need not exist, and changes nothing anywhere.
///
/// # Errors
/// The server or the archive cannot be read.
pub async fn dry_run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<BackupReport, BackupError> {
    let reader = match Reader::open(&request.archive, request.open.catalog.as_deref()) {
        Ok(reader) => Some(reader),
        Err(StoreError::Dir(crate::archive::DirError::Missing(_))) => None,
        Err(e) => return Err(e.into()),
    };
    let empty;
    let catalog = match &reader {
        Some(reader) => reader.catalog(),
        None => {
            empty = Catalog::create_private("").map_err(StoreError::from)?;
            &empty
        }
    };
    let accounts = catalog.accounts().map_err(StoreError::from)?;
    let alias = request.source.alias();
    let account = accounts
        .iter()
        .find(|a| a.name == request.account || a.aliases.contains(&alias));
    let known = match account {
        Some(account) => catalog
            .mailboxes(Some(account.id))
            .map_err(StoreError::from)?,
        None => Vec::new(),
    };
    let mut line = open_line(request, &spool_into(&std::env::temp_dir()), &*sink, stop).await?;
    let found = enumerate(
        &request.source,
        &mut line,
        catalog,
        &known,
        &request.selection,
        &*sink,
    )
    .await?;
    if let Some(session) = line.into_session() {
        session.logout().await;
    }
    let mut report = settle::planned_report(request, &found);
    sink.event(planned_event(&found.mailboxes));
    report.received = request.source.net.counters.received.load(Ordering::Relaxed);
    Ok(report)
}

/// Backs the account up: everything that is missing, or only the plan when the request says so.
///
/// Asked to stop, it commits what is there and reports [`Ending::Interrupted`]. Dropping the
/// future abandons the run where it stands; the archive is then as after a kill, which is safe.
///
/// # Errors
/// The archive or the server cannot be used at all, or writing failed. Whatever was committed
/// stays.
pub async fn run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<BackupReport, BackupError> {
    let started = request.open.clock.now();
    let mut writer = request.open.open(&request.archive)?;
    let findings = writer.findings().clone();
    let damaged: u64 = findings.damaged.iter().map(|(_, lost, _)| lost).sum();
    let cut: u64 = findings.cut.iter().map(|(_, bytes)| bytes).sum();
    if findings.adopted > 0 || cut > 0 || damaged > 0 {
        sink.event(Event::Recovered {
            adopted: findings.adopted,
            cut,
            damaged,
        });
    }
    let spool = spool_into(&writer.dir().tmp());
    let mut line = match open_line(request, &spool, &*sink, stop).await {
        Ok(line) => line,
        Err(error) => {
            leave(writer);
            return Err(error);
        }
    };
    let account = writer.account(&request.account, &request.source.alias())?;
    let mut known = writer.catalog().mailboxes(None).map_err(StoreError::from)?;
    let of_account: Vec<Mailbox> = known
        .iter()
        .filter(|m| m.account == account.id)
        .cloned()
        .collect();
    let found = enumerate(
        &request.source,
        &mut line,
        writer.catalog(),
        &of_account,
        &request.selection,
        &*sink,
    )
    .await;
    let mut found = match found {
        Ok(found) => found,
        Err(error) => {
            leave(writer);
            return Err(error.into());
        }
    };
    sink.event(planned_event(&found.mailboxes));
    let quirks = line.quirks();
    let session = line.into_session();

    register(&mut writer, &account, &mut found.mailboxes, &mut known);
    let mut report = settle::planned_report(request, &found);
    let enumerated = found.mailboxes;
    let job = plan_job(&mut writer, request, &account, &enumerated, &*sink)?;
    report.damaged = damaged;
    report.job = job.as_ref().map(|j| j.id);
    if request.plan_only {
        writer.commit()?;
        writer.finish()?;
        if let Some(session) = session {
            session.logout().await;
        }
        return Ok(report);
    }

    record_changes(&mut writer, &enumerated);
    report.run = Some(writer.run());
    let work = Work::new(fetch_list(&enumerated, &known));
    let committer =
        Committer::start(writer, Arc::clone(&sink), stop.clone()).map_err(BackupError::Thread)?;
    let stage = Stage {
        request,
        spool: &spool,
        work: &work,
        committer: &committer,
        sink: &sink,
        stop,
    };
    let (ended, session) = fetch_all(&stage, session, quirks).await;
    let closing = settle::close(&stage, session, &enumerated).await;
    let Finished {
        writer,
        committed,
        result,
    } = committer.finish().await.map_err(BackupError::Thread)?;
    result?;
    let lost = || BackupError::Thread(std::io::Error::other("the committer lost the archive"));
    let mut writer = writer.ok_or_else(lost)?;

    report.bytes = committed.bytes;
    // What is lost still: a run heals what the server sends again, and the next one says again
    // what it could not.
    report.damaged = writer.catalog().damaged().map_err(StoreError::from)?.len() as u64;
    settle::tally(&mut report, &enumerated, &committed, &closing);
    let local = settle_ending(&mut report, ended, stop, &work);
    report.received = request.source.net.counters.received.load(Ordering::Relaxed);
    finish_run(request, &mut writer, &report, job, account.id, started)?;
    writer.finish()?;
    match local {
        Some(error) => Err(BackupError::Spool(error)),
        None => Ok(report),
    }
}

/// Nothing was begun, so nothing is recorded; but the archive is left in good order. What went
/// wrong before is what the user has to know.
fn leave(writer: Writer) {
    if let Err(error) = writer.finish() {
        tracing::debug!(%error, "the archive was not marked clean");
    }
}

/// The last commit of a run: its report, and its job if that is done.
fn finish_run(
    request: &Request,
    writer: &mut Writer,
    report: &BackupReport,
    job: Option<Job>,
    account: AccountId,
    started: String,
) -> Result<(), StoreError> {
    if let Some(mut job) = job.filter(|_| report.ending == Ending::Complete) {
        job.state = JobState::Done;
        writer.record(Record::Job(job));
    }
    writer.record(Record::Run(RunReport {
        id: writer.run(),
        job: report.job,
        account,
        started,
        ended: request.open.clock.now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        exit: report.exit(),
        total: report.total,
    }));
    writer.commit()?;
    Ok(())
}

async fn open_line<'a>(
    request: &'a Request,
    spool: &SpoolOptions,
    sink: &'a dyn Sink,
    stop: &'a Stop,
) -> Result<Line<'a>, BackupError> {
    let endpoint = &request.source.endpoint;
    let server = format!("{}:{}", endpoint.host, endpoint.port);
    Line::open(&request.source, spool.clone(), sink, stop)
        .await
        .map_err(|source| BackupError::Connect { server, source })
}

/// Large messages wait as files in the archive's `tmp/`.
fn spool_into(tmp: &Path) -> SpoolOptions {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let tmp = tmp.to_owned();
    SpoolOptions::new(Arc::new(move || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = tmp.join(format!("spool-{}-{number}", std::process::id()));
        Ok((crate::durable::create_new(&path)?, path))
    }))
}

fn planned_event(enumerated: &[Enumerated]) -> Event {
    let plans = enumerated.iter().filter_map(|e| match &e.outcome {
        Outcome::Planned(planned) => Some(&planned.plan),
        _ => None,
    });
    let (mut messages, mut bytes, mut mailboxes) = (0, 0, 0);
    for plan in plans.filter(|p| !p.fetch.is_empty()) {
        messages += plan.fetch.len() as u64;
        bytes += plan.bytes;
        mailboxes += 1;
    }
    Event::Planned {
        messages,
        bytes,
        mailboxes,
    }
}

/// Says in the report how the run ended. Gives the error of a run that this machine ended,
/// which is the user's to know even though everything committed is safe.
fn settle_ending(
    report: &mut BackupReport,
    ended: Ended,
    stop: &Stop,
    work: &Work,
) -> Option<ImapError> {
    match ended {
        Ended::Done if !stop.is_requested() || work.batches_left() == 0 => {
            report.ending = Ending::Complete
        }
        Ended::Done | Ended::Stopped => report.ending = Ending::Interrupted,
        Ended::Died => {
            report.ending = Ending::ServerLost;
            report.error = Some(
                "a part of mailstow died over an answer of the server; please report this"
                    .to_owned(),
            );
        }
        Ended::Failed(error) => {
            report.ending = Ending::ServerLost;
            report.error = Some(describe(&error));
            return is_local(&error).then_some(error);
        }
    }
    None
}

/// So that settle.rs and this file agree on what a mailbox without work looks like.
pub(super) fn empty_mailbox(name: &str) -> MailboxReport {
    MailboxReport {
        name: name.to_owned(),
        tally: Default::default(),
        unchanged: false,
        problem: None,
    }
}
