//! What may be wrong with a target.

use std::time::Duration;

/// What becomes of one APPEND command. A literal that does not wait is under way when its head
/// is answered; every fault but [`Fault::Bad`] and [`Fault::Cut`] comes once all literals of the
/// command were read, so that the client can't tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Stored, and the connection closed without an answer.
    LoseReply,
    /// The connection is closed without an answer, and the message stored so much later.
    ///
    /// QUIRK(Dovecot, 2.3.19): stores what it had read seconds after the client was cut off.
    StoreLate(Duration),
    /// The connection is closed without an answer; never stored.
    LoseBefore,
    /// `NO` and these words; not stored.
    No(String),
    /// `BAD` and these words to the head; a literal that did not wait is run as commands.
    Bad(String),
    /// Stored, then `* BYE` and these words instead of the answer, and closed.
    Bye(String),
    /// `* BYE` and these words, and closed; never stored.
    ByeBefore(String),
    /// Closed after so many bytes of the command's literals, counted together; never stored.
    /// Where they have fewer bytes nothing happens.
    Cut(usize),
    /// Never answered, never closed, never stored.
    StallForever,
}

/// What the OK to an APPEND tells of UIDs (RFC 4315), where UIDPLUS is announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppendUid {
    #[default]
    Usual,
    /// Nothing, though UIDPLUS is announced.
    Absent,
    /// UIDs first, then UIDVALIDITY.
    Swapped,
    /// The last UID is left out; nothing at all for a single message.
    Short,
    /// A UIDVALIDITY the mailbox does not have.
    WrongValidity,
}

/// How flags that PERMANENTFLAGS does not allow are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseKeywords {
    /// BAD to the head; a literal that did not wait is run as commands.
    Bad,
    No,
}

/// What is wrong with a message: the tagged answer, such as `NO [CANNOT] a virus`.
pub type RefuseBody = Box<dyn Fn(&[u8]) -> Option<String> + Send>;
