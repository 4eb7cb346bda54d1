//! One line of a response: what kind it is, whether a literal follows, and how it must be
//! put so that the parser reads it. Pure.

use memchr::{memchr, memchr3_iter, memmem, memrchr};

/// What a response is, as far as its first line tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `* n FETCH …`, the only kind that may carry large literals.
    Fetch,
    /// Other untagged data we know what to do with.
    Data,
    /// Text for people: tagged, untagged and continuation responses. Never a literal, also
    /// if the text ends in `{5}`.
    Text,
    /// Untagged data of no use to us. A client must ignore what it does not know
    /// (RFC 3501 §7), while the parser gives up on the whole connection.
    Unknown,
}

impl Kind {
    pub(super) fn of(line: &[u8]) -> Self {
        let Some(rest) = line.strip_prefix(b"* ") else {
            return if line.trim_ascii().is_empty() || line.starts_with(b"*") {
                Self::Unknown
            } else {
                Self::Text
            };
        };
        let mut words = rest
            .split(|b| b.is_ascii_whitespace())
            .filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        if first.iter().all(u8::is_ascii_digit) {
            let second = words.next().unwrap_or_default();
            return if is(second, &["FETCH"]) {
                Self::Fetch
            } else if is(second, &["EXISTS", "EXPUNGE"]) {
                Self::Data
            } else {
                Self::Unknown
            };
        }
        if is(first, &["OK", "NO", "BAD", "BYE", "PREAUTH"]) {
            Self::Text
        } else if is(
            first,
            &["CAPABILITY", "LIST", "LSUB", "STATUS", "SEARCH", "VANISHED"],
        ) {
            Self::Data
        } else {
            Self::Unknown
        }
    }
}

/// Whether a line is an untagged response of one of these names.
pub(super) fn is_response(line: &[u8], names: &[&str]) -> bool {
    let mut words = line.split(|b| b.is_ascii_whitespace());
    words.next() == Some(b"*") && words.next().is_some_and(|word| is(word, names))
}

fn is(word: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// A literal announced at the end of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Announced {
    /// None.
    Nothing,
    /// `{n}`, `{n+}` or `~{n}`; `head` bytes of the line stand before it.
    Literal { len: u64, head: usize },
    /// Something in the place of a length that is none.
    Malformed { text: String },
}

/// Finds a literal at the end of a line that ends in CRLF.
pub(super) fn announced(line: &[u8]) -> Announced {
    let Some(inner) = line.strip_suffix(b"}\r\n") else {
        return Announced::Nothing;
    };
    let Some(brace) = memrchr(b'{', inner) else {
        return Announced::Nothing;
    };
    let (head, text) = inner.split_at(brace);
    let text = text.get(1..).unwrap_or_default();
    let digits = text.strip_suffix(b"+").unwrap_or(text);
    let number = digits.strip_prefix(b"-").unwrap_or(digits);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Announced::Nothing;
    }
    let head = head.strip_suffix(b"~").unwrap_or(head).len();
    match std::str::from_utf8(digits)
        .ok()
        .and_then(|d| d.parse().ok())
    {
        Some(len) => Announced::Literal { len, head },
        None => Announced::Malformed {
            text: String::from_utf8_lossy(text).chars().take(40).collect(),
        },
    }
}

/// Ends the line in CRLF, also where the server wrote a bare LF.
pub(super) fn end_in_crlf(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    line.extend_from_slice(b"\r\n");
}

/// Makes a status line harmless to the parser.
///
/// QUIRK(imap-proto 0.17): it cuts one *byte* off the text behind a code it knows, so it
/// panics on `[ALERT]é` and swallows the `T` of `[ALERT]Text`; it cannot read a NUL. It takes
/// a `]` for a part of a flag, so in PERMANENTFLAGS the code ends behind the list.
pub(super) fn mend_text(line: &mut Vec<u8>) {
    for byte in line.iter_mut().filter(|byte| **byte == 0) {
        *byte = b'?';
    }
    let mut words = line.splitn(3, |b| *b == b' ');
    let text = if line.starts_with(b"+") {
        words.nth(1)
    } else {
        words.nth(2)
    };
    let Some(text) = text.filter(|text| text.starts_with(b"[")) else {
        return;
    };
    let start = line.len() - text.len();
    let flags = text
        .get(..FLAGS.len())
        .filter(|head| head.eq_ignore_ascii_case(FLAGS))
        .and_then(|_| memmem::find(text, b")]"));
    let Some(close) = flags.map(|at| at + 1).or_else(|| memchr(b']', text)) else {
        return;
    };
    if !matches!(text.get(close + 1), Some(b' ' | b'\r')) {
        line.insert(start + close + 1, b' ');
    }
    // Where the parser sees the end of a code elsewhere, as in `[BADCHARSET ("]")]é`.
    let is_cut = |pair: &[u8]| matches!(pair, [b']', 0x80..=0xff]);
    if line.windows(2).any(is_cut) {
        let mut mended = Vec::with_capacity(line.len() + 16);
        for (at, &byte) in line.iter().enumerate() {
            mended.push(byte);
            if at >= start && line.get(at..at + 2).is_some_and(is_cut) {
                mended.push(b' ');
            }
        }
        *line = mended;
    }
}

const FLAGS: &[u8] = b"[PERMANENTFLAGS ";

/// How deep parentheses may nest. Real FETCH data of ours has two levels.
const MAX_DEPTH: u32 = 64;

