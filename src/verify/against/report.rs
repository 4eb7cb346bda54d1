//! What a comparison found. It can be printed, serialised, and asked for its exit code.

use serde::Serialize;

use super::fates::{Difference, Fates, Names};
use crate::model::ContentId;
use crate::report::Ending;

/// How a mailbox was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Message by message.
    Compared,
    /// The archive has never seen it, so nothing in it is held.
    Unknown,
    /// The archive has never seen it, and the selection of the last job leaves it out. It was
    /// not opened.
    LeftOut,
    /// Its UIDVALIDITY is another than the archive knows, so its UIDs mean other messages.
    OtherEpoch,
    /// The server does not list it. Its mail is in the archive.
    Unlisted,
    /// It could not be opened or listed.
    Failed,
    /// The comparison ended before it.
    NotReached,
}

/// One mailbox, or the maildrop of a POP3 server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailboxComparison {
    /// Its name, `maildrop` for that.
    pub name: String,
    /// How it was looked at.
    pub state: State,
    /// The server's words where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Messages the server counts.
    pub on_server: u32,
    /// Messages the archive holds as present.
    pub in_archive: u32,
    /// Messages by where they stand.
    #[serde(flatten)]
    pub fates: Fates<Names>,
    /// Of those present: size or date are not what they were.
    pub differs: Vec<Difference>,
    /// Messages the server counts and does not list.
    pub unlisted: u32,
    /// Messages without a UIDL of their own, which only their bytes can tell apart.
    pub nameless: u32,
    /// UIDVALIDITY in the archive and on the server, where they differ; 0 stands for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uidvalidity: Option<(u32, u32)>,
    /// Where UIDVALIDITY differs: messages with a counterpart of the same size and date in the
    /// archive. It is a hint, never a proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparts: Option<u32>,
    /// It lost more than half of its messages since the last run, which is not believed at once.
    pub emptied: bool,
}

impl MailboxComparison {
    pub(super) fn new(name: &str, state: State) -> Self {
        Self {
            name: name.to_owned(),
            state,
            problem: None,
            on_server: 0,
            in_archive: 0,
            fates: Fates::default(),
            differs: Vec::new(),
            unlisted: 0,
            nameless: 0,
            uidvalidity: None,
            counterparts: None,
            emptied: false,
        }
    }

    /// Whether nothing in it is missing and nothing differs. What came after the last complete
    /// run, what the selection leaves out, what has left since, and flags do not count.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let f = &self.fates;
        let wrong = [&f.missing, &f.skipped, &f.damaged, &f.returned, &f.unseen];
        let looked_at = match self.state {
            State::Compared | State::Unknown | State::LeftOut | State::Unlisted => true,
            State::OtherEpoch | State::Failed | State::NotReached => false,
        };
        let whole = self.unlisted == 0 && self.differs.is_empty() && !self.emptied;
        looked_at && whole && wrong.iter().all(|names| names.is_empty())
    }
}

/// A message of the sample.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Sampled {
    /// Its mailbox.
    pub mailbox: String,
    /// The server's name for it: a UID or a UIDL.
    pub remote: String,
}

/// A message whose bytes are not those of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BytesDiffer {
    /// Which.
    #[serde(flatten)]
    pub message: Sampled,
    /// What the archive has under that name; `None` where any content would have done and none
    /// is held.
    pub archive: Option<ContentId>,
    /// What the server sent.
    pub server: ContentId,
    /// What it sent when it was asked again.
    pub again: ContentId,
}

impl BytesDiffer {
    /// Whether the server sent other bytes each time: then they prove nothing about the archive.
    #[must_use]
    pub fn from_itself(&self) -> bool {
        self.server != self.again
    }
}

/// A message that could not be looked at, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotProven {
    /// Which.
    #[serde(flatten)]
    pub message: Sampled,
    /// Why.
    pub reason: String,
}

/// The messages whose bytes were compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SampleReport {
    /// Repeats the choice, as long as the mail is the same.
    pub seed: u64,
    /// Every message was to be fetched.
    pub full: bool,
    /// Messages that could have been chosen.
    pub of: u64,
    /// Messages chosen.
    pub chosen: u64,
    /// Messages whose bytes are those of the archive.
    pub same: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that had been recognised by their header only.
    pub healed: u64,
    /// Those of them that were read back from the archive and hashed again.
    pub read_back: u64,
    /// Messages whose bytes are not those of the archive.
    pub differ: Vec<BytesDiffer>,
    /// Messages the archive cannot give back: it is damaged.
    pub unreadable: Vec<NotProven>,
    /// Messages the server did not send.
    pub not_sent: Vec<NotProven>,
    /// Messages that left while they were compared.
    pub left: u64,
}

/// The report of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgainstReport {
    /// The account's name in the archive.
    pub account: String,
    /// `user@host` that it was compared with.
    pub server: String,
    /// How it ended.
    pub ending: Ending,
    /// The error behind [`Ending::ServerLost`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each mailbox.
    pub mailboxes: Vec<MailboxComparison>,
    /// The messages whose bytes were compared.
    pub sample: SampleReport,
    /// Messages recorded as lost, in the whole archive.
    pub damaged: u64,
    /// What a person should know, and which makes the exit code 3.
    pub warnings: Vec<String>,
    /// What a person may want to know, and which changes no exit code.
    pub notes: Vec<String>,
    /// Bytes received from the network.
    pub received: u64,
}

