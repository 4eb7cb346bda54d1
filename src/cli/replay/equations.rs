//! The two sums a replay has to come out at, spelled out: what the archive has, and what the
//! target has now.

use mailstow::replay::{MailboxRow, ReplayReport};

use super::said::{Said, grave, info};

/// Both sums over all mailboxes, and which mailboxes they do not hold for.
pub(super) fn of(report: &ReplayReport) -> Vec<Said> {
    let mut said = vec![archive(report)];
    if !report.dry_run && !report.delivery {
        said.push(target(&report.total));
    }
    let odd = |row: &&MailboxRow| {
        row.problem.is_some() || !row.adds_up() || row.elsewhere().is_some_and(|n| n < 0)
    };
    let odd: Vec<&str> = (report.mailboxes.iter().filter(odd))
        .map(|row| row.target.as_str())
        .collect();
    if !odd.is_empty() {
        let names = odd.join(", ");
        said.push(grave(format!("This does not hold for: {names}.")));
    } else if report.mailboxes.len() > 1 {
        said.push(info(
            "The same holds for each mailbox by itself.".to_owned(),
        ));
    }
    said
}

/// `12 appended + 3 already there`; parts that are 0 are left out, but for the first.
fn sum(parts: &[(u64, &str)]) -> String {
    let mut text = String::new();
    for (n, (number, word)) in parts.iter().enumerate() {
        if n == 0 || *number > 0 {
            let plus = if n == 0 { "" } else { " + " };
            text = format!("{text}{plus}{number} {word}");
        }
    }
    text
}

fn archive(report: &ReplayReport) -> Said {
    let total = &report.total;
    let (sent, before) = match (report.delivery, report.dry_run) {
        (false, false) => ("appended", "already there"),
        (false, true) => ("to append", "already there"),
        (true, false) => ("delivered", "delivered before"),
        (true, true) => ("to deliver", "delivered before"),
    };
    let parts = sum(&[
        (total.appended, sent),
        (total.there, before),
        (total.moved_in, "moved in"),
        (total.labelled, "labelled"),
        (total.removed, "removed since"),
        (total.collapsed, "collapsed"),
        (total.excluded, "excluded"),
        (total.refused, "refused"),
        (total.doubtful, "doubtful"),
        (total.lost, "lost"),
        (total.left, "left"),
    ]);
    let (whole, booked) = (total.in_archive, total.booked());
    if whole == booked {
        return info(format!("In the archive: {whole} = {parts}."));
    }
    grave(format!(
        "In the archive: {whole}, but {parts} make {booked}."
    ))
}

fn target(total: &MailboxRow) -> Said {
    let (Some(before), Some(now), Some(elsewhere)) = (total.before, total.now, total.elsewhere())
    else {
        return info(
            "On the target now: not counted in every mailbox, so there is no sum.".to_owned(),
        );
    };
    let mut parts = sum(&[
        (before, "before"),
        (total.appended, "appended"),
        (total.moved_in, "moved in"),
        (total.labelled, "labelled"),
        (total.shown, "shown by itself"),
    ]);
    if total.moved_out > 0 {
        parts = format!("{parts} − {} moved out", total.moved_out);
    }
    match elsewhere {
        0 => info(format!("On the target now: {now} = {parts}.")),
        1.. => info(format!(
            "On the target now: {now} = {parts} + {elsewhere} from elsewhere."
        )),
        ..0 => grave(format!(
            "On the target now: {now}, which is {} less than {parts}.",
            elsewhere.unsigned_abs()
        )),
    }
}
