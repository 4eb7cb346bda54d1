//! The stream async-pop signs in over.
//!
//! It hands out one answer at a time, and not the server's but its gist: `+OK`, `-ERR`, a
//! challenge, or a list of capabilities with nothing in it but what async-pop acts upon. The
//! server's own lines are read, bounded, understood and remembered here. So nothing behind
//! an answer is swallowed by the buffer of async-pop, and nothing a server says can upset it:
//!
//! QUIRK(async-pop 1.1.3): it reads on for ever at an end of stream; a capability it does not
//! know (`UTF8 USER`, a SASL mechanism of tomorrow) leaves it with a stale buffer; behind a
//! list that came in pieces it waits for more bytes than a short answer has; and at trace
//! level it panics on 8-bit text and logs passwords. It writes to `log`, for which nothing in
//! this crate sets a logger: there is no bridge from `log` to `tracing`, and there must be none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::capabilities::Capabilities;
use super::error::Pop3Error;
use super::status::{Status, cut, excerpt, split};
use super::wire::Wire;

/// A [`Wire`] as async-pop sees it. The greeting stands before it already, and is handed out
/// by [`Self::replay_greeting`] as often as async-pop wants one.
pub(super) struct SignInStream {
    pub(super) wire: Wire,
    /// What must not be shown of the server's words. For its sake there is no `Debug`.
    hidden: Vec<String>,
    /// The command being written, up to its line end.
    written: Vec<u8>,
    /// The command that was sent last.
    command: &'static str,
    /// Lines of a list of capabilities seen so far, while one is read.
    capa: Option<(Capabilities, usize)>,
    /// What the server announced last, if it was asked.
    announced: Option<Capabilities>,
    /// UTF8 is to be sent where it is announced, and was not yet.
    asks_for_utf8: bool,
    /// What async-pop gets once UTF8 was answered.
    held_back: Vec<u8>,
    /// What async-pop gets next.
    gist: Vec<u8>,
    given: usize,
    /// The last status line.
    reply: Reply,
    /// Why nothing more can be read or written.
    failure: Option<Pop3Error>,
    failed: bool,
}

/// A status line of sign-in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// `+OK`
    Positive,
    /// `-ERR`, and the server's words without any secret.
    Negative { words: String },
    /// `+`: the server waits for the rest of AUTH (RFC 5034 §4); whether it said anything.
    Challenge { is_empty: bool },
}

/// No server has more capabilities.
const CAPA_MAX: usize = 1000;
const CAPA: &str = "CAPA";
const UTF8: &str = "UTF8";
/// What is sent inside of AUTH. It may be the password, so it is never shown.
const RESPONSE: &str = "AUTH";

impl SignInStream {
    pub(super) fn new(wire: Wire, hidden: Vec<String>) -> Self {
        Self {
            wire,
            hidden,
            written: Vec::new(),
            command: "",
            capa: None,
            announced: None,
            asks_for_utf8: false,
            held_back: Vec::new(),
            gist: Vec::new(),
            given: 0,
            reply: Reply::Positive,
            failure: None,
            failed: false,
        }
    }

    /// Hands out a greeting. The server has sent its own, which it does once; behind STLS
    /// there is none (RFC 2595 §4), and async-pop waits for one all the same.
    pub(super) fn replay_greeting(&mut self) {
        self.gist = b"+OK\r\n".to_vec();
        self.given = 0;
    }

    /// From now on UTF8 (RFC 6856 §2) is sent as soon as it is announced: it belongs between CAPA
    /// and sign-in, of which async-pop knows nothing.
    ///
    /// QUIRK(Courier 1.0, 2023): without it, a message whose header has 8-bit bytes is replaced by a
    /// made-up one, another in every second.
    pub(super) fn ask_for_utf8(&mut self) {
        self.asks_for_utf8 = true;
    }

    /// The command sent last, and its answer.
    pub(super) fn reply(&self) -> (&'static str, &Reply) {
        (self.command, &self.reply)
    }

    /// What the server announced last, if anything was heard of CAPA.
    pub(super) fn announced(&self) -> Option<&Capabilities> {
        self.announced.as_ref()
    }

    /// Why async-pop could not go on, if that was no answer of the server.
    pub(super) fn take_failure(&mut self) -> Option<Pop3Error> {
        self.failure.take()
    }

    /// Sends a line that async-pop does not, and waits for its answer.
    pub(super) async fn respond(&mut self, line: &str) -> Result<Reply, Pop3Error> {
        self.wire.queue(line.as_bytes());
        self.wire.queue(b"\r\n");
        self.command = RESPONSE;
        let len = std::future::poll_fn(|cx| self.wire.poll_line(cx)).await?;
        self.understand(len)?;
        self.gist.clear();
        Ok(self.reply.clone())
    }