impl AgainstReport {
    /// Whether nothing is missing and nothing differs.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let sample = &self.sample;
        let proven = sample.differ.is_empty() && sample.not_sent.is_empty();
        let nameless: u64 = self.mailboxes.iter().map(|m| u64::from(m.nameless)).sum();
        // Without a name only bytes can tell, and they were looked at only if all were.
        let named = nameless == 0 || sample.full;
        self.warnings.is_empty()
            && proven
            && named
            && self.mailboxes.iter().all(MailboxComparison::agrees)
    }

    /// The exit code (README, "Exit codes"); an interruption aside, whose code is the signal's.
    #[must_use]
    pub fn exit(&self) -> u8 {
        if self.damaged > 0 || !self.sample.unreadable.is_empty() {
            return 7;
        }
        match self.ending {
            Ending::ServerLost => 6,
            Ending::Interrupted => 130,
            Ending::Complete if self.agrees() => 0,
            // A comparison has no limit; whatever cut it short, it is not complete.
            Ending::Complete | Ending::Short | Ending::Limit => 3,
        }
    }

    /// How many messages stand somewhere, over all mailboxes.
    #[must_use]
    pub fn total(&self, names: impl Fn(&Fates<Names>) -> &Names) -> u64 {
        self.mailboxes.iter().map(|m| names(&m.fates).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UidSet;

    fn report(change: impl Fn(&mut AgainstReport)) -> u8 {
        let mut report = AgainstReport {
            account: "a".to_owned(),
            server: "a@h".to_owned(),
            ending: Ending::Complete,
            error: None,
            mailboxes: vec![MailboxComparison::new("INBOX", State::Compared)],
            sample: SampleReport::default(),
            damaged: 0,
            warnings: Vec::new(),
            notes: vec!["n".to_owned()],
            received: 0,
        };
        change(&mut report);
        report.exit()
    }

    fn one() -> Names {
        Names::Uids(UidSet::from_iter([7]))
    }

    #[test]
    fn what_comes_to_be_by_itself_is_no_defect() {
        type Set = fn(&mut Fates<Names>) -> &mut Names;
        let table: [(Set, u8); 12] = [
            (|f| &mut f.present, 0),
            (|f| &mut f.newer, 0),
            (|f| &mut f.excluded, 0),
            (|f| &mut f.accepted, 0),
            (|f| &mut f.departed, 0),
            (|f| &mut f.not_offered, 0),
            (|f| &mut f.flags, 0),
            (|f| &mut f.skipped, 3),
            (|f| &mut f.missing, 3),
            (|f| &mut f.damaged, 3),
            (|f| &mut f.returned, 3),
            (|f| &mut f.unseen, 3),
        ];
        for (n, (set, exit)) in table.into_iter().enumerate() {
            let code = report(|r| *set(&mut r.mailboxes[0].fates) = one());
            assert_eq!(code, exit, "set {n}");
        }
    }

    #[test]
    fn the_gravest_finding_decides() {
        let message = || Sampled {
            mailbox: "INBOX".to_owned(),
            remote: "7".to_owned(),
        };
        let why = || NotProven {
            message: message(),
            reason: "no".to_owned(),
        };
        assert_eq!(report(|r| r.warnings.push("w".to_owned())), 3);
        assert_eq!(report(|r| r.mailboxes[0].state = State::OtherEpoch), 3);
        assert_eq!(report(|r| r.mailboxes[0].state = State::Failed), 3);
        assert_eq!(report(|r| r.mailboxes[0].state = State::Unlisted), 0);
        assert_eq!(report(|r| r.mailboxes[0].unlisted = 1), 3);
        assert_eq!(report(|r| r.mailboxes[0].emptied = true), 3);
        assert_eq!(report(|r| r.mailboxes[0].nameless = 1), 3);
        let full = report(|r| (r.mailboxes[0].nameless, r.sample.full) = (1, true));
        assert_eq!(full, 0);
        assert_eq!(report(|r| r.sample.not_sent.push(why())), 3);
        let differ = BytesDiffer {
            message: message(),
            archive: None,
            server: ContentId::of(b"a"),
            again: ContentId::of(b"b"),
        };
        assert!(differ.from_itself());
        assert_eq!(report(|r| r.sample.differ.push(differ.clone())), 3);
        assert_eq!(report(|r| r.ending = Ending::ServerLost), 6);
        assert_eq!(report(|r| r.sample.unreadable.push(why())), 7);
        let both = report(|r| (r.damaged, r.ending) = (1, Ending::ServerLost));
        assert_eq!(both, 7);
    }

    #[test]
    fn names_are_counted_in_json() {
        let text = serde_json::to_string(&Names::Uids(UidSet::from_iter([7, 8]))).unwrap();
        assert_eq!(text, r#"{"count":2,"uids":"7:8"}"#);
        let text = serde_json::to_string(&Names::Uidls(vec!["a".to_owned()])).unwrap();
        assert_eq!(text, r#"{"count":1,"uidls":["a"]}"#);
    }
}
