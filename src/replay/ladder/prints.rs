//! The step that goes by the bodies.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::Group;
use crate::header::{self, HEADER_MAX};
use crate::model::ContentId;

/// Blanks at the end of a line that are held back until something follows. A longer run counts
/// as text, so that a hostile message costs no memory.
const BLANKS_MAX: usize = 64 << 10;

/// Most fields of a header that are compared.
const FIELDS_MAX: usize = 256;

/// What two copies of a message have in common.
///
/// All but [`exact`](Self::exact) is the same whatever servers do to a message: other line ends,
/// blanks at the end of lines, lines at the end of the message, NUL stored as 0x80 (QUIRK(Dovecot,
/// 2.3)). It knows nothing of `>From `, which is text, nor of lines broken or joined: print what
/// was sent, not what the archive holds, where the copy sent was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The hash of the bytes.
    pub exact: ContentId,
    /// A hash of the body.
    pub body: [u8; 32],
    /// Whether there is anything in the body.
    pub has_body: bool,
    /// What stands in the header.
    pub header: HeaderPrint,
}

/// What stands in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderPrint {
    /// Digests of its fields, ascending, each as often as it is there. Where it has more than 256,
    /// those with the lowest digests, which are the same ones in a copy with some added.
    Fields(Vec<u64>),
    /// It is larger than [`HEADER_MAX`], so only Message-ID, Date, From and Subject are known.
    Cut(Option<String>),
}

impl Print {
    /// Whether `theirs` is this message as a server keeps it: the body is the same, and all that
    /// stands in our header stands in theirs. Servers add fields, and take none away.
    #[must_use]
    pub fn is_kept_as(&self, theirs: &Self) -> bool {
        self.exact == theirs.exact || self.body == theirs.body && self.header_is_kept(theirs)
    }

    fn header_is_kept(&self, theirs: &Self) -> bool {
        match (&self.header, &theirs.header) {
            // Nothing at all is in every message without a body.
            (HeaderPrint::Fields(ours), HeaderPrint::Fields(theirs)) if ours.is_empty() => {
                self.has_body || theirs.is_empty()
            }
            (HeaderPrint::Fields(ours), HeaderPrint::Fields(theirs)) => is_among(ours, theirs),
            (HeaderPrint::Cut(ours), HeaderPrint::Cut(theirs)) => ours == theirs,
            // What a server adds on top may be what makes it too large.
            (HeaderPrint::Fields(_), HeaderPrint::Cut(_)) => false,
            (HeaderPrint::Cut(_), HeaderPrint::Fields(_)) => false,
        }
    }

    fn fields(&self) -> Option<&[u64]> {
        match &self.header {
            HeaderPrint::Fields(fields) => Some(fields),
            HeaderPrint::Cut(_) => None,
        }
    }
}

/// Whether all of ours are among theirs, each as often. Both ascend.
fn is_among(ours: &[u64], theirs: &[u64]) -> bool {
    let last = theirs.last().filter(|_| theirs.len() >= FIELDS_MAX);
    let mut theirs = theirs.iter().peekable();
    ours.iter()
        // Beyond that theirs are not known.
        .take_while(|field| last.is_none_or(|last| *field <= last))
        .all(|field| {
            while theirs.next_if(|other| *other < field).is_some() {}
            theirs.next_if_eq(&field).is_some()
        })
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
    has_body: bool,
}

