//! A target on which others work too: what they take away is not sent again unless a person says
//! so, what they add is not touched, and a number that changed its meaning is not believed.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::{Fault, Reaction};
use support::odd_mail::{self, contents, expected, put};

const DAY: &str = "01-Feb-2024 10:00:00 +0000";

/// Bodies of a mailbox, sorted.
fn bodies(target: &FakeTarget, wire: &str) -> Vec<Vec<u8>> {
    let messages = target.messages(wire).into_iter();
    let mut bodies: Vec<Vec<u8>> = messages.map(|m| m.body).collect();
    bodies.sort();
    bodies
}

#[test]
fn a_target_that_is_numbered_anew_between_runs_gets_nothing_twice() {
    for uidplus in [true, false] {
        let archived = Archived::of(odd_mail::world());
        let mut world = TargetWorld::default();
        if !uidplus {
            world = world.without("UIDPLUS");
        }
        let target = FakeTarget::start(world);
        archived.replay(&target, 0, &[]);
        for _ in 0..2 {
            target.world().renumber();
            target.forget();
            let report = archived.replay(&target, 0, &[]);
            assert_eq!(total(&report, "there"), 18, "{report:#}");
            assert_eq!(target.count("APPEND"), 0);
        }
        // The new numbers are in the ledger.
        target.forget();
        archived.replay(&target, 0, &[]);
        let commands = target.commands();
        assert!(
            !commands.iter().any(|c| c.line.contains("BODY")),
            "{uidplus}"
        );
        assert_eq!(contents(&target), expected(&archived.source.world()));
    }
}

#[test]
fn a_target_that_is_numbered_anew_within_a_run_gets_nothing_twice() {
    let archived = Archived::of(odd_mail::few());
    let wanted = expected(&archived.source.world());
    for fault in [None, Some(Fault::LoseReply), Some(Fault::LoseBefore)] {
        for (after, multi) in (1..=8).flat_map(|n| [(n, false), (n, true)]) {
            let mut world = TargetWorld::default();
            if !multi {
                world = world.without("MULTIAPPEND");
            }
            world.renumber_after = Some(after);
            if let Some(fault) = &fault {
                world.faults.insert(after + 1, fault.clone());
            }
            let target = FakeTarget::start(world);
            let at = format!("{fault:?} behind {after}, {multi}");
            let json = ["--json", "--target-connections", "1"];
            let replay = || {
                archived
                    .mailstow
                    .replay(&archived.archive(), &target.url(), &json)
            };
            let first = replay();
            assert!([Some(0), Some(3)].contains(&first.exit), "{at}: {first:#?}");
            replay();
            let last = replay();
            assert_eq!(last.exit, Some(0), "{at}: {last:#?}");
            assert_eq!(contents(&target), wanted, "{at}");
            std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
        }
    }
}

#[test]
fn what_was_removed_on_the_target_is_sent_again_only_on_a_persons_word() {
    for uidplus in [true, false] {
        let archived = Archived::of(odd_mail::world());
        let mut world = TargetWorld::default();
        if !uidplus {
            world = world.without("UIDPLUS");
        }
        let target = FakeTarget::start(world);
        archived.replay(&target, 0, &[]);
        if uidplus {
            archived.replay(&target, 0, &[]);
        }
        // One thrown away, and of three copies one filed elsewhere.
        {
            let mut world = target.world();
            let inbox = &mut world.mailbox_mut("INBOX").messages;
            inbox.retain(|m| m.body != odd_mail::NO_ID);
            let copy = inbox.iter().position(|m| m.body == odd_mail::COPIED);
            let copy = inbox.remove(copy.unwrap());
            world.add_mailbox("Filed").add(&[], &copy.date, &copy.body);
        }
        target.forget();
        for _ in 0..2 {
            let report = archived.replay(&target, 0, &[]);
            assert_eq!(total(&report, "removed"), 2, "{uidplus}: {report:#}");
            assert_eq!(total(&report, "there"), 16, "{uidplus}: {report:#}");
        }
        assert_eq!(target.count("APPEND"), 0, "{uidplus}");
        let report = archived.replay(&target, 0, &["--resend-removed"]);
        assert_eq!(total(&report, "appended"), 2, "{uidplus}: {report:#}");
        let mut there = contents(&target);
        there.remove("Filed");
        assert_eq!(there, expected(&archived.source.world()), "{uidplus}");
        let report = archived.replay(&target, 0, &["--resend-removed"]);
        assert_eq!(total(&report, "there"), 18, "{uidplus}: {report:#}");
    }
}

#[test]
fn what_others_have_there_is_not_touched() {
    let archived = Archived::of(odd_mail::world());
    let mut world = TargetWorld::with(&["Sent", "Private"]);
    for wire in ["INBOX", "Sent", "Private"] {
        for n in 0..5 {
            let body = format!("Message-ID: <other-{n}@x>\r\nSubject: {wire}\r\n\r\n{n}\r\n");
            world
                .mailbox_mut(wire)
                .add(&["\\Seen"], DAY, body.as_bytes());
        }
    }
    let target = FakeTarget::start(world);
    let before = contents(&target);
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "appended"), 18, "{report:#}");
    assert_eq!(total(&report, "now"), 28, "{report:#}");
    let after = contents(&target);
    for (wire, messages) in before {
        let kept = messages.iter().filter(|m| after[&wire].contains(m)).count();
        assert_eq!(kept, messages.len(), "{wire}");
    }
    assert_eq!(target.count("UID STORE") + target.count("UID MOVE"), 0);
}

