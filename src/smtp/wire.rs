//! Replies in, and what may have gone out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use memchr::memchr;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::error::SmtpError;
use super::reply::{Gathering, NoReply, Reply, excerpt};
use crate::net::Transport;

/// The longest line of a reply. RFC 5321 §4.5.3.1.5 allows 512 bytes.
pub(super) const LINE_MAX: usize = 16 * 1024;

/// How many read time-outs the reply to a message may take: with the usual two minutes, the ten
/// of RFC 5321 §4.5.3.2.6. Who hangs up earlier leaves the message in doubt.
const PATIENCE: u32 = 5;

/// One connection, as the server is heard on it.
#[derive(Debug)]
pub(super) struct Wire {
    /// Nothing while TLS is set up, or when that failed.
    pub(super) transport: Option<Transport>,
    /// Bytes from the server that were not looked at yet.
    unread: Vec<u8>,
    gathering: Gathering,
    /// The name of the command sent last, for errors.
    pub(super) command: &'static str,
    /// What must not be shown of the server's words. `Debug` would, so it is kept apart.
    pub(super) hidden: Hidden,
    part: Part,
    /// The final dot of a message may have left, and was not answered.
    pub(super) in_doubt: bool,
    timeouts: u32,
    /// Why nothing more can be written, and nothing is read as an answer.
    pub(super) failure: Option<SmtpError>,
    pub(super) failed: bool,
}

/// Text that is never shown.
#[derive(Default)]
pub(super) struct Hidden(pub(super) Vec<String>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What is written next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// A command, or what a message holds.
    Text,
    /// The final dot, nothing of which was written yet.
    End,
    /// The rest of the final dot.
    InEnd,
}

impl Wire {
    pub(super) const fn new(transport: Transport) -> Self {
        Self {
            transport: Some(transport),
            unread: Vec::new(),
            gathering: Gathering::new(),
            command: "",
            hidden: Hidden(Vec::new()),
            part: Part::Text,
            in_doubt: false,
            timeouts: 0,
            failure: None,
            failed: false,
        }
    }

    /// What is written from now on ends the message.
    pub(super) const fn end_message(&mut self) {
        self.part = Part::End;
    }

    /// Keeps the first reason why nothing more can be written.
    pub(super) fn fail(&mut self, error: SmtpError) -> io::Error {
        if !self.failed {
            self.failure = Some(error);
            self.failed = true;
        }
        io::Error::other("the reason is kept beside")
    }

    /// Writes, unless something failed before: then nothing leaves any more, above all no
    /// final dot.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.failed {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        if self.part == Part::End {
            // A server that has said something before the end has given up on the message, or
            // we are out of step with it. Both can be told for certain only now.
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {
                    let command = self.command;
                    return Poll::Ready(Err(self.fail(SmtpError::OutOfTurn { command })));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.fail(error.into()))),
                Poll::Pending => {}
            }
            self.part = Part::InEnd;
            self.in_doubt = true;
        }
        let written = match &mut self.transport {
            Some(transport) => ready!(Pin::new(transport).poll_write(cx, bytes)),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        Poll::Ready(written.map_err(|error| self.fail(error.into())))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.transport {
            Some(transport) => ready!(Pin::new(transport).poll_flush(cx)),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        Poll::Ready(flushed.map_err(|error| self.fail(error.into())))
    }

    /// Waits until there is something unread.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return self.poll_fill(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for more bytes.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            let mut chunk = [0; 4096];
            let mut part = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut *transport).poll_read(cx, &mut part)) {
                Ok(()) => {
                    self.unread.extend_from_slice(part.filled());
                    self.timeouts = 0;
                    return Poll::Ready(Ok(()));
                }
                Err(error)
                    if error.kind() == io::ErrorKind::TimedOut
                        && self.in_doubt
                        && self.timeouts + 1 < PATIENCE =>
                {
                    self.timeouts += 1;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Waits for a whole reply. It settles what was in doubt.
    pub(super) fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, SmtpError>> {
        loop {
            let Some(at) = memchr(b'\n', &self.unread).filter(|at| *at < LINE_MAX) else {
                if self.unread.len() >= LINE_MAX {
                    return Poll::Ready(Err(SmtpError::ReplyTooLong));
                }
                ready!(self.poll_fill(cx))?;
                continue;
            };
            let mut line: Vec<u8> = self.unread.drain(..=at).collect();
            line.pop();
            // QUIRK(several): a bare LF behind a reply.
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            match self.gathering.add(line, &self.hidden.0) {
                Ok(None) => {}
                Ok(Some(reply)) => {
                    self.part = Part::Text;
                    self.in_doubt = false;
                    self.timeouts = 0;
                    return Poll::Ready(Ok(reply));
                }
                Err(NoReply::TooLong) => return Poll::Ready(Err(SmtpError::ReplyTooLong)),
                Err(NoReply::Unreadable) => {
                    return Poll::Ready(Err(SmtpError::Parse {
                        command: self.command,
                        line: excerpt(line, &self.hidden.0),
                    }));
                }
            }
        }
    }
}
