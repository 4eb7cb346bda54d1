//! What is stored, and what the answers say of it.

use super::*;
use support::fake_target::{AppendUid, TODAY};

const DATE: &str = "07-Feb-2024 21:52:25 +0100";

fn bodies(fake: &FakeTarget, wire: &str) -> Vec<String> {
    let messages = fake.messages(wire).into_iter();
    messages
        .map(|m| String::from_utf8_lossy(&m.body).into_owned())
        .collect()
}

#[test]
fn an_append_is_stored_with_flags_and_date_and_put_down() {
    let (fake, mut raw) = start(TargetWorld::with(&["a b"]));
    let head = format!("\"a b\" (\\Seen $Label1) \"{DATE}\" ");
    let told = raw.append_waiting(&head, b"one\r\n");
    assert_eq!(told, "OK [APPENDUID 1700000001 1] Append completed");
    // A name as a literal is no message.
    raw.say("a APPEND {3+}\r\na b {3+}\r\ntwo\r\n");
    assert!(
        raw.answer("a")
            .1
            .starts_with("OK [APPENDUID 1700000001 2] ")
    );
    raw.say("a APPEND {3}\r\n");
    assert_eq!(raw.line(), "+ go on");
    raw.say("a b \" 7-Feb-2024 21:52:25 +0100\" {5+}\r\nthree\r\n");
    assert!(
        raw.answer("a")
            .1
            .starts_with("OK [APPENDUID 1700000001 3] ")
    );
    assert_eq!(bodies(&fake, "a b"), ["one\r\n", "two", "three"]);
    let first = &fake.messages("a b")[0];
    assert_eq!(first.flags, ["\\Seen", "$Label1"]);
    assert_eq!(first.date, DATE);
    assert_eq!(fake.messages("a b")[1].date, TODAY);
    let appends = fake.appends();
    let waited: Vec<bool> = appends
        .iter()
        .map(|a| a.messages[0].synchronising)
        .collect();
    assert_eq!(waited, [true, false, false]);
    assert_eq!(appends[0].messages[0].body, b"one\r\n");
    assert_eq!(appends[0].mailbox, "a b");
    assert_eq!(appends[2].uids, [3]);
    assert_eq!((fake.count("APPEND"), fake.connections()), (3, 1));
    assert_eq!(fake.commands()[1].line, format!("a APPEND {head}{{5}}"));
    let contents = fake.contents();
    assert_eq!(contents["a b"].len(), 3);
    let hash = blake3::hash(b"one\r\n").to_hex().to_string();
    let flags = ["$Label1", "\\Seen"].map(str::to_owned).to_vec();
    assert!(contents["a b"].contains(&(flags, DATE.to_owned(), hash)));
}

#[test]
fn several_messages_in_one_command_are_stored_at_once_or_not_at_all() {
    let three: [(&str, &[u8]); 3] = [("(\\Seen) ", b"one"), ("", b"two2"), ("", b"three")];
    let (fake, mut raw) = start(TargetWorld::default());
    let told = raw.append("INBOX", &three);
    assert_eq!(told, "OK [APPENDUID 1700000000 1:3] Append completed");
    assert_eq!(bodies(&fake, "INBOX"), ["one", "two2", "three"]);
    assert_eq!(fake.messages("INBOX")[0].flags, ["\\Seen"]);
    assert_eq!((fake.appends().len(), fake.appends()[0].uids.len()), (1, 3));
    // Waiting and not waiting in one command.
    raw.say("a APPEND INBOX {3}\r\n");
    assert_eq!(raw.line(), "+ go on");
    raw.say("one () {3+}\r\ntwo {5}\r\n");
    assert_eq!(raw.line(), "+ go on");
    raw.say("three\r\n");
    let told = raw.answer("a").1;
    assert_eq!(told, "OK [APPENDUID 1700000000 4:6] Append completed");

    type Change = fn(&mut TargetWorld);
    let refusals: [(Change, &str); 4] = [
        (|w| w.append_limit = Some(4), "NO [TOOBIG]"),
        (|w| w.quota = Some(8), "NO [OVERQUOTA]"),
        (|w| w.max_line = Some(4), "BAD a line of 5 bytes"),
        (
            |w| {
                w.refuse_body = Some(Box::new(|body| {
                    (body == b"three").then(|| "NO [CANNOT] a virus".to_owned())
                }));
            },
            "NO [CANNOT] a virus",
        ),
    ];
    for (change, words) in refusals {
        let mut world = TargetWorld::default();
        change(&mut world);
        let (fake, mut raw) = start(world);
        let told = raw.append("INBOX", &three);
        assert!(told.starts_with(words), "{words}: {told}");
        assert!(bodies(&fake, "INBOX").is_empty(), "{words}");
        assert!(fake.appends()[0].uids.is_empty(), "{words}");
        assert!(
            raw.append("INBOX", &three[..2]).starts_with("OK"),
            "{words}"
        );
        assert_eq!(bodies(&fake, "INBOX").len(), 2, "{words}");
        // No body was run.
        assert_eq!(raw.ask("NOOP"), "OK");
    }
}

