//! What a replay has to show for itself: numbers that add up, or say that they do not.

use serde::Serialize;

use crate::report::Ending;

/// One mailbox of the target, and the mailboxes of the archive that go there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct MailboxRow {
    /// Its mailboxes in the archive.
    pub sources: Vec<String>,
    /// Its name on the target, decoded.
    pub target: String,
    /// Whether this run made it there, or would.
    pub created: bool,
    /// Messages that are to be in it.
    pub in_archive: u64,
    /// Messages in it before; `None` where nobody looked.
    pub before: Option<u64>,
    /// Messages this run put there; in a dry run those that it would.
    pub appended: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that came by a move within the target.
    pub moved_in: u64,
    /// Messages that left by one.
    pub moved_out: u64,
    /// Messages that are in another mailbox there and were shown in this one as well, where mailboxes
    /// are labels (Gmail).
    pub labelled: u64,
    /// Messages the target shows in it by itself: others in the place of collapsed ones, and what was
    /// appended elsewhere where it shows all mail (Gmail).
    pub shown: u64,
    /// Messages that were there already.
    pub there: u64,
    /// Messages that were there and were removed since by somebody; they are not sent again.
    pub removed: u64,
    /// Messages of which the target shows another copy instead.
    pub collapsed: u64,
    /// Messages the target refused.
    pub refused: u64,
    /// Messages of which nobody can tell whether they are there.
    pub doubtful: u64,
    /// Messages whose bytes the archive has lost.
    pub lost: u64,
    /// Messages that are not sent on a person's order: forgotten ones, and further copies.
    pub excluded: u64,
    /// Messages that were not reached.
    pub left: u64,
    /// Messages in it now; `None` where nobody looked.
    pub now: Option<u64>,
    /// Messages whose flags were brought up to date.
    pub flags_set: u64,
    /// Messages whose flags changed at the source, and by somebody else on the target.
    pub flags_kept: u64,
    /// Why it could not be worked on, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What happened to its name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl MailboxRow {
    /// Messages of the archive that are accounted for.
    #[must_use]
    pub const fn booked(&self) -> u64 {
        self.appended
            + self.moved_in
            + self.labelled
            + self.there
            + self.removed
            + self.collapsed
            + self.refused
            + self.doubtful
            + self.lost
            + self.excluded
            + self.left
    }

    /// Whether every message of the archive is accounted for.
    #[must_use]
    pub const fn adds_up(&self) -> bool {
        self.in_archive == self.booked()
    }

    /// Messages in it that this run did not put there and that were not there before: positive if
    /// somebody else added some, negative if some were taken away. `None` where nobody looked.
    #[must_use]
    pub fn elsewhere(&self) -> Option<i64> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let expected = signed(self.before?)
            + signed(self.appended)
            + signed(self.moved_in)
            + signed(self.labelled)
            + signed(self.shown)
            - signed(self.moved_out);
        Some(signed(self.now?) - expected)
    }

    /// Adds another row's numbers.
    fn add(&mut self, other: &Self) {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        self.in_archive += other.in_archive;
        self.before = sum(self.before, other.before);
        self.now = sum(self.now, other.now);
        self.appended += other.appended;
        self.bytes += other.bytes;
        self.moved_in += other.moved_in;
        self.labelled += other.labelled;
        self.shown += other.shown;
        self.moved_out += other.moved_out;
        self.there += other.there;
        self.removed += other.removed;
        self.collapsed += other.collapsed;
        self.refused += other.refused;
        self.doubtful += other.doubtful;
        self.lost += other.lost;
        self.excluded += other.excluded;
        self.left += other.left;
        self.flags_set += other.flags_set;
        self.flags_kept += other.flags_kept;
    }
}

/// What became of a message that a person should know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The target refused it, or would.
    Refused,
    /// Nobody can tell whether the target has it.
    Doubtful,
    /// Its bytes are lost.
    Lost,
    /// The target shows another copy instead.
    Collapsed,
    /// The target stores other bytes than it is sent, or would.
    Altered,
    /// Other messages have its Message-ID, and the target keeps one of them.
    SameMessageId,
    /// It was sent with repairs.
    Repaired,
    /// It was sent without some of its keywords.
    WithoutKeywords,
    /// It was sent without its date.
    WithoutDate,
}

/// A message that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageNote {
    /// What became of it.
    pub what: What,
    /// Its mailbox on the target.
    pub mailbox: String,
    /// Its content id.
    pub content: String,
    /// The source's name for it.
    pub remote: String,
    /// Why, in the target's own words where it said something.
    pub reason: String,
}

/// Why a mailbox of the archive is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutKind {
    /// It only shows what lies in other mailboxes.
    View,
    /// The target can have no such mailbox.
    Refused,
}

/// A mailbox of the archive that is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Messages in it.
    pub messages: u64,
    /// Whether anything is lacking on the target for it.
    pub kind: LeftOutKind,
    /// Why, in words.
    pub reason: String,
}

