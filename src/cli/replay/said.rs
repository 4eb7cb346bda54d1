//! What there is to say of a replay, for the terminal and for the page alike. Nothing is escaped
//! here: whoever shows it does that.

use mailstow::replay::{LeftOut, MailboxRow, MessageNote, ReplayReport, What};
use mailstow::report::Ending;

use crate::cli::failure::exit;
pub(super) use crate::cli::page::{Said, Tone};
use crate::cli::text::{bytes, count};

pub(super) const fn info(text: String) -> Said {
    Said { grave: false, text }
}

pub(super) const fn grave(text: String) -> Said {
    Said { grave: true, text }
}

/// What is wrong with a mailbox, or happened in it meanwhile.
pub(super) fn of_mailbox(row: &MailboxRow) -> Vec<Said> {
    let mut said = Vec::new();
    let name = &row.target;
    if let Some(problem) = &row.problem {
        said.push(grave(format!("{name}: {problem}")));
    } else if row.booked() < row.in_archive {
        let missing = count(row.in_archive - row.booked(), "message");
        said.push(grave(format!(
            "{name}: does not add up: {missing} of the archive not accounted for"
        )));
    } else if !row.adds_up() {
        let more = count(row.booked() - row.in_archive, "message");
        said.push(grave(format!(
            "{name}: does not add up: {more} more accounted for than the archive has"
        )));
    }
    match row.elsewhere() {
        Some(n @ 1..) => said.push(info(format!(
            "{name}: {} came from elsewhere meanwhile",
            count(n.unsigned_abs(), "message")
        ))),
        Some(n) if n < 0 => said.push(grave(format!(
            "{name}: does not add up: {} fewer on the target than there should be; somebody may have removed them meanwhile",
            count(n.unsigned_abs(), "message")
        ))),
        _ => {}
    }
    said
}

/// What was made on the target, and what happened to names.
pub(super) fn names(report: &ReplayReport) -> Vec<Said> {
    let mut said = Vec::new();
    let made: Vec<&str> = (report.mailboxes.iter().filter(|row| row.created))
        .map(|row| row.target.as_str())
        .collect();
    if !made.is_empty() {
        let would = if report.dry_run {
            "would be made"
        } else {
            "made"
        };
        said.push(info(format!("{would} on the target: {}", made.join(", "))));
    }
    for row in &report.mailboxes {
        let notes = row.notes.join("; ");
        let same = matches!(row.sources.as_slice(), [one] if *one == row.target);
        if !same && !row.sources.is_empty() {
            let goes = if row.sources.len() == 1 { "goes" } else { "go" };
            let because = if notes.is_empty() {
                notes
            } else {
                format!(" ({notes})")
            };
            let from = row.sources.join(", ");
            said.push(info(format!("{from} {goes} to {}{because}", row.target)));
        } else if !notes.is_empty() {
            said.push(info(format!("{}: {notes}", row.target)));
        }
    }
    said
}

/// A mailbox that is not sent.
pub(super) fn left_out(left: &LeftOut) -> String {
    let messages = count(left.messages, "message");
    format!("left out: {}, {messages}: {}", left.name, left.reason)
}

/// Numbers that want an explanation.
pub(super) fn numbers(report: &ReplayReport) -> Vec<Said> {
    let total = &report.total;
    let mut said = Vec::new();
    let mut tell = |what: &str, n: u64, more: &str| {
        if n > 0 {
            said.push(info(format!("{what}: {}{more}", count(n, "message"))));
        }
    };
    tell(
        "removed or moved on the target since",
        total.removed,
        ", not sent again (--resend-removed does that)",
    );
    tell(
        "collapsed",
        total.collapsed,
        " of which the target shows another copy",
    );
    let excluded = if report.delivery {
        ", forgotten or a further copy of one that goes once"
    } else {
        ", forgotten or a further copy (--collapse-duplicates)"
    };
    tell("excluded", total.excluded, excluded);
    tell(
        "flags set to what they are at the source now",
        total.flags_set,
        "",
    );
    tell(
        "flags that somebody changed on the target and that stay so",
        total.flags_kept,
        "",
    );
    if report.dry_run {
        let what = "under way since a run that broke off, and to be looked for first";
        tell(what, total.left, "");
    } else {
        tell("left for the next run", total.left, "");
    }
    said
}

/// What became of a message.
pub(super) const fn what(what: What, dry_run: bool) -> &'static str {
    match what {
        What::Refused if dry_run => "would be refused",
        What::Refused => "refused",
        What::Doubtful => "doubtful",
        What::Lost => "lost",
        What::Collapsed => "collapsed",
        What::Altered if dry_run => "may be altered",
        What::Altered => "altered",
        What::Repaired if dry_run => "would be repaired",
        What::Repaired => "repaired",
        What::SameMessageId => "of one Message-ID",
        What::WithoutKeywords => "without keywords",
        What::WithoutDate => "without date",
    }
}

/// Whether such a message makes the replay incomplete.
pub(super) const fn is_grave(what: What) -> bool {
    matches!(what, What::Refused | What::Doubtful | What::Lost)
}

/// Kinds of messages with what was noted of each, the gravest first, mailbox by mailbox.
pub(super) fn kinds(report: &ReplayReport) -> Vec<(What, Vec<&MessageNote>)> {
    const ORDER: [What; 9] = [
        What::Lost,
        What::Refused,
        What::Doubtful,
        What::Collapsed,
        What::Altered,
        What::SameMessageId,
        What::Repaired,
        What::WithoutKeywords,
        What::WithoutDate,
    ];
    // They come as the connections brought them.
    let place = |note: &&MessageNote| {
        let mut rows = report.mailboxes.iter();
        rows.position(|row| row.target == note.mailbox)
    };
    let of = |kind: What| {
        let notes = report.messages.iter().filter(|n| n.what == kind);
        let mut notes: Vec<&MessageNote> = notes.collect();
        notes.sort_by_cached_key(place);
        (kind, notes)
    };
    let kinds = ORDER.into_iter().map(of);
    kinds.filter(|(_, notes)| !notes.is_empty()).collect()
}

