//! What is appended, and what becomes of it.

use std::sync::Arc;

use crate::imap::date;
use crate::imap::reply::Tagged;
use crate::model::{Flags, InternalDate};
use crate::spool::SpooledBody;

/// One APPEND: one message (RFC 3501 §6.3.11), or several that are stored together or not at
/// all (MULTIAPPEND, RFC 3502).
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// The wire name of the mailbox. It should have been seen to exist.
    pub mailbox: &'a str,
    /// The messages, at least one; several only where the server announces MULTIAPPEND.
    pub messages: &'a [Appending],
    /// Whether the server is to agree to each message before its bytes go out, whatever it
    /// announces. Costs a round trip each.
    pub synchronising: bool,
}

/// A message to be appended.
#[derive(Clone, Debug)]
pub struct Appending {
    /// Its flags: the five of RFC 3501 and keywords. Any other is an error.
    pub flags: Flags,
    /// Its INTERNALDATE, which must be one that [`renders`]. Without it the server takes the
    /// time of arrival.
    pub date: Option<InternalDate>,
    /// Its bytes, at least one and fewer than 2³².
    pub body: AppendBody,
}

/// The bytes of a message to be appended.
#[derive(Clone, Debug)]
pub enum AppendBody {
    /// Held in memory.
    Memory(Arc<Vec<u8>>),
    /// Held in a file, from which it is sent piece by piece.
    Spooled(Arc<SpooledBody>),
}

impl AppendBody {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled(body) => body.len(),
        }
    }

    /// Whether it has no byte at all. Such a message cannot be appended: an empty literal calls
    /// the whole command off (RFC 3502 §6.3.11).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether APPEND can say a date: years 1 to 9999 in its own zone, and a zone of less than a day.
///
/// QUIRK(Dovecot, 2.3.19): it takes a date before 1970 in its own zone for 2038-01-19T03:14:08Z,
/// and one in the future for the time of arrival.
#[must_use]
pub fn renders(date: InternalDate) -> bool {
    date::render(date).is_some()
}

/// How literals may go out (RFC 7888).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Literals {
    /// LITERAL+: all of them at once.
    Plus,
    /// LITERAL-: those of up to 4096 bytes at once.
    Minus,
    /// Each waits for the server's consent.
    Synchronising,
}

/// How far an APPEND got.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Sent {
    /// All of it went out, and its reply is outstanding.
    Outstanding,
    /// The server answered NO or BAD where it should have said `+`. Nothing is stored, no byte
    /// of the message it refused went out (of several, those in front of it did), and no reply
    /// is outstanding. The session is as good as before.
    Refused(Tagged),
}

/// How an APPEND ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum AppendReply {
    /// OK: all its messages are stored, with the UIDs the server tells.
    Stored(Option<AppendUid>),
    /// NO: none is stored.
    Refused(Tagged),
    /// BAD: the server may have taken a message for commands. Nothing it says from here on can
    /// be believed, so nothing more is sent or read: drop the session, and find out by another
    /// one what is stored.
    Misunderstood(Tagged),
}

/// Where messages are now (UIDPLUS, RFC 4315).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendUid {
    /// UIDVALIDITY of the mailbox.
    pub uidvalidity: u32,
    /// Their UIDs in the order they were sent, at most 4096, none of them 0. As the server
    /// says, so there may be more or fewer than messages.
    pub uids: Vec<u32>,
}
