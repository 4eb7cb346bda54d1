//! A replay's report as a page: the same numbers and the same sentences as on the terminal.

use std::path::Path;

use mailstow::clock::parse_rfc3339;
use mailstow::replay::{MailboxRow, ReplayReport};

use super::columns::{self, cell};
use super::equations;
use super::said::{self, grave, info};
use crate::cli::backup::quoted;
use crate::cli::page::{Cells, Page, Section, Table};
use crate::cli::text::bytes;

/// The page of a replay to a target.
pub(crate) fn page(report: &ReplayReport, archive: &Path, code: u8) -> Page {
    let dry = if report.dry_run { " (dry run)" } else { "" };
    Page {
        title: format!("Replay of {} to {}{dry}", report.account, report.target),
        tone: said::tone(report),
        verdict: said::verdict(report).iter().map(|v| sentence(v)).collect(),
        facts: facts(report, archive, code),
        sections: sections(report, archive),
        footer: footer(),
    }
}

/// Which program says so.
pub(crate) fn footer() -> String {
    format!(
        "Written by mailstow {}. A message is known by the hash of its bytes, its content id: mailstow show ARCHIVE ID finds it in the archive.",
        env!("CARGO_PKG_VERSION")
    )
}

/// What there is to say of a replay, part by part.
pub(crate) fn sections(report: &ReplayReport, archive: &Path) -> Vec<Section> {
    let all = [
        mailboxes(report),
        names(report),
        left_out(report),
        messages(report, archive),
        remarks(report),
        glossary(report),
    ];
    let has_something = |s: &Section| s.table.is_some() || !s.said.is_empty();
    all.into_iter().filter(has_something).collect()
}

/// With a capital letter.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

/// `2026-11-22T16:25:51Z` for people.
fn when(rfc3339: &str) -> String {
    match rfc3339.strip_suffix('Z').and_then(|t| t.split_once('T')) {
        Some((day, time)) => format!("{day} {time} UTC"),
        None => rfc3339.to_owned(),
    }
}

/// `1 h 2 min 3 s`.
fn took(report: &ReplayReport) -> Option<String> {
    let seconds = parse_rfc3339(&report.ended)? - parse_rfc3339(&report.started)?;
    let seconds = u64::try_from(seconds).ok()?;
    let (h, min, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(match (h, min) {
        (0, 0) => format!("{s} s"),
        (0, _) => format!("{min} min {s} s"),
        _ => format!("{h} h {min} min"),
    })
}

/// A page is read in another folder than it was made in.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.display().to_string()
}

fn facts(report: &ReplayReport, archive: &Path, code: u8) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Account", report.account.clone()),
        (
            "From the archive",
            format!("{} (id {})", absolute(archive), report.archive_id),
        ),
        ("To", report.target.clone()),
    ];
    if let Some(as_of) = &report.as_of {
        facts.push(("As of", format!("the end of the run of {}", when(as_of))));
    }
    if !report.selection.is_empty() {
        facts.push(("Limited to", report.selection.join("; ")));
    }
    let took = took(report).map_or_else(String::new, |took| format!(" ({took})"));
    facts.push(("Begun", when(&report.started)));
    facts.push(("Ended", format!("{}{took}", when(&report.ended))));
    facts.push(("Sent over the network", bytes(report.sent)));
    facts.push(("Exit code", code.to_string()));
    facts
}

fn mailboxes(report: &ReplayReport) -> Section {
    let columns = columns::shown(report);
    let head = std::iter::once(("mailbox on the target", Cells::Text))
        .chain(columns.iter().map(|c| (c.long, Cells::Number)));
    let row = |name: &str, row: &MailboxRow| {
        let cells = columns.iter().map(|c| cell((c.of)(row)));
        std::iter::once(name.to_owned()).chain(cells).collect()
    };
    let rows = report.mailboxes.iter().map(|r| row(&r.target, r));
    let table = Table {
        head: head.collect(),
        rows: rows.collect(),
        total: Some(row("total", &report.total)),
    };
    let mut said = equations::of(report);
    said.extend(report.mailboxes.iter().flat_map(said::of_mailbox));
    said.extend(said::numbers(report));
    Section {
        title: "Mailboxes".to_owned(),
        table: Some(table),
        said,
    }
}

fn names(report: &ReplayReport) -> Section {
    Section {
        title: "Mailboxes made, and their names".to_owned(),
        table: None,
        said: said::names(report),
    }
}

fn left_out(report: &ReplayReport) -> Section {
    let rows: Vec<Vec<String>> = report
        .left_out
        .iter()
        .map(|left| {
            vec![
                left.name.clone(),
                left.messages.to_string(),
                left.reason.clone(),
            ]
        })
        .collect();
    let head = vec![
        ("mailbox in the archive", Cells::Text),
        ("messages", Cells::Number),
        ("why", Cells::Text),
    ];
    Section {
        title: "Mailboxes left out".to_owned(),
        table: (!rows.is_empty()).then_some(Table {
            head,
            rows,
            total: None,
        }),
        said: Vec::new(),
    }
}

fn messages(report: &ReplayReport, archive: &Path) -> Section {
    let mut rows = Vec::new();
    let mut said = Vec::new();
    for (what, notes) in said::kinds(report) {
        let word = said::what(what, report.dry_run);
        rows.extend(notes.iter().map(|note| {
            vec![
                word.to_owned(),
                note.mailbox.clone(),
                note.reason.clone(),
                said::short(&note.content).to_owned(),
                note.remote.clone(),
            ]
        }));
        let more = report.count(what).saturating_sub(notes.len() as u64);
        if more > 0 {
            let text = format!("{word}: {more} more that are not named here");
            said.push(if said::is_grave(what) {
                grave(text)
            } else {
                info(text)
            });
        }
    }
    said.extend(said::advice(report, &quoted(archive)).into_iter().map(info));
    let head = vec![
        ("what", Cells::Text),
        ("mailbox on the target", Cells::Text),
        ("why", Cells::Text),
        ("content id", Cells::Code),
        ("at the source", Cells::Code),
    ];
    Section {
        title: "Messages to know of".to_owned(),
        table: (!rows.is_empty()).then_some(Table {
            head,
            rows,
            total: None,
        }),
        said,
    }
}

fn remarks(report: &ReplayReport) -> Section {
    let warnings = report.warnings.iter().cloned().map(grave);
    let notes = report.notes.iter().cloned().map(info);
    Section {
        title: "Remarks".to_owned(),
        table: None,
        said: warnings.chain(notes).collect(),
    }
}

fn glossary(report: &ReplayReport) -> Section {
    let words = columns::shown(report).into_iter();
    let rows = words.map(|c| vec![c.long.to_owned(), c.means.to_owned()]);
    Section {
        title: "What the columns mean".to_owned(),
        table: Some(Table {
            head: vec![("column", Cells::Text), ("means", Cells::Text)],
            rows: rows.collect(),
            total: None,
        }),
        said: Vec::new(),
    }
}
