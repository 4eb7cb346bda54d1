//! `mailstow skips`.

use mailstow::archive::format::Record;
use mailstow::model::Skip;
use mailstow::store::{OpenOptions, Reader, StoreError};
use serde_json::json;

use super::args::SkipsArgs;
use super::failure::CommandError;
use super::output::Output;
use super::text::escaped;

pub(crate) fn run(args: &SkipsArgs, output: &Output) -> Result<u8, CommandError> {
    if let Some([id, reason]) = args.accept.as_deref() {
        return accept(args, id, reason, output);
    }
    let reader = Reader::open(&args.archive.archive, args.archive.catalog.as_deref())?;
    let mailboxes = reader.catalog().mailboxes(None).map_err(StoreError::from)?;
    let mut lines = Vec::new();
    let mut values = Vec::new();
    for skip in reader.catalog().skips(args.all).map_err(StoreError::from)? {
        let name = mailboxes
            .iter()
            .find(|m| m.id == skip.mailbox)
            .map(|m| m.name.clone())
            .unwrap_or_default();
        let remote = skip
            .remote
            .as_ref()
            .map_or_else(|| "?".to_owned(), ToString::to_string);
        lines.push(format!(
            "{}  {} in {}: {}",
            skip.id,
            escaped(&remote),
            escaped(&name),
            escaped(&skip.reason)
        ));
        let tried = if skip.tries == 1 {
            format!("tried once, {}", skip.last)
        } else {
            format!(
                "tried {} times, {} to {}",
                skip.tries, skip.first, skip.last
            )
        };
        lines.push(match &skip.accepted {
            Some(note) => format!("   {tried}; accepted: {}", escaped(note)),
            None => format!("   {tried}; the next backup tries again"),
        });
        values.push(json!({"id": skip.id, "mailbox": name, "remote": remote, "reason": skip.reason, "tries": skip.tries, "first": skip.first, "last": skip.last, "accepted": skip.accepted}));
    }
    if lines.is_empty() {
        lines.push("nothing was skipped".to_owned());
    }
    output.result("skips", &json!({ "skips": values }), &lines.join("\n"), 0);
    Ok(0)
}

fn accept(args: &SkipsArgs, id: &str, reason: &str, output: &Output) -> Result<u8, CommandError> {
    let unknown = || {
        CommandError::usage(format!("there is no skip `{id}`"))
            .hint("mailstow skips ARCHIVE lists them with their numbers")
    };
    let number: i64 = id.parse().map_err(|_| unknown())?;
    let options = OpenOptions {
        catalog: args.archive.catalog.clone(),
        ..OpenOptions::default()
    };
    let mut writer = options.open(&args.archive.archive)?;
    let skip = writer
        .catalog()
        .skips(true)
        .map_err(StoreError::from)?
        .into_iter()
        .find(|s| s.id == number);
    let Some(skip) = skip else {
        writer.finish()?;
        return Err(unknown());
    };
    writer.record(Record::Skip(Skip {
        mailbox: skip.mailbox,
        remote: skip.remote,
        reason: skip.reason,
        accepted: Some(reason.to_owned()),
    }));
    writer.commit()?;
    writer.finish()?;
    output.result(
        "accepted",
        &json!({ "id": number }),
        &format!("skip {number} is accepted and will not be tried again"),
        0,
    );
    Ok(0)
}
