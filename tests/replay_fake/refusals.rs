//! A target that will not have a message, a flag or a mailbox: that is said in its words, the
//! rest goes, and the next run tries only what was refused.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::{Reaction, RefuseKeywords};
use support::odd_mail::{self, contents, expected, put};

const DAY: &str = "01-Feb-2024 10:00:00 +0000";

/// What the APPENDs since the last look brought, refused or not.
fn sent(target: &FakeTarget) -> usize {
    let appends = target.appends();
    target.forget();
    appends.iter().map(|append| append.messages.len()).sum()
}

#[test]
fn a_message_that_is_refused_stops_no_other_and_is_tried_again_alone() {
    type Change = fn(&mut TargetWorld);
    let cases: [(&str, Change, &str); 6] = [
        (
            "too big",
            |w| w.append_limit = Some(10_000),
            "[TOOBIG] this message is too large",
        ),
        (
            "a virus",
            |w| w.refuse_body = Some(Box::new(refuse_long)),
            "[CANNOT] contains a virus",
        ),
        (
            "a long line",
            |w| w.max_line = Some(10_000),
            "a line of 20000 bytes",
        ),
        (
            "a limit of the mailbox",
            |w| w.refuse_body = Some(Box::new(|b| too_long(b, "NO [LIMIT] takes no more"))),
            "[LIMIT] takes no more",
        ),
        (
            "a server that stumbles",
            |w| w.refuse_body = Some(Box::new(|b| too_long(b, "NO [SERVERBUG] Internal error"))),
            "[SERVERBUG] Internal error",
        ),
        (
            "no word",
            |w| w.refuse_body = Some(Box::new(|b| too_long(b, "NO "))),
            "without a word",
        ),
    ];
    let archived = Archived::of(odd_mail::world());
    let wanted = expected(&archived.source.world());
    for (what, change, words) in cases {
        let one = ["--target-connections", "1"];
        for (multi, args) in [(true, &[][..]), (false, &[]), (false, &one)] {
            let mut world = TargetWorld::default();
            if !multi {
                world = world.without("MULTIAPPEND").without("LITERAL+");
            }
            change(&mut world);
            let target = FakeTarget::start(world);
            let report = archived.replay(&target, 3, args);
            assert_eq!(total(&report, "refused"), 1, "{what}: {report:#}");
            assert_eq!(total(&report, "appended"), 17, "{what}: {report:#}");
            let said = notes(&report);
            assert!(
                said.len() == 1 && said[0].contains(words),
                "{what}: {said:?}"
            );
            target.forget();
            let report = archived.replay(&target, 3, args);
            assert_eq!(total(&report, "refused"), 1, "{what}: {report:#}");
            assert_eq!(total(&report, "there"), 17, "{what}: {report:#}");
            let tried: Vec<usize> = target.appends().iter().map(|a| a.messages.len()).collect();
            assert!(tried.iter().all(|n| *n == 1), "{what}: {tried:?}");
            {
                let mut world = target.world();
                (world.append_limit, world.max_line, world.refuse_body) = (None, None, None);
            }
            archived.replay(&target, 0, &[]);
            assert_eq!(contents(&target), wanted, "{what}");
            std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
        }
    }
}

fn refuse_long(body: &[u8]) -> Option<String> {
    too_long(body, "NO [CANNOT] contains a virus")
}

fn too_long(body: &[u8], words: &str) -> Option<String> {
    (body.len() > 10_000).then(|| words.to_owned())
}

#[test]
fn what_the_target_says_it_refuses_is_not_even_sent() {
    let archived = Archived::of(odd_mail::world());
    let mut world = TargetWorld::default().announcing("APPENDLIMIT=10000");
    world.append_limit = Some(10_000);
    let target = FakeTarget::start(world);
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(total(&report, "refused"), 1, "{report:#}");
    let said = notes(&report);
    assert!(
        said[0].contains("20019 bytes") && said[0].contains("10000"),
        "{said:?}"
    );
    assert_eq!(sent(&target), 17);
}

#[test]
fn a_full_target_ends_the_run_and_the_next_goes_on_once_there_is_room() {
    let archived = Archived::of(odd_mail::world());
    for multi in [true, false] {
        let mut world = TargetWorld::default();
        if !multi {
            world = world.without("MULTIAPPEND");
        }
        world.quota = Some(900);
        let target = FakeTarget::start(world);
        let report = archived.replay(&target, 9, &[]);
        let (appended, left) = (total(&report, "appended"), total(&report, "left"));
        assert!(
            appended > 0 && left > 0 && appended + left == 18,
            "{report:#}"
        );
        assert_eq!(report["ending"], "limit");
        let error = report["error"].as_str().unwrap();
        assert!(error.contains("[OVERQUOTA] the mailbox is full"), "{error}");
        // Still full: nothing changes.
        let report = archived.replay(&target, 9, &[]);
        assert_eq!(
            total(&report, "there") + total(&report, "appended") + total(&report, "left"),
            18
        );
        target.world().quota = None;
        archived.replay(&target, 0, &[]);
        assert_eq!(contents(&target), expected(&archived.source.world()));
        std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
    }
}

