use proptest::prelude::*;

use super::*;

const MESSAGE: &[u8] = b"Message-ID: <a@b>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\
    From: a@b\r\nSubject: s\r\n\tand more\r\n\r\nOne line\r\n\r\n  and\0 another\r\n";

fn replaced(message: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = message;
    while let Some(at) = memchr::memmem::find(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn kept(ours: &[u8], theirs: &[u8]) -> bool {
    print_of(ours).is_kept_as(&print_of(theirs))
}

/// What servers do to a message, each by itself.
fn alterations(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("LF", replaced(message, b"\r\n", b"\n")),
        ("CR", replaced(message, b"\r\n", b"\r")),
        ("CR CR LF", replaced(message, b"\r\n", b"\r\r\n")),
        ("NUL", replaced(message, b"\0", b"\x80")),
        (
            "blanks at line ends",
            replaced(message, b"\r\n", b" \t\r\n"),
        ),
        ("lines at the end", [message, b"\r\n \r\n\r\n"].concat()),
        (
            "fields on top",
            [b"X-Uid: 7\r\nReceived: from x\r\n by y\r\n", message].concat(),
        ),
        (
            "a field below",
            match memchr::memmem::find(message, b"\r\n\r\n") {
                Some(at) => [&message[..at], b"\r\nX-Below: 1", &message[at..]].concat(),
                None => message.to_vec(),
            },
        ),
        (
            "no final line end",
            message.strip_suffix(b"\r\n").unwrap_or(message).to_vec(),
        ),
    ]
}

#[test]
fn what_servers_do_to_a_message_does_not_matter_and_what_they_do_not_does() {
    let print = print_of(MESSAGE);
    assert_eq!(print.exact, ContentId::of(MESSAGE));
    for (what, altered) in alterations(MESSAGE) {
        assert_ne!(altered, MESSAGE, "{what}");
        assert_ne!(print_of(&altered).exact, print.exact, "{what}");
        assert!(kept(MESSAGE, &altered), "{what}");
    }
    for (what, by) in [
        ("One line", "Another line"),
        ("One line", ">From me"),
        ("One line", "One  line"),
        ("One line", " One line"),
        ("One line", "\r\nOne line"),
        ("One line\r\n\r\n", "One line\r\n"),
        ("Subject: s", "Subject: t"),
        ("<a@b>", "<a@c>"),
        ("\r\n\r\nOne", "\r\nOne: x\r\n\r\n"),
    ] {
        let other = replaced(MESSAGE, what.as_bytes(), by.as_bytes());
        assert_ne!(other, MESSAGE, "{what}");
        assert!(!kept(MESSAGE, &other), "{what:?} {by:?}");
    }
    let from = replaced(MESSAGE, b"One line", b"From me");
    let quoted = replaced(MESSAGE, b"One line", b">From me");
    assert!(!kept(&from, &quoted));
}

#[test]
fn messages_without_header_or_without_body_have_prints_of_their_own() {
    let odd: [&[u8]; 6] = [
        b"",
        b"\r\nbody",
        b"\r\n\r\nbody",
        b"Subject: s",
        b"Subject: t\r\n\r\n",
        b"Subject: s\r\n\r\nx",
    ];
    for (at, one) in odd.iter().enumerate() {
        for other in &odd[at + 1..] {
            assert!(!kept(one, other) && !kept(other, one), "{other:?}");
        }
    }
    assert!(kept(b"Subject: s", b"Subject: s\r\n\r\n\r\n"));
}

#[test]
fn a_run_of_blanks_without_end_costs_no_memory() {
    let mut printer = Printer::default();
    printer.write_all(b"A: b\n\nx").unwrap();
    for _ in 0..64 {
        printer.write_all(&[b' '; 8 << 10]).unwrap();
        assert!(printer.blanks.len() <= BLANKS_MAX);
    }
    let whole = [b"A: b\n\nx".as_slice(), &[b' '; 512 << 10]].concat();
    assert_eq!(printer.finish(), print_of(&whole));
}

#[test]
fn a_header_beyond_its_bound_still_has_a_body_behind_it() {
    for line in ["X: yy\n", "X: y\n"] {
        let header = line.repeat(HEADER_MAX / line.len() + 10);
        let one = format!("Subject: s\n{header}\nbody\n\n");
        let other = format!("Subject: s\n{header}\nbodies\n");
        let same = format!("X-New: 1\r\nSubject: s\r\n{header}\r\nbody");
        assert!(!kept(one.as_bytes(), other.as_bytes()));
        assert!(kept(one.as_bytes(), same.as_bytes()));
    }
}

#[test]
fn many_line_ends_count_one_by_one_where_text_follows() {
    let with = |n: usize| print_of(format!("A: b\n{}x", "\n".repeat(n)).as_bytes()).body;
    for n in [1, 2, 255, 256, 257, 258, 1000] {
        assert_ne!(with(n), with(n + 1), "{n}");
        let crlf = format!("A: b\r\n{}x", "\r\n".repeat(n));
        assert_eq!(with(n), print_of(crlf.as_bytes()).body, "{n}");
    }
}

#[test]
fn k_copies_and_n_messages_make_the_smaller_number_of_pairs_exact_ones_first() {
    let exact = print_of(MESSAGE);
    let altered = print_of(&replaced(MESSAGE, b"\r\n", b"\n"));
    let other = print_of(b"Message-ID: <a@b>\r\n\r\nanother body");
    for k in 0..4usize {
        for n in 0..4u32 {
            let group = Group {
                ours: (0..k).collect(),
                theirs: (1..=n).chain([90, 91]).collect(),
            };
            let ours: Vec<_> = (0..k).map(|item| (item, exact.clone())).collect();
            let mut theirs = vec![(90, altered.clone()), (91, other.clone())];
            theirs.extend((1..=n).map(|uid| (uid, exact.clone())));
            let pairs = by_prints(&group, &ours, &theirs);
            let expected: Vec<_> = (0..k).zip((1..=n).chain([90])).collect();
            assert_eq!(pairs, expected, "{k} {n}");
        }
    }
}

#[test]
fn what_is_not_of_the_group_or_has_no_print_is_not_paired() {
    let print = print_of(MESSAGE);
    let group = Group {
        ours: vec![1, 1, 2],
        theirs: vec![5, 5, 6],
    };
    let one = |n: usize| (n, print.clone());
    let there = |uid: u32| [(uid, print.clone())];
    assert_eq!(by_prints(&group, &[one(3)], &there(5)), []);
    assert_eq!(by_prints(&group, &[one(1)], &there(7)), []);
    let twice = by_prints(&group, &[one(1), one(2)], &there(5));
    assert_eq!(twice, [(1, 5)]);
}

#[test]
fn all_that_stands_in_our_header_has_to_stand_in_theirs() {
    for (ours, theirs, expected) in [
        ("To: a\n\n", "To: a\r\nTo: b\r\n\r\n", true),
        ("To: a\nTo: a\n\n", "To: a\r\n\r\n", false),
        ("To: a\n\n", "To: b\n\n", false),
        ("To: a\n\n", "Cc: a\n\n", false),
        ("x NOOP\n", "X: y\nx NOOP\n", true),
        ("x NOOP\n", "x LOGOUT\n", false),
        // What says nothing is in everything.
        ("\n\n", "To: a\n\n", false),
        ("\n\nbody", "To: a\n\n\nbody", true),
    ] {
        assert_eq!(
            kept(ours.as_bytes(), theirs.as_bytes()),
            expected,
            "{ours:?} {theirs:?}"
        );
    }
}

#[test]
fn of_more_fields_than_are_compared_those_that_are_still_tell() {
    let with = |n: u32| -> String { (0..n).map(|n| format!("X-{n}: {n}\n")).collect() };
    let ours = with(300);
    for (theirs, expected) in [
        (format!("{ours}\n"), true),
        (format!("Received: x\nX-A: b\n{ours}\n"), true),
        (format!("{}\n", with(100)), false),
        (format!("{}\n", ours.replace(": 1", ": 2")), false),
    ] {
        let theirs = theirs + "text";
        assert_eq!(
            kept(format!("{ours}\ntext").as_bytes(), theirs.as_bytes()),
            expected
        );
    }
    let HeaderPrint::Fields(fields) = print_of(ours.as_bytes()).header else {
        panic!("nothing was cut");
    };
    assert_eq!(fields.len(), FIELDS_MAX);
}

#[test]
fn of_two_that_fit_one_message_the_one_gets_it_that_fits_no_other() {
    let group = Group {
        ours: vec![1, 2],
        theirs: vec![5, 6],
    };
    let ours = [
        (1, print_of(b"Subject: s\n\nx")),
        (2, print_of(b"Subject: s\nTo: a\n\nx")),
    ];
    let theirs = [
        (5, print_of(b"X: 1\nSubject: s\nTo: a\n\nx")),
        (6, print_of(b"X: 1\nSubject: s\n\nx")),
    ];
    let mut pairs = by_prints(&group, &ours, &theirs);
    pairs.sort_unstable();
    assert_eq!(pairs, [(1, 6), (2, 5)]);
    // One of several copies that may have been sent of it.
    let several = [ours[0].clone(), (1, theirs[0].1.clone())];
    assert_eq!(by_prints(&group, &several, &theirs[..1]), [(1, 5)]);
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(String::new()),
        "[ -~\t\u{0}]{0,12}",
        "(From |>From |\\.)?[a-z]{1,8}",
    ];
    (0..4u8, proptest::collection::vec(line, 0..8)).prop_map(|(n, body)| {
        let lines = body.join("\r\n");
        format!("Subject: {n}\r\nDate: {n}\r\n\r\n{lines}x\r\n").into_bytes()
    })
}

