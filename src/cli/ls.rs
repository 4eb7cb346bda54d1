//! `mailstow ls`.

use mailstow::catalog::{PlacementRow, Within};
use mailstow::header;
use mailstow::model::{AccountId, Mailbox};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::LsArgs;
use super::as_of;
use super::failure::CommandError;
use super::output::Output;
use super::text::{bytes, escaped, out};

pub(crate) fn run(args: &LsArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.account.as_deref())?;
    let as_of = as_of::resolve(&reader, account, &args.as_of, output)?;
    let mailboxes = as_of::mailboxes(&reader, account, as_of.as_ref())?;
    match &args.mailbox {
        None => list_mailboxes(&reader, &mailboxes, output),
        Some(name) => {
            let found: Vec<&(Mailbox, u64)> = mailboxes
                .iter()
                .filter(|(m, _)| {
                    m.name == *name || (m.name == "INBOX" && name.eq_ignore_ascii_case("INBOX"))
                })
                .collect();
            if found.is_empty() {
                return Err(CommandError::usage(format!("there is no mailbox `{name}`"))
                    .hint("mailstow ls ARCHIVE lists them"));
            }
            for (mailbox, commit) in found {
                list_messages(&reader, mailbox, *commit, args.all, output)?;
            }
            Ok(0)
        }
    }
}

/// The number of the account a user named.
pub(crate) fn account(
    reader: &Reader,
    name: Option<&str>,
) -> Result<Option<AccountId>, CommandError> {
    let Some(name) = name else { return Ok(None) };
    let accounts = reader.catalog().accounts().map_err(StoreError::from)?;
    match accounts
        .iter()
        .find(|a| a.name == name || a.aliases.iter().any(|x| x == name))
    {
        Some(account) => Ok(Some(account.id)),
        None => {
            let names: Vec<String> = accounts.iter().map(|a| format!("`{}`", a.name)).collect();
            Err(CommandError::usage(format!("there is no account `{name}`"))
                .hint(format!("the accounts are {}", names.join(", "))))
        }
    }
}

fn list_mailboxes(
    reader: &Reader,
    mailboxes: &[(Mailbox, u64)],
    output: &Output,
) -> Result<u8, CommandError> {
    for (mailbox, commit) in mailboxes {
        let totals = reader
            .catalog()
            .totals_at(mailbox.id, *commit)
            .map_err(StoreError::from)?;
        let value = json!({"name": mailbox.name, "wire": mailbox.wire, "folder": mailbox.folder, "present": totals.present, "gone": totals.gone, "bytes": totals.bytes});
        let words = format!(
            "{:>8}  {:>10}  {}",
            totals.present,
            bytes(totals.bytes),
            escaped(&mailbox.name)
        );
        output.result("mailbox", &value, &words, 0);
    }
    Ok(0)
}

fn list_messages(
    reader: &Reader,
    mailbox: &Mailbox,
    commit: u64,
    gone_too: bool,
    output: &Output,
) -> Result<u8, CommandError> {
    let mut mail = reader.mail();
    let each = |row: PlacementRow| {
        // A message that cannot be read is listed all the same; verify says what is wrong.
        let summary = match mail.read_header(&row.content) {
            Ok(header) => header::summary(&header),
            Err(error) => unreadable(&error.to_string()),
        };
        if output.is_json() {
            output.result("message", &value(&row, &summary), "", 0);
        } else {
            out(&line(&row, &summary, None));
        }
    };
    reader
        .catalog()
        .shown_at(mailbox.id, commit, gone_too, &Within::default(), each)
        .map_err(StoreError::from)?;
    Ok(0)
}

/// What is listed of a message that cannot be read.
pub(crate) fn unreadable(reason: &str) -> header::Summary {
    header::Summary {
        subject: format!("({reason})"),
        ..header::Summary::default()
    }
}

/// A message of a list, as JSON.
pub(crate) fn value(row: &PlacementRow, summary: &header::Summary) -> serde_json::Value {
    json!({
        "content": row.content.id.to_string(), "remote": row.remote.to_string(), "date": row.date.map(|d| d.to_string()),
        "size": row.content.len, "flags": row.flags, "gone": row.gone, "from": summary.from, "subject": summary.subject,
    })
}

/// A message of a list, in one line; with its mailbox where there may be several.
pub(crate) fn line(row: &PlacementRow, summary: &header::Summary, mailbox: Option<&str>) -> String {
    let date = row.date.map_or_else(
        || "no date".to_owned(),
        |d| {
            d.to_string()
                .chars()
                .take(16)
                .collect::<String>()
                .replace('T', " ")
        },
    );
    let mut flags: String = [
        ("\\Seen", 'S'),
        ("\\Answered", 'R'),
        ("\\Flagged", 'F'),
        ("\\Draft", 'D'),
        ("\\Deleted", 'T'),
    ]
    .iter()
    .map(|(flag, letter)| {
        if row.flags.contains(flag) {
            *letter
        } else {
            '-'
        }
    })
    .collect();
    if row.gone {
        flags.push_str(" gone");
    }
    let from: String = escaped(&summary.from).chars().take(24).collect();
    let mailbox = mailbox.map_or_else(String::new, |name| format!("{:16}  ", escaped(name)));
    format!(
        "{}  {date:16}  {:>9}  {flags}  {from:24}  {mailbox}{}",
        row.content.id.short(),
        bytes(row.content.len),
        escaped(&summary.subject)
    )
}
