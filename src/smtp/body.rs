//! A message on its way out: looked at first, then handed over in parts.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _, Take};

use memchr::memchr2;

use super::error::SmtpError;
use super::stream::Stream;
use crate::spool::{Body, SpooledBody};

/// The exact bytes of a message, wherever they are.
#[derive(Clone, Copy, Debug)]
pub enum SmtpBody<'a> {
    /// Held in memory.
    Memory(&'a [u8]),
    /// Held in a file, which is read twice: once to look at it, once to send it.
    Spooled(&'a SpooledBody),
}

impl<'a> From<&'a Body> for SmtpBody<'a> {
    fn from(body: &'a Body) -> Self {
        match body {
            Body::Memory(bytes) => Self::Memory(bytes),
            Body::Spooled(body) => Self::Spooled(body),
        }
    }
}

/// How much is read, stuffed and written at once.
const PART: usize = 64 * 1024;

/// What has to be known of a message before its first byte is sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// Bytes.
    pub(super) len: u64,
    /// It has bytes beyond ASCII.
    pub(super) eight_bit: bool,
    /// It has a dot that is no line by RFC 5321, but one for servers that take a bare LF or CR
    /// for a line end. Such a server ends the message there and goes on to obey the rest
    /// (SMTP smuggling, CVE-2023-51764).
    pub(super) lone_dot: bool,
    place: Place,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// At the start of the message, or behind CRLF: a dot is stuffed here.
    #[default]
    Start,
    Text,
    Cr,
    /// Behind a bare LF.
    BareLf,
    /// Behind a dot that stands behind a bare LF or CR, and is not stuffed.
    BareDot,
}

impl SmtpBody<'_> {
    /// Reads all of it.
    pub(super) fn look(self) -> Result<Look, SmtpError> {
        let mut look = Look::default();
        match self {
            Self::Memory(bytes) => look.at(bytes),
            Self::Spooled(body) => {
                let mut file = open(body)?;
                let mut part = vec![0; PART];
                loop {
                    let read = file.read(&mut part).map_err(unreadable)?;
                    let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else {
                        break;
                    };
                    look.at(bytes);
                }
                if look.len != body.len() {
                    return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        look.lone_dot |= look.place == Place::BareDot;
        Ok(look)
    }
}

fn open(body: &SpooledBody) -> Result<File, SmtpError> {
    File::open(body.path()).map_err(unreadable)
}

const fn unreadable(source: io::Error) -> SmtpError {
    SmtpError::Body { source }
}

impl Look {
    fn at(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.eight_bit |= !bytes.is_ascii();
        let mut rest = bytes;
        while let Some((byte, behind)) = rest.split_first() {
            if self.place == Place::BareDot && matches!(byte, b'\r' | b'\n') {
                self.lone_dot = true;
            }
            self.place = match (self.place, byte) {
                (Place::Cr, b'\n') => Place::Start,
                (_, b'\r') => Place::Cr,
                (_, b'\n') => Place::BareLf,
                (Place::Cr | Place::BareLf, b'.') => Place::BareDot,
                (_, _) => Place::Text,
            };
            rest = match self.place {
                Place::Text => behind.get(memchr2(b'\r', b'\n', behind).unwrap_or(behind.len())..),
                _ => Some(behind),
            }
            .unwrap_or_default();
        }
    }

    /// Whether it ends in CRLF, which DATA needs in any case (RFC 5321 §4.1.1.4).
    fn ends(&self) -> bool {
        self.len > 0 && self.place == Place::Start
    }

    /// The size to declare: with every CRLF, without what is stuffed (RFC 1870 §6).
    pub(super) fn declared(&self) -> u64 {
        if self.ends() { self.len } else { self.len + 2 }
    }
}

/// The parts of a message for lettre, which stuffs dots and adds CRLF, dot, CRLF.
///
/// QUIRK(lettre 0.11.23): it adds that CRLF also to a message that ends in one, so the message's
/// own stays behind. And it takes the end of an iterator for the end of the message, so where
/// the bytes cannot be read the stream is closed first: half a message never gets its dot.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    source: Source<'a>,
    stream: Stream,
}

#[derive(Debug)]
enum Source<'a> {
    Memory(&'a [u8]),
    File(Take<File>),
}

impl<'a> Parts<'a> {
    pub(super) fn new(body: SmtpBody<'a>, look: &Look, stream: Stream) -> Result<Self, SmtpError> {
        let len = if look.ends() { look.len - 2 } else { look.len };
        let source = match body {
            SmtpBody::Memory(bytes) => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                Source::Memory(bytes.get(..len).unwrap_or(bytes))
            }
            SmtpBody::Spooled(body) => Source::File(open(body)?.take(len)),
        };
        Ok(Self { source, stream })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.source.part() {
            Ok(Some(part)) => Some(part),
            Ok(None) => {
                self.stream.end_message();
                None
            }
            Err(source) => {
                self.stream.fail(unreadable(source));
                None
            }
        }
    }
}

impl<'a> Source<'a> {
    fn part(&mut self) -> io::Result<Option<Cow<'a, [u8]>>> {
        match self {
            Self::Memory(bytes) => {
                let (part, rest) = bytes.split_at(bytes.len().min(PART));
                *bytes = rest;
                Ok((!part.is_empty()).then_some(Cow::Borrowed(part)))
            }
            Self::File(file) => {
                if file.limit() == 0 {
                    return Ok(None);
                }
                let mut part = vec![0; PART];
                let read = file.read(&mut part)?;
                part.truncate(read);
                if part.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(Some(Cow::Owned(part)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(chunks: &[&[u8]]) -> Look {
        let mut look = Look::default();
        chunks.iter().for_each(|chunk| look.at(chunk));
        look.lone_dot |= look.place == Place::BareDot;
        look
    }

    #[test]
    fn a_message_is_looked_at_alike_in_any_chunking() {
        for (message, eight_bit, lone_dot, declared) in [
            (b"".as_slice(), false, false, 2),
            (b"\r\n", false, false, 2),
            (b"a\r\n", false, false, 3),
            (b"a", false, false, 3),
            (b"a\n", false, false, 4),
            (b"a\r", false, false, 4),
            (b"a\r\r\n", false, false, 4),
            (b"\xc3\xa9\r\n", true, false, 4),
            // A dot behind CRLF is stuffed, whatever follows.
            (b".", false, false, 3),
            (b".\n.x\r\n", false, false, 6),
            (b"a\r\n.\r\nb\r\n", false, false, 9),
            (b"a\r\n.\nb\r\n", false, false, 8),
            (b"a\r\n.\rb\r\n", false, false, 8),
            // Behind a bare line end it is not, and must not stand alone.
            (b"a\n.\nb\r\n", false, true, 7),
            (b"a\n.\r\nb\r\n", false, true, 8),
            (b"a\r.\r\nb\r\n", false, true, 8),
            (b"a\r.\rb\r\n", false, true, 7),
            (b"a\n\r.\r\n", false, true, 6),
            (b"a\r\n\n.\r\n", false, true, 7),
            (b"a\n.", false, true, 5),
            (b"a\n.b\r.c\n..\n", false, false, 13),
        ] {
            for width in [1, 2, 3, 100] {
                let chunks: Vec<&[u8]> = message.chunks(width).collect();
                let look = look(&chunks);
                assert_eq!(look.len, message.len() as u64);
                assert_eq!(
                    (look.eight_bit, look.lone_dot, look.declared()),
                    (eight_bit, lone_dot, declared),
                    "{:?}",
                    message.escape_ascii().to_string()
                );
            }
        }
    }
}
