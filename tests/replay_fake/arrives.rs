//! A target that does nothing wrong: everything arrives as it is, once.

use super::*;
use support::fake_imap::FakeMailbox;
use support::odd_mail::{self, contents, expected, put};

#[test]
fn everything_arrives_as_it_is_and_is_never_sent_again() {
    let archived = Archived::of(odd_mail::world());
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 0, &[]);
    let wanted = expected(&archived.source.world());
    assert_eq!(contents(&target), wanted);
    assert_eq!(total(&report, "appended"), 18, "{report:#}");
    assert_eq!(total(&report, "now"), 18);
    assert_eq!(notes(&report), [""; 0]);
    target.forget();
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "there"), 18, "{report:#}");
    assert_eq!(target.count("APPEND") + target.count("UID STORE"), 0);
    assert_eq!(contents(&target), wanted);
}

#[test]
fn a_target_known_from_nothing_but_its_mail_gets_nothing_twice() {
    let archived = Archived::of(odd_mail::world());
    for (what, world) in [
        ("as it was sent", TargetWorld::default()),
        (
            "with header fields and other line ends",
            TargetWorld {
                add_header: Some("Received: by target\r\nX-Spam-Score: 0\r\n".to_owned()),
                normalise: true,
                ..TargetWorld::default()
            },
        ),
        (
            "with another date",
            TargetWorld {
                ignores_date: true,
                ..TargetWorld::default().without("UIDPLUS")
            },
        ),
    ] {
        let target = FakeTarget::start(world);
        archived.replay(&target, 0, &[]);
        let there = contents(&target);
        std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
        target.forget();
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "there"), 18, "{what}: {report:#}");
        assert_eq!(
            target.count("APPEND") + target.count("UID STORE"),
            0,
            "{what}"
        );
        assert_eq!(contents(&target), there, "{what}");
        // What was recognised is in the ledger by now, and looked at no more.
        target.forget();
        archived.replay(&target, 0, &[]);
        let looked = target.commands();
        let looked = looked.iter().filter(|c| c.line.contains("BODY")).count();
        assert_eq!(looked, 0, "{what}");
        std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
    }
}

#[test]
fn what_another_tool_copied_is_recognised_and_the_rest_is_sent() {
    let archived = Archived::of(odd_mail::world());
    let mut world = TargetWorld::with(&["Sent"]);
    let inbox = world.mailbox_mut("INBOX");
    let date = "03-Feb-2024 10:00:00 -0330";
    // One of three copies, with a header field more; one of two twins; and somebody's own.
    inbox.add(
        &["\\Flagged"],
        date,
        &[b"X-Copied: yes\r\n", odd_mail::COPIED].concat(),
    );
    inbox.add(&[], date, &[odd_mail::TWIN, b"\r\n\r\n"].concat());
    inbox.add(&[], date, b"Subject: mine\r\n\r\nmine\r\n");
    let target = FakeTarget::start(world);
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(row(&report, "INBOX")["there"], 2, "{report:#}");
    assert_eq!(row(&report, "INBOX")["appended"], 12);
    let bodies: Vec<Vec<u8>> = target
        .messages("INBOX")
        .into_iter()
        .map(|m| m.body)
        .collect();
    assert_eq!(bodies.len(), 15);
    let count = |body: &[u8]| bodies.iter().filter(|b| *b == body).count();
    assert_eq!(count(odd_mail::COPIED), 2);
    assert_eq!(count(odd_mail::ONE), 1);
    assert_eq!(count(odd_mail::TWIN), 0);
}

#[test]
fn nothing_in_a_head_makes_a_server_run_mail() {
    let mut inbox = FakeMailbox::new("INBOX");
    for (flags, date) in [
        ("a*b", "01-Feb-2024 10:00:00 +0000"),
        ("TEST:FLAG211", "02-Feb-2024 10:00:00 +0000"),
        ("\\Recent \\Flagged", "03-Feb-2024 10:00:00 +0000"),
        ("\\Deleted \\Seen", "04-Feb-2024 10:00:00 +0000"),
        ("\\Strange", "05-Feb-2024 10:00:00 +0000"),
        ("100%", "05-Feb-2024 10:00:00 +0000"),
        ("a]b", "05-Feb-2024 10:00:00 +0000"),
        ("", "01-Jan-0000 00:00:00 +0000"),
        ("", "31-Dec-9999 23:59:59 -1200"),
        ("", "01-Jan-1969 00:00:00 +0000"),
        ("", "29-Feb-2023 00:00:00 +0000"),
        ("", "01-Feb-2024 10:00:00 +2359"),
        ("", "yesterday"),
    ] {
        let body = format!("Subject: {flags} {date}\r\n\r\nx DELETE INBOX\r\nm7 NOOP\r\n");
        put(&mut inbox, flags, date, body.as_bytes());
    }
    let archived = Archived::of(World::with([inbox]));
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "appended"), 13, "{report:#}");
    for append in target.appends() {
        let answer = append.answer.unwrap();
        assert!(answer.starts_with("OK"), "{answer}");
    }
    let mut flags: Vec<String> = target
        .messages("INBOX")
        .iter()
        .map(|m| m.flags.join(" "))
        .filter(|flags| !flags.is_empty())
        .collect();
    flags.sort();
    assert_eq!(flags, ["TEST:FLAG211", "\\Flagged", "\\Seen"]);
    let dropped = notes(&report);
    let dropped: Vec<&str> = dropped
        .iter()
        .filter_map(|note| note.strip_prefix("without-keywords: "))
        .collect();
    assert_eq!(dropped, ["\\Strange", "a]b"], "{report:#}");
    // As it says who looks again.
    let again = archived.replay(&target, 0, &[]);
    assert_eq!(total(&again, "appended"), 0, "{again:#}");
}

#[test]
fn an_empty_mailbox_is_made_and_subscribed_to() {
    let mut subscribed = FakeMailbox::new("Empty");
    subscribed.subscribed = true;
    let world = World::with([
        FakeMailbox::new("INBOX").filled(1),
        subscribed,
        FakeMailbox::new("Left alone"),
    ]);
    let archived = Archived::of(world);
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(row(&report, "Empty")["created"], true);
    assert_eq!(row(&report, "INBOX")["created"], false);
    let world = target.world();
    assert!(world.mailbox("Empty").unwrap().subscribed);
    assert!(!world.mailbox("Left alone").unwrap().subscribed);
}

#[test]
fn messages_that_are_all_header_are_not_taken_for_one_another() {
    for (ours, theirs) in [
        (&b"x DELETE INBOX\r\n"[..], &b"m7 NOOP\r\n"[..]),
        (b"To: one@x\r\n\r\n", b"To: two@x\r\n\r\n"),
        (
            b"Subject: s\r\nTo: one@x\r\n\r\n",
            b"Subject: s\r\nTo: two@x\r\n\r\n",
        ),
    ] {
        let mut inbox = FakeMailbox::new("INBOX");
        put(&mut inbox, "", "01-Feb-2024 10:00:00 +0000", ours);
        let archived = Archived::of(World::with([inbox]));
        let mut world = TargetWorld::default();
        world
            .mailbox_mut("INBOX")
            .add(&[], "01-Feb-2024 10:00:00 +0000", theirs);
        let target = FakeTarget::start(world);
        let report = archived.replay(&target, 0, &[]);
        let text = String::from_utf8_lossy(ours);
        assert_eq!(total(&report, "appended"), 1, "{text}: {report:#}");
    }
}
