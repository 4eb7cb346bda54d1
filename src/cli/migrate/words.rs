//! A migration's report in words: both sides beside each other, and whether they add up.

use mailstow::migrate::{MigrateReport, Sent, Side};
use mailstow::report::Ending;

use crate::cli::text::{bytes, count, escaped, table};

/// Both sides, and what there is to say of them together.
pub(super) fn of(report: &MigrateReport, dry_run: bool) -> String {
    if dry_run {
        return plan(report);
    }
    let mut lines = Vec::new();
    if report.replay.is_some() {
        lines.push(numbers(report));
        lines.push(String::new());
        lines.push(verdict(report));
    } else {
        lines.push(without_replay(report.sent));
    }
    lines.extend(proof(report));
    if report.ending != Ending::Complete {
        lines.push("The same command goes on where it stopped.".to_owned());
    }
    lines.join("\n")
}

fn plan(report: &MigrateReport) -> String {
    let total = &report.backup.total;
    let new = u64::from(total.exists).saturating_sub(total.sum());
    if report.replay.is_none() {
        return "The archive has nothing yet, so nothing can be said of what would be sent; all that is fetched would be.".to_owned();
    }
    match new {
        0 => "Everything at the source is in the archive.".to_owned(),
        new => format!(
            "What is to be sent was looked at for what the archive has; {} to be fetched first would be sent as well.",
            count(new, "message")
        ),
    }
}

const HEAD: [&str; 5] = [
    "mailbox",
    "at the source",
    "in the archive",
    "brought",
    "on the target",
];

fn numbers(report: &MigrateReport) -> String {
    table(&HEAD, &rows(report))
}

/// A row for each mailbox of the target, and one for all together where there are several.
pub(super) fn rows(report: &MigrateReport) -> Vec<Vec<String>> {
    let cell = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let sides = report.sides();
    let row = |side: &Side| {
        let (brought, on_target) = match side.not_sent {
            None => (cell(side.brought), cell(side.on_target)),
            Some(_) => ("not sent".to_owned(), "-".to_owned()),
        };
        vec![
            name(side),
            cell(side.at_source),
            cell(side.in_archive),
            brought,
            on_target,
        ]
    };
    let mut rows: Vec<Vec<String>> = sides.iter().map(row).collect();
    if rows.len() != 1 {
        let sum = |of: fn(&Side) -> Option<u64>| -> Option<u64> {
            let sent = |side: &&Side| side.not_sent.is_none() || of(side).is_some();
            sides.iter().filter(sent).map(of).sum()
        };
        rows.push(vec![
            "total".to_owned(),
            report.backup.total.exists.to_string(),
            cell(sum(|side| side.in_archive)),
            cell(sum(|side| side.brought)),
            cell(sum(|side| side.on_target)),
        ]);
    }
    rows
}

/// Its name on the target, and those at the source where they differ.
fn name(side: &Side) -> String {
    if side.sources.iter().all(|source| *source == side.name) {
        return escaped(&side.name);
    }
    let sources: Vec<String> = side.sources.iter().map(|source| escaped(source)).collect();
    format!("{} (from {})", escaped(&side.name), sources.join(", "))
}

/// One line that says whether it adds up, with every number that is not nothing.
pub(super) fn verdict(report: &MigrateReport) -> String {
    let total = &report.backup.total;
    let Some(replay) = &report.replay else {
        return String::new();
    };
    let target = &replay.total;
    let not_sent: u64 = replay.left_out.iter().map(|left| left.messages).sum();
    let unfetched = u64::from(total.exists).saturating_sub(total.sum());
    let archived = target.in_archive + not_sent;
    let brought =
        target.appended + target.moved_in + target.labelled + target.there + target.collapsed;
    let besides = [
        (unfetched, "not fetched yet"),
        (total.excluded.into(), "left out on request at the source"),
        (total.left.into(), "gone from the source meanwhile"),
        (total.skipped.into(), "could not be fetched"),
        (not_sent, "in mailboxes that are not sent"),
        (target.excluded, "not sent on request"),
        (target.removed, "removed on the target by somebody since"),
        (target.refused, "refused by the target"),
        (
            target.doubtful,
            "of which nobody can tell whether they arrived",
        ),
        (target.lost, "lost in the archive"),
        (target.left, "not sent yet"),
    ];
    let besides: Vec<String> = besides
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    let besides = match besides.as_slice() {
        [] => String::new(),
        some => format!("; {}", some.join(", ")),
    };
    let head = if report.adds_up() {
        "It adds up"
    } else {
        "It does NOT add up"
    };
    format!(
        "{head}: {} at the source, {archived} in the archive, {brought} of them on the target{besides}.",
        count(u64::from(total.exists), "message")
    )
}

