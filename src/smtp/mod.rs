//! SMTP and LMTP as a target: one message at a time, its bytes unchanged, at most once.
//!
//! ```text
//! lettre ─► Stream ─► Transport      EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, dot-stuffing
//!             └─────► Reply          codes and the server's own words, read here
//! ```
//!
//! Bytes and facts, never policy: what is sent, how fast, and what is done about a refusal is
//! decided above. lettre speaks; what the server answers is read by our [`stream`], which also
//! knows whether the final dot of a message may have left. On that hangs everything here: an
//! error before it means that nothing was delivered, one after it that nobody can tell
//! ([`SmtpError::may_be_delivered`]). LMTP (RFC 2033) differs by its first word only, since a
//! message has one recipient here and so one reply.

mod address;
mod body;
mod error;
mod extensions;
mod refusal;
mod reply;
mod send;
mod session;
mod sign_in;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

pub use body::SmtpBody;
pub use error::SmtpError;
pub use extensions::Extensions;
pub use send::{SendReply, Stage};
pub use session::SmtpSession;
