//! A second run, long after the first: mailboxes that are listed no more, mail that was deleted on
//! the target, and what nobody may take for complete.

use super::*;
use support::fake_imap::FakeMailbox;
use support::fake_target::Reaction;
use support::odd_mail::{self, put};

const DAY: &str = "01-Feb-2024 10:00:00 +0000";

fn mailbox(wire: &str, attributes: &str, bodies: &[&[u8]]) -> FakeMailbox {
    let mut mailbox = FakeMailbox::new(wire);
    mailbox.attributes.push(' ');
    mailbox.attributes.push_str(attributes);
    for body in bodies {
        put(&mut mailbox, "", DAY, body);
    }
    mailbox
}

fn inbox(bodies: &[&[u8]]) -> World {
    World::with([mailbox("INBOX", "", bodies)])
}

fn warnings(report: &Value) -> String {
    report["warnings"].to_string()
}

/// A source whose mailbox of sent mail goes by another name on the target.
fn sent() -> (Archived, FakeTarget) {
    let sent = mailbox("Sent Items", "\\Sent", &[odd_mail::ONE, odd_mail::NO_ID]);
    let archived = Archived::of(World::with([mailbox("INBOX", "", &[]), sent]));
    let mut world = TargetWorld::default();
    world.add_mailbox("Sent").attributes = "\\Sent".to_owned();
    let target = FakeTarget::start(world);
    archived.replay(&target, 0, &[]);
    assert_eq!(target.messages("Sent").len(), 2);
    target.forget();
    (archived, target)
}

#[test]
fn a_mailbox_that_the_listing_leaves_out_is_where_it_was() {
    let (archived, target) = sent();
    target.hook(|command, _| match command.name.as_str() {
        "LIST" => Reaction::say("* LIST () \"/\" INBOX\r\nTAG OK that is not all\r\n"),
        _ => Reaction::Normal,
    });
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(row(&report, "Sent")["there"], 2, "{report:#}");
    assert_eq!((target.count("APPEND"), target.count("CREATE")), (0, 0));
}

#[test]
fn a_mailbox_that_is_gone_is_made_again_only_on_request() {
    let (archived, target) = sent();
    target.world().mailbox_mut("Sent").wire = "Gesendet".to_owned();
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(row(&report, "Sent")["left"], 2, "{report:#}");
    let problem = row(&report, "Sent")["problem"].to_string();
    for hint in ["--map", "--resend-removed"] {
        assert!(problem.contains(hint), "{problem}");
    }
    assert_eq!((target.count("APPEND"), target.count("CREATE")), (0, 0));
    archived.replay(&target, 0, &["--map", "Sent Items=Gesendet"]);
    assert_eq!(target.messages("Gesendet").len(), 2);
    let (archived, target) = sent();
    target.world().mailbox_mut("Sent").wire = "Old".to_owned();
    archived.replay(&target, 0, &["--resend-removed"]);
    assert_eq!(target.messages("Sent").len(), 2);
}

#[test]
fn mail_deleted_on_the_target_stays_deleted_under_another_uidvalidity() {
    let archived = Archived::of(inbox(&[odd_mail::ONE, odd_mail::NO_ID, odd_mail::COPIED]));
    let target = FakeTarget::start(TargetWorld::default());
    archived.replay(&target, 0, &[]);
    target.world().mailbox_mut("INBOX").messages.remove(1);
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "removed"), 1, "{report:#}");
    target.world().renumber();
    for _ in 0..2 {
        let report = archived.replay(&target, 0, &[]);
        let counts = ["there", "removed", "appended"].map(|key| total(&report, key));
        assert_eq!(counts, [2, 1, 0], "{report:#}");
    }
    let report = archived.replay(&target, 0, &["--resend-removed"]);
    assert_eq!(total(&report, "appended"), 1, "{report:#}");
    target.world().renumber();
    let report = archived.replay(&target, 0, &[]);
    assert_eq!(total(&report, "there"), 3, "{report:#}");
}

#[test]
fn a_mailbox_that_is_made_anew_and_empty_is_not_filled_again_unasked() {
    let archived = Archived::of(inbox(&[odd_mail::ONE, odd_mail::NO_ID]));
    let target = FakeTarget::start(TargetWorld::default());
    archived.replay(&target, 0, &[]);
    target.world().mailbox_mut("INBOX").messages.clear();
    target.world().renumber();
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(total(&report, "removed"), 2, "{report:#}");
    assert!(warnings(&report).contains("--resend-removed"), "{report:#}");
    // Also when other mail has come in.
    let mut world = target.world();
    world.mailbox_mut("INBOX").add(&[], DAY, odd_mail::COPIED);
    drop(world);
    archived.replay(&target, 0, &[]);
    assert_eq!(target.messages("INBOX").len(), 1);
    let report = archived.replay(&target, 0, &["--resend-removed"]);
    assert_eq!(total(&report, "appended"), 2, "{report:#}");
}