fn without_replay(sent: Sent) -> String {
    match sent.messages {
        0 => "Nothing was sent to the target.".to_owned(),
        n => format!(
            "{} ({}) were sent to the target meanwhile.",
            count(n, "message"),
            bytes(sent.bytes)
        ),
    }
}

/// What the look at the target after the last pass showed.
pub(super) fn proof(report: &MigrateReport) -> Option<String> {
    if let Some(why) = &report.unproven {
        return Some(format!("! NOT proven: {}", escaped(why)));
    }
    let proof = report.proof.as_ref()?;
    let listed = proof.total.there + proof.total.collapsed;
    let removed = match proof.total.removed {
        0 => String::new(),
        n => format!("; {} removed there by somebody since", count(n, "message")),
    };
    Some(match report.unlisted() {
        Some(0) => format!(
            "Proven: the target lists {} that were brought there{removed}.",
            count(listed, "message")
        ),
        missing => format!(
            "! NOT proven: the target lists {}, and not {} that belong there{removed}. Run it again.",
            count(listed, "message"),
            missing.unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailstow::model::Tally;
    use mailstow::replay::{LeftOut, MailboxRow, ReplayReport};
    use mailstow::report::{BackupReport, MailboxReport};

    fn report() -> MigrateReport {
        let mailbox = |name: &str, exists| MailboxReport {
            tally: Tally {
                exists,
                held: exists,
                ..Tally::default()
            },
            ..MailboxReport::new(name)
        };
        let mailboxes = vec![
            mailbox("INBOX", 120),
            mailbox("Sent", 60),
            mailbox("All", 9),
        ];
        let mut replay = ReplayReport::new(String::new(), String::new(), String::new());
        let row = |target: &str, source: &str, all: u64, removed: u64| MailboxRow {
            target: target.to_owned(),
            sources: vec![source.to_owned()],
            in_archive: all,
            appended: all - removed,
            removed,
            before: Some(0),
            now: Some(all - removed),
            ..MailboxRow::default()
        };
        replay.mailboxes = vec![
            row("INBOX", "INBOX", 120, 1),
            row("Gesendet", "Sent", 60, 0),
        ];
        replay.left_out.push(LeftOut {
            name: "All".to_owned(),
            messages: 9,
            kind: mailstow::replay::LeftOutKind::View,
            reason: "it only shows what lies in other mailboxes".to_owned(),
        });
        replay.add_up();
        let backup = BackupReport::planned("alice", mailboxes);
        let mut report = MigrateReport::new(backup, Sent::default());
        report.replay = Some(replay);
        report
    }

    #[test]
    fn both_sides_are_told_and_whether_they_add_up() {
        let want = "\
mailbox               at the source  in the archive   brought  on the target
INBOX                           120             120       119            119
Gesendet (from Sent)             60              60        60             60
All                               9               9  not sent              -
total                           189             189       179            179

It adds up: 189 messages at the source, 189 in the archive, 179 of them on the target; 9 in mailboxes that are not sent, 1 removed on the target by somebody since.";
        assert_eq!(of(&report(), false), want);
    }

    #[test]
    fn what_is_missing_is_told_and_what_to_do() {
        let mut report = report();
        report.replay.as_mut().unwrap().total.left = 3;
        report.ending = Ending::Limit;
        let said = of(&report, false);
        assert!(
            said.contains("It does NOT add up: ") && said.contains("3 not sent yet."),
            "{said}"
        );
        assert!(
            said.ends_with("\nThe same command goes on where it stopped."),
            "{said}"
        );
        report.replay = None;
        report.sent = Sent {
            messages: 4,
            bytes: 2048,
        };
        let said = of(&report, false);
        assert!(said.starts_with("4 messages (2.0 KiB) were sent"), "{said}");
    }

    #[test]
    fn a_proof_says_what_it_proves() {
        let mut report = report();
        report.proof.clone_from(&report.replay);
        let total = &mut report.proof.as_mut().unwrap().total;
        (total.there, total.appended) = (179, 0);
        let last = |report: &MigrateReport| of(report, false).lines().last().unwrap().to_owned();
        assert_eq!(
            last(&report),
            "Proven: the target lists 179 messages that were brought there; 1 message removed there by somebody since."
        );
        report.proof.as_mut().unwrap().total.appended = 2;
        assert!(
            last(&report)
                .starts_with("! NOT proven: the target lists 179 messages, and not 2 that")
        );
        report.unproven = Some("\u{1b}gone".to_owned());
        assert_eq!(last(&report), "! NOT proven: \\u{1b}gone");
    }
}
