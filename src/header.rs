//! What a message's header says, for people and for matching. Never an identity.
//!
//! The only owner of `mail_parser`.

mod date;
mod identity;

use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, MessageParser};

pub use date::delivered;
pub use identity::{Identity, field_digests, identity, shorter};

/// Header bytes looked at; a header larger than this is cut, so that a hostile message costs
/// no more than an ordinary one.
pub const HEADER_MAX: usize = 256 << 10;

/// Lengths of what [`digest`] hashes, in hex digits.
const DIGEST_DIGITS: usize = 32;

/// Bytes of a value that [`decoded`] reads, ample for the longest encoded word (RFC 2047: 75).
const DECODED_MAX: usize = 1 << 10;

/// The header of a message: everything up to the first empty line, at most [`HEADER_MAX`] bytes.
#[must_use]
pub fn header_of(message: &[u8]) -> &[u8] {
    let message = message
        .get(..HEADER_MAX.min(message.len()))
        .unwrap_or_default();
    let lf = memchr::memmem::find(message, b"\n\n");
    let crlf = memchr::memmem::find(message, b"\n\r\n");
    let end = [lf, crlf].into_iter().flatten().min();
    end.and_then(|at| message.get(..=at)).unwrap_or(message)
}

/// A digest of Message-ID, Date, From and Subject; `None` when the header has none of them.
///
/// Folding and runs of white space do not count, since servers refold. Used to recognise a held
/// message after UIDVALIDITY changed, until its bytes are proven; never to identify one.
#[must_use]
pub fn digest(message: &[u8]) -> Option<String> {
    let hash = four_fields(header_of(message))?;
    Some(hash.to_hex().chars().take(DIGEST_DIGITS).collect())
}

/// The fields a [`digest`] is of.
const FOUR: [&str; 4] = ["message-id", "date", "from", "subject"];

/// The hash of which a [`digest`] is the beginning.
fn four_fields(header: &[u8]) -> Option<blake3::Hash> {
    four_of(FOUR.map(|name| field(header, name)))
}

/// The hash of these values of the four fields.
fn four_of(values: [Option<&[u8]>; 4]) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    for (name, value) in FOUR.iter().zip(values) {
        hasher.update(name.as_bytes());
        if let Some(value) = value {
            any = true;
            hash_words(&mut hasher, value);
        }
        hasher.update(b"\n");
    }
    any.then(|| hasher.finalize())
}

/// Hashes what stands between folding and white space.
/// QUIRK(Dovecot, 2.3): stores a NUL as 0x80, so they count as the same.
fn hash_words(hasher: &mut blake3::Hasher, value: &[u8]) {
    for word in words(value) {
        hasher.update(b" ");
        for (n, piece) in word.split(|byte| *byte == 0).enumerate() {
            if n > 0 {
                hasher.update(b"\x80");
            }
            hasher.update(piece);
        }
    }
}

/// What stands between folding and white space.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// A [`digest`] as a number, which takes less room.
#[must_use]
pub fn digest_number(digits: &str) -> Option<u128> {
    u128::from_str_radix(digits, 16).ok()
}

/// The [`digest_number`] of the digest that this hash gives.
fn number_of_hash(hash: &blake3::Hash) -> u128 {
    let bytes = hash.as_bytes().iter().take(DIGEST_DIGITS / 2);
    bytes.fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The first field of a name, with its continuation lines.
fn field<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    while let Some(rest) = header.get(at..).filter(|r| !r.is_empty()) {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
        let matches = rest
            .get(..name.len())
            .is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
            && rest.get(name.len()) == Some(&b':');
        if matches {
            let mut stop = end;
            while matches!(rest.get(stop), Some(b' ' | b'\t')) {
                stop +=
                    memchr::memchr(b'\n', rest.get(stop..)?).map_or(rest.len() - stop, |i| i + 1);
            }
            return rest.get(name.len() + 1..stop);
        }
        at += end;
    }
    None
}

/// All fields of a header, top to bottom: name, and raw value with its folding but without the
/// colon and the final line end. Ends at the first empty line, or after [`HEADER_MAX`] bytes,
/// where the last value may be cut.
///
/// White space between name and colon is allowed (RFC 5322 §4.5). A line that is no field, such
/// as the `From ` line of an mbox, is passed over together with its continuation lines.
pub fn fields(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = message
        .get(..HEADER_MAX.min(message.len()))
        .unwrap_or_default();
    std::iter::from_fn(move || {
        while !rest.is_empty() && !rest.starts_with(b"\n") && !rest.starts_with(b"\r\n") {
            let (lines, after) = rest.split_at_checked(field_len(rest))?;
            rest = after;
            if let Some(field) = name_and_value(lines) {
                return Some(field);
            }
        }
        None
    })
}

/// Bytes of the first line and of the lines that continue it, line ends included.
fn field_len(header: &[u8]) -> usize {
    let mut end = 0;
    while let Some(rest) = header.get(end..).filter(|rest| !rest.is_empty()) {
        if end > 0 && !matches!(rest.first(), Some(b' ' | b'\t')) {
            break;
        }
        end += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    }
    end
}