/// Enough of a content id to find the message by.
pub(super) fn short(content: &str) -> &str {
    content.get(..12).unwrap_or(content)
}

/// What to do next about single messages.
pub(super) fn advice(report: &ReplayReport, archive: &str) -> Vec<String> {
    let mut advice = Vec::new();
    let total = &report.total;
    if total.lost > 0 {
        advice.push(format!(
            "the archive cannot give back what is lost; see: mailstow verify {archive}"
        ));
    }
    if total.refused > 0 {
        advice.push(format!(
            "what was refused is in the archive (mailstow show {archive} ID), and every replay tries it again"
        ));
        let form = |note: &&MessageNote| {
            let reason = note.reason.to_lowercase();
            let about = ["nul", "line", "bare"].iter().any(|w| reason.contains(w));
            note.what == What::Refused && about
        };
        if report.messages.iter().any(|note| form(&note)) {
            advice.push(
                "--repair nul,long-lines,bare-lf sends a repaired copy where a target objects to the form of a message".to_owned(),
            );
        }
    }
    if total.doubtful > 0 {
        advice.push(
            "whether the target has what is doubtful, nobody can tell: look there; --resend-doubtful sends it again, which may make a second copy".to_owned(),
        );
    }
    advice
}

/// What was done, in one phrase.
fn done(report: &ReplayReport) -> String {
    let total = &report.total;
    let (would, were) = match (report.dry_run, total.there) {
        (true, 1) => ("would be ", "is"),
        (true, _) => ("would be ", "are"),
        (false, 1) => ("", "was"),
        (false, _) => ("", "were"),
    };
    let (sent, there) = if report.delivery {
        ("delivered", "delivered before")
    } else {
        ("appended", "there already")
    };
    let mut phrases = vec![match total.appended {
        0 => format!("nothing {would}{sent}"),
        n => format!(
            "{} ({}) {would}{sent}",
            count(n, "message"),
            bytes(total.bytes)
        ),
    }];
    if total.moved_in > 0 {
        phrases.push(format!("{} moved", total.moved_in));
    }
    if total.labelled > 0 {
        phrases.push(format!("{} {would}labelled", total.labelled));
    }
    if total.there > 0 {
        phrases.push(format!("{} {were} {there}", total.there));
    }
    for (n, what) in [
        (total.removed, "removed there since"),
        (total.collapsed, "collapsed"),
        (total.refused, "refused"),
        (total.doubtful, "doubtful"),
        (total.lost, "lost"),
        (total.left, "left"),
    ] {
        if n > 0 {
            phrases.push(format!("{n} {what}"));
        }
    }
    phrases.join(", ")
}

const AGAIN: &str = "Run the same command again: it sends what is missing, and nothing twice.";

/// How it ended and what to do next, a line each.
pub(super) fn verdict(report: &ReplayReport) -> Vec<String> {
    let done = done(report);
    let error = report.error.as_deref().unwrap_or_default();
    if report.dry_run && report.ending == Ending::Complete {
        return vec![format!("a dry run, nothing was changed: {done}.")];
    }
    match report.ending {
        Ending::Interrupted => vec![format!("interrupted: {done}."), AGAIN.to_owned()],
        Ending::ServerLost if report.delivery => vec![
            format!("nothing more could be delivered: {error}"),
            format!("{done}."),
            AGAIN.to_owned(),
        ],
        Ending::ServerLost => vec![
            format!("the target was lost: {error}"),
            format!("{done}."),
            AGAIN.to_owned(),
        ],
        // The only limit of a replay is the room there is.
        Ending::Limit => vec![
            error.to_owned(),
            format!("{done}."),
            "Make room there and run the same command again: it sends what is missing.".to_owned(),
        ],
        Ending::Complete | Ending::Short if report.exit() == 0 => vec![complete(report, &done)],
        Ending::Complete | Ending::Short => {
            let total = &report.total;
            let lacking = total.refused + total.doubtful + total.lost + total.left > 0
                || report.mailboxes.iter().any(|row| row.problem.is_some());
            let but = if !report.adds_up() && !lacking {
                "but it does not add up"
            } else if lacking {
                "but not everything is there"
            } else {
                "with something to look at"
            };
            let mut lines = vec![format!("finished, {but}: {done}.")];
            if total.left > 0 {
                lines.push(AGAIN.to_owned());
            }
            lines
        }
    }
}

fn complete(report: &ReplayReport, done: &str) -> String {
    let total = &report.total;
    if total.appended + total.moved_in + total.labelled + total.collapsed > 0 {
        return format!("complete: {done}.");
    }
    let there = count(total.there, "message");
    if report.delivery {
        return format!("complete: nothing to send, {there} delivered before.");
    }
    let flags = match total.flags_set {
        0 => String::new(),
        n => format!("flags of {n} brought up to date, "),
    };
    let removed = match total.removed {
        0 => String::new(),
        n => format!(", {n} removed there since"),
    };
    format!("complete: nothing to send, {flags}{there} there already{removed}.")
}

pub(super) fn tone(report: &ReplayReport) -> Tone {
    match report.exit() {
        0 => Tone::Good,
        exit::NETWORK | exit::DAMAGED => Tone::Bad,
        _ => Tone::Look,
    }
}
