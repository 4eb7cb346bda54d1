//! `mailstow migrate`.

mod html;
mod pairs;
mod words;
mod work;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mailstow::durable;
use mailstow::migrate::{self, MigrateError, MigrateReport, Side};
use mailstow::report::Ending;
use mailstow::store::StoreError;

use self::work::{Place, Work, places, prepare};
use super::accounts::graver;
use super::args::MigrateArgs;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::report;
use super::report_file;
use super::signals::Signals;
use super::text;

impl From<MigrateError> for CommandError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Backup(error) => error.into(),
            MigrateError::Replay(error) | MigrateError::Sending { source: error, .. } => {
                error.into()
            }
        }
    }
}

pub(crate) fn run(args: &MigrateArgs, output: &Output) -> Result<u8, CommandError> {
    let pairs = pairs::pairs(args)?;
    let (only, several) = (pairs.len() == 1, args.accounts.is_some());
    let until = args.limits.max_runtime;
    let until = until.and_then(|time| Instant::now().checked_add(time));
    let mut work = Vec::new();
    let mut gravest = 0;
    // Every password is asked for before anything begins.
    for (pair, place) in pairs.iter().zip(places(args, &pairs)?) {
        let Place { name, .. } = &place;
        let output = output.of(name);
        match prepare(args, pair, place, only, until) {
            Ok(one) => work.push(one),
            Err(error) if !several || error.exit() == exit::USAGE => return Err(error),
            Err(error) => {
                output.error(&error);
                gravest = graver(gravest, error.exit());
            }
        }
    }
    different_targets(&work)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
    let _entered = runtime.enter();
    let signals = Signals::watch()
        .map_err(|e| CommandError::internal(format!("cannot watch for signals: {e}")))?;
    match work.pop() {
        Some(one) if !several => {
            let sink = output.sink();
            signals.say_through(Some(Arc::clone(&sink)));
            let had_archive = one.has_archive();
            let migrated = migrate::run(&one.request, Arc::clone(&sink), signals.stop());
            let result = runtime.block_on(migrated);
            // The bars go before the words come.
            signals.say_through(None);
            drop(sink);
            one.told(args, result, had_archive, &signals, output)
        }
        last => {
            work.extend(last);
            make_folder(args)?;
            let code = many(args, work, &runtime, &signals, output)?;
            Ok(graver(gravest, code))
        }
    }
}

/// The folder of the archives; the one above it must be there, as for an archive.
fn make_folder(args: &MigrateArgs) -> Result<(), CommandError> {
    if args.dry_run {
        return Ok(());
    }
    let path = args.via.clone();
    // Which may be a link to another disk.
    if path.is_dir() {
        return Ok(());
    }
    let made = durable::ensure_dir(&path).and_then(|_| match path.parent() {
        Some(above) if above != Path::new("") => durable::sync_dir(above),
        _ => durable::sync_dir(Path::new(".")),
    });
    made.map_err(|source| StoreError::Io { path, source }.into())
}

/// Two accounts in one target cannot be told apart again.
fn different_targets(work: &[Work]) -> Result<(), CommandError> {
    for (n, one) in work.iter().enumerate() {
        let to = |work: &Work| work.request.replay.target.address();
        if let Some(twin) = work.iter().take(n).find(|twin| to(twin) == to(one)) {
            return Err(CommandError::usage(format!(
                "`{}` and `{}` have one target; two accounts in one cannot be told apart again",
                twin.name, one.name
            )));
        }
    }
    Ok(())
}

/// The report as JSON shows it.
#[derive(Debug, serde::Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a MigrateReport,
    /// Whether all of the source is on the target, as far as it was to be sent.
    adds_up: bool,
    /// Both sides, mailbox by mailbox.
    sides: Vec<Side>,
}

impl Work {
    /// Says what a migration did, and gives its exit code.
    fn told(
        &self,
        args: &MigrateArgs,
        result: Result<MigrateReport, MigrateError>,
        had_archive: bool,
        signals: &Signals,
        output: &Output,
    ) -> Result<u8, CommandError> {
        let error = match result {
            Ok(report) => return Ok(self.tell(args, &report, signals, output)),
            Err(error) => error,
        };
        let mut code = 0;
        let mut hint = None;
        match &error {
            MigrateError::Sending { report, .. } => {
                code = self.tell(args, report, signals, output);
                hint = Some("the archive has what was fetched; the same command sends it");
            }
            MigrateError::Backup(_) if had_archive => {
                hint = Some(
                    "what the archive has can be sent without the source: mailstow replay ARCHIVE --to TARGET",
                );
            }
            _ => {}
        }
        let mut error = CommandError::from(error);
        let code = graver(code, error.exit());
        error = error.with_exit(signals.exit().unwrap_or(code));
        if let Some(hint) = hint.filter(|_| signals.exit().is_none()) {
            error = error.hint(hint);
        }
        Err(error)
    }

