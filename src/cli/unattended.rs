//! Runs that nobody watches: what is told of them afterwards, and to whom.
//!
//! None of it changes the archive, and only a report that could not be written changes the exit
//! code, of a run that was complete.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use mailstow::secret::Secret;
use serde_json::Value;

use super::failure::CommandError;
use super::notify::{self, Notice};
use super::output::Output;
use super::ping::{Call, Ping, Sending};
use super::report_file;
use super::signals::Signals;
use super::text;

#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Unattended")]
pub(crate) struct UnattendedArgs {
    /// Write the JSON report to this file when the run ends, also when it fails
    ///
    /// It is the last line of --json, or an array of them where several sources were worked on;
    /// of a run that failed before, its error. It replaces the file as a whole.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Run this shell command when the exit code is not 0, with the report on standard input
    ///
    /// It finds $MAILSTOW_EXIT, $MAILSTOW_ARCHIVE and $MAILSTOW_ACCOUNTS, may take a minute, and
    /// changes neither the archive nor the exit code.
    #[arg(long, value_name = "COMMAND")]
    notify_command: Option<String>,
    /// When to run it [default: failure]
    #[arg(long, value_enum, value_name = "WHEN", requires = "notify_command")]
    notify: Option<NotifyWhen>,
    /// Tell a dead man's switch, such as healthchecks.io, that a run begins and how it ends
    ///
    /// GET URL/start, then GET URL on exit code 0, else POST URL/fail with the report. Other
    /// users of this machine can read a command line: without the option the URL is taken from
    /// $MAILSTOW_PING. Only https://, except to this machine or with --allow-plaintext.
    #[arg(long, value_name = "URL", value_parser = secret)]
    ping: Option<Secret>,
}

/// When to run the notify command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NotifyWhen {
    /// When the exit code is not 0
    Failure,
    /// After every run
    Always,
}

/// Anything is taken here, since clap would print what it refuses.
#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// What kind of run it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind<'a> {
    pub(crate) archive: &'a Path,
    pub(crate) allow_plaintext: bool,
    /// Nothing is fetched: a plan, or a dry run.
    pub(crate) only_shown: bool,
}

/// What a run has told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    sources: usize,
    accounts: Vec<String>,
    reports: Vec<Value>,
}

impl Told {
    /// Names an account of the run, as soon as it is known.
    pub(crate) fn account(&mut self, name: String) {
        self.accounts.push(name);
    }

    /// Says on how many sources work begins.
    pub(crate) const fn begin(&mut self, sources: usize) {
        self.sources = sources;
    }

    /// The report of one source, as `--json` prints it.
    pub(crate) fn report(&mut self, report: Value) {
        self.reports.push(report);
    }

    /// The error of one source, or of the whole run.
    pub(crate) fn failed(&mut self, account: Option<&str>, error: &CommandError) {
        let mut value = error.json();
        if let Some(object) = value.as_object_mut() {
            object.insert("error".to_owned(), error.message().into());
            if let Some(account) = account {
                object.insert("account".to_owned(), account.into());
            }
        }
        self.reports.push(value);
    }

    /// One line of JSON.
    fn into_text(self) -> String {
        let mut reports = self.reports;
        let value = match reports.pop() {
            Some(only) if reports.is_empty() && self.sources <= 1 => only,
            Some(last) => {
                reports.push(last);
                Value::Array(reports)
            }
            None => Value::Array(reports),
        };
        text::escaped_json(&value.to_string())
    }
}

