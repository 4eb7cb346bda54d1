//! Unique-ids as text (RFC 1939 §7, UIDL).

use std::ops::RangeInclusive;

/// Where bytes go that are not ASCII: 0x80 to U+F780, 0xff to U+F7FF.
const ESCAPES: RangeInclusive<char> = '\u{f780}'..='\u{f7ff}';
const ESCAPE_BASE: u32 = 0xf700;

/// A unique-id as it is stored, or nothing if it is empty.
///
/// RFC 1939 allows 1 to 70 characters from 0x21 to 0x7E; longer ones, and ones with blanks
/// or 8-bit characters in them, are kept as they are. One that is no UTF-8, or that holds a
/// character of U+F780..=U+F7FF, has every byte from 0x80 on as U+F700 plus that byte. So two
/// unique-ids never become one: what is kept as it is has no such character, what is escaped
/// has at least one, and each of the two alone can be undone.
pub(super) fn unique_id(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c| ESCAPES.contains(&c)) => Some(text.to_owned()),
        Ok(_) | Err(_) => Some(bytes.iter().map(|byte| escape(*byte)).collect()),
    }
}

fn escape(byte: u8) -> char {
    if byte.is_ascii() {
        return byte.into();
    }
    char::from_u32(ESCAPE_BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The inverse, written on its own: which bytes a text came from.
    fn undo(text: &str) -> Vec<u8> {
        if !text.contains(|c| ESCAPES.contains(&c)) {
            return text.as_bytes().to_vec();
        }
        let byte = |c: char| match u32::from(c) {
            code @ 0..0x80 => u8::try_from(code).unwrap(),
            code => u8::try_from(code - 0xf700).unwrap(),
        };
        text.chars().map(byte).collect()
    }

    #[test]
    fn text_stays_and_other_bytes_are_escaped() {
        for (bytes, expected) in [
            (
                b"whqtswO00WBw418f9t5JxYwZ".as_slice(),
                "whqtswO00WBw418f9t5JxYwZ",
            ),
            (b"a b/../c", "a b/../c"),
            ("ü".as_bytes(), "ü"),
            (b"a\xfcb", "a\u{f7fc}b"),
            (b"\x80\xff", "\u{f780}\u{f7ff}"),
            ("\u{f780}".as_bytes(), "\u{f7ef}\u{f79e}\u{f780}"),
            ("\u{f77f}".as_bytes(), "\u{f77f}"),
        ] {
            assert_eq!(unique_id(bytes).as_deref(), Some(expected), "{bytes:?}");
        }
        assert_eq!(unique_id(b""), None);
    }

    proptest! {
        #[test]
        fn no_two_unique_ids_become_one(bytes in odd_bytes()) {
            let text = unique_id(&bytes).unwrap();
            prop_assert_eq!(undo(&text), bytes);
        }
    }

    /// Bytes that are mostly UTF-8, some of it in the range of the escapes.
    fn odd_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..4),
            "[a-zü\u{f77f}-\u{f801}]{1,4}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
    }
}
