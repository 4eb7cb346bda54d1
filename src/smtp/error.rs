//! What can go wrong in an SMTP session, how much it costs, and whether to try again.

use std::io;
use std::time::Duration;

use super::refusal::{BUSY, CLOSING, RECONNECT, is_busy, wait_for};
use super::reply::Reply;
use crate::net::{Disposition, NetError, Scope};

/// An SMTP or LMTP operation that failed. The session it came from is of no further use, unless
/// the scope is [`Scope::Message`]: such a message was looked at and nothing was sent.
///
/// `words` are the server's own, raw and up to a kibibyte; escape them before they reach a
/// terminal. No variant ever holds a secret, also where a server repeats the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpError {
    /// The connection could not be made.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The connection broke, ended or stalled, before a message could have been delivered.
    #[error("the connection failed")]
    Io {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A message was sent, and what became of it was not heard. It may have been delivered.
    #[error(
        "the message was sent, but the server's answer did not come; it may have been delivered"
    )]
    Doubtful {
        /// Why it was not heard.
        #[source]
        cause: Box<SmtpError>,
    },
    /// The bytes of a message could not be read. Nothing of it was delivered.
    #[error("cannot read a message from the spool")]
    Body {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The server refused the user name or password.
    #[error("the server refused to sign in: {words}")]
    SignInRefused {
        /// The server's words.
        words: String,
    },
    /// The server lets nobody sign in now.
    #[error("the server has no capacity: {words}")]
    Capacity {
        /// The server's words.
        words: String,
        /// How long to stay away, at most a day.
        wait: Duration,
    },
    /// The user name or the password holds a NUL.
    #[error("the user name or the password holds a character that SMTP cannot carry")]
    Unsendable,
    /// There are credentials, and the server announces neither AUTH PLAIN nor AUTH LOGIN.
    #[error("the server offers no way to sign in that could be used here{}", offered(.mechanisms))]
    AuthUnavailable {
        /// What it offers, in upper case; at most a few hundred characters.
        mechanisms: String,
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
    /// Something came in plain text that would have been taken for a protected answer.
    #[error("the server sent data ahead of the TLS handshake; somebody may be tampering")]
    ResponseInjection,
    /// The first line is no SMTP greeting.
    #[error("the server does not speak SMTP on this port: {line}")]
    NotSmtp {
        /// The first line, at most 300 characters.
        line: String,
    },
    /// The server greeted with a refusal.
    #[error("the server turned us away: {code} {words}")]
    TurnedAway {
        /// The code of the greeting.
        code: u16,
        /// The server's words.
        words: String,
    },
    /// The server closes the connection (421). A message under way was not delivered.
    #[error("the server closes the connection: {words}")]
    Closing {
        /// The server's words.
        words: String,
        /// How long to stay away, at most a day.
        wait: Duration,
    },
    /// The server refused a command that carries no message.
    #[error("the server refused {command}: {code} {words}")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The code.
        code: u16,
        /// The server's words.
        words: String,
    },
    /// A reply is none that may follow this command.
    #[error("the server answered {command} by an unexpected {code}: {words}")]
    Unexpected {
        /// The command's name.
        command: &'static str,
        /// The code.
        code: u16,
        /// The server's words.
        words: String,
    },
    /// The server spoke when it was not its turn. Answers can no longer be told apart.
    #[error("the server sent something out of turn, after {command}")]
    OutOfTurn {
        /// The name of the last command.
        command: &'static str,
    },
    /// A line is none of a reply.
    #[error("cannot read the server's answer `{line}` to {command}")]
    Parse {
        /// The command's name.
        command: &'static str,
        /// How the line begins, at most 300 characters.
        line: String,
    },
    /// A reply, or a line of one, has no end.
    #[error("the server sent an answer longer than any that is needed")]
    ReplyTooLong,
    /// An address that cannot be part of a command. Nothing was sent.
    #[error("`{address}` cannot be an address of the envelope: {reason}")]
    Address {
        /// The address, raw.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The message has 8-bit text and the server does not announce 8BITMIME. Nothing was sent.
    #[error("the message has 8-bit text, and the server does not announce 8BITMIME")]
    EightBit,
    /// The message holds a lone dot behind a bare LF or CR. Nothing was sent, since many servers
    /// would take it for the end of the message and obey what follows.
    #[error(
        "the message holds a lone dot between line ends that are not CRLF; a server may take it for its end"
    )]
    LoneDot,
    /// The session failed before, or an earlier future was dropped half-way.
    #[error("the session is over")]
    SessionOver,
}

impl SmtpError {
    /// Whether a message may have been delivered all the same. If not, it was not, and it is safe
    /// to send it again.
    #[must_use]
    pub const fn may_be_delivered(&self) -> bool {
        matches!(self, Self::Doubtful { .. })
    }

