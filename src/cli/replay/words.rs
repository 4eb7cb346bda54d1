//! A replay's report in words: a table, what is not as it should be, and how it ended.

use std::path::Path;

use mailstow::replay::{MailboxRow, ReplayReport};

use super::columns::{self, cell};
use super::said::{self, Said};
use crate::cli::backup::quoted;
use crate::cli::text::{escaped, table};

/// Messages of one kind that are named; JSON has them all.
const SHOWN: usize = 20;

/// The report as text.
pub(crate) fn of(report: &ReplayReport, archive: &Path) -> String {
    let archive = quoted(archive);
    let mut lines = vec![head(report), numbers(report)];
    let mut tell = |said: &Said| {
        let mark = if said.grave { '!' } else { ' ' };
        lines.push(format!("{mark} {}", escaped(&said.text)));
    };
    let mailboxes = report.mailboxes.iter().flat_map(said::of_mailbox);
    mailboxes.for_each(|said| tell(&said));
    said::names(report).iter().for_each(&mut tell);
    let left_out = report.left_out.iter().map(said::left_out).map(said::info);
    left_out.for_each(|said| tell(&said));
    said::numbers(report).iter().for_each(&mut tell);
    messages(report).iter().for_each(&mut tell);
    let advice = said::advice(report, &archive);
    advice
        .into_iter()
        .map(said::info)
        .for_each(|said| tell(&said));
    let notes = report.notes.iter().cloned().map(said::info);
    notes.for_each(|said| tell(&said));
    let warnings = report.warnings.iter().cloned().map(said::grave);
    warnings.for_each(|said| tell(&said));
    lines.push(String::new());
    lines.extend(said::verdict(report).iter().map(|line| escaped(line)));
    lines.join("\n")
}

fn head(report: &ReplayReport) -> String {
    let mut head = format!("{} to {}", report.account, report.target);
    if let Some(as_of) = &report.as_of {
        head = format!("{head}, as of {as_of}");
    }
    for words in &report.selection {
        head = format!("{head}, {words}");
    }
    format!("{}:", escaped(&head))
}

fn numbers(report: &ReplayReport) -> String {
    let columns = columns::shown(report);
    let head: Vec<&str> = std::iter::once("mailbox")
        .chain(columns.iter().map(|c| c.short))
        .collect();
    let row = |name: String, row: &MailboxRow| {
        let cells = columns.iter().map(|c| cell((c.of)(row)));
        std::iter::once(name).chain(cells).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = report
        .mailboxes
        .iter()
        .map(|r| row(escaped(&r.target), r))
        .collect();
    if rows.len() != 1 {
        rows.push(row("total".to_owned(), &report.total));
    }
    table(&head, &rows)
}

fn messages(report: &ReplayReport) -> Vec<Said> {
    let mut all = Vec::new();
    for (what, notes) in said::kinds(report) {
        let word = said::what(what, report.dry_run);
        let grave = said::is_grave(what);
        let line = |text| Said { grave, text };
        all.extend(notes.iter().take(SHOWN).map(|note| {
            let id = said::short(&note.content);
            line(format!("{word} {id} in {}: {}", note.mailbox, note.reason))
        }));
        let more = report.count(what).saturating_sub(SHOWN as u64);
        if more > 0 {
            let json = if report.count(what) > ReplayReport::NOTED {
                format!("has {} of them", ReplayReport::NOTED)
            } else {
                "has all".to_owned()
            };
            all.push(line(format!("{word}: {more} more; --json {json}")));
        }
    }
    all
}
