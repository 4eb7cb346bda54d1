//! Modified UTF-7, the encoding of mailbox names (RFC 3501 §5.1.3).
//!
//! The wire name is what identifies a mailbox; the decoded one is for people. So decoding
//! never guesses: a name that is not the encoding of its decoded form is shown as it is.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// The readable form of a wire name.
///
/// Canonical wire names and texts correspond one to one. What is no canonical modified
/// UTF-7 (raw UTF-8, a lone `&`, encoded ASCII) is returned as it is, so it may read like
/// another mailbox of a server that mixes both forms; only wire names identify.
#[must_use]
pub fn decode(wire: &str) -> Cow<'_, str> {
    match decode_canonical(wire) {
        Some(decoded) if decoded != wire => Cow::Owned(decoded),
        Some(_) | None => Cow::Borrowed(wire),
    }
}

fn decode_canonical(wire: &str) -> Option<String> {
    let mut decoded = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((plain, after)) = rest.split_once('&') {
        let (shifted, tail) = after.split_once('-')?;
        decoded.push_str(plain);
        if shifted.is_empty() {
            decoded.push('&');
        } else {
            decoded.push_str(&decode_utf16(shifted)?);
        }
        rest = tail;
    }
    decoded.push_str(rest);
    (encode(&decoded) == wire).then_some(decoded)
}

fn decode_utf16(shifted: &str) -> Option<String> {
    let bytes = BASE64.decode(shifted).ok()?;
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units = pairs.filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

/// The wire form of a name.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            unshift(&mut shifted, &mut wire);
            wire.push(c);
            if c == '&' {
                wire.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(
                c.encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    unshift(&mut shifted, &mut wire);
    wire
}

fn unshift(shifted: &mut Vec<u8>, wire: &mut String) {
    if !shifted.is_empty() {
        wire.push('&');
        BASE64.encode_string(&*shifted, wire);
        wire.push('-');
        shifted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names_decode_and_encode() {
        for (wire, name) in [
            ("INBOX", "INBOX"),
            ("&XfJT0ZABkK5O9g-", "已发送邮件"),
            ("&V4NXPpCuTvY-", "垃圾邮件"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("A&-B", "A&B"),
            ("&2D3eAA-", "\u{1F600}"),
        ] {
            assert_eq!(decode(wire), name);
            assert_eq!(encode(name), wire);
        }
    }

    #[test]
    fn what_is_not_canonical_stays_as_it_is() {
        for wire in [
            "a&b",
            "&",
            "&AGE-",
            "&XfI",
            "&2D0-",
            "&!!-",
            "x&XfJT0ZABkK5O9g",
        ] {
            assert_eq!(decode(wire), wire);
        }
    }

    proptest! {
        #[test]
        fn every_name_round_trips(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.is_ascii());
            prop_assert_eq!(decode(&wire), name);
        }

        #[test]
        fn what_decodes_encodes_back(wire in "[a&,AGXü\\-]{0,8}") {
            let decoded = decode(&wire);
            prop_assert!(decoded == wire || encode(&decoded) == wire);
        }
    }
}