#[test]
fn a_quota_counts_what_is_held() {
    let (fake, mut raw) = start(TargetWorld::with(&["Other"]).announcing("QUOTA"));
    fake.world().quota = Some(4096);
    assert!(
        raw.append("Other", &[("", &[b'x'; 3000])])
            .starts_with("OK")
    );
    let told = raw.append_waiting("INBOX ", &[b'x'; 1097]);
    assert_eq!(told, "NO [OVERQUOTA] the mailbox is full");
    let (lines, _) = raw.look("GETQUOTAROOT INBOX");
    assert_eq!(
        lines,
        [
            "* QUOTAROOT \"INBOX\" \"all\"",
            "* QUOTA \"all\" (STORAGE 3 4)"
        ]
    );
    assert!(
        raw.append("INBOX", &[("", &[b'x'; 1096])])
            .starts_with("OK")
    );
}

#[test]
fn appenduid_may_lie() {
    use AppendUid::*;
    for (how, one, three) in [
        (
            Usual,
            "[APPENDUID 1700000000 1] ",
            "[APPENDUID 1700000000 2:4] ",
        ),
        (Absent, "", ""),
        (
            Swapped,
            "[APPENDUID 1 1700000000] ",
            "[APPENDUID 2:4 1700000000] ",
        ),
        (Short, "", "[APPENDUID 1700000000 2:3] "),
        (
            WrongValidity,
            "[APPENDUID 1699999999 1] ",
            "[APPENDUID 1699999999 2:4] ",
        ),
    ] {
        let (fake, mut raw) = start(TargetWorld::default());
        fake.world().appenduid = how;
        let told = raw.append("INBOX", &[("", b"x")]);
        assert_eq!(told, format!("OK {one}Append completed"), "{how:?}");
        let told = raw.append("INBOX", &[("", b"x"), ("", b"y"), ("", b"z")]);
        assert_eq!(told, format!("OK {three}Append completed"), "{how:?}");
        assert_eq!(fake.messages("INBOX").len(), 4, "{how:?}");
        assert_eq!(fake.appends()[1].uids, [2, 3, 4], "{how:?}");
    }
    let (_fake, mut raw) = start(TargetWorld::default().without("UIDPLUS"));
    let told = raw.append("INBOX", &[("", b"x")]);
    assert_eq!(told, "OK Append completed");
}

#[test]
fn a_message_id_that_is_held_is_thrown_away_and_gets_a_label() {
    let mut world = TargetWorld::with(&["Work"]).announcing("X-GM-EXT-1");
    world.gmail_dedup = true;
    let (fake, mut raw) = start(world);
    let first = b"Message-ID: <1@x>\r\n\r\nfirst\r\n";
    let second = b"message-id: <1@x>\r\n\r\nsecond\r\n";
    let other = b"Message-ID: <2@x>\r\n\r\nother\r\n";
    for (mailbox, body, uid) in [
        ("INBOX", &first[..], "1700000000 1"),
        ("INBOX", second, "1700000000 1"),
        ("INBOX", other, "1700000000 2"),
        ("INBOX", b"no id", "1700000000 3"),
        ("INBOX", b"no id", "1700000000 4"),
        ("Work", second, "1700000001 1"),
        ("Work", first, "1700000001 1"),
    ] {
        let told = raw.append(mailbox, &[("", body)]);
        assert!(told.contains(&format!("[APPENDUID {uid}]")), "{told}");
    }
    assert_eq!(bodies(&fake, "Work"), [String::from_utf8_lossy(first)]);
    assert_eq!(fake.messages("INBOX").len(), 4);
    assert_eq!(fake.messages("INBOX")[0].labels, ["INBOX", "Work"]);
    raw.ask("SELECT INBOX");
    assert_eq!(raw.ask("UID STORE 2 +X-GM-LABELS (Work New)"), "OK");
    assert_eq!(bodies(&fake, "Work")[1], String::from_utf8_lossy(other));
    assert_eq!(bodies(&fake, "New").len(), 1);
    let (lines, _) = raw.look("UID FETCH 2 (X-GM-LABELS)");
    assert_eq!(lines, ["* 2 FETCH (UID 2 X-GM-LABELS (\"Work\" \"New\"))"]);
}

