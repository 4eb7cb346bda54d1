//! By what a copy of a message is recognised on another server. Never what tells two apart.

use super::{digest, digest_number, field, fields, header_of, words};

/// What a header says of its message that another server leaves as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The [`digest`] of Message-ID, Date, From and Subject, as a number.
    pub fields: u128,
    /// Whether there is a Message-ID with anything in it: real mail has `<>` and `<`.
    pub has_message_id: bool,
    /// Digests of all Received fields, topmost first; folding and runs of white space do not
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
            .map(|(_, value)| number_of(value))
            .collect(),
    })
}

fn number_of(value: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in words(value) {
        hasher.update(b" ");
        hasher.update(word);
    }
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
