//! `mailstow resume`: the open jobs of an archive, again.

use mailstow::backup::{DeletePolicy, FlagPolicy, Request};
use mailstow::model::{Job, JobState};
use mailstow::store::{OpenOptions, Reader};

use super::accounts::{How, Mode, run_all};
use super::args::ResumeArgs;
use super::backup::{limits, source};
use super::failure::CommandError;
use super::output::Output;
use super::source_arg::SourceUrl;
use super::text;
use super::unattended::{Kind, Told, attend};

pub(crate) fn run(args: &ResumeArgs, output: &Output) -> Result<u8, CommandError> {
    let kind = Kind {
        archive: &args.archive,
        allow_plaintext: args.connection.allow_plaintext,
        only_shown: false,
    };
    attend(&args.unattended, kind, output, |told| {
        attended(args, output, told)
    })
}

fn attended(args: &ResumeArgs, output: &Output, told: &mut Told) -> Result<u8, CommandError> {
    let requests = {
        let reader = Reader::open(&args.archive, args.catalog.catalog.as_deref())?;
        let jobs = open_jobs(&reader, args.job)?;
        let accounts = reader
            .catalog()
            .accounts()
            .map_err(mailstow::store::StoreError::from)?;
        let mut requests = Vec::new();
        for job in &jobs {
            let url = SourceUrl::parse(&job.source, &args.connection)?;
            let account = accounts
                .iter()
                .find(|a| a.id == job.account)
                .map_or_else(|| url.account(), |a| a.name.clone());
            told.account(account.clone());
            requests.push(Request {
                archive: args.archive.clone(),
                open: OpenOptions {
                    catalog: args.catalog.catalog.clone(),
                    ..OpenOptions::default()
                },
                source: source(&url, &args.connection, &args.password, jobs.len() == 1)?,
                account,
                source_text: job.source.clone(),
                selection: job.selection.clone(),
                // What to delete is said anew each time, or not at all.
                delete: DeletePolicy::Never,
                flags: FlagPolicy::default(),
                believe_deletions: false,
                limits: limits(&args.limits),
                newest_first: args.limits.newest_first,
                plan_only: false,
                job: Some(job.id),
            });
        }
        requests
    };
    if requests.is_empty() {
        text::out("no job is open; run mailstow backup for what is new");
        return Ok(0);
    }
    let how = How {
        mode: Mode::Run,
        wait: args.catalog.wait,
        max_runtime: args.limits.max_runtime,
    };
    run_all(&requests, how, output, told)
}

fn open_jobs(reader: &Reader, wanted: Option<u32>) -> Result<Vec<Job>, CommandError> {
    let jobs = reader
        .catalog()
        .jobs()
        .map_err(mailstow::store::StoreError::from)?;
    let Some(id) = wanted else {
        return Ok(jobs
            .into_iter()
            .filter(|j| j.state == JobState::Open)
            .collect());
    };
    match jobs.into_iter().find(|j| j.id == id) {
        Some(job) if job.state == JobState::Open => Ok(vec![job]),
        Some(_) => Err(
            CommandError::usage(format!("job {id} is not open any more"))
                .hint("mailstow jobs ARCHIVE lists them"),
        ),
        None => Err(CommandError::usage(format!("there is no job {id}"))
            .hint("mailstow jobs ARCHIVE lists them")),
    }
}
