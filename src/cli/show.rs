//! `mailstow show`.

use mailstow::catalog::{AsOf, PlacementRow};
use mailstow::header;
use mailstow::model::{RemoteId, StoredContent};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::ShowArgs;
use super::as_of;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::text::{bytes, escaped, out_bytes};

pub(crate) fn run(args: &ShowArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let content = find(&reader, &args.id)?;
    let as_of = as_of::resolve(&reader, None, &args.as_of, output)?;
    let forgotten = reader
        .catalog()
        .why_forgotten(content.id)
        .map_err(StoreError::from)?;
    if let Some(reason) = forgotten {
        return show_forgotten(&reader, &content, &reason, args.raw, output);
    }
    let damaged = |e: mailstow::archive::ReadError| {
        CommandError::internal(e.to_string())
            .with_exit(exit::DAMAGED)
            .hint("the next backup fetches it again if the server still has it")
    };
    if args.raw {
        let message = reader.mail().read_to_vec(&content).map_err(damaged)?;
        // A reader that went away is no error of ours.
        return match out_bytes(&message) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(CommandError::internal(format!("cannot write: {e}")))
            }
            _ => Ok(0),
        };
    }
    let message = reader.mail().read_to_vec(&content).map_err(damaged)?;
    let summary = header::summary(&message);
    let mut lines = vec![
        format!("content     {}", content.id),
        format!("size        {} ({} bytes)", bytes(content.len), content.len),
        format!(
            "kept in     mail/{} at byte {}",
            escaped(&content.at.segment),
            content.at.frame
        ),
        format!("from        {}", escaped(&summary.from)),
        format!("subject     {}", escaped(&summary.subject)),
        format!(
            "date        {}",
            summary
                .date
                .map_or_else(|| "none".to_owned(), mailstow::clock::rfc3339)
        ),
        format!(
            "message-id  {}",
            escaped(summary.message_id.as_deref().unwrap_or("none"))
        ),
    ];
    let mut places = Vec::new();
    for (name, row) in places_of(&reader, &content, as_of.as_ref())? {
        let flags: Vec<&str> = row.flags.iter().collect();
        let date = row
            .date
            .map_or_else(|| "no date".to_owned(), |d| d.to_string());
        let deleted = match &row.remote {
            // Since when is not asked here: log tells that.
            RemoteId::Pop { uidl } if as_of.is_none() => reader
                .catalog()
                .is_removed(row.mailbox, uidl)
                .map_err(StoreError::from)?,
            _ => false,
        };
        let gone = match (row.gone, deleted) {
            (true, _) => ", gone from the server",
            (false, true) => ", deleted from the server by mailstow",
            (false, false) => "",
        };
        lines.push(format!(
            "seen in     {} as {}, {date}, {}{gone}",
            escaped(&name),
            escaped(&row.remote.to_string()),
            if flags.is_empty() {
                "no flags".to_owned()
            } else {
                escaped(&flags.join(" "))
            }
        ));
        places.push(json!({"mailbox": name, "remote": row.remote.to_string(), "date": row.date.map(|d| d.to_string()), "flags": row.flags, "gone": row.gone, "deleted": deleted}));
    }
    if places.is_empty() && as_of.is_some() {
        lines.push("seen in     no mailbox by then".to_owned());
    }
    let value = json!({"content": content.id.to_string(), "size": content.len, "segment": content.at.segment, "from": summary.from, "subject": summary.subject, "message_id": summary.message_id, "placements": places});
    output.result("message", &value, &lines.join("\n"), 0);
    Ok(0)
}

/// What is left of a message that was forgotten: that it was there.
fn show_forgotten(
    reader: &Reader,
    content: &StoredContent,
    reason: &str,
    raw: bool,
    output: &Output,
) -> Result<u8, CommandError> {
    if raw {
        return Err(CommandError::usage(format!(
            "message {} was forgotten on request: {}",
            content.id.short(),
            escaped(reason)
        )));
    }
    let mut lines = vec![
        format!("content     {}", content.id),
        format!("forgotten   {}", escaped(reason)),
    ];
    let mut places = Vec::new();
    for (name, row) in places_of(reader, content, None)? {
        let remote = row.remote.to_string();
        lines.push(format!(
            "seen in     {} as {}",
            escaped(&name),
            escaped(&remote)
        ));
        places.push(json!({"mailbox": name, "remote": remote, "gone": row.gone}));
    }
    let value =
        json!({"content": content.id.to_string(), "forgotten": reason, "placements": places});
    output.result("message", &value, &lines.join("\n"), 0);
    Ok(0)
}

/// Where a content is placed, or was as of some time, with the names of the mailboxes.
fn places_of(
    reader: &Reader,
    content: &StoredContent,
    as_of: Option<&AsOf>,
) -> Result<Vec<(String, PlacementRow)>, StoreError> {
    let catalog = reader.catalog();
    if as_of.is_none() {
        let mailboxes = catalog.mailboxes(None)?;
        let rows = catalog.placements_of(content.id)?.into_iter();
        let named = rows.map(|row| {
            let mailbox = mailboxes.iter().find(|m| m.id == row.mailbox);
            (mailbox.map_or_else(String::new, |m| m.name.clone()), row)
        });
        return Ok(named.collect());
    }
    let mut places = Vec::new();
    for (mailbox, commit) in as_of::mailboxes(reader, None, as_of)? {
        let rows = catalog.placements_at(content.id, mailbox.id, commit)?;
        places.extend(rows.into_iter().map(|row| (mailbox.name.clone(), row)));
    }
    Ok(places)
}

/// The content a user named.
pub(crate) fn find(reader: &Reader, id: &str) -> Result<StoredContent, CommandError> {
    if id.len() < 6 || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(CommandError::usage(format!("`{id}` is no content id"))
            .hint("mailstow ls ARCHIVE MAILBOX shows them in the first column"));
    }
    let mut found = reader
        .catalog()
        .contents_like(id, 2)
        .map_err(StoreError::from)?;
    match (found.pop(), found.is_empty()) {
        (Some(content), true) => Ok(content),
        (Some(_), false) => Err(
            CommandError::usage(format!("several messages begin with `{id}`"))
                .hint("give more digits"),
        ),
        (None, _) => Err(CommandError::usage(format!(
            "no message begins with `{id}`"
        ))),
    }
}
