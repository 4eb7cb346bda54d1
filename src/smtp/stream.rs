//! The stream lettre speaks over.
//!
//! What lettre writes goes out as it is. What the server answers is read here, and lettre is
//! told `250 ok` whatever it was: so it never hangs up or says QUIT by itself, and nothing a
//! server says can upset it. The session goes by the replies kept here.
//!
//! QUIRK(lettre 0.11.23): it says EHLO as soon as it has a greeting, never LHLO, and shows
//! nothing of SIZE. So what it says on connecting is kept to ourselves, and the session says
//! its own hello through it like any other command.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::SmtpError;
use super::reply::Reply;
use super::wire::{Hidden, Wire};
use crate::net::{NetError, NetOptions, Transport};

/// One end of a connection, held by lettre and by the session at once; only one of them uses
/// it at a time.
#[derive(Clone, Debug)]
pub(super) struct Stream(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    wire: Wire,
    /// lettre says hello, to nobody.
    prologue: bool,
    /// The reply to what lettre said last.
    reply: Option<Reply>,
    /// What lettre has not read yet of what it is told.
    told: &'static [u8],
}

const OK: &[u8] = b"250 ok\r\n";

impl Stream {
    pub(super) fn new(transport: Transport) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            wire: Wire::new(transport),
            prologue: true,
            reply: None,
            told: &[],
        })))
    }

    /// Hands a copy to lettre, which believes itself connected from then on.
    pub(super) async fn connection(&self, id: &ClientId) -> Result<AsyncSmtpConnection, SmtpError> {
        let stream = Box::new(self.clone());
        let connection = AsyncSmtpConnection::connect_with_transport(stream, id).await;
        self.lock().prologue = false;
        connection.map_err(no_reason)
    }

    /// Poisoning comes from a panic in a test.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent next is part of this command.
    pub(super) fn begin(&self, command: &'static str) {
        self.lock().wire.command = command;
    }

    /// The command that was sent last.
    pub(super) fn last_command(&self) -> &'static str {
        self.lock().wire.command
    }

    /// Hides these texts wherever the server repeats them.
    pub(super) fn hide(&self, hidden: Vec<String>) {
        self.lock().wire.hidden = Hidden(hidden);
    }

    /// What is written from now on ends the message, after which it is in doubt until the
    /// server answers.
    pub(super) fn end_message(&self) {
        self.lock().wire.end_message();
    }

    /// From now on nothing leaves any more.
    pub(super) fn fail(&self, error: SmtpError) {
        drop(self.lock().wire.fail(error));
    }

    /// Whether nothing more can be sent.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().wire.failed
    }

    /// Waits for a reply nobody asked for, such as the greeting.
    pub(super) async fn reply(&self) -> Result<Reply, SmtpError> {
        poll_fn(|cx| self.lock().wire.poll_reply(cx)).await
    }

    /// Whether the server has sent more than was asked for. Does not wait.
    pub(super) async fn has_more(&self) -> Result<bool, SmtpError> {
        match poll_fn(|cx| Poll::Ready(self.lock().wire.poll_more(cx))).await {
            Poll::Ready(result) => Ok(result.map(|()| true)?),
            Poll::Pending => Ok(false),
        }
    }

    /// What came of what lettre did: the server's reply, or why there is none.
    ///
    /// A server that gives up on a message hangs up, and what it said before can be read when
    /// nothing can be written any more: its refusal then counts, for it says that the message
    /// was not taken.
    pub(super) async fn outcome(&self, said: Result<Response, Error>) -> Result<Reply, SmtpError> {
        let in_doubt = {
            let mut shared = self.lock();
            if let Some(reply) = shared.reply.take() {
                return Ok(reply);
            }
            shared.wire.in_doubt
        };
        let failure = self.lock().wire.failure.take();
        if let Some(SmtpError::Io { .. } | SmtpError::OutOfTurn { .. }) = &failure {
            let last_words = poll_fn(|cx| Poll::Ready(self.lock().wire.poll_reply(cx))).await;
            if let Poll::Ready(Ok(reply)) = last_words
                && reply.is_negative()
            {
                return Ok(reply);
            }
        }
        let cause = match (failure, said) {
            (Some(failure), _) => failure,
            (None, Err(error)) => no_reason(error),
            (None, Ok(_)) => io::Error::from(io::ErrorKind::NotConnected).into(),
        };
        if in_doubt {
            let cause = Box::new(cause);
            return Err(SmtpError::Doubtful { cause });
        }
        Err(cause)
    }

    /// Upgrades the connection. The caller knows that nothing is unread.
    pub(super) async fn start_tls(&self, host: &str, net: &NetOptions) -> Result<(), SmtpError> {
        let transport = self.lock().wire.transport.take();
        let Some(transport) = transport else {
            let host = host.to_owned();
            return Err(NetError::AlreadyTls { host }.into());
        };
        let transport = transport.start_tls(host, net).await?;
        self.lock().wire.transport = Some(transport);
        Ok(())
    }
}

/// lettre gave up without a reason of ours.
fn no_reason(error: Error) -> SmtpError {
    io::Error::other(error).into()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if shared.told.is_empty() {
            if !shared.prologue {
                match ready!(shared.wire.poll_reply(cx)) {
                    Ok(reply) => shared.reply = Some(reply),
                    Err(error) => return Poll::Ready(Err(shared.wire.fail(error))),
                }
            }
            shared.told = OK;
        }
        let part = shared.told.len().min(dst.remaining());
        let (part, rest) = shared.told.split_at(part);
        dst.put_slice(part);
        shared.told = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        if shared.prologue {
            return Poll::Ready(Ok(bytes.len()));
        }
        shared.wire.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if shared.prologue {
            return Poll::Ready(Ok(()));
        }
        shared.wire.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncTokioStream for Stream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        // Known to the transport alone, and asked for by nobody.
        Err(io::ErrorKind::Unsupported.into())
    }
}
