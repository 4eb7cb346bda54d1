//! Which messages are not delivered, because servers refuse or change them. Pure.

use crate::replay::inspect::Traits;

/// Longest line by RFC 5321 §4.5.3.1.6, without its line end.
const LINE: u64 = 998;
/// So many Received fields are taken for a loop (RFC 5321 §6.3 asks for at least 100; several
/// servers stop at 30).
const HOPS: u32 = 30;

/// What is known of where mail is delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::replay) struct Delivery {
    /// Who gets it.
    pub(in crate::replay) recipient: String,
    /// The server takes 8-bit text (RFC 6152).
    pub(in crate::replay) eight_bit: bool,
}

impl Delivery {
    /// Why such a message is not sent.
    pub(in crate::replay) fn refuses(&self, traits: &Traits) -> Option<String> {
        let returns = |to: &String| to.trim().eq_ignore_ascii_case(&self.recipient);
        let why = if traits.nul {
            "it holds NUL bytes (--repair nul replaces them)".to_owned()
        } else if traits.bare_lf || traits.bare_cr {
            "it has line ends that are not CRLF, which servers refuse (--repair bare-lf completes those without CR)".to_owned()
        } else if traits.longest_line > LINE {
            format!(
                "it has a line of {} bytes, where SMTP allows {LINE} (--repair long-lines breaks it)",
                traits.longest_line
            )
        } else if traits.eight_bit && !self.eight_bit {
            "it has 8-bit text, and the server does not announce 8BITMIME".to_owned()
        } else if traits.received > HOPS {
            format!(
                "it has {} Received fields, which looks like a loop",
                traits.received
            )
        } else if traits.delivered_to.iter().any(returns) {
            "it was delivered to this recipient before (Delivered-To), which looks like a loop"
                .to_owned()
        } else {
            return None;
        };
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_refuse_or_change_is_not_sent() {
        let fine = Traits {
            longest_line: 998,
            received: 30,
            ..Traits::default()
        };
        let to = |recipient: &str, eight_bit| Delivery {
            recipient: recipient.into(),
            eight_bit,
        };
        let archive = to("archive@example.net", false);
        assert_eq!(archive.refuses(&fine), None);
        let eight_bit = Traits {
            eight_bit: true,
            ..fine.clone()
        };
        assert_eq!(to("a@b", true).refuses(&eight_bit), None);
        for (traits, words) in [
            (eight_bit, "8BITMIME"),
            (
                Traits {
                    nul: true,
                    ..fine.clone()
                },
                "NUL",
            ),
            (
                Traits {
                    bare_lf: true,
                    ..fine.clone()
                },
                "CRLF",
            ),
            (
                Traits {
                    bare_cr: true,
                    ..fine.clone()
                },
                "CRLF",
            ),
            (
                Traits {
                    longest_line: 999,
                    ..fine.clone()
                },
                "999",
            ),
            (
                Traits {
                    received: 31,
                    ..fine.clone()
                },
                "loop",
            ),
            (
                Traits {
                    delivered_to: vec![" Archive@Example.net".into()],
                    ..fine
                },
                "loop",
            ),
        ] {
            let said = archive.refuses(&traits).unwrap_or_default();
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