fn name_and_value(lines: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', lines)?;
    let name = lines.get(..colon)?.trim_ascii_end();
    let value = lines.get(colon + 1..)?;
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, value))
}

/// The text of a raw value, unfolded and with its encoded words decoded (RFC 2047). Only the
/// first KiB is read.
#[must_use]
pub fn decoded(value: &[u8]) -> String {
    let start = value
        .get(..DECODED_MAX.min(value.len()))
        .unwrap_or_default();
    // The parser takes a value for one only where a line end follows.
    let line = [start, b"\n"].concat();
    match MessageStream::new(&line).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => String::new(),
    }
}

/// What a person wants to see of a message in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Decoded subject.
    pub subject: String,
    /// Name or address of the first author.
    pub from: String,
    /// The Message-ID without its brackets.
    pub message_id: Option<String>,
    /// The Date header as Unix seconds.
    pub date: Option<i64>,
}

/// Reads a summary out of a message, or of its header alone.
#[must_use]
pub fn summary(message: &[u8]) -> Summary {
    let Some(parsed) = MessageParser::default().parse_headers(header_of(message)) else {
        return Summary::default();
    };
    let from = parsed
        .from()
        .and_then(|a| a.first())
        .and_then(|a| a.name().or_else(|| a.address()).map(str::to_owned));
    Summary {
        subject: parsed.subject().unwrap_or_default().to_owned(),
        from: from.unwrap_or_default(),
        message_id: parsed.message_id().map(str::to_owned),
        date: parsed.date().map(mail_parser::DateTime::to_timestamp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_and_line_ends_do_not_change_the_digest_and_other_words_do() {
        let one = b"Subject: a  long\r\n subject\r\nMessage-ID: <x@y>\r\n\r\nbody";
        let two = b"message-id:<x@y>\nSUBJECT: a long subject\n\nother body\nSubject: no\n";
        assert_eq!(digest(one), digest(two));
        assert_ne!(
            digest(one),
            digest(b"Subject: a long subjects\nMessage-ID: <x@y>\n\n")
        );
        assert_eq!(digest(b"X: y\n\nSubject: in the body\n"), None);
        assert_eq!(digest(b""), None);
    }

    #[test]
    fn summaries_decode_words_and_survive_rubbish() {
        let s = summary("From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nSubject: =?utf-8?b?w6TDtsO8?=\r\n\r\n".as_bytes());
        assert_eq!((s.from.as_str(), s.subject.as_str()), ("Jürgen", "äöü"));
        assert_eq!(summary(b"\0\xff\xfe::::\n \n\n").message_id, None);
        assert_eq!(header_of(b"A: b\n\nbody"), b"A: b\n");
    }

    fn fields_of(header: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(header.as_bytes())
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn fields_keep_their_folding_and_lines_that_are_none_are_passed_over() {
        for (header, expected) in [
            ("A: b\r\nC:d\n\nE: f\n", vec![("A", " b"), ("C", "d")]),
            (
                "A: b\r\n\tc\r\n  d\r\n\r\n",
                vec![("A", " b\r\n\tc\r\n  d")],
            ),
            ("A :x\nA: y", vec![("A", "x"), ("A", " y")]),
            ("A:\r\nB:\n", vec![("A", ""), ("B", "")]),
            ("From a@b Sep 15 00:03:33\n >x\nA: b\n", vec![("A", " b")]),
            (
                " lost: 1\nA: b\nno colon\n x: y\n: z\nC: d",
                vec![("A", " b"), ("C", " d")],
            ),
            ("\r\nA: b\r\n", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<(String, String)> = expected
                .into_iter()
                .map(|(n, v)| (n.into(), v.into()))
                .collect();
            assert_eq!(fields_of(header), expected, "{header:?}");
        }
    }

    #[test]
    fn fields_end_where_the_header_is_cut() {
        let line = "A: b\n";
        let many = line.repeat(HEADER_MAX);
        assert_eq!(fields_of(&many).len(), HEADER_MAX.div_ceil(line.len()));
        let folded = format!("A:{}\nB: c\n", "\n b".repeat(HEADER_MAX));
        assert_eq!(fields_of(&folded).len(), 1);
        assert_eq!(fields_of(&folded)[0].1.len(), HEADER_MAX - "A:".len());
    }

    #[test]
    fn values_are_unfolded_and_decoded() {
        for (value, expected) in [
            (" a\r\n  b", "a b"),
            (
                " =?utf-8?q?J=C3=BCr?=\r\n =?utf-8?q?gen?= x",
                "J\u{fc}rgen x",
            ),
            ("", ""),
            (" \r\n ", ""),
            ("=?utf-8?q?broken", "=?utf-8?q?broken"),
        ] {
            assert_eq!(decoded(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(decoded(&b"x".repeat(HEADER_MAX)).len(), DECODED_MAX);
    }
}
