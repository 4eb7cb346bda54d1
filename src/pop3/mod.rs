//! POP3 as a source: sessions that list and fetch, and delete only when told to.
//!
//! ```text
//! Transport ─► Wire ─► SignInStream ─► async-pop        greeting, CAPA, AUTH, USER, PASS
//!                └───► lines, dot-unstuffed bodies       LIST, UIDL, TOP, RETR, DELE, QUIT
//! ```
//!
//! Bytes and facts, never policy: which messages matter, how many commands are outstanding
//! and when to try again is decided above. async-pop signs in and does nothing else: it
//! does not undo dot-stuffing, drops the last line end and holds whole answers in memory.
//!
//! Answers come in the order of the commands, and every message has one number for the
//! whole session (RFC 1939 §4), so an answer belongs to the command that was sent first of
//! those outstanding. An error ends the session: drop it and connect again, and go by
//! unique-id, since the numbers of a new session are new.

mod body;
mod capabilities;
mod dot_stuffing;
mod error;
mod listing;
mod refusal;
mod session;
mod sign_in;
mod sign_in_stream;
mod status;
mod transfer;
mod unique_id;
mod wire;

#[cfg(test)]
mod tests;

pub use capabilities::Capabilities;
pub use error::Pop3Error;
pub use listing::{Listing, Offered};
pub use session::Session;
pub use transfer::{Answer, Ask, Outcome};
