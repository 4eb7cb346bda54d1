//! What goes wrong with a server, whatever it speaks.

use crate::imap::ImapError;
use crate::net::{Disposition, Scope};
use crate::pop3::Pop3Error;
use crate::smtp::SmtpError;

/// An error of one of the protocols.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// IMAP.
    #[error(transparent)]
    Imap(#[from] ImapError),
    /// POP3.
    #[error(transparent)]
    Pop3(#[from] Pop3Error),
    /// SMTP and LMTP.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
}

impl ServerError {
    /// How much it costs, and whether to try again.
    #[must_use]
    pub fn disposition(&self) -> (Scope, Disposition) {
        match self {
            Self::Imap(error) => error.disposition(),
            Self::Pop3(error) => error.disposition(),
            Self::Smtp(error) => error.disposition(),
        }
    }

    /// Whether nothing failed and the run was asked to stop.
    pub(crate) fn is_stop(&self) -> bool {
        let source = match self {
            Self::Imap(ImapError::Io { source }) => source,
            Self::Pop3(Pop3Error::Io { source }) => source,
            _ => return false,
        };
        source.kind() == std::io::ErrorKind::Interrupted
    }

    /// Whether it is this machine that failed, so that nobody else can do better.
    pub(crate) fn is_local(&self) -> bool {
        self.disposition().0 == Scope::Run
    }
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
