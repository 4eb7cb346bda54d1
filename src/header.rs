//! What a message's header says, for people and for matching. Never an identity.

use mail_parser::MessageParser;

/// Header bytes looked at; a header larger than this is cut, so that a hostile message costs
/// no more than an ordinary one.
pub const HEADER_MAX: usize = 256 << 10;

/// Lengths of what [`digest`] hashes, in hex digits.
const DIGEST_DIGITS: usize = 32;

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
/// Folding and runs of white space do not count, since servers refold. Used to *nominate* a
/// held message after UIDVALIDITY changed, never to identify one.
#[must_use]
pub fn digest(message: &[u8]) -> Option<String> {
    let header = header_of(message);
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    for name in ["message-id", "date", "from", "subject"] {
        hasher.update(name.as_bytes());
        if let Some(value) = field(header, name) {
            any = true;
            for word in value
                .split(u8::is_ascii_whitespace)
                .filter(|w| !w.is_empty())
            {
                hasher.update(b" ");
                hasher.update(word);
            }
        }
        hasher.update(b"\n");
    }
    any.then(|| {
        hasher
            .finalize()
            .to_hex()
            .chars()
            .take(DIGEST_DIGITS)
            .collect()
    })
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
}
