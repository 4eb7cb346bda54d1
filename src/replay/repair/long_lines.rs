//! Breaking lines that are too long.

use super::{LINE_MAX, header};

/// How a line of the body is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaking {
    /// Behind a blank, or hard.
    Text,
    /// By a soft line break (RFC 2045 §6.7, rule 5).
    QuotedPrintable,
    /// Anywhere: decoders pass over line ends (RFC 2045 §6.8).
    Base64,
}

impl Breaking {
    /// Goes by the message's own Content-Transfer-Encoding.
    pub(super) fn of(message: &[u8]) -> Self {
        let (mut encoding, mut composite) = (Self::Text, false);
        let begins = |value: &[u8], with: &str| {
            let value = value.trim_ascii_start();
            value
                .get(..with.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        for (name, value) in header::fields(message) {
            if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                encoding = if begins(value, "quoted-printable") {
                    Self::QuotedPrintable
                } else if begins(value, "base64") {
                    Self::Base64
                } else {
                    Self::Text
                };
            } else if name.eq_ignore_ascii_case(b"Content-Type") {
                composite = begins(value, "multipart/") || begins(value, "message/");
            }
        }
        // RFC 2045 §6.4: what holds other parts is not encoded itself, whatever it claims.
        if composite { Self::Text } else { encoding }
    }
}

/// Folds a line of a header. Line ends go before white space that is there, so unfolding gives
/// the line back. Returns whether more than [`LINE_MAX`] bytes had to stay together somewhere.
pub(super) fn fold(line: &[u8], eol: &[u8], out: &mut Vec<u8>) -> bool {
    let mut unbreakable = false;
    let mut rest = line;
    // The name of a field and its colon stay together.
    let colon = memchr::memchr(b':', line).filter(|at| is_name(line.get(..*at)));
    let mut from = colon.map_or(0, |at| at + 1);
    while rest.len() > LINE_MAX {
        let Some(at) = fold_at(rest, from) else {
            break;
        };
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, b""));
        unbreakable |= piece.len() > LINE_MAX;
        out.extend_from_slice(piece);
        out.extend_from_slice(eol);
        rest = after;
        from = 0;
    }
    out.extend_from_slice(rest);
    unbreakable || rest.len() > LINE_MAX
}

fn is_name(bytes: Option<&[u8]>) -> bool {
    let name = bytes.unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// The last place for a line end that keeps what is before it within the bound, else the first
/// one. Before and behind it stands something that is not blank: a line of blanks is taken for
/// the end of the header by some.
fn fold_at(line: &[u8], from: usize) -> Option<usize> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let first_word = line.iter().position(|byte| !is_blank(byte))?;
    let last_word = line.iter().rposition(|byte| !is_blank(byte))?;
    let start = from.max(first_word + 1);
    let mut places = line
        .iter()
        .enumerate()
        .take(last_word)
        .skip(start)
        .filter(|(_, byte)| is_blank(byte))
        .map(|(at, _)| at);
    let first = places.next()?;
    Some(
        places
            .take_while(|at| *at <= LINE_MAX)
            .last()
            .unwrap_or(first),
    )
}

/// Breaks a line of the body into pieces of at most [`LINE_MAX`] bytes.
pub(super) fn break_body(line: &[u8], how: Breaking, eol: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    while rest.len() > LINE_MAX {
        let (at, soft): (usize, &[u8]) = match how {
            Breaking::Text => (text_break(rest), b""),
            Breaking::QuotedPrintable => (soft_break(rest), b"="),
            // Whole groups of four, for decoders that take line by line.
            Breaking::Base64 => (LINE_MAX / 4 * 4, b""),
        };
        let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, b""));
        out.extend_from_slice(piece);
        out.extend_from_slice(soft);
        out.extend_from_slice(eol);
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Behind the last blank, or between characters.
fn text_break(line: &[u8]) -> usize {
    let head = line.get(..LINE_MAX).unwrap_or(line);
    memchr::memrchr2(b' ', b'\t', head)
        .map_or_else(|| between_characters(line, LINE_MAX), |at| at + 1)
}

/// Leaves room for the `=`, and does not fall into a code such as `=C3`.
fn soft_break(line: &[u8]) -> usize {
    let at = LINE_MAX - 1;
    let code = [at - 1, at - 2]
        .into_iter()
        .find(|before| line.get(*before) == Some(&b'='));
    between_characters(line, code.unwrap_or(at))
}

/// The bound, or up to three bytes less where a character of UTF-8 would be cut.
fn between_characters(line: &[u8], bound: usize) -> usize {
    let starts = |at: &usize| line.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
    (bound - 3..=bound).rev().find(starts).unwrap_or(bound)
}
