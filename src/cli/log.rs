//! `mailstow log`.

use std::collections::HashMap;

use mailstow::archive::ReadError;
use mailstow::catalog::{Happened, LifeEvent};
use mailstow::find::find_message_id;
use mailstow::header;
use mailstow::model::{ContentId, Evidence, Flags, MailboxId, StoredContent};
use mailstow::store::{Reader, StoreError};
use serde_json::{Value, json};

use super::args::LogArgs;
use super::failure::{CommandError, exit};
use super::find::tell_unreadable;
use super::output::Output;
use super::text::{bytes, escaped};

pub(crate) fn run(args: &LogArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let (contents, code) = contents(&reader, &args.id, output)?;
    let names = names(&reader)?;
    let last = contents.len();
    for (n, content) in contents.iter().enumerate() {
        let events = reader
            .catalog()
            .life(content.id)
            .map_err(StoreError::from)?;
        let mut lines = head(&reader, content);
        lines.push(String::new());
        if events.is_empty() {
            lines.push("was never seen in a mailbox: an interrupted run stored it".to_owned());
        }
        lines.extend(events.iter().map(|e| line(e, &names)));
        if n + 1 < last {
            lines.push(String::new());
        }
        output.result(
            "life",
            &value(&reader, content, &events, &names),
            &lines.join("\n"),
            code,
        );
    }
    Ok(code)
}

/// What a user named: one content, or all that bear a Message-ID.
fn contents(
    reader: &Reader,
    id: &str,
    output: &Output,
) -> Result<(Vec<StoredContent>, u8), CommandError> {
    if (6..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let found = super::show::find(reader, id).map_err(|error| {
            error.hint(format!("a Message-ID has to stand in brackets: '<{id}>'"))
        })?;
        return Ok((vec![found], 0));
    }
    let sink = output.sink();
    let (found, report) = find_message_id(reader, id, &*sink).map_err(StoreError::from)?;
    drop(sink);
    let code = tell_unreadable(&report, output);
    if found.is_empty() {
        let error = CommandError::usage(format!("no message bears the Message-ID `{id}`"));
        return Err(if code == exit::DAMAGED {
            error
                .with_exit(code)
                .hint("messages that cannot be read were not looked at")
        } else {
            error
        });
    }
    let mut contents = Vec::new();
    for id in found {
        contents.extend(reader.catalog().content(id).map_err(StoreError::from)?);
    }
    Ok((contents, code))
}

/// What a mailbox is called.
struct Name {
    account: String,
    mailbox: String,
    /// For people: with its account where there are several.
    shown: String,
}

type Names = HashMap<MailboxId, Name>;

fn names(reader: &Reader) -> Result<Names, StoreError> {
    let catalog = reader.catalog();
    let accounts = catalog.accounts()?;
    let mut names = HashMap::new();
    for account in &accounts {
        for mailbox in catalog.mailboxes(Some(account.id))? {
            let shown = if accounts.len() > 1 {
                format!("{}:{}", account.name, mailbox.name)
            } else {
                mailbox.name.clone()
            };
            let name = Name {
                account: account.name.clone(),
                mailbox: mailbox.name,
                shown,
            };
            names.insert(mailbox.id, name);
        }
    }
    Ok(names)
}

fn head(reader: &Reader, content: &StoredContent) -> Vec<String> {
    let mut lines = vec![
        format!("content     {}", content.id),
        format!("size        {} ({} bytes)", bytes(content.len), content.len),
    ];
    match reader.mail().read_header(content) {
        Ok(header) => {
            let summary = header::summary(&header);
            lines.push(format!("from        {}", escaped(&summary.from)));
            lines.push(format!("subject     {}", escaped(&summary.subject)));
            let id = summary.message_id.as_deref().unwrap_or("none");
            lines.push(format!("message-id  {}", escaped(id)));
        }
        Err(ReadError::Forgotten { .. }) => {
            lines.push("forgotten   its bytes are erased".to_owned());
        }
        Err(error) => lines.push(format!("unreadable  {}", escaped(&error.to_string()))),
    }
    lines
}

fn line(event: &LifeEvent, names: &Names) -> String {
    let name = event.mailbox.and_then(|id| names.get(&id));
    let name = name.map_or("a mailbox the journal does not know", |n| n.shown.as_str());
    format!(
        "{}  run {:<4}  {}",
        mailstow::clock::rfc3339(event.at),
        event.run,
        escaped(&words(&event.what, name))
    )
}

