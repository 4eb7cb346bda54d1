//! Bytes out, lines in, at the same time.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use memchr::memchr;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::error::Pop3Error;
use super::status::{Status, StatusLine, excerpt};
use crate::net::Transport;

/// One connection. What is queued is written while somebody waits for bytes, so neither
/// side can wait for the other: a server that does not read before it has written all its
/// answers gets its answers read.
pub(super) struct Wire {
    transport: Transport,
    /// Bytes from the server that were not looked at yet, from `start` to `end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes for the server; those up to `written` are gone.
    queued: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Bytes came in since a write last stalled.
    moved: bool,
    /// Why nothing can be sent any more.
    broken: Option<io::Error>,
    closed: bool,
}

/// Large, since bodies come through here.
const BUFFER: usize = 128 * 1024;
/// The longest line of an answer. RFC 1939 allows 512 bytes, RFC 2449 the same for status
/// lines; a whole line must fit into the buffer.
pub(super) const LINE_MAX: usize = 64 * 1024;

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            queued: Vec::new(),
            written: 0,
            unflushed: false,
            moved: false,
            broken: None,
            closed: false,
        }
    }

    /// The transport, if nothing of it was read ahead and nothing is waiting to be sent.
    pub(super) fn into_transport(self) -> Option<Transport> {
        (self.unread().is_empty() && self.queued.is_empty()).then_some(self.transport)
    }

    /// What the server sent and nobody took yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes bytes out of [`Self::unread`].
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Gives up: whatever is read or written from now on fails.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.start = self.end;
    }

    /// Puts bytes behind those that wait to be sent. They go out with the next wait.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.queued.extend_from_slice(bytes);
    }

    /// Sends all that is queued.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        loop {
            let result = ready!(self.poll_send_once(cx));
            match result {
                // The time a server takes to send is no stall, also if it does not read
                // meanwhile.
                Err(error) if error.kind() == io::ErrorKind::TimedOut && self.moved => {
                    self.moved = false;
                }
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes once or flushes; whether all is done.
    fn poll_send_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let rest = self.queued.get(self.written..).unwrap_or_default();
        if !rest.is_empty() {
            let written = ready!(Pin::new(&mut self.transport).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.unflushed = true;
            return Poll::Ready(Ok(false));
        }
        self.queued.clear();
        self.written = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(true))
    }

    /// Sends what can be sent now. An error is told by the next [`Self::poll_fill`] that has
    /// nothing to read: the last words of a server that hangs up can be read when nothing can
    /// be sent any more.
    pub(super) fn send_some(&mut self, cx: &mut Context<'_>) {
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            self.broken = Some(error);
        }
    }

    /// Waits for more bytes, sending what is queued meanwhile.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_some(cx);
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let mut part = ReadBuf::new(room);
        let result = Pin::new(&mut self.transport).poll_read(cx, &mut part);
        let read = part.filled().len();
        match result {
            Poll::Ready(Ok(())) if read == 0 => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                self.end += read;
                self.moved = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.broken.take().unwrap_or(error))),
            Poll::Pending => match self.broken.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }

    /// Waits until [`Self::unread`] begins with a whole line: its length, with its end.
    pub(super) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Pop3Error>> {
        loop {
            match memchr(b'\n', self.unread()) {
                Some(at) if at < LINE_MAX => return Poll::Ready(Ok(at + 1)),
                None if self.unread().len() < LINE_MAX => ready!(self.poll_fill(cx))?,
                Some(_) | None => {
                    return Poll::Ready(Err(Pop3Error::LineTooLong { limit: LINE_MAX }));
                }
            }
        }
    }

    /// Takes a line of `len` bytes off [`Self::unread`]; what is returned is without its end,
    /// which may be a bare LF.
    pub(super) fn take_line(&mut self, len: usize) -> &[u8] {
        let start = self.start;
        self.consume(len);
        let line = self.buffer.get(start..self.start).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The next line, without its end.
    pub(super) async fn line(&mut self) -> Result<&[u8], Pop3Error> {
        let len = poll_fn(|cx| self.poll_line(cx)).await?;
        Ok(self.take_line(len))
    }

    /// The next line, which must be the status line that answers `command`.
    pub(super) async fn status(&mut self, command: &'static str) -> Result<StatusLine, Pop3Error> {
        let line = self.line().await?;
        StatusLine::of(line).ok_or_else(|| Pop3Error::Parse {
            command,
            line: excerpt(line),
        })
    }

    /// Sends a command of one word and returns its status line.
    pub(super) async fn run(&mut self, command: &'static str) -> Result<StatusLine, Pop3Error> {
        self.queue(command.as_bytes());
        self.queue(b"\r\n");
        self.status(command).await
    }

    /// Whether the server has sent more than was asked for. Does not wait.
    pub(super) async fn has_more(&mut self) -> Result<bool, Pop3Error> {
        if !self.unread().is_empty() {
            return Ok(true);
        }
        match poll_fn(|cx| Poll::Ready(self.poll_fill(cx))).await {
            Poll::Ready(result) => Ok(result.map(|()| true)?),
            Poll::Pending => Ok(false),
        }
    }
}

impl StatusLine {
    /// Whether the server agreed.
    pub(super) fn is_positive(&self) -> bool {
        self.status == Status::Positive
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is queued may be a password.
        f.debug_struct("Wire")
            .field("transport", &self.transport)
            .field("unread", &self.unread().len())
            .field("queued", &self.queued.len())
            .finish_non_exhaustive()
    }
}
