//! Changes of the copy that is sent, for targets that refuse a message as it is. Pure.
//!
//! Only on request, and never of what the archive holds. Each one breaks a signature over what it
//! changes (DKIM, S/MIME, PGP/MIME).

mod long_lines;

use super::inspect::{RECEIPTS, Traits};
use crate::header;
use long_lines::{Breaking, break_body, fold};

/// Most bytes of a line, without its line end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// What is put before the name of a field that asks for a receipt.
const DISARMED: &[u8] = b"X-Disarmed-";

/// Which changes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one switch of the command line each"
)]
pub struct Repairs {
    /// Each NUL becomes 0x80. That hurts least: it is what Dovecot and UW IMAP store in its stead,
    /// so copies made by different means stay equal to the ladder; no length, no line and no word
    /// changes; and what was there can still be told from text, which a blank could not.
    pub nul: bool,
    /// Lines of more than 998 bytes are broken.
    ///
    /// In the header at white space, where RFC 5322 §2.2.3 folds. In the body by the
    /// Content-Transfer-Encoding of the message as a whole: quoted-printable by a soft line break,
    /// which changes nothing; base64 anywhere, which changes nothing either; everything else
    /// behind the last blank before the bound, or hard, but not within a character of UTF-8. That
    /// adds a line end to the text, and in HTML it may fall into a word or a link. The parts of a
    /// multipart message are not looked into: all are treated as text, so a quoted-printable part
    /// with such lines, which RFC 2045 forbids, gets line ends too, and a binary one is spoilt.
    pub long_lines: bool,
    /// Each LF without a CR becomes CRLF. A CR without an LF stays.
    pub bare_lf: bool,
    /// Header fields that ask for a receipt get another name, so that nobody is told again that
    /// an old message was read.
    pub disarm_receipts: bool,
}

impl Repairs {
    /// Whether a message that is like this would be changed, or would have to be left.
    #[must_use]
    pub const fn would_change(self, traits: &Traits) -> bool {
        (self.nul && traits.nul)
            || (self.bare_lf && traits.bare_lf)
            || (self.long_lines && traits.longest_line > LINE_MAX as u64)
            || (self.disarm_receipts && traits.disposition_notification)
    }
}

/// A message with its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The copy to send.
    pub bytes: Vec<u8>,
    /// What was done, for the report; each once.
    pub done: Vec<&'static str>,
    /// What could not be done, for the report; each once.
    pub left: Vec<&'static str>,
}

/// Makes the changes. `None` where there is nothing to change and nothing that had to be left: the
/// message goes as it is.
///
/// The same message and the same `repairs` give the same bytes, and a repaired message needs no
/// repair, so the copy sent is known again whenever it is made anew.
#[must_use]
pub fn repair(message: &[u8], repairs: Repairs) -> Option<Repaired> {
    let mut work = Work {
        repairs,
        breaking: Breaking::of(message),
        out: Vec::with_capacity(message.len() + message.len() / 32),
        seen: Seen::default(),
    };
    let mut in_header = true;
    let mut eol: &[u8] = b"\r\n";
    let mut rest = message;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
        rest = after;
        let (text, ended) = if let Some(text) = line.strip_suffix(b"\r\n") {
            eol = b"\r\n";
            (text, true)
        } else if let Some(text) = line.strip_suffix(b"\n") {
            eol = if repairs.bare_lf { b"\r\n" } else { b"\n" };
            work.seen.bare_lf |= repairs.bare_lf;
            (text, true)
        } else {
            (line, false)
        };
        in_header &= !text.is_empty();
        work.line(text, in_header, eol);
        if ended {
            work.out.extend_from_slice(eol);
        }
    }
    work.finish()
}

struct Work {
    repairs: Repairs,
    breaking: Breaking,
    out: Vec<u8>,
    seen: Seen,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each text of a report"
)]
struct Seen {
    nul: bool,
    long_lines: bool,
    bare_lf: bool,
    receipts: bool,
    unbreakable: bool,
}

impl Work {
    /// Takes a line without its line end; `eol` is what a new one in it looks like.
    fn line(&mut self, text: &[u8], in_header: bool, eol: &[u8]) {
        let start = self.out.len();
        if in_header && self.repairs.disarm_receipts && asks_for_receipt(text) {
            self.seen.receipts = true;
            self.out.extend_from_slice(DISARMED);
        }
        self.out.extend_from_slice(text);
        if self.repairs.nul {
            for byte in self.out.iter_mut().skip(start).filter(|byte| **byte == 0) {
                self.seen.nul = true;
                *byte = 0x80;
            }
        }
        if self.repairs.long_lines && self.out.len() - start > LINE_MAX {
            let long = self.out.split_off(start);
            if in_header {
                self.seen.unbreakable |= fold(&long, eol, &mut self.out);
            } else {
                break_body(&long, self.breaking, eol, &mut self.out);
            }
            self.seen.long_lines |= self.out.len() - start > long.len();
        }
    }

    fn finish(self) -> Option<Repaired> {
        let seen = self.seen;
        let done = [
            (seen.nul, "NULs became 0x80"),
            (seen.long_lines, "long lines were broken"),
            (seen.bare_lf, "bare LFs became CRLF"),
            (seen.receipts, "requests for receipts were disarmed"),
        ];
        let left = [(
            seen.unbreakable,
            "a header line of more than 998 bytes has no white space to fold it at",
        )];
        let texts = |list: &[(bool, &'static str)]| -> Vec<&'static str> {
            let wanted = list.iter().filter(|(is, _)| *is);
            wanted.map(|(_, text)| *text).collect()
        };
        let (done, left) = (texts(&done), texts(&left));
        (!done.is_empty() || !left.is_empty()).then_some(Repaired {
            bytes: self.out,
            done,
            left,
        })
    }
}

fn asks_for_receipt(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && RECEIPTS.iter().any(|receipt| {
            name.trim_ascii_end()
                .eq_ignore_ascii_case(receipt.as_bytes())
        })
}

#[cfg(test)]
mod tests;
