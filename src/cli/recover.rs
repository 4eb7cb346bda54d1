//! `mailstow recover`.

use mailstow::clock::Clock;
use mailstow::store::{RecoverError, RecoverReport, StoreError, recover};
use serde_json::json;

use super::args::RecoverArgs;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::text::{bytes, count, escaped};

impl From<RecoverError> for CommandError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Newer(error) => error.into(),
            RecoverError::Store(error) => error.into(),
            RecoverError::Catalog(error) => StoreError::Catalog(error).into(),
            RecoverError::Io { path, source } => StoreError::Io { path, source }.into(),
            other => Self::usage(other.to_string())
                .hint("name the damaged archive, and with --to a folder that does not exist yet"),
        }
    }
}

pub(crate) fn run(args: &RecoverArgs, output: &Output) -> Result<u8, CommandError> {
    let sink = output.sink();
    let report = recover(&args.archive, &args.to, Clock::System, &*sink)?;
    drop(sink);
    let code = if report.is_complete() {
        0
    } else {
        exit::PARTIAL
    };
    output.result("recover", &value(&report), &words(&report, args), code);
    Ok(code)
}

fn words(report: &RecoverReport, args: &RecoverArgs) -> String {
    let placements = report.from_journal + report.from_catalog + report.from_contents;
    let mut lines = vec![
        format!(
            "{} ({}) saved to {}",
            count(report.messages, "message"),
            bytes(report.bytes),
            quoted(&args.to)
        ),
        format!(
            "{}: {} known from the journal, {} from the catalog, {} from the segments themselves",
            count(placements, "placement"),
            report.from_journal,
            report.from_catalog,
            report.from_contents
        ),
    ];
    if !report.journal_whole {
        lines.push(
            "the journal could not be read whole: flags and mailboxes are as they were last known"
                .to_owned(),
        );
    }
    for region in report.damage.iter().take(20) {
        lines.push(format!(
            "! {} at byte {}: {}",
            quoted(&region.path),
            region.offset,
            escaped(&region.text)
        ));
    }
    for lost in report.lost.iter().take(20) {
        let remote = lost
            .remote
            .as_ref()
            .map_or_else(|| "?".to_owned(), ToString::to_string);
        lines.push(format!(
            "! lost: {} in {} ({})",
            escaped(&remote),
            escaped(&lost.mailbox),
            lost.content.short()
        ));
    }
    let hidden = report.lost.len().saturating_sub(20) as u64;
    if hidden > 0 {
        lines.push(format!(
            "! and {} more lost; --json names them all",
            count(hidden, "message")
        ));
    }
    lines.push("the old archive was not touched; the next backup into the new one looks at every mailbox anew".to_owned());
    lines.join("\n")
}

fn value(report: &RecoverReport) -> serde_json::Value {
    let lost: Vec<_> = report
        .lost
        .iter()
        .map(|l| json!({"mailbox": l.mailbox, "remote": l.remote.as_ref().map(ToString::to_string), "content": l.content}))
        .collect();
    let damage: Vec<_> = report
        .damage
        .iter()
        .map(|d| json!({"path": d.path, "offset": d.offset, "bytes": d.bytes, "text": d.text}))
        .collect();
    json!({
        "messages": report.messages, "bytes": report.bytes, "from_journal": report.from_journal, "from_catalog": report.from_catalog,
        "from_contents": report.from_contents, "journal_whole": report.journal_whole, "lost": lost, "damage": damage,
    })
}
