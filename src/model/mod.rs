//! Nouns without I/O: what the rest of the crate talks about.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here imports another
//! module of the crate. The words are those of the architecture document in [`crate`].

mod content_id;
mod date;
mod flags;
mod job;
mod listing;
mod mailbox;
mod maildrop;
mod placement;
mod uid_set;

pub use content_id::{ContentId, ParseContentIdError};
pub use date::InternalDate;
pub use flags::{FlagSetId, FlagTable, Flags};
pub use job::{
    Job, JobMailbox, JobState, PopMessages, PopSelection, PopSpam, RunReport, Selection, Tally,
};
pub use listing::{Held, Listed, Listing};
pub use mailbox::{Account, AccountId, Checkpoint, Mailbox, MailboxId, MailboxStatus};
pub use maildrop::{Judged, Maildrop, Removed, Renamed, Verdict, shared_uidl, split_uidl};
pub use placement::{Evidence, LineEnds, Location, Placement, RemoteId, Skip, StoredContent};
pub use uid_set::UidSet;
