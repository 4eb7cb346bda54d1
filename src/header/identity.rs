//! By what a copy of a message is recognised on another server. Never what tells two apart.

use super::{
    FOUR, digest, digest_number, field, field_len, fields, four_of, hash_words, header_of,
    name_and_value, number_of_hash, words,
};

/// Most fields Received that are looked at, from the top: a header of 256 KiB has room for 26,000.
const RECEIVED_MAX: usize = 32;

/// What a header says of its message that another server leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The [`digest`] of Message-ID, Date, From and Subject, as a number.
    pub fields: u128,
    /// Whether there is a Message-ID with anything in it: real mail has `<>` and `<`.
    pub has_message_id: bool,
    /// Digests of the Received fields, topmost first, at most 32; folding and runs of white space do not
    /// count. The topmost one is of the server that took the message in, so it is the one
    /// another message hardly shares.
    pub received: Vec<u64>,
}

/// Reads the identity out of a message, of its header, or of what
/// `BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT RECEIVED)]` answers: all three give the
/// same, as long as the fields lie in the first [`HEADER_MAX`](super::HEADER_MAX) bytes.
///
/// `None` where none of the four fields is there, whatever else is.
#[must_use]
pub fn identity(message: &[u8]) -> Option<Identity> {
    let header = header_of(message);
    let message_id = field(header, "message-id").unwrap_or_default();
    let received = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(b"received");
    Some(Identity {
        fields: digest_number(&digest(header)?)?,
        has_message_id: words(message_id)
            .flatten()
            .any(|byte| !b"<>".contains(byte)),
        received: fields(header)
            .filter(received)
            .take(RECEIVED_MAX)
            .map(|(_, value)| number_of(value))
            .collect(),
    })
}

/// The [`Identity::fields`] of the headers that have some of the four fields of this one, with the
/// same words, and lack the others: what a message may have had before a server added what was
/// missing (QUIRK(Exchange, Courier): they add Message-ID and Date). At most 14, in no order.
#[must_use]
pub fn shorter(message: &[u8]) -> Vec<u128> {
    let header = header_of(message);
    let values = FOUR.map(|name| field(header, name));
    let has = |n: usize| values.get(n).is_some_and(Option::is_some);
    let all = (0..FOUR.len())
        .filter(|n| has(*n))
        .fold(0, |bits, n| bits | 1 << n);
    (1..all)
        .filter(|some| some & all == *some)
        .filter_map(|some: u8| {
            let mut n = 0;
            let kept = values.map(|value| {
                n += 1;
                value.filter(|_| some & (1 << (n - 1)) != 0)
            });
            four_of(kept).map(|hash| number_of_hash(&hash))
        })
        .collect()
}

/// Digests of all that stands in a header, one for each field: its name and its words. Lines that
/// are no fields count as well; the `From ` line of an mbox does not, as servers take it away.
pub fn field_digests(header: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = header;
    let mut first = true;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
                return None;
            }
            let (lines, after) = rest.split_at_checked(field_len(rest))?;
            rest = after;
            let is_mbox = std::mem::take(&mut first) && lines.starts_with(b"From ");
            if !is_mbox {
                return Some(number_of_field(lines));
            }
        }
    })
}

fn number_of_field(lines: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    match name_and_value(lines) {
        Some((name, value)) => {
            hasher.update(&name.to_ascii_lowercase());
            hasher.update(b":");
            hash_words(&mut hasher, value);
        }
        None => hash_words(&mut hasher, lines),
    }
    number(&hasher)
}

fn number_of(value: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hash_words(&mut hasher, value);
    number(&hasher)
}

