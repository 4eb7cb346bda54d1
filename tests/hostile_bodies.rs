//! Message bodies that do not come, come twice, come wrong or cannot be read.
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

use support::fake_imap::trial::{Trial, inbox};
use support::fake_imap::{Delivery, FakeImap, Reaction, World};
use support::mailstow::{Numbers, numbers};

fn raw(text: &str) -> Delivery {
    Delivery::Raw(text.as_bytes().to_vec())
}

/// Ten messages of which the fifth is sick.
fn with_sick(delivery: Delivery) -> FakeImap {
    let mut world = World::inbox(10);
    world.message(5).delivery = delivery;
    FakeImap::start(world)
}

#[test]
fn what_is_no_message_is_never_stored_and_fetched_once_it_comes() {
    for delivery in [
        Delivery::Nil,
        Delivery::Empty,
        Delivery::Omitted,
        raw("* SEQ FETCH (UID BODY[] \"\")\r\n"),
        raw("* SEQ FETCH (UID)\r\n"),
        raw("* SEQ FETCH (FLAGS (\\Seen))\r\n"),
        raw("* SEQ FETCH (UID BODY[HEADER] {4}\r\nabcd)\r\n"),
    ] {
        let (fake, trial) = (with_sick(delivery.clone()), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        let skipped = Numbers {
            exists: 10,
            stored: 9,
            skipped: 1,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "INBOX"), skipped, "{delivery:?}");
        assert_eq!(report["skipped"][0]["reason"], "the server did not send it");
        trial.assert_holds_all_but(&fake, &[inbox(5)]);
        // Once in its batch and once alone; everything else once.
        let asked = fake.asked();
        assert!(
            asked
                .iter()
                .all(|(remote, n)| *n == if remote.1 == 5 { 2 } else { 1 }),
            "{asked:?}"
        );
        trial.completes(&fake);
    }
}

#[test]
fn an_answer_nobody_can_read_costs_that_message_alone() {
    for poison in [
        &b"* SEQ FETCH (UID BODY[] {3}\r\nabc\r\n"[..],
        b"* SEQ FETCH (UID BODY[] (\r\n",
        b"* SEQ FETCH (UID BODY[] \"abc)\r\n",
        b"* SEQ FETCH (UID BODY[] {x}\r\nabc)\r\n",
        b"* SEQ FETCH (UID BODY[] {-1}\r\nabc)\r\n",
        b"* SEQ FETCH (UID BODY[] {18446744073709551616}\r\nabc)\r\n",
        b"* SEQ FETCH (UID BODY[] \xff\xfe\x80)\r\n",
        b"* SEQ FETCH (UID BODY[] \"a\0b\")\r\n",
        b"* SEQ FETCH (UID BODY[] ~~~)\r\n",
        b"* SEQ FETCH UID BODY[] abc\r\n",
        b"* 99999999999999999999 FETCH (UID BODY[] {3}\r\nabc)\r\n",
    ] {
        let shown = String::from_utf8_lossy(poison);
        let (fake, trial) = (with_sick(Delivery::Raw(poison.to_vec())), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        let skipped = Numbers {
            exists: 10,
            stored: 9,
            skipped: 1,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "INBOX"), skipped, "{shown}");
        let reason = report["skipped"][0]["reason"].as_str().unwrap();
        assert!(!reason.is_empty(), "{shown}");
        trial.assert_holds_all_but(&fake, &[inbox(5)]);
        trial.completes(&fake);
    }
}

#[test]
fn a_message_over_which_the_connection_breaks_is_skipped_alone() {
    for half in [
        // Gigabytes are announced and never come.
        &b"* SEQ FETCH (UID BODY[] {4000000000}\r\nnot that long"[..],
        b"* SEQ FETCH (UID BODY[] {30000000}\r\nnot that long",
        b"* SEQ FETCH (UID BODY[] {30}\r\nnot that long",
        b"* BYE Internal error occurred. Refer to server log\r\n",
        b"",
    ] {
        let (fake, trial) = (with_sick(Delivery::HangUp(half.to_vec())), Trial::new());
        let report = trial.backup(&fake, 3, &["--connections", "1"]);
        let skipped = Numbers {
            exists: 10,
            stored: 9,
            skipped: 1,
            ..Numbers::default()
        };
        let shown = String::from_utf8_lossy(half);
        assert_eq!(numbers(&report, "INBOX"), skipped, "{shown}");
        trial.assert_holds_all_but(&fake, &[inbox(5)]);
        assert!(
            fake.connections() < 8,
            "{} connections for one message: {shown}",
            fake.connections()
        );
        trial.completes(&fake);
    }
}

