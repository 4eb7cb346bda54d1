//! Holding a message of the target against that of the archive. Pure.

use std::collections::HashMap;

use crate::header::{self, HEADER_MAX};
use crate::replay::ladder::{Print, print_of};
use crate::replay::recognise::repaired_copies;

/// Why two messages are two, where their header fields tell.
pub(super) const OTHER_HEADER: &str = "its Message-ID, Date, From or Subject is another";

/// What a message looks like: its print, and its header to say what differs.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    pub(super) print: Print,
    /// At most [`HEADER_MAX`] bytes.
    pub(super) header: Vec<u8>,
}

impl Looks {
    /// Of a message that is in memory.
    pub(super) fn of(message: &[u8]) -> Self {
        Self {
            print: print_of(message),
            header: header::header_of(message).to_vec(),
        }
    }
}

/// How alike two messages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Byte for byte.
    Exact,
    /// But for what servers change.
    Altered,
    /// As a copy that was repaired on its way.
    Repaired,
    /// They are two, and why.
    Other(String),
}

/// Compares a message of the archive with that of the target. `repaired` gives what a replay may
/// have sent in its stead; it is asked only where nothing else fits.
pub(super) fn likeness(
    ours: &Looks,
    repaired: impl FnOnce() -> Vec<Looks>,
    theirs: &Looks,
) -> Likeness {
    let Err(why) = alike(ours, theirs) else {
        return if ours.print.exact == theirs.print.exact {
            Likeness::Exact
        } else {
            Likeness::Altered
        };
    };
    if repaired().iter().any(|copy| alike(copy, theirs).is_ok()) {
        Likeness::Repaired
    } else {
        Likeness::Other(why)
    }
}

/// What a replay with repairs sends of a message.
pub(super) fn repairs_of(message: &[u8]) -> Vec<Looks> {
    let copies = repaired_copies(message);
    copies.iter().map(|copy| Looks::of(copy)).collect()
}

fn alike(ours: &Looks, theirs: &Looks) -> Result<(), String> {
    if ours.print.is_kept_as(&theirs.print) {
        return Ok(());
    }
    let same_body = ours.print.body == theirs.print.body;
    // The print does not tell which.
    match changed_field(&ours.header, &theirs.header) {
        Some(name) if same_body && !is_of_four(&name) => Err(format!(
            "its body is the same, and its header field {name} is another or gone"
        )),
        _ if same_body => Err(OTHER_HEADER.to_owned()),
        _ if header::digest(&ours.header) == header::digest(&theirs.header) => {
            Err("its body is another".to_owned())
        }
        _ => Err(OTHER_HEADER.to_owned()),
    }
}

fn is_of_four(name: &str) -> bool {
    let four = ["message-id", "date", "from", "subject"];
    four.iter().any(|field| field.eq_ignore_ascii_case(name))
}

/// A field of our header that theirs has not, or has with another value. Folding, white space and
/// NUL do not count. `None` too where the header is too large to be seen whole.
fn changed_field(ours: &[u8], theirs: &[u8]) -> Option<String> {
    if ours.len() >= HEADER_MAX || theirs.len() >= HEADER_MAX {
        return None;
    }
    let mut there: HashMap<Vec<u8>, u32> = HashMap::new();
    for (name, value) in header::fields(theirs) {
        *there.entry(key(name, value)).or_default() += 1;
    }
    for (name, value) in header::fields(ours) {
        match there.get_mut(&key(name, value)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => return Some(String::from_utf8_lossy(name).into_owned()),
        }
    }
    None
}

fn key(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut key = name.to_ascii_lowercase();
    let words = value.split(u8::is_ascii_whitespace);
    for word in words.filter(|word| !word.is_empty()) {
        key.push(b' ');
        // QUIRK(Dovecot, 2.3): NUL is stored as 0x80.
        key.extend(
            word.iter()
                .map(|byte| if *byte == 0 { 0x80 } else { *byte }),
        );
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::repair::{Repairs, repair};

    const MAIL: &str = "Received: from a by b\r\nMessage-ID: <1@x>\r\nSubject: s\r\nTo: you\r\n\
        Disposition-Notification-To: me\r\n\r\nFirst line\r\nsecond\0 line\r\n";

    fn judged(theirs: &[u8]) -> Likeness {
        likeness_of(MAIL.as_bytes(), theirs)
    }

    fn likeness_of(ours: &[u8], theirs: &[u8]) -> Likeness {
        likeness(&Looks::of(ours), || repairs_of(ours), &Looks::of(theirs))
    }

    #[test]
    fn what_servers_change_is_told_from_what_nobody_may() {
        let other = |why: &str| Likeness::Other(why.to_owned());
        let field = |name: &str| {
            other(&format!(
                "its body is the same, and its header field {name} is another or gone"
            ))
        };
        let four = other(OTHER_HEADER);
        let body = other("its body is another");
        let table: [(String, Likeness); 13] = [
            (MAIL.to_owned(), Likeness::Exact),
            (format!("X-UID: 7\r\n{MAIL}"), Likeness::Altered),
            (MAIL.replace("\r\n", "\n"), Likeness::Altered),
            (MAIL.replace(" line", " line  "), Likeness::Altered),
            (MAIL.replace("To: you", "To:\r\n  you"), Likeness::Altered),
            (format!("{MAIL}\r\n"), Likeness::Altered),
            (MAIL.replace("To: you", "To: me"), field("To")),
            (
                MAIL.replace("Received: from a by b\r\n", ""),
                field("Received"),
            ),
            (
                MAIL.replace("Disposition", "X-Disarmed-Disposition"),
                Likeness::Repaired,
            ),
            (MAIL.replace("Subject: s", "Subject: t"), four.clone()),
            (MAIL.replace("second", "zecond"), body.clone()),
            (MAIL.replace("second", "more\r\nsecond"), body.clone()),
            (String::new(), four),
        ];
        for (theirs, want) in table {
            assert_eq!(judged(theirs.as_bytes()), want, "{theirs:?}");
        }
        let stored: Vec<u8> = MAIL
            .bytes()
            .map(|b| if b == 0 { 0x80 } else { b })
            .collect();
        assert_eq!(judged(&stored), Likeness::Altered);
    }

    #[test]
    fn a_copy_with_broken_lines_is_known_as_a_repaired_one() {
        let long = format!("Subject: s\r\n\r\n{}\r\n", "word ".repeat(400));
        let sent = repair(
            long.as_bytes(),
            Repairs {
                long_lines: true,
                nul: true,
                bare_lf: true,
                disarm_receipts: true,
            },
        )
        .unwrap();
        let found = likeness_of(long.as_bytes(), &sent.bytes);
        assert_eq!(found, Likeness::Repaired);
        let spoilt = [&sent.bytes[..], b"more\r\n"].concat();
        let found = likeness_of(long.as_bytes(), &spoilt);
        assert_eq!(found, Likeness::Other("its body is another".to_owned()));
    }

    #[test]
    fn a_field_that_is_there_twice_has_to_be_there_twice() {
        let twice = "Subject: s\r\nX-A: 1\r\nX-A: 1\r\n\r\nb\r\n";
        let once = "Subject: s\r\nX-A: 1\r\n\r\nb\r\n";
        let of = |ours: &str, theirs: &str| likeness_of(ours.as_bytes(), theirs.as_bytes());
        assert!(matches!(of(twice, once), Likeness::Other(_)));
        assert_eq!(of(once, twice), Likeness::Altered);
    }
}