#[test]
fn keywords_the_target_does_not_keep_are_dropped_and_reported() {
    for refuse in [None, Some(RefuseKeywords::Bad), Some(RefuseKeywords::No)] {
        let archived = Archived::of(odd_mail::world());
        let mut world = TargetWorld::with(&["Sent"]);
        world.refuse_keywords = refuse;
        for mailbox in &mut world.mailboxes {
            mailbox.permanent_flags = Some("(\\Seen \\Answered \\Flagged)".to_owned());
        }
        let target = FakeTarget::start(world);
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "appended"), 18, "{report:#}");
        let without: Vec<String> = notes(&report);
        assert_eq!(
            without,
            [
                "without-keywords: $Forwarded",
                "without-keywords: $Forwarded",
                "without-keywords: NonJunk",
                "without-keywords: \\Draft"
            ]
        );
        target.forget();
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "flags_set"), 0, "{report:#}");
        assert_eq!(target.count("UID STORE") + target.count("APPEND"), 0);
    }
}

/// PERMANENTFLAGS says anything goes, and then keywords are refused all the same.
#[test]
fn a_keyword_that_is_refused_against_all_promises_costs_only_itself() {
    for words in [
        "NO [CANNOT] no such keyword",
        "BAD what is that",
        "NO [LIMIT] too many keywords",
    ] {
        let archived = Archived::of(odd_mail::world());
        let target = FakeTarget::start(TargetWorld::default());
        target.hook(move |command, _| {
            let head = command.line.rsplit('(').next().unwrap_or_default();
            let refused = ["APPEND", "UID STORE"].contains(&command.name.as_str())
                && ["$Forwarded", "NonJunk"].iter().any(|k| head.contains(k));
            // A literal that did not wait would be run as commands here.
            match refused {
                true => Reaction::say(&format!("TAG {words}\r\n")),
                false => Reaction::Normal,
            }
        });
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "appended"), 18, "{words}: {report:#}");
        let said = notes(&report);
        assert_eq!(said.len(), 3, "{words}: {said:?}");
        assert!(
            said.iter().all(|n| n.starts_with("without-keywords")),
            "{said:?}"
        );
        // They are not tried for ever.
        target.forget();
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(total(&report, "there"), 18, "{words}: {report:#}");
        assert_eq!(target.count("UID STORE"), 0, "{words}");
    }
}

#[test]
fn a_mailbox_that_cannot_be_had_stops_no_other() {
    type Change = fn(&FakeTarget);
    let cases: [(&str, Change, &str); 4] = [
        (
            "not made",
            |t| refuse(t, "CREATE", "NO [CANNOT] not here"),
            "[CANNOT] not here",
        ),
        (
            "not made, BAD",
            |t| refuse(t, "CREATE", "BAD what?"),
            "what?",
        ),
        (
            "not opened",
            |t| refuse(t, "SELECT", "NO [NOPERM] not yours"),
            "[NOPERM] not yours",
        ),
        (
            "read only",
            |t| t.world().add_mailbox("Sent").read_only = true,
            "reading only",
        ),
    ];
    for (what, change, words) in cases {
        let archived = Archived::of(odd_mail::world());
        let target = FakeTarget::start(TargetWorld::default());
        change(&target);
        let report = archived.replay(&target, 3, &[]);
        let problem = row(&report, "Sent")["problem"].as_str().unwrap().to_owned();
        assert!(problem.contains(words), "{what}: {problem}");
        assert_eq!(row(&report, "Sent")["left"], 2, "{what}");
        assert_eq!(total(&report, "appended"), 16, "{what}: {report:#}");
        target.hook(|_, _| Reaction::Normal);
        for mailbox in &mut target.world().mailboxes {
            mailbox.read_only = false;
        }
        target.forget();
        archived.replay(&target, 0, &[]);
        assert_eq!(sent(&target), 2, "{what}");
        assert_eq!(
            contents(&target),
            expected(&archived.source.world()),
            "{what}"
        );
    }
}

