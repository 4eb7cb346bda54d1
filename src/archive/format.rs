//! Format 1 of the archive, precisely enough to write another reader.
//!
//! # Files
//!
//! ```text
//! archive.toml                      format = 1, layout = "mbox", id = "…", created = "…"; written last, by rename
//! lock                              flock of the writer; `clean N` after an orderly end, else `in use from N`
//! journal/000001.jsonl.zst          the journal: a frame log; 000002 and so on from 64 MiB
//! replay/TARGET/000001.jsonl.zst    ledgers of replays: frame logs of the same form, one folder and `lock` each
//! mail/ACCOUNT/MAILBOX/000001.mbox.zst   segments
//! tmp/                              nothing that matters
//! catalog.sqlite                    derived; delete it at will
//! ```
//!
//! # Frame log
//!
//! A file is a sequence of zstd frames, each with checksum and content size. A frame holds
//! JSON Lines (UTF-8, LF). Its first line is the head ([`FrameHead`]): the commit number
//! `n` (1, 2, 3 …), the `run`, the time `at`, and `prev`, the BLAKE3 of the previous frame
//! as it lies on disk, in hex. The first frame has the archive's id as `archive` instead of
//! `prev`. The chain and the numbers go on across files. `must` names the critical kinds in
//! the frame: a program that does not know one of them may read, but must not write.
//! Unknown kinds not named there are passed over.
//!
//! Every other line is a record ([`Record`]) with its kind in `k`. In a frame, all `store`
//! records come before records that use them. Later records replace earlier ones of the
//! same thing (`account`, `mailbox`, `job` by `id`; `checkpoint`, `maildrop` by mailbox; flags of a
//! placement by `flags`).
//!
//! The end of the last file inside a frame is simply its end: that commit never happened.
//!
//! # Segments written anew
//!
//! `repacked` (critical) says that data frames of a segment lie in another segment now: every
//! content whose place is one of these frames has the place that [`FrameMove`] makes of it. Of
//! the segment they leave, `left` bytes stay, sealed by a `seal` record in the same frame of the
//! journal; with 0 the file is removed. So numbers of segments may be missing. Contents whose
//! neighbours in a data frame were dead bytes have a `moved` (critical) of their own.
//!
//! The new file is durable before the record and the old one goes behind it. Somebody who finds a
//! segment that no record names, or bytes behind the end of a sealed one, may pass over them: what
//! they hold is held elsewhere, or was never committed.
//!
//! # Forgotten
//!
//! `forgotten` (critical) says that a content was erased on a person's request: its segment was
//! written anew without it, in the same commit, and no file of the archive has its bytes or its
//! line of a contents frame any more. What the journal said of it before stays: its content id, its
//! length and header digest in its `store` record, and where and when it was seen.
//!
//! # Segment
//!
//! A segment is a sequence of pairs: a *contents frame*, then the *data frame* it describes.
//!
//! * The contents frame is a zstd skippable frame with magic [`CONTENTS_MAGIC`] (little
//!   endian), a 32-bit little-endian length, and as payload one zstd frame of JSON Lines:
//!   first [`ContentsHead`], which names account and mailbox and the length of the data
//!   frame in bytes on disk and of its text, then one [`ContentsLine`] per message.
//! * The data frame is a zstd frame (checksum, content size, window log at most 24) of
//!   whole messages in mboxrd as [`super::mboxrd`] describes. Each message begins `pos`
//!   bytes into the text and takes `size` bytes: a `From MAILER-DAEMON` line with the
//!   INTERNALDATE as asctime in UTC, the text, an LF if it did not end in one, an empty line.
//!
//! `zstd -dc` passes over the contents frames and gives a plain mbox. A message's content id
//! is the BLAKE3 of its wire bytes: undo the quoting, turn LF into CRLF where `eol` is
//! `crlf`, and take exactly `len` bytes.
//!
//! The contents frame comes first, so a data frame that survived a crash always has its
//! description, and the lengths in it lead from pair to pair without decompressing. Its head
//! also has the archive's id, which no message can know: whoever salvages a damaged segment
//! takes nothing for a pair that lacks it.
//!
//! A message stands in the mailbox where it was first seen; other mailboxes refer to it by
//! `place` records. The journal is therefore what tells the whole of a mailbox.

use serde::{Deserialize, Serialize};

use crate::model::{
    Account, AccountId, Checkpoint, ContentId, Flags, InternalDate, Job, Judged, LineEnds,
    Location, Mailbox, MailboxId, Maildrop, Placement, RemoteId, Removed, Renamed, RunReport, Skip,
    StoredContent, UidSet,
};

