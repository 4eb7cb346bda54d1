//! Status lines in the server's own words (RFC 1939 §3).

/// What a status line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// `+OK`
    Positive,
    /// `-ERR`
    Negative,
}

/// A status line, apart.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct StatusLine {
    pub(super) status: Status,
    /// What follows, without blanks around it.
    pub(super) words: String,
}

/// How much of the server's words is kept, in bytes.
const WORDS: usize = 1024;

impl StatusLine {
    /// Reads a line without its end; nothing if it is no status line.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let (status, words) = split(line)?;
        let words = cut(String::from_utf8_lossy(words).trim());
        Some(Self { status, words })
    }
}

/// The status and what follows it. Upper case is a MUST of RFC 1939 §3.
pub(super) fn split(line: &[u8]) -> Option<(Status, &[u8])> {
    let (status, words) = if let Some(words) = line.strip_prefix(b"+OK") {
        (Status::Positive, words)
    } else {
        (Status::Negative, line.strip_prefix(b"-ERR")?)
    };
    let ends = words
        .first()
        .is_none_or(|byte| !byte.is_ascii_alphanumeric());
    ends.then_some((status, words))
}

/// The words as they are kept and shown.
pub(super) fn cut(words: &str) -> String {
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= WORDS;
    words
        .char_indices()
        .take_while(fits)
        .map(|(_, c)| c)
        .collect()
}

/// How a line begins that cannot be read, at most 300 characters.
pub(super) fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_and_the_words_are_the_servers_own() {
        use Status::{Negative, Positive};
        for (line, status, words) in [
            ("+OK", Positive, ""),
            ("+OK  ready  ", Positive, "ready"),
            ("+OK\tready", Positive, "ready"),
            ("-ERR [IN-USE] later", Negative, "[IN-USE] later"),
            ("-ERR", Negative, ""),
        ] {
            let words = words.to_owned();
            let expected = Some(StatusLine { status, words });
            assert_eq!(StatusLine::of(line.as_bytes()), expected, "{line}");
        }
        for line in ["", "+", "+ ", "+ok", "+OKAY", "-ERROR", "* OK", " +OK", "."] {
            assert_eq!(StatusLine::of(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn words_have_an_end() {
        let line = format!("-ERR x{}", "é".repeat(1000));
        let words = StatusLine::of(line.as_bytes()).unwrap().words;
        assert_eq!(words.len(), 1023);
        assert_eq!(excerpt(line.as_bytes()).chars().count(), 300);
        let raw = StatusLine::of(b"-ERR \xff\xfe").unwrap().words;
        assert_eq!(raw, "\u{fffd}\u{fffd}");
    }
}
