//! `mailstow skips`.

use mailstow::archive::format::Record;
use mailstow::model::Skip;
use mailstow::store::{OpenOptions, Reader, StoreError};
use serde_json::json;

use super::args::SkipsArgs;
use super::failure::CommandError;
use super::output::Output;
use super::text::{count, escaped};

pub(crate) fn run(args: &SkipsArgs, output: &Output) -> Result<u8, CommandError> {
    if let Some((reason, ids)) = args.accept.as_deref().and_then(<[_]>::split_last) {
        return accept(args, ids, reason, output);
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
        let named = skip.remote.as_ref().map(ToString::to_string);
        let which = match &named {
            Some(remote) => escaped(remote),
            None => format!("{} without a name", count(skip.count.into(), "message")),
        };
        lines.push(format!(
            "{}  {which} in {}: {}",
            skip.id,
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
        let next = match &skip.accepted {
            Some(note) => {
                lines.push(format!("   {tried}; accepted: {}", escaped(note)));
                "accepted"
            }
            None => {
                lines.push(format!("   {tried}; tried again by the next backup"));
                "next run"
            }
        };
        let remote = named.unwrap_or_else(|| "?".to_owned());
        values.push(json!({"id": skip.id, "mailbox": name, "remote": remote, "count": skip.count, "reason": skip.reason, "tries": skip.tries, "first": skip.first, "last": skip.last, "next": next, "accepted": skip.accepted}));
    }
    if lines.is_empty() {
        lines.push("nothing was skipped".to_owned());
    }
    output.result("skips", &json!({ "skips": values }), &lines.join("\n"), 0);
    Ok(0)
}

/// All of them or none: a slip in one number accepts nothing.
fn accept(
    args: &SkipsArgs,
    ids: &[String],
    reason: &str,
    output: &Output,
) -> Result<u8, CommandError> {
    let options = OpenOptions {
        catalog: args.archive.catalog.clone(),
        ..OpenOptions::default()
    };
    let mut writer = options.open(&args.archive.archive)?;
    let skips = writer.catalog().skips(true).map_err(StoreError::from)?;
    let mut chosen = Vec::new();
    for id in ids {
        let number = id.parse::<i64>().ok();
        let Some(skip) = skips.iter().find(|s| Some(s.id) == number) else {
            writer.finish()?;
            return Err(CommandError::usage(format!("there is no skip `{id}`"))
                .hint("mailstow skips ARCHIVE lists them with their numbers"));
        };
        chosen.push(skip);
    }
    for skip in &chosen {
        writer.record(Record::Skip(Skip {
            mailbox: skip.mailbox,
            remote: skip.remote.clone(),
            count: skip.count,
            reason: skip.reason.clone(),
            accepted: Some(reason.to_owned()),
        }));
    }
    writer.commit()?;
    writer.finish()?;
    let numbers: Vec<i64> = chosen.iter().map(|skip| skip.id).collect();
    let words: Vec<String> = numbers
        .iter()
        .map(|n| format!("skip {n} is accepted and will not be tried again"))
        .collect();
    let value = match numbers.as_slice() {
        [only] => json!({ "id": only, "ids": numbers }),
        _ => json!({ "ids": numbers }),
    };
    output.result("accepted", &value, &words.join("\n"), 0);
    Ok(0)
}
