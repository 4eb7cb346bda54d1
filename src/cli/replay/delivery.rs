//! `mailstow replay --to smtps://… --deliver-to ADDRESS`.

use std::io::IsTerminal as _;

use mailstow::catalog::Within;
use mailstow::clock::Clock;
use mailstow::replay::{DeliverRequest, DeliveryTarget, deliver};
use mailstow::secret::Credentials;
use mailstow::store::Reader;

use super::{account, manner, tell, watched};
use crate::cli::args::ReplayArgs;
use crate::cli::as_of;
use crate::cli::failure::CommandError;
use crate::cli::output::Output;
use crate::cli::source_arg::{Protocol, SourceUrl, net_options, target_password};

/// The target, where mail can only be delivered there.
pub(super) fn url(args: &ReplayArgs) -> Result<Option<SourceUrl>, CommandError> {
    let url = SourceUrl::parse(&args.to, &args.target.connection())?;
    let delivers = matches!(url.protocol, Protocol::Smtp | Protocol::Lmtp);
    match (delivers, &args.delivery.deliver_to) {
        (true, Some(_)) => Ok(Some(url)),
        (true, None) => Err(CommandError::usage(format!(
            "mail can only be delivered to {}, and nobody is named who gets it",
            url.text
        ))
        .hint("name the address with --deliver-to")),
        (false, Some(_)) => Err(CommandError::usage(
            "--deliver-to is for smtps://, smtp:// and lmtp:// targets".to_owned(),
        )
        .hint("over IMAP messages go into the mailboxes of the account that signs in")),
        (false, None) => Ok(None),
    }
}

pub(super) fn run(args: &ReplayArgs, url: &SourceUrl, output: &Output) -> Result<u8, CommandError> {
    let manner_args = &args.manner;
    let of_imap = !manner_args.map.is_empty()
        || !manner_args.map_regex.is_empty()
        || manner_args.into.is_some()
        || manner_args.keep_deleted
        || manner_args.resend_removed;
    if of_imap {
        return Err(CommandError::usage(
            "--map, --map-regex, --into, --keep-deleted and --resend-removed are about mailboxes, and there are none over SMTP".to_owned(),
        ));
    }
    let recipient = args.delivery.deliver_to.clone().unwrap_or_default();
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.account.as_deref())?;
    let as_of = as_of::resolve(&reader, Some(account), &args.as_of, output)?;
    drop(reader);
    if !args.dry_run {
        ask(&recipient, args.delivery.yes)?;
    }
    let connection = args.target.connection();
    let credentials = if url.user.is_empty() {
        None
    } else {
        Some(Credentials {
            user: url.user.clone(),
            secret: target_password(url, &args.target, true)?,
            authzid: args.target.target_authzid.clone(),
        })
    };
    let sender = url.user.contains('@').then(|| url.user.clone());
    let manner = manner(manner_args);
    let request = DeliverRequest {
        archive: args.archive.archive.clone(),
        catalog: args.archive.catalog.clone(),
        ledger: manner_args.ledger.clone(),
        clock: Clock::System,
        account,
        target: DeliveryTarget {
            endpoint: url.endpoint.clone(),
            net: net_options(&connection)?,
            credentials,
            lmtp: url.protocol == Protocol::Lmtp,
        },
        recipient,
        reverse_path: args
            .delivery
            .mail_from
            .clone()
            .or(sender)
            .unwrap_or_default(),
        pace: args.delivery.rate.unwrap_or_default(),
        mailboxes: args.mailboxes.mailboxes.clone(),
        exclude: args.mailboxes.exclude.clone(),
        within: Within {
            since: args.since,
            before: args.before,
            ..Within::default()
        },
        as_of,
        resend_doubtful: manner.resend.doubtful,
        repairs: manner.repairs,
        dry_run: args.dry_run,
    };
    let (report, signal) = watched(output, async |sink, stop| {
        deliver(&request, sink, &stop).await
    })?;
    let code = signal.unwrap_or_else(|| report.exit());
    Ok(tell(
        &report,
        code,
        &args.archive.archive,
        manner_args,
        output,
    ))
}

/// Mail that was delivered cannot be taken back.
fn ask(recipient: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        // The report says it too.
        return Ok(());
    }
    let recipient = crate::cli::text::escaped(recipient);
    let warning = format!(
        "every message of the archive that is chosen would be delivered to {recipient}: dates of arrival, flags and mailboxes do not travel, and nothing can be taken back"
    );
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::usage(warning).hint("if that is wanted, say so with --yes"));
    }
    crate::cli::text::err(&format!("{warning}."));
    crate::cli::text::err("Type yes to go on:");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| CommandError::configuration(format!("cannot read the answer: {e}")))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(CommandError::usage("nothing was sent".to_owned()))
    }
}