/// Refuses a command about `Sent`.
fn refuse(target: &FakeTarget, name: &'static str, words: &'static str) {
    target.hook(move |command, _| {
        let sent = command.args.first().is_some_and(|a| a == "Sent");
        match command.name == name && sent {
            true => Reaction::say(&format!("TAG {words}\r\n")),
            false => Reaction::Normal,
        }
    });
}

#[test]
fn a_mailbox_that_goes_while_mail_is_sent_is_made_again() {
    let mut inbox = FakeMailbox::new("INBOX");
    put(&mut inbox, "", DAY, odd_mail::ONE);
    let mut box_ = FakeMailbox::new("Box");
    put(&mut box_, "", DAY, odd_mail::ONE);
    put(&mut box_, "\\Seen", DAY, odd_mail::NO_ID);
    let archived = Archived::of(World::with([inbox, box_]));
    let target = FakeTarget::start(TargetWorld::default().without("MULTIAPPEND"));
    target.hook(|command, world| {
        let to_box = command.args.first().is_some_and(|name| name == "Box");
        if command.name == "APPEND" && to_box && world.uidvalidity < 1_700_000_002 {
            world.mailboxes.retain(|m| m.wire != "Box");
            world.uidvalidity += 1;
        }
        Reaction::Normal
    });
    archived.replay(&target, 0, &[]);
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(
        contents(&target),
        expected(&archived.source.world()),
        "{report:#}"
    );
}

#[test]
fn an_empty_message_is_refused_here_and_named() {
    let mut inbox = FakeMailbox::new("INBOX").filled(2);
    inbox.add_empty();
    let archived = Archived::of(World::with([inbox]));
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(
        (total(&report, "refused"), total(&report, "appended")),
        (1, 2),
        "{report:#}"
    );
    assert!(notes(&report)[0].contains("no byte"), "{report:#}");
}

#[test]
fn a_target_that_stores_a_part_of_what_it_refuses_gets_no_second_copy() {
    let archived = Archived::of(odd_mail::world());
    let wanted = expected(&archived.source.world());
    for words in [
        "NO [CANNOT] contains a virus",
        "NO [SERVERBUG] Internal error",
        "NO [OVERQUOTA] no room",
    ] {
        let target = FakeTarget::start(TargetWorld {
            multiappend_in_part: true,
            refuse_body: Some(Box::new(move |body| too_long(body, words))),
            ..TargetWorld::default()
        });
        let full = words.contains("OVERQUOTA");
        archived.replay(&target, if full { 9 } else { 3 }, &[]);
        target.world().refuse_body = None;
        archived.replay(&target, 0, &[]);
        assert_eq!(contents(&target), wanted, "{words}");
        std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
    }
}

#[test]
fn repairs_do_not_hide_what_the_target_would_not_have() {
    let mut world = World::with([FakeMailbox::new("INBOX")]);
    let long = format!("Subject: {}\r\n\r\nbody\0\r\n", "x".repeat(12_000));
    put(world.mailbox_mut("INBOX"), "", DAY, long.as_bytes());
    let archived = Archived::of(world);
    let target = FakeTarget::start(TargetWorld {
        greeting: "* OK The Microsoft Exchange IMAP4 service is ready.".to_owned(),
        ..TargetWorld::default()
    });
    // The line cannot be folded, and mending the NUL makes it no shorter.
    for repair in ["nul", "nul,long-lines"] {
        let report = archived.replay(&target, 3, &["--repair", repair]);
        assert_eq!(total(&report, "refused"), 1, "{report:#}");
        assert_eq!(sent(&target), 0, "{repair}");
    }
}

#[test]
fn dates_that_servers_may_not_understand_wait_for_consent() {
    let mut world = World::with([FakeMailbox::new("INBOX")]);
    for (n, date) in [
        DAY,
        DAY,
        " 1-Jan-9999 00:00:00 +0000",
        "01-Feb-2024 10:00:00 +2359",
        "31-Dec-1969 10:00:00 +0000",
    ]
    .iter()
    .enumerate()
    {
        let body = format!("Subject: {n}\r\n\r\nx\r\n");
        put(world.mailbox_mut("INBOX"), "", date, body.as_bytes());
    }
    let archived = Archived::of(world);
    let target = FakeTarget::start(TargetWorld::default());
    archived.replay(&target, 0, &[]);
    let appended: Vec<_> = target
        .appends()
        .into_iter()
        .flat_map(|append| append.messages)
        .collect();
    assert_eq!(appended.len(), 5);
    for message in &appended {
        let date = message.date.clone().unwrap_or_default();
        assert!(message.synchronising || date == DAY, "{date}");
    }
}
