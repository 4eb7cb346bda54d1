//! Contents, where they lie, and where they were seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ContentId, Flags, InternalDate, MailboxId};

/// A server's name for a message in a mailbox.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RemoteId {
    /// UIDVALIDITY and UID.
    Imap {
        /// UIDVALIDITY; 0 where the server has none.
        #[serde(rename = "v")]
        uidvalidity: u32,
        /// UID.
        #[serde(rename = "u")]
        uid: u32,
    },
    /// A POP3 UIDL.
    Pop {
        /// The unique-id of RFC 1939 §7, verbatim. One that is no UTF-8 has its bytes from 0x80
        /// as characters from U+F780. Where it does not tell a message from others, as
        /// [`shared_uidl`](super::shared_uidl) writes it.
        uidl: String,
    },
}

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imap { uidvalidity, uid } => write!(f, "{uidvalidity}:{uid}"),
            Self::Pop { uidl } => f.write_str(uidl),
        }
    }
}

/// How the wire bytes of a message are kept in an mbox segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnds {
    /// Every line end is CRLF; stored as LF.
    Crlf,
    /// Anything else, also a message without a line end; stored verbatim.
    Raw,
}

/// Where a content lies in the archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The segment's path below `mail/`, with `/`.
    pub segment: String,
    /// Byte offset of the pair of contents frame and data frame.
    pub frame: u64,
    /// Byte offset of the encoded message in the decompressed data frame.
    pub pos: u64,
    /// Bytes of the encoded message, separator line and closing blank line included.
    pub size: u64,
}

/// A content the archive holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredContent {
    /// Its identity.
    pub id: ContentId,
    /// Bytes on the wire.
    pub len: u64,
    /// How its line ends are kept.
    pub eol: LineEnds,
    /// Digest of Message-ID, Date, From and Subject; absent when it has none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Where it lies.
    #[serde(flatten)]
    pub at: Location,
}

/// How sure a placement is of its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The bytes were fetched under this remote id and hashed.
    #[default]
    Bytes,
    /// Matched by size, date and header digest after UIDVALIDITY changed.
    Healed,
}

/// "This content was in this mailbox under this remote id with these flags and this date."
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// The content.
    #[serde(rename = "c")]
    pub content: ContentId,
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// The server's name for it.
    #[serde(flatten)]
    pub remote: RemoteId,
    /// Flags and keywords.
    #[serde(rename = "f", default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// INTERNALDATE; absent when the server sent none that can be read. POP3 has none: there
    /// it is the date of the topmost Received field, else of Date.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub date: Option<InternalDate>,
    /// RFC822.SIZE (IMAP) or the size by LIST (POP3) as reported, in bytes; it may differ from the content's length.
    #[serde(rename = "s")]
    pub size: u32,
    /// How sure this is.
    #[serde(rename = "e", default, skip_serializing_if = "is_bytes")]
    pub evidence: Evidence,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_bytes(evidence: &Evidence) -> bool {
    matches!(evidence, Evidence::Bytes)
}

/// A message that could not be archived, with its reason; retried on later runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// The server's name for it; absent for a message the server counts but never lists.
    #[serde(flatten)]
    pub remote: Option<RemoteId>,
    /// How many messages it is about: one, but where there is no name to tell them apart.
    /// 0 closes a skip that was accepted: nothing is missing any more.
    #[serde(rename = "n", default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// What went wrong, with the server's words.
    pub reason: String,
    /// A person looked at it and accepted the loss, with this note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_one(n: &u32) -> bool {
    *n == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_are_compact_json_and_come_back() {
        let placement = Placement {
            content: ContentId::of(b"x"),
            mailbox: MailboxId(3),
            remote: RemoteId::Imap {
                uidvalidity: 7,
                uid: 42,
            },
            flags: Flags::from_wire(["\\Seen"]),
            date: Some(InternalDate {
                unix: 0,
                offset_minutes: 60,
            }),
            size: 1,
            evidence: Evidence::Bytes,
        };
        let text = serde_json::to_string(&placement).unwrap();
        assert!(
            text.ends_with(
                r#""m":3,"v":7,"u":42,"f":["\\Seen"],"d":"1970-01-01T01:00:00+01:00","s":1}"#
            ),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Placement>(&text).unwrap(), placement);
        let pop = Placement {
            remote: RemoteId::Pop {
                uidl: "a/..\u{1}".into(),
            },
            date: None,
            ..placement
        };
        assert_eq!(
            serde_json::from_str::<Placement>(&serde_json::to_string(&pop).unwrap()).unwrap(),
            pop
        );
    }

    #[test]
    fn a_skip_without_remote_id_comes_back() {
        for remote in [
            None,
            Some(RemoteId::Imap {
                uidvalidity: 1,
                uid: 2,
            }),
        ] {
            let skip = Skip {
                mailbox: MailboxId(1),
                count: if remote.is_none() { 3 } else { 1 },
                remote,
                reason: "NO".into(),
                accepted: None,
            };
            assert_eq!(
                serde_json::from_str::<Skip>(&serde_json::to_string(&skip).unwrap()).unwrap(),
                skip
            );
        }
    }
}
