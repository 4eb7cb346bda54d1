//! `mailstow status`.

use mailstow::clock::{Clock, parse_rfc3339};
use mailstow::model::{JobState, RunReport};
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::StatusArgs;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::ls::account;
use super::output::Output;
use super::text::{bytes, count, escaped, table};

pub(crate) fn run(args: &StatusArgs, output: &Output) -> Result<u8, CommandError> {
    let archive = &args.archive.archive;
    let reader = Reader::open(archive, args.archive.catalog.as_deref())?;
    let mut wanted = Vec::new();
    for name in &args.accounts {
        wanted.extend(account(&reader, Some(name))?);
    }
    let catalog = reader.catalog();
    let store = StoreError::from;
    let (messages, size) = catalog.content_totals().map_err(store)?;
    let runs = catalog.runs().map_err(StoreError::from)?;
    let damaged = catalog.damaged().map_err(StoreError::from)?.len() as u64;
    let forgotten = catalog.forgotten().map_err(StoreError::from)?.len() as u64;
    let skips = catalog.skips(false).map_err(StoreError::from)?;
    let skips: u64 = skips.iter().map(|s| u64::from(s.count)).sum();
    let open: Vec<u32> = catalog
        .jobs()
        .map_err(StoreError::from)?
        .iter()
        .filter(|j| j.state == JobState::Open)
        .map(|j| j.id)
        .collect();
    let mut lines = vec![
        format!(
            "archive {}, format {}, made {}",
            quoted(archive),
            reader.dir().manifest().format,
            reader.dir().manifest().created
        ),
        format!(
            "{} kept once each, {} of mail",
            count(messages, "message"),
            bytes(size)
        ),
    ];
    let now = Clock::default().now_unix();
    let mut accounts = Vec::new();
    let mut late = Vec::new();
    for account in catalog.accounts().map_err(StoreError::from)? {
        if !wanted.is_empty() && !wanted.contains(&account.id) {
            continue;
        }
        let mut rows = Vec::new();
        let mut values = Vec::new();
        for mailbox in catalog
            .mailboxes(Some(account.id))
            .map_err(StoreError::from)?
        {
            let t = catalog.totals(mailbox.id).map_err(StoreError::from)?;
            rows.push(vec![
                escaped(&mailbox.name),
                t.present.to_string(),
                bytes(t.bytes),
                t.gone.to_string(),
                t.skipped.to_string(),
            ]);
            values.push(json!({"name": mailbox.name, "present": t.present, "bytes": t.bytes, "gone": t.gone, "skipped": t.skipped, "special_use": mailbox.special_use}));
        }
        let last = runs.iter().rev().find(|r| r.account == account.id);
        let complete = runs
            .iter()
            .rev()
            .find(|r| r.account == account.id && r.exit == 0);
        lines.push(format!("\n{}:", escaped(&account.name)));
        lines.push(table(
            &["mailbox", "present", "size", "gone", "skipped"],
            &rows,
        ));
        lines.push(format!(
            "last run {}, last complete run {}",
            when(last),
            when(complete)
        ));
        let doubts = catalog.doubts(account.id).map_err(StoreError::from)?;
        let doubtful: u64 = doubts.iter().map(|d| d.gone.uids.len()).sum();
        if doubtful > 0 {
            lines.push(format!(
                "the last run did not find {} on the server; if a later night does not either, they count as gone",
                count(doubtful, "message")
            ));
        }
        let age = complete.and_then(|r| age(r, now));
        let mut value = json!({"name": account.name, "mailboxes": values, "last_run": last, "last_complete": complete, "age": age, "doubtful": doubtful});
        if let (Some(most), Some(object)) = (args.max_age, value.as_object_mut()) {
            let too_old = age.is_none_or(|age| age > most);
            object.insert("too_old".to_owned(), too_old.into());
            if too_old {
                late.push(too_late(&account.name, age, most));
            }
        }
        accounts.push(value);
    }
    if args.max_age.is_some() && accounts.is_empty() {
        late.push("! no account was ever backed up".to_owned());
    }
    for job in &open {
        lines.push(format!(
            "job {job} is open; go on with: mailstow resume {} {job}",
            quoted(archive)
        ));
    }
    if skips > 0 {
        lines.push(format!(
            "{} skipped; see: mailstow skips {}",
            count(skips, "message"),
            quoted(archive)
        ));
    }
    if forgotten > 0 {
        let forgotten = count(forgotten, "message");
        lines.push(format!("{forgotten} forgotten on request"));
    }
    if damaged > 0 {
        lines.push(format!(
            "{} damaged; see: mailstow verify {}",
            count(damaged, "message"),
            quoted(archive)
        ));
    }
    let code = if damaged > 0 {
        exit::DAMAGED
    } else if late.is_empty() {
        0
    } else {
        exit::TOO_OLD
    };
    lines.append(&mut late);
    let mut value = json!({"messages": messages, "bytes": size, "accounts": accounts, "open_jobs": open, "skipped": skips, "damaged": damaged, "forgotten": forgotten});
    if let (Some(most), Some(object)) = (args.max_age, value.as_object_mut()) {
        object.insert("max_age".to_owned(), most.into());
    }
    output.result("status", &value, &lines.join("\n"), code);
    Ok(code)
}

fn when(run: Option<&RunReport>) -> String {
    run.map_or_else(
        || "never".to_owned(),
        |r| {
            if r.exit == 0 {
                r.ended.clone()
            } else {
                format!("{} (exit {})", r.ended, r.exit)
            }
        },
    )
}

/// Seconds since a run ended; 0 if this machine's clock went back since then.
fn age(run: &RunReport, now: i64) -> Option<i64> {
    parse_rfc3339(&run.ended).map(|ended| now.saturating_sub(ended).max(0))
}

fn too_late(account: &str, age: Option<i64>, most: i64) -> String {
    let account = escaped(account);
    match age {
        Some(age) => format!(
            "! {account}: the last complete run ended {} ago, more than {}",
            span(age),
            span(most)
        ),
        None => format!("! {account}: no run was ever complete"),
    }
}

/// `2 d 3 h`, `36 min`: the two largest units that are not 0.
fn span(seconds: i64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
    ];
    let from = units.iter().position(|(n, _)| *n > 0);
    let named = units.iter().skip(from.unwrap_or(2)).take(2);
    let parts: Vec<String> = named
        .filter(|(n, unit)| *n > 0 || (from.is_none() && *unit == "min"))
        .map(|(n, unit)| format!("{n} {unit}"))
        .collect();
    parts.join(" ")
}

/// An age in seconds.
pub(crate) fn max_age(text: &str) -> Result<i64, String> {
    let span = super::values::span(text)?;
    i64::try_from(span.as_secs()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told() {
        assert_eq!(max_age("36h"), Ok(129_600));
        assert_eq!(span(0), "0 min");
        assert_eq!(span(59), "0 min");
        assert_eq!(span(5_400), "1 h 30 min");
        assert_eq!(span(129_600), "1 d 12 h");
        assert_eq!(span(172_800 + 60), "2 d");
    }
}
