//! What lies between the socket and the parser.
//!
//! ```text
//! Transport ─ bytes ─► WireFilter ─ one line or literal at a time ─► async-imap
//!                          └─ large literals of FETCH ─► spool file
//! ```
//!
//! The parser buffers whole literals, panics on a few answers and gives up on others. So
//! the filter knows just enough of the protocol to see lines and literals: it bounds both
//! before anything is allocated, diverts large messages into files, drops what nobody
//! asked for, and mends what would bring the parser down. It never changes a byte inside a
//! literal or a quoted string.
//!
//! It hands out at most one line per read. Hence what the parser has returned is the
//! response the filter saw last, and anything behind it is still here to be looked at.

mod line;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;

use memchr::memchr;
use tokio::io::ReadBuf;

use self::line::{Announced, Kind};
use crate::spool::{SpoolError, SpoolOptions, SpooledBody, Spooling};

/// What the filter refuses. Travels through the parser inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("literal of `{announced}` bytes")]
    Literal { announced: String, limit: u64 },
    #[error("answer too large")]
    AnswerTooLarge,
    /// Parentheses or quotes that do not match. The parser would look for the missing one
    /// in the next answer, or inside a message.
    #[error("malformed answer")]
    Malformed,
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::other(error)
    }
}

/// All lines of one response together, without its literals.
const MAX_LINES: usize = 16 * 1024 * 1024;
/// Spooled literals in one response; we ask for one.
const MAX_SPOOLED: usize = 16;
/// Responses kept aside; together they have no more bytes than one may have.
const MAX_ASIDE: usize = 64;
/// How much of a status line is remembered.
const REMEMBERED: usize = 1024;
const BUFFER: usize = 64 * 1024;
/// The responses that are for us to read and not for the parser.
const ASIDE: [&str; 4] = ["ESEARCH", "ENABLED", "NAMESPACE", "QUOTA"];

/// Bounds, diverts and mends what a server sends. Writing passes through.
pub(super) struct WireFilter<T> {
    inner: T,
    token: String,
    spool: Option<SpoolOptions>,
    /// Bytes from the server that were not looked at yet.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The line being gathered.
    line: Vec<u8>,
    /// What the parser gets next.
    out: Vec<u8>,
    given: usize,
    state: State,
    response: Response,
    status_line: Vec<u8>,
    first_line: Vec<u8>,
    aside: VecDeque<Vec<u8>>,
}

enum State {
    Line,
    /// A literal the parser gets as it is.
    Literal(u64),
    /// A literal that goes elsewhere: into the spool, or nowhere.
    Diverted(u64, Option<Spooling>),
}

/// What is known of the response at hand.
struct Response {
    kind: Kind,
    /// Whether its first line is still to come.
    fresh: bool,
    depth: u32,
    line_bytes: usize,
    literals: u32,
    memory: u64,
    spooled: Vec<Option<SpooledBody>>,
}

impl Response {
    const fn new() -> Self {
        Self {
            kind: Kind::Unknown,
            fresh: true,
            depth: 0,
            line_bytes: 0,
            literals: 0,
            memory: 0,
            spooled: Vec::new(),
        }
    }
}

impl<T> WireFilter<T> {
    /// `token` must be unknown to the server and the senders of mail.
    pub(super) fn new(inner: T, spool: Option<SpoolOptions>, token: String) -> Self {
        Self {
            inner,
            token,
            spool,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            line: Vec::new(),
            out: Vec::new(),
            given: 0,
            state: State::Line,
            response: Response::new(),
            status_line: Vec::new(),
            first_line: Vec::new(),
            aside: VecDeque::new(),
        }
    }

    /// The stream below, if nothing of it was read ahead.
    pub(super) fn into_inner(self) -> Option<T> {
        (!self.has_unread()).then_some(self.inner)
    }

    /// Whether the server has sent more than the parser got.
    pub(super) fn has_unread(&self) -> bool {
        self.start != self.end || self.given != self.out.len()
    }

    /// The last status response (tagged, untagged or `+`) as it came, up to a kibibyte.
    pub(super) fn status_line(&self) -> &[u8] {
        &self.status_line
    }

    /// How the last response began, up to a kibibyte.
    pub(super) fn first_line(&self) -> &[u8] {
        &self.first_line
    }

    /// Responses the parser cannot read or would mistake, as they came, the last 64 at most:
    /// ESEARCH (RFC 4731), ENABLED (RFC 5161), which it takes for capabilities, NAMESPACE
    /// (RFC 2342) and QUOTA (RFC 9208). One with a literal in it is not kept.
    ///
    /// Those of the name are returned, the others dropped.
    pub(super) fn take_aside(&mut self, name: &str) -> Vec<Vec<u8>> {
        let mut all = std::mem::take(&mut self.aside);
        all.retain(|line| line::is_response(line, &[name]));
        all.into()
    }

    fn keep_aside(&mut self, line: &[u8]) {
        let bytes = |aside: &VecDeque<Vec<u8>>| aside.iter().map(Vec::len).sum::<usize>();
        while self.aside.len() >= MAX_ASIDE
            || !self.aside.is_empty() && bytes(&self.aside) + line.len() > MAX_LINES
        {
            self.aside.pop_front();
        }
        self.aside.push_back(line.to_vec());
    }

    /// Whether the last response held a literal. If not, its strings were quoted, and the
    /// parser has left their escapes in.
    pub(super) const fn had_literal(&self) -> bool {
        self.response.literals > 0
    }

