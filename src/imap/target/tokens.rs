//! The pieces of a response the parser cannot read. Pure.

/// A piece of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    Open,
    Close,
    /// A quoted string, without quotes and escapes.
    Quoted(String),
    Atom(String),
}

impl Token {
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Atom(atom) if atom.eq_ignore_ascii_case("NIL"))
    }

    /// An `astring`.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Quoted(text) | Self::Atom(text) => Some(text),
            Self::Open | Self::Close => None,
        }
    }
}

/// Longer than any of these answers.
const MAX_LINE: usize = 64 * 1024;

/// What stands behind `* NAME`. `None` where that cannot be read.
pub(super) fn arguments(line: &[u8]) -> Option<Vec<Token>> {
    if line.len() > MAX_LINE {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let mut tokens = Vec::new();
    let mut chars = line.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            ' ' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '"' => {
                let mut text = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => text.push(chars.next()?),
                        c => text.push(c),
                    }
                }
                Token::Quoted(text)
            }
            c => {
                let mut text = String::from(c);
                while let Some(c) = chars.next_if(|c| !matches!(c, ' ' | '(' | ')' | '"')) {
                    text.push(c);
                }
                Token::Atom(text)
            }
        });
    }
    // The star and the name.
    (tokens.len() > 2).then(|| tokens.split_off(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_apart_or_nothing_is_read() {
        let atom = |text: &str| Token::Atom(text.to_owned());
        let quoted = |text: &str| Token::Quoted(text.to_owned());
        for (line, read) in [
            (
                "* X ((\"a\\\"b (\" NIL)x 5) \r\n",
                Some(vec![
                    Token::Open,
                    Token::Open,
                    quoted("a\"b ("),
                    atom("NIL"),
                    Token::Close,
                    atom("x"),
                    atom("5"),
                    Token::Close,
                ]),
            ),
            ("* X \"\"\"\\\\\"", Some(vec![quoted(""), quoted("\\")])),
            ("* X \"open\r\n", None),
            ("* X \"open\\", None),
            ("* X\r\n", None),
            ("", None),
        ] {
            assert_eq!(arguments(line.as_bytes()), read, "{line}");
        }
        assert_eq!(arguments(b"* X \xff"), None);
        assert_eq!(arguments(&[b'x'; MAX_LINE + 1]), None);
    }
}
