//! Mailboxes that are refused, renumbered, miscounted or wrongly listed.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use mailstow::model::RemoteId;
use mailstow::store::Reader;
use support::fake_imap::trial::{Trial, held, inbox};
use support::fake_imap::{FakeImap, FakeMailbox, Listing, Reaction, World};
use support::mailstow::{Numbers, numbers};

#[test]
fn a_mailbox_that_is_refused_blocks_no_other() {
    for (words, exit) in [
        ("NO [SERVERBUG] Internal error occurred", 3),
        ("NO [UNAVAILABLE] locked by another session", 3),
        ("NO [NOPERM] \u{1b}[31mkeep out", 3),
        ("NO", 3),
        ("BAD Command Argument Error. 12", 3),
        // Deleted between LIST and EXAMINE: no loss.
        ("NO [NONEXISTENT] it is gone", 0),
    ] {
        let (first, last) = (
            FakeMailbox::new("A").filled(3),
            FakeMailbox::new("Z").filled(3),
        );
        let mut refused = FakeMailbox::new("M").filled(4);
        refused.examine = Some(words.to_owned());
        let (fake, trial) = (
            FakeImap::start(World::with([first, refused, last])),
            Trial::new(),
        );
        let report = trial.backup(&fake, exit, &[]);
        assert_eq!(
            (numbers(&report, "A").stored, numbers(&report, "Z").stored),
            (3, 3),
            "{words}"
        );
        assert_eq!(
            numbers(&report, "M").skipped,
            if exit == 3 { 4 } else { 0 },
            "{words}"
        );
        let problem = report["mailboxes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["name"] == "M")
            .unwrap()["problem"]
            .clone();
        if exit == 3 {
            let said = words.split_once(' ').map_or("", |(_, said)| said);
            assert!(
                problem.as_str().unwrap().contains(said),
                "{words}: {problem}"
            );
            trial.text(&fake, 3, &[]);
        }
        trial.completes(&fake);
    }
}

#[test]
fn a_mailbox_over_which_the_connection_breaks_blocks_no_other() {
    let mailboxes = ["A", "M", "Z"].map(|name| FakeMailbox::new(name).filled(3));
    let (fake, trial) = (FakeImap::start(World::with(mailboxes)), Trial::new());
    fake.hook(
        |command, _| match command.name == "EXAMINE" && command.args[0] == "M" {
            true => Reaction::hang_up("* BYE disconnected: out of memory\r\n"),
            false => Reaction::Normal,
        },
    );
    let report = trial.backup(&fake, 3, &[]);
    assert_eq!(
        (
            numbers(&report, "A").stored,
            numbers(&report, "M").skipped,
            numbers(&report, "Z").stored
        ),
        (3, 3, 3)
    );
    assert!(report.to_string().contains("out of memory"));
    trial.completes(&fake);
}

#[test]
fn a_listing_nobody_can_read_costs_its_message_alone() {
    for poison in [
        &b"* SEQ FETCH (UID FLAGS (\\Seen INTERNALDATE\r\n"[..],
        b"* SEQ FETCH (UID FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700 RFC822.SIZE 3)\r\n",
        b"* SEQ FETCH UID FLAGS RFC822.SIZE\r\n",
    ] {
        let shown = String::from_utf8_lossy(poison);
        let mut world = World::inbox(100);
        for uid in [7, 8, 64] {
            world.message(uid).listing = Listing::Raw(poison.to_vec());
        }
        world.mailboxes.push(FakeMailbox::new("Z").filled(3));
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        let skipped = Numbers {
            exists: 100,
            stored: 97,
            skipped: 3,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "INBOX"), skipped, "{shown}");
        assert_eq!(numbers(&report, "Z").stored, 3, "{shown}");
        let remotes: Vec<&str> = report["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["remote"].as_str().unwrap())
            .collect();
        assert_eq!(
            remotes,
            ["1700000000:7", "1700000000:8", "1700000000:64"],
            "{shown}"
        );
        trial.assert_holds_all_but(&fake, &[inbox(7), inbox(8), inbox(64)]);
        trial.completes(&fake);
    }
}

#[test]
fn what_a_listing_says_oddly_is_asked_for_again_and_never_guessed() {
    let mut world = World::inbox(6);
    let raw = |text: &str| Listing::Raw(text.as_bytes().to_vec());
    world.message(2).listing =
        raw("* SEQ FETCH (UID FLAGS (\\Seen) INTERNALDATE NIL RFC822.SIZE 20)\r\n");
    world.message(3).listing =
        raw("* SEQ FETCH (UID FLAGS (\\Seen \\*) INTERNALDATE \"1-Jan-24\" RFC822.SIZE 20)\r\n");
    world.message(4).listing = raw("* SEQ FETCH (UID)\r\n* SEQ FETCH (RFC822.SIZE 20 UID)\r\n");
    world.message(5).listing =
        raw("* SEQ FETCH (UID FLAGS ($a $b  $c) RFC822.SIZE 20 SAVEDATE NIL)\r\n");
    world.message(1).listing =
        Listing::Raw(b"* SEQ FETCH (UID FLAGS (\x80\xff\0) RFC822.SIZE 99999999999)\r\n".to_vec());
    world.message(6).date = "31-Dec-1969 23:59:59 +0000".to_owned();
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    trial.completes(&fake);
}

#[test]
fn a_message_that_is_counted_and_not_listed_is_skipped_and_makes_nothing_gone() {
    let (fake, trial) = (FakeImap::start(World::inbox(20)), Trial::new());
    trial.backup(&fake, 0, &[]);
    // Two held ones are hidden, one new one is never shown.
    for uid in [3, 4] {
        fake.world().message(uid).listing = Listing::Hidden;
    }
    fake.world().mailbox_mut("INBOX").add(&[]).listing = Listing::Hidden;
    fake.forget();
    let report = trial.backup(&fake, 3, &[]);
    let expected = Numbers {
        exists: 21,
        held: 18,
        skipped: 3,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), expected);
    assert_eq!(
        held(&trial.archive).len(),
        20,
        "a hidden message was taken for gone"
    );
    trial.completes(&fake);
    // A phantom that EXISTS counts for ever is told, and told again.
    fake.world().mailbox_mut("INBOX").phantoms = 1;
    for _ in 0..2 {
        let report = trial.backup(&fake, 3, &[]);
        assert_eq!(numbers(&report, "INBOX").skipped, 1);
    }
    assert_eq!(trial.skips().len(), 1);
    trial.completes(&fake);
}

