//! A migration's report as a page: the page of its replay, with both sides in front.

use std::path::Path;

use mailstow::migrate::MigrateReport;
use mailstow::replay::ReplayReport;

use super::words;
use crate::cli::page::{Cells, Page, Said, Section, Table, Tone};

/// The page of a migration that came to its replay.
pub(super) fn page(
    report: &MigrateReport,
    replay: &ReplayReport,
    archive: &Path,
    code: u8,
) -> Page {
    let mut page = crate::cli::replay::page(replay, archive, code);
    page.title = format!("Move of {} to {}", replay.account, replay.target);
    if code != 0 && page.tone == Tone::Good {
        page.tone = Tone::Look;
    }
    let mut verdict = vec![words::verdict(report)];
    verdict.extend(words::proof(report));
    page.verdict.splice(0..0, verdict);
    page.sections.insert(0, sides(report));
    page
}

fn sides(report: &MigrateReport) -> Section {
    let head = vec![
        ("mailbox on the target", Cells::Text),
        ("at the source", Cells::Number),
        ("in the archive", Cells::Number),
        ("brought", Cells::Number),
        ("on the target", Cells::Number),
    ];
    let mut rows = words::rows(report);
    let total = if rows.len() > 1 { rows.pop() } else { None };
    let warnings = report.backup.warnings.iter().map(|text| Said {
        grave: true,
        text: format!("At the source: {text}"),
    });
    Section {
        title: "Both sides".to_owned(),
        table: Some(Table { head, rows, total }),
        said: warnings.collect(),
    }
}
