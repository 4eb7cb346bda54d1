//! One run over one account.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::{Committer, Finished};
use super::imap::ImapSide;
use super::job::plan_job;
use super::limit::Quota;
use super::pop3::Pop3Side;
use super::side::{Ended, Ground, Side};
use super::{BackupError, Request};
use crate::archive::format::Record;
use crate::catalog::Catalog;
use crate::contact::{ServerError, Stop, describe, spool_into};
use crate::event::{Event, Sink};
use crate::model::{Account, AccountId, Job, JobState, RunReport};
use crate::report::{BackupReport, Ending, Reached};
use crate::source::Source;
use crate::store::{Committed, Reader, RepackPolicy, StoreError, Writer};

/// Plans a backup against an archive that need not exist, and changes nothing anywhere.
///
/// # Errors
/// The server or the archive cannot be read.
pub async fn dry_run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<BackupReport, BackupError> {
    let spool = spool_into(&std::env::temp_dir());
    let (stop, quota) = (&stop.or_at(request.limits.until), &Quota::default());
    let ground = Ground {
        request,
        spool: &spool,
        sink: &sink,
        stop,
        quota,
    };
    match &request.source {
        Source::Imap(source) => look(ImapSide::new(ground, source), ground).await,
        Source::Pop3(source) => look(Pop3Side::new(ground, source), ground).await,
    }
}

async fn look(mut side: impl Side, ground: Ground<'_>) -> Result<BackupReport, BackupError> {
    let request = ground.request;
    let reader = match Reader::open(&request.archive, request.open.catalog.as_deref()) {
        Ok(reader) => Some(reader),
        Err(StoreError::Dir(crate::archive::DirError::Missing(_))) => None,
        Err(e) => return Err(e.into()),
    };
    let empty;
    let catalog = match &reader {
        Some(reader) => reader.catalog(),
        None => {
            empty = Catalog::create_private("")?;
            &empty
        }
    };
    let accounts = catalog.accounts()?;
    let alias = request.source.alias();
    let account = accounts
        .iter()
        .find(|a| a.name == request.account || a.aliases.contains(&alias));
    match look_around(&mut side, catalog, account).await {
        Err(error) if is_out_of_time(&error, ground.stop) => {
            return Ok(BackupReport::out_of_time(&request.account));
        }
        looked => looked?,
    }
    let mut report = side.report();
    ground.sink.event(planned(&side));
    side.part().await;
    report.received = received(request);
    Ok(report)
}

async fn look_around(
    side: &mut impl Side,
    catalog: &Catalog,
    account: Option<&Account>,
) -> Result<(), BackupError> {
    side.connect().await?;
    side.enumerate(catalog, account).await
}

/// Backs the account up: everything that is missing, or only the plan when the request says so.
///
/// Asked to stop, it commits what is there and reports [`Ending::Interrupted`]. At a limit it takes
/// in what was asked for, commits that, and reports [`Ending::Limit`]; the job stays open. Dropping the
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
    let writer = request.open.open(&request.archive)?;
    let spool = spool_into(&writer.dir().tmp());
    let stop = &stop.or_at(request.limits.until);
    let quota = &Quota::new(request.limits.bytes);
    let ground = Ground {
        request,
        spool: &spool,
        sink: &sink,
        stop,
        quota,
    };
    match &request.source {
        Source::Imap(source) => work(ImapSide::new(ground, source), ground, writer, started).await,
        Source::Pop3(source) => work(Pop3Side::new(ground, source), ground, writer, started).await,
    }
}

async fn work(
    mut side: impl Side,
    ground: Ground<'_>,
    mut writer: Writer,
    started: String,
) -> Result<BackupReport, BackupError> {
    let Ground {
        request,
        sink,
        stop,
        quota,
        ..
    } = ground;
    let damaged = say_what_was_found(&writer, &**sink);
    let account = match begin(&mut side, request, &mut writer).await {
        Ok(account) => account,
        Err(error) if is_out_of_time(&error, stop) => {
            return out_of_time(request, writer, damaged, started);
        }
        Err(error) => {
            leave(writer);
            return Err(error);
        }
    };
    sink.event(planned(&side));
    let mut report = side.report();
    let (mailboxes, load) = (side.job_mailboxes(), side.load());
    let job = plan_job(&mut writer, request, account, mailboxes, load, &**sink)?;
    report.damaged = damaged;
    report.job = job.as_ref().map(|j| j.id);
    if request.plan_only {
        writer.commit()?;
        writer.finish()?;
        side.part().await;
        return Ok(report);
    }

    side.record(&mut writer);
    report.run = Some(writer.run());
    let committer =
        Committer::start(writer, Arc::clone(sink), stop.clone()).map_err(BackupError::Thread)?;
    let ended = side.fetch(&committer).await;
    let Finished {
        writer,
        committed,
        result,
    } = committer.finish().await.map_err(BackupError::Thread)?;
    result?;
    let lost = || BackupError::Thread(std::io::Error::other("the committer lost the archive"));
    let mut writer = writer.ok_or_else(lost)?;

    report.bytes = committed.bytes;
    report.line_end_added = committed.line_end_added;
    // What is lost still: a run heals what the server sends again, and the next one says again
    // what it could not.
    report.damaged = writer.catalog().damaged()?.len() as u64;
    side.tally(&mut report, &committed);
    exclude_forgotten(&mut report, &committed, writer.catalog())?;
    let local = settle_ending(&mut report, ended);
    if report.ending == Ending::Interrupted
        && let Some(limit) = quota.reached(stop)
    {
        let left = side.left();
        report.ending = Ending::Limit;
        report.limit = Some(Reached {
            limit,
            messages_left: Some(left.messages),
            bytes_left: Some(left.bytes),
        });
    }
    side.afterwards(&mut writer, &mut report).await?;
    report.received = received(request);
    finish_run(request, &mut writer, &report, job, account, started)?;
    if report.ending == Ending::Complete {
        tidy(writer, stop, &mut report).await?;
    } else {
        writer.finish()?;
    }
    match local {
        Some(error) => Err(BackupError::Spool(error)),
        None => Ok(report),
    }
}

