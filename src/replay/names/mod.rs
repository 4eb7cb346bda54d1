//! Which mailbox of the target each archived mailbox goes to. Pure.
//!
//! [`map_names`] asks, in this order: the user (`--map`, `--map-regex`), an earlier run, INBOX, the
//! special use, the name. A name two mailboxes come to by rule is the first one's; the other gets
//! `~2`. Where the user sends two to one name, both go there.

mod assign;
mod books;
mod by_use;
mod special;
mod wire;

use regex::Regex;

use crate::model::MailboxId;

pub use assign::map_names;
pub(super) use special::virtual_use;

/// A mailbox of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceName {
    /// Its number.
    pub id: MailboxId,
    /// The decoded name with `/` between levels, and U+2215 for a slash within one.
    pub name: String,
    /// Special use (RFC 6154), such as `\Sent`.
    pub special_use: Option<String>,
    /// The wire name on the target that an earlier run used for it.
    pub recorded: Option<String>,
}

/// A name the target lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetName {
    /// The name as the server wrote it.
    pub wire: String,
    /// The decoded name with `/` between levels, and U+2215 for a slash within one.
    pub name: String,
    /// Special use (RFC 6154), such as `\Sent`.
    pub special_use: Option<String>,
    /// Whether it can be opened.
    pub selectable: bool,
}

/// What the target's names are like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetSpace {
    /// What separates the levels of a name; `None` for a flat name space.
    pub separator: Option<char>,
    /// The prefix of the personal name space (RFC 2342), as the server wrote it: `INBOX.`, or empty.
    pub prefix: String,
    /// All names it lists.
    pub mailboxes: Vec<TargetName>,
}

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Old and new name, decoded with `/` between levels; the old one whole.
    pub map: Vec<(String, String)>,
    /// What to look for in a name, and what to put in its place (`$1`, as [`Regex::replace_all`]
    /// reads it); the first that matches counts.
    pub map_regex: Vec<(Regex, String)>,
    /// Everything goes below this name (decoded, with `/`), INBOX and mapped names too. Then no
    /// special use is mapped.
    pub into: Option<String>,
    /// Mailboxes that only show what lies elsewhere are not left out, and keep their names.
    pub virtual_too: bool,
    /// No mailbox of all mail was archived (Gmail can hide it from IMAP): what other views show
    /// may lie nowhere else, and goes to [`Mapping::leftovers`] too.
    pub views_alone: bool,
}

/// Where the messages of a mailbox go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To a mailbox of the target.
    Mailbox {
        /// The name for commands, in modified UTF-7.
        wire: String,
        /// The name for people, with `/` between levels.
        name: String,
        /// It is there and can be opened; else it is to be created.
        exists: bool,
        /// The special use to ask for at CREATE (RFC 6154), where the server can.
        special_use: Option<String>,
        /// In what it differs from the name in the archive, and why.
        notes: Vec<String>,
    },
    /// Nowhere: it shows what lies in other mailboxes (all mail, starred, important).
    Virtual {
        /// It may show what lies in no mailbox that is replayed: that goes to
        /// [`Mapping::leftovers`].
        leftovers: bool,
    },
    /// Nowhere, for this reason: the target can have no such mailbox.
    Refused(String),
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// One destination for each mailbox, in the order they were given.
    pub mailboxes: Vec<(MailboxId, Destination)>,
    /// Where the messages go that only a mailbox of all mail has: the archive mailbox, which may
    /// be another mailbox's destination too. There if such a view is left out.
    pub leftovers: Option<Destination>,
}

#[cfg(test)]
mod tests;