/// Does the work, and afterwards tells whoever wants to know.
///
/// # Errors
/// Those of the work, where nobody else is to be told of them.
pub(crate) fn attend(
    args: &UnattendedArgs,
    kind: Kind<'_>,
    output: &Output,
    work: impl FnOnce(&mut Told) -> Result<u8, CommandError>,
) -> Result<u8, CommandError> {
    let mut told = Told::default();
    if kind.only_shown && (args.ping.is_some() || args.notify_command.is_some()) {
        return Err(CommandError::usage(
            "--ping and --notify-command tell of a backup, and this makes none".to_owned(),
        ));
    }
    let (ping, result) = match args.switch(kind) {
        Ok(None) => (None, work(&mut told)),
        Ok(Some(ping)) => {
            let started = ping.send(Call::Start);
            (Some((ping, started)), work(&mut told))
        }
        Err(error) => (None, Err(error)),
    };
    if ping.is_none() && args.report.is_none() && args.notify_command.is_none() {
        return result;
    }
    let code = result.unwrap_or_else(|error| {
        output.error(&error);
        told.failed(None, &error);
        error.exit()
    });
    let accounts = std::mem::take(&mut told.accounts);
    let report = told.into_text();
    let mut ending = Ending {
        code,
        archive: kind.archive,
        accounts: &accounts,
        report: &report,
    };
    if let Some(file) = &args.report {
        ending.write(file);
    }
    ending.tell(args, ping)
}

impl UnattendedArgs {
    fn switch(&self, kind: Kind<'_>) -> Result<Option<Ping>, CommandError> {
        if kind.only_shown {
            return Ok(None);
        }
        let from_environment = || {
            let url = std::env::var_os("MAILSTOW_PING").filter(|url| !url.is_empty());
            // What is not UTF-8 is no URL either.
            url.map(|url| Secret::new(url.to_string_lossy().into_owned()))
        };
        let url = self.ping.clone().or_else(from_environment);
        url.map(|url| Ping::new(&url, kind.allow_plaintext))
            .transpose()
    }
}

/// How a run ended, to be told.
#[derive(Debug)]
struct Ending<'a> {
    code: u8,
    archive: &'a Path,
    accounts: &'a [String],
    report: &'a str,
}

impl Ending<'_> {
    fn write(&mut self, file: &Path) {
        self.code = report_file::write(file, self.report, self.code);
    }

    /// Ping and notify command at once, for at most a minute; a signal ends both. Gives the exit
    /// code.
    fn tell(
        &self,
        args: &UnattendedArgs,
        ping: Option<(Ping, Sending)>,
    ) -> Result<u8, CommandError> {
        let always = args.notify == Some(NotifyWhen::Always);
        let command = args.notify_command.as_deref();
        let command = command.filter(|_| always || self.code != 0);
        if command.is_none() && ping.is_none() {
            return Ok(self.code);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
        runtime.block_on(async {
            let signals = Signals::watch()
                .map_err(|e| CommandError::internal(format!("cannot watch for signals: {e}")))?;
            tokio::join!(self.notify(command, &signals), self.ping(ping, &signals));
            Ok(signals.exit().unwrap_or(self.code))
        })
    }

    async fn notify(&self, command: Option<&str>, signals: &Signals) {
        let notice = Notice {
            exit: self.code,
            archive: self.archive,
            accounts: self.accounts,
            report: self.report,
        };
        if let Some(command) = command
            && let Err(why) = notify::run(command, &notice, signals.stop()).await
        {
            warn(&why);
        }
    }

    async fn ping(&self, ping: Option<(Ping, Sending)>, signals: &Signals) {
        let Some((ping, started)) = ping else { return };
        // ORDER: a start that arrives after the end would look like a run that hangs.
        if let Err(why) = started.cut_short(signals.stop()).await {
            warn(&format!("the start of the run was not told: {why}"));
        }
        if signals.stop().is_requested() {
            return;
        }
        let call = match self.code {
            0 => Call::Success,
            _ => Call::Fail(self.report.to_owned()),
        };
        if let Err(why) = ping.send(call).ended(signals.stop()).await {
            warn(&format!("the end of the run was not told: {why}"));
        }
    }
}

/// On standard error, also with `--json` and `-q`: it is not about the run, whose report stands.
pub(super) fn warn(words: &str) {
    text::err(&format!("warning: {}", text::escaped(words)));
}

/// The time-outs of what comes after a run. `MAILSTOW_TEST_SECOND_MS` says how many milliseconds a
/// second lasts, for tests.
pub(super) fn seconds(n: u32) -> Duration {
    let second = if cfg!(feature = "testing") {
        std::env::var("MAILSTOW_TEST_SECOND_MS").ok()
    } else {
        None
    };
    let millis = second.and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    Duration::from_millis(millis) * n
}
