//! The columns of a replay's table, the same on a terminal and on the page.

use mailstow::replay::{MailboxRow, ReplayReport};

/// A column of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// For a terminal.
    pub(super) short: &'static str,
    /// For the page.
    pub(super) long: &'static str,
    /// What it counts.
    pub(super) means: &'static str,
    /// `None` where nobody knows.
    pub(super) of: fn(&MailboxRow) -> Option<i64>,
    when: When,
}

/// When a column is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// A person looks for it, and 0 is an answer.
    Always,
    /// Some mailbox has something in it.
    NotZero,
    /// After a run that looked.
    Known,
}

fn some(n: u64) -> Option<i64> {
    i64::try_from(n).ok()
}

/// Nothing is known of a mailbox that was not reached.
fn in_archive(row: &MailboxRow) -> Option<i64> {
    let reached = row.before.is_some() || row.in_archive > 0;
    some(row.in_archive).filter(|_| reached)
}

/// In the order of the arithmetic.
const ALL: [Column; 17] = [
    Column {
        short: "in archive",
        long: "in the archive",
        means: "Messages of the archive that are to be in the mailbox.",
        of: in_archive,
        when: When::Always,
    },
    Column {
        short: "before",
        long: "on the target before",
        means: "Messages that were in it when the replay began, from wherever.",
        of: |r| r.before.and_then(some),
        when: When::Always,
    },
    Column {
        short: "appended",
        long: "appended",
        means: "Messages the replay put there, as the target confirmed.",
        of: |r| some(r.appended),
        when: When::Always,
    },
    Column {
        short: "there",
        long: "already there",
        means: "Messages of the archive the target had already, from an earlier replay or otherwise.",
        of: |r| some(r.there),
        when: When::Always,
    },
    Column {
        short: "moved in",
        long: "moved in",
        means: "Messages the target had in another mailbox, and that were moved as they had been at the source.",
        of: |r| some(r.moved_in),
        when: When::NotZero,
    },
    Column {
        short: "labelled",
        long: "labelled",
        means: "Messages that are in another mailbox of the target and got the label of this one as well (Gmail).",
        of: |r| some(r.labelled),
        when: When::NotZero,
    },
    Column {
        short: "shown",
        long: "shown by itself",
        means: "Messages the target shows in it without having got them there: others in the place of collapsed ones, and what was appended elsewhere where it shows all mail (Gmail).",
        of: |r| some(r.shown),
        when: When::NotZero,
    },
    Column {
        short: "moved out",
        long: "moved out",
        means: "Messages that left by such a move.",
        of: |r| some(r.moved_out),
        when: When::NotZero,
    },
    Column {
        short: "removed",
        long: "removed since",
        means: "Messages an earlier replay put there and somebody has removed or moved since. They are not sent again.",
        of: |r| some(r.removed),
        when: When::NotZero,
    },
    Column {
        short: "collapsed",
        long: "collapsed",
        means: "Messages the target took in and shows another copy of instead.",
        of: |r| some(r.collapsed),
        when: When::NotZero,
    },
    Column {
        short: "excluded",
        long: "excluded",
        means: "Messages that are not sent on a person's order: forgotten ones, and further copies.",
        of: |r| some(r.excluded),
        when: When::NotZero,
    },
    Column {
        short: "refused",
        long: "refused",
        means: "Messages the target would not take in. They are in the archive.",
        of: |r| some(r.refused),
        when: When::Always,
    },
    Column {
        short: "doubtful",
        long: "doubtful",
        means: "Messages of which nobody can tell whether the target has them. They are in the archive.",
        of: |r| some(r.doubtful),
        when: When::Always,
    },
    Column {
        short: "lost",
        long: "lost",
        means: "Messages whose bytes the archive has lost.",
        of: |r| some(r.lost),
        when: When::NotZero,
    },
    Column {
        short: "left",
        long: "left",
        means: "Messages that were not reached. The next replay goes on with them.",
        of: |r| some(r.left),
        when: When::NotZero,
    },
    Column {
        short: "elsewhere",
        long: "from elsewhere",
        means: "Messages that came from elsewhere meanwhile; with a minus, messages that somebody took away.",
        of: MailboxRow::elsewhere,
        when: When::NotZero,
    },
    Column {
        short: "now",
        long: "on the target now",
        means: "Messages in it when the replay ended, as the target counts them.",
        of: |r| r.now.and_then(some),
        when: When::Known,
    },
];

/// The columns that have something to say of this replay.
pub(super) fn shown(report: &ReplayReport) -> Vec<Column> {
    let rows = &report.mailboxes;
    let shows = |column: &Column| match column.when {
        When::Always => true,
        When::NotZero => rows
            .iter()
            .any(|row| (column.of)(row).is_some_and(|n| n != 0)),
        When::Known => rows.iter().any(|row| (column.of)(row).is_some()),
    };
    let mut columns: Vec<Column> = ALL.into_iter().filter(shows).collect();
    if report.delivery {
        // Nobody can look at what arrived.
        columns.retain(|c| c.short != "before");
        columns.iter_mut().for_each(delivered);
    }
    if report.dry_run {
        for column in columns.iter_mut().filter(|c| c.short == "appended") {
            (column.short, column.long) = ("to append", "to append");
            column.means = "Messages that would be sent.";
        }
        for column in columns.iter_mut().filter(|c| c.short == "delivered") {
            (column.short, column.long) = ("to deliver", "to deliver");
            column.means = "Messages that would be sent.";
        }
    }
    columns
}

/// The words for mail that is delivered.
fn delivered(column: &mut Column) {
    let words = match column.short {
        "in archive" => (
            "in archive",
            "in the archive",
            "Messages in the chosen mailboxes of the archive.",
        ),
        "appended" => (
            "delivered",
            "delivered",
            "Messages the server took to be delivered.",
        ),
        "there" => (
            "before",
            "delivered before",
            "Messages the server took in an earlier run. They are not sent again.",
        ),
        "excluded" => (
            "excluded",
            "excluded",
            "Further copies of messages, which go once, and forgotten ones.",
        ),
        _ => return,
    };
    (column.short, column.long, column.means) = words;
}

/// A number, or that nobody knows it.
pub(super) fn cell(n: Option<i64>) -> String {
    n.map_or_else(|| "?".to_owned(), |n| n.to_string())
}