#[test]
fn a_mailbox_that_cannot_be_named_is_no_complete_replay() {
    let archived = Archived::of(World::with([
        mailbox("INBOX", "", &[odd_mail::ONE]),
        mailbox("[Gmail]", "", &[odd_mail::NO_ID]),
        mailbox("Everything", "\\All", &[odd_mail::ONE, odd_mail::NO_ID]),
    ]));
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(report["left_out"][0]["kind"], "refused", "{report:#}");
    assert!(warnings(&report).contains("cannot be named"), "{report:#}");
    // A mailbox of all mail has it too, and that is where it comes from.
    assert_eq!(row(&report, "Archive")["appended"], 1, "{report:#}");
}

#[test]
fn what_lies_in_views_alone_is_sent_once_where_no_mailbox_of_all_mail_was_archived() {
    let archived = Archived::of(World::with([
        mailbox("INBOX", "", &[odd_mail::ONE]),
        mailbox("Starred", "\\Flagged", &[odd_mail::ONE, odd_mail::NO_ID]),
        mailbox("Important", "\\Important", &[odd_mail::NO_ID]),
    ]));
    let target = FakeTarget::start(TargetWorld::default());
    for _ in 0..2 {
        archived.replay(&target, 0, &[]);
        assert_eq!(target.messages("Archive").len(), 1);
        assert_eq!(target.messages("Archive")[0].body, odd_mail::NO_ID);
        assert_eq!(target.messages("INBOX").len(), 1);
    }
}

#[test]
fn a_message_that_arrives_after_it_was_sent_again_is_told_of() {
    let archived = Archived::of(inbox(&[odd_mail::ONE]));
    let target = FakeTarget::start(TargetWorld::default().without("LITERAL+"));
    let mut appends = 0;
    target.hook(move |command, world| {
        if command.name != "APPEND" {
            return Reaction::Normal;
        }
        appends += 1;
        match appends {
            1 => Reaction::hang_up(""),
            _ => {
                // The first arrives now.
                let inbox = world.mailbox_mut("INBOX");
                inbox.add(&[], DAY, odd_mail::ONE);
                Reaction::Normal
            }
        }
    });
    let report = archived.replay(&target, 3, &[]);
    assert_eq!(target.messages("INBOX").len(), 2);
    assert!(warnings(&report).contains("there twice"), "{report:#}");
    assert!(warnings(&report).contains("INBOX"), "{report:#}");
}

#[test]
fn flags_that_somebody_sets_while_a_run_goes_on_stay() {
    let archived = Archived::of(inbox(&[odd_mail::ONE]));
    let target = FakeTarget::start(TargetWorld::default());
    archived.source.world().message(1).flags = "\\Answered".to_owned();
    archived.back_up();
    archived.replay(&target, 0, &[]);
    archived.source.world().message(1).flags = "\\Seen".to_owned();
    archived.back_up();
    target.hook(|command, world| {
        if command.name == "UID STORE" {
            let message = &mut world.mailbox_mut("INBOX").messages[0];
            if !message.flags.iter().any(|flag| flag == "\\Flagged") {
                message.flags.push("\\Flagged".to_owned());
            }
        }
        Reaction::Normal
    });
    archived.replay(&target, 0, &[]);
    let mut flags = target.messages("INBOX")[0].flags.clone();
    flags.sort();
    assert_eq!(flags, ["\\Flagged", "\\Seen"]);
}

#[test]
fn a_backup_that_did_not_end_makes_no_complete_replay() {
    let archived = Archived::of(inbox(&[odd_mail::ONE]));
    put(
        archived.source.world().mailbox_mut("INBOX"),
        "",
        DAY,
        odd_mail::NO_ID,
    );
    put(
        archived.source.world().mailbox_mut("INBOX"),
        "",
        DAY,
        odd_mail::COPIED,
    );
    let limit = ["--max-bytes", "1"];
    let ended = archived
        .mailstow
        .backup(&archived.source.url(), &archived.archive(), &limit);
    ended.expect(9);
    let target = FakeTarget::start(TargetWorld::default());
    let report = archived.replay(&target, 3, &[]);
    assert!(warnings(&report).contains("did not end"), "{report:#}");
    archived.back_up();
    archived.replay(&target, 0, &[]);
    assert_eq!(target.messages("INBOX").len(), 3);
}

#[test]
fn what_the_target_does_not_show_again_is_doubtful_and_not_there() {
    let archived = Archived::of(inbox(&[odd_mail::NO_ID]));
    let target = FakeTarget::start(TargetWorld::default().without("UIDPLUS"));
    archived.replay(&target, 0, &[]);
    let mut world = target.world();
    // Like it, and not the same.
    world.mailbox_mut("INBOX").messages[0].body =
        b"X-Added: 1\r\nFrom: c@x\r\nSubject: no id\r\n\r\nno id, no date\r\n".to_vec();
    drop(world);
    target.hook(|command, _| {
        let wants = command.name == "UID FETCH" && command.line.contains("BODY");
        match wants && !command.line.contains("HEADER") {
            true => Reaction::say("TAG OK nothing\r\n"),
            false => Reaction::Normal,
        }
    });
    let report = archived.replay(&target, 3, &[]);
    let counts = ["there", "doubtful"].map(|key| total(&report, key));
    assert_eq!(counts, [0, 1], "{report:#}");
}
