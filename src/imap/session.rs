//! A session, from the greeting to LOGOUT.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use imap_proto::{Response, Status};
use tokio::time::timeout;

use super::capabilities::Capabilities;
use super::command::Command;
use super::error::{ImapError, excerpt};
use super::quirks::Quirks;
use super::reply::words_of;
use super::signin::sign_in;
use super::wire::{Answer, Tag, Wire};
use crate::net::{Endpoint, NetOptions, Security, Transport, dial, is_capacity};
use crate::secret::Credentials;
use crate::spool::SpoolOptions;

/// A signed-in IMAP session. Holding one proves that the connection is as protected as its
/// endpoint asked for.
#[derive(Debug)]
pub struct Session {
    pub(super) wire: Wire,
    capabilities: Capabilities,
    quirks: Quirks,
    /// Body fetches sent and not ended, in order.
    pub(super) outstanding: VecDeque<Tag>,
    /// A mailbox was opened, after which nothing is enabled any more.
    pub(super) was_opened: bool,
    /// Whether QRESYNC is enabled; `None` before it was tried.
    pub(super) qresync: Option<bool>,
}

/// What the server said first.
struct Greeting {
    words: String,
    preauth: bool,
}

impl Session {
    /// Connects, upgrades by STARTTLS where the endpoint asks for it, and signs in.
    ///
    /// Without `spool`, messages above [`SpoolOptions::THRESHOLD`] are an error.
    pub async fn connect(
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: &Credentials,
        spool: Option<SpoolOptions>,
    ) -> Result<Self, ImapError> {
        let transport = dial(endpoint, net).await?;
        Self::over(transport, endpoint, net, credentials, spool).await
    }

    /// [`Self::connect`] behind the dialling.
    pub(super) async fn over(
        transport: Transport,
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: &Credentials,
        spool: Option<SpoolOptions>,
    ) -> Result<Self, ImapError> {
        let mut wire = Wire::new(transport, spool.clone())?;
        let greeting = greet(&mut wire, net.timeouts.greeting).await?;
        if endpoint.security == Security::StartTls {
            if greeting.preauth {
                return Err(ImapError::Preauth);
            }
            let transport = start_tls(wire, &endpoint.host, net).await?;
            wire = Wire::new(transport, spool)?;
        }
        // We were let in already, as whoever it is.
        if greeting.preauth && credentials.authzid.is_some() {
            return Err(ImapError::NoAuthzid);
        }
        if !greeting.preauth {
            let capabilities = capabilities(&mut wire).await?;
            sign_in(&mut wire, &capabilities, credentials).await?;
        }
        let capabilities = capabilities(&mut wire).await?;
        let mut session = Self {
            wire,
            capabilities,
            quirks: Quirks::from_greeting(&greeting.words),
            outstanding: VecDeque::new(),
            was_opened: false,
            qresync: None,
        };
        session.identify().await?;
        Ok(session)
    }

    /// What the server announced after sign-in.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What is known of this server.
    #[must_use]
    pub const fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    /// Asks for nothing; keeps the session alive.
    pub async fn noop(&mut self) -> Result<(), ImapError> {
        self.wire
            .run_ok(Command::new("NOOP", ""), |_, _| {})
            .await
            .map(drop)
    }

    /// Ends the session politely. Nothing depends on the server's answer, so there is none
    /// to look at, and a server that does not answer is left after ten seconds.
    pub async fn logout(mut self) {
        let logout = self.wire.run(Command::new("LOGOUT", ""), |_, _| {});
        drop(timeout(Duration::from_secs(10), logout).await);
    }

    /// QUIRK(mail.163.com, Coremail, 2023): no mailbox may be opened before ID (RFC 2971).
    async fn identify(&mut self) -> Result<(), ImapError> {
        if !self.capabilities.has("ID") {
            return Ok(());
        }
        let name = concat!(
            " (\"name\" \"mailstow\" \"version\" \"",
            env!("CARGO_PKG_VERSION"),
            "\")"
        );
        // A refusal costs nothing; only a broken connection matters.
        self.wire
            .run(Command::new("ID", name), |_, _| {})
            .await
            .map(drop)
    }
}

async fn greet(wire: &mut Wire, limit: Duration) -> Result<Greeting, ImapError> {
    let first = wire.next(|response, filter| {
        let preauth = match response {
            Response::Data {
                status: Status::Ok, ..
            } => false,
            Response::Data {
                status: Status::PreAuth,
                ..
            } => true,
            _ => return Err(excerpt(filter.first_line())),
        };
        let words = words_of(filter.status_line());
        Ok(Greeting { words, preauth })
    });
    let answer = timeout(limit, first).await.map_err(|_| ImapError::Io {
        source: io::Error::new(io::ErrorKind::TimedOut, "the server sent no greeting"),
    })?;
    match answer {
        Ok(Answer::Data(Ok(greeting))) => Ok(greeting),
        Ok(Answer::Data(Err(line))) | Err(ImapError::Parse { detail: line }) => {
            Err(ImapError::NotImap { line })
        }
        Ok(Answer::Done(..) | Answer::Continue) => match wire.unreadable() {
            ImapError::Parse { detail: line } => Err(ImapError::NotImap { line }),
            other => Err(other),
        },
        Err(ImapError::Bye { words }) if is_capacity(&words) => Err(ImapError::Capacity { words }),
        Err(error) => Err(error),
    }
}

/// The capabilities announced since the last call, asked for if there were none.
async fn capabilities(wire: &mut Wire) -> Result<Capabilities, ImapError> {
    if wire.announced.is_none() {
        wire.run_ok(Command::new("CAPABILITY", ""), |_, _| {})
            .await?;
    }
    // A server that answers OK without the list announces nothing, and gets LOGIN.
    Ok(wire.announced.take().unwrap_or_default())
}

/// STARTTLS (RFC 3501 §6.2.1), in full or not at all: nothing the server says ahead of the
/// handshake is believed after it, and nothing of ours but this command goes out before.
async fn start_tls(mut wire: Wire, host: &str, net: &NetOptions) -> Result<Transport, ImapError> {
    if !capabilities(&mut wire).await?.has("STARTTLS") {
        return Err(ImapError::StartTlsUnavailable);
    }
    // An answer to a command that was not sent yet.
    if wire.has_unread() {
        return Err(ImapError::ResponseInjection);
    }
    let reply = wire.run(Command::new("STARTTLS", ""), |_, _| {}).await?;
    if !reply.is_ok() {
        return Err(ImapError::StartTlsRefused { words: reply.words });
    }
    // Bytes behind the OK came unprotected (CVE-2021-38371 and a dozen more).
    let transport = wire.into_transport().ok_or(ImapError::ResponseInjection)?;
    Ok(transport.start_tls(host, net).await?)
}
