//! A comparison with a target in words: a table, then what is not as it should be, then what was
//! compared how and what was not.

use std::path::Path;

use mailstow::replay::verify::{Lack, LackNote, PlaceState, TargetMailbox, TargetReport};
use mailstow::report::Ending;
use mailstow::verify::against::Names;

use super::words::{SHOWN, listed};
use crate::cli::backup::quoted;
use crate::cli::text::{count, escaped, table};

pub(super) fn of(report: &TargetReport, rehashed: bool, archive: &Path) -> String {
    let mut lines = vec![format!(
        "{} in the archive, compared with {}, where it was replayed to:",
        escaped(&report.account),
        escaped(&report.server)
    )];
    lines.push(numbers(report));
    report.mailboxes.iter().for_each(|m| mailbox(m, &mut lines));
    messages(report, &mut lines);
    lines.push(String::new());
    lines.extend(scope(report, rehashed));
    lines.push(verdict(report, &quoted(archive)));
    lines.join("\n")
}

/// The archive is what agrees, differs, is not proven, is missing or in doubt; the target is the
/// first three of these, what is left over, and others.
fn numbers(report: &TargetReport) -> String {
    let head = [
        "mailbox",
        "archive",
        "agree",
        "differ",
        "unproven",
        "missing",
        "in doubt",
        "on target",
        "left over",
        "others",
    ];
    let row = |m: &TargetMailbox| {
        let (archive, target) = match m.state {
            PlaceState::Compared | PlaceState::NotThere => (true, true),
            PlaceState::NotReplayed | PlaceState::Failed => (true, false),
            PlaceState::LeftOut | PlaceState::NotReached => (false, false),
        };
        let numbers = [
            (archive, m.in_archive),
            (archive, m.agree),
            (archive, m.differ),
            (archive, m.unproven),
            (archive, m.missing()),
            (archive, m.uncertain()),
            (target, m.on_target),
            (target, m.left_over.len()),
            (target, m.others.len() + m.unlisted),
        ];
        let text = |(known, n): (bool, u64)| match known {
            true => n.to_string(),
            false => "-".to_owned(),
        };
        std::iter::once(escaped(&m.name))
            .chain(numbers.into_iter().map(text))
            .collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = report.mailboxes.iter().map(row).collect();
    table(&head, &rows)
}

fn mailbox(mailbox: &TargetMailbox, lines: &mut Vec<String>) {
    let name = escaped(&mailbox.name);
    if let Some(problem) = &mailbox.problem {
        lines.push(format!("! {name}: {}", escaped(problem)));
    }
    match mailbox.state {
        PlaceState::Compared | PlaceState::Failed => {}
        PlaceState::NotThere => lines.push(format!("! {name}: the target has no such mailbox")),
        PlaceState::NotReplayed if mailbox.in_archive == 0 => lines.push(format!(
            "  {name}: nothing of it was ever replayed there; it is empty in the archive"
        )),
        PlaceState::NotReplayed => {
            lines.push(format!("! {name}: nothing of it was ever replayed there"))
        }
        PlaceState::LeftOut => lines.push(format!(
            "  {name}: it only shows what lies in other mailboxes, so it was not replayed"
        )),
        PlaceState::NotReached => lines.push(format!("! {name}: not compared")),
    }
    if mailbox.sources != [mailbox.name.clone()] {
        let sources: Vec<String> = mailbox.sources.iter().map(|s| escaped(s)).collect();
        lines.push(format!("  {name}: in the archive {}", sources.join(", ")));
    }
    let sums = [
        ("!", mailbox.differ, "there under the same UID, and another"),
        ("!", mailbox.unproven, "there, and not compared"),
        ("!", mailbox.removed, "removed there since, or moved"),
        ("!", mailbox.refused, "refused by the target"),
        (
            "!",
            mailbox.collapsed,
            "thrown away by the target, which shows another copy",
        ),
        ("!", mailbox.never_sent, "never sent"),
        (
            "!",
            mailbox.doubtful,
            "of which nobody can tell whether it is there",
        ),
        (
            "!",
            mailbox.open,
            "under way when a replay ended; the next one settles it",
        ),
        (
            "!",
            mailbox.unlisted,
            "counted by the target, and not listed",
        ),
        (
            " ",
            mailbox.recognised,
            "found by the header, since the UID was not known",
        ),
        (
            " ",
            mailbox.excluded,
            "not wanted: forgotten, or a further copy",
        ),
    ];
    for (mark, n, what) in sums.into_iter().filter(|(_, n, _)| *n > 0) {
        lines.push(format!("{mark} {name}: {} {what}", count(n, "message")));
    }
    let sets: [(&str, &Names); 4] = [
        ("with another date of arrival", &mailbox.dates),
        ("with other flags than were set last", &mailbox.flags),
        (
            "from this archive, and not asked for (any more)",
            &mailbox.left_over,
        ),
        ("not from this archive", &mailbox.others),
    ];
    for (what, names) in sets.into_iter().filter(|(_, names)| !names.is_empty()) {
        let n = count(names.len(), "message");
        lines.push(format!("  {name}: {n} {what}: {}", listed(names)));
    }
}

/// Messages that are not as they should be, one by one.
fn messages(report: &TargetReport, lines: &mut Vec<String>) {
    for (what, n) in &report.noted {
        let notes = report.messages.iter().filter(|m| m.what == *what);
        let shown: Vec<String> = notes.take(SHOWN).map(message).collect();
        let more = n.saturating_sub(shown.len() as u64);
        lines.extend(shown);
        if more > 0 {
            let n = count(more, "more message");
            lines.push(format!("! and {n} of which each {}", tail(*what)));
        }
    }
}

fn message(note: &LackNote) -> String {
    let mailbox = escaped(&note.mailbox);
    let which = match note.uid {
        Some(uid) => format!("UID {uid}"),
        None => format!("{} of the source", escaped(&note.remote)),
    };
    let content: String = note.content.chars().take(12).collect();
    let why = match note.reason.as_str() {
        "" => String::new(),
        why => format!(": {}", escaped(why)),
    };
    format!("! {mailbox}: {which} ({content}) {}{why}", tail(note.what))
}

const fn tail(what: Lack) -> &'static str {
    match what {
        Lack::Differs => "differs",
        Lack::Removed => "is no longer there",
        Lack::Refused => "was refused",
        Lack::Collapsed => "was thrown away for another copy",
        Lack::NeverSent => "was never sent",
        Lack::Doubtful => "may be there or not",
        Lack::Open => "was under way",
        Lack::Unproven => "could not be compared",
        Lack::Unreadable => "cannot be read back from the archive",
    }
}

