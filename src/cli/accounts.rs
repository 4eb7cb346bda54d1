//! Runs over several accounts: one after the other, within their limits, and which exit code counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailstow::backup::{self, BackupError, Request, Stop};
use mailstow::durable::LockError;
use mailstow::event::{Event, Sink};
use mailstow::report::{BackupReport, Ending};
use mailstow::store::StoreError;

use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::{Output, object};
use super::report;
use super::signals::Signals;
use super::unattended::Told;

/// What to do about all accounts together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) mode: Mode,
    /// Wait for another run on the archive.
    pub(crate) wait: bool,
    pub(crate) max_runtime: Option<Duration>,
}

/// What to do about each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Plan,
    DryRun,
}

/// Works on one account after the other; the failure of one does not stop the others, and
/// the gravest exit code counts.
pub(crate) fn run_all(
    requests: &[Request],
    how: How,
    output: &Output,
    told: &mut Told,
) -> Result<u8, CommandError> {
    told.begin(requests.len());
    let end = how.max_runtime.and_then(|t| Instant::now().checked_add(t));
    // One thread for the network: committer and compressors have threads of their own, and a
    // second one here would cost more memory than it saves time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::internal(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let signals = Signals::watch()
            .map_err(|e| CommandError::internal(format!("cannot watch for signals: {e}")))?;
        let mut gravest = 0;
        for (n, request) in requests.iter().enumerate() {
            let mut request = request.clone();
            request.limits.until = end.map(|end| even_share(end, requests.len() - n));
            let code = match one(&request, how, output, &signals).await {
                Ok((code, report)) => {
                    told.report(report);
                    code
                }
                Err(error) => {
                    output.error(&error);
                    told.failed(Some(&request.account), &error);
                    error.exit()
                }
            };
            gravest = graver(gravest, code);
            if signals.stop().is_requested() {
                break;
            }
        }
        Ok(gravest)
    })
}

/// When the first of so many accounts has to leave the rest of the time to the others.
fn even_share(end: Instant, accounts: usize) -> Instant {
    let now = Instant::now();
    let accounts = u32::try_from(accounts).unwrap_or(u32::MAX).max(1);
    now + end.saturating_duration_since(now) / accounts
}

async fn one(
    request: &Request,
    how: How,
    output: &Output,
    signals: &Signals,
) -> Result<(u8, serde_json::Value), CommandError> {
    let sink = output.sink();
    signals.say_through(Some(Arc::clone(&sink)));
    let mode = how.mode;
    let result = if mode == Mode::DryRun {
        backup::dry_run(request, Arc::clone(&sink), signals.stop()).await
    } else {
        run_when_free(request, &sink, signals.stop(), how.wait).await
    };
    // The bars go before the words come.
    signals.say_through(None);
    drop(sink);
    let archive = quoted(&request.archive);
    match result {
        Ok(done) => {
            let code = exit_code(&done, mode, signals);
            let words = if mode == Mode::Run {
                report::backup(&done, &archive)
            } else {
                report::plan(&done, &archive, mode == Mode::Plan)
            };
            output.result("report", &done, &words, code);
            Ok((code, object("report", &done, code)))
        }
        Err(error) => Err(match signals.exit() {
            Some(code) if is_held(&error) => {
                CommandError::internal("stopped while waiting for another run to end".to_owned())
                    .with_exit(code)
            }
            Some(code) => CommandError::from(error).with_exit(code),
            None => error.into(),
        }),
    }
}

async fn run_when_free(
    request: &Request,
    sink: &Arc<dyn Sink>,
    stop: &Stop,
    wait: bool,
) -> Result<BackupReport, BackupError> {
    let mut told = false;
    let stop_waiting = stop.or_at(request.limits.until);
    loop {
        match backup::run(request, Arc::clone(sink), stop).await {
            Err(error) if wait && is_held(&error) => {
                if stop_waiting.is_time_up() {
                    let mut report = BackupReport::out_of_time(&request.account);
                    let why = "another run was working on the archive all the time";
                    report.error = Some(why.to_owned());
                    return Ok(report);
                }
                if stop.is_requested() {
                    return Err(error);
                }
                if !std::mem::replace(&mut told, true) {
                    sink.event(Event::Waiting);
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop_waiting.requested() => {}
                }
            }
            other => return other,
        }
    }
}

/// Whether another run works on the archive.
const fn is_held(error: &BackupError) -> bool {
    matches!(
        error,
        BackupError::Store(StoreError::Lock {
            source: LockError::Held,
            ..
        })
    )
}

fn exit_code(report: &BackupReport, mode: Mode, signals: &Signals) -> u8 {
    match mode {
        Mode::Run => match signals.exit() {
            Some(code) if report.ending == Ending::Interrupted => code,
            _ => report.exit(),
        },
        // A plan leaves messages to be fetched; only what cannot even be planned is a defect.
        Mode::Plan | Mode::DryRun if report.ending == Ending::Limit => exit::LIMIT,
        Mode::Plan | Mode::DryRun => {
            let defect =
                report.mailboxes.iter().any(|m| m.problem.is_some()) || !report.warnings.is_empty();
            if defect { exit::PARTIAL } else { 0 }
        }
    }
}

/// Which of two exit codes counts: a signal first, then damage, then what ended a run, then
/// what was left out.
pub(super) fn graver(a: u8, b: u8) -> u8 {
    let rank = |code: u8| match code {
        128.. => 10,
        exit::DAMAGED => 9,
        exit::INTERNAL => 8,
        exit::LOCKED => 7,
        exit::CONFIGURATION => 6,
        exit::USAGE => 5,
        exit::SIGN_IN => 4,
        exit::NETWORK => 3,
        exit::LIMIT => 2,
        exit::PARTIAL => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_exit_code_counts() {
        assert_eq!([0, 3, 6, 5, 3].into_iter().fold(0, graver), 5);
        assert_eq!([7, 130, 3].into_iter().fold(0, graver), 130);
        assert_eq!([0, 9, 3].into_iter().fold(0, graver), 9);
        assert_eq!([9, 6].into_iter().fold(0, graver), 6);
    }
}
