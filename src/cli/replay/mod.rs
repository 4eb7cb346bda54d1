//! `mailstow replay`.

mod columns;
mod delivery;
mod equations;
mod html;
mod said;
mod words;

use std::path::Path;
use std::sync::Arc;

use mailstow::archive::LogError;
use mailstow::backup::{BackupError, Stop};
use mailstow::catalog::Within;
use mailstow::clock::Clock;
use mailstow::durable::LockError;
use mailstow::event::Sink;
use mailstow::model::{AccountId, JobState};
use mailstow::replay::ledger::LedgerError;
use mailstow::replay::{self, Manner, ReplayError, ReplayReport, Request, Resend, names, repair};
use mailstow::report::Ending;
use mailstow::secret::Credentials;
use mailstow::source::ImapSource;
use mailstow::store::{Reader, StoreError};

use super::args::{MannerArgs, Repair, ReplayArgs, TargetArgs};
use super::as_of;
use super::failure::{CommandError, exit};
use super::jobs;
use super::output::Output;
use super::page::Page;
use super::report_file;
use super::signals::Signals;
use super::source_arg::{Protocol, SourceUrl, net_options, target_password};
use super::text::count;

impl From<ReplayError> for CommandError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(error) => error.into(),
            ReplayError::Ledger(error) => error.into(),
            ReplayError::Connect { server, source } => {
                BackupError::Connect { server, source }.into()
            }
            ReplayError::List(error) => BackupError::List(error).into(),
            ReplayError::IdlePatterns {
                patterns,
                mailboxes,
            } => BackupError::IdlePatterns {
                patterns,
                mailboxes,
            }
            .into(),
            ReplayError::Spool(error) => {
                Self::configuration(format!("{error}: {}", error.source))
                    .hint("large messages pass through the temporary folder: make room there, or name another in TMPDIR")
            }
            ReplayError::Thread(error) => BackupError::Thread(error).into(),
        }
    }
}

impl From<LedgerError> for CommandError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Lock {
                source: LockError::Held,
                path,
            } => Self::configuration(format!(
                "another replay to this target is running: it holds `{}`",
                path.display()
            ))
            .with_exit(exit::LOCKED)
            .hint("wait for it to end"),
            LedgerError::Lock { path, source } => StoreError::Lock { path, source }.into(),
            LedgerError::Log(error @ (LogError::Damaged { .. } | LogError::Torn { .. })) => {
                Self::configuration(format!("the ledger cannot be used: {error}"))
                    .with_exit(exit::DAMAGED)
                    .hint("the archive itself is not touched; move the folder of this ledger away, or name another one with --ledger: what is on the target is found there again, but what was removed there is sent once more")
            }
            LedgerError::Log(error) => StoreError::Journal(error).into(),
            LedgerError::NewerRecords(kinds) => StoreError::NewerRecords(kinds).into(),
            LedgerError::Io { path, source } => {
                let error = Self::from(StoreError::Io { path, source });
                error.hint(
                    "--ledger DIR keeps the ledger elsewhere, for an archive that is read-only",
                )
            }
            other => Self::configuration(other.to_string())
                .hint("nothing more was sent; what is on the target is found there again"),
        }
    }
}

pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<u8, CommandError> {
    if let Some(file) = &args.manner.report {
        // Better said now than after three days.
        report_file::can_be_written(file)?;
    }
    if let Some(url) = delivery::url(args)? {
        return delivery::run(args, &url, output);
    }
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.account.as_deref())?;
    let as_of = as_of::resolve(&reader, Some(account), &args.as_of, output)?;
    let unfinished = match as_of {
        Some(_) => None,
        None => unfinished(&reader, account)?,
    };
    drop(reader);
    let request = Request {
        archive: args.archive.archive.clone(),
        catalog: args.archive.catalog.clone(),
        ledger: args.manner.ledger.clone(),
        clock: Clock::System,
        account,
        target: target(&args.to, &args.target, true)?,
        mailboxes: args.mailboxes.mailboxes.clone(),
        exclude: args.mailboxes.exclude.clone(),
        within: Within {
            since: args.since,
            before: args.before,
            ..Within::default()
        },
        as_of,
        rules: rules(&args.manner)?,
        manner: manner(&args.manner),
        dry_run: args.dry_run,
    };
    let (mut report, signal) = replay_now(&request, output)?;
    report.warnings.extend(unfinished);
    let code = signal.unwrap_or_else(|| report.exit());
    let archive = &args.archive.archive;
    Ok(tell(&report, code, archive, &args.manner, output))
}

/// Says so where the newest backup of the account did not end: what it did not fetch is nowhere.
fn unfinished(reader: &Reader, account: AccountId) -> Result<Option<String>, CommandError> {
    let all = reader.catalog().jobs().map_err(StoreError::from)?;
    let newest = all.iter().rfind(|job| job.account == account);
    let Some(job) = newest.filter(|job| job.state == JobState::Open) else {
        return Ok(None);
    };
    let planned = job.mailboxes.iter();
    let planned: u64 = planned.map(|m| m.fetch.len() + u64::from(m.messages)).sum();
    let open = planned.saturating_sub(jobs::done(reader, job)?);
    Ok((open > 0).then(|| {
        let still = count(open, "message");
        format!(
            "the last backup of the account did not end: {still} it was to fetch are not in the archive yet, and so not replayed; mailstow resume goes on with it"
        )
    }))
}