#[test]
fn without_uidnext_everything_is_still_fetched_once() {
    let mut mailbox = FakeMailbox::new("INBOX").filled(10);
    mailbox.uidnext = None;
    let (fake, trial) = (FakeImap::start(World::with([mailbox])), Trial::new());
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    fake.world().mailbox_mut("INBOX").add(&[]);
    trial.completes(&fake);
}

#[test]
fn new_mail_that_arrives_in_the_middle_belongs_to_the_next_run() {
    for uidnext in [true, false] {
        let mut mailbox = FakeMailbox::new("INBOX").filled(10);
        mailbox.uidnext = mailbox.uidnext.filter(|_| uidnext);
        let (fake, trial) = (FakeImap::start(World::with([mailbox])), Trial::new());
        let mut arrived = false;
        fake.hook(move |command, world| {
            if command.wants_listing() && !std::mem::replace(&mut arrived, true) {
                world.mailbox_mut("INBOX").add(&[]);
                return Reaction::first("* 11 EXISTS\r\n");
            }
            Reaction::Normal
        });
        let ended = trial
            .mailstow
            .backup(&fake.url(), &trial.archive, &["--json"]);
        ended.expect(0);
        let report = ended.report();
        assert_eq!(
            numbers(&report, "INBOX").stored,
            if uidnext { 10 } else { 11 },
            "UIDNEXT: {uidnext}"
        );
        trial.completes(&fake);
    }
}

#[test]
fn an_empty_mailbox_is_never_asked_for_its_messages() {
    let world = World {
        empty_is_bad: true,
        ..World::with([FakeMailbox::new("INBOX"), FakeMailbox::new("b").filled(1)])
    };
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 0, &[]);
    assert!(
        fake.commands()
            .iter()
            .all(|c| c.name != "UID FETCH" || c.selected.as_deref() == Some("b"))
    );
    trial.completes(&fake);
}

