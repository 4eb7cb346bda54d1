//! Replies, in the server's own words (RFC 5321 §4.2).
//!
//! Read here and not by lettre, which wants UTF-8 and CRLF, a blank behind the code, and a
//! second digit up to 5: a `571` after the final dot would be an answer nobody can read, and
//! the message in doubt though it was refused.

/// A whole reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

/// How much of the server's words is kept, in bytes.
const WORDS: usize = 1024;

impl Reply {
    #[cfg(test)]
    pub(super) fn new(code: u16, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { code, lines }
    }

    /// What stands behind the codes, line by line.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The lines in one, raw, at most a kibibyte.
    pub(super) fn words(&self) -> String {
        let words = self.lines.join(" ");
        let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= WORDS;
        let words = words.trim().char_indices();
        words.take_while(fits).map(|(_, c)| c).collect()
    }

    /// 2yz: done.
    pub(super) const fn is_positive(&self) -> bool {
        self.code < 300
    }

    /// 4yz and 5yz: not done.
    pub(super) const fn is_negative(&self) -> bool {
        self.code >= 400
    }
}

/// A reply of which not all lines have come.
#[derive(Debug)]
pub(super) struct Gathering {
    lines: Vec<String>,
    bytes: usize,
    code: Option<u16>,
}

/// Why lines make no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoReply {
    /// A line is none of a reply, or of another reply than the one before it.
    Unreadable,
    /// The lines have no end.
    TooLong,
}

/// No server announces more, or apologises longer.
const REPLY_MAX: usize = 64 * 1024;

impl Gathering {
    pub(super) const fn new() -> Self {
        Self {
            lines: Vec::new(),
            bytes: 0,
            code: None,
        }
    }

    /// Takes a line without its end; the last one completes the reply. What must be hidden
    /// is, and so that none of it is left where words are cut, here.
    pub(super) fn add(&mut self, line: &[u8], hidden: &[String]) -> Result<Option<Reply>, NoReply> {
        let (code, is_last, words) = split(line).ok_or(NoReply::Unreadable)?;
        if self.code.is_some_and(|before| before != code) {
            return Err(NoReply::Unreadable);
        }
        self.bytes += line.len() + 1;
        if self.bytes > REPLY_MAX {
            return Err(NoReply::TooLong);
        }
        self.code = Some(code);
        self.lines.push(shown(words, hidden));
        if !is_last {
            return Ok(None);
        }
        let Self { lines, .. } = std::mem::replace(self, Self::new());
        Ok(Some(Reply { code, lines }))
    }
}

/// Code, whether it is the last line, and what follows. RFC 5321 §4.2 wants a code alone to
/// be accepted.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let mut value = 0;
    for digit in code {
        let digit = char::from(*digit).to_digit(10)?;
        value = value * 10 + u16::try_from(digit).ok()?;
    }
    if !(200..600).contains(&value) {
        return None;
    }
    match rest.split_first() {
        None => Some((value, true, rest)),
        Some((b' ' | b'\t', words)) => Some((value, true, words)),
        Some((b'-', words)) => Some((value, false, words)),
        Some(_) => None,
    }
}

/// Bytes as text, without what must be hidden.
///
/// QUIRK(several): servers repeat the command they did not understand.
fn shown(bytes: &[u8], hidden: &[String]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let hidden = hidden.iter().filter(|secret| !secret.is_empty());
    hidden.fold(text, |text, secret| text.replace(secret, "…"))
}

/// How a line begins that cannot be read, at most 300 characters.
pub(super) fn excerpt(line: &[u8], hidden: &[String]) -> String {
    let text = shown(line, hidden);
    text.trim_end().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&[u8]]) -> Result<Option<Reply>, NoReply> {
        let mut gathering = Gathering::new();
        let (last, lines) = lines.split_last().unwrap();
        for line in lines {
            assert_eq!(gathering.add(line, &[])?, None);
        }
        gathering.add(last, &[])
    }

    #[test]
    fn codes_are_told_and_the_words_are_the_servers_own() {
        for (lines, code, words) in [
            (&[b"250".as_slice()][..], 250, ""),
            (
                &[b"250 2.0.0 Ok: queued as 1"],
                250,
                "2.0.0 Ok: queued as 1",
            ),
            (&[b"571 5.7.1  no "], 571, "5.7.1  no"),
            (&[b"354\tgo"], 354, "go"),
            (&[b"250-a", b"250-", b"250 b"], 250, "a  b"),
            (&[b"550-5.1.1 no", b"550"], 550, "5.1.1 no"),
            (&[b"550 \xff\xfe"], 550, "\u{fffd}\u{fffd}"),
        ] {
            let reply = read(lines).unwrap().unwrap();
            assert_eq!((reply.code, reply.words().as_str()), (code, words));
            assert_eq!(reply.is_positive(), code == 250);
            assert_eq!(reply.is_negative(), code > 500);
            assert_eq!(reply.lines().len(), lines.len());
        }
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for line in [
            "", "25", "2 0", "25x ok", "250ok", "250_ok", "2500", "199 x", "600 x", "+OK", " 250",
            "²50 x",
        ] {
            assert_eq!(read(&[line.as_bytes()]), Err(NoReply::Unreadable), "{line}");
        }
        // Which of the two is meant cannot be known.
        assert_eq!(read(&[b"250-ok", b"550 no"]), Err(NoReply::Unreadable));
        let mut gathering = Gathering::new();
        let line = [b"250-".as_slice(), &[b'x'; 1000]].concat();
        let lines = (0..100).map(|_| gathering.add(&line, &[]));
        assert_eq!(lines.filter_map(Result::err).next(), Some(NoReply::TooLong));
    }

    #[test]
    fn words_have_an_end_and_no_secret() {
        let line = format!("550 x{}", "é".repeat(1000));
        assert_eq!(
            read(&[line.as_bytes()]).unwrap().unwrap().words().len(),
            1023
        );
        assert_eq!(excerpt(line.as_bytes(), &[]).chars().count(), 300);
        let line = format!("550 {} s3cret", "x".repeat(1019));
        let hidden = ["s3cret".to_owned(), String::new()];
        let mut gathering = Gathering::new();
        let reply = gathering.add(line.as_bytes(), &hidden).unwrap().unwrap();
        assert!(reply.words().ends_with("x …"), "{reply:?}");
        assert_eq!(excerpt(b"what is s3cret?", &hidden), "what is …?");
    }
}
