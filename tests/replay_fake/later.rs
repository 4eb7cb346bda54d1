//! The source goes on: flags, moves and deletions that a later backup brings; and a target that
//! asks for time.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::Reaction;
use support::odd_mail::{self, contents, expected, put};

const DAY: &str = "01-Feb-2024 10:00:00 +0000";

/// Three messages in INBOX, and an empty mailbox.
fn three() -> World {
    let mut inbox = FakeMailbox::new("INBOX");
    for body in [odd_mail::ONE, odd_mail::NO_ID, odd_mail::COPIED] {
        put(&mut inbox, "", DAY, body);
    }
    World::with([inbox, FakeMailbox::new("Done")])
}

fn flags(target: &FakeTarget, wire: &str) -> Vec<String> {
    let messages = target.messages(wire);
    messages.iter().map(|m| m.flags.join(" ")).collect()
}

/// Sets the flags of a message at the source.
fn reflag(archived: &Archived, uid: u32, flags: &str) {
    archived.source.world().message(uid).flags = flags.to_owned();
}

/// Takes a message out of the source's INBOX and puts it into `Done`.
fn move_at_source(archived: &Archived, uid: u32) {
    let mut world = archived.source.world();
    let message = world.message(uid).clone();
    world.expunge(uid);
    put(
        world.mailbox_mut("Done"),
        &message.flags,
        &message.date,
        &message.body,
    );
}

#[test]
fn flags_that_change_later_are_set_where_nobody_else_has_set_any() {
    let archived = Archived::of(three());
    let target = FakeTarget::start(TargetWorld::default());
    archived.replay(&target, 0, &[]);
    reflag(&archived, 1, "\\Seen $Forwarded");
    reflag(&archived, 2, "\\Seen");
    reflag(&archived, 3, "\\Seen \\Deleted \\Recent");
    target.world().mailbox_mut("INBOX").messages[1].flags = vec!["\\Flagged".to_owned()];
    archived.back_up();
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(
        flags(&target, "INBOX"),
        ["$Forwarded \\Seen", "\\Flagged", "\\Seen"]
    );
    assert_eq!(
        (total(&report, "flags_set"), total(&report, "flags_kept")),
        (2, 1),
        "{report:#}"
    );
    assert_eq!(total(&report, "there"), 3);
    // And back again.
    reflag(&archived, 1, "");
    archived.back_up();
    archived.replay(&target, 0, &[]);
    assert_eq!(flags(&target, "INBOX"), ["", "\\Flagged", "\\Seen"]);
    // Nothing new: nothing is set.
    target.forget();
    archived.replay(&target, 0, &[]);
    assert_eq!(target.count("UID STORE") + target.count("APPEND"), 0);
}

#[test]
fn a_mark_of_deletion_goes_along_only_on_request() {
    let mut inbox = FakeMailbox::new("INBOX");
    put(&mut inbox, "\\Seen \\Deleted", DAY, odd_mail::ONE);
    let archived = Archived::of(World::with([inbox]));
    for (args, wanted) in [
        (&[][..], "\\Seen"),
        (&["--keep-deleted"], "\\Deleted \\Seen"),
    ] {
        let target = FakeTarget::start(TargetWorld::default());
        archived.replay(&target, 0, args);
        assert_eq!(flags(&target, "INBOX"), [wanted]);
        std::fs::remove_dir_all(archived.archive().join("replay")).unwrap();
    }
}

#[test]
fn a_keyword_refused_later_is_said_once_and_the_other_flags_are_set() {
    let archived = Archived::of(three());
    let target = FakeTarget::start(TargetWorld::default());
    archived.replay(&target, 0, &[]);
    target.hook(
        |command, _| match command.name == "UID STORE" && command.line.contains("work") {
            true => Reaction::say("TAG NO [CANNOT] no more keywords\r\n"),
            false => Reaction::Normal,
        },
    );
    reflag(&archived, 1, "\\Seen work");
    archived.back_up();
    let report = archived.replay(&target, 3, &[]);
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .contains("no more keywords"),
        "{report:#}"
    );
    assert_eq!(flags(&target, "INBOX")[0], "\\Seen");
    target.forget();
    archived.replay(&target, 0, &[]);
    assert_eq!(target.count("UID STORE"), 0);
    // What changes afterwards is set.
    reflag(&archived, 1, "\\Flagged work");
    archived.back_up();
    archived.replay(&target, 3, &[]);
    assert_eq!(flags(&target, "INBOX")[0], "\\Flagged");
}

