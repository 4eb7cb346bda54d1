//! `mailstow backup` and `mailstow plan`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mailstow::backup::{self, BackupError, Request, Stop};
use mailstow::durable::LockError;
use mailstow::event::{Event, Sink};
use mailstow::model::{self, PopSelection, Selection};
use mailstow::report::{BackupReport, Ending};
use mailstow::secret::Credentials;
use mailstow::source::{ImapSource, Pop3Source, Source};
use mailstow::store::{OpenOptions, StoreError};

use super::args::{
    BackupArgs, CatalogArgs, ConnectionArgs, MailboxArgs, PasswordArgs, PopArgs, PopMessages,
    PopSpam,
};
use super::failure::{CommandError, exit};
use super::output::{Output, object};
use super::report;
use super::signals::Signals;
use super::source_arg::{Protocol, SourceUrl, net_options, password};
use super::text;
use super::unattended::{Kind, Told, attend};

/// What to do about each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Plan,
    DryRun,
}

pub(crate) fn run(args: &BackupArgs, output: &Output, plan: bool) -> Result<u8, CommandError> {
    let kind = Kind {
        archive: &args.to,
        allow_plaintext: args.connection.allow_plaintext,
        only_shown: plan || args.dry_run,
    };
    attend(&args.unattended, kind, output, |told| {
        attended(args, output, plan, told)
    })
}

fn attended(
    args: &BackupArgs,
    output: &Output,
    plan: bool,
    told: &mut Told,
) -> Result<u8, CommandError> {
    if args.account.is_some() && args.sources.len() > 1 {
        return Err(CommandError::usage(
            "--account names one account, but several sources are given".to_owned(),
        ));
    }
    let urls = args
        .sources
        .iter()
        .map(|s| SourceUrl::parse(s, &args.connection))
        .collect::<Result<Vec<_>, _>>()?;
    let name = |url: &SourceUrl| args.account.clone().unwrap_or_else(|| url.account());
    urls.iter().for_each(|url| told.account(name(url)));
    let selection = selection(args)?;
    check_protocols(args, &urls)?;
    let mut requests = Vec::new();
    for url in &urls {
        let source = source(url, &args.connection, &args.password, urls.len() == 1)?;
        requests.push(Request {
            archive: args.to.clone(),
            open: OpenOptions {
                create: true,
                catalog: args.archive.catalog.clone(),
                ..OpenOptions::default()
            },
            source,
            account: name(url),
            source_text: url.text.clone(),
            selection: selection.clone(),
            delete: args.pop.pop_delete.unwrap_or_default(),
            flags: args.changes.flags.into(),
            believe_deletions: args.changes.believe_deletions,
            plan_only: plan,
            job: None,
        });
    }
    let mode = if args.dry_run {
        Mode::DryRun
    } else if plan {
        Mode::Plan
    } else {
        Mode::Run
    };
    run_all(&requests, mode, &args.archive, output, told)
}

fn selection(args: &BackupArgs) -> Result<Selection, CommandError> {
    let s = &args.selection;
    if s.since
        .zip(s.before)
        .is_some_and(|(since, before)| since >= before)
    {
        return Err(CommandError::usage(
            "no message can arrive on or after --since and before --before".to_owned(),
        ));
    }
    Ok(Selection {
        mailboxes: s.mailboxes.mailboxes.clone(),
        exclude: s.mailboxes.exclude.clone(),
        since: s.since,
        before: s.before,
        max_size: s.max_size,
        pop: pop_selection(&args.pop)?,
    })
}

fn pop_selection(args: &PopArgs) -> Result<PopSelection, CommandError> {
    if args.pop_spam_from_server && args.pop_spam == Some(PopSpam::Exclude) {
        return Err(CommandError::usage(
            "where the server delivers only spam, --pop-spam exclude would leave out everything"
                .to_owned(),
        ));
    }
    Ok(PopSelection {
        messages: match args.pop_messages {
            None | Some(PopMessages::All) => model::PopMessages::All,
            Some(PopMessages::FromToday) => model::PopMessages::FromToday,
        },
        spam: match args.pop_spam {
            None | Some(PopSpam::Include) => model::PopSpam::Include,
            Some(PopSpam::Exclude) => model::PopSpam::Exclude,
            Some(PopSpam::Only) => model::PopSpam::Only,
        },
        spam_from_server: args.pop_spam_from_server,
        without_uidl: args.pop_without_uidl,
    })
}