/// The account that is meant.
pub(crate) fn account(reader: &Reader, named: Option<&str>) -> Result<AccountId, CommandError> {
    if let Some(id) = super::ls::account(reader, named)? {
        return Ok(id);
    }
    let accounts = reader.catalog().accounts().map_err(StoreError::from)?;
    match accounts.as_slice() {
        [one] => Ok(one.id),
        [] => Err(
            CommandError::usage("the archive has no account yet".to_owned())
                .hint("back one up first: mailstow backup SOURCE --to ARCHIVE"),
        ),
        several => {
            let names: Vec<String> = several.iter().map(|a| format!("`{}`", a.name)).collect();
            Err(
                CommandError::usage("the archive has several accounts".to_owned()).hint(format!(
                    "name one with --account; there are {}",
                    names.join(", ")
                )),
            )
        }
    }
}

/// A target as the user named it.
pub(crate) fn target(
    text: &str,
    args: &TargetArgs,
    only: bool,
) -> Result<ImapSource, CommandError> {
    let connection = args.connection();
    let url = SourceUrl::parse(text, &connection)?;
    let why = match url.protocol {
        Protocol::Imap => None,
        Protocol::Pop3 => Some("POP3 only gives it out"),
        Protocol::Smtp | Protocol::Lmtp => Some(
            "mail is only delivered there, which is what mailstow replay does with --deliver-to",
        ),
    };
    if let Some(why) = why {
        return Err(
            CommandError::usage(format!("cannot bring mail to `{text}`: {why}"))
                .hint("a target looks like imaps://you@example.com@imap.example.com"),
        );
    }
    Ok(ImapSource {
        endpoint: url.endpoint.clone(),
        net: net_options(&connection)?,
        credentials: Credentials {
            user: url.user.clone(),
            secret: target_password(&url, args, only)?,
            authzid: args.target_authzid.clone(),
        },
        connections: args.target_connections.map(usize::from),
    })
}

/// Where mailboxes go.
pub(crate) fn rules(args: &MannerArgs) -> Result<names::Rules, CommandError> {
    let regex = |(pattern, new): &(String, String)| {
        let regex = regex::Regex::new(pattern).map_err(|error| {
            CommandError::usage(format!("--map-regex: {error}"))
                .hint("it is a regular expression, then =, then the new name, in which $1 is what its first group matched")
        })?;
        Ok((regex, new.clone()))
    };
    Ok(names::Rules {
        map: args.map.clone(),
        map_regex: args
            .map_regex
            .iter()
            .map(regex)
            .collect::<Result<_, CommandError>>()?,
        into: args.into.clone(),
        virtual_too: args.virtual_too,
        // The replay finds out.
        views_alone: false,
    })
}

/// How messages are sent.
pub(crate) fn manner(args: &MannerArgs) -> Manner {
    Manner {
        collapse: args.collapse_duplicates,
        deleted_too: args.keep_deleted,
        resend: Resend {
            removed: args.resend_removed,
            doubtful: args.resend_doubtful,
        },
        repairs: repair::Repairs {
            nul: args.repair.contains(&Repair::Nul),
            long_lines: args.repair.contains(&Repair::LongLines),
            bare_lf: args.repair.contains(&Repair::BareLf),
            disarm_receipts: args.disarm_receipts,
        },
    }
}

/// Replays, and gives the exit code of a signal that ended it.
fn replay_now(
    request: &Request,
    output: &Output,
) -> Result<(ReplayReport, Option<u8>), CommandError> {
    watched(output, async |sink, stop| {
        replay::run(request, sink, &stop).await
    })
}

/// Runs an engine that can be asked to stop, and gives the exit code of a signal that ended it.
fn watched(
    output: &Output,
    engine: impl AsyncFnOnce(Arc<dyn Sink>, Stop) -> Result<ReplayReport, ReplayError>,
) -> Result<(ReplayReport, Option<u8>), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let signals = Signals::watch()
            .map_err(|e| CommandError::internal(format!("cannot watch for signals: {e}")))?;
        let sink = output.sink();
        signals.say_through(Some(Arc::clone(&sink)));
        let result = engine(Arc::clone(&sink), signals.stop().clone()).await;
        // The bars go before the words come.
        signals.say_through(None);
        drop(sink);
        match result {
            Ok(report) => {
                let interrupted = report.ending == Ending::Interrupted;
                Ok((report, signals.exit().filter(|_| interrupted)))
            }
            Err(error) => {
                let error = CommandError::from(error);
                Err(match signals.exit() {
                    Some(code) => error.with_exit(code),
                    None => error,
                })
            }
        }
    })
}

/// A replay's report as a page.
pub(crate) fn page(report: &ReplayReport, archive: &Path, code: u8) -> Page {
    html::page(report, archive, code)
}

/// A replay's report in words.
pub(crate) fn words(report: &ReplayReport, archive: &Path) -> String {
    words::of(report, archive)
}

/// Says what a replay did, and writes its page. Gives the exit code.
pub(crate) fn tell(
    report: &ReplayReport,
    code: u8,
    archive: &Path,
    args: &MannerArgs,
    output: &Output,
) -> u8 {
    let value = Told {
        report,
        adds_up: report.adds_up(),
        version: env!("CARGO_PKG_VERSION"),
    };
    output.result("replay", &value, &words::of(report, archive), code);
    match &args.report {
        Some(file) => report_file::write(file, &html::page(report, archive, code).html(), code),
        None => code,
    }
}

/// The report as JSON shows it.
#[derive(Debug, serde::Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a ReplayReport,
    /// Whether every message is accounted for, in the archive and on the target.
    adds_up: bool,
    /// Of mailstow.
    version: &'static str,
}

#[cfg(test)]
mod tests;
