//! The one log type: hash-chained zstd frames of JSON Lines, appended and synced whole.
//!
//! The journal is one; replay ledgers are others. What can be wrong with one is decided
//! here and nowhere else:
//! * a *torn tail* is an unreadable frame in the last file with no readable frame behind
//!   it: a commit that never happened;
//! * anything else unreadable, out of order or out of chain is *damage*.
//!
//! Nothing here repairs: the caller decides what to do with a torn tail, and damage is
//! only reported.

mod reader;
mod salvage;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::format::{FrameHead, Record};

pub use reader::LogReader;
pub use salvage::frame_behind;
pub(crate) use salvage::salvage_frame;
pub use writer::LogWriter;

/// Most bytes of text a frame may hold; a commit is a small part of it.
const FRAME_TEXT_MAX: u64 = 512 << 20;

/// What can be written to a frame log.
pub trait LogRecord: Serialize + DeserializeOwned {
    /// All kinds this program knows.
    const KINDS: &'static [&'static str];
    /// The record's kind, and whether it is critical.
    fn kind(&self) -> (&'static str, bool);
}

impl LogRecord for Record {
    const KINDS: &'static [&'static str] = &Record::KINDS;
    fn kind(&self) -> (&'static str, bool) {
        Record::kind(self)
    }
}

/// A place between two frames of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPosition {
    /// The file's number, from 1.
    pub file: u32,
    /// Bytes into it.
    pub offset: u64,
    /// BLAKE3 of the frame that ends here; zeros at the beginning.
    pub hash: [u8; 32],
    /// Number of the commit that ends here; 0 at the beginning.
    pub commit: u64,
}

impl LogPosition {
    /// Before the first frame.
    pub const START: Self = Self {
        file: 1,
        offset: 0,
        hash: [0; 32],
        commit: 0,
    };
}

/// One frame, read and checked against the chain.
#[derive(Debug)]
pub struct Frame<R> {
    /// Its first line.
    pub head: FrameHead,
    /// Its records, in order.
    pub records: Vec<R>,
    /// Kinds in it that this program does not know and that forbid it to write.
    pub unknown_critical: Vec<String>,
    /// Where it ends.
    pub end: LogPosition,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system failed.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Writing or syncing failed; nothing of this commit counts.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The end of the last file lies inside a frame.
    #[error("`{}` ends inside a frame at byte {offset}", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// Where the torn frame begins.
        offset: u64,
    },
    /// Something that no crash of ours leaves behind.
    #[error("`{}` is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What was found.
        reason: String,
    },
}

/// The path of a log's n-th file.
#[must_use]
pub fn log_file(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}.jsonl.zst"))
}

/// Number and length of the last file of a log; `None` when there is none.
///
/// # Errors
/// Whatever the system says of the folder.
pub fn last_file(dir: &Path) -> io::Result<Option<(u32, u64)>> {
    let mut last = None;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_suffix(".jsonl.zst"))
            .and_then(|n| n.parse::<u32>().ok());
        if let Some(number) = number.filter(|n| last.is_none_or(|(m, _)| *n > m)) {
            last = Some((number, entry.metadata()?.len()));
        }
    }
    Ok(last)
}
