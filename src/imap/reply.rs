//! Status responses in the server's own words.
//!
//! They are read from the raw line: the parser drops codes it does not know and the words
//! of what it cannot read.

use crate::net::{code_of, is_capacity};

/// How a command ended (RFC 3501 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaggedStatus {
    /// The command did what it was asked.
    Ok,
    /// The server understood and refused.
    No,
    /// The server did not understand.
    Bad,
}

/// A tagged status response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tagged {
    /// How the command ended.
    pub status: TaggedStatus,
    /// What stood in brackets, without them, such as `MESSAGELIMIT 1000 23221`.
    pub code: Option<String>,
    /// The server's words, raw, with the bracketed code.
    pub words: String,
}

impl Tagged {
    /// Whether the command did what it was asked.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == TaggedStatus::Ok
    }

    /// Whether the response carries a code, without regard to case.
    #[must_use]
    pub fn has_code(&self, name: &str) -> bool {
        self.code
            .as_deref()
            .and_then(|code| code.split(' ').next())
            .is_some_and(|first| first.eq_ignore_ascii_case(name))
    }

    /// Whether the server refused because it is asked for too much at a time, which passes.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        // UNAVAILABLE and SERVERBUG are said of single messages that are broken.
        let broken = self.has_code("UNAVAILABLE") || self.has_code("SERVERBUG");
        !self.is_ok() && !broken && is_capacity(&self.words)
    }

    pub(super) fn new(status: TaggedStatus, words: String) -> Self {
        let code = code_of(&words).map(str::to_owned);
        Self {
            status,
            code,
            words,
        }
    }
}

/// The text behind the second word of `tag NO text` or `* BYE text`.
pub(super) fn words_of(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut parts = text.trim_end().splitn(3, ' ');
    parts.nth(2).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_code_are_the_servers_own() {
        let words = words_of(b"a1 NO [AUTHENTICATIONFAILED] Invalid credentials(Failure)\r\n");
        let reply = Tagged::new(TaggedStatus::No, words);
        assert_eq!(
            reply.words,
            "[AUTHENTICATIONFAILED] Invalid credentials(Failure)"
        );
        assert!(reply.has_code("AuthenticationFailed"));
        assert_eq!(words_of(b"a1 OK\r\n"), "");
        assert_eq!(Tagged::new(TaggedStatus::Ok, "[UNSEEN 3".into()).code, None);
    }
}