/// What was compared how, and what was not.
fn scope(report: &TargetReport, rehashed: bool) -> Vec<String> {
    let bodies = &report.bodies;
    let looked_at = |m: &&TargetMailbox| m.state == PlaceState::Compared;
    let mailboxes = report.mailboxes.iter().filter(looked_at).count() as u64;
    let mut lines = vec![format!(
        "compared: UIDs, dates of arrival and flags of {} in {}; Message-ID, Date, From and Subject of {}",
        count(bodies.of, "message"),
        count(mailboxes, "mailbox"),
        match report.headers {
            n if n == bodies.of => "all of them".to_owned(),
            n => n.to_string(),
        }
    )];
    let (chosen, of) = (bodies.chosen, bodies.of);
    if chosen == 0 {
        lines.push("bytes: none were compared".to_owned());
    } else {
        let choice = if chosen == of {
            "all there are".to_owned()
        } else {
            format!("a sample (--seed {} draws it again)", bodies.seed)
        };
        lines.push(format!(
            "bytes: of {}, {choice}, {} equal byte for byte",
            count(chosen, "message"),
            are(bodies.exact)
        ));
    }
    for (n, what) in [
        (
            bodies.altered,
            "equal but for what servers change: line ends, blanks at the ends of lines, NUL, added header fields",
        ),
        (
            bodies.repaired,
            "equal to the copy that a replay with repairs sends",
        ),
        (bodies.differ, "different"),
        (bodies.not_sent, "not sent by the target"),
        (bodies.left, "gone meanwhile"),
        (bodies.unreadable, "unreadable in the archive"),
    ] {
        if n > 0 {
            lines.push(format!("       {} {what}", are(n)));
        }
    }
    let mut unchecked = Vec::new();
    if of > chosen {
        let more = if chosen == 0 { "" } else { "other " };
        let n = count(of - chosen, &format!("{more}message"));
        unchecked.push(format!("the bytes of {n} (--full)"));
    }
    if !rehashed {
        unchecked.push("the archive itself (--rehash)".to_owned());
    }
    if !unchecked.is_empty() {
        lines.push(format!("not checked: {}", unchecked.join("; ")));
    }
    lines
}

fn are(n: u64) -> String {
    match n {
        1 => "1 is".to_owned(),
        n => format!("{n} are"),
    }
}

fn verdict(report: &TargetReport, archive: &str) -> String {
    match report.ending {
        _ if report.exit() == 7 => {
            format!("the archive is damaged. See: mailstow verify {archive}")
        }
        Ending::Interrupted => "interrupted: not everything was compared".to_owned(),
        Ending::Short | Ending::Limit => "not everything was compared".to_owned(),
        Ending::ServerLost => format!(
            "the target was lost: {}\nnot everything was compared",
            escaped(report.error.as_deref().unwrap_or_default())
        ),
        Ending::Complete if report.agrees() => "the target has what the archive holds".to_owned(),
        Ending::Complete => {
            let mut words = "the target lacks messages, or has others".to_owned();
            for (n, advice) in [
                (
                    report.total(|m| m.never_sent + m.open + m.refused),
                    "a replay sends what was not sent so far",
                ),
                (
                    report.total(|m| m.removed),
                    "replay --resend-removed sends again what was removed there",
                ),
                (
                    report.total(|m| m.doubtful),
                    "replay --resend-doubtful sends again what may be there or not",
                ),
            ] {
                if n > 0 {
                    words.push('\n');
                    words.push_str(advice);
                }
            }
            words
        }
    }
}
