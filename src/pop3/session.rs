//! A session, from the greeting to QUIT.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::body::Receiving;
use super::capabilities::Capabilities;
use super::error::{Pop3Error, QUIT};
use super::sign_in;
use super::sign_in_stream::SignInStream;
use super::status::{StatusLine, excerpt};
use super::transfer::Ask;
use super::wire::Wire;
use crate::net::{Endpoint, NetOptions, Security, Transport, dial};
use crate::secret::Credentials;
use crate::spool::SpoolOptions;

/// A signed-in POP3 session. Holding one proves that the connection is as protected as its
/// endpoint asked for, and that the maildrop is locked until it ends (RFC 1939 §4).
#[derive(Debug)]
pub struct Session {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    greeting: String,
    pub(super) spool: Option<SpoolOptions>,
    /// Commands sent or queued and not answered, in order.
    pub(super) outstanding: VecDeque<Ask>,
    /// The message the oldest of them is answered with, as far as it came.
    pub(super) receiving: Option<Receiving>,
}

impl Session {
    /// Connects, upgrades by STLS where the endpoint asks for it, and signs in, once.
    ///
    /// Without `spool`, messages above [`SpoolOptions::THRESHOLD`] are an error. Every wait is
    /// bounded by the time-outs of `net`. Dropping the future closes the connection.
    pub async fn connect(
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: &Credentials,
        spool: Option<SpoolOptions>,
    ) -> Result<Self, Pop3Error> {
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
    ) -> Result<Self, Pop3Error> {
        let mut wire = Wire::new(transport);
        let greeting = greet(&mut wire, net.timeouts.greeting).await?;
        let hidden = sign_in::hidden(credentials);
        let mut stream = SignInStream::new(wire, hidden.clone());
        if endpoint.security == Security::StartTls {
            let transport = start_tls(stream, &endpoint.host, net).await?;
            // What was announced in plain text is forgotten and asked for again.
            stream = SignInStream::new(Wire::new(transport), hidden);
        }
        let capabilities = sign_in::sign_in(&mut stream, credentials).await?;
        Ok(Self {
            wire: stream.wire,
            capabilities,
            greeting,
            spool,
            outstanding: VecDeque::new(),
            receiving: None,
        })
    }

    /// What the server announced after sign-in; before it, if only then.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The server's words in its greeting, raw, at most a kibibyte.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Forgets that the server announced PIPELINING, for servers that cannot do it.
    pub const fn forbid_pipelining(&mut self) {
        self.capabilities.pipelining = false;
    }

    /// Ends the session. Only now, and only if this succeeds, is deleted what was answered by
    /// [`Outcome::Done`]; after an error it is unknown whether it was.
    ///
    /// Answers that are outstanding are read first, and dropped. The server has as long as
    /// for any answer, since it may have much to delete.
    ///
    /// [`Outcome::Done`]: super::Outcome::Done
    pub async fn quit(mut self) -> Result<(), Pop3Error> {
        while self.next().await?.is_some() {}
        let reply = self.wire.run(QUIT).await?;
        if reply.is_positive() {
            return Ok(());
        }
        let words = reply.words;
        Err(Pop3Error::Refused {
            command: QUIT,
            words,
        })
    }
}

/// Reads the greeting (RFC 1939 §4).
async fn greet(wire: &mut Wire, limit: Duration) -> Result<String, Pop3Error> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the server sent no greeting");
    let line = timeout(limit, wire.line()).await.map_err(|_| silent())??;
    match StatusLine::of(line) {
        Some(greeting) if greeting.is_positive() => Ok(greeting.words),
        Some(StatusLine { words, .. }) => Err(Pop3Error::TurnedAway { words }),
        None => Err(Pop3Error::NotPop3 {
            line: excerpt(line),
        }),
    }
}

/// STLS (RFC 2595 §4), in full or not at all: nothing the server says ahead of the
/// handshake is believed after it, and nothing of ours but CAPA and this goes out before.
async fn start_tls(
    mut stream: SignInStream,
    host: &str,
    net: &NetOptions,
) -> Result<Transport, Pop3Error> {
    if !sign_in::capabilities(&mut stream).await?.stls {
        return Err(Pop3Error::StartTlsUnavailable);
    }
    let mut wire = stream.wire;
    // An answer to a command that was not sent yet.
    if wire.has_more().await? {
        return Err(Pop3Error::ResponseInjection);
    }
    let reply = wire.run("STLS").await?;
    if !reply.is_positive() {
        let words = reply.words;
        return Err(Pop3Error::StartTlsRefused { words });
    }
    // Bytes behind the +OK came unprotected (CVE-2021-38371 and a dozen more).
    if wire.has_more().await? {
        return Err(Pop3Error::ResponseInjection);
    }
    let transport = wire.into_transport().ok_or(Pop3Error::ResponseInjection)?;
    Ok(transport.start_tls(host, net).await?)
}
