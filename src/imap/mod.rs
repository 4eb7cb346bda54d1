//! IMAP as a source: sessions that look and never touch.
//!
//! Bytes and facts, never policy: which mailboxes matter, how deep to pipeline and when to
//! try again is decided above. Mailboxes are opened by EXAMINE and read by BODY.PEEK[];
//! there is no command here that asks a server for a change.
//!
//! Every future of a [`Session`] that is dropped before its end leaves the session between
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
pub use quirks::Quirks;
pub use reply::{Tagged, TaggedStatus};
pub use select::Examined;
pub use session::Session;
