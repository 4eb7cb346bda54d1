//! `mailstow export`.

use mailstow::export::{ExportError, ExportReport, ExportRequest, export};
use mailstow::model::{Mailbox, MailboxId};
use mailstow::source::select;
use mailstow::store::{Reader, StoreError};
use mailstow::target;
use serde_json::json;

use super::args::{ExportArgs, Format};
use super::as_of;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::ls::account;
use super::output::Output;
use super::text::{bytes, count, escaped};

impl From<ExportError> for CommandError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Catalog(error) => StoreError::Catalog(error).into(),
            other => {
                let mut text = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(cause) = source {
                    text = format!("{text}: {cause}");
                    source = cause.source();
                }
                CommandError::configuration(text)
                    .hint("name a folder that is empty or does not exist yet, on a disk with room")
            }
        }
    }
}

pub(crate) fn run(args: &ExportArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.within.account.as_deref())?;
    let as_of = as_of::resolve(&reader, account, &args.within.as_of, output)?;
    let mailboxes = as_of::mailboxes(&reader, account, as_of.as_ref())?;
    let chosen = chosen(&mailboxes, &args.within.mailboxes, &args.within.exclude)?;
    let format = match args.format {
        Format::Mbox => target::Format::Mbox,
        Format::Maildir => target::Format::Maildir,
        Format::Eml => target::Format::Eml,
    };
    let sink = output.sink();
    let request = ExportRequest {
        format,
        to: args.to.clone(),
        choose: &|_, mailbox| chosen.contains(&mailbox.id),
        gone_too: args.within.all,
        as_of,
    };
    let report = export(&reader, &request, &*sink)?;
    drop(sink);
    let code = if report.is_complete() {
        0
    } else {
        exit::DAMAGED
    };
    output.result(
        "export",
        &value(&report),
        &words(&report, &quoted(&args.to)),
        code,
    );
    Ok(code)
}

/// The mailboxes that patterns select.
pub(crate) fn chosen(
    mailboxes: &[(Mailbox, u64)],
    include: &[String],
    exclude: &[String],
) -> Result<Vec<MailboxId>, CommandError> {
    let names: Vec<&str> = mailboxes.iter().map(|(m, _)| m.name.as_str()).collect();
    let selected = select(&names, include, exclude);
    if !selected.idle.is_empty() {
        return Err(CommandError::usage(format!(
            "no mailbox matches `{}`",
            selected.idle.join("`, `")
        ))
        .hint("mailstow ls ARCHIVE lists them"));
    }
    let chosen = mailboxes.iter().zip(&selected.chosen);
    Ok(chosen
        .filter(|(_, yes)| **yes)
        .map(|((mailbox, _), _)| mailbox.id)
        .collect())
}

fn words(report: &ExportReport, to: &str) -> String {
    let mut lines = vec![format!(
        "{} ({}) from {} written to {to}",
        count(report.messages, "message"),
        bytes(report.bytes),
        count(report.mailboxes, "mailbox")
    )];
    lines.extend(
        report
            .renamed
            .iter()
            .map(|(name, file)| format!("{} is called {}", escaped(name), escaped(file))),
    );
    if report.forgotten > 0 {
        let forgotten = count(report.forgotten, "message");
        lines.push(format!("{forgotten} left out: forgotten on request"));
    }
    lines.extend(report.lost.iter().map(|l| {
        format!(
            "! {} in {}: {}",
            escaped(&l.remote.to_string()),
            escaped(&l.mailbox),
            escaped(&l.reason)
        )
    }));
    lines.join("\n")
}

fn value(report: &ExportReport) -> serde_json::Value {
    let lost: Vec<_> = report.lost.iter().map(|l| json!({"mailbox": l.mailbox, "remote": l.remote.to_string(), "content": l.content, "reason": l.reason})).collect();
    json!({"mailboxes": report.mailboxes, "messages": report.messages, "bytes": report.bytes, "renamed": report.renamed, "forgotten": report.forgotten, "lost": lost})
}
