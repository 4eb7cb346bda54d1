//! What becomes of a message behind a refused head.

use super::*;
use support::fake_target::{Fault, Reaction, RefuseKeywords};

const MAIL: &[u8] = b"Subject: orders\r\n\r\nx1 DELETE Victim\r\nx2 NOOP\r\n";

fn world() -> TargetWorld {
    TargetWorld::with(&["Victim"])
}

/// Servers, and what they say BAD to: what stands before the literal.
fn bad_heads() -> Vec<(&'static str, TargetWorld, &'static str)> {
    let mut refusing = world();
    refusing.refuse_keywords = Some(RefuseKeywords::Bad);
    refusing.mailbox_mut("INBOX").permanent_flags = Some("(\\Seen)".to_owned());
    let mut faulty = world();
    faulty.faults.insert(1, Fault::Bad("not today".to_owned()));
    vec![
        ("no date", world(), "APPEND INBOX \"yesterday\" "),
        (
            "no day",
            world(),
            "APPEND INBOX \"32-Feb-2024 00:00:00 +0000\" ",
        ),
        (
            "a short date",
            world(),
            "APPEND INBOX \"1-Feb-2024 00:00:00 +0000\" ",
        ),
        ("a system flag nobody has", world(), "APPEND INBOX (\\Foo) "),
        (
            "a flag that is not the client's",
            world(),
            "APPEND INBOX (\\Recent) ",
        ),
        ("no atom", world(), "APPEND INBOX (a*b) "),
        ("eight bits", world(), "APPEND INBOX (Größe) "),
        (
            "words too many",
            world(),
            "APPEND INBOX () \"01-Feb-2024 00:00:00 +0000\" x ",
        ),
        ("a keyword", refusing, "APPEND INBOX (\\Seen $Label1) "),
        ("a fault", faulty, "APPEND INBOX () "),
        ("no such command", world(), "UID APPEND INBOX () "),
        (
            "no LITERAL+",
            world().without("LITERAL+"),
            "APPEND INBOX () ",
        ),
        (
            "a second message",
            world(),
            "APPEND INBOX () {2+}\r\nab (\\Foo) ",
        ),
        (
            "no MULTIAPPEND",
            world().without("MULTIAPPEND"),
            "APPEND INBOX {2+}\r\nab ",
        ),
    ]
}

#[test]
fn a_message_behind_a_head_that_is_bad_runs_as_commands() {
    for (what, world, head) in bad_heads() {
        let (fake, mut raw) = start(world);
        raw.say(format!("a {head}{{{}+}}\r\n", MAIL.len()));
        raw.say([MAIL, b"\r\nb NOOP\r\n"].concat());
        let (lines, tagged) = raw.answer("b");
        assert_eq!(tagged, "OK", "{what}");
        assert!(lines[0].starts_with("a BAD "), "{what}: {lines:?}");
        assert_eq!(
            lines[1..],
            [
                "Subject: BAD Error in IMAP command ORDERS: Unknown command",
                "* BAD Error in IMAP tag: Invalid tag",
                "x1 OK",
                "x2 OK",
                "* BAD Error in IMAP tag: Invalid tag",
            ],
            "{what}"
        );
        let run = fake.executed_from_body();
        let run: Vec<&str> = run.iter().map(|c| c.line.as_str()).collect();
        assert_eq!(
            run,
            ["Subject: orders", "", "x1 DELETE Victim", "x2 NOOP"],
            "{what}"
        );
        assert!(fake.world().mailbox("Victim").is_none(), "{what}");
        assert!(fake.messages("INBOX").is_empty(), "{what}");
        assert_complains(fake, "mail was run as a command: `Subject: orders`");
    }
}

#[test]
fn a_literal_that_waits_is_never_run() {
    for (what, world, head) in bad_heads() {
        let (fake, mut raw) = start(world);
        if what == "no LITERAL+" {
            assert!(
                raw.append_waiting("INBOX ", MAIL).starts_with("OK"),
                "{what}"
            );
            continue;
        }
        raw.say(format!("a {head}{{{}}}\r\nb NOOP\r\n", MAIL.len()));
        let (lines, tagged) = raw.answer("b");
        assert_eq!((lines.len(), tagged.as_str()), (1, "OK"), "{what}");
        assert!(lines[0].starts_with("a BAD "), "{what}: {lines:?}");
        assert!(fake.world().mailbox("Victim").is_some(), "{what}");
    }
}