/// Options that mean nothing to a source are slips of the user's.
fn check_protocols(args: &BackupArgs, urls: &[SourceUrl]) -> Result<(), CommandError> {
    let over = |protocol| urls.iter().any(|u| u.protocol == protocol);
    if args.pop.is_used() && !over(Protocol::Pop3) {
        return Err(CommandError::usage(
            "the --pop options are for pop3:// and pop3s:// sources, and none is given".to_owned(),
        ));
    }
    let s = &args.selection;
    if over(Protocol::Pop3) {
        check_maildrop(&s.mailboxes)?;
    }
    if over(Protocol::Pop3) && (s.since.is_some() || s.before.is_some()) {
        return Err(CommandError::usage(
            "--since and --before go by the date of arrival, which a POP3 server does not tell"
                .to_owned(),
        )
        .hint("--pop-messages from-today leaves out what was there before"));
    }
    Ok(())
}

/// A maildrop has nothing to choose among.
pub(crate) fn check_maildrop(args: &MailboxArgs) -> Result<(), CommandError> {
    if args.mailboxes.is_empty() && args.exclude.is_empty() {
        return Ok(());
    }
    Err(CommandError::usage(
        "--mailbox and --exclude choose among mailboxes, and a POP3 maildrop is only one"
            .to_owned(),
    )
    .hint("run the POP3 source without them"))
}

pub(crate) fn source(
    url: &SourceUrl,
    connection: &ConnectionArgs,
    args: &PasswordArgs,
    only: bool,
) -> Result<Source, CommandError> {
    let endpoint = url.endpoint.clone();
    let net = net_options(connection)?;
    let credentials = Credentials {
        user: url.user.clone(),
        secret: password(url, args, only)?,
    };
    Ok(match url.protocol {
        Protocol::Imap => Source::Imap(ImapSource {
            endpoint,
            net,
            credentials,
            connections: connection.connections.map(usize::from),
        }),
        Protocol::Pop3 => Source::Pop3(Pop3Source {
            endpoint,
            net,
            credentials,
            pipelining: !connection.no_pipelining,
        }),
    })
}

/// Works on one account after the other; the failure of one does not stop the others, and
/// the gravest exit code counts.
pub(crate) fn run_all(
    requests: &[Request],
    mode: Mode,
    catalog: &CatalogArgs,
    output: &Output,
    told: &mut Told,
) -> Result<u8, CommandError> {
    told.begin(requests.len());
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
        for request in requests {
            let code = match one(request, mode, catalog, output, &signals).await {
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

async fn one(
    request: &Request,
    mode: Mode,
    catalog: &CatalogArgs,
    output: &Output,
    signals: &Signals,
) -> Result<(u8, serde_json::Value), CommandError> {
    let sink = output.sink();
    signals.say_through(Some(Arc::clone(&sink)));
    let result = if mode == Mode::DryRun {
        backup::dry_run(request, Arc::clone(&sink), signals.stop()).await
    } else {
        run_when_free(request, &sink, signals.stop(), catalog.wait).await
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
        Err(error) => {
            let error = CommandError::from(error);
            Err(match signals.exit() {
                Some(code) => error.with_exit(code),
                None => error,
            })
        }
    }
}

async fn run_when_free(
    request: &Request,
    sink: &Arc<dyn Sink>,
    stop: &Stop,
    wait: bool,
) -> Result<BackupReport, BackupError> {
    let mut told = false;
    loop {
        match backup::run(request, Arc::clone(sink), stop).await {
            Err(BackupError::Store(StoreError::Lock {
                source: LockError::Held,
                ..
            })) if wait && !stop.is_requested() => {
                if !std::mem::replace(&mut told, true) {
                    sink.event(Event::Waiting);
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.requested() => {}
                }
            }
            other => return other,
        }
    }
}

fn exit_code(report: &BackupReport, mode: Mode, signals: &Signals) -> u8 {
    match mode {
        Mode::Run => match signals.exit() {
            Some(code) if report.ending == Ending::Interrupted => code,
            _ => report.exit(),
        },
        // A plan leaves messages to be fetched; only what cannot even be planned is a defect.
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
        128.. => 9,
        exit::DAMAGED => 8,
        exit::INTERNAL => 7,
        exit::LOCKED => 6,
        exit::CONFIGURATION => 5,
        exit::USAGE => 4,
        exit::SIGN_IN => 3,
        exit::NETWORK => 2,
        exit::PARTIAL => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// A path as one would type it.
pub(crate) fn quoted(path: &Path) -> String {
    let shown = text::escaped(&path.display().to_string());
    if shown
        .chars()
        .any(|c| c.is_whitespace() || "'\"$&;()*?".contains(c))
    {
        format!("'{}'", shown.replace('\'', "'\\''"))
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_exit_code_counts() {
        assert_eq!([0, 3, 6, 5, 3].into_iter().fold(0, graver), 5);
        assert_eq!([7, 130, 3].into_iter().fold(0, graver), 130);
        assert_eq!(quoted(Path::new("/a b")), "'/a b'");
    }
}
