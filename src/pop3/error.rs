//! What can go wrong in a POP3 session, how much it costs, and whether to try again.

use std::io;
use std::time::Duration;

use super::refusal::{RECONNECT, is_busy, is_permanent, wait_for};
use crate::net::{Disposition, NetError, Scope};
use crate::spool::SpoolError;

/// A POP3 operation that failed. The session it came from is of no further use.
///
/// `words` are the server's own, raw and up to a kibibyte; escape them before they reach a
/// terminal. No variant ever holds a secret, also where a server repeats the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pop3Error {
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
    /// A large message could not be written to the local spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The server refused the user name or password.
    #[error("the server refused to sign in: {words}")]
    SignInRefused {
        /// The server's words.
        words: String,
    },
    /// The server has no room for this session now, or another one holds the maildrop.
    #[error("the server has no capacity: {words}")]
    Capacity {
        /// The server's words.
        words: String,
        /// How long to stay away, at most a day.
        wait: Duration,
    },
    /// The user name or the password holds a line end or a NUL.
    #[error("the user name or the password holds a character that POP3 cannot carry")]
    Unsendable,
    /// Somebody else is to be acted for, which only AUTH PLAIN can say (RFC 4616).
    #[error("the server offers no sign-in that can act for another user (AUTH PLAIN)")]
    NoAuthzid,
    /// STLS is needed and not offered.
    #[error("the server does not offer STLS")]
    StartTlsUnavailable,
    /// STLS is needed and was refused.
    #[error("the server refused STLS: {words}")]
    StartTlsRefused {
        /// The server's words.
        words: String,
    },
    /// Something came in plain text that would have been taken for a protected answer.
    #[error("the server sent data ahead of the TLS handshake; somebody may be tampering")]
    ResponseInjection,
    /// The first line is no POP3 greeting.
    #[error("the server does not speak POP3 on this port: {line}")]
    NotPop3 {
        /// The first line, at most 300 characters.
        line: String,
    },
    /// The server greeted with `-ERR`.
    #[error("the server turned us away: {words}")]
    TurnedAway {
        /// The server's words.
        words: String,
    },
    /// The server refused a command.
    #[error("the server refused {command}: {words}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The server's words.
        words: String,
    },
    /// An answer is neither `+OK` nor `-ERR`.
    #[error("cannot read the server's answer `{line}` to {command}")]
    Parse {
        /// The command's name.
        command: &'static str,
        /// How the answer begins, at most 300 characters.
        line: String,
    },
    /// A line has no end.
    #[error("the server sent a line of more than {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The lines of one answer have no end.
    #[error("the server's answer to {command} is longer than any maildrop needs")]
    AnswerTooLarge {
        /// The command's name.
        command: &'static str,
    },
    /// A message is larger than allowed.
    #[error("message {number} is larger than the {limit} bytes allowed")]
    MessageTooLarge {
        /// Its number in this session.
        number: u32,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server refuses UIDL (RFC 1939 §7).
    #[error("the server has no UIDL, by which messages are told apart")]
    NoUidl,
    /// Something was to be done for which no answer may be outstanding.
    #[error("there are commands without an answer")]
    AnswersOutstanding,
}