    /// The spooled message `data` stands for in the last response.
    pub(super) fn take_spooled(&mut self, data: &[u8]) -> Option<SpooledBody> {
        let index = data.strip_prefix(self.token.as_bytes())?;
        let index: usize = std::str::from_utf8(index).ok()?.parse().ok()?;
        self.response.spooled.get_mut(index)?.take()
    }

    fn threshold(&self) -> u64 {
        self.spool
            .as_ref()
            .map_or(SpoolOptions::THRESHOLD, |spool| spool.threshold)
    }

    /// Bytes that were read and not looked at.
    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes the next line out of the buffer; false if its end is not there yet.
    fn gather_line(&mut self) -> Result<bool, WireError> {
        if self.response.fresh && self.line.is_empty() {
            self.response = Response::new();
        }
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let (taken, complete) = match memchr(b'\n', unread) {
            Some(at) => (at + 1, true),
            None => (unread.len(), false),
        };
        if self.response.line_bytes + taken > MAX_LINES {
            return Err(WireError::AnswerTooLarge);
        }
        self.response.line_bytes += taken;
        self.line
            .extend_from_slice(unread.get(..taken).unwrap_or_default());
        self.start += taken;
        Ok(complete)
    }

    /// Decides what becomes of a complete line and of the literal behind it.
    fn finish_line(&mut self) -> Result<(), WireError> {
        let mut line = std::mem::take(&mut self.line);
        line::end_in_crlf(&mut line);
        if self.response.fresh {
            self.response.kind = Kind::of(&line);
            self.response.fresh = false;
            remember(&mut self.first_line, &line);
        }
        match self.response.kind {
            Kind::Text => {
                remember(&mut self.status_line, &line);
                line::mend_text(&mut line);
            }
            Kind::Fetch | Kind::Data => {
                if !line::mend_data(&mut line, &mut self.response.depth) {
                    return Err(WireError::Malformed);
                }
            }
            Kind::Unknown => {}
        }
        let announced = match self.response.kind {
            Kind::Text => Announced::Nothing,
            _ => line::announced(&line),
        };
        match announced {
            Announced::Nothing if self.response.depth > 0 => return Err(WireError::Malformed),
            Announced::Nothing => self.response.fresh = true,
            Announced::Literal { len, head } => self.begin_literal(&mut line, len, head)?,
            Announced::Malformed { text } => return Err(self.too_large(text)),
        }
        if self.response.kind == Kind::Unknown {
            if self.response.literals == 0 && line::is_response(&line, &ASIDE) {
                self.keep_aside(&line);
            }
            line.clear();
        }
        // The spent buffer gathers the next line.
        self.line = std::mem::replace(&mut self.out, line);
        self.line.clear();
        self.given = 0;
        Ok(())
    }

    fn begin_literal(
        &mut self,
        line: &mut Vec<u8>,
        len: u64,
        head: usize,
    ) -> Result<(), WireError> {
        self.response.literals += 1;
        self.response.memory = self.response.memory.saturating_add(len);
        let fits = self.response.memory <= self.threshold();
        line.truncate(head);
        self.state = match (self.response.kind, &self.spool) {
            (Kind::Unknown, _) if fits => State::Diverted(len, None),
            (_, _) if fits => {
                line.extend_from_slice(format!("{{{len}}}\r\n").as_bytes());
                State::Literal(len)
            }
            (Kind::Fetch, Some(spool))
                if len <= spool.max && self.response.spooled.len() < MAX_SPOOLED =>
            {
                self.response.memory -= len;
                let placeholder = format!("{}{}", self.token, self.response.spooled.len());
                let stand_in = format!("{{{}}}\r\n{placeholder}", placeholder.len());
                line.extend_from_slice(stand_in.as_bytes());
                State::Diverted(len, Some(Spooling::open(spool)?))
            }
            _ => return Err(self.too_large(len.to_string())),
        };
        Ok(())
    }

    fn too_large(&self, announced: String) -> WireError {
        let limit = match (self.response.kind, &self.spool) {
            (Kind::Fetch, Some(spool)) => spool.max,
            _ => self.threshold(),
        };
        WireError::Literal { announced, limit }
    }

    fn give_out(&mut self, dst: &mut ReadBuf<'_>) -> bool {
        let rest = self.out.get(self.given..).unwrap_or_default();
        let part = rest.len().min(dst.remaining());
        dst.put_slice(rest.get(..part).unwrap_or_default());
        self.given += part;
        part > 0
    }

    /// Takes at most `left` bytes out of the buffer.
    fn take_unread(&mut self, left: u64) -> &[u8] {
        let part = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        let from = self.start;
        self.start += part;
        self.buffer.get(from..from + part).unwrap_or_default()
    }

    fn divert(&mut self, left: u64, spooling: Option<Spooling>) -> Result<(), WireError> {
        let mut spooling = spooling;
        let part = self.take_unread(left);
        if let Some(spooling) = &mut spooling {
            spooling.write(part)?;
        }
        let left = left - part.len() as u64;
        self.state = State::Diverted(left, spooling);
        Ok(())
    }

    fn end_of_literal(&mut self) {
        if let State::Diverted(_, Some(spooling)) = std::mem::replace(&mut self.state, State::Line)
        {
            self.response.spooled.push(Some(spooling.finish()));
        }
    }
}

impl<T> fmt::Debug for WireFilter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireFilter")
            .field("unread", &self.unread().len())
            .finish_non_exhaustive()
    }
}

fn remember(kept: &mut Vec<u8>, line: &[u8]) {
    kept.clear();
    kept.extend(line.iter().take(REMEMBERED));
}