/// The format this program reads and writes.
pub const FORMAT: u32 = 1;
/// Magic number of the skippable frame that holds a contents frame.
pub const CONTENTS_MAGIC: u32 = 0x184D_2A5C;
/// Magic number of a zstd frame.
pub const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// A data frame closes at this many bytes of text.
pub const DATA_FRAME_BYTES: u64 = 12 << 20;
/// Window log of data frames: 27 would cost every reader 131 MiB of memory.
pub const WINDOW_LOG: u32 = 24;
/// A segment is sealed at this many bytes on disk.
pub const SEGMENT_BYTES: u64 = 256 << 20;
/// A journal file gives way to the next at this many bytes.
pub const LOG_FILE_BYTES: u64 = 64 << 20;
/// Ends the name of every segment.
pub const SEGMENT_SUFFIX: &str = ".mbox.zst";

/// `archive.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The format number.
    pub format: u32,
    /// `mbox`.
    pub layout: String,
    /// 32 hex digits that tell this archive from any other.
    pub id: String,
    /// RFC 3339, UTC.
    pub created: String,
}

/// The first line of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename = "frame")]
pub struct FrameHead {
    /// The commit number.
    pub n: u64,
    /// The run that wrote it.
    pub run: u32,
    /// RFC 3339, UTC.
    pub at: String,
    /// BLAKE3 of the previous frame on disk, in hex; absent in the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// The archive's id; only in the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Critical kinds in this frame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must: Vec<String>,
}

/// A record of the journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Record {
    /// An account, new or changed.
    Account(Account),
    /// A mailbox, new or changed.
    Mailbox(Mailbox),
    /// A job, new or changed.
    Job(Job),
    /// A finished run.
    Run(RunReport),
    /// A content and where it lies.
    Store(StoredContent),
    /// A placement.
    Place(Placement),
    /// Messages whose flags are now these.
    Flags(FlagChange),
    /// Messages that left a mailbox.
    Gone(Departure),
    /// A message that could not be archived.
    Skip(Skip),
    /// How far a mailbox is complete.
    Checkpoint(Checkpoint),
    /// A segment that will not change any more.
    Seal(Seal),
    /// A content that lies elsewhere now.
    Moved(Moved),
    /// Data frames that lie in another segment now.
    Repacked(Repacked),
    /// A content whose bytes were found lost; it counts as not held.
    Damaged(Damaged),
    /// A content that was erased on a person's request.
    Forgotten(Forgotten),
    /// A POP3 maildrop, new or changed.
    Maildrop(Maildrop),
    /// Messages of a maildrop that were judged by their header and not fetched.
    Judged(Judged),
    /// A message of a maildrop that goes by another UIDL now.
    Renamed(Renamed),
    /// Messages deleted from a maildrop on the user's order.
    Removed(Removed),
    /// Messages of an account that were not found and are not taken for gone.
    Doubt(Doubt),
}

impl Record {
    /// All kinds this program knows.
    pub const KINDS: [&'static str; 20] = [
        "account",
        "mailbox",
        "job",
        "run",
        "store",
        "place",
        "flags",
        "gone",
        "skip",
        "checkpoint",
        "seal",
        "moved",
        "repacked",
        "damaged",
        "forgotten",
        "maildrop",
        "judged",
        "renamed",
        "removed",
        "doubt",
    ];

    /// The record's kind, and whether a program that does not know it must keep its hands off.
    #[must_use]
    pub const fn kind(&self) -> (&'static str, bool) {
        match self {
            Self::Account(_) => ("account", true),
            Self::Mailbox(_) => ("mailbox", true),
            Self::Job(_) => ("job", false),
            Self::Run(_) => ("run", false),
            Self::Store(_) => ("store", true),
            Self::Place(_) => ("place", true),
            Self::Flags(_) => ("flags", true),
            Self::Gone(_) => ("gone", true),
            Self::Skip(_) => ("skip", false),
            Self::Checkpoint(_) => ("checkpoint", false),
            Self::Seal(_) => ("seal", true),
            Self::Moved(_) => ("moved", true),
            Self::Repacked(_) => ("repacked", true),
            Self::Damaged(_) => ("damaged", true),
            Self::Forgotten(_) => ("forgotten", true),
            Self::Maildrop(_) => ("maildrop", true),
            Self::Judged(_) => ("judged", true),
            Self::Renamed(_) => ("renamed", true),
            Self::Removed(_) => ("removed", false),
            Self::Doubt(_) => ("doubt", false),
        }
    }
}

/// `flags`: these messages of one UIDVALIDITY have these flags now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlagChange {
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// UIDVALIDITY.
    #[serde(rename = "v")]
    pub uidvalidity: u32,
    /// The messages.
    pub uids: UidSet,
    /// Their flags.
    #[serde(rename = "f")]
    pub flags: Flags,
}