proptest! {
    #[test]
    fn every_alteration_keeps_the_normal_print(message in message()) {
        for (what, altered) in alterations(&message) {
            prop_assert!(kept(&message, &altered), "{}", what);
        }
    }

    #[test]
    fn pieces_print_as_the_whole(bytes in "[ab:\r\n\t \u{0}é]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
        let bytes = bytes.into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut printer = Printer::default();
        for pair in cuts.windows(2) {
            printer.write_all(&bytes[pair[0]..pair[1]]).unwrap();
        }
        prop_assert_eq!(printer.finish(), print_of(&bytes));
    }

    #[test]
    fn nothing_is_paired_twice_and_only_what_prints_alike(
        ours in proptest::collection::vec((0usize..8, 0u8..3, 0u8..3), 0..10),
        theirs in proptest::collection::vec((0u32..8, 0u8..3, 0u8..3), 0..10),
    ) {
        let print = |exact: u8, body: u8| Print {
            exact: ContentId::of(&[exact]),
            body: [body; 32],
            has_body: true,
            header: HeaderPrint::Fields(Vec::new()),
        };
        let group = Group {
            ours: ours.iter().map(|o| o.0).collect(),
            theirs: theirs.iter().map(|t| t.0).collect(),
        };
        let ours: Vec<_> = ours.iter().map(|o| (o.0, print(o.1, o.2))).collect();
        let theirs: Vec<_> = theirs.iter().map(|t| (t.0, print(t.1, t.2))).collect();
        let pairs = by_prints(&group, &ours, &theirs);
        let items: HashSet<_> = pairs.iter().map(|p| p.0).collect();
        let uids: HashSet<_> = pairs.iter().map(|p| p.1).collect();
        prop_assert_eq!((items.len(), uids.len()), (pairs.len(), pairs.len()));
        for (item, uid) in pairs {
            let alike = ours.iter().any(|o| o.0 == item && theirs.iter().any(|t| {
                t.0 == uid && (o.1.exact == t.1.exact || o.1.body == t.1.body)
            }));
            prop_assert!(alike);
        }
    }
}
