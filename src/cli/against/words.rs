//! A comparison in words: a table, then what is not as it should be, then what was looked at and
//! what was not.

use std::path::Path;

use mailstow::report::Ending;
use mailstow::verify::against::{
    AgainstReport, BytesDiffer, Difference, MailboxComparison, Names, State,
};

use super::is_compared;
use crate::cli::backup::quoted;
use crate::cli::text::{bytes, count, escaped, table};

/// Lines of one kind that are shown; JSON has them all.
pub(super) const SHOWN: usize = 20;
/// Characters of a list of names that are shown.
const NAMES: usize = 160;

pub(super) fn of(report: &AgainstReport, rehashed: bool, archive: &Path) -> String {
    let mut lines = vec![format!(
        "{} in the archive, compared with {}:",
        escaped(&report.account),
        escaped(&report.server)
    )];
    lines.push(numbers(report));
    report.mailboxes.iter().for_each(|m| mailbox(m, &mut lines));
    sampled(report, &mut lines);
    lines.extend(report.notes.iter().map(|n| format!("  {}", escaped(n))));
    lines.extend(report.warnings.iter().map(|w| format!("! {}", escaped(w))));
    lines.push(String::new());
    lines.extend(scope(report, rehashed));
    lines.push(verdict(report, &quoted(archive)));
    lines.join("\n")
}

