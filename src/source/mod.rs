//! Where mail comes from.
//!
//! A source speaks bytes and facts of its protocol to the engine, and knows neither archive
//! nor catalog.

mod glob;
mod imap;
mod pop3;

pub use glob::{Glob, Selected, select};
pub use imap::{ImapSource, SeenMailbox, decoded_name};
pub use pop3::Pop3Source;

use crate::net::{Endpoint, NetOptions};

/// An account on a server, by the protocol it is reached over.
#[derive(Debug, Clone)]
pub enum Source {
    /// Over IMAP.
    Imap(ImapSource),
    /// Over POP3.
    Pop3(Pop3Source),
}

impl Source {
    /// `user@host`, by which an account is recognised.
    #[must_use]
    pub fn alias(&self) -> String {
        match self {
            Self::Imap(source) => source.alias(),
            Self::Pop3(source) => source.alias(),
        }
    }

    /// The server.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Imap(source) => &source.endpoint,
            Self::Pop3(source) => &source.endpoint,
        }
    }

    /// Trust, time-outs, limits and counters.
    #[must_use]
    pub const fn net(&self) -> &NetOptions {
        match self {
            Self::Imap(source) => &source.net,
            Self::Pop3(source) => &source.net,
        }
    }
}