    fn tell(
        &self,
        args: &MigrateArgs,
        report: &MigrateReport,
        signals: &Signals,
        output: &Output,
    ) -> u8 {
        let code = match signals.exit() {
            Some(code) if report.ending == Ending::Interrupted => code,
            _ => exit_code(report, args.dry_run),
        };
        let archive = quoted(&self.archive);
        let mut said = vec![if args.dry_run {
            report::plan(&report.backup, &archive, false)
        } else {
            report::backup(&report.backup, &archive)
        }];
        let replay = report.replay.as_ref();
        said.extend(replay.map(|replay| super::replay::words(replay, &self.archive)));
        said.push(words::of(report, args.dry_run));
        let page = self.page(args).filter(|_| replay.is_some());
        if let Some(file) = &page {
            said.push(format!("The report for your files: {}", quoted(file)));
        }
        if args.accounts.is_some() {
            said.insert(0, format!("{}:", text::escaped(&self.name)));
        }
        let told = Told {
            report,
            adds_up: report.adds_up(),
            sides: report.sides(),
        };
        output.result("migrate", &told, &said.join("\n\n"), code);
        match (page, replay) {
            (Some(file), Some(replay)) => {
                let page = html::page(report, replay, &self.archive, code);
                report_file::write(&file, &page.html(), code)
            }
            _ => code,
        }
    }
}

fn exit_code(report: &MigrateReport, dry_run: bool) -> u8 {
    let mut code = match report.ending {
        Ending::Interrupted => 130,
        Ending::Limit => exit::LIMIT,
        _ => 0,
    };
    let backup = &report.backup;
    // A plan leaves messages to be fetched; only what cannot even be planned is a defect.
    code = graver(
        code,
        match backup.ending {
            Ending::Complete if dry_run => {
                let defect = backup.mailboxes.iter().any(|m| m.problem.is_some());
                if defect || !backup.warnings.is_empty() {
                    exit::PARTIAL
                } else {
                    0
                }
            }
            _ => backup.exit(),
        },
    );
    if let Some(replay) = &report.replay {
        code = graver(code, replay.exit());
    }
    if report.unproven.is_some() || report.unlisted().is_some_and(|n| n > 0) {
        code = graver(code, exit::PARTIAL);
    }
    code
}

/// Several migrations, a few at once. One that fails does not stop the others.
fn many(
    args: &MigrateArgs,
    work: Vec<Work>,
    runtime: &tokio::runtime::Runtime,
    signals: &Signals,
    output: &Output,
) -> Result<u8, CommandError> {
    let queue = Mutex::new(work.into_iter());
    let gravest = Mutex::new(0);
    let note = |code: u8| {
        let mut gravest = gravest.lock().unwrap_or_else(PoisonError::into_inner);
        *gravest = graver(*gravest, code);
    };
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    signals.say_through(Some(output.sink_of_all()));
    let worker = || -> Result<(), CommandError> {
        let own = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
        while !signals.stop().is_requested()
            && let Some(one) = next()
        {
            let output = output.of(&one.name);
            let had_archive = one.has_archive();
            let migrated = migrate::run(&one.request, output.sink(), signals.stop());
            match one.told(args, own.block_on(migrated), had_archive, signals, &output) {
                Ok(code) => note(code),
                Err(error) => {
                    output.error(&error);
                    note(error.exit());
                }
            }
        }
        Ok(())
    };
    let finished = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.jobs).map(|_| scope.spawn(worker)).collect();
        // Signals arrive on the main thread's runtime.
        runtime.block_on(async {
            while threads.iter().any(|t| !t.is_finished()) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let died = || CommandError::internal("a migration died".to_owned());
        let joined = threads.into_iter().map(|t| t.join().map_err(|_| died())?);
        joined.collect::<Result<Vec<()>, CommandError>>()
    });
    signals.say_through(None);
    finished?;
    let unbegun = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    if unbegun.len() > 0 && !output.is_json() {
        let n = text::count(unbegun.len() as u64, "account");
        text::err(&format!("{n} not begun"));
    }
    let gravest = gravest.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(signals.exit().unwrap_or(gravest))
}
