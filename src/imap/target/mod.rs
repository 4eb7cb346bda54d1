//! The write side: a session with a server that mail is brought to.
//!
//! What it is made of:
//!
//! * [`TargetSession`] owns a [`Session`](super::Session) and lends it out for looking.
//! * A message goes out by APPEND. Its head is rendered by us alone (`head`, pure), because a
//!   server that does not understand a head goes on to execute the message as commands; and
//!   sent, with or without waiting for the server's consent, in large writes (`send`).
//! * Replies may be outstanding while more is sent. They are told apart by their tags and given
//!   in the order of what was sent.
//! * NAMESPACE and QUOTA, which the parser cannot read, are read here from the raw line.

mod append;
mod head;
mod mailbox;
mod namespace;
mod quota;
mod send;
mod session;
mod store;
mod tokens;

#[cfg(test)]
mod tests;

pub use append::{Append, AppendBody, AppendReply, AppendUid, Appending, Literals, Sent, renders};
pub use mailbox::{Created, PermanentFlags, Selected};
pub use namespace::Namespace;
pub use quota::Quota;
pub use session::TargetSession;
pub use store::StoreFlags;
