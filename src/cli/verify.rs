//! `mailstow verify`.

use std::path::Path;

use mailstow::store::Reader;
use mailstow::verify::{Finding, FindingKind, VerifyError, VerifyOptions, VerifyReport, verify};
use serde_json::json;

use super::args::{Amount, VerifyArgs};
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::text::{bytes, count, escaped};

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => error.into(),
            VerifyError::Catalog(error) => mailstow::store::StoreError::Catalog(error).into(),
            VerifyError::Journal(error) => mailstow::store::StoreError::Journal(error).into(),
            VerifyError::Io { path, source } => {
                mailstow::store::StoreError::Io { path, source }.into()
            }
        }
    }
}

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> Result<u8, CommandError> {
    if let Some(source) = &args.against.against {
        return super::against::run(args, source, output);
    }
    let share = match args.sample {
        None => None,
        Some(Amount::Percent(share)) => Some(share),
        Some(Amount::Number(n)) => {
            Some(super::values::percent(&n.to_string()).map_err(CommandError::usage)?)
        }
    };
    let archive = &args.archive.archive;
    let reader = Reader::open(archive, args.archive.catalog.as_deref())?;
    let local = whole_archive(&reader, share, args.seed, output)?;
    let code = local.code;
    output.result("verify", &local.value, &local.words(archive), code);
    Ok(code)
}

/// What re-reading the archive found.
pub(super) struct Local {
    report: VerifyReport,
    pub(super) code: u8,
    pub(super) value: serde_json::Value,
}

impl Local {
    pub(super) fn words(&self, archive: &Path) -> String {
        words(&self.report, &quoted(archive))
    }
}

/// Re-reads and re-hashes the archive, or a share of its mail in percent.
pub(super) fn whole_archive(
    reader: &Reader,
    share: Option<f64>,
    seed: Option<u64>,
    output: &Output,
) -> Result<Local, CommandError> {
    // Another sample each day, so that a timer gets round to everything.
    let day = mailstow::clock::Clock::System.now_unix() / 86_400;
    let options = VerifyOptions {
        sample_percent: share,
        seed: seed.unwrap_or(day.unsigned_abs()),
        threads: 0,
    };
    let sink = output.sink();
    let report = verify(reader, &options, &*sink)?;
    drop(sink);
    let lost = report.known_damaged.len() as u64;
    let code = if report.is_sound() && lost == 0 {
        0
    } else {
        exit::DAMAGED
    };
    let value = value(&report);
    Ok(Local {
        report,
        code,
        value,
    })
}

fn words(report: &VerifyReport, archive: &str) -> String {
    let mut lines = vec![format!(
        "{} and {} in {}; {} ({}) re-read and re-hashed",
        count(report.contents, "message"),
        count(report.placements, "placement"),
        count(report.segments, "segment"),
        count(report.messages, "message"),
        bytes(report.bytes)
    )];
    if report.frames_read < report.frames {
        lines.push(format!(
            "a sample: {} of {}",
            report.frames_read,
            count(report.frames, "data frame")
        ));
    }
    if let Some((path, offset)) = &report.unfinished_commit {
        lines.push(format!("an interrupted run left an unfinished commit in {} at byte {offset}; the next run cuts it off", quoted(path)));
    }
    for unnamed in &report.unnamed {
        lines.push(format!(
            "an interrupted run left {} unnamed in {}; the next run adopts what is whole",
            bytes(unnamed.bytes),
            quoted(&unnamed.path)
        ));
    }
    if report.forgotten > 0 {
        let forgotten = count(report.forgotten, "message");
        lines.push(format!("{forgotten} forgotten on request"));
    }
    lines.extend(report.findings.iter().map(finding));
    for (id, reason) in report.known_damaged.iter().take(20) {
        lines.push(format!(
            "! {} is lost, as recorded: {}",
            id.short(),
            escaped(reason)
        ));
    }
    lines.push(if report.is_sound() && report.known_damaged.is_empty() {
        "the archive is sound".to_owned()
    } else {
        format!("the archive is damaged. Keep it as it is; a backup fetches lost messages again if the server still has them, and this salvages what can be read: mailstow recover {archive} --to NEW")
    });
    lines.join("\n")
}

fn finding(finding: &Finding) -> String {
    let at = finding
        .offset
        .map(|o| format!(" at byte {o}"))
        .unwrap_or_default();
    let lost = match finding.messages.len() as u64 {
        0 => String::new(),
        n => format!(" ({})", count(n, "message")),
    };
    format!(
        "! {}{at}: {}{lost}",
        quoted(&finding.path),
        escaped(&finding.text)
    )
}

fn value(report: &VerifyReport) -> serde_json::Value {
    let kind = |k: FindingKind| match k {
        FindingKind::Journal => "journal",
        FindingKind::Catalog => "catalog",
        FindingKind::Segment => "segment",
        FindingKind::Mail => "mail",
    };
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|f| json!({"kind": kind(f.kind), "path": f.path, "offset": f.offset, "messages": f.messages, "text": f.text}))
        .collect();
    json!({
        "commits": report.commits, "segments": report.segments, "frames": report.frames, "frames_read": report.frames_read,
        "messages": report.messages, "bytes": report.bytes, "contents": report.contents, "placements": report.placements,
        "unfinished_commit": report.unfinished_commit.is_some(), "unnamed_bytes": report.unnamed.iter().map(|u| u.bytes).sum::<u64>(),
        "known_damaged": report.known_damaged, "forgotten": report.forgotten, "findings": findings, "sound": report.is_sound(),
    })
}
