//! `mailstow forget`.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};

use mailstow::header;
use mailstow::model::StoredContent;
use mailstow::store::{ForgetReport, OpenOptions, Reader, StoreError};
use serde_json::json;

use super::args::ForgetArgs;
use super::backup::quoted;
use super::failure::{CommandError, exit};
use super::output::Output;
use super::text::{bytes, count, err, escaped};

/// Digits that tell a message from all others, also from ones to come.
const DIGITS: usize = 12;

pub(crate) fn run(args: &ForgetArgs, output: &Output) -> Result<u8, CommandError> {
    let reason = args.reason.trim();
    if reason.is_empty() {
        return Err(CommandError::usage("--reason is empty".to_owned())
            .hint("say who asked for it and when; it is all that will be left"));
    }
    let (archive, catalog) = (&args.archive.archive, args.archive.catalog.as_deref());
    let reader = Reader::open(archive, catalog)?;
    let contents = contents(&reader, &args.ids)?;
    if !args.yes {
        confirm(&reader, &contents)?;
    }
    drop(reader);
    // Not before the answer: a run at night need not wait for it.
    let options = OpenOptions {
        catalog: args.archive.catalog.clone(),
        ..OpenOptions::default()
    };
    let mut writer = options.open(archive)?;
    let ids: Vec<_> = contents.iter().map(|c| c.id).collect();
    let report = match writer.forget(&ids, reason) {
        Ok(report) => report,
        Err(error) => {
            writer.abandon();
            return Err(CommandError::from(error)
                .hint("part of it may be done; the same command again does the rest"));
        }
    };
    writer.finish()?;
    let code = if !report.refused.is_empty() {
        exit::DAMAGED
    } else if report.is_complete() {
        0
    } else {
        exit::PARTIAL
    };
    let value = json!({
        "forgotten": report.forgotten, "already": report.already, "segments": report.segments,
        "refused": report.refused, "strangers": report.strangers, "reason": reason,
    });
    output.result("forget", &value, &words(&report, &quoted(archive)), code);
    Ok(code)
}

/// The contents a user named, each once.
fn contents(reader: &Reader, ids: &[String]) -> Result<Vec<StoredContent>, CommandError> {
    let mut seen = BTreeSet::new();
    let mut contents = Vec::new();
    for id in ids {
        if id.len() < DIGITS {
            return Err(
                CommandError::usage(format!("`{id}` is too short to erase something by")).hint(
                    format!("give at least {DIGITS} digits of the content id; mailstow show prints it whole"),
                ),
            );
        }
        let content = super::show::find(reader, id)?;
        if seen.insert(content.id) {
            contents.push(content);
        }
    }
    Ok(contents)
}

/// Shows what is to be erased, and goes on only if a person says so.
fn confirm(reader: &Reader, contents: &[StoredContent]) -> Result<(), CommandError> {
    let mut mail = reader.mail();
    let mailboxes = reader.catalog().mailboxes(None).map_err(StoreError::from)?;
    for content in contents {
        let subject = match mail.read_header(content) {
            Ok(header) => header::summary(&header).subject,
            Err(error) => format!("({error})"),
        };
        let rows = reader
            .catalog()
            .placements_of(content.id)
            .map_err(StoreError::from)?;
        let in_it = |row: &mailstow::catalog::PlacementRow| {
            let mailbox = mailboxes.iter().find(|m| m.id == row.mailbox);
            mailbox.map_or_else(String::new, |m| escaped(&m.name))
        };
        let names: BTreeSet<String> = rows.iter().map(in_it).collect();
        let names: Vec<String> = names.into_iter().collect();
        err(&format!(
            "{}  {:>9}  {}  ({}: {})",
            content.id.short(),
            bytes(content.len),
            escaped(&subject),
            count(rows.len() as u64, "placement"),
            names.join(", ")
        ));
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            CommandError::usage("nothing is erased without a person's word".to_owned())
                .hint("add --yes where there is no terminal to ask at"),
        );
    }
    err(&format!(
        "Erase {} for good? No backup brings it back. Type yes:",
        count(contents.len() as u64, "message")
    ));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(CommandError::usage("nothing was erased".to_owned())),
    }
}

fn words(report: &ForgetReport, archive: &str) -> String {
    let mut lines = vec![format!(
        "{} erased, {} written anew",
        count(report.forgotten.len() as u64, "message"),
        count(report.segments, "segment")
    )];
    if !report.already.is_empty() {
        let already = count(report.already.len() as u64, "message");
        lines.push(format!("{already} had been forgotten before"));
    }
    for (segment, why) in &report.refused {
        lines.push(format!("! mail/{}: {}", escaped(segment), escaped(why)));
    }
    if !report.refused.is_empty() {
        lines.push(format!("what is asked for may still be there. Salvage the archive (mailstow recover {archive} --to NEW), forget it there, and delete this one"));
    }
    for segment in &report.strangers {
        lines.push(format!(
            "! mail/{} is no part of the archive and holds it too; delete it",
            escaped(segment)
        ));
    }
    lines.push("copies of the archive made before have it still".to_owned());
    lines.join("\n")
}
