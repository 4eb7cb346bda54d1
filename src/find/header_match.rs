//! What a header has to say. Pure.

use unicode_normalization::UnicodeNormalization;

use crate::header;

/// Whether a field, by name and raw value, is what is wanted.
type FieldMatch = dyn Fn(&[u8], &[u8], &str) -> bool;

/// What a header has to say; everything that is given has to hold.
///
/// Texts are found anywhere in a field, encoded words decoded, without regard to case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderMatch {
    /// In `From`.
    pub from: Option<String>,
    /// In `Subject`.
    pub subject: Option<String>,
    /// In any field, its name included.
    pub text: Option<String>,
    /// The whole `Message-ID`, with or without its brackets.
    pub message_id: Option<String>,
}

impl HeaderMatch {
    /// Every header matches.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.from.is_none()
            && self.subject.is_none()
            && self.text.is_none()
            && self.message_id.is_none()
    }

    /// Whether the header of a message matches.
    #[must_use]
    pub fn matches(&self, message: &[u8]) -> bool {
        let holds = |wanted: &Option<String>, is_one: &FieldMatch| {
            wanted.as_deref().is_none_or(|wanted| {
                header::fields(message).any(|(name, value)| is_one(name, value, wanted))
            })
        };
        let within = |field: &'static str| {
            move |name: &[u8], value: &[u8], wanted: &str| {
                name.eq_ignore_ascii_case(field.as_bytes()) && contains(value, wanted)
            }
        };
        holds(&self.message_id, &is_message_id)
            && holds(&self.from, &within("from"))
            && holds(&self.subject, &within("subject"))
            && holds(&self.text, &|name, value, wanted| {
                contains(value, wanted) || in_line(name, value, wanted)
            })
    }
}

/// In the decoded value, or in the value as it stands: only the start of it is decoded.
fn contains(value: &[u8], wanted: &str) -> bool {
    let wanted = folded(wanted);
    folded(&header::decoded(value)).contains(&wanted)
        || folded(&String::from_utf8_lossy(value)).contains(&wanted)
}

/// In the line as a person would write it, such as `X-Spam-Flag: YES`.
fn in_line(name: &[u8], value: &[u8], wanted: &str) -> bool {
    let line = format!(
        "{}: {}",
        String::from_utf8_lossy(name),
        header::decoded(value)
    );
    folded(&line).contains(&folded(wanted))
}

/// Without case, and with one spelling of letters with accents (macOS writes them in two parts).
fn folded(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

fn is_message_id(name: &[u8], value: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(b"message-id")
        && bare(&String::from_utf8_lossy(value)) == bare(wanted)
}

/// Without brackets, and without the white space around them.
fn bare(id: &str) -> &str {
    let id = id.trim();
    id.strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(id)
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: Ada <ada@example.org>\r\n\
        Subject: =?utf-8?b?w4TDlsOc?= and\r\n more\r\nMessage-ID:\r\n <Abc@x>\r\nX-Spam-Flag: YES\r\n\r\nSubject: in the body\r\n"
        .as_bytes();

    fn matches(set: impl FnOnce(&mut HeaderMatch)) -> bool {
        let mut wanted = HeaderMatch::default();
        set(&mut wanted);
        wanted.matches(HEADER)
    }

    #[test]
    fn texts_are_found_decoded_and_without_case() {
        assert!(matches(|_| {}));
        for (from, want) in [
            ("jürgen", true),
            ("ju\u{308}rgen", true),
            ("J@EXAMPLE", true),
            ("ada", false),
        ] {
            assert_eq!(matches(|m| m.from = Some(from.to_owned())), want, "{from}");
        }
        for (subject, want) in [("äöü and more", true), ("in the body", false)] {
            assert_eq!(
                matches(|m| m.subject = Some(subject.to_owned())),
                want,
                "{subject}"
            );
        }
        for (text, want) in [
            ("ada@", true),
            ("x-spam-flag: yes", true),
            ("in the body", false),
        ] {
            assert_eq!(matches(|m| m.text = Some(text.to_owned())), want, "{text}");
        }
    }

    #[test]
    fn a_message_id_matches_whole_and_all_that_is_given_has_to_hold() {
        for (id, want) in [
            ("<Abc@x>", true),
            ("Abc@x", true),
            ("abc@x", false),
            ("Abc@", false),
        ] {
            assert_eq!(
                matches(|m| m.message_id = Some(id.to_owned())),
                want,
                "{id}"
            );
        }
        let both = |subject: &str| {
            matches(|m| {
                m.message_id = Some("Abc@x".to_owned());
                m.subject = Some(subject.to_owned());
            })
        };
        assert!(both("more") && !both("less"));
    }
}