impl Printer {
    /// The print of all that was written.
    #[must_use]
    pub fn finish(self) -> Print {
        let Text {
            header,
            body,
            has_body,
            ..
        } = self.text;
        let print = if header.len() >= HEADER_MAX {
            HeaderPrint::Cut(header::digest(&header))
        } else {
            let mut fields: Vec<u64> = header::field_digests(&header).collect();
            fields.sort_unstable();
            fields.truncate(FIELDS_MAX);
            fields.shrink_to_fit();
            HeaderPrint::Fields(fields)
        };
        Print {
            exact: ContentId::from_bytes(*self.exact.finalize().as_bytes()),
            body: *body.finalize().as_bytes(),
            has_body,
            header: print,
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
        self.has_body |= left > 0;
        while left > 0 {
            let some = SOME.get(..usize::try_from(left).unwrap_or(SOME.len()));
            let some = some.unwrap_or(&SOME);
            self.body.update(some);
            left -= some.len() as u64;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.in_body {
            self.has_body |= !bytes.is_empty();
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
/// only as servers make it differ. An item may have several prints, of the copies that may have
/// been sent of it. Each item and each message is in one pair at most; one without a print, or of
/// another group, is in none.
#[must_use]
pub fn by_prints(
    group: &Group,
    ours: &[(usize, Print)],
    theirs: &[(u32, Print)],
) -> Vec<(usize, u32)> {
    let items: HashSet<usize> = group.ours.iter().copied().collect();
    let uids: HashSet<u32> = group.theirs.iter().copied().collect();
    let mut ours: Vec<&(usize, Print)> = ours.iter().filter(|(n, _)| items.contains(n)).collect();
    let mut theirs: Vec<&(u32, Print)> = theirs.iter().filter(|(n, _)| uids.contains(n)).collect();
    ours.sort_by_key(|(item, _)| *item);
    theirs.sort_by_key(|(uid, _)| *uid);
    // A UID that a caller names twice is still one message.
    theirs.dedup_by_key(|(uid, _)| *uid);
    let mut pairing = Pairing::default();
    let mut exact: HashMap<ContentId, Vec<u32>> = HashMap::new();
    // From the back, as the first UID is to be taken first.
    for (uid, print) in theirs.iter().rev() {
        exact.entry(print.exact).or_default().push(*uid);
    }
    for (item, print) in &ours {
        if !pairing.items.contains(item)
            && let Some(uid) = exact.get_mut(&print.exact).and_then(Vec::pop)
        {
            pairing.pair(*item, uid);
        }
    }
    // Those that say most first, and what was added least: of two that fit one message, one may
    // fit another as well.
    let said = |print: &Print| print.fields().map_or(0, <[u64]>::len);
    ours.sort_by_key(|(item, print)| (std::cmp::Reverse(said(print)), *item));
    theirs.sort_by_key(|(uid, print)| (said(print), *uid));
    let mut bodies: HashMap<[u8; 32], Bodies<'_>> = HashMap::new();
    for one in theirs {
        if !pairing.uids.contains(&one.0) {
            bodies.entry(one.1.body).or_default().add(one);
        }
    }
    for (item, print) in ours {
        if !pairing.items.contains(item)
            && let Some(uid) = bodies
                .get(&print.body)
                .and_then(|b| b.find(print, &pairing))
        {
            pairing.pair(*item, uid);
        }
    }
    pairing.pairs
}

#[derive(Default)]
struct Pairing {
    items: HashSet<usize>,
    uids: HashSet<u32>,
    pairs: Vec<(usize, u32)>,
}

impl Pairing {
    fn pair(&mut self, item: usize, uid: u32) {
        self.items.insert(item);
        self.uids.insert(uid);
        self.pairs.push((item, uid));
    }
}

/// Messages with one body. There may be thousands without any, so they are found by their fields.
#[derive(Default)]
struct Bodies<'a> {
    all: Vec<&'a (u32, Print)>,
    by_field: HashMap<u64, Vec<&'a (u32, Print)>>,
    /// Of these not all fields are known.
    partly: Vec<&'a (u32, Print)>,
}

impl<'a> Bodies<'a> {
    fn add(&mut self, one: &'a (u32, Print)) {
        self.all.push(one);
        match one.1.fields() {
            Some(fields) if fields.len() < FIELDS_MAX => {
                for field in fields {
                    let same = self.by_field.entry(*field).or_default();
                    if same.last().is_none_or(|last| last.0 != one.0) {
                        same.push(one);
                    }
                }
            }
            _ => self.partly.push(one),
        }
    }

    fn find(&self, ours: &Print, pairing: &Pairing) -> Option<u32> {
        let none = Vec::new();
        let having = |field| self.by_field.get(field).unwrap_or(&none);
        // The field that says most.
        let fields = ours.fields().unwrap_or_default().iter();
        let rarest = fields.map(having).min_by_key(|same| same.len());
        let fits =
            |one: &&&(u32, Print)| !pairing.uids.contains(&one.0) && ours.header_is_kept(&one.1);
        let found = match rarest {
            Some(rarest) => rarest.iter().chain(&self.partly).find(fits),
            None => self.all.iter().find(fits),
        };
        found.map(|one| one.0)
    }
}

#[cfg(test)]
mod tests;
