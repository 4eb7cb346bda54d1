//! `mailstow status`.

use mailstow::model::JobState;
use mailstow::store::{Reader, StoreError};
use serde_json::json;

use super::args::ArchiveArgs;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::text::{bytes, count, escaped, table};

pub(crate) fn run(args: &ArchiveArgs, output: &Output) -> Result<u8, CommandError> {
    let reader = Reader::open(&args.archive, args.catalog.as_deref())?;
    let catalog = reader.catalog();
    let store = StoreError::from;
    let (messages, size) = catalog.content_totals().map_err(store)?;
    let runs = catalog.runs().map_err(StoreError::from)?;
    let damaged = catalog.damaged().map_err(StoreError::from)?.len() as u64;
    let skips = catalog.skips(false).map_err(StoreError::from)?.len() as u64;
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
            quoted(&args.archive),
            reader.dir().manifest().format,
            reader.dir().manifest().created
        ),
        format!(
            "{} kept once each, {} of mail",
            count(messages, "message"),
            bytes(size)
        ),
    ];
    let mut accounts = Vec::new();
    for account in catalog.accounts().map_err(StoreError::from)? {
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
        accounts.push(json!({"name": account.name, "mailboxes": values, "last_run": last, "last_complete": complete}));
    }
    for job in &open {
        lines.push(format!(
            "job {job} is open; go on with: mailstow resume {} {job}",
            quoted(&args.archive)
        ));
    }
    if skips > 0 {
        lines.push(format!(
            "{} skipped; see: mailstow skips {}",
            count(skips, "message"),
            quoted(&args.archive)
        ));
    }
    if damaged > 0 {
        lines.push(format!(
            "{} damaged; see: mailstow verify {}",
            count(damaged, "message"),
            quoted(&args.archive)
        ));
    }
    let code = if damaged > 0 { exit::DAMAGED } else { 0 };
    let value = json!({"messages": messages, "bytes": size, "accounts": accounts, "open_jobs": open, "skipped": skips, "damaged": damaged});
    output.result("status", &value, &lines.join("\n"), code);
    Ok(code)
}

fn when(run: Option<&mailstow::model::RunReport>) -> String {
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
