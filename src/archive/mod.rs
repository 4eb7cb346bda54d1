//! The archive on disk: journal, segments, and how to read both.
//!
//! This module knows files and the format ([`mod@format`] is its definition), but no network,
//! no catalog and no policy. Opening an archive as a whole, with its catalog, is
//! [`crate::store`]'s business.

mod dir;
pub mod format;
mod frame_log;
pub mod ledger;
pub mod mboxrd;
mod names;
mod pack;
mod reader;
mod rewrite;
mod segment;
mod writer;
mod zstd_frame;

pub use dir::{ArchiveDir, DirError};
pub(crate) use frame_log::salvage_frame;
pub use frame_log::{
    Frame, LogError, LogPosition, LogReader, LogRecord, LogWriter, frame_behind, last_file,
    log_file,
};
pub use names::folder_for;
pub(crate) use reader::Start;
pub use reader::{MailReader, ReadError};
pub use rewrite::{Rewrite, RewriteError, Rewritten, rewrite};
pub use segment::{Checked, Pair, PairError, SegmentReader, Take, pair_behind};
pub use writer::{Body, LastSegment, MailWriter, NewContent, WriteError};
pub use zstd_frame::{Effort, Level};