/// Up to the plan: nothing that fails here leaves more in the archive than what is known of the
/// account.
async fn begin(
    side: &mut impl Side,
    request: &Request,
    writer: &mut Writer,
) -> Result<AccountId, BackupError> {
    side.connect().await?;
    let account = writer.account(&request.account, &request.source.alias())?;
    side.prepare(writer, &account)?;
    side.enumerate(writer.catalog(), Some(&account)).await?;
    side.register(writer, &account);
    Ok(account.id)
}

/// Whether the run failed for no other reason than that its time was up.
fn is_out_of_time(error: &BackupError, stop: &Stop) -> bool {
    let stopped = match error {
        BackupError::Connect { source, .. } => source.is_stop(),
        BackupError::List(source) => source.is_stop(),
        _ => false,
    };
    stopped && stop.is_time_up()
}

/// The time was up before there was a plan. A job that is open stays as it is.
fn out_of_time(
    request: &Request,
    mut writer: Writer,
    damaged: u64,
    started: String,
) -> Result<BackupReport, BackupError> {
    let mut report = BackupReport::out_of_time(&request.account);
    report.damaged = damaged;
    report.received = received(request);
    let (accounts, alias) = (writer.catalog().accounts()?, request.source.alias());
    let known = accounts
        .iter()
        .find(|a| a.name == request.account || a.aliases.contains(&alias));
    // An account that was never seen has no runs either.
    if let (Some(account), false) = (known, request.plan_only) {
        report.run = Some(writer.run());
        finish_run(request, &mut writer, &report, None, account.id, started)?;
    }
    writer.finish()?;
    Ok(report)
}

/// Tells what opening the archive found; gives the number of lost messages.
fn say_what_was_found(writer: &Writer, sink: &dyn Sink) -> u64 {
    let findings = writer.findings();
    let damaged: u64 = findings.damaged.iter().map(|(_, lost, _)| lost).sum();
    let cut: u64 = findings.cut.iter().map(|(_, bytes)| bytes).sum();
    let adopted = findings.adopted;
    if adopted > 0 || cut > 0 || damaged > 0 {
        sink.event(Event::Recovered {
            adopted,
            cut,
            damaged,
        });
    }
    damaged
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

/// What was forgotten on request and turned up again was fetched, and left out.
fn exclude_forgotten(
    report: &mut BackupReport,
    committed: &Committed,
    catalog: &Catalog,
) -> Result<(), StoreError> {
    let mailboxes = catalog.mailboxes(None)?;
    for (id, count) in &committed.forgotten {
        let name = mailboxes.iter().find(|m| m.id == *id).map(|m| &m.name);
        // A maildrop is one row, under a name of its own.
        let row = match report.mailboxes.iter().position(|m| Some(&m.name) == name) {
            Some(n) => report.mailboxes.get_mut(n),
            None => report.mailboxes.first_mut(),
        };
        if let Some(row) = row {
            row.tally.excluded += count;
            row.excluded_because
                .push(("forgotten on request".to_owned(), *count));
        }
    }
    report.add_up();
    Ok(())
}

/// Puts small data frames together and ends in good order. The run is complete and durable, so a
/// failure is no failure of it.
async fn tidy(writer: Writer, stop: &Stop, report: &mut BackupReport) -> Result<(), BackupError> {
    let stop = stop.clone();
    // Reads, compresses and writes for seconds, while signals have to be heard.
    let work = move || {
        let mut writer = writer;
        let policy = RepackPolicy::of_this_machine();
        match writer.repack(&policy, &|| stop.is_requested()) {
            Ok(done) => Ok((done, writer.finish()?)),
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok((done, ()))) => report.damaged += done.damaged,
        Ok(Err(error)) => report.warnings.push(format!(
            "everything is saved, but small frames could not be repacked: {}",
            describe(&error)
        )),
        Err(died) => return Err(BackupError::Thread(std::io::Error::other(died))),
    }
    Ok(())
}

fn received(request: &Request) -> u64 {
    request
        .source
        .net()
        .counters
        .received
        .load(Ordering::Relaxed)
}

fn planned(side: &impl Side) -> Event {
    let load = side.load();
    Event::Planned {
        messages: load.messages,
        bytes: load.bytes,
        mailboxes: load.mailboxes,
    }
}

/// Says in the report how the run ended. Gives the error of a run that this machine ended,
/// which is the user's to know even though everything committed is safe.
fn settle_ending(report: &mut BackupReport, ended: Ended) -> Option<ServerError> {
    match ended {
        Ended::Done => report.ending = Ending::Complete,
        // Or a limit, which its caller finds out.
        Ended::Stopped => report.ending = Ending::Interrupted,
        Ended::Short => report.ending = Ending::Short,
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
            return error.is_local().then_some(error);
        }
    }
    None
}
