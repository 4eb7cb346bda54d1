//! `verify --against` an IMAP server that lies, breaks off and misbehaves. The fake server fails
//! the test if it is asked for a change.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;
#[path = "against/trial.rs"]
mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::fake_imap::{Delivery, FakeImap, FakeMailbox, Listing, Reaction, World};
use trial::{Trial, asked, backed_up, mailbox, sets, text};

#[test]
fn sizes_and_dates_that_changed_are_named_with_both_values() {
    let (fake, trial) = backed_up(World::inbox(4));
    let size = fake.world().message(2).body.len();
    fake.world().message(2).size = Some(4711);
    fake.world().message(3).date = "01-Mar-2025 10:00:00 +0000".to_owned();
    let report = trial.against(&fake.url(), 3, &["--sample", "0"]);
    let differs = &mailbox(&report, "INBOX")["differs"];
    assert_eq!(differs[0]["remote"], "2");
    assert_eq!(differs[0]["size"], serde_json::json!([size, 4711]));
    assert_eq!(differs[1]["remote"], "3");
    assert_eq!(differs[1]["date"][1], 1_740_823_200);
    assert_eq!(asked(&fake), [] as [u32; 0], "no bytes were wanted");
    let said = trial.run(&fake.url(), 3, &[]).stdout;
    let size = format!("! INBOX: 2 is 4711 bytes on the server, {size} when it was archived");
    assert!(said.contains(&size), "{said}");
    let date = "! INBOX: 3 is dated 2025-03-01T10:00:00Z on the server, ";
    assert!(said.contains(date), "{said}");
}

#[test]
fn a_lost_connection_is_dialled_again_and_nothing_is_compared_twice() {
    let (fake, trial) = backed_up(World::inbox(6));
    let mut cuts = 2;
    fake.hook(move |command, world| {
        // In the middle of the bodies, and once while the mailbox is listed.
        if command.wants_bodies() && cuts > 0 {
            cuts -= 1;
            world.message(4).delivery = Delivery::Cut(3);
        } else if command.wants_bodies() {
            world.message(4).delivery = Delivery::Whole;
        } else if command.wants_listing() && command.connection == 1 {
            return Reaction::hang_up("* 1 FETCH (UID 1");
        }
        Reaction::Normal
    });
    // The backup had connections of its own.
    let before = fake.connections();
    let report = trial.against(&fake.url(), 0, &["--full"]);
    assert!(fake.connections() > before + 1, "it was cut off");
    assert_eq!(report["sample"]["same"], 6);
    assert_eq!(report["ending"], "complete");
    let sent = fake.sent();
    assert!(sent.values().all(|n| *n == 1), "{sent:?}");
}

#[test]
fn a_server_that_is_lost_for_good_is_exit_6_with_what_was_found() {
    let world = World::with([
        FakeMailbox::new("INBOX").filled(2),
        FakeMailbox::new("Zebra").filled(2),
    ]);
    let (fake, trial) = backed_up(world);
    fake.hook(|command, _| {
        let zebra = command.name == "EXAMINE" && command.line.contains("Zebra");
        if zebra {
            Reaction::hang_up("")
        } else {
            Reaction::Normal
        }
    });
    // Lost over one mailbox only: that one is named, and the others are compared.
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(mailbox(&report, "Zebra")["state"], "failed");
    assert_eq!(sets(&report, "INBOX"), ["present: 1:2"]);
    assert_eq!(report["sample"]["same"], 2);

    // Gone altogether once INBOX was compared.
    let mut gone = false;
    fake.hook(move |command, _| {
        gone |= command.name == "EXAMINE" && command.line.contains("Zebra");
        if gone {
            Reaction::hang_up("")
        } else {
            Reaction::Normal
        }
    });
    let report = trial.against(&fake.url(), 6, &[]);
    assert_eq!(report["ending"], "server-lost");
    assert_eq!(sets(&report, "INBOX"), ["present: 1:2"]);
    assert_eq!(mailbox(&report, "Zebra")["state"], "not-reached");
    assert_eq!(report["sample"]["chosen"], 0);
}