fn words(what: &Happened, mailbox: &str) -> String {
    match what {
        Happened::Placed {
            remote,
            flags,
            date,
            evidence,
            again,
        } => {
            let how = match (evidence, again) {
                (Evidence::Healed, _) => "recognised in",
                (Evidence::Bytes, true) => "fetched anew from",
                (Evidence::Bytes, false) => "seen in",
            };
            let date = date.map_or_else(|| "no date".to_owned(), |d| d.to_string());
            format!("{how} {mailbox} as {remote}, {date}, {}", flag_words(flags))
        }
        Happened::Flags { remote, from, to } => format!(
            "flags in {mailbox} ({remote}): {} before, now {}",
            flag_words(from),
            flag_words(to)
        ),
        Happened::Left { remote } => format!("gone from {mailbox} ({remote})"),
        Happened::EpochEnded {
            remote,
            uidvalidity: Some(new),
        } => format!("{mailbox} has UIDVALIDITY {new} now, so {remote} is history"),
        Happened::EpochEnded { remote, .. } => {
            format!("{mailbox} has another UIDVALIDITY now, so {remote} is history")
        }
        Happened::EpochReturned { remote } => {
            format!("{mailbox} has its UIDVALIDITY of before again, so {remote} counts again")
        }
        Happened::Renamed { from, to, healed } => {
            let how = if *healed {
                "by size and header"
            } else {
                "by its bytes"
            };
            format!("called {to} by POP3 now, {from} before (recognised {how})")
        }
        Happened::Removed { remote } => {
            format!("deleted from the server by mailstow ({remote}), kept in {mailbox}")
        }
        Happened::Damaged { reason } => format!("found damaged: {reason}"),
        Happened::StoredAgain => "stored again, so it is whole".to_owned(),
        Happened::Forgotten { reason } => format!("forgotten on request: {reason}"),
    }
}

fn flag_words(flags: &Flags) -> String {
    let flags: Vec<&str> = flags.iter().collect();
    if flags.is_empty() {
        "no flags".to_owned()
    } else {
        flags.join(" ")
    }
}

fn value(reader: &Reader, content: &StoredContent, events: &[LifeEvent], names: &Names) -> Value {
    let summary = reader
        .mail()
        .read_header(content)
        .map(|h| header::summary(&h));
    let summary = summary.ok();
    let events: Vec<Value> = events
        .iter()
        .map(|e| {
            let name = e.mailbox.and_then(|id| names.get(&id));
            let (account, mailbox) = name.map(|n| (&n.account, &n.mailbox)).unzip();
            let mut value = json!({"at": mailstow::clock::rfc3339(e.at), "run": e.run, "account": account, "mailbox": mailbox});
            if let (Some(object), Value::Object(what)) = (value.as_object_mut(), happened(&e.what)) {
                object.extend(what);
            }
            value
        })
        .collect();
    let id: ContentId = content.id;
    json!({
        "content": id, "size": content.len, "from": summary.as_ref().map(|s| &s.from), "subject": summary.as_ref().map(|s| &s.subject),
        "message_id": summary.as_ref().and_then(|s| s.message_id.as_ref()), "events": events,
    })
}

fn happened(what: &Happened) -> Value {
    match what {
        Happened::Placed {
            remote,
            flags,
            date,
            evidence,
            again,
        } => {
            json!({"what": "placed", "remote": remote.to_string(), "flags": flags, "date": date.map(|d| d.to_string()), "evidence": evidence, "again": again})
        }
        Happened::Flags { remote, from, to } => {
            json!({"what": "flags", "remote": remote.to_string(), "before": from, "flags": to})
        }
        Happened::Left { remote } => json!({"what": "gone", "remote": remote.to_string()}),
        Happened::EpochEnded {
            remote,
            uidvalidity,
        } => {
            json!({"what": "epoch-ended", "remote": remote.to_string(), "uidvalidity": uidvalidity})
        }
        Happened::EpochReturned { remote } => {
            json!({"what": "epoch-returned", "remote": remote.to_string()})
        }
        Happened::Renamed { from, to, healed } => {
            json!({"what": "renamed", "from": from, "to": to, "healed": healed})
        }
        Happened::Removed { remote } => json!({"what": "removed", "remote": remote.to_string()}),
        Happened::Damaged { reason } => json!({"what": "damaged", "reason": reason}),
        Happened::StoredAgain => json!({"what": "stored-again"}),
        Happened::Forgotten { reason } => json!({"what": "forgotten", "reason": reason}),
    }
}