fn number(hasher: &blake3::Hasher) -> u64 {
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_its_header_and_the_fields_asked_for_have_one_identity() {
        let message = b"Received: from a\r\n\tby b; Mon\r\nReceived: from c by d\r\nX: y\r\n\
            Subject: s\r\nMessage-ID: <x@y>\r\n\r\nReceived: in the body\r\n";
        let asked = b"Received: from a by  b; Mon\r\nreceived: from c by d\r\n\
            Message-Id: <x@y>\r\nSubject: s\r\n\r\n";
        let of_message = identity(message).unwrap();
        assert_eq!(identity(header_of(message)).unwrap(), of_message);
        assert_eq!(identity(asked).unwrap(), of_message);
        assert_eq!(of_message.received.len(), 2);
        assert_ne!(of_message.received[0], of_message.received[1]);
        assert_eq!(
            Some(of_message.fields),
            digest(message).as_deref().and_then(digest_number)
        );
        assert!(of_message.has_message_id);
    }

    #[test]
    fn a_header_is_among_the_shorter_ones_of_what_a_server_made_of_it() {
        let of = |header: &str| identity(header.as_bytes()).unwrap().fields;
        let whole = "Subject: s\r\nDate: d\r\nMessage-ID: <1@x>\r\nFrom: me\r\n\r\n";
        let shorter_ones = shorter(whole.as_bytes());
        assert_eq!(shorter_ones.len(), 14);
        for ours in [
            "Subject: s\n\n",
            "From:\n me\nSubject: s\n\n",
            "Date: d\nFrom: me\nSubject: s\n\n",
        ] {
            assert!(shorter_ones.contains(&of(ours)), "{ours:?}");
        }
        for other in [whole, "Subject: t\n\n", "Subject: s\nDate: e\n\n"] {
            assert!(!shorter_ones.contains(&of(other)), "{other:?}");
        }
        assert!(shorter(b"Subject: s\n\n").is_empty());
        assert!(shorter(b"X: y\n\n").is_empty());
    }

    #[test]
    fn of_many_fields_received_the_topmost_are_kept() {
        let all: String = (0..40).map(|n| format!("Received: {n}\r\n")).collect();
        let header = |received: &str| format!("{received}Subject: s\r\n\r\n");
        let received = |text: String| identity(text.as_bytes()).unwrap().received;
        let found = received(header(&all));
        assert_eq!(found.len(), 32);
        assert_eq!(found[0], received(header("Received: 0\r\n"))[0]);
    }

    #[test]
    fn every_field_has_a_digest_and_so_has_a_line_that_is_none() {
        let of = |header: &str| field_digests(header.as_bytes()).collect::<Vec<u64>>();
        assert_eq!(
            of("From me Mon\nTO : a\n b\nx y\n\nZ: z\n"),
            of("to: a b\r\nx  y\r\n")
        );
        assert_eq!(of("to: a\nto: a\n").len(), 2);
        for (one, other) in [
            ("to: a\n", "cc: a\n"),
            ("to: a\n", "to: b\n"),
            ("a\n", "b\n"),
        ] {
            assert_ne!(of(one), of(other));
        }
        assert!(of("").is_empty());
        assert!(of("\r\nTo: a\r\n").is_empty());
    }

    #[test]
    fn a_nul_that_became_0x80_changes_nothing() {
        let sent = b"Received: a\0b\r\nSubject: nul \0 here\0\r\nMessage-ID: <\0>\r\n\r\n";
        let kept = sent.map(|byte| if byte == 0 { 0x80 } else { byte });
        assert_eq!(identity(sent), identity(&kept));
        let other = sent.map(|byte| if byte == 0 { b' ' } else { byte });
        assert_ne!(identity(sent), identity(&other));
    }

    #[test]
    fn without_the_four_fields_there_is_no_identity_and_an_empty_message_id_is_none() {
        for (header, has_message_id) in [
            ("Received: from a by b\r\n\r\n", None),
            ("", None),
            ("Subject: s\n\n", Some(false)),
            ("Message-ID: <>\nSubject: s\n\n", Some(false)),
            ("Message-ID:\n <\nSubject: s\n\n", Some(false)),
            ("Message-ID:\n <a>\n\n", Some(true)),
        ] {
            let found = identity(header.as_bytes()).map(|i| i.has_message_id);
            assert_eq!(found, has_message_id, "{header:?}");
        }
    }
}