impl Pop3Error {
    /// How much is lost, and whether to try again.
    #[must_use]
    pub fn disposition(&self) -> (Scope, Disposition) {
        use Disposition::{Abort, RetryAfter, RetryNow, Skip};
        match self {
            Self::Spool(_) | Self::AnswersOutstanding => (Scope::Run, Abort),
            Self::Net(error) if error.is_transient() => (Scope::Account, RetryAfter(RECONNECT)),
            Self::Io { .. } | Self::LineTooLong { .. } => (Scope::Account, RetryAfter(RECONNECT)),
            Self::Capacity { wait, .. } => (Scope::Account, RetryAfter(*wait)),
            Self::TurnedAway { words } if !is_permanent(words) => {
                (Scope::Account, RetryAfter(wait_for(words, None)))
            }
            Self::Refused { words, .. } if is_busy(words) => {
                (Scope::Account, RetryAfter(wait_for(words, None)))
            }
            // What was marked for deletion is still there (RFC 1939 §6).
            Self::Refused { command, .. } if *command == QUIT => (Scope::Mailbox, Skip),
            Self::Parse { command, .. } if TRANSFERS.contains(command) => {
                (Scope::Message, RetryNow)
            }
            Self::Parse { .. } => (Scope::Account, RetryAfter(RECONNECT)),
            Self::MessageTooLarge { .. } => (Scope::Message, Skip),
            // Sign-in is never retried: a second refusal is how accounts get locked.
            Self::SignInRefused { .. }
            | Self::TurnedAway { .. }
            | Self::Refused { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Net(_)
            | Self::Unsendable
            | Self::NoAuthzid
            | Self::NoUidl
            | Self::StartTlsUnavailable
            | Self::StartTlsRefused { .. }
            | Self::ResponseInjection
            | Self::NotPop3 { .. } => (Scope::Account, Abort),
        }
    }

    /// What `-ERR` to a command of sign-in means. `login_delay` is what CAPA announced.
    pub(super) fn of_sign_in(
        command: &'static str,
        words: String,
        login_delay: Option<Duration>,
    ) -> Self {
        if is_permanent(&words) {
            Self::Refused { command, words }
        } else if is_busy(&words) {
            let wait = wait_for(&words, login_delay);
            Self::Capacity { words, wait }
        } else {
            Self::SignInRefused { words }
        }
    }
}

impl From<io::Error> for Pop3Error {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}

pub(super) const QUIT: &str = "QUIT";
pub(super) const TOP: &str = "TOP";
pub(super) const RETR: &str = "RETR";
pub(super) const DELE: &str = "DELE";
const TRANSFERS: [&str; 3] = [TOP, RETR, DELE];

#[cfg(test)]
mod tests {
    use super::super::refusal::BUSY;
    use super::*;

    #[test]
    fn every_error_says_how_much_is_lost_and_what_to_do() {
        use Disposition::{Abort, RetryAfter, RetryNow, Skip};
        let refused = |command, words: &str| Pop3Error::Refused {
            command,
            words: words.to_owned(),
        };
        let turned_away = |words: &str| Pop3Error::TurnedAway {
            words: words.to_owned(),
        };
        let parse = |command| Pop3Error::Parse {
            command,
            line: "?".to_owned(),
        };
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let wait = Duration::from_secs(9);
        let words = || "no".to_owned();
        let backoff = "throttled. Backoff Time: 5000 milliseconds";
        let table = [
            (broken().into(), Scope::Account, RetryAfter(RECONNECT)),
            (
                Pop3Error::Spool(SpoolError {
                    path: None,
                    source: broken(),
                }),
                Scope::Run,
                Abort,
            ),
            (
                Pop3Error::SignInRefused { words: words() },
                Scope::Account,
                Abort,
            ),
            (
                Pop3Error::Capacity {
                    words: words(),
                    wait,
                },
                Scope::Account,
                RetryAfter(wait),
            ),
            (turned_away("bye"), Scope::Account, RetryAfter(RECONNECT)),
            (
                turned_away("[SYS/TEMP] later"),
                Scope::Account,
                RetryAfter(BUSY),
            ),
            (turned_away("[SYS/PERM] broken"), Scope::Account, Abort),
            (
                turned_away(backoff),
                Scope::Account,
                RetryAfter(Duration::from_secs(5)),
            ),
            (refused("LIST", "no"), Scope::Account, Abort),
            (
                refused("LIST", "[IN-USE] locked"),
                Scope::Account,
                RetryAfter(BUSY),
            ),
            (refused(QUIT, "some remain"), Scope::Mailbox, Skip),
            (parse(RETR), Scope::Message, RetryNow),
            (parse("LIST"), Scope::Account, RetryAfter(RECONNECT)),
            (
                Pop3Error::LineTooLong { limit: 1 },
                Scope::Account,
                RetryAfter(RECONNECT),
            ),
            (
                Pop3Error::MessageTooLarge {
                    number: 1,
                    limit: 2,
                },
                Scope::Message,
                Skip,
            ),
            (Pop3Error::ResponseInjection, Scope::Account, Abort),
            (Pop3Error::AnswersOutstanding, Scope::Run, Abort),
        ];
        for (error, scope, disposition) in table {
            assert_eq!(error.disposition(), (scope, disposition), "{error}");
        }
    }
}