#[test]
fn an_empty_list_is_not_believed() {
    let (fake, trial) = backed_up(World::with([
        FakeMailbox::new("INBOX").filled(2),
        FakeMailbox::new("Work").filled(1),
    ]));
    fake.hook(|command, _| match command.name.as_str() {
        "LIST" => Reaction::say("TAG OK nothing\r\n"),
        _ => Reaction::Normal,
    });
    let report = trial.against(&fake.url(), 3, &[]);
    for name in ["INBOX", "Work"] {
        assert_eq!(mailbox(&report, name)["state"], "unlisted");
    }
    assert_eq!(
        report["warnings"].as_array().unwrap().len(),
        1,
        "{report:#}"
    );
    assert_eq!(fake.count("LIST"), 2, "asked twice before anything is said");

    // Empty once, as Zoho does it: the second answer counts.
    let mut first = true;
    fake.hook(move |command, _| match command.name.as_str() {
        "LIST" if std::mem::take(&mut first) => Reaction::say("TAG OK nothing\r\n"),
        _ => Reaction::Normal,
    });
    trial.against(&fake.url(), 0, &[]);
    // Most of a mailbox gone at once is no more believable.
    let (fake, trial) = backed_up(World::inbox(24));
    fake.world().mailbox_mut("INBOX").messages.truncate(11);
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(mailbox(&report, "INBOX")["emptied"], true);
    fake.world().mailbox_mut("INBOX").messages.clear();
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(
        report["warnings"].as_array().unwrap().len(),
        1,
        "{report:#}"
    );
}

#[test]
fn a_listing_that_lacks_messages_proves_nothing() {
    let (fake, trial) = backed_up(World::inbox(4));
    fake.world().message(2).listing = Listing::Hidden;
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(sets(&report, "INBOX"), ["present: 1,3:4", "unseen: 2"]);
    assert_eq!(mailbox(&report, "INBOX")["unlisted"], 1);
    // One message that cannot be listed does not hide the others.
    fake.world().message(2).listing = Listing::Raw(b"* SEQ FETCH (UID (\r\n".to_vec());
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(sets(&report, "INBOX"), ["present: 1,3:4", "unseen: 2"]);
    let problem = mailbox(&report, "INBOX")["problem"].as_str().unwrap();
    assert!(problem.contains("among them UID 2"), "{problem}");
}

#[test]
fn skips_are_told_from_what_is_missing() {
    let fake = FakeImap::start(World::inbox(4));
    let trial = Trial::new();
    fake.world().message(2).delivery = Delivery::Nil;
    fake.world().message(3).delivery = Delivery::Nil;
    trial.backup(&fake.url(), 3, &[]);
    let archive = text(&trial.archive).to_owned();
    let accept = ["skips", &archive, "--accept", "1", "spam anyway"];
    trial.mailstow.run(&accept).expect(0);
    fake.heal();
    let report = trial.against(&fake.url(), 3, &[]);
    assert_eq!(
        sets(&report, "INBOX"),
        ["accepted: 2", "present: 1,4", "skipped: 3"]
    );
    trial
        .mailstow
        .run(&["skips", &archive, "--accept", "2", "so be it"])
        .expect(0);
    trial.against(&fake.url(), 0, &[]);
}

#[test]
fn hostile_names_and_words_are_harmless() {
    let mut world = World::with([FakeMailbox::new("INBOX").filled(2)]);
    let hostile = FakeMailbox::new("a\u{1b}]0;owned\u{7}\u{202e}b").filled(2);
    world.mailboxes.push(hostile);
    let (fake, trial) = backed_up(world);
    fake.world().message(1).delivery = Delivery::Ends("NO \u{1b}[2J\u{9b}31m".to_owned());
    for mailbox in &mut fake.world().mailboxes {
        mailbox.uidvalidity = mailbox
            .uidvalidity
            .map(|v| v + u32::from(mailbox.wire != b"INBOX"));
    }
    trial.run(&fake.url(), 3, &[]);
    trial.run(&fake.url(), 3, &["--json"]);
}

#[test]
fn a_signal_ends_it_with_what_was_found() {
    let (fake, trial) = backed_up(World::with([
        FakeMailbox::new("INBOX").filled(2),
        FakeMailbox::new("Zebra").filled(2),
    ]));
    let never = Arc::new(AtomicBool::new(false));
    let reached = Arc::new(AtomicBool::new(false));
    fake.hook({
        let (never, reached) = (Arc::clone(&never), Arc::clone(&reached));
        move |command, _| {
            if command.name != "EXAMINE" || !command.line.contains("Zebra") {
                return Reaction::Normal;
            }
            reached.store(true, Ordering::SeqCst);
            Reaction::Once(Arc::clone(&never), Box::new(Reaction::Normal))
        }
    });
    let url = fake.url();
    let running = trial
        .mailstow
        .start(&["verify", text(&trial.archive), "--against", &url]);
    while !reached.load(Ordering::SeqCst) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    running.signal("INT");
    let ended = running.finish();
    never.store(true, Ordering::SeqCst);
    let report = ended.expect(130).json().pop().unwrap();
    assert_eq!(
        (&report["event"], &report["ending"]),
        (&"against".into(), &"interrupted".into())
    );
    assert_eq!(sets(&report, "INBOX"), ["present: 1:2"]);
    assert_eq!(mailbox(&report, "Zebra")["state"], "not-reached");
}
