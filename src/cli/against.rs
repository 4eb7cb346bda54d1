//! `mailstow verify ARCHIVE --against SERVER`, which is where the mail came from, or where it was
//! replayed to.

mod side;
mod target;
mod target_words;
mod words;

use std::path::Path;

use mailstow::backup::BackupError;
use mailstow::clock::Clock;
use mailstow::contact::Stop;
use mailstow::event::Sink;
use mailstow::model::Account;
use mailstow::report::Ending;
use mailstow::store::{Reader, StoreError};
use mailstow::verify::against::{
    AgainstError, AgainstReport, AgainstRequest, Sample, State, against,
};

use super::accounts::graver;
use super::args::{Amount, VerifyArgs};
use super::backup::{check_maildrop, source};
use super::failure::CommandError;
use super::output::Output;
use super::signals::Signals;
use super::source_arg::{Protocol, SourceUrl};
use super::verify::{Local, whole_archive};

/// Messages whose bytes are compared unless the user says otherwise.
const SAMPLE: u64 = 20;

impl From<AgainstError> for CommandError {
    fn from(error: AgainstError) -> Self {
        match error {
            AgainstError::Catalog(error) => StoreError::Catalog(error).into(),
            AgainstError::Connect { server, source } => {
                BackupError::Connect { server, source }.into()
            }
            AgainstError::List(error) => BackupError::List(error).into(),
            AgainstError::IdlePatterns {
                patterns,
                mailboxes,
            } => BackupError::IdlePatterns {
                patterns,
                mailboxes,
            }
            .into(),
            AgainstError::Spool(error) => {
                Self::configuration(format!("{error}: {}", error.source))
                    .hint("large messages pass through the temporary folder: make room there, or name another in TMPDIR")
            }
        }
    }
}

pub(crate) fn run(args: &VerifyArgs, text: &str, output: &Output) -> Result<u8, CommandError> {
    let given = &args.against;
    let url = SourceUrl::parse(text, &given.connection)?;
    if url.protocol == Protocol::Pop3 {
        check_maildrop(&given.mailboxes)?;
    }
    let archive = &args.archive.archive;
    let reader = Reader::open(archive, args.archive.catalog.as_deref())?;
    // Before anybody is asked for a password.
    if let Some((account, ledger)) = side::target(&reader, given, &url)? {
        return target::run(args, &reader, &url, (&account, &ledger), output);
    }
    let account = account(&reader, given.account.as_deref(), &url)?;
    let source = source(&url, &given.connection, &given.password, true)?;
    let request = AgainstRequest {
        source: &source,
        account: &account,
        mailboxes: &given.mailboxes.mailboxes,
        exclude: &given.mailboxes.exclude,
        sample: sample(args),
        seed: seed(args),
    };
    let compared =
        async |sink: &dyn Sink, stop: &Stop| against(&reader, &request, sink, stop).await;
    let (report, signal) = compare(compared, |report| report.ending, output)?;
    let local = if given.rehash && report.ending != Ending::Interrupted {
        Some(whole_archive(&reader, None, None, output)?)
    } else {
        None
    };
    let code = signal.unwrap_or_else(|| {
        let code = report.exit();
        local
            .as_ref()
            .map_or(code, |local| graver(code, local.code))
    });
    tell(&report, local.as_ref(), archive, code, output);
    Ok(code)
}

/// How many messages are fetched whole.
fn sample(args: &VerifyArgs) -> Sample {
    match args.sample {
        _ if args.against.full => Sample::Full,
        None => Sample::Messages(SAMPLE),
        Some(Amount::Number(n)) => Sample::Messages(n.into()),
        Some(Amount::Percent(share)) => Sample::Percent(share),
    }
}

fn seed(args: &VerifyArgs) -> u64 {
    let by_time = || Clock::default().now_unix().unsigned_abs();
    args.seed.unwrap_or_else(by_time)
}

/// The report, and the exit code of the signal that ended the comparison, if one did.
fn compare<R, E>(
    work: impl AsyncFnOnce(&dyn Sink, &Stop) -> Result<R, E>,
    ending: impl FnOnce(&R) -> Ending,
    output: &Output,
) -> Result<(R, Option<u8>), CommandError>
where
    CommandError: From<E>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let signals = Signals::watch()
            .map_err(|e| CommandError::internal(format!("cannot watch for signals: {e}")))?;
        let sink = output.sink();
        let result = work(&*sink, signals.stop()).await;
        // The bars go before the words come.
        drop(sink);
        match result {
            Ok(report) => {
                let interrupted = ending(&report) == Ending::Interrupted;
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

/// The account that is meant: the one the user names, the one that was fetched from there, or the
/// only one.
fn account(reader: &Reader, named: Option<&str>, url: &SourceUrl) -> Result<Account, CommandError> {
    let wanted = super::ls::account(reader, named)?;
    let mut accounts = reader.catalog().accounts().map_err(StoreError::from)?;
    let alias = format!("{}@{}", url.user, url.endpoint.host);
    let usual = url.account();
    let at = accounts
        .iter()
        .position(|a| match wanted {
            Some(id) => a.id == id,
            None => a.aliases.contains(&alias),
        })
        .or_else(|| accounts.iter().position(|a| a.name == usual))
        .or((accounts.len() == 1).then_some(0));
    if let Some(at) = at {
        return Ok(accounts.swap_remove(at));
    }
    let names: Vec<String> = accounts.iter().map(|a| format!("`{}`", a.name)).collect();
    let error = CommandError::usage(format!("no account of the archive was fetched as {alias}"));
    Err(if names.is_empty() {
        error.hint("the archive has no account yet: back one up first")
    } else {
        error.hint(format!(
            "name one with --account; there are {}",
            names.join(", ")
        ))
    })
}

fn tell(report: &AgainstReport, local: Option<&Local>, archive: &Path, code: u8, output: &Output) {
    let value = value("source", report, local);
    let mut text = words::of(report, local.is_some(), archive);
    if let Some(local) = local {
        text = format!("{text}\n\n{}", local.words(archive));
    }
    output.result("against", &value, &text, code);
}

/// A report as JSON, with what re-reading the archive found.
fn value(side: &str, report: &impl serde::Serialize, local: Option<&Local>) -> serde_json::Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("side".to_owned(), side.into());
        if let Some(local) = local {
            object.insert("verify".to_owned(), local.value.clone());
        }
    }
    value
}

/// Whether a mailbox was compared message by message.
const fn is_compared(state: State) -> bool {
    matches!(state, State::Compared | State::Unknown | State::OtherEpoch)
}
