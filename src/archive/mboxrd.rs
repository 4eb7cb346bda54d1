//! mboxrd: messages as text between `From ` lines, reversible to the byte.
//!
//! A message whose every line end is CRLF is stored with LF ([`LineEnds::Crlf`]); any other
//! verbatim ([`LineEnds::Raw`]). Then each line, at LF only, that matches `^>*From ` gains
//! one `>`. An LF is added where the message does not end in one, and a blank line closes
//! it. The recorded wire length tells the decoder where to stop, so it never guesses.
//!
//! Both directions take a message in chunks of any size and hold back at most a few bytes,
//! so a message of any size passes in bounded memory, also one that is a single line.

use memchr::memchr;

use crate::model::{InternalDate, LineEnds};

const FROM: &[u8] = b"From ";

/// Finds out whether every line end of a message is CRLF, chunk by chunk.
#[derive(Debug, Default, Clone)]
pub struct LineEndScan {
    lines: u64,
    bare: bool,
    after_cr: bool,
}

impl LineEndScan {
    /// Looks at the next chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.bare {
            return;
        }
        for at in memchr::memchr_iter(b'\n', chunk) {
            self.lines += 1;
            let cr = match at.checked_sub(1) {
                Some(before) => chunk.get(before) == Some(&b'\r'),
                None => self.after_cr,
            };
            if !cr {
                self.bare = true;
                return;
            }
        }
        if let Some(last) = chunk.last() {
            self.after_cr = *last == b'\r';
        }
    }

    /// How the message is to be kept.
    #[must_use]
    pub const fn line_ends(&self) -> LineEnds {
        if self.bare || self.lines == 0 {
            LineEnds::Raw
        } else {
            LineEnds::Crlf
        }
    }

    /// The answer for a message in memory.
    #[must_use]
    pub fn of(message: &[u8]) -> LineEnds {
        let mut scan = Self::default();
        scan.push(message);
        scan.line_ends()
    }
}

/// The separator line before a message, LF included.
#[must_use]
pub fn separator(date: Option<InternalDate>) -> String {
    format!(
        "From MAILER-DAEMON {}\n",
        date.unwrap_or(InternalDate::utc(0)).asctime_utc()
    )
}

/// Where in a line the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of the separator's end (decoder only).
    Separator,
    /// In the run of `>` that may begin a line.
    Quotes,
    /// Behind that run: `From ` here makes the line a quoted one.
    Word,
    /// Anywhere else in the line.
    Text,
}

enum Word {
    Is,
    IsNot,
    Undecided,
}

fn from_word(rest: &[u8]) -> Word {
    if rest.starts_with(FROM) {
        Word::Is
    } else if FROM.starts_with(rest) {
        Word::Undecided
    } else {
        Word::IsNot
    }
}

/// Turns wire bytes into mboxrd text.
#[derive(Debug)]
pub struct Encoder {
    crlf: bool,
    state: State,
    held: Vec<u8>,
    last: u8,
}

impl Encoder {
    /// Begins a message; `line_ends` must be what [`LineEndScan`] says of it.
    #[must_use]
    pub const fn new(line_ends: LineEnds) -> Self {
        Self {
            crlf: matches!(line_ends, LineEnds::Crlf),
            state: State::Quotes,
            held: Vec::new(),
            last: 0,
        }
    }

    /// Encodes the next chunk onto `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            self.run(chunk, out, false);
        } else {
            let mut input = std::mem::take(&mut self.held);
            input.extend_from_slice(chunk);
            self.run(&input, out, false);
        }
    }

    /// Ends the message: a final LF where there is none, and the blank line.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.run(&held, out, true);
        if self.last != b'\n' {
            out.push(b'\n');
        }
        out.push(b'\n');
    }

    fn run(&mut self, mut rest: &[u8], out: &mut Vec<u8>, end: bool) {
        while let Some(first) = rest.first() {
            match self.state {
                State::Quotes | State::Separator => {
                    let run = rest.iter().take_while(|b| **b == b'>').count();
                    let (quotes, tail) = rest.split_at(run);
                    self.emit(quotes, out);
                    rest = tail;
                    if *first != b'>' || !rest.is_empty() {
                        self.state = State::Word;
                    }
                }
                State::Word => {
                    match from_word(rest) {
                        Word::Is => out.push(b'>'),
                        Word::Undecided if !end => {
                            self.held.extend_from_slice(rest);
                            return;
                        }
                        _ => {}
                    }
                    self.state = State::Text;
                }
                State::Text => match memchr(b'\n', rest) {
                    Some(at) => {
                        let (line, tail) = rest.split_at(at);
                        let line = if self.crlf {
                            line.strip_suffix(b"\r").unwrap_or(line)
                        } else {
                            line
                        };
                        self.emit(line, out);
                        self.emit(b"\n", out);
                        rest = tail.get(1..).unwrap_or_default();
                        self.state = State::Quotes;
                    }
                    None => {
                        // A CR at the end of the chunk may belong to a CRLF.
                        let hold = self.crlf && !end && rest.last() == Some(&b'\r');
                        let (text, held) = rest.split_at(rest.len() - usize::from(hold));
                        self.emit(text, out);
                        self.held.extend_from_slice(held);
                        return;
                    }
                },
            }
        }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(last) = bytes.last() {
            self.last = *last;
            out.extend_from_slice(bytes);
        }
    }
}

/// Turns mboxrd text back into wire bytes; the separator line is skipped.
#[derive(Debug)]
pub struct Decoder {
    crlf: bool,
    state: State,
    held: Vec<u8>,
    left: u64,
}

/// The text does not hold a message of the recorded length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored text is shorter than the message it should hold")]
pub struct ShortMessage;

