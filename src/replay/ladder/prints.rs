//! The step that goes by the bodies.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::Group;
use crate::header::{self, HEADER_MAX};
use crate::model::ContentId;

/// Blanks at the end of a line that are held back until something follows. A longer run counts
/// as text, so that a hostile message costs no memory.
const BLANKS_MAX: usize = 64 << 10;

/// What two copies of a message have in common, from the strictest to the most forgiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    /// The hash of the bytes.
    pub exact: ContentId,
    /// A hash of the body and of Message-ID, Date, From and Subject that is the same whatever
    /// servers do to a message: header fields added on top or below, other line ends, blanks at
    /// the end of lines, lines at the end of the message, NUL stored as 0x80 (QUIRK(Dovecot,
    /// 2.3)). It knows nothing of `>From `, which is text, nor of lines broken or joined: print
    /// what was sent, not what the archive holds, where the copy sent was changed.
    pub normal: [u8; 32],
}

/// Prints a message that is in memory.
#[must_use]
pub fn print_of(message: &[u8]) -> Print {
    let mut printer = Printer::default();
    printer.take(message);
    printer.finish()
}

/// Prints a message that passes by; how it is cut in pieces does not matter. Writing never fails.
#[derive(Debug, Default)]
pub struct Printer {
    exact: blake3::Hasher,
    text: Text,
    /// Line ends and blanks that count only when something follows.
    newlines: u64,
    blanks: Vec<u8>,
    /// CRs whose meaning depends on what follows them.
    returns: u64,
}

/// Where the normalised bytes go: to the header until an empty line, then to the body.
#[derive(Debug, Default)]
struct Text {
    header: Vec<u8>,
    body: blake3::Hasher,
    /// The line under way has text in it.
    in_line: bool,
    in_body: bool,
}

impl Printer {
    /// The print of all that was written.
    #[must_use]
    pub fn finish(self) -> Print {
        let mut normal = blake3::Hasher::new();
        let fields = header::digest(&self.text.header).unwrap_or_default();
        normal.update(fields.as_bytes());
        normal.update(b"\n");
        normal.update(self.text.body.finalize().as_bytes());
        Print {
            exact: ContentId::from_bytes(*self.exact.finalize().as_bytes()),
            normal: *normal.finalize().as_bytes(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        self.exact.update(bytes);
        while let Some((&first, rest)) = bytes.split_first() {
            match first {
                b'\r' => self.returns += 1,
                b'\n' => {
                    // CRs before an LF are part of one line end, however many.
                    self.returns = 0;
                    self.end_lines(1);
                }
                _ => {
                    self.end_lines(self.returns);
                    self.returns = 0;
                    bytes = self.take_text(bytes);
                    continue;
                }
            }
            bytes = rest;
        }
    }

    fn end_lines(&mut self, count: u64) {
        if count > 0 {
            self.blanks.clear();
            self.newlines += count;
        }
    }

    /// Takes text or blanks up to the next line end, and gives back the rest.
    fn take_text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        let text_len = line
            .iter()
            .rposition(|byte| !matches!(byte, b' ' | b'\t'))
            .map_or(0, |at| at + 1);
        let (text, blanks) = line.split_at_checked(text_len).unwrap_or((line, b""));
        if !text.is_empty() {
            self.pour_pending();
            self.pour(text);
        }
        for blank in blanks {
            if self.blanks.len() >= BLANKS_MAX {
                self.pour_pending();
            }
            self.blanks.push(*blank);
        }
        rest
    }

    fn pour_pending(&mut self) {
        self.text.end_lines(std::mem::take(&mut self.newlines));
        let mut blanks = std::mem::take(&mut self.blanks);
        self.text.add(&blanks);
        blanks.clear();
        self.blanks = blanks;
    }

    fn pour(&mut self, text: &[u8]) {
        let mut pieces = text.split(|byte| *byte == 0).peekable();
        while let Some(piece) = pieces.next() {
            self.text.add(piece);
            if pieces.peek().is_some() {
                self.text.add(b"\x80");
            }
        }
    }
}

impl Text {
    fn end_lines(&mut self, count: u64) {
        const SOME: [u8; 256] = [b'\n'; 256];
        let mut left = count;
        while left > 0 && !self.in_body {
            self.in_body = !self.in_line;
            self.add_to_header(b"\n");
            self.in_line = false;
            left -= 1;
        }
        while left > 0 {
            let some = SOME.get(..usize::try_from(left).unwrap_or(SOME.len()));
            let some = some.unwrap_or(&SOME);
            self.body.update(some);
            left -= some.len() as u64;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.in_body {
            self.body.update(bytes);
        } else if !bytes.is_empty() {
            self.in_line = true;
            self.add_to_header(bytes);
        }
    }

    fn add_to_header(&mut self, bytes: &[u8]) {
        let room = HEADER_MAX.saturating_sub(self.header.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.header.extend_from_slice(fits);
    }
}

impl Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pairs the items and messages of a group by their prints: equal bytes first, then what differs
/// only as servers make it differ. Each item and each message is in one pair at most; one without
/// a print, or of another group, is in none.
#[must_use]
pub fn by_prints(
    group: &Group,
    ours: &[(usize, Print)],
    theirs: &[(u32, Print)],
) -> Vec<(usize, u32)> {
    let ours: HashMap<usize, Print> = ours.iter().copied().collect();
    let theirs: HashMap<u32, Print> = theirs.iter().copied().collect();
    let mut taken = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    for key in [|p: &Print| *p.exact.as_bytes(), |p: &Print| p.normal] {
        let mut free: HashMap<[u8; 32], Vec<u32>> = HashMap::new();
        // From the back, as the first UID is to be taken first.
        for uid in group.theirs.iter().rev() {
            if let Some(print) = theirs.get(uid).filter(|_| !taken.1.contains(uid)) {
                free.entry(key(print)).or_default().push(*uid);
            }
        }
        for item in &group.ours {
            let print = ours.get(item).filter(|_| !taken.0.contains(item));
            let uids = print.and_then(|p| free.get_mut(&key(p)));
            if let Some(uid) = uids.and_then(Vec::pop) {
                // A UID that a caller names twice is still one message.
                if taken.1.insert(uid) {
                    taken.0.insert(*item);
                    pairs.push((*item, uid));
                }
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
