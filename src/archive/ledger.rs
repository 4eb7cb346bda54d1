//! The ledger of a replay: what is about to be sent to a target, and what became of it.
//!
//! A ledger is a frame log of its own, in `replay/TARGET/`, beside the journal: its first frame
//! has the archive's id, and [`LedgerRecord::Target`] says whose mail it is about. So a replay of
//! three days writes nothing a nightly run could be in the way of.
//!
//! The unit is a *piece*: one message in one mailbox of the target. It gets its number with the
//! record that first tells of it, `intent` or `known`; later records refer to that number.
//! `intent` is durable before a byte of the message goes out. A piece whose last record is an
//! intent is *open*: nobody knows whether the target has it.

use serde::{Deserialize, Serialize};

use super::frame_log::LogRecord;
use crate::model::{ContentId, Flags, MailboxId, RemoteId};

/// A record of a ledger. All are critical: whoever does not know one of them would send mail twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum LedgerRecord {
    /// Whose mail this is about; the first record.
    Target {
        /// `user@host` as it is dialled.
        address: String,
    },
    /// A mailbox of the target, new or changed.
    Mailbox(TargetMailbox),
    /// Where a mailbox of the archive goes. Takes the place of an earlier one.
    Map {
        /// The mailbox of the archive.
        #[serde(rename = "m")]
        mailbox: MailboxId,
        /// The mailbox of the target.
        #[serde(rename = "t")]
        target: u32,
        /// The wire name of the mailbox of the archive: in an archive that was restored from an
        /// older copy its number may be another mailbox's. Missing in the first ledgers.
        #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// A message is about to be sent.
    Intent(Intent),
    /// What became of an intent.
    Outcome(Outcome),
    /// A message that is on the target and that mailstow did not put there.
    Known(Known),
    /// Where a piece is by now: found after its UID was not known, or had changed.
    Located {
        /// The piece.
        no: u64,
        /// The target's UIDVALIDITY.
        #[serde(rename = "v")]
        uidvalidity: u32,
        /// Its UID.
        #[serde(rename = "u")]
        uid: u32,
    },
    /// Pieces that were on the target and that somebody has removed there. They are not sent again
    /// by themselves, under another UIDVALIDITY neither.
    Removed {
        /// The pieces.
        no: Vec<u64>,
    },
    /// What the target shows for the pieces so far was looked at, where it may show something else
    /// than it said (Gmail).
    ReadBack {
        /// The last of them.
        upto: u64,
    },
    /// The flags a piece was given after it was sent.
    Flagged {
        /// The pieces.
        no: Vec<u64>,
        /// Their flags.
        #[serde(rename = "f")]
        flags: Flags,
        /// What they were to be, where the target would not have all of them.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        asked: Option<Flags>,
    },
}

/// A mailbox of a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TargetMailbox {
    /// Its number in this ledger.
    pub id: u32,
    /// Its name as the target writes it.
    pub wire: String,
}

/// `intent`: a message is about to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The piece.
    pub no: u64,
    /// The mailbox of the target.
    #[serde(rename = "t")]
    pub target: u32,
    /// Its UIDVALIDITY before; 0 where it has none.
    #[serde(rename = "v")]
    pub uidvalidity: u32,
    /// The lowest UID the message can get; 0 where that is not known.
    #[serde(rename = "n")]
    pub uidnext: u32,
    /// The content.
    #[serde(rename = "c")]
    pub content: ContentId,
    /// Where it was seen at the source.
    #[serde(flatten)]
    pub origin: Origin,
    /// The flags it is sent with.
    #[serde(rename = "f", default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// The piece is moved, not sent: this one, by UID MOVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<u64>,
}

/// A placement, by its mailbox and its name there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The mailbox of the archive.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// The source's name for the message.
    #[serde(rename = "o")]
    pub remote: RemoteId,
}