/// The report of a replay to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Where the archive lies.
    pub archive: String,
    /// Its id.
    pub archive_id: String,
    /// The account in the archive.
    pub account: String,
    /// `user@host` of the target.
    pub target: String,
    /// The mail was delivered (SMTP, LMTP), not appended: nobody can look at what arrived.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delivery: bool,
    /// Nothing was changed anywhere.
    pub dry_run: bool,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended: String,
    /// The mailboxes as they were at the end of the run that ended then, RFC 3339, where the past
    /// was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// What it was limited to, in words; empty where it was to bring everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// How it ended.
    pub ending: Ending,
    /// What ended it early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each mailbox of the target.
    pub mailboxes: Vec<MailboxRow>,
    /// All together.
    pub total: MailboxRow,
    /// Mailboxes that are not sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Messages a person should know of, at most [`Self::NOTED`] of each kind.
    pub messages: Vec<MessageNote>,
    /// How many there are of each kind.
    pub noted: Vec<(What, u64)>,
    /// What a person should know, and which makes the exit code 3.
    pub warnings: Vec<String>,
    /// What a person may want to know, and which changes no exit code.
    pub notes: Vec<String>,
    /// Bytes sent to the network.
    pub sent: u64,
}

impl ReplayReport {
    /// How many messages of a kind are named one by one.
    pub const NOTED: u64 = 1000;

    /// A report of nothing yet.
    #[must_use]
    pub fn new(account: String, target: String, started: String) -> Self {
        Self {
            archive: String::new(),
            archive_id: String::new(),
            selection: Vec::new(),
            account,
            target,
            delivery: false,
            dry_run: false,
            started,
            ended: String::new(),
            as_of: None,
            ending: Ending::Complete,
            error: None,
            mailboxes: Vec::new(),
            total: MailboxRow::default(),
            left_out: Vec::new(),
            messages: Vec::new(),
            noted: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            sent: 0,
        }
    }

    /// Takes note of a message.
    pub fn note(&mut self, note: MessageNote) {
        let what = note.what;
        let count = match self.noted.iter_mut().find(|(w, _)| *w == what) {
            Some((_, count)) => count,
            None => {
                self.noted.push((what, 0));
                match self.noted.last_mut() {
                    Some((_, count)) => count,
                    None => return,
                }
            }
        };
        *count += 1;
        if *count <= Self::NOTED {
            self.messages.push(note);
        }
    }

    /// How many messages of a kind were noted.
    #[must_use]
    pub fn count(&self, what: What) -> u64 {
        let found = self.noted.iter().find(|(w, _)| *w == what);
        found.map_or(0, |(_, count)| *count)
    }

    /// Makes the total the sum of the mailboxes.
    pub fn add_up(&mut self) {
        let mut total = MailboxRow {
            before: Some(0),
            now: Some(0),
            ..MailboxRow::default()
        };
        for row in &self.mailboxes {
            total.add(row);
        }
        self.total = total;
    }

    /// Whether every message is accounted for on both sides.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let lacks = |left: &LeftOut| left.kind == LeftOutKind::Refused && left.messages > 0;
        !self.left_out.iter().any(lacks)
            && self.mailboxes.iter().all(|row| {
                row.problem.is_none() && row.adds_up() && row.elsewhere().is_none_or(|n| n >= 0)
            })
    }

    /// The exit code it deserves (README, "Exit codes"); a signal's aside.
    #[must_use]
    pub fn exit(&self) -> u8 {
        let total = &self.total;
        if total.lost > 0 {
            7
        } else if self.ending == Ending::ServerLost {
            6
        } else if self.ending == Ending::Interrupted {
            130
        } else if self.ending == Ending::Limit {
            9
        } else if !self.adds_up()
            || total.refused + total.doubtful + total.left > 0
            || !self.warnings.is_empty()
        {
            3
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_on_both_sides_or_say_by_how_much_they_do_not() {
        let row = MailboxRow {
            in_archive: 10,
            before: Some(4),
            appended: 5,
            there: 3,
            refused: 1,
            removed: 1,
            now: Some(9),
            ..MailboxRow::default()
        };
        assert!(row.adds_up());
        assert_eq!(row.elsewhere(), Some(0));
        let short = MailboxRow {
            there: 2,
            now: Some(8),
            ..row.clone()
        };
        assert!(!short.adds_up());
        assert_eq!(short.elsewhere(), Some(-1));
        assert_eq!(MailboxRow { now: None, ..row }.elsewhere(), None);
    }

    #[test]
    fn a_mailbox_that_cannot_be_named_is_missing_if_it_has_messages() {
        for (kind, messages, exit) in [
            (LeftOutKind::View, 5, 0),
            (LeftOutKind::Refused, 0, 0),
            (LeftOutKind::Refused, 5, 3),
        ] {
            let mut report = ReplayReport::new(String::new(), String::new(), String::new());
            report.left_out.push(LeftOut {
                name: "x".to_owned(),
                messages,
                kind,
                reason: String::new(),
            });
            let is = (report.adds_up(), report.exit());
            assert_eq!(is, (exit == 0, exit), "{kind:?} {messages}");
        }
    }
}
