//! What a target may refuse or alter, found in the bytes that are to be sent. Pure.

use std::io::{self, Write};

use crate::header::{self, HEADER_MAX};

/// Fields by which a sender asks to be told that the message was read. A server that takes an
/// unread copy for new mail may answer once more (QUIRK(Exchange Online, 2024)).
pub(super) const RECEIPTS: [&str; 3] = [
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "X-Confirm-Reading-To",
];

/// Most values of Delivered-To that are kept, and most bytes of each.
const DELIVERED_TO_MAX: usize = 32;
const ADDRESS_MAX: usize = 256;

/// What a message has in it that not every server bears.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its own consequence"
)]
pub struct Traits {
    /// A NUL: stored as 0x80 (QUIRK(Dovecot, 2.3)) or refused (QUIRK(Cyrus, 3)).
    pub nul: bool,
    /// An LF without a CR before it.
    pub bare_lf: bool,
    /// A CR without an LF behind it.
    pub bare_cr: bool,
    /// Bytes of the longest line without its line end (CRLF or LF). RFC 5322 §2.1.1 allows 998;
    /// QUIRK(Exchange, 2019): refuses APPEND at about 9,900, Exchange Online at 10,239.
    pub longest_line: u64,
    /// A byte above 0x7F, in header or body.
    pub eight_bit: bool,
    /// Received fields in the header: SMTP servers take a hundred for a loop (RFC 5321 §6.3).
    pub received: u32,
    /// It does not end in LF, and is not empty. QUIRK(Yahoo, 2024): APPEND is BAD then.
    pub no_final_newline: bool,
    /// A header field asks for a receipt.
    pub disposition_notification: bool,
    /// Values of Delivered-To, topmost first, at most 32 of at most 256 bytes: a server that finds
    /// its own address there takes the message for a loop.
    pub delivered_to: Vec<String>,
}

/// Inspects a message that is in memory.
#[must_use]
pub fn inspect(message: &[u8]) -> Traits {
    let mut inspector = Inspector::default();
    inspector.take(message);
    inspector.finish()
}

/// Inspects a message that passes by; how it is cut in pieces does not matter. Writing never
/// fails, and keeps no more than the header (256 KiB of it).
#[derive(Debug, Default)]
pub struct Inspector {
    traits: Traits,
    header: Vec<u8>,
    header_is_over: bool,
    /// Bytes of the line under way.
    line: u64,
    last: Option<u8>,
    /// CRs, and those of them that an LF follows.
    returns: u64,
    ended: u64,
}

impl Inspector {
    /// What was found in all that was written.
    #[must_use]
    pub fn finish(mut self) -> Traits {
        self.end_line();
        self.read_header();
        let mut traits = self.traits;
        traits.bare_cr = self.returns > self.ended;
        traits.no_final_newline = self.last.is_some_and(|byte| byte != b'\n');
        traits
    }

    fn take(&mut self, bytes: &[u8]) {
        self.traits.nul |= memchr::memchr(0, bytes).is_some();
        self.traits.eight_bit |= !bytes.is_ascii();
        self.returns += memchr::memchr_iter(b'\r', bytes).count() as u64;
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let before = match at.checked_sub(1) {
                Some(before) => bytes.get(before).copied(),
                None => self.last,
            };
            self.line += (at - start) as u64;
            if before == Some(b'\r') {
                self.ended += 1;
                self.line -= 1;
            } else {
                self.traits.bare_lf = true;
            }
            self.end_line();
            start = at + 1;
        }
        self.line += (bytes.len() - start) as u64;
        if !self.header_is_over {
            self.take_header(bytes);
        }
        self.last = bytes.last().copied().or(self.last);
    }

    fn end_line(&mut self) {
        self.traits.longest_line = self.traits.longest_line.max(self.line);
        self.line = 0;
    }

    fn take_header(&mut self, bytes: &[u8]) {
        // An empty line may have begun in the piece before.
        let seam = self.header.len().saturating_sub(2);
        let room = HEADER_MAX.saturating_sub(self.header.len());
        let fits = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.header.extend_from_slice(fits);
        let fresh = self.header.get(seam..).unwrap_or_default();
        self.header_is_over = self.header.len() >= HEADER_MAX
            || self.header.starts_with(b"\n")
            || self.header.starts_with(b"\r\n")
            || memchr::memmem::find(fresh, b"\n\n").is_some()
            || memchr::memmem::find(fresh, b"\n\r\n").is_some();
    }

    fn read_header(&mut self) {
        let traits = &mut self.traits;
        for (name, value) in header::fields(&self.header) {
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            if is("Received") {
                traits.received = traits.received.saturating_add(1);
            } else if is("Delivered-To") && traits.delivered_to.len() < DELIVERED_TO_MAX {
                traits.delivered_to.push(address(value));
            } else if RECEIPTS.into_iter().any(is) {
                traits.disposition_notification = true;
            }
        }
    }
}

