//! Who a fetched message is: its hash, and what its bytes tell about it.

use std::fs::File;
use std::io::{self, Read};

use crate::archive::mboxrd::LineEndScan;
use crate::archive::{self, NewContent};
use crate::header;
use crate::model::{ContentId, Flags, InternalDate, LineEnds, RemoteId};
use crate::spool::{Body, SpoolError};

/// Room a spooled message takes in the committer's queue, in bytes: its bytes lie in a file, but
/// an open file and a disk are not free either.
const SPOOLED_COSTS: u64 = 1 << 20;
const LINE_END: &[u8] = b"\r\n";

/// A message that was looked at as a whole.
pub(super) struct Identified {
    pub(super) id: ContentId,
    pub(super) len: u64,
    /// The id it would have without the CRLF at its end; `None` where there is none.
    pub(super) unterminated: Option<ContentId>,
    eol: LineEnds,
    head: Option<String>,
    /// The beginning of a message that lies in a file.
    start: Vec<u8>,
    body: archive::Body,
}

impl Identified {
    /// The beginning of the message, its header at least as far as it is looked at.
    pub(super) fn start(&self) -> &[u8] {
        match &self.body {
            archive::Body::Memory(bytes) => bytes,
            archive::Body::Spooled(_) => &self.start,
        }
    }

    /// Bytes it takes in the committer's queue.
    pub(super) const fn in_memory(&self) -> u64 {
        match &self.body {
            archive::Body::Memory(_) => self.len,
            archive::Body::Spooled(_) => SPOOLED_COSTS,
        }
    }

    /// The content with what its server says of it.
    pub(super) fn into_content(
        self,
        remote: RemoteId,
        date: Option<InternalDate>,
        flags: Flags,
    ) -> (NewContent, archive::Body) {
        let content = NewContent {
            id: self.id,
            len: self.len,
            eol: self.eol,
            head: self.head,
            date,
            remote,
            flags,
        };
        (content, self.body)
    }
}

/// Looks at a whole message, once.
pub(super) fn identify(body: Body) -> Result<Identified, SpoolError> {
    match body {
        Body::Memory(bytes) => {
            let mut look = Look::default();
            look.take(&bytes);
            Ok(look.identified(
                header::digest(&bytes),
                Vec::new(),
                archive::Body::Memory(bytes),
            ))
        }
        Body::Spooled(spooled) => {
            let failed = |source| SpoolError {
                path: Some(spooled.path().to_owned()),
                source,
            };
            let file = crate::durable::open_read(spooled.path()).map_err(failed)?;
            let (look, start) = read_through(&file).map_err(failed)?;
            // The name goes with `spooled`; the open file keeps the bytes.
            Ok(look.identified(header::digest(&start), start, archive::Body::Spooled(file)))
        }
    }
}

fn read_through(mut file: &File) -> io::Result<(Look, Vec<u8>)> {
    let mut look = Look::default();
    let mut start = Vec::new();
    let mut chunk = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            return Ok((look, start));
        }
        let part = chunk.get(..n).unwrap_or_default();
        if start.len() < header::HEADER_MAX {
            start.extend_from_slice(part);
        }
        look.take(part);
    }
}

/// Hashes with the last two bytes held back, so that both ids come of one pass.
#[derive(Default)]
struct Look {
    hasher: blake3::Hasher,
    scan: LineEndScan,
    tail: Vec<u8>,
    len: u64,
}

impl Look {
    fn take(&mut self, part: &[u8]) {
        self.scan.push(part);
        self.len += part.len() as u64;
        let (body, tail) = part.split_at(part.len().saturating_sub(LINE_END.len()));
        if tail.len() == LINE_END.len() {
            self.hasher.update(&self.tail).update(body);
            self.tail = tail.to_vec();
        } else {
            self.tail.extend_from_slice(tail);
            let sure = self.tail.len().saturating_sub(LINE_END.len());
            let kept = self.tail.split_off(sure);
            self.hasher.update(&self.tail);
            self.tail = kept;
        }
    }

    fn identified(
        mut self,
        head: Option<String>,
        start: Vec<u8>,
        body: archive::Body,
    ) -> Identified {
        let id = |hasher: &blake3::Hasher| ContentId::from_bytes(*hasher.finalize().as_bytes());
        let unterminated = (self.tail == LINE_END).then(|| id(&self.hasher));
        self.hasher.update(&self.tail);
        Identified {
            id: id(&self.hasher),
            len: self.len,
            unterminated,
            eol: self.scan.line_ends(),
            head,
            start,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ids_come_of_one_pass_however_it_is_cut() {
        for text in ["", "a", "\r\n", "a\r\n", "ab\n", "a\r\nb\r\n"] {
            let bytes = text.as_bytes();
            for size in 1..=bytes.len().max(1) {
                let mut look = Look::default();
                bytes.chunks(size).for_each(|part| look.take(part));
                let found = look.identified(None, Vec::new(), archive::Body::Memory(Vec::new()));
                assert_eq!(found.id, ContentId::of(bytes), "{text:?} by {size}");
                let without = text
                    .strip_suffix("\r\n")
                    .map(|t| ContentId::of(t.as_bytes()));
                assert_eq!(found.unterminated, without, "{text:?} by {size}");
            }
        }
    }
}
