//! What a run has to show for itself: numbers that add up, or say that they do not.

use serde::Serialize;

use crate::model::Tally;

/// One mailbox of a report; a POP3 maildrop counts as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailboxReport {
    /// Its decoded name.
    pub name: String,
    /// Where its messages went.
    #[serde(flatten)]
    pub tally: Tally,
    /// It stood still since its checkpoint and was not examined.
    pub unchanged: bool,
    /// When its flags were last looked at, RFC 3339, where that was not in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags_as_of: Option<String>,
    /// Messages that are missing on the server, which is not believed yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub doubtful: u32,
    /// Why it could not be worked on, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why messages were excluded, and how many: of a maildrop all, else those that were forgotten on
    /// request and turned up again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_because: Vec<(String, u32)>,
    /// Where the messages of a maildrop that came in this run were filed, and how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filed: Vec<(String, u32)>,
}

impl MailboxReport {
    /// A mailbox of which nothing is known but its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tally: Tally::default(),
            unchanged: false,
            flags_as_of: None,
            doubtful: 0,
            problem: None,
            excluded_because: Vec::new(),
            filed: Vec::new(),
        }
    }
}

/// A message that was not archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedMessage {
    /// Its mailbox.
    pub mailbox: String,
    /// The server's name for it.
    pub remote: String,
    /// Why, with the server's words.
    pub reason: String,
    /// It was skipped before and not tried again in this run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub untried: bool,
}

/// How a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything planned was done.
    Complete,
    /// A signal asked to stop; what was there is committed.
    Interrupted,
    /// The server or the network gave up on us; what was there is committed.
    ServerLost,
    /// The server brought again and again what it had brought before, and not all it says it has.
    Short,
    /// A limit the user set was reached; what was there is committed, and the next run goes on.
    Limit,
}

/// A limit of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The time it may take.
    MaxRuntime,
    /// The bytes of message bodies it may fetch.
    MaxBytes,
}

/// A limit that was reached, and how much is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Which one.
    #[serde(rename = "reached")]
    pub limit: Limit,
    /// Messages that were planned and not fetched; `None` where the time was up before it was
    /// known what there is.
    pub messages_left: Option<u64>,
    /// Their bytes, as the server reports them.
    pub bytes_left: Option<u64>,
}

/// The report of one account's backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The account's name.
    pub account: String,
    /// The run's number in the archive; `None` for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// The job worked on, if there was anything to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
    /// How it ended.
    pub ending: Ending,
    /// The error behind [`Ending::ServerLost`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The limit behind [`Ending::Limit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Reached>,
    /// Each mailbox.
    pub mailboxes: Vec<MailboxReport>,
    /// All together.
    pub total: Tally,
    /// Messages not archived.
    pub skipped: Vec<SkippedMessage>,
    /// Mailboxes that hold mail in the archive and that the server no longer lists. Their mail
    /// stays.
    pub unlisted: Vec<String>,
    /// What a person should know, and which makes the exit code 3.
    pub warnings: Vec<String>,
    /// What a person may want to know, and which changes no exit code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Messages stored that differ from a held one only by the line end that POP3 adds.
    #[serde(skip_serializing_if = "is_zero")]
    pub line_end_added: u32,
    /// Messages deleted from the POP3 server on the user's order, which it confirmed.
    #[serde(skip_serializing_if = "is_zero")]
    pub deleted: u32,
    /// Messages the user's order would have deleted and that were kept on the server: why, and
    /// how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<(String, u32)>,
    /// Bytes of mail that became durable in this run.
    pub bytes: u64,
    /// Messages of the archive that were found lost when it was opened, or could not be read again
    /// when one was to be deleted on the server.
    pub damaged: u64,
    /// Bytes received from the network.
    pub received: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl BackupReport {
    /// The report of a plan, with its sums.
    #[must_use]
    pub fn planned(account: &str, mailboxes: Vec<MailboxReport>) -> Self {
        let mut report = Self {
            account: account.to_owned(),
            run: None,
            job: None,
            ending: Ending::Complete,
            error: None,
            limit: None,
            mailboxes,
            total: Tally::default(),
            skipped: Vec::new(),
            unlisted: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            line_end_added: 0,
            deleted: 0,
            kept: Vec::new(),
            bytes: 0,
            damaged: 0,
            received: 0,
        };
        report.add_up();
        report
    }

    /// The report of a run whose time was up before it was known what there is.
    #[must_use]
    pub fn out_of_time(account: &str) -> Self {
        Self {
            ending: Ending::Limit,
            limit: Some(Reached {
                limit: Limit::MaxRuntime,
                messages_left: None,
                bytes_left: None,
            }),
            ..Self::planned(account, Vec::new())
        }
    }

    /// Makes the total the sum of the mailboxes.
    pub fn add_up(&mut self) {
        let mut total = Tally::default();
        for mailbox in &self.mailboxes {
            total.add(&mailbox.tally);
        }
        self.total = total;
    }

    /// Whether every message the server held is accounted for and none was skipped.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.mailboxes
            .iter()
            .all(|m| m.tally.adds_up() && m.problem.is_none())
    }

    /// The exit code this account deserves (README, "Exit codes"); interruption aside, whose
    /// code is the signal's.
    #[must_use]
    pub fn exit(&self) -> u8 {
        if self.damaged > 0 {
            7
        } else if self.ending == Ending::ServerLost {
            6
        } else if self.ending == Ending::Interrupted {
            130
        } else if self.ending == Ending::Limit {
            9
        } else if self.ending == Ending::Short
            || !self.adds_up()
            || self.total.skipped > 0
            || !self.warnings.is_empty()
        {
            3
        } else {
            0
        }
    }
}