/// A hole: a message came in and went again, and nobody knows whether it was the one whose answer
/// was lost.
#[test]
fn what_may_have_been_there_is_sent_again_only_on_a_persons_word() {
    let mut inbox = FakeMailbox::new("INBOX");
    put(&mut inbox, "", DAY, odd_mail::ONE);
    let archived = Archived::of(World::with([inbox]));
    let mut world = TargetWorld::default();
    world.faults.insert(1, Fault::LoseReply);
    let target = FakeTarget::start(world);
    // Somebody removes it before it is looked for.
    let mut lost = false;
    target.hook(move |command, world| {
        lost |= command.name == "APPEND";
        if lost && command.name == "EXAMINE" {
            world.mailbox_mut("INBOX").messages.clear();
        }
        Reaction::Normal
    });
    for _ in 0..2 {
        let report = archived.replay(&target, 3, &[]);
        assert_eq!(total(&report, "doubtful"), 1, "{report:#}");
        assert!(notes(&report)[0].starts_with("doubtful: "), "{report:#}");
        assert_eq!(bodies(&target, "INBOX").len(), 0);
    }
    assert_eq!(target.appends().len(), 1);
    target.hook(|_, _| Reaction::Normal);
    let report = archived.replay(&target, 0, &["--resend-doubtful"]);
    assert_eq!(total(&report, "appended"), 1, "{report:#}");
    assert_eq!(bodies(&target, "INBOX"), [odd_mail::ONE]);
    let report = archived.replay(&target, 0, &["--resend-doubtful"]);
    assert_eq!(total(&report, "there"), 1, "{report:#}");
}

#[test]
fn what_was_doubtful_and_shows_up_is_there() {
    let mut inbox = FakeMailbox::new("INBOX");
    put(&mut inbox, "", DAY, odd_mail::ONE);
    let archived = Archived::of(World::with([inbox]));
    let mut world = TargetWorld::default();
    world.faults.insert(1, Fault::LoseBefore);
    let target = FakeTarget::start(world);
    // Somebody else's comes and goes meanwhile.
    target.hook(|command, world| {
        if command.name == "APPEND" {
            world.mailbox_mut("INBOX").uidnext += 1;
        }
        Reaction::Normal
    });
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(total(&report, "doubtful"), 1, "{report:#}");
    target
        .world()
        .mailbox_mut("INBOX")
        .add(&[], DAY, odd_mail::ONE);
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "there"), 1, "{report:#}");
    let report = archived.replay(&target, 0, &["--resend-doubtful"]);
    assert_eq!(total(&report, "there"), 1, "{report:#}");
    assert_eq!(bodies(&target, "INBOX").len(), 1);
}

/// The server stores what it had read only once it was looked at for the first time.
#[test]
fn what_is_stored_between_the_two_looks_is_not_sent_again() {
    let mut inbox = FakeMailbox::new("INBOX");
    put(&mut inbox, "", DAY, odd_mail::ONE);
    let archived = Archived::of(World::with([inbox]));
    let mut world = TargetWorld::default();
    world.faults.insert(1, Fault::LoseBefore);
    let target = FakeTarget::start(world);
    let mut looks = None;
    target.hook(move |command, world| {
        match (command.name.as_str(), &mut looks) {
            ("APPEND", looks) => *looks = Some(0),
            ("EXAMINE", Some(looks)) => {
                *looks += 1;
                if *looks == 2 {
                    world.mailbox_mut("INBOX").add(&[], DAY, odd_mail::ONE);
                }
            }
            _ => {}
        }
        Reaction::Normal
    });
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "appended"), 1, "{report:#}");
    assert_eq!(target.appends().len(), 1);
    assert_eq!(bodies(&target, "INBOX").len(), 1);
}

#[test]
fn a_mailbox_that_shrank_within_a_run_does_not_add_up() {
    let archived = Archived::of(odd_mail::few());
    let mut world = TargetWorld::with(&["Sent"]);
    for n in 0..9 {
        let body = format!("Subject: {n}\r\n\r\nsomebody's\r\n");
        world.mailbox_mut("Sent").add(&[], DAY, body.as_bytes());
    }
    let target = FakeTarget::start(world);
    target.hook(|command, world| {
        if command.name == "APPEND" {
            world
                .mailbox_mut("Sent")
                .messages
                .retain(|m| !m.body.ends_with(b"somebody's\r\n"));
        }
        Reaction::Normal
    });
    let report = archived.replay(&target, 3, &[]);
    let sent = row(&report, "Sent");
    assert_eq!(
        (&sent["before"], &sent["now"]),
        (&9.into(), &2.into()),
        "{report:#}"
    );
    archived.replay(&target, 0, &[]);
}
