//! A POP3 account as a source.

use crate::net::{Endpoint, NetOptions};
use crate::pop3::{Pop3Error, Session};
use crate::secret::Credentials;
use crate::spool::SpoolOptions;

/// A POP3 account: where it is, and how to sign in.
#[derive(Debug, Clone)]
pub struct Pop3Source {
    /// The server.
    pub endpoint: Endpoint,
    /// Trust, time-outs and limits.
    pub net: NetOptions,
    /// User and password.
    pub credentials: Credentials,
    /// Whether several commands may be sent at once where the server says that it bears it
    /// (RFC 2449 §6.6).
    pub pipelining: bool,
}

impl Pop3Source {
    /// `user@host`, by which an account is recognised.
    #[must_use]
    pub fn alias(&self) -> String {
        format!("{}@{}", self.credentials.whose(), self.endpoint.host)
    }

    /// Connects and signs in. The maildrop is locked for others until the session ends
    /// (RFC 1939 §4).
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn connect(&self, spool: SpoolOptions) -> Result<Session, Pop3Error> {
        Session::connect(&self.endpoint, &self.net, &self.credentials, Some(spool)).await
    }
}
