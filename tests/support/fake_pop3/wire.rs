//! Lines from the client, and messages as they go over the wire.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// No client of a test thinks longer than that.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the client says. Unlike a `BufReader` it can tell what has come and was not read.
pub(super) struct Input<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
}

impl<'a> Input<'a> {
    pub(super) const fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next line with its line end; `None` once the client has gone.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(at + 1);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            if !self.more(PATIENCE)? {
                return Ok(None);
            }
        }
    }

    /// How many lines have come and were not read, after waiting so long for the `n`-th.
    pub(super) fn waiting(&mut self, n: usize, wait: Duration) -> io::Result<usize> {
        let until = Instant::now() + wait;
        loop {
            let lines = self.buffer.iter().filter(|b| **b == b'\n').count();
            let left = until.saturating_duration_since(Instant::now());
            if lines >= n || left.is_zero() {
                return Ok(lines);
            }
            match self.more(left) {
                Ok(true) => {}
                Ok(false) => return Ok(lines),
                Err(error) if is_timeout(&error) => return Ok(lines),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads on until the client closes, or two seconds have passed: a socket closed with
    /// unread bytes in it is reset, and a reset could take away what was said last.
    pub(super) fn drain(&mut self) {
        let until = Instant::now() + Duration::from_secs(2);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.buffer.clear();
            match self.more(left) {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    fn more(&mut self, wait: Duration) -> io::Result<bool> {
        self.stream
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let mut part = [0; 4096];
        let n = self.stream.read(&mut part)?;
        self.buffer.extend_from_slice(&part[..n]);
        Ok(n > 0)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A message behind its status line: stuffed and ended, as RFC 1939 §3 says. Lines end with
/// CRLF and with nothing else.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut rest = message;
    while !rest.is_empty() {
        if rest[0] == b'.' {
            out.push(b'.');
        }
        let end = rest
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .map_or(rest.len(), |at| at + 2);
        out.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// The header with the empty line behind it, and `lines` lines of the body.
pub(super) fn top(message: &[u8], lines: usize) -> &[u8] {
    let mut end = 0;
    let mut left = None;
    while end < message.len() && left != Some(0) {
        let line = message[end..]
            .iter()
            .position(|b| *b == b'\n')
            .map_or(message.len() - end, |at| at + 1);
        let empty = matches!(&message[end..end + line], b"\n" | b"\r\n");
        end += line;
        left = match left {
            None if empty => Some(lines),
            Some(n) => Some(n - 1),
            None => None,
        };
    }
    &message[..end]
}
