//! What enumeration finds out.

use super::plan::Plan;
use crate::archive::format::{Departure, Doubted};
use crate::model::{Checkpoint, ContentId, FlagTable, Listed, MailboxId, MailboxStatus, UidSet};
use crate::source::SeenMailbox;

/// What enumeration found out about one mailbox.
#[derive(Debug)]
pub(super) struct Enumerated {
    /// Its number in the archive, once it has one.
    pub(super) id: Option<MailboxId>,
    /// The mailbox as it is seen now.
    pub(super) seen: SeenMailbox,
    /// What it was called before, where it was recognised under another name.
    pub(super) renamed_from: Option<String>,
    /// How it looks.
    pub(super) outcome: Outcome,
}

/// How a mailbox looks.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing can have changed since its checkpoint; it was not examined.
    Unchanged {
        /// That checkpoint.
        checkpoint: Checkpoint,
    },
    /// Examined, listed and planned.
    Planned(Box<Planned>),
    /// Gone between LIST and EXAMINE, or the server refused to open it.
    Failed {
        /// Messages in it as far as anybody knows.
        exists: u32,
        /// The server's words.
        reason: String,
        /// It does not exist any more, which is no loss.
        vanished: bool,
    },
}

/// A planned mailbox.
#[derive(Debug)]
pub(super) struct Planned {
    /// What is to be done.
    pub(super) plan: Plan,
    /// Messages that are held under another remote id and need no fetching, with their contents.
    pub(super) healed: Vec<(Listed, ContentId)>,
    /// Messages that are missing, which is not believed yet.
    pub(super) doubtful: UidSet,
    /// EXISTS.
    pub(super) exists: u32,
    /// UIDVALIDITY, 0 where there is none.
    pub(super) uidvalidity: u32,
    /// The numbers a checkpoint would hold.
    pub(super) status: MailboxStatus,
    /// When it was last listed in full, in Unix seconds.
    pub(super) listed_at: Option<i64>,
    /// Only what the server says has changed was looked at.
    pub(super) by_changes: bool,
    /// The flag sets the plan refers to.
    pub(super) flags: FlagTable,
    /// UIDs whose place in the listing nobody can read, with how the answer begins.
    pub(super) unreadable: Vec<(u32, String)>,
    /// The checkpoint there was.
    pub(super) previous: Option<Checkpoint>,
    /// There are skips, which a checkpoint would settle.
    pub(super) open_skips: bool,
    /// How many messages without a name were accepted as lost, where all were listed.
    pub(super) accepted_nameless: u32,
    /// An interrupted job goes on here without the mailbox being listed again.
    pub(super) goes_on: bool,
}

/// An account as it was found.
#[derive(Debug, Default)]
pub(super) struct Enumeration {
    /// The selected mailboxes the server lists.
    pub(super) mailboxes: Vec<Enumerated>,
    /// Selected mailboxes that hold mail and that it does not list, by name.
    pub(super) unlisted: Vec<String>,
    /// Messages of those that are gone.
    pub(super) departed: Vec<Departure>,
    /// What is missing and not believed: the next run's to confirm. `None` where that is what
    /// stands in the archive already.
    pub(super) doubts: Option<Vec<Doubted>>,
    /// What a person should know of what is missing.
    pub(super) warnings: Vec<String>,
}

impl Enumeration {
    /// Whether a mailbox was looked at, or could be left alone.
    pub(super) fn has_looked_at(&self, id: MailboxId) -> bool {
        let seen =
            |e: &Enumerated| e.id == Some(id) && !matches!(e.outcome, Outcome::Failed { .. });
        self.mailboxes.iter().any(seen)
    }
}