#[test]
fn a_move_at_the_source_is_repeated_and_a_deletion_is_not() {
    for (capability, moves) in [("", 1), ("UIDPLUS", 1), ("MOVE", 0)] {
        let archived = Archived::of(three());
        let target = FakeTarget::start(TargetWorld::default().without(capability));
        archived.replay(&target, 0, &[]);
        // Without UIDPLUS it is known only now where they are.
        archived.replay(&target, 0, &[]);
        move_at_source(&archived, 1);
        archived.source.world().expunge(2);
        archived.back_up();
        target.forget();
        let report = archived.replay(&target, 0, &[]);
        assert_eq!(target.count("UID MOVE"), moves, "{capability}: {report:#}");
        assert_eq!(target.count("APPEND"), 1 - moves, "{capability}");
        assert_eq!(target.count("UID STORE"), 0, "{capability}");
        assert_eq!(row(&report, "Done")["moved_in"], moves, "{capability}");
        assert_eq!(
            target.messages("Done")[0].body,
            odd_mail::ONE,
            "{capability}"
        );
        let there: Vec<_> = target
            .messages("INBOX")
            .into_iter()
            .map(|m| m.body)
            .collect();
        // What was deleted at the source stays, and so does what cannot be moved.
        assert_eq!(there.len(), 3 - moves, "{capability}");
        assert!(
            there.iter().any(|body| body == odd_mail::NO_ID),
            "{capability}"
        );
        let again = archived.replay(&target, 0, &[]);
        assert_eq!(total(&again, "there"), 2, "{capability}: {again:#}");
        // Back again.
        if moves == 1 {
            let mut world = archived.source.world();
            let message = world.mailbox_mut("Done").messages.pop().unwrap();
            put(
                world.mailbox_mut("INBOX"),
                &message.flags,
                &message.date,
                &message.body,
            );
            drop(world);
            archived.back_up();
            archived.replay(&target, 0, &[]);
            assert_eq!(target.messages("INBOX").len(), 3, "{capability}");
            assert_eq!(target.messages("Done").len(), 0, "{capability}");
        }
    }
}

#[test]
fn what_was_there_before_is_not_moved() {
    let archived = Archived::of(three());
    let mut world = TargetWorld::default();
    world.mailbox_mut("INBOX").add(&[], DAY, odd_mail::ONE);
    let target = FakeTarget::start(world);
    archived.replay(&target, 0, &[]);
    move_at_source(&archived, 1);
    archived.back_up();
    archived.replay(&target, 0, &[]);
    assert_eq!(target.count("UID MOVE"), 0);
    assert_eq!(target.messages("INBOX").len(), 3);
    assert_eq!(target.messages("Done").len(), 1);
}

#[test]
fn a_move_whose_answer_is_lost_is_not_a_second_copy() {
    for moved in [true, false] {
        let archived = Archived::of(three());
        let target = FakeTarget::start(TargetWorld::default());
        archived.replay(&target, 0, &[]);
        move_at_source(&archived, 1);
        archived.back_up();
        let mut done = false;
        target.hook(move |command, world| {
            if command.name != "UID MOVE" || std::mem::replace(&mut done, true) {
                return Reaction::Normal;
            }
            if moved {
                let message = world.mailbox_mut("INBOX").messages.remove(0);
                world
                    .mailbox_mut("Done")
                    .add(&[], &message.date, &message.body);
            }
            Reaction::hang_up("")
        });
        let archive = archived.archive();
        archived.mailstow.replay(&archive, &target.url(), &[]);
        archived.mailstow.replay(&archive, &target.url(), &[]);
        archived.replay(&target, 0, &[]);
        assert_eq!(target.messages("Done").len(), 1, "{moved}");
        assert_eq!(
            contents(&target),
            expected(&archived.source.world()),
            "{moved}"
        );
    }
}

#[test]
fn a_target_that_asks_for_time_is_given_it() {
    for (words, seconds) in [
        ("NO [THROTTLED] slow down", 60),
        (
            "NO Request is throttled. Suggested Backoff Time: 299961 milliseconds",
            299,
        ),
        ("NO [UNAVAILABLE] Temporary failure", 2),
        ("NO [LIMIT] APPEND Rate limit hit.", 60),
        ("NO [INUSE] Mailbox is locked", 60),
    ] {
        let archived = Archived::of(odd_mail::few());
        let target = FakeTarget::start(TargetWorld::default().without("LITERAL+"));
        let mut refused = 0;
        target.hook(move |command, _| {
            refused += usize::from(command.name == "APPEND");
            match command.name == "APPEND" && refused <= 2 {
                true => Reaction::say(&format!("TAG {words}\r\n")),
                false => Reaction::Normal,
            }
        });
        let more = ["--json", "--target-connections", "1"];
        let ended = archived
            .mailstow
            .replay(&archived.archive(), &target.url(), &more);
        ended.expect(0);
        let waits = ended.json();
        let waits = waits.iter().filter(|line| line["event"] == "retrying");
        let waits: Vec<u64> = waits.map(|w| w["wait_seconds"].as_u64().unwrap()).collect();
        assert_eq!(waits, [seconds; 2], "{words}");
        assert_eq!(
            contents(&target),
            expected(&archived.source.world()),
            "{words}"
        );
    }
}

#[test]
fn a_target_that_stays_unavailable_is_given_up_and_the_next_run_goes_on() {
    let archived = Archived::of(odd_mail::few());
    let target = FakeTarget::start(TargetWorld::default().without("LITERAL+"));
    target.hook(|command, _| match command.name.as_str() {
        "APPEND" => Reaction::say("TAG NO [UNAVAILABLE] the backend is down\r\n"),
        _ => Reaction::Normal,
    });
    let report = archived.replay(&target, 6, &["--target-connections", "1"]);
    assert_eq!(report["ending"], "server-lost", "{report:#}");
    assert!(
        report["error"]
            .as_str()
            .unwrap()
            .contains("the backend is down"),
        "{report:#}"
    );
    target.hook(|_, _| Reaction::Normal);
    archived.replay(&target, 0, &[]);
    assert_eq!(contents(&target), expected(&archived.source.world()));
}
