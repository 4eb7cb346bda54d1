//! `mailstow backup` and `mailstow plan`.

use std::path::Path;

use mailstow::backup::{Limits, Request};
use mailstow::model::{self, PopSelection, Selection};
use mailstow::secret::Credentials;
use mailstow::source::{ImapSource, Pop3Source, Source};
use mailstow::store::OpenOptions;

use super::accounts::{How, Mode, run_all};
use super::args::{
    BackupArgs, ConnectionArgs, LimitArgs, MailboxArgs, PasswordArgs, PopArgs, PopMessages,
    PopSpam, SelectionArgs,
};
use super::failure::CommandError;
use super::output::Output;
use super::source_arg::{Protocol, SourceUrl, net_options, password};
use super::text;
use super::unattended::{Kind, Told, attend};

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
    let selection = selection(&args.selection, &args.pop)?;
    check_protocols(&args.pop, &args.selection, &urls)?;
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
            limits: limits(&args.limits),
            newest_first: args.limits.newest_first,
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
    let how = How {
        mode,
        wait: args.archive.wait,
        max_runtime: args.limits.max_runtime,
    };
    run_all(&requests, how, output, told)
}

/// The limits of each account's run but the time, which all of them share.
pub(crate) fn limits(args: &LimitArgs) -> Limits {
    Limits {
        until: None,
        bytes: args.max_bytes,
    }
}

/// Which messages of a source.
pub(crate) fn selection(s: &SelectionArgs, pop: &PopArgs) -> Result<Selection, CommandError> {
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
        pop: pop_selection(pop)?,
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
pub(crate) fn check_protocols(
    pop: &PopArgs,
    s: &SelectionArgs,
    urls: &[SourceUrl],
) -> Result<(), CommandError> {
    let over = |protocol| urls.iter().any(|u| u.protocol == protocol);
    if pop.is_used() && !over(Protocol::Pop3) {
        return Err(CommandError::usage(
            "the --pop options are for pop3:// and pop3s:// sources, and none is given".to_owned(),
        ));
    }
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
    // Before anybody is asked for a password.
    if matches!(url.protocol, Protocol::Smtp | Protocol::Lmtp) {
        return Err(only_a_target(url));
    }
    let endpoint = url.endpoint.clone();
    let net = net_options(connection)?;
    let credentials = Credentials {
        user: url.user.clone(),
        secret: password(url, args, only)?,
        authzid: connection.authzid.clone(),
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
        Protocol::Smtp | Protocol::Lmtp => return Err(only_a_target(url)),
    })
}

fn only_a_target(url: &SourceUrl) -> CommandError {
    CommandError::usage(format!(
        "cannot fetch mail from {}: it is only delivered there",
        url.text
    ))
    .hint("a source looks like imaps://you@example.com@imap.example.com")
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
    fn a_path_is_shown_as_one_would_type_it() {
        assert_eq!(quoted(Path::new("/a b")), "'/a b'");
    }
}