/// `outcome`: what became of an intent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The piece.
    pub no: u64,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of an intent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum Fate {
    /// The target said that it has it, or it was found there. Over SMTP: the target took it.
    There {
        /// UIDVALIDITY and UID, where they are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<(u32, u32)>,
    },
    /// The target said that it has it, and shows another copy of it instead.
    Collapsed,
    /// The target refused it.
    Refused {
        /// In its own words.
        reason: String,
    },
    /// It is not on the target: looked for twice, with time in between.
    Absent,
    /// Nobody can tell whether the target has it.
    Doubtful {
        /// Why.
        reason: String,
    },
}

/// `known`: a message that was found on the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// The piece.
    pub no: u64,
    /// The mailbox of the target.
    #[serde(rename = "t")]
    pub target: u32,
    /// The target's UIDVALIDITY.
    #[serde(rename = "v")]
    pub uidvalidity: u32,
    /// Its UID.
    #[serde(rename = "u")]
    pub uid: u32,
    /// The content it was recognised as.
    #[serde(rename = "c")]
    pub content: ContentId,
    /// Where that was seen at the source.
    #[serde(flatten)]
    pub origin: Origin,
}

impl LogRecord for LedgerRecord {
    const KINDS: &'static [&'static str] = &[
        "target", "mailbox", "map", "intent", "outcome", "known", "located", "removed", "readback",
        "flagged",
    ];

    fn kind(&self) -> (&'static str, bool) {
        let kind = match self {
            Self::Target { .. } => "target",
            Self::Mailbox(_) => "mailbox",
            Self::Map { .. } => "map",
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
            Self::Known(_) => "known",
            Self::Located { .. } => "located",
            Self::Removed { .. } => "removed",
            Self::ReadBack { .. } => "readback",
            Self::Flagged { .. } => "flagged",
        };
        (kind, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_under_the_name_it_is_written_with_and_comes_back() {
        let origin = Origin {
            mailbox: MailboxId(4),
            remote: RemoteId::Imap {
                uidvalidity: 5,
                uid: 6,
            },
        };
        let content = ContentId::of(b"x");
        let outcome = |fate| LedgerRecord::Outcome(Outcome { no: 7, fate });
        let reason = || "[TOOBIG] no".to_owned();
        let records = [
            LedgerRecord::Target {
                address: "a@b".into(),
            },
            LedgerRecord::Mailbox(TargetMailbox {
                id: 1,
                wire: "Sent".into(),
            }),
            LedgerRecord::Map {
                mailbox: MailboxId(4),
                target: 1,
                source: None,
            },
            LedgerRecord::Map {
                mailbox: MailboxId(4),
                target: 1,
                source: Some("Sent Items".into()),
            },
            LedgerRecord::Removed { no: vec![7, 8] },
            LedgerRecord::Intent(Intent {
                no: 7,
                target: 1,
                uidvalidity: 2,
                uidnext: 3,
                content,
                origin: origin.clone(),
                flags: Flags::from_wire(["\\Seen"]),
                moves: Some(3),
            }),
            outcome(Fate::There { at: Some((2, 9)) }),
            outcome(Fate::There { at: None }),
            outcome(Fate::Collapsed),
            outcome(Fate::Refused { reason: reason() }),
            outcome(Fate::Absent),
            outcome(Fate::Doubtful { reason: reason() }),
            LedgerRecord::Known(Known {
                no: 8,
                target: 1,
                uidvalidity: 2,
                uid: 10,
                content,
                origin: Origin {
                    remote: RemoteId::Pop { uidl: "x".into() },
                    ..origin
                },
            }),
            LedgerRecord::Located {
                no: 7,
                uidvalidity: 3,
                uid: 1,
            },
            LedgerRecord::ReadBack { upto: 8 },
            LedgerRecord::Flagged {
                no: vec![7, 8],
                flags: Flags::default(),
                asked: None,
            },
            LedgerRecord::Flagged {
                no: vec![7],
                flags: Flags::default(),
                asked: Some(Flags::from_wire(["work"])),
            },
        ];
        for record in records {
            let value = serde_json::to_value(&record).unwrap();
            assert_eq!(value["k"], record.kind().0);
            assert!(LedgerRecord::KINDS.contains(&record.kind().0));
            let text = serde_json::to_string(&record).unwrap();
            let back = serde_json::from_str::<LedgerRecord>(&text).unwrap();
            assert_eq!(back, record, "{text}");
        }
    }
}
