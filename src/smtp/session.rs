//! A session, from the greeting to QUIT.

use std::fmt::{self, Display};
use std::io;
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Ehlo, Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use super::error::SmtpError;
use super::extensions::Extensions;
use super::refusal::CLOSING;
use super::reply::Reply;
use super::stream::Stream;
use crate::net::{Endpoint, NetOptions, Security, Transport, dial};
use crate::secret::Credentials;

/// A session that can send messages. Holding one proves that the connection is as protected as
/// its endpoint asked for, and that we have signed in if there were credentials.
pub struct SmtpSession {
    pub(super) connection: AsyncSmtpConnection,
    pub(super) stream: Stream,
    pub(super) extensions: Extensions,
    greeting: String,
    /// Nothing is under way and nothing has failed.
    pub(super) usable: bool,
    /// The server may still hold the envelope of a message it refused.
    pub(super) envelope_left: bool,
}

/// How long the answer to QUIT is waited for. It changes nothing.
const GOODBYE: Duration = Duration::from_secs(5);

impl SmtpSession {
    /// Connects, says EHLO (with `lmtp` LHLO), upgrades by STARTTLS where the endpoint asks for it,
    /// and signs in, once, if there are credentials.
    ///
    /// Every wait is bounded by the time-outs of `net`, but the answer to a message may take five
    /// read time-outs. Dropping the future closes the connection.
    pub async fn connect(
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: Option<&Credentials>,
        lmtp: bool,
    ) -> Result<Self, SmtpError> {
        let transport = dial(endpoint, net).await?;
        Self::over(transport, endpoint, net, credentials, lmtp).await
    }

    /// [`Self::connect`] behind the dialling.
    pub(super) async fn over(
        transport: Transport,
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: Option<&Credentials>,
        lmtp: bool,
    ) -> Result<Self, SmtpError> {
        let stream = Stream::new(transport);
        let greeting = greet(&stream, net.timeouts.greeting).await?;
        let mut session = Self {
            connection: stream.connection(&ClientId::default()).await?,
            stream,
            extensions: Extensions::default(),
            greeting,
            usable: true,
            envelope_left: false,
        };
        session.hello(lmtp).await?;
        if endpoint.security == Security::StartTls {
            session.start_tls(&endpoint.host, net).await?;
            // What was announced in plain text is forgotten and asked for again.
            session.hello(lmtp).await?;
        }
        if let Some(credentials) = credentials {
            session.sign_in(credentials).await?;
        }
        Ok(session)
    }

    /// What the server announced, behind STARTTLS if there was one.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The server's words in its greeting, raw, at most a kibibyte.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Ends the session. The server has five seconds to answer, and may say what it likes.
    pub async fn quit(mut self) {
        if self.usable {
            drop(timeout(GOODBYE, self.command("QUIT", Quit)).await);
        }
    }

    /// Says a whole command, with its line end, and returns the reply, whatever it is; 421 and a
    /// server that has spoken out of turn are errors.
    pub(super) async fn command(
        &mut self,
        name: &'static str,
        line: impl Display + Send,
    ) -> Result<Reply, SmtpError> {
        if self.stream.has_more().await? {
            let reply = self.stream.reply().await?;
            return Err(match reply.code {
                CLOSING => SmtpError::closing(reply.words()),
                _ => SmtpError::OutOfTurn {
                    command: self.stream.last_command(),
                },
            });
        }
        self.stream.begin(name);
        let said = self.connection.command(line).await;
        let reply = self.stream.outcome(said).await?;
        if reply.code == CLOSING {
            return Err(SmtpError::closing(reply.words()));
        }
        Ok(reply)
    }

    async fn hello(&mut self, lmtp: bool) -> Result<(), SmtpError> {
        let id = ClientId::default();
        let (name, mut reply) = if lmtp {
            let line = format!("LHLO {id}\r\n");
            ("LHLO", self.command("LHLO", line).await?)
        } else {
            ("EHLO", self.command("EHLO", Ehlo::new(id.clone())).await?)
        };
        self.extensions = Extensions::default();
        if reply.is_positive() {
            self.extensions = Extensions::of(&reply);
            return Ok(());
        }
        if !lmtp && matches!(reply.code, 500 | 502) {
            // RFC 5321 §3.2: a server from before 1995, or an appliance like one.
            reply = self.command("HELO", format!("HELO {id}\r\n")).await?;
            if reply.is_positive() {
                return Ok(());
            }
        }
        Err(SmtpError::of(name, &reply))
    }

    /// STARTTLS (RFC 3207), in full or not at all: nothing the server says ahead of the handshake
    /// is believed after it, and nothing of ours but hello and this goes out before.
    async fn start_tls(&mut self, host: &str, net: &NetOptions) -> Result<(), SmtpError> {
        if !self.extensions.start_tls {
            return Err(SmtpError::StartTlsUnavailable);
        }
        // An answer to a command that was not sent yet.
        if self.stream.has_more().await? {
            return Err(SmtpError::ResponseInjection);
        }
        let reply = self.command("STARTTLS", Starttls).await?;
        if reply.is_negative() {
            let words = reply.words();
            return Err(SmtpError::StartTlsRefused { words });
        }
        if reply.code != READY {
            return Err(SmtpError::of("STARTTLS", &reply));
        }
        // Bytes behind the consent came unprotected (CVE-2021-38371 and a dozen more).
        if self.stream.has_more().await? {
            return Err(SmtpError::ResponseInjection);
        }
        self.stream.start_tls(host, net).await
    }
}

/// 220, of the greeting and of STARTTLS.
const READY: u16 = 220;

/// Reads the greeting (RFC 5321 §4.3.1).
async fn greet(stream: &Stream, limit: Duration) -> Result<String, SmtpError> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the server sent no greeting");
    let greeting = timeout(limit, stream.reply()).await.map_err(|_| silent())?;
    match greeting {
        Ok(reply) if reply.code == READY => Ok(reply.words()),
        Ok(reply) => Err(SmtpError::TurnedAway {
            code: reply.code,
            words: reply.words(),
        }),
        Err(SmtpError::Parse { line, .. }) => Err(SmtpError::NotSmtp { line }),
        Err(error) => Err(error),
    }
}

impl fmt::Debug for SmtpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpSession")
            .field("stream", &self.stream)
            .field("extensions", &self.extensions)
            .field("usable", &self.usable)
            .finish_non_exhaustive()
    }
}