#[test]
fn a_changed_uidvalidity_keeps_the_old_mail_and_stores_nothing_twice() {
    let (fake, trial) = (FakeImap::start(World::inbox(10)), Trial::new());
    trial.backup(&fake, 0, &[]);
    let old = trial.held();
    {
        let mut world = fake.world();
        let mailbox = world.mailbox_mut("INBOX");
        mailbox.uidvalidity = Some(1_800_000_000);
        // Other numbers for the same mail, and one message more.
        mailbox.messages.iter_mut().for_each(|m| m.uid += 40);
        mailbox.add(&[]);
    }
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let expected = Numbers {
        exists: 11,
        stored: 1,
        linked: 10,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), expected);
    // The old epoch is history: it is not present, and all of it is there still.
    let now = trial.held();
    assert!(
        now.keys()
            .all(|(_, validity, _)| *validity == 1_800_000_000)
    );
    assert_eq!(now.len(), 11);
    let reader = Reader::open(&trial.archive, None).unwrap();
    let inbox = reader.catalog().mailboxes(None).unwrap().remove(0);
    let rows = reader.catalog().placements(inbox.id, true).unwrap();
    for ((_, uidvalidity, uid), bytes) in &old {
        let remote = RemoteId::Imap {
            uidvalidity: *uidvalidity,
            uid: *uid,
        };
        let row = rows.iter().find(|row| row.remote == remote).unwrap();
        assert!(row.gone);
        assert_eq!(reader.mail().read_to_vec(&row.content).unwrap(), *bytes);
    }
    drop(reader);
    fake.forget();
    trial.backup(&fake, 0, &[]);
    assert!(fake.asked().is_empty());
}

#[test]
fn a_uidvalidity_that_changes_during_the_run_stores_nothing_under_a_wrong_number() {
    let (fake, trial) = (FakeImap::start(World::inbox(10)), Trial::new());
    let mut examined = 0;
    fake.hook(move |command, world| {
        examined += u32::from(command.name == "EXAMINE");
        if command.name == "EXAMINE" && examined == 2 {
            let mailbox = world.mailbox_mut("INBOX");
            mailbox.uidvalidity = Some(1_800_000_000);
            mailbox.messages.reverse();
            mailbox
                .messages
                .iter_mut()
                .zip(1..)
                .for_each(|(m, uid)| m.uid = uid);
        }
        Reaction::Normal
    });
    let report = trial.backup(&fake, 3, &[]);
    let expected = Numbers {
        exists: 10,
        skipped: 10,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "INBOX"), expected);
    assert!(
        report["skipped"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("UIDVALIDITY changed")
    );
    assert!(trial.held().is_empty());
    trial.completes(&fake);
}

#[test]
fn where_uidvalidity_identifies_nothing_a_reused_uid_is_another_message() {
    for constant in [None, Some(0), Some(1)] {
        let mut mailbox = FakeMailbox::new("INBOX").filled(5);
        mailbox.uidvalidity = constant;
        let (fake, trial) = (FakeImap::start(World::with([mailbox])), Trial::new());
        trial.backup(&fake, 0, &[]);
        let reused = fake.world().message(2).clone();
        {
            let mut world = fake.world();
            world.message(2).body = b"Subject: another mail under the same number\r\n\r\n".to_vec();
            world.message(2).date = "01-Mar-2025 10:00:00 +0000".to_owned();
        }
        fake.forget();
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(
            (
                numbers(&report, "INBOX").held,
                numbers(&report, "INBOX").stored
            ),
            (4, 1),
            "{constant:?}"
        );
        assert_eq!(
            fake.asked().into_keys().collect::<Vec<_>>(),
            [inbox(2)],
            "{constant:?}"
        );
        trial.assert_holds_all_but(&fake, &[]);
        // The first is still in the archive, though nothing on the server is it any more.
        let id = mailstow::model::ContentId::of(&reused.body).to_string();
        assert_eq!(
            support::archive_state::message(&trial.archive, &id),
            reused.body
        );
        trial.completes(&fake);
    }
}

#[test]
fn an_empty_list_is_doubted_and_deletes_nothing() {
    let (fake, trial) = (FakeImap::start(World::inbox(5)), Trial::new());
    trial.backup(&fake, 0, &[]);
    fake.hook(|command, _| match command.name == "LIST" {
        true => Reaction::say("TAG OK\r\n"),
        false => Reaction::Normal,
    });
    let report = trial.backup(&fake, 3, &[]);
    assert!(!report["warnings"].as_array().unwrap().is_empty());
    assert_eq!(
        fake.count("LIST"),
        3,
        "an empty LIST is asked for once more"
    );
    trial.completes(&fake);
}