impl Decoder {
    /// Begins a message of `len` wire bytes.
    #[must_use]
    pub const fn new(line_ends: LineEnds, len: u64) -> Self {
        Self {
            crlf: matches!(line_ends, LineEnds::Crlf),
            state: State::Separator,
            held: Vec::new(),
            left: len,
        }
    }

    /// Decodes the next chunk of the stored text onto `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            self.run(chunk, out, false);
        } else {
            let mut input = std::mem::take(&mut self.held);
            input.extend_from_slice(chunk);
            self.run(&input, out, false);
        }
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`ShortMessage`] when the text ended before the recorded length was reached.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), ShortMessage> {
        let held = std::mem::take(&mut self.held);
        self.run(&held, out, true);
        if self.left == 0 {
            Ok(())
        } else {
            Err(ShortMessage)
        }
    }

    fn run(&mut self, mut rest: &[u8], out: &mut Vec<u8>, end: bool) {
        while !rest.is_empty() && self.left > 0 {
            match self.state {
                State::Separator => match memchr(b'\n', rest) {
                    Some(at) => {
                        rest = rest.get(at + 1..).unwrap_or_default();
                        self.state = State::Quotes;
                    }
                    None => return,
                },
                State::Quotes => {
                    let run = rest.iter().take_while(|b| **b == b'>').count();
                    // The last `>` of the run waits for what follows it.
                    let (sure, tail) = rest.split_at(run.saturating_sub(1));
                    self.emit(sure, out);
                    rest = tail;
                    if run == 0 {
                        self.state = State::Text;
                    } else if rest.len() == 1 && !end {
                        self.held.extend_from_slice(rest);
                        return;
                    } else {
                        self.state = State::Word;
                    }
                }
                State::Word => {
                    let behind = rest.get(1..).unwrap_or_default();
                    match from_word(behind) {
                        Word::Is => rest = behind,
                        Word::Undecided if !end => {
                            self.held.extend_from_slice(rest);
                            return;
                        }
                        _ => {}
                    }
                    self.state = State::Text;
                }
                State::Text => match memchr(b'\n', rest) {
                    Some(at) => {
                        let (line, tail) = rest.split_at(at);
                        self.emit(line, out);
                        self.emit(if self.crlf { b"\r\n" } else { b"\n" }, out);
                        rest = tail.get(1..).unwrap_or_default();
                        self.state = State::Quotes;
                    }
                    None => {
                        self.emit(rest, out);
                        return;
                    }
                },
            }
        }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let take = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        out.extend_from_slice(bytes.get(..take).unwrap_or_default());
        self.left -= u64::try_from(take).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(message: &[u8], chunk: usize) -> Vec<u8> {
        let mut out = separator(None).into_bytes();
        let mut encoder = Encoder::new(LineEndScan::of(message));
        for part in message.chunks(chunk.max(1)) {
            encoder.push(part, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    fn decode(stored: &[u8], line_ends: LineEnds, len: usize, chunk: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(line_ends, len as u64);
        for part in stored.chunks(chunk.max(1)) {
            decoder.push(part, &mut out);
        }
        decoder.finish(&mut out).unwrap();
        out
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"From ".to_vec()),
            Just(b"From".to_vec()),
            Just(b">".to_vec()),
            Just(b">>From ".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\0".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_message_comes_back_whatever_the_chunks(message in message(), crlf in any::<bool>(), enc in 1usize..9, dec in 1usize..9) {
            let message = if crlf {
                // Make the all-CRLF case as common as the odd ones.
                let text: Vec<u8> = message.into_iter().filter(|b| *b != b'\r').collect();
                text.split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])
            } else { message };
            let whole = encode(&message, usize::MAX);
            let line_ends = LineEndScan::of(&message);
            prop_assert_eq!(&encode(&message, enc), &whole);
            prop_assert_eq!(decode(&whole, line_ends, message.len(), dec), message.clone());
            // No line of the stored text but the first begins with `From `, so no reader can split here.
            prop_assert_eq!(whole.split(|b| *b == b'\n').filter(|l| l.starts_with(FROM)).count(), 1);
            prop_assert!(whole.ends_with(b"\n\n") || message.is_empty());
        }
    }

    #[test]
    fn the_forms_named_in_the_format() {
        let text = |m: &[u8]| {
            let whole = encode(m, usize::MAX);
            String::from_utf8(whole)
                .unwrap()
                .split_once('\n')
                .unwrap()
                .1
                .to_owned()
        };
        assert_eq!(
            text(b"A: b\r\n\r\nFrom x\r\n>From y\r\nFromage"),
            "A: b\n\n>From x\n>>From y\nFromage\n\n"
        );
        assert_eq!(text(b"a\nb\r\n"), "a\nb\r\n\n");
        assert_eq!(text(b"x\rFrom y\r\n"), "x\rFrom y\n\n");
        assert_eq!(text(b""), "\n\n");
        assert_eq!(LineEndScan::of(b"no line end"), LineEnds::Raw);
        assert_eq!(LineEndScan::of(b"a\r\r\n"), LineEnds::Crlf);
    }

    #[test]
    fn a_short_text_is_an_error() {
        let decoder = Decoder::new(LineEnds::Raw, 10);
        assert_eq!(decoder.finish(&mut Vec::new()), Err(ShortMessage));
    }

    #[test]
    fn a_line_of_a_million_quotes_passes_in_small_chunks() {
        let message = vec![b'>'; 1_000_000];
        let whole = encode(&message, 4096);
        assert_eq!(decode(&whole, LineEnds::Raw, message.len(), 4096), message);
    }
}
