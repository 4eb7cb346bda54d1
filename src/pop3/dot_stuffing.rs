//! Undoing dot-stuffing (RFC 1939 §3), in any chunks.
//!
//! A line begins at the start of the answer and behind CRLF, nowhere else. A line that
//! begins with `.` loses that dot; the line `.` CRLF ends the message, whose last CRLF stays
//! in it. Everything else is content as it is: a lone CR or LF, a dot behind one of them,
//! and `.` LF, which only loses its dot. So a mail with bare LFs in it cannot end its own
//! transfer early, and two chunkings of one answer cannot differ.
//!
//! The price: a server that ends a message by LF `.` CRLF, having sent the mail's own bare
//! LF as its last line end, is waited for until the read time-out. RFC 1939 and RFC 5322 ask
//! for CRLF, and a guess that is wrong the other way would cut mail short without a trace.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// A decoder in the middle of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Unstuffer {
    state: State,
}

/// What came last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Nothing, or CRLF.
    #[default]
    LineStart,
    /// Something inside a line.
    Text,
    /// A CR inside a line, handed out.
    Cr,
    /// A dot at the start of a line, held back.
    Dot,
    /// The same and a CR behind it, held back too.
    DotCr,
    /// The end of the message.
    End,
}

/// How far a decoder came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decoded {
    /// Bytes of the input that belong to the message; what follows is the next answer.
    pub(super) consumed: usize,
    /// Whether the message is complete.
    pub(super) ended: bool,
}

/// The only place where text has to be looked at.
static DOTTED_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

impl Unstuffer {
    /// Appends to `out` what `input` holds of the message.
    pub(super) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        let mut rest = input;
        while self.state != State::End
            && let Some((&byte, behind)) = rest.split_first()
        {
            match (self.state, byte) {
                (State::LineStart, b'.') => self.go_on(State::Dot, &mut rest, behind),
                (State::Dot, b'\r') => self.go_on(State::DotCr, &mut rest, behind),
                (State::DotCr, b'\n') => self.go_on(State::End, &mut rest, behind),
                (State::DotCr, _) => {
                    out.push(b'\r');
                    self.state = State::Cr;
                }
                (State::Cr, b'\n') => {
                    out.push(b'\n');
                    self.go_on(State::LineStart, &mut rest, behind);
                }
                (State::LineStart | State::Dot | State::Cr | State::Text, _) => {
                    rest = self.text(rest, out);
                }
                (State::End, _) => break,
            }
        }
        Decoded {
            consumed: input.len() - rest.len(),
            ended: self.state == State::End,
        }
    }

    const fn go_on<'a>(&mut self, state: State, rest: &mut &'a [u8], behind: &'a [u8]) {
        self.state = state;
        *rest = behind;
    }

    /// Copies up to the next line that begins with a dot, or all there is. `text` is not
    /// empty and begins inside a line, or with a line that begins with no dot.
    fn text<'a>(&mut self, text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let (plain, rest) = match DOTTED_LINE.find(text) {
            Some(at) => text.split_at(at + 2),
            None => (text, [].as_slice()),
        };
        out.extend_from_slice(plain);
        self.state = if plain.ends_with(b"\r\n") {
            State::LineStart
        } else if plain.ends_with(b"\r") {
            State::Cr
        } else {
            State::Text
        };
        rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the chunks: the message, what of the input belongs to it, and whether it ended.
    fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, usize, bool) {
        let mut unstuffer = Unstuffer::default();
        let (mut out, mut consumed, mut ended) = (Vec::new(), 0, false);
        for chunk in chunks {
            let decoded = unstuffer.decode(chunk, &mut out);
            assert!(decoded.ended || decoded.consumed == chunk.len());
            assert!(decoded.ended || !ended);
            consumed += decoded.consumed;
            ended = decoded.ended;
        }
        (out, consumed, ended)
    }

    /// The sender's side, line by line, as RFC 1939 §3 has it.
    fn encode(message: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut rest = message;
        while !rest.is_empty() {
            let end = rest.windows(2).position(|pair| pair == b"\r\n");
            let (line, behind) = rest.split_at(end.map_or(rest.len(), |at| at + 2));
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
            rest = behind;
        }
        if !message.is_empty() && !message.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    #[test]
    fn dots_are_undone_the_same_in_any_chunking() {
        // What comes in, the message, and what is left for the next answer if it ended.
        for (wire, message, rest) in [
            (".\r\n", "", Some("")),
            ("\r\n.\r\n", "\r\n", Some("")),
            ("a\r\n.\r\n+OK next\r\n", "a\r\n", Some("+OK next\r\n")),
            ("a\r\n.\r\n.\r\n", "a\r\n", Some(".\r\n")),
            ("..\r\n.\r\n", ".\r\n", Some("")),
            ("...\r\n..x\r\n.\r\n", "..\r\n.x\r\n", Some("")),
            // A server that does not stuff: a dot is lost, the line stays.
            (".x\r\n.\r\n", "x\r\n", Some("")),
            // A lone CR or LF ends no line.
            ("a\r.\r\n.\r\n", "a\r.\r\n", Some("")),
            ("a\n.\n.b\r\n.\r\n", "a\n.\n.b\r\n", Some("")),
            ("a\n.\r\n.\r\n", "a\n.\r\n", Some("")),
            ("a\r\r\n.\r\n", "a\r\r\n", Some("")),
            // A dot with something else than CRLF behind it is no end.
            (".\n.\r\n", "\n.\r\n", None),
            (".\r.\r\n.\r\n", "\r.\r\n", Some("")),
            (".\r\r\n.\r\n", "\r\r\n", Some("")),
            (".\r..\r\n", "\r..\r\n", None),
            // Without its end it is no message.
            ("", "", None),
            ("a\r\n", "a\r\n", None),
            ("a\r\n.", "a\r\n", None),
            ("a\r\n.\r", "a\r\n", None),
            ("a\n.\n", "a\n.\n", None),
        ] {
            let bytes = wire.as_bytes();
            let left = rest.unwrap_or_default().len();
            let expected = (message.into(), bytes.len() - left, rest.is_some());
            assert_eq!(decode([bytes]), expected, "{wire:?}");
            assert_eq!(decode(bytes.chunks(1)), expected, "{wire:?}");
            for first in 0..=bytes.len() {
                let (a, rest) = bytes.split_at(first);
                for second in 0..=rest.len() {
                    let (b, c) = rest.split_at(second);
                    assert_eq!(decode([a, b, c]), expected, "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    /// Mostly line ends and dots, with some text between them.
    fn odd_text() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            Just("\r\n"),
            Just("."),
            Just("\r\n."),
            Just("\n"),
            Just("\r"),
            Just("\0"),
            Just("text"),
            Just("\r\n.\r\n"),
        ];
        proptest::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_back(
            message in odd_text(),
            next in odd_text(),
            chunk in 1..9_usize,
        ) {
            let wire = encode(&message);
            let mut whole = message;
            if !whole.is_empty() && !whole.ends_with(b"\r\n") {
                whole.extend_from_slice(b"\r\n");
            }
            let stream = [wire.as_slice(), &next].concat();
            let expected = (whole, wire.len(), true);
            prop_assert_eq!(decode([stream.as_slice()]), expected.clone());
            prop_assert_eq!(decode(stream.chunks(chunk)), expected);
        }
    }
}