    /// How much is lost, and whether to try again. Of [`Self::Doubtful`] this is about what comes
    /// behind the message; the message itself must not be sent again.
    #[must_use]
    pub fn disposition(&self) -> (Scope, Disposition) {
        use Disposition::{Abort, RetryAfter, Skip};
        match self {
            Self::Doubtful { cause } => cause.disposition(),
            Self::Body { .. } => (Scope::Run, Abort),
            Self::Address { .. } | Self::EightBit | Self::LoneDot => (Scope::Message, Skip),
            Self::Net(error) if error.is_transient() => (Scope::Account, RetryAfter(RECONNECT)),
            Self::Capacity { wait, .. } | Self::Closing { wait, .. } => {
                (Scope::Account, RetryAfter(*wait))
            }
            Self::TurnedAway { code, words } | Self::Refused { code, words, .. }
                if *code < 500 || is_busy(*code, words) =>
            {
                (Scope::Account, RetryAfter(wait_for(*code, words)))
            }
            Self::Io { .. }
            | Self::Unexpected { .. }
            | Self::OutOfTurn { .. }
            | Self::Parse { .. }
            | Self::ReplyTooLong
            | Self::SessionOver => (Scope::Account, RetryAfter(RECONNECT)),
            // Sign-in is never retried: a second refusal is how accounts get locked.
            Self::SignInRefused { .. }
            | Self::TurnedAway { .. }
            | Self::Refused { .. }
            | Self::Net(_)
            | Self::Unsendable
            | Self::AuthUnavailable { .. }
            | Self::StartTlsUnavailable
            | Self::StartTlsRefused { .. }
            | Self::ResponseInjection
            | Self::NotSmtp { .. } => (Scope::Account, Abort),
        }
    }

    /// What a negative reply, or one that fits nowhere, to a command without a message means.
    pub(super) fn of(command: &'static str, reply: &Reply) -> Self {
        let (code, words) = (reply.code, reply.words());
        if code == CLOSING {
            Self::closing(words)
        } else if reply.is_negative() {
            Self::Refused {
                command,
                code,
                words,
            }
        } else {
            Self::Unexpected {
                command,
                code,
                words,
            }
        }
    }

    /// 421, whatever it answers.
    pub(super) fn closing(words: String) -> Self {
        let wait = wait_for(CLOSING, &words);
        Self::Closing { words, wait }
    }

    /// What a negative reply to sign-in means (RFC 4954 §6): 4yz is never about the password.
    pub(super) fn of_sign_in(reply: &Reply) -> Self {
        let (code, words) = (reply.code, reply.words());
        if code < 500 || is_busy(code, &words) {
            let wait = wait_for(code, &words).max(BUSY);
            Self::Capacity { words, wait }
        } else {
            Self::SignInRefused { words }
        }
    }
}

impl From<io::Error> for SmtpError {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}

fn offered(mechanisms: &str) -> String {
    if mechanisms.is_empty() {
        String::new()
    } else {
        format!(", only {mechanisms}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_how_much_is_lost_and_what_to_do() {
        use Disposition::{Abort, RetryAfter, Skip};
        let words = || "no".to_owned();
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let refused = |code, words: &str| SmtpError::Refused {
            command: "EHLO",
            code,
            words: words.to_owned(),
        };
        let turned_away = |code, words: &str| SmtpError::TurnedAway {
            code,
            words: words.to_owned(),
        };
        let doubtful = |cause: SmtpError| SmtpError::Doubtful {
            cause: Box::new(cause),
        };
        let again = (Scope::Account, RetryAfter(RECONNECT));
        let busy = (Scope::Account, RetryAfter(BUSY));
        let abort = (Scope::Account, Abort);
        let address = SmtpError::Address {
            address: words(),
            reason: "x",
        };
        for (error, expected) in [
            (broken().into(), again),
            (doubtful(broken().into()), again),
            (doubtful(SmtpError::ReplyTooLong), again),
            (SmtpError::Body { source: broken() }, (Scope::Run, Abort)),
            (SmtpError::SignInRefused { words: words() }, abort),
            (SmtpError::of_sign_in(&Reply::new(535, &["no"])), abort),
            (
                SmtpError::of_sign_in(&Reply::new(454, &["4.7.0 later"])),
                busy,
            ),
            (
                SmtpError::of_sign_in(&Reply::new(550, &["throttled"])),
                busy,
            ),
            (SmtpError::closing("4.3.2 shutting down".into()), again),
            (SmtpError::of("RSET", &Reply::new(421, &["bye"])), again),
            (SmtpError::of("RSET", &Reply::new(354, &["?"])), again),
            (turned_away(554, "no service"), abort),
            (turned_away(554, "too many connections"), busy),
            (turned_away(450, "later"), busy),
            (refused(550, "no"), abort),
            (refused(451, "no"), busy),
            (address, (Scope::Message, Skip)),
            (SmtpError::EightBit, (Scope::Message, Skip)),
            (SmtpError::LoneDot, (Scope::Message, Skip)),
            (SmtpError::ResponseInjection, abort),
            (SmtpError::SessionOver, again),
        ] {
            assert_eq!(error.disposition(), expected, "{error:?}");
            let doubt = matches!(error, SmtpError::Doubtful { .. });
            assert_eq!(error.may_be_delivered(), doubt);
        }
    }
}