/// Walks over the structure of data outside quoted strings: `depth` goes on over the
/// pieces of a response between its literals. Returns false when it is nested beyond
/// reason, which would overflow the parser's stack, or when a quoted string has no end.
///
/// QUIRK(imap-proto 0.17): `INTERNALDATE NIL` makes it panic; it becomes a date that
/// cannot be read, of the same length.
pub(super) fn mend_data(line: &mut [u8], depth: &mut u32) -> bool {
    let mut nil_dates = Vec::new();
    let mut plain_from = 0;
    let mut quoted = false;
    let mut escaped_at = usize::MAX;
    for at in memchr3_iter(b'(', b')', b'"', line) {
        match line.get(at) {
            Some(b'"') if !quoted => {
                nil_dates.extend(find_nil_date(line, plain_from, at));
                quoted = true;
                escaped_at = at + 1;
            }
            Some(b'"') if !is_escaped(line, escaped_at, at) => {
                quoted = false;
                plain_from = at + 1;
            }
            Some(b'(') if !quoted => *depth += 1,
            Some(b')') if !quoted => *depth = depth.saturating_sub(1),
            _ => {}
        }
        if *depth > MAX_DEPTH {
            return false;
        }
    }
    if quoted {
        return false;
    }
    nil_dates.extend(find_nil_date(line, plain_from, line.len()));
    for at in nil_dates {
        if let Some(nil) = line.get_mut(at..at + 3) {
            nil.copy_from_slice(b"\"?\"");
        }
    }
    true
}

/// Whether the quote at `at` is escaped, inside a quoted string that begins at `from`.
fn is_escaped(line: &[u8], from: usize, at: usize) -> bool {
    let before = line.get(from..at).unwrap_or_default();
    let slashes = before.iter().rev().take_while(|b| **b == b'\\').count();
    slashes % 2 == 1
}

/// Where the NIL of an `INTERNALDATE NIL` begins within `line[from..to]`.
fn find_nil_date(line: &[u8], from: usize, to: usize) -> Option<usize> {
    const NIL_DATE: &[u8] = b"INTERNALDATE NIL";
    let plain = line.get(from..to)?;
    if plain.len() < NIL_DATE.len() {
        return None;
    }
    plain
        .windows(NIL_DATE.len())
        .position(|window| window.eq_ignore_ascii_case(NIL_DATE))
        .map(|at| from + at + NIL_DATE.len() - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_words() {
        for (line, kind) in [
            ("* 1 FETCH (UID 3)\r\n", Kind::Fetch),
            ("* 1 fetch (UID 3)\r\n", Kind::Fetch),
            ("* 3 EXISTS\r\n", Kind::Data),
            ("* 3 RECENT\r\n", Kind::Unknown),
            ("* LIST () \"/\" x\r\n", Kind::Data),
            ("* OK hi {5}\r\n", Kind::Text),
            ("a1 OK done\r\n", Kind::Text),
            ("+ go\r\n", Kind::Text),
            ("* METADATA \"\" /x\r\n", Kind::Unknown),
            ("* FLAGS (\\*)\r\n", Kind::Unknown),
            ("\r\n", Kind::Unknown),
            ("*\r\n", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(line.as_bytes()), kind, "{line}");
        }
    }

    #[test]
    fn literals_are_found_at_the_end_of_a_line_only() {
        let literal = |len, head| Announced::Literal { len, head };
        for (line, found) in [
            ("BODY[] {12}\r\n", literal(12, 7)),
            ("BODY[] {12+}\r\n", literal(12, 7)),
            ("BODY[] ~{12}\r\n", literal(12, 7)),
            ("{4294967296}\r\n", literal(4_294_967_296, 0)),
            ("x {12} y\r\n", Announced::Nothing),
            ("{}\r\n", Announced::Nothing),
            ("{a}\r\n", Announced::Nothing),
            ("}\r\n", Announced::Nothing),
            ("{-1}\r\n", Announced::Malformed { text: "-1".into() }),
            (
                "{18446744073709551616}\r\n",
                Announced::Malformed {
                    text: "18446744073709551616".into(),
                },
            ),
        ] {
            assert_eq!(announced(line.as_bytes()), found, "{line}");
        }
    }

    #[test]
    fn status_lines_that_make_the_parser_panic_are_mended() {
        for (line, mended) in [
            ("* OK [ALERT]é\r\n", "* OK [ALERT] é\r\n"),
            ("a1 NO [ALERT]Text ]x\r\n", "a1 NO [ALERT] Text ]x\r\n"),
            (
                "* OK [PERMANENTFLAGS (a]b \\*)]é\r\n",
                "* OK [PERMANENTFLAGS (a]b \\*)] é\r\n",
            ),
            (
                "* NO [BADCHARSET (\"]\")]é ]\r\n",
                "* NO [BADCHARSET (\"] \")] é ]\r\n",
            ),
            ("* OK [UNSEEN 3]\r\n", "* OK [UNSEEN 3]\r\n"),
            ("* OK [UNSEEN 3] x\r\n", "* OK [UNSEEN 3] x\r\n"),
            ("+ [ALERT]x\r\n", "+ [ALERT] x\r\n"),
            ("* OK say [ALERT]x\r\n", "* OK say [ALERT]x\r\n"),
            ("* OK\r\n", "* OK\r\n"),
        ] {
            let mut line = line.as_bytes().to_vec();
            mend_text(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), mended);
        }
    }

    #[test]
    fn a_missing_date_is_mended_outside_of_quoted_strings_only() {
        let mut depth = 0;
        let mut line =
            br#"* 1 FETCH (BODY[] "a\" INTERNALDATE NIL (" internaldate nil UID 3)"#.to_vec();
        assert!(mend_data(&mut line, &mut depth));
        assert_eq!(
            String::from_utf8(line).unwrap(),
            r#"* 1 FETCH (BODY[] "a\" INTERNALDATE NIL (" internaldate "?" UID 3)"#
        );
        assert_eq!(depth, 0);
        assert!(!mend_data(&mut [b'('; 100], &mut depth));
    }
}
