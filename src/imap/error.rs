//! What can go wrong in an IMAP session, how much it costs, and whether to try again.

use std::io;
use std::time::Duration;

use super::reply::{Tagged, TaggedStatus};
use super::wire_filter::WireError;
use crate::net::{Disposition, NetError, Scope, is_capacity, suggested_backoff};
use crate::spool::SpoolError;

/// An IMAP operation that failed.
///
/// `words` are the server's own, raw and up to a kibibyte; escape them before they reach a
/// terminal. No variant ever holds a secret, also where a server repeats the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImapError {
    /// The connection could not be made.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The connection broke, ended or stalled.
    #[error("the connection failed")]
    Io {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A large message could not be written to the local spool, or not be read from it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The server refused the user name or password.
    #[error("the server refused to sign in: {words}")]
    SignInRefused {
        /// The server's words.
        words: String,
    },
    /// The server has no room for this session now.
    #[error("the server has no capacity: {words}")]
    Capacity {
        /// The server's words.
        words: String,
    },
    /// STARTTLS is needed and not offered.
    #[error("the server does not offer STARTTLS")]
    StartTlsUnavailable,
    /// STARTTLS is needed and was refused.
    #[error("the server refused STARTTLS: {words}")]
    StartTlsRefused {
        /// The server's words.
        words: String,
    },
    /// The server greets with PREAUTH, which would skip STARTTLS (RFC 3501 §7.1.4).
    #[error("the server skips sign-in and with it STARTTLS (PREAUTH greeting)")]
    Preauth,
    /// Something came in plain text that would have been taken for a protected answer.
    #[error("the server sent data ahead of the TLS handshake; somebody may be tampering")]
    ResponseInjection,
    /// The server forbids sign-in on this connection (RFC 3501 LOGINDISABLED).
    #[error("the server forbids sign-in with a password on this connection")]
    LoginDisabled,
    /// Somebody else is to be acted for, which only AUTH=PLAIN can say (RFC 4616).
    #[error("the server offers no sign-in that can act for another user (AUTH=PLAIN)")]
    NoAuthzid,
    /// The first line is no IMAP greeting.
    #[error("the server does not speak IMAP on this port: {line}")]
    NotImap {
        /// The first line, at most 300 characters.
        line: String,
    },
    /// The server refused a command.
    #[error("the server refused {command}: {words}")]
    No {
        /// The command's name.
        command: &'static str,
        /// What stood in brackets.
        code: Option<String>,
        /// The server's words.
        words: String,
    },
    /// The mailbox does not exist (any more).
    #[error("the mailbox is gone: {words}")]
    MailboxGone {
        /// The server's words.
        words: String,
    },
    /// The server did not understand a command.
    #[error("the server did not understand {command}: {words}")]
    Bad {
        /// The command's name.
        command: &'static str,
        /// The server's words.
        words: String,
    },
    /// The server ended the session.
    #[error("the server ended the session: {words}")]
    Bye {
        /// The server's words.
        words: String,
    },
    /// An answer cannot be read. The session is of no further use.
    #[error("cannot read the server's answer `{detail}`")]
    Parse {
        /// How the answer begins, at most 300 characters.
        detail: String,
    },
    /// A literal is larger than allowed, or its length is no number.
    #[error("the server announced a literal of `{announced}` bytes, more than the {limit} allowed")]
    LiteralTooLarge {
        /// The length as the server wrote it, at most 40 characters.
        announced: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The lines of one answer have no end.
    #[error("the server sent an answer of more than 16 MiB without a message in it")]
    AnswerTooLarge,
    /// A command would be longer than any server accepts.
    #[error("a command of {length} bytes is too long to be sent")]
    CommandTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A message or a name cannot be put into a command. Nothing of it was sent.
    #[error("cannot send {what} to an IMAP server")]
    Unsendable {
        /// What is in the way, raw; escape it before it reaches a terminal.
        what: String,
    },
}

/// A lost connection: the engine's back-off grows from here.
const RECONNECT: Duration = Duration::from_secs(2);
/// A server that is busy is given more time than one that was lost.
const BUSY: Duration = Duration::from_secs(60);

impl ImapError {
    /// How much is lost, and whether to try again.
    #[must_use]
    pub fn disposition(&self) -> (Scope, Disposition) {
        use Disposition::{Abort, RetryAfter, RetryNow, Skip};
        match self {
            Self::Spool { .. } => (Scope::Run, Abort),
            Self::Net(error) if error.is_transient() => (Scope::Account, RetryAfter(RECONNECT)),
            Self::Io { .. } => (Scope::Account, RetryAfter(RECONNECT)),
            Self::Capacity { words } | Self::Bye { words } => {
                (Scope::Account, RetryAfter(wait_for(words)))
            }
            Self::No { words, .. } if is_capacity(words) => {
                (Scope::Account, RetryAfter(wait_for(words)))
            }
            Self::No { command, .. } | Self::Bad { command, .. } => match *command {
                FETCH | STORE | MOVE => (Scope::Message, Skip),
                EXAMINE | SELECT | CREATE | SUBSCRIBE => (Scope::Mailbox, Skip),
                _ => (Scope::Account, Abort),
            },
            Self::MailboxGone { .. } => (Scope::Mailbox, Skip),
            Self::Parse { .. } => (Scope::Message, RetryNow),
            Self::LiteralTooLarge { .. } | Self::AnswerTooLarge | Self::Unsendable { .. } => {
                (Scope::Message, Skip)
            }
            Self::CommandTooLong { .. } => (Scope::Mailbox, Skip),
            // Sign-in is never retried: a second refusal is how accounts get locked.
            Self::SignInRefused { .. }
            | Self::Net(_)
            | Self::StartTlsUnavailable
            | Self::StartTlsRefused { .. }
            | Self::Preauth
            | Self::ResponseInjection
            | Self::LoginDisabled
            | Self::NoAuthzid
            | Self::NotImap { .. } => (Scope::Account, Abort),
        }
    }

    /// The error of a command that did not end in OK.
    pub(super) fn of_reply(command: &'static str, reply: Tagged) -> Self {
        if reply.status == TaggedStatus::Bad {
            let words = reply.words;
            return Self::Bad { command, words };
        }
        if reply.has_code("NONEXISTENT") {
            return Self::MailboxGone { words: reply.words };
        }
        Self::No {
            command,
            code: reply.code,
            words: reply.words,
        }
    }

    /// The error behind a failed read or write; `line` is how the answer began.
    pub(super) fn of_io(error: io::Error, line: &[u8]) -> Self {
        if error.kind() != io::ErrorKind::Other {
            return Self::Io { source: error };
        }
        match error
            .into_inner()
            .map(|inner| inner.downcast::<WireError>())
        {
            Some(Ok(wire)) => Self::of_wire(*wire, line),
            // QUIRK(async-imap 0.12): a parse error is an `Other` whose text repeats the
            // whole buffer, twice. Its beginning is enough for a report.
            Some(Err(_)) | None => Self::Parse {
                detail: excerpt(line),
            },
        }
    }

    fn of_wire(error: WireError, line: &[u8]) -> Self {
        match error {
            WireError::Spool(error) => Self::Spool(error),
            WireError::Literal { announced, limit } => Self::LiteralTooLarge { announced, limit },
            WireError::AnswerTooLarge => Self::AnswerTooLarge,
            WireError::Malformed => Self::Parse {
                detail: excerpt(line),
            },
        }
    }
}

pub(super) const EXAMINE: &str = "EXAMINE";
pub(super) const FETCH: &str = "UID FETCH";
pub(super) const APPEND: &str = "APPEND";
pub(super) const SELECT: &str = "SELECT";
pub(super) const CREATE: &str = "CREATE";
pub(super) const SUBSCRIBE: &str = "SUBSCRIBE";
pub(super) const STORE: &str = "UID STORE";
pub(super) const MOVE: &str = "UID MOVE";

fn wait_for(words: &str) -> Duration {
    match suggested_backoff(words) {
        Some(wait) => wait,
        None if is_capacity(words) => BUSY,
        None => RECONNECT,
    }
}

pub(super) fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_how_much_is_lost_and_what_to_do() {
        use Disposition::{Abort, RetryAfter, RetryNow, Skip};
        let words = || "no".to_owned();
        let no = |command, words: &str| ImapError::No {
            command,
            code: None,
            words: words.to_owned(),
        };
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let backoff = "throttled. Suggested Backoff Time: 5000 milliseconds";
        let table = [
            (
                ImapError::SignInRefused { words: words() },
                Scope::Account,
                Abort,
            ),
            (
                ImapError::Capacity { words: words() },
                Scope::Account,
                RetryAfter(RECONNECT),
            ),
            (
                ImapError::Bye {
                    words: backoff.into(),
                },
                Scope::Account,
                RetryAfter(Duration::from_secs(5)),
            ),
            (
                ImapError::Bye {
                    words: "Too many".into(),
                },
                Scope::Account,
                RetryAfter(BUSY),
            ),
            (
                ImapError::Io { source: broken() },
                Scope::Account,
                RetryAfter(RECONNECT),
            ),
            (
                ImapError::from(SpoolError {
                    path: None,
                    source: broken(),
                }),
                Scope::Run,
                Abort,
            ),
            (
                ImapError::Parse { detail: words() },
                Scope::Message,
                RetryNow,
            ),
            (no(FETCH, "cannot read"), Scope::Message, Skip),
            (
                no(FETCH, "[UNAVAILABLE] later"),
                Scope::Account,
                RetryAfter(BUSY),
            ),
            (no(EXAMINE, "denied"), Scope::Mailbox, Skip),
            (no(SELECT, "denied"), Scope::Mailbox, Skip),
            (no(CREATE, "denied"), Scope::Mailbox, Skip),
            (no(SUBSCRIBE, "denied"), Scope::Mailbox, Skip),
            (no(STORE, "denied"), Scope::Message, Skip),
            (no(MOVE, "denied"), Scope::Message, Skip),
            (
                no(CREATE, "[UNAVAILABLE] later"),
                Scope::Account,
                RetryAfter(BUSY),
            ),
            (
                ImapError::Unsendable { what: words() },
                Scope::Message,
                Skip,
            ),
            (ImapError::NoAuthzid, Scope::Account, Abort),
            (no("LIST", "denied"), Scope::Account, Abort),
            (
                ImapError::MailboxGone { words: words() },
                Scope::Mailbox,
                Skip,
            ),
            (ImapError::ResponseInjection, Scope::Account, Abort),
        ];
        for (error, scope, disposition) in table {
            assert_eq!(error.disposition(), (scope, disposition), "{error}");
        }
    }

    #[test]
    fn a_parse_error_is_short_and_an_io_error_keeps_its_kind() {
        let long = "x".repeat(10_000);
        let error = ImapError::of_io(io::Error::other(long.clone()), long.as_bytes());
        assert!(matches!(error, ImapError::Parse { detail } if detail.len() == 300));
        let error = ImapError::of_io(io::ErrorKind::TimedOut.into(), b"");
        assert!(
            matches!(error, ImapError::Io { source } if source.kind() == io::ErrorKind::TimedOut)
        );
    }
}