#[test]
fn a_head_that_is_only_unwelcome_has_its_literal_skipped() {
    let with = |change: fn(&mut TargetWorld)| {
        let mut world = world();
        change(&mut world);
        world
    };
    for (world, head, words) in [
        (world(), "Nowhere () ", "NO [TRYCREATE]"),
        (world(), "&&& () ", "NO Mailbox name is not valid"),
        (
            with(|w| w.append_limit = Some(20)),
            "INBOX () ",
            "NO [TOOBIG]",
        ),
        (with(|w| w.quota = Some(20)), "INBOX () ", "NO [OVERQUOTA]"),
        (
            with(|w| w.namespace = "INBOX.".to_owned()),
            "Victim ",
            "NO Client tried",
        ),
        (
            with(|w| w.mailboxes[0].read_only = true),
            "INBOX ",
            "NO [NOPERM]",
        ),
        (
            with(|w| {
                w.refuse_keywords = Some(RefuseKeywords::No);
                w.mailboxes[0].permanent_flags = Some("(\\Seen)".to_owned());
            }),
            "INBOX ($Label1) ",
            "NO [CANNOT] no flag $Label1",
        ),
    ] {
        let (fake, mut raw) = start(world);
        raw.say(format!("a APPEND {head}{{{}+}}\r\n", MAIL.len()));
        raw.say([MAIL, b" () {3+}\r\nabc\r\nb NOOP\r\n"].concat());
        let (lines, tagged) = raw.answer("b");
        assert_eq!(
            (lines.len(), tagged.as_str()),
            (1, "OK"),
            "{head}: {lines:?}"
        );
        assert!(lines[0][2..].starts_with(words), "{head}: {lines:?}");
        assert!(raw.append_waiting(head, MAIL).starts_with(words), "{head}");
        assert!(fake.world().mailboxes.iter().all(|m| m.messages.is_empty()));
        assert_eq!(fake.appends()[0].answer.as_deref(), Some(&lines[0][2..]));
    }
}

#[test]
fn what_is_run_may_take_in_literals_and_more_mail() {
    let (fake, mut raw) = start(world());
    fake.allow_smuggling();
    let inner = b"x1 APPEND INBOX {3+}\r\nabc\r\nx2 APPEND INBOX (\\Foo) {9+}\r\nx3 NOOP\r\n\r\n";
    raw.say(appending("a", "INBOX", &[("(\\Foo) ", &inner[..])]));
    raw.say("b NOOP\r\n");
    let (lines, _) = raw.answer("b");
    let tagged: Vec<&str> = lines.iter().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(tagged, ["a", "x1", "x2", "x3", "*", "*"], "{lines:?}");
    assert_eq!(fake.messages("INBOX")[0].body, b"abc");
    let smuggled = fake.executed_from_body();
    let names: Vec<&str> = smuggled.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["APPEND", "APPEND", "NOOP", ""]);
    // What comes behind is the client's own again.
    assert!(!fake.commands().last().unwrap().smuggled);
}

#[test]
fn a_hook_that_answers_a_head_leaves_the_literal_where_it_is() {
    let (fake, mut raw) = start(world());
    fake.allow_smuggling();
    fake.hook(|command, _| match command.name.as_str() {
        "APPEND" => Reaction::say("TAG NO without a look\r\n"),
        _ => Reaction::Normal,
    });
    let said = raw.append("INBOX", &[("", MAIL)]);
    assert_eq!(said, "NO without a look");
    assert_eq!(raw.ask("NOOP"), "OK");
    assert!(fake.world().mailbox("Victim").is_none());
}

#[test]
fn bads_in_a_row_end_the_connection() {
    let (fake, mut raw) = start(world());
    fake.world().bads_borne = 3;
    raw.say("a FOO\r\nb FOO\r\nc NOOP\r\nd FOO\r\ne FOO\r\nf FOO\r\ng NOOP\r\n");
    let (lines, _) = raw.answer("g");
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert_eq!(lines[6], "* BYE Too many invalid IMAP commands.");
}

#[test]
fn whatever_removes_mail_is_complained_of_unless_the_test_does_it() {
    for (name, command) in [
        ("EXPUNGE", "EXPUNGE"),
        ("UID EXPUNGE", "UID EXPUNGE 1"),
        ("CLOSE", "CLOSE"),
        ("DELETE", "DELETE Victim"),
        ("RENAME", "RENAME Victim Other"),
    ] {
        for allowed in [false, true] {
            let (fake, mut raw) = start(world());
            let deleted = ["\\Deleted"];
            let date = "01-Feb-2024 00:00:00 +0000";
            fake.world().mailbox_mut("INBOX").add(&deleted, date, b"x");
            assert_eq!(raw.ask("SELECT INBOX"), "OK [READ-WRITE] open");
            assert_eq!(raw.ask(command), "OK");
            let gone = fake.world().mailbox("Victim").is_none();
            let emptied = fake.messages("INBOX").is_empty();
            assert!(gone || emptied, "{name} is carried out");
            if allowed {
                fake.allow(name);
                drop(fake);
            } else {
                assert_complains(fake, &format!("the client sent `a {command}`"));
            }
        }
    }
}
