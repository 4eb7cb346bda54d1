use proptest::prelude::*;

use super::*;
use crate::replay::inspect::inspect;

const ALL: Repairs = Repairs {
    nul: true,
    long_lines: true,
    bare_lf: true,
    disarm_receipts: true,
};

const NONE: Repairs = Repairs {
    nul: false,
    long_lines: false,
    bare_lf: false,
    disarm_receipts: false,
};

const LONG: Repairs = Repairs {
    long_lines: true,
    ..NONE
};

fn bytes_of(message: &str, repairs: Repairs) -> Vec<u8> {
    repair(message.as_bytes(), repairs).unwrap().bytes
}

fn longest(bytes: &[u8]) -> u64 {
    inspect(bytes).longest_line
}

#[test]
fn each_repair_is_made_where_it_is_wanted_and_only_there() {
    let message =
        b"Disposition-Notification-To: a\r\nSubject: s\n\r\nb\0dy\r\nReturn-Receipt-To: c\r\n";
    for (repairs, expected, done) in [
        (
            Repairs { nul: true, ..NONE },
            b"Disposition-Notification-To: a\r\nSubject: s\n\r\nb\x80dy\r\nReturn-Receipt-To: c\r\n"
                .as_slice(),
            "NULs became 0x80",
        ),
        (
            Repairs { bare_lf: true, ..NONE },
            b"Disposition-Notification-To: a\r\nSubject: s\r\n\r\nb\0dy\r\nReturn-Receipt-To: c\r\n",
            "bare LFs became CRLF",
        ),
        (
            Repairs { disarm_receipts: true, ..NONE },
            b"X-Disarmed-Disposition-Notification-To: a\r\nSubject: s\n\r\nb\0dy\r\nReturn-Receipt-To: c\r\n",
            "requests for receipts were disarmed",
        ),
    ] {
        let repaired = repair(message, repairs).unwrap();
        assert_eq!(repaired.bytes, expected, "{repairs:?}");
        assert_eq!(repaired.done, [done]);
        assert_eq!(repaired.left, [""; 0]);
    }
    assert_eq!(repair(message, NONE), None);
    assert_eq!(repair(message, LONG), None);
    assert_eq!(repair(message, ALL).unwrap().done.len(), 3);
}

#[test]
fn a_message_without_fault_goes_as_it_is() {
    for clean in [
        "",
        "Subject: s\r\n\r\nbody\r\n",
        "Subject: s\r\n\r\nbody",
        "Subject: s\r\n\r\nlone \r CR\r\n",
        "Subject: s\r\n\r\nDisposition-Notification-To: in the body\r\n",
        "X-Disarmed-Return-Receipt-To: a\r\nSubject:\r\n Return-Receipt-To: folded\r\n\r\n",
        "Return-Receipt-To\r\n\r\n",
        &format!(
            "Subject: {}\r\n\r\n{}\r\n",
            "x".repeat(989),
            "y".repeat(998)
        ),
    ] {
        assert_eq!(repair(clean.as_bytes(), ALL), None, "{clean:?}");
    }
}

#[test]
fn fields_that_ask_for_receipts_are_known_however_they_are_written() {
    for (line, asks) in [
        ("Disposition-Notification-To: a", true),
        ("disposition-notification-to : a", true),
        ("RETURN-RECEIPT-TO:a", true),
        ("X-Confirm-Reading-To:", true),
        (" Return-Receipt-To: a", false),
        ("X-Return-Receipt-To: a", false),
        ("Return-Receipt-To", false),
    ] {
        assert_eq!(asks_for_receipt(line.as_bytes()), asks, "{line}");
    }
}

#[test]
fn long_header_lines_are_folded_at_white_space_that_is_there() {
    let ids = "<0123456789@example.org> ".repeat(100);
    let word = "x".repeat(1200);
    for (line, left) in [
        (format!("References: {}", ids.trim_end()), false),
        (
            format!("References:\t{}", ids.replace(' ', "\t\t").trim_end()),
            false,
        ),
        (format!("X: {}", "y".repeat(997)), false),
        (format!("X: {word}"), true),
        (format!("X:{word}"), true),
        (format!("X : {word}"), true),
        (format!("X: a b {word} c d {ids}e"), true),
        (format!("X: a{}", " ".repeat(1200)), true),
        (format!("X:{}a", " ".repeat(1200)), false),
        (format!("no field but {}", ids.trim_end()), false),
    ] {
        let message = format!("A: b\r\n{line}\r\n c\r\n\r\nbody\r\n");
        let repaired = repair(message.as_bytes(), LONG).unwrap();
        assert_eq!(repaired.left.is_empty(), !left, "{line}");
        let text = String::from_utf8(repaired.bytes).unwrap();
        assert_eq!(longest(text.as_bytes()) > 998, left, "{line}");
        // Unfolded, it is what it was.
        let unfolded = |text: &str| text.replace("\r\n ", " ").replace("\r\n\t", "\t");
        assert_eq!(unfolded(&text), unfolded(&message));
        assert!(
            text.lines()
                .take_while(|l| !l.is_empty())
                .all(|l| !l.trim().is_empty())
        );
        assert!(text.ends_with("\r\n\r\nbody\r\n"));
    }
    let repaired = repair(format!("X:{word}\r\n\r\n").as_bytes(), LONG).unwrap();
    assert_eq!((repaired.done.len(), repaired.left.len()), (0, 1));
}

