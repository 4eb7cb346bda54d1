//! Reports of backups in words.

use mailstow::report::{BackupReport, Ending, Limit, MailboxReport};

use super::text::{bytes, count, escaped, table};

/// The report of a finished run.
pub(crate) fn backup(report: &BackupReport, archive: &str) -> String {
    let mut lines = vec![format!("{}:", escaped(&report.account))];
    let head = [
        "mailbox",
        "on server",
        "stored",
        "linked",
        "held",
        "excluded",
        "left",
        "skipped",
    ];
    let row = |name: String, t: &mailstow::model::Tally| {
        let numbers = [
            t.exists, t.stored, t.linked, t.held, t.excluded, t.left, t.skipped,
        ];
        std::iter::once(name)
            .chain(numbers.iter().map(ToString::to_string))
            .collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = report
        .mailboxes
        .iter()
        .map(|m| row(escaped(&m.name), &m.tally))
        .collect();
    if rows.len() != 1 {
        rows.push(row("total".to_owned(), &report.total));
    }
    lines.push(table(&head, &rows));
    problems(report, &mut lines);
    lines.push(String::new());
    lines.push(verdict(report, archive));
    lines.join("\n")
}

/// What a backup would do.
pub(crate) fn plan(report: &BackupReport, archive: &str, kept: bool) -> String {
    let mut lines = vec![format!("{}:", escaped(&report.account))];
    let new = |t: &mailstow::model::Tally| u64::from(t.exists).saturating_sub(t.sum());
    let row = |name: String, t: &mailstow::model::Tally| {
        vec![
            name,
            t.exists.to_string(),
            t.held.to_string(),
            t.excluded.to_string(),
            new(t).to_string(),
        ]
    };
    let mut rows: Vec<Vec<String>> = report
        .mailboxes
        .iter()
        .map(|m| row(escaped(&m.name), &m.tally))
        .collect();
    if rows.len() != 1 {
        rows.push(row("total".to_owned(), &report.total));
    }
    lines.push(table(
        &["mailbox", "on server", "held", "excluded", "to fetch"],
        &rows,
    ));
    problems(report, &mut lines);
    if let Some(job) = report.job.filter(|_| kept) {
        lines.push(format!(
            "\nkept as job {job}; run it with: mailstow resume {archive} {job}"
        ));
    }
    lines.join("\n")
}

fn problems(report: &BackupReport, lines: &mut Vec<String>) {
    for mailbox in report
        .mailboxes
        .iter()
        .filter(|m| m.problem.is_some() || !m.tally.adds_up())
    {
        lines.push(match &mailbox.problem {
            Some(problem) => format!("! {}: {}", escaped(&mailbox.name), escaped(problem)),
            None => missing(mailbox),
        });
    }
    let tried = || report.skipped.iter().filter(|skip| !skip.untried);
    for skip in tried().take(20) {
        lines.push(format!(
            "! skipped {} in {}: {}",
            escaped(&skip.remote),
            escaped(&skip.mailbox),
            escaped(&skip.reason)
        ));
    }
    let more = tried().skip(20).count();
    if more > 0 {
        lines.push(format!("! and {more} more; see: mailstow skips"));
    }
    let untried = report.skipped.iter().filter(|skip| skip.untried).count();
    if untried > 0 {
        lines.push(format!(
            "! {} skipped before, not tried again in this run; the next ones begin with the oldest try",
            count(untried as u64, "message")
        ));
    }
    for name in &report.unlisted {
        lines.push(format!(
            "  {} is no longer listed by the server; its mail stays in the archive",
            escaped(name)
        ));
    }
    for mailbox in &report.mailboxes {
        details(mailbox, lines);
    }
    if report.line_end_added > 0 {
        lines.push(format!(
            "  {} of them differ from one held only by the line end that POP3 adds",
            report.line_end_added
        ));
    }
    if report.deleted > 0 {
        lines.push(format!(
            "  {} deleted from the server",
            count(u64::from(report.deleted), "message")
        ));
    }
    lines.extend(
        report
            .kept
            .iter()
            .map(|(why, n)| format!("  {n} not deleted from the server: {}", escaped(why))),
    );
    lines.extend(report.notes.iter().map(|n| format!("  {}", escaped(n))));
    lines.extend(report.warnings.iter().map(|w| format!("! {}", escaped(w))));
}

/// What is only told of a maildrop.
fn details(mailbox: &MailboxReport, lines: &mut Vec<String>) {
    let listed = |pairs: &[(String, u32)]| {
        pairs
            .iter()
            .map(|(what, n)| format!("{n} {}", escaped(what)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !mailbox.filed.is_empty() {
        let filed: Vec<String> = mailbox
            .filed
            .iter()
            .map(|(name, n)| format!("{n} as {}", escaped(name)))
            .collect();
        lines.push(format!("  filed: {}", filed.join(", ")));
    }
    if !mailbox.excluded_because.is_empty() {
        lines.push(format!("  excluded: {}", listed(&mailbox.excluded_because)));
    }
}

fn missing(mailbox: &MailboxReport) -> String {
    let (exists, sum) = (u64::from(mailbox.tally.exists), mailbox.tally.sum());
    if sum < exists {
        format!(
            "! {}: {} not fetched yet",
            escaped(&mailbox.name),
            count(exists - sum, "message")
        )
    } else {
        format!(
            "! {}: more messages than the server said there were",
            escaped(&mailbox.name)
        )
    }
}

fn verdict(report: &BackupReport, archive: &str) -> String {
    let stored = format!(
        "{} stored, {} linked, {} fetched",
        count(u64::from(report.total.stored), "message"),
        report.total.linked,
        bytes(report.bytes)
    );
    match report.ending {
        Ending::Interrupted => format!(
            "interrupted: {stored}; the archive is consistent.\nGo on with: mailstow resume {archive}"
        ),
        Ending::ServerLost => format!(
            "the server was lost: {}\n{stored}; the archive is consistent.\nGo on with: mailstow resume {archive}",
            escaped(report.error.as_deref().unwrap_or_default())
        ),
        Ending::Limit => limit(report, &stored, archive),
        Ending::Short => format!(
            "the server brings only what it brought before: {stored}; what is missing is asked for again by: mailstow resume {archive}"
        ),
        Ending::Complete if report.damaged > 0 => format!(
            "{stored}; but {} of the archive were found damaged. See: mailstow verify {archive}",
            count(report.damaged, "message")
        ),
        Ending::Complete
            if report.exit() == 0 && report.total.stored + report.total.linked == 0 =>
        {
            "complete: nothing new.".to_owned()
        }
        Ending::Complete if report.exit() == 0 => format!("complete: {stored}."),
        Ending::Complete if report.adds_up() && report.total.skipped == 0 => {
            format!("finished, with something to look at above: {stored}.")
        }
        Ending::Complete => format!(
            "finished, but not everything is there: {stored}. See: mailstow skips {archive}"
        ),
    }
}

/// How a run ended that stopped at a limit. The next backup goes on by itself.
fn limit(report: &BackupReport, stored: &str, archive: &str) -> String {
    let reached = report.limit.as_ref();
    let option = match reached.map(|r| r.limit) {
        Some(Limit::MaxBytes) => "--max-bytes",
        _ => "--max-runtime",
    };
    let left = reached.and_then(|r| r.messages_left.zip(r.bytes_left));
    let Some((messages, size)) = left else {
        let why = match &report.error {
            Some(why) => escaped(why),
            None => "before it was known what there is".to_owned(),
        };
        return format!("stopped at {option}, {why}; nothing was fetched. Run it again.");
    };
    format!(
        "stopped at {option}: {stored}; {} ({}) left.\nThe same command goes on, or: mailstow resume {archive}",
        count(messages, "message"),
        bytes(size)
    )
}
