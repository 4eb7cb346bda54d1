//! IMAP: sessions that look and never touch, and a type of their own for those that write.
//!
//! Bytes and facts, never policy: which mailboxes matter, how deep to pipeline and when to
//! try again is decided above. A [`Session`] opens mailboxes by EXAMINE and reads them by
//! BODY.PEEK[]; it has no command that asks a server for a change. Only a [`TargetSession`]
//! has such commands, and whoever reads a source never holds one.
//!
//! Every future of a session that is dropped before its end leaves the session between
//! two answers: drop the session with it and connect again.

mod capabilities;
mod changes;
mod command;
mod date;
mod error;
mod fetch;
mod list;
mod listing;
mod quirks;
mod reply;
mod select;
mod session;
mod signin;
mod target;
mod uid_code;
pub mod utf7;
mod wire;
mod wire_filter;

#[cfg(test)]
mod tests;

pub use capabilities::Capabilities;
pub use changes::Changes;
pub use error::ImapError;
pub use fetch::BodyEvent;
pub use list::ListedMailbox;
pub use quirks::{Quirks, Vendor};
pub use reply::{Tagged, TaggedStatus};
pub use select::Examined;
pub use session::Session;
pub use target::{
    Append, AppendBody, AppendReply, AppendUid, Appending, Created, Literals, Namespace,
    PermanentFlags, Quota, Selected, Sent, StoreFlags, TargetSession, renders,
};