fn numbers(report: &AgainstReport) -> String {
    let pop = report.total(|f| &f.not_offered) > 0;
    let head = [
        "mailbox",
        "on server",
        "held",
        "newer",
        "excluded",
        "skipped",
        "missing",
        "differ",
        if pop { "not offered" } else { "gone" },
    ];
    let row = |m: &MailboxComparison| {
        let f = &m.fates;
        let numbers = [
            u64::from(m.on_server),
            f.present.len(),
            f.newer.len(),
            f.excluded.len() + f.accepted.len(),
            f.skipped.len(),
            f.missing.len(),
            m.differs.len() as u64,
            f.departed.len() + f.not_offered.len(),
        ];
        let text = |n: &u64| {
            if is_compared(m.state) {
                n.to_string()
            } else {
                "-".to_owned()
            }
        };
        std::iter::once(escaped(&m.name))
            .chain(numbers.iter().map(text))
            .collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = report.mailboxes.iter().map(row).collect();
    table(&head, &rows)
}

fn mailbox(mailbox: &MailboxComparison, lines: &mut Vec<String>) {
    let name = escaped(&mailbox.name);
    let f = &mailbox.fates;
    if let Some(problem) = &mailbox.problem {
        lines.push(format!("! {name}: {}", escaped(problem)));
    }
    match mailbox.state {
        State::Compared | State::Failed => {}
        State::Unknown if mailbox.on_server == 0 => {
            lines.push(format!(
                "  {name}: the archive does not know it; it is empty"
            ));
        }
        State::Unknown => lines.push(format!("! {name}: the archive does not know it")),
        State::LeftOut => lines.push(format!(
            "  {name}: the selection of the last job leaves it out, so it was not opened"
        )),
        State::OtherEpoch => lines.push(other_epoch(mailbox)),
        State::Unlisted => lines.push(format!(
            "  {name}: not listed by the server; its {} stay in the archive",
            count(u64::from(mailbox.in_archive), "message")
        )),
        State::NotReached => lines.push(format!("! {name}: not compared")),
    }
    let sets = [
        ("!", "missing in the archive", &f.missing),
        (
            "!",
            "skipped, for the reason that `mailstow skips` tells",
            &f.skipped,
        ),
        ("!", "kept in the archive, but damaged there", &f.damaged),
        ("!", "recorded as gone, but on the server", &f.returned),
        (
            "!",
            "held, and absent from a listing that is not whole",
            &f.unseen,
        ),
        (" ", "newer than the last complete run", &f.newer),
        (" ", "left out by the selection of that run", &f.excluded),
        (" ", "skipped, which was accepted", &f.accepted),
        (" ", "held, and gone from the server", &f.departed),
        (" ", "held, and not offered by the server", &f.not_offered),
        (" ", "with other flags than before", &f.flags),
    ];
    for (mark, what, names) in sets.into_iter().filter(|(_, _, names)| !names.is_empty()) {
        let n = count(names.len(), "message");
        lines.push(format!("{mark} {name}: {n} {what}: {}", listed(names)));
    }
    let more = mailbox.differs.len().saturating_sub(SHOWN);
    for difference in mailbox.differs.iter().take(SHOWN) {
        lines.push(format!("! {name}: {}", differs(difference)));
    }
    if more > 0 {
        lines.push(format!("! {name}: and {more} more that differ"));
    }
    if mailbox.unlisted > 0 {
        let n = count(u64::from(mailbox.unlisted), "message");
        lines.push(format!(
            "! {name}: the server counts {n} that it does not list"
        ));
    }
    if mailbox.nameless > 0 {
        let n = count(u64::from(mailbox.nameless), "message");
        lines.push(format!(
            "  {name}: {n} without a UIDL of their own, which only their bytes tell apart"
        ));
    }
    if mailbox.emptied {
        lines.push(format!(
            "! {name}: more than half of what is held is gone from the server; that is not believed at once"
        ));
    }
}

fn other_epoch(mailbox: &MailboxComparison) -> String {
    let (archive, server) = mailbox.uidvalidity.unwrap_or_default();
    format!(
        "! {}: UIDVALIDITY is {server} on the server and {archive} in the archive, so UIDs tell nothing; {} of {} have a counterpart of the same size and date, which the next backup will look at",
        escaped(&mailbox.name),
        mailbox.counterparts.unwrap_or(0),
        count(u64::from(mailbox.on_server), "message")
    )
}

fn differs(difference: &Difference) -> String {
    let mut parts = Vec::new();
    if let Some((archive, server)) = difference.size {
        parts.push(format!(
            "{server} bytes on the server, {archive} when it was archived"
        ));
    }
    if let Some((archive, server)) = difference.date {
        let date = mailstow::clock::rfc3339;
        parts.push(format!(
            "dated {} on the server, {} when it was archived",
            date(server),
            date(archive)
        ));
    }
    format!(
        "{} is {}",
        escaped(&difference.remote),
        parts.join("; and ")
    )
}

/// As many names as fit in a line.
pub(super) fn listed(names: &Names) -> String {
    let (kind, all) = match names {
        Names::Uids(uids) => ("UID", uids.to_string().replace(',', ", ")),
        Names::Uidls(uidls) => {
            let shown: Vec<String> = uidls.iter().take(SHOWN).map(|u| escaped(u)).collect();
            let more = if uidls.len() > SHOWN { ", " } else { "" };
            ("UIDL", format!("{}{more}", shown.join(", ")))
        }
    };
    if all.chars().count() <= NAMES && !all.ends_with(", ") {
        return format!("{kind} {all}");
    }
    let cut: String = all.chars().take(NAMES).collect();
    let whole = cut.rsplit_once(", ").map_or(&*cut, |(whole, _)| whole);
    format!("{kind} {whole}, …")
}

fn sampled(report: &AgainstReport, lines: &mut Vec<String>) {
    let sample = &report.sample;
    let at = |mailbox: &str, remote: &str| format!("{} in {}", escaped(remote), escaped(mailbox));
    for differ in sample.differ.iter().take(SHOWN) {
        let message = &differ.message;
        let whom = at(&message.mailbox, &message.remote);
        lines.push(format!("! {whom}: {}", bytes_differ(differ)));
    }
    for (what, list) in [
        ("cannot be read back from the archive", &sample.unreadable),
        ("was not sent, so it was not compared", &sample.not_sent),
    ] {
        for entry in list.iter().take(SHOWN) {
            let whom = at(&entry.message.mailbox, &entry.message.remote);
            lines.push(format!("! {whom} {what}: {}", escaped(&entry.reason)));
        }
    }
    let all = [
        sample.differ.len(),
        sample.unreadable.len(),
        sample.not_sent.len(),
    ];
    let more: usize = all.iter().map(|n| n.saturating_sub(SHOWN)).sum();
    if more > 0 {
        lines.push(format!("! and {more} more of the sample"));
    }
}

fn bytes_differ(differ: &BytesDiffer) -> String {
    let archive = differ.archive.map(|id| id.to_string());
    let held = archive.as_deref().map_or_else(
        || "nothing of that content is in the archive".to_owned(),
        |id| format!("the archive has {id}"),
    );
    let (server, again) = (differ.server, differ.again);
    if differ.from_itself() {
        format!(
            "the server sends other bytes each time: {server}, then {again}; {held}. It differs from itself, so it proves nothing about the archive"
        )
    } else {
        format!("the server sends {server}, twice; {held}")
    }
}

/// What was looked at, and what was not.
fn scope(report: &AgainstReport, rehashed: bool) -> Vec<String> {
    let sample = &report.sample;
    let compared = report.mailboxes.iter().filter(|m| is_compared(m.state));
    let (mut mailboxes, mut messages) = (0, 0);
    for mailbox in compared {
        mailboxes += 1;
        messages += u64::from(mailbox.on_server);
    }
    let what = if report.total(|f| &f.not_offered) > 0 || is_maildrop(report) {
        "UIDLs and sizes"
    } else {
        "UIDs, sizes, dates and flags"
    };
    let mut lines = vec![format!(
        "compared: {what} of {} in {}",
        count(messages, "message"),
        count(mailboxes, "mailbox")
    )];
    let (chosen, of) = (sample.chosen, sample.of);
    lines.push(if chosen == 0 {
        "bytes: none were compared".to_owned()
    } else {
        let choice = if chosen == of {
            "all there are".to_owned()
        } else {
            format!("a sample (--seed {} draws it again)", sample.seed)
        };
        format!(
            "bytes: {} of {} ({}) are those of the archive, {choice}; {} read back from it",
            sample.same,
            count(chosen, "message"),
            bytes(sample.bytes),
            sample.read_back
        )
    });
    let mut unchecked = Vec::new();
    if of > chosen {
        let more = if chosen == 0 { "" } else { "other " };
        let n = count(of - chosen, &format!("{more}message"));
        unchecked.push(format!("the bytes of {n} on both sides (--full)"));
    }
    if !rehashed {
        let rest = if chosen == 0 {
            "the archive itself"
        } else {
            "the rest of the archive"
        };
        unchecked.push(format!("{rest} (--rehash)"));
    }
    if !unchecked.is_empty() {
        lines.push(format!("not checked: {}", unchecked.join("; ")));
    }
    lines
}

fn is_maildrop(report: &AgainstReport) -> bool {
    let uidls = |m: &MailboxComparison| matches!(m.fates.present, Names::Uidls(_));
    report.mailboxes.iter().any(uidls)
}

fn verdict(report: &AgainstReport, archive: &str) -> String {
    match report.ending {
        _ if report.exit() == 7 => format!(
            "the archive is damaged. See: mailstow verify {archive}"
        ),
        Ending::Interrupted => "interrupted: not everything was compared".to_owned(),
        Ending::Short | Ending::Limit => "not everything was compared".to_owned(),
        Ending::ServerLost => format!(
            "the server was lost: {}\nnot everything was compared",
            escaped(report.error.as_deref().unwrap_or_default())
        ),
        Ending::Complete if !report.agrees() => {
            "the archive and the server differ. A backup fetches what is missing; compare again after it".to_owned()
        }
        Ending::Complete => {
            let left_out = report.total(|f| &f.excluded) + report.total(|f| &f.accepted);
            let but = [
                (report.total(|f| &f.newer), "that came after the last complete run"),
                (left_out, "left out on purpose"),
            ];
            let but: Vec<String> = but
                .into_iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, why)| format!("{} {why}", count(n, "message")))
                .collect();
            if but.is_empty() {
                "the archive holds what the server has".to_owned()
            } else {
                format!("the archive holds what the server has, but for {}", but.join(" and "))
            }
        }
    }
}