impl Write for Inspector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn address(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    let mut end = ADDRESS_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLEAN: &str = "Subject: s\r\n\r\nbody\r\n";

    fn plain() -> Traits {
        Traits {
            longest_line: 10,
            ..Traits::default()
        }
    }

    #[test]
    fn each_trait_is_found_by_itself() {
        let cases: Vec<(String, Traits)> = vec![
            (CLEAN.into(), plain()),
            (
                CLEAN.replace("body", "b\0dy"),
                Traits {
                    nul: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body\r\n", "bo\ndy\r\n"),
                Traits {
                    bare_lf: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body", "bo\rdy"),
                Traits {
                    bare_cr: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body\r\n", "body\r"),
                Traits {
                    bare_cr: true,
                    no_final_newline: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body\r\n", "body\r\r\n"),
                Traits {
                    bare_cr: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body", "b\u{f6}dy"),
                Traits {
                    eight_bit: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body\r\n", "body"),
                Traits {
                    no_final_newline: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body\r\n", &"x".repeat(999)),
                Traits {
                    longest_line: 999,
                    no_final_newline: true,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("body", &"x".repeat(999)),
                Traits {
                    longest_line: 999,
                    ..plain()
                },
            ),
            (
                CLEAN.replace("\r\n", "\n"),
                Traits {
                    bare_lf: true,
                    ..plain()
                },
            ),
            (
                format!("Received: a\r\n b\r\nreceived : c\r\n{CLEAN}Received: d\r\n"),
                Traits {
                    received: 2,
                    longest_line: 12,
                    ..plain()
                },
            ),
            (
                format!("Delivered-To:\r\n a@b \r\n{CLEAN}"),
                Traits {
                    delivered_to: vec!["a@b".into()],
                    longest_line: 13,
                    ..plain()
                },
            ),
            (
                format!("{CLEAN}Return-Receipt-To: a@b\r\n"),
                Traits {
                    longest_line: 22,
                    ..plain()
                },
            ),
            (
                "\r\nReceived: x\r\n".into(),
                Traits {
                    longest_line: 11,
                    ..plain()
                },
            ),
            (
                "\nReceived: x\r\n".into(),
                Traits {
                    longest_line: 11,
                    bare_lf: true,
                    ..plain()
                },
            ),
            (String::new(), Traits::default()),
        ];
        for (message, expected) in cases {
            assert_eq!(inspect(message.as_bytes()), expected, "{message:?}");
        }
        for name in RECEIPTS {
            let message = format!("{}: a@b\r\n{CLEAN}", name.to_lowercase());
            assert!(
                inspect(message.as_bytes()).disposition_notification,
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = format!("Delivered-To: {}\r\n", "\u{f6}".repeat(1000));
        let many = format!("Delivered-To: x{}{CLEAN}", long.repeat(100));
        let traits = inspect(many.as_bytes());
        assert_eq!(traits.delivered_to.len(), DELIVERED_TO_MAX);
        assert!(traits.delivered_to.iter().all(|a| a.len() <= ADDRESS_MAX));
        assert_eq!(traits.delivered_to[1].len(), ADDRESS_MAX);

        let mut inspector = Inspector::default();
        let field = b"Received: x\r\n".repeat(1000);
        for _ in 0..HEADER_MAX / field.len() + 4 {
            inspector.write_all(&field).unwrap();
        }
        assert_eq!(inspector.header.len(), HEADER_MAX);
        let found = usize::try_from(inspector.finish().received).unwrap();
        assert_eq!(found, HEADER_MAX.div_ceil(b"Received: x\r\n".len()));
    }

    proptest! {
        #[test]
        fn pieces_show_what_the_whole_shows(
            text in "(Received: a\r\n){0,2}[a\r\n\u{0}ö]{0,40}(\r\n|\n)?(\n|\r\n)(Received: b\r\n)?[a\r\n]{0,20}",
            cuts in proptest::collection::vec(0usize..100, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut inspector = Inspector::default();
            for pair in cuts.windows(2) {
                inspector.write_all(&bytes[pair[0]..pair[1]]).unwrap();
            }
            let found = inspector.finish();
            prop_assert_eq!(&found, &inspect(bytes));
            // Told another way.
            let lines = bytes.split(|b| *b == b'\n').collect::<Vec<_>>();
            let (last, ended) = lines.split_last().unwrap();
            let len = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len();
            let longest = ended.iter().map(|l| len(l)).chain([last.len()]).max().unwrap();
            prop_assert_eq!(found.longest_line, longest as u64);
            prop_assert_eq!(found.bare_lf, ended.iter().any(|l| !l.ends_with(b"\r")));
            prop_assert_eq!(found.bare_cr, text.replace("\r\n", "").contains('\r'));
            let received = header::fields(bytes).filter(|f| f.0 == b"Received").count();
            prop_assert_eq!(found.received as usize, received);
        }
    }
}
