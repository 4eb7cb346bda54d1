//! `mailstow ls`.

use mailstow::catalog::PlacementRow;
use mailstow::header;
use mailstow::model::{AccountId, Mailbox};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::LsArgs;
use super::failure::CommandError;
use super::output::Output;
use super::text::{bytes, escaped, out};

pub(crate) fn run(args: &LsArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let account = account(&reader, args.account.as_deref())?;
    let mailboxes = reader
        .catalog()
        .mailboxes(account)
        .map_err(StoreError::from)?;
    match &args.mailbox {
        None => list_mailboxes(&reader, &mailboxes, output),
        Some(name) => {
            let found: Vec<&Mailbox> = mailboxes
                .iter()
                .filter(|m| {
                    m.name == *name || (m.name == "INBOX" && name.eq_ignore_ascii_case("INBOX"))
                })
                .collect();
            if found.is_empty() {
                return Err(CommandError::usage(format!("there is no mailbox `{name}`"))
                    .hint("mailstow ls ARCHIVE lists them"));
            }
            for mailbox in found {
                list_messages(&reader, mailbox, args.all, output)?;
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
    mailboxes: &[Mailbox],
    output: &Output,
) -> Result<u8, CommandError> {
    for mailbox in mailboxes {
        let totals = reader
            .catalog()
            .totals(mailbox.id)
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
    gone_too: bool,
    output: &Output,
) -> Result<u8, CommandError> {
    let rows = reader
        .catalog()
        .shown(mailbox.id, gone_too)
        .map_err(StoreError::from)?;
    let mut mail = reader.mail();
    for row in rows {
        // A message that cannot be read is listed all the same; verify says what is wrong.
        let summary = match mail.read_to_vec(&row.content) {
            Ok(bytes) => header::summary(&bytes),
            Err(error) => header::Summary {
                subject: format!("({error})"),
                ..header::Summary::default()
            },
        };
        if output.is_json() {
            let value = json!({
                "content": row.content.id.to_string(), "remote": row.remote.to_string(), "date": row.date.map(|d| d.to_string()),
                "size": row.content.len, "flags": row.flags, "gone": row.gone, "from": summary.from, "subject": summary.subject,
            });
            output.result("message", &value, "", 0);
        } else {
            out(&line(&row, &summary));
        }
    }
    Ok(0)
}

fn line(row: &PlacementRow, summary: &header::Summary) -> String {
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
    format!(
        "{}  {date:16}  {:>9}  {flags}  {from:24}  {}",
        row.content.id.short(),
        bytes(row.content.len),
        escaped(&summary.subject)
    )
}
