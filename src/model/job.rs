//! Planned work and what became of it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{AccountId, Listed, MailboxId, UidSet};

/// Which messages of an account a job is about.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Globs of mailboxes to take; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mailboxes: Vec<String>,
    /// Globs of mailboxes to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Only messages with INTERNALDATE at or after this Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Only messages with INTERNALDATE before this Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
    /// Only messages of at most this many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// What counts of a POP3 maildrop.
    #[serde(default, skip_serializing_if = "PopSelection::is_default")]
    pub pop: PopSelection,
}

/// Which messages of a POP3 maildrop count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PopSelection {
    /// By when they came.
    #[serde(default)]
    pub messages: PopMessages,
    /// By whether they are spam.
    #[serde(default)]
    pub spam: PopSpam,
    /// The server was set to deliver nothing but spam.
    #[serde(default)]
    pub spam_from_server: bool,
    /// Go on without UIDL: everything is fetched every time.
    #[serde(default)]
    pub without_uidl: bool,
}

impl PopSelection {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which messages of a maildrop count, by when they came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PopMessages {
    /// Everything in the maildrop.
    #[default]
    All,
    /// What came on the day of the first run or later.
    FromToday,
}

/// What is done with spam in a maildrop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PopSpam {
    /// It is filed as junk.
    #[default]
    Include,
    /// It is left on the server.
    Exclude,
    /// Nothing else is fetched.
    Only,
}

impl Selection {
    /// What a checkpoint made under this selection is bound to.
    ///
    /// Mailbox globs are not part of it: they decide *which* mailboxes are looked at, not
    /// which of a mailbox's messages count.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::from("1");
        for (name, value) in [
            ("since", self.since.map(|n| n.to_string())),
            ("before", self.before.map(|n| n.to_string())),
            ("max-size", self.max_size.map(|n| n.to_string())),
        ] {
            if let Some(value) = value {
                write!(text, ";{name}={value}").unwrap_or_default();
            }
        }
        text
    }

    /// What a fingerprint says of which of a mailbox's messages count. What else stands in it,
    /// or cannot be read, is passed over.
    #[must_use]
    pub fn of_fingerprint(text: &str) -> Self {
        let mut selection = Self::default();
        for (name, value) in text.split(';').filter_map(|part| part.split_once('=')) {
            match name {
                "since" => selection.since = value.parse().ok(),
                "before" => selection.before = value.parse().ok(),
                "max-size" => selection.max_size = value.parse().ok(),
                _ => {}
            }
        }
        selection
    }

    /// Whether a message is left out, its mailbox aside. One without a date never is by its date.
    #[must_use]
    pub fn leaves_out(&self, message: &Listed) -> bool {
        let date = message.date().map(|d| d.unix);
        let too_old = self
            .since
            .zip(date)
            .is_some_and(|(since, date)| date < since);
        let too_new = self
            .before
            .zip(date)
            .is_some_and(|(before, date)| date >= before);
        let too_large = self
            .max_size
            .is_some_and(|max| u64::from(message.size) > max);
        too_old || too_new || too_large
    }
}

/// How far a job has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Planned, or begun and not finished.
    Open,
    /// Everything it planned is stored, linked, left or skipped.
    Done,
    /// Another job took its place.
    Superseded,
}

/// What a job plans for one mailbox.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobMailbox {
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// UIDVALIDITY the plan was made under.
    pub uidvalidity: u32,
    /// Messages in the mailbox at EXAMINE.
    pub exists: u32,
    /// UIDNEXT then; absent where the server has none, and in a job that was only planned. With
    /// it a later run goes on from there without listing the mailbox again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uidnext: Option<u32>,
    /// HIGHESTMODSEQ then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highestmodseq: Option<u64>,
    /// When the mailbox was last listed in full, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<i64>,
    /// UIDs to fetch.
    pub fetch: UidSet,
    /// Bytes to fetch, by RFC822.SIZE.
    pub bytes: u64,
    /// Messages known from before.
    pub held: u32,
    /// Messages a filter excludes.
    pub excluded: u32,
    /// Messages to fetch from a POP3 maildrop, which have no UIDs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub messages: u32,
    /// Messages that had come from the maildrop when the job was planned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub came_before: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A planned piece of work kept in the archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The job's number.
    pub id: u32,
    /// The account it works on.
    pub account: AccountId,
    /// The source without any secret, as given on the command line.
    pub source: String,
    /// Which messages it is about.
    #[serde(default)]
    pub selection: Selection,
    /// RFC 3339 time of planning, UTC.
    pub created: String,
    /// How far it has come.
    pub state: JobState,
    /// What is planned; only mailboxes in which something is to be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mailboxes: Vec<JobMailbox>,
}

/// The arithmetic of one mailbox: where each message it held went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Messages in the mailbox when it was examined.
    pub exists: u32,
    /// Fetched, and the content is new to the archive.
    pub stored: u32,
    /// Fetched, and the content was held already.
    pub linked: u32,
    /// Known from before and not fetched.
    pub held: u32,
    /// Left out by a filter.
    pub excluded: u32,
    /// Proven gone during the run.
    pub left: u32,
    /// Could not be archived; see the reason.
    pub skipped: u32,
}

impl Tally {
    /// Messages accounted for.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.stored as u64
            + self.linked as u64
            + self.held as u64
            + self.excluded as u64
            + self.left as u64
            + self.skipped as u64
    }

    /// Whether every message that existed is accounted for.
    #[must_use]
    pub const fn adds_up(&self) -> bool {
        self.sum() == self.exists as u64
    }

    /// Adds another mailbox's numbers to these.
    pub const fn add(&mut self, other: &Self) {
        self.exists += other.exists;
        self.stored += other.stored;
        self.linked += other.linked;
        self.held += other.held;
        self.excluded += other.excluded;
        self.left += other.left;
        self.skipped += other.skipped;
    }
}

/// What a finished run leaves in the journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// The run's number.
    pub id: u32,
    /// The job it worked on, if there was anything to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
    /// The account.
    pub account: AccountId,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub ended: String,
    /// The program's version.
    pub version: String,
    /// The exit code this account's part deserves.
    pub exit: u8,
    /// All mailboxes together.
    pub total: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fingerprint_tells_the_selection_it_was_made_of(since: Option<i64>, before: Option<i64>, max_size: Option<u64>) {
            let selection = Selection { since, before, max_size, ..Selection::default() };
            prop_assert_eq!(Selection::of_fingerprint(&selection.fingerprint()), selection.clone());
            let more = format!("{};flags=weekly;x", selection.fingerprint());
            prop_assert_eq!(Selection::of_fingerprint(&more), selection);
        }
    }
}