#[test]
fn long_body_lines_are_broken_as_their_encoding_bears() {
    let prose = "words and ".repeat(300);
    let accents = "\u{20ac}".repeat(700);
    let qp = format!("x{}", "=C3=A4".repeat(500));
    let cases = [
        ("", prose.as_str(), ""),
        ("", &accents, ""),
        ("Content-Transfer-Encoding: 8bit\r\n", &accents, ""),
        (
            "Content-Transfer-Encoding: base64\r\n",
            &"QUJD".repeat(600),
            "",
        ),
        (
            "content-transfer-encoding:\r\n Quoted-Printable\r\n",
            &qp,
            "=",
        ),
        (
            "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: multipart/mixed\r\n",
            &qp,
            "",
        ),
    ];
    for (fields, line, soft) in cases {
        for eol in ["\r\n", "\n"] {
            let message = format!("{fields}X: y\r\n\r\nshort{eol}{line}{eol}short{eol}");
            let text = String::from_utf8(bytes_of(&message, LONG)).unwrap();
            assert!(longest(text.as_bytes()) <= 998, "{fields}");
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let middle = body
                .strip_prefix(&format!("short{eol}"))
                .and_then(|b| b.strip_suffix(&format!("{eol}short{eol}")))
                .unwrap();
            let pieces: Vec<&str> = middle.split(&format!("{soft}{eol}")).collect();
            assert!(pieces.len() > 1 && pieces.len() < 5, "{fields}");
            assert_eq!(pieces.concat(), line, "{fields}");
        }
    }
    let text = String::from_utf8(bytes_of(&format!("\r\n{prose}"), LONG)).unwrap();
    assert!(
        text.lines()
            .skip(1)
            .all(|l| l.starts_with("words") || l.starts_with("and"))
    );
    let message = format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{qp}\r\n");
    let text = String::from_utf8(bytes_of(&message, LONG)).unwrap();
    let pieces = text.lines().skip(2);
    assert!(pieces.clone().count() > 2);
    assert!(
        pieces
            .map(|l| l.trim_start_matches('x').trim_end_matches('='))
            .all(|l| l.len() % 3 == 0)
    );
}

#[test]
fn renaming_a_field_that_is_nearly_too_long_folds_it() {
    let message = format!(
        "Return-Receipt-To: {} {}\r\n\r\n",
        "a".repeat(500),
        "b".repeat(470)
    );
    assert_eq!(repair(message.as_bytes(), LONG), None);
    let repaired = repair(message.as_bytes(), ALL).unwrap();
    assert_eq!(repaired.done.len(), 2);
    assert!(longest(&repaired.bytes) <= 998);
}

/// Messages made of what goes wrong.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just(b"\r\n\r\n".to_vec()),
        2 => Just(b"\r\nReturn-Receipt-To: a@b".to_vec()),
        1 => Just(b"\r\nContent-Transfer-Encoding: quoted-printable\r\n".to_vec()),
        1 => Just(b"\r\nContent-Transfer-Encoding: base64\r\n".to_vec()),
        3 => "[a:= ]{1,5}".prop_map(String::into_bytes),
        2 => (1usize..1500, proptest::sample::select(vec![b"x".as_slice(), b"=", b"=C3", b" ", b"\xc3\xa4", b"\x80", b"ab c"]))
            .prop_map(|(n, text)| text.repeat(n)),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn any_repairs() -> impl Strategy<Value = Repairs> {
    any::<[bool; 4]>().prop_map(|[nul, long_lines, bare_lf, disarm_receipts]| Repairs {
        nul,
        long_lines,
        bare_lf,
        disarm_receipts,
    })
}

proptest! {
    #[test]
    fn a_repaired_message_needs_no_repair(message in message(), repairs in any_repairs()) {
        let Some(once) = repair(&message, repairs) else { return Ok(()) };
        if let Some(twice) = repair(&once.bytes, repairs) {
            prop_assert_eq!(&twice.bytes, &once.bytes);
            prop_assert!(twice.done.is_empty(), "{:?}", twice.done);
        }
        prop_assert_eq!(once.done.is_empty(), once.bytes == message);
        let traits = inspect(&once.bytes);
        prop_assert!(!(repairs.nul && traits.nul));
        prop_assert!(!(repairs.bare_lf && traits.bare_lf));
        prop_assert!(!(repairs.disarm_receipts && traits.disposition_notification));
        prop_assert!(!repairs.long_lines || traits.longest_line <= 998 || !once.left.is_empty());
    }

    #[test]
    fn what_is_not_asked_for_stays(message in message(), repairs in any_repairs()) {
        let Some(once) = repair(&message, repairs) else { return Ok(()) };
        // Without line ends, soft breaks and the new names, the bytes are the same.
        let bare = |bytes: &[u8]| -> Vec<u8> {
            let text: Vec<u8> = bytes.iter().copied()
                .filter(|b| !b"\r\n=".contains(b))
                .map(|b| if b == 0 { 0x80 } else { b })
                .collect();
            text
        };
        let named = once.bytes.split(|b| *b == b'\n')
            .map(|l| l.strip_prefix(DISARMED).unwrap_or(l)).collect::<Vec<_>>().join(&b'\n');
        prop_assert_eq!(bare(&named), bare(&message));
        if !repairs.long_lines {
            prop_assert_eq!(
                once.bytes.iter().filter(|b| **b == b'\n').count(),
                message.iter().filter(|b| **b == b'\n').count()
            );
        }
    }
}