#[test]
fn two_such_messages_do_not_stand_in_the_way_of_the_others() {
    let mut world = World::inbox(200);
    for uid in [5, 6, 150] {
        world.message(uid).delivery = Delivery::HangUp(b"* BYE out of memory\r\n".to_vec());
    }
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 3, &[]);
    assert_eq!(numbers(&report, "INBOX").skipped, 3);
    trial.assert_holds_all_but(&fake, &[inbox(5), inbox(6), inbox(150)]);
    trial.completes(&fake);
}

#[test]
fn a_refusal_costs_what_was_refused_and_its_words_are_kept() {
    for words in [
        "NO [SERVERBUG] Internal error occurred. Refer to server log",
        "NO [UNAVAILABLE] Backend is not there",
        "NO [CANNOT] header limit reached",
        "NO no",
        "BAD Command Argument Error. 11",
        "NO",
    ] {
        let (fake, trial) = (with_sick(Delivery::Ends(words.to_owned())), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        let skipped = Numbers {
            exists: 10,
            stored: 9,
            skipped: 1,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "INBOX"), skipped, "{words}");
        let reason = report["skipped"][0]["reason"].as_str().unwrap();
        assert!(
            reason.contains(words.split_once(' ').map_or("", |(_, said)| said)),
            "{words}: {reason}"
        );
        assert!(!reason.is_empty(), "{words}: a skip without a reason");
        assert_eq!(trial.skips().len(), 1);
        trial.assert_holds_all_but(&fake, &[inbox(5)]);
        trial.completes(&fake);
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it_and_loses_nothing() {
    for words in [
        "NO [LIMIT] UID FETCH Rate limit hit",
        "NO [THROTTLED] slower",
        "NO [OVERQUOTA] Account exceeded command or bandwidth limits",
    ] {
        let (fake, trial) = (FakeImap::start(World::inbox(300)), Trial::new());
        let mut refusals = 3;
        fake.hook(move |command, _| {
            if command.wants_bodies() && refusals > 0 {
                refusals -= 1;
                return Reaction::HangUp(format!("TAG {words}\r\n* BYE later\r\n").into_bytes());
            }
            Reaction::Normal
        });
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(numbers(&report, "INBOX").stored, 300, "{words}");
        trial.completes(&fake);
    }
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_for_every_message() {
    let (fake, trial) = (FakeImap::start(World::inbox(400)), Trial::new());
    fake.hook(|command, _| match command.wants_bodies() {
        true => Reaction::say("TAG NO [LIMIT] UID FETCH Rate limit hit\r\n"),
        false => Reaction::Normal,
    });
    trial.backup(&fake, 6, &[]);
    let asked = fake.commands().iter().filter(|c| c.wants_bodies()).count();
    assert!(
        asked < 60,
        "{asked} commands to a server that asked for patience"
    );
    trial.completes(&fake);
}

#[test]
fn sizes_that_lie_in_both_directions_change_nothing_but_a_second_look() {
    let mut world = World::inbox(6);
    world.message(1).size = Some(1);
    world.message(2).size = Some(u32::MAX);
    world.message(3).size = Some(0);
    world.message(4).size = Some(4_000_000);
    world.mailbox_mut("INBOX").add_empty();
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    let twice: Vec<u32> = fake
        .asked()
        .into_iter()
        .filter(|(_, n)| *n == 2)
        .map(|((_, uid), _)| uid)
        .collect();
    assert_eq!(
        twice,
        [2, 4],
        "a body shorter than announced is fetched twice, any other once"
    );
    trial.completes(&fake);
}

#[test]
fn a_body_that_is_shorter_and_never_the_same_is_skipped() {
    let mut world = World::inbox(10);
    world.message(5).size = Some(9_000);
    world.message(5).delivery = Delivery::Varying;
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 3, &[]);
    assert_eq!(numbers(&report, "INBOX").skipped, 1);
    let reason = report["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("differently each time"), "{reason}");
    assert!(fake.asked()[&inbox(5)] < 10);
    trial.completes(&fake);
}

#[test]
fn answers_in_any_order_twice_and_among_news_of_others() {
    let mut world = World::inbox(200);
    world
        .mailbox_mut("INBOX")
        .add(b"one more\0with NUL\r\n\xff")
        .delivery = Delivery::Quoted;
    (world.descending, world.twice) = (true, true);
    world.chatter = b"* 201 EXISTS\r\n* 3 FETCH (FLAGS (\\Seen))\r\n* 7 RECENT\r\n* 4 FETCH (UID 4 FLAGS (\\Deleted))\r\n\
        * OK [ALERT]\xc3\xa9 [APPENDUID 1 2]\r\n* WHAT is (this)\r\n* 9 FETCH (UID 9 BODY[] NIL)\r\n* OK [COPYUID 1 2 3] x\r\n"
        .to_vec();
    // A quoted string cannot hold a NUL; everything else can come either way.
    world
        .message(201)
        .body
        .retain(|byte| !matches!(byte, 0 | b'\r' | b'\n'));
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    assert!(fake.asked().values().all(|n| *n == 1), "{:?}", fake.asked());
    trial.completes(&fake);
}

#[test]
fn bodies_nobody_asked_for_are_not_kept() {
    let (fake, trial) = (FakeImap::start(World::inbox(4)), Trial::new());
    fake.hook(|command, _| match command.wants_bodies() {
        true => Reaction::first(
            "* 9 FETCH (UID 900 BODY[] {5}\r\nforge)\r\n* 8 FETCH (BODY[] {5}\r\nforge)\r\n",
        ),
        false => Reaction::Normal,
    });
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    trial.completes(&fake);
}

#[test]
fn a_message_expunged_in_the_middle_has_left_and_shifts_no_other() {
    for nil in [false, true] {
        let (fake, trial) = (FakeImap::start(World::inbox(10)), Trial::new());
        fake.hook(move |command, world| {
            if !command.wants_bodies()
                || !world
                    .mailbox("INBOX")
                    .unwrap()
                    .messages
                    .iter()
                    .any(|m| m.uid == 3)
            {
                return Reaction::Normal;
            }
            world.expunge(3);
            if nil {
                Reaction::first("* 3 FETCH (UID 3 BODY[] NIL)\r\n")
            } else {
                Reaction::first("* 3 EXPUNGE\r\n")
            }
        });
        let report = trial.backup(&fake, 0, &[]);
        let left = Numbers {
            exists: 10,
            stored: 9,
            left: 1,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "INBOX"), left, "nil: {nil}");
        trial.assert_holds_all_but(&fake, &[]);
        trial.completes(&fake);
    }
}

#[test]
fn a_message_limit_is_gone_on_with() {
    let mut world = World::inbox(250);
    world.message_limit = Some(30);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(numbers(&report, "INBOX").stored, 250);
    trial.assert_holds_all_but(&fake, &[]);
    assert!(
        fake.sent().values().all(|n| *n == 1),
        "sent twice: {:?}",
        fake.sent()
    );
    trial.completes(&fake);
}

#[test]
fn a_large_message_announced_as_a_small_one_is_spooled_and_whole() {
    let mut world = World::inbox(3);
    let large: Vec<u8> = (0..9u32 << 20).map(|n| (n ^ (n >> 9)) as u8).collect();
    world.mailbox_mut("INBOX").add(&large).size = Some(100);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
    assert_eq!(
        std::fs::read_dir(trial.archive.join("tmp"))
            .unwrap()
            .count(),
        0,
        "a spool file is left"
    );
    trial.completes(&fake);
}

#[test]
fn a_skipped_message_that_leaves_the_server_is_no_open_skip() {
    let (fake, trial) = (with_sick(Delivery::Nil), Trial::new());
    trial.backup(&fake, 3, &[]);
    fake.world().expunge(5);
    trial.completes(&fake);
}