#[test]
fn messages_may_be_stored_otherwise_than_they_came() {
    type Change = fn(&mut TargetWorld);
    let date = format!("\"{DATE}\" ");
    let cases: [(Change, &str, &[u8], &[u8]); 5] = [
        (|_| {}, DATE, b"a\0 \n \r\nb\t", b"a\0 \n \r\nb\t"),
        (
            |w| w.normalise = true,
            DATE,
            b"a\0 \n \r\nb\t",
            b"a\x80\r\n\r\nb",
        ),
        (|w| w.normalise = true, DATE, b"a\rb\r\n", b"a\rb\r\n"),
        (
            |w| w.add_header = Some("X: 1\r\n".into()),
            DATE,
            b"b",
            b"X: 1\r\nb",
        ),
        (|w| w.ignores_date = true, TODAY, b"b", b"b"),
    ];
    for (change, expected, sent, stored) in cases {
        let (fake, mut raw) = start(TargetWorld::default());
        change(&mut fake.world());
        assert!(raw.append("INBOX", &[(&date, sent)]).starts_with("OK"));
        let messages = fake.messages("INBOX");
        assert_eq!(
            (messages[0].date.as_str(), &*messages[0].body),
            (expected, stored)
        );
        assert_eq!(
            fake.appends()[0].messages[0].body,
            sent,
            "the log has what came"
        );
    }
}

#[test]
fn flags_that_are_not_kept_are_left_out_and_deleted_ones_may_be_dropped() {
    for (permanent, kept) in [
        (Some("(\\Seen \\*)"), &["\\SEEN", "$a"][..]),
        (Some("(\\Seen $A)"), &["\\SEEN", "$a"]),
        (Some("(\\Flagged)"), &["\\Flagged"]),
        (Some("()"), &[]),
        (None, &["\\SEEN", "\\Flagged", "$a"]),
    ] {
        let (fake, mut raw) = start(TargetWorld::default());
        fake.world().mailbox_mut("INBOX").permanent_flags = permanent.map(str::to_owned);
        assert!(
            raw.append("INBOX", &[("(\\SEEN \\Flagged $a) ", b"x")])
                .starts_with("OK")
        );
        assert_eq!(fake.messages("INBOX")[0].flags, kept, "{permanent:?}");
    }
    let (fake, mut raw) = start(TargetWorld::default());
    fake.world().drops_deleted = true;
    let told = raw.append("INBOX", &[("(\\Deleted) ", b"x"), ("(\\Seen) ", b"y")]);
    assert_eq!(told, "OK [APPENDUID 1700000000 1:2] Append completed");
    assert_eq!(bodies(&fake, "INBOX"), ["y"]);
}

#[test]
fn literals_that_do_not_wait_are_borne_as_far_as_announced() {
    for (announced, length, borne) in [
        ("LITERAL-", 4096, true),
        ("LITERAL-", 4097, false),
        ("LITERAL+", 4097, true),
        ("X", 1, false),
    ] {
        let (fake, mut raw) = start(
            TargetWorld::default()
                .without("LITERAL+")
                .announcing(announced),
        );
        fake.allow_smuggling();
        let told = raw.append("INBOX", &[("", &vec![b'x'; length])]);
        assert_eq!(
            told.starts_with("OK"),
            borne,
            "{announced} {length}: {told}"
        );
    }
}