/// `gone`: these messages of one UIDVALIDITY are no longer in the mailbox.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Departure {
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// UIDVALIDITY.
    #[serde(rename = "v")]
    pub uidvalidity: u32,
    /// The messages.
    pub uids: UidSet,
}

/// `doubt`: so much was missing that it was not believed. Takes the place of the last one of the
/// account; one without messages says that there is no doubt any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Doubt {
    /// The account.
    pub account: AccountId,
    /// The messages that are gone if a later night does not find them either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Doubted>,
}

/// Messages of one UIDVALIDITY that were not found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Doubted {
    /// Which.
    #[serde(flatten)]
    pub gone: Departure,
    /// Since when, in Unix seconds.
    pub since: i64,
}

/// `seal`: a segment is complete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// The segment's path below `mail/`.
    pub segment: String,
    /// Its length in bytes.
    pub len: u64,
}

/// `moved`: a content lies elsewhere now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moved {
    /// The content.
    pub id: ContentId,
    /// Its new place.
    #[serde(flatten)]
    pub at: Location,
}

/// `repacked`: data frames of a segment lie in another now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repacked {
    /// The segment they leave.
    pub segment: String,
    /// Bytes of it that stay; 0 when the file is removed.
    pub left: u64,
    /// The segment they lie in now; absent when nothing of them is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Frame by frame, in the order of the old segment.
    pub frames: Vec<FrameMove>,
}

/// Where a data frame went, as `[from, to, shift]`, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
pub struct FrameMove {
    /// Where its pair began in the old segment.
    pub from: u64,
    /// Where the pair begins that has its messages now.
    pub to: u64,
    /// How much further into the text each of its messages begins.
    pub shift: u64,
}

impl From<[u64; 3]> for FrameMove {
    fn from([from, to, shift]: [u64; 3]) -> Self {
        Self { from, to, shift }
    }
}

impl From<FrameMove> for [u64; 3] {
    fn from(frame: FrameMove) -> Self {
        [frame.from, frame.to, frame.shift]
    }
}

/// `damaged`: a content's bytes are lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Damaged {
    /// The content.
    pub id: ContentId,
    /// The segment it stood in.
    pub segment: String,
    /// What was found.
    pub reason: String,
}

/// `forgotten`: a content that was erased on a person's request. Its placements stay as history; it
/// is not stored again, wherever it turns up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forgotten {
    /// The content.
    pub id: ContentId,
    /// Why, in the words of whoever asked for it.
    pub reason: String,
}

/// The first line of a contents frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename = "contents")]
pub struct ContentsHead {
    /// The archive's id. Nobody who sends mail knows it, so bytes of a message that look like
    /// a pair are told from a pair of this archive also where nothing but the segment is left.
    pub archive: String,
    /// The account's name.
    pub account: String,
    /// The mailbox's decoded name.
    pub mailbox: String,
    /// The mailbox's wire name.
    pub wire: String,
    /// Its hierarchy separator.
    #[serde(rename = "sep", default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Length of the data frame on disk, in bytes.
    pub data: u64,
    /// Length of its text, in bytes.
    pub text: u64,
}

/// One message of a contents frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContentsLine {
    /// The content.
    #[serde(rename = "c")]
    pub id: ContentId,
    /// Bytes on the wire.
    pub len: u64,
    /// How its line ends are kept.
    pub eol: LineEnds,
    /// Where it begins in the text.
    pub pos: u64,
    /// Bytes of text it takes.
    pub size: u64,
    /// INTERNALDATE where it was first seen.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub date: Option<InternalDate>,
    /// Remote id where it was first seen.
    #[serde(flatten)]
    pub remote: RemoteId,
    /// Flags where it was first seen.
    #[serde(rename = "f", default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_under_the_name_it_is_written_with() {
        let records = [
            Record::Gone(Departure {
                mailbox: MailboxId(1),
                uidvalidity: 2,
                uids: UidSet::new(),
            }),
            Record::Seal(Seal {
                segment: "a".into(),
                len: 1,
            }),
            Record::Damaged(Damaged {
                id: ContentId::of(b""),
                segment: String::new(),
                reason: String::new(),
            }),
            Record::Forgotten(Forgotten {
                id: ContentId::of(b""),
                reason: String::new(),
            }),
            Record::Repacked(Repacked {
                segment: "a".into(),
                left: 0,
                into: Some("b".into()),
                frames: vec![[1, 2, 3].into()],
            }),
        ];
        for record in records {
            let value = serde_json::to_value(&record).unwrap();
            assert_eq!(value["k"], record.kind().0);
            assert!(Record::KINDS.contains(&record.kind().0));
            assert_eq!(
                serde_json::from_value::<Record>(value.clone()).unwrap(),
                record
            );
            if let Record::Repacked(_) = record {
                assert_eq!(value["frames"].to_string(), "[[1,2,3]]");
            }
        }
    }
}