    /// Takes one line of an answer; a whole answer leaves its gist.
    fn understand(&mut self, len: usize) -> Result<(), Pop3Error> {
        let line = self.wire.take_line(len);
        if let Some((capabilities, lines)) = &mut self.capa {
            if line != b"." {
                *lines += 1;
                if *lines > CAPA_MAX {
                    return Err(Pop3Error::AnswerTooLarge { command: CAPA });
                }
                capabilities.add(line.strip_prefix(b".").unwrap_or(line));
                return Ok(());
            }
            let sasl = if capabilities.offers("PLAIN") {
                "SASL PLAIN\r\n"
            } else {
                ""
            };
            let gist = format!("+OK\r\n{sasl}.\r\n").into_bytes();
            if self.asks_for_utf8 && capabilities.utf8 {
                self.asks_for_utf8 = false;
                self.held_back = gist;
                self.wire.queue(b"UTF8\r\n");
                self.command = UTF8;
            } else {
                self.gist = gist;
            }
            self.announced = self.capa.take().map(|(capabilities, _)| capabilities);
            return Ok(());
        }
        if self.command == UTF8 && split(line).is_some() {
            // A refusal is no error: everything else comes as before.
            self.gist = std::mem::take(&mut self.held_back);
            return Ok(());
        }
        let (gist, reply) = match split(line) {
            Some((Status::Positive, _)) if self.command == CAPA => {
                self.capa = Some((Capabilities::announced(), 0));
                return Ok(());
            }
            Some((Status::Positive, _)) => ("+OK\r\n", Reply::Positive),
            Some((Status::Negative, words)) => {
                let words = redact(String::from_utf8_lossy(words).trim(), &self.hidden);
                ("-ERR\r\n", Reply::Negative { words: cut(&words) })
            }
            // QUIRK(several): an empty challenge is `+` without the blank of RFC 5034.
            None if line.first() == Some(&b'+') && self.command == RESPONSE => {
                let is_empty = line.trim_ascii().len() == 1;
                ("+ \r\n", Reply::Challenge { is_empty })
            }
            None => {
                let line = redact(&String::from_utf8_lossy(line), &self.hidden);
                let line = excerpt(line.as_bytes());
                return Err(Pop3Error::Parse {
                    command: self.command,
                    line,
                });
            }
        };
        if self.command == CAPA && self.announced.is_none() {
            self.announced = Some(Capabilities::unknown());
        }
        self.gist = gist.into();
        self.reply = reply;
        Ok(())
    }

    fn fail(&mut self, error: Pop3Error) -> io::Error {
        if !self.failed {
            self.failure = Some(error);
            self.failed = true;
            self.wire.close();
        }
        io::Error::other("the reason is kept beside")
    }

    /// Notes which command a line is, and queues it.
    fn written(&mut self, bytes: &[u8]) {
        self.wire.queue(bytes);
        self.written.extend_from_slice(bytes);
        if self.written.ends_with(b"\n") {
            let name = self.written.trim_ascii().split(|byte| *byte == b' ').next();
            self.command = match name.unwrap_or_default() {
                b"CAPA" => CAPA,
                b"USER" => "USER",
                b"PASS" => "PASS",
                _ => RESPONSE,
            };
            self.written.clear();
        }
    }
}

/// QUIRK(several): servers repeat the command they did not understand.
fn redact(words: &str, hidden: &[String]) -> String {
    let shown = hidden.iter().filter(|secret| !secret.is_empty());
    shown.fold(words.to_owned(), |words, secret| words.replace(secret, "…"))
}

impl AsyncRead for SignInStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let rest = this.gist.get(this.given..).unwrap_or_default();
            if !rest.is_empty() {
                // Always in one piece: the buffer of async-pop is far larger.
                let part = rest.len().min(dst.remaining());
                dst.put_slice(rest.get(..part).unwrap_or_default());
                this.given += part;
                return Poll::Ready(Ok(()));
            }
            this.gist.clear();
            this.given = 0;
            let line = ready!(this.wire.poll_line(cx));
            if let Err(error) = line.and_then(|len| this.understand(len)) {
                return Poll::Ready(Err(this.fail(error)));
            }
        }
    }
}

impl AsyncWrite for SignInStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        this.written(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match ready!(this.wire.poll_send(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(this.fail(error.into()))),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
