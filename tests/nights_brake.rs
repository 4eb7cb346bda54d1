//! Much that is suddenly missing is doubted before it is believed, and little is not worth a word.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use serde_json::Value;
use support::fake_imap::mirror::Mirror;
use support::fake_imap::{FakeMailbox, Reaction, World};

const PLAIN: &str = "";
const NO_QRESYNC: &str = "CONDSTORE LIST-EXTENDED LIST-STATUS";
const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";
const ALL: [&str; 3] = [PLAIN, NO_QRESYNC, QRESYNC];
const BELIEVE: &[&str] = &["--believe-deletions"];

/// INBOX and five others, eight messages each.
fn six(capabilities: &str) -> World {
    let names = ["INBOX", "A", "B", "C", "D", "E"];
    let mut world = World::with(names.map(|name| FakeMailbox::new(name).filled(8)));
    for (n, mailbox) in (1..).zip(&mut world.mailboxes) {
        mailbox.uidvalidity = Some(1_700_000_000 + n);
    }
    world.announcing(capabilities)
}

/// The server lists these no more; gives them, to be brought back.
fn unlist(mirror: &Mirror, names: &[&str]) -> Vec<FakeMailbox> {
    let mut world = mirror.fake.world();
    let is_one = |m: &FakeMailbox| names.iter().any(|name| m.wire == name.as_bytes());
    let gone = world
        .mailboxes
        .iter()
        .filter(|m| is_one(m))
        .cloned()
        .collect();
    world.mailboxes.retain(|m| !is_one(m));
    gone
}

/// Every LIST is empty from now on.
fn list_nothing(mirror: &Mirror) {
    mirror.fake.hook(|command, _| match command.name == "LIST" {
        true => Reaction::say("TAG OK\r\n"),
        false => Reaction::Normal,
    });
}

#[track_caller]
fn assert_warns(report: &Value, yes: bool) {
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(!warnings.is_empty(), yes, "{warnings:?}");
}

#[test]
fn a_list_with_nothing_in_it_is_doubted_and_takes_nothing_away() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(six(capabilities));
        mirror.night();
        let before = mirror.everything();
        list_nothing(&mirror);
        let report = mirror.night_ending(3, &[]);
        assert_warns(&report, true);
        assert_eq!(mirror.everything(), before);
        // And is forgotten when the server is well again.
        mirror.fake.hook(|_, _| Reaction::Normal);
        mirror.night();
        assert!(mirror.fake.asked().is_empty());
        assert_eq!(mirror.everything(), before);
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn half_of_an_account_gone_is_doubted() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(six(capabilities));
        mirror.night();
        let before = mirror.everything();
        let gone = unlist(&mirror, &["A", "B", "C"]);
        let report = mirror.night_ending(3, &[]);
        assert_warns(&report, true);
        assert_eq!(report["unlisted"], serde_json::json!(["A", "B", "C"]));
        assert_eq!(mirror.everything(), before);
        mirror.fake.world().mailboxes.extend(gone);
        mirror.night();
        assert!(mirror.fake.asked().is_empty(), "fetched what was held");
        assert_eq!(mirror.everything(), before);
        mirror.quiet();
    }
}

#[test]
fn what_is_missing_twice_is_believed_and_stays_in_history() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(six(capabilities));
        mirror.night();
        let gone = unlist(&mirror, &["A", "B", "C"]);
        mirror.night_ending(3, &[]);
        let report = mirror.night_ending(0, &[]);
        assert_warns(&report, false);
        // `night_ending` has seen to it that the first night is shown as it was.
        assert_eq!(mirror.everything(), mirror.server());
        mirror.quiet();
        // Back after all.
        mirror.fake.world().mailboxes.extend(gone);
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn what_the_user_believes_is_believed_at_once() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(six(capabilities));
        mirror.night();
        unlist(&mirror, &["A", "B", "C", "D"]);
        let report = mirror.night_ending(0, BELIEVE);
        assert_warns(&report, false);
        assert_eq!(mirror.everything(), mirror.server());
        mirror.quiet();
        list_nothing(&mirror);
        mirror.night_ending(0, BELIEVE);
        assert!(mirror.everything().is_empty());
        mirror.assert_sound();
    }
}

#[test]
fn another_half_the_next_night_is_another_doubt() {
    let mut mirror = Mirror::of(six(QRESYNC));
    mirror.night();
    let before = mirror.everything();
    let first = unlist(&mirror, &["A", "B", "C"]);
    mirror.night_ending(3, &[]);
    mirror.fake.world().mailboxes.extend(first);
    let second = unlist(&mirror, &["D", "E", "INBOX"]);
    mirror.night_ending(3, &[]);
    assert_eq!(mirror.everything(), before, "each was missing once");
    mirror.fake.world().mailboxes.extend(second);
    mirror.night();
    // A night in between on which all was there begins the count again.
    unlist(&mirror, &["A", "B", "C"]);
    mirror.night_ending(3, &[]);
    assert_eq!(mirror.everything(), before);
}

#[test]
fn a_dry_run_is_no_second_look() {
    let mut mirror = Mirror::of(six(NO_QRESYNC));
    mirror.night();
    let before = mirror.everything();
    unlist(&mirror, &["A", "B", "C"]);
    for _ in 0..2 {
        let (url, archive) = (mirror.fake.url(), mirror.trial.archive.clone());
        let how = ["--dry-run", "--json"];
        mirror.trial.mailstow.backup(&url, &archive, &how).expect(3);
    }
    mirror.night_ending(3, &[]);
    assert_eq!(mirror.everything(), before);
}

#[test]
fn one_mailbox_of_six_is_gone_when_a_second_night_does_not_find_it_either() {
    for capabilities in ALL {
        let mut mirror = Mirror::of(six(capabilities));
        mirror.night();
        let before = mirror.everything();
        let gone = unlist(&mirror, &["D"]);
        let report = mirror.night_ending(0, &[]);
        assert_warns(&report, false);
        assert_eq!(mirror.everything(), before);
        let report = mirror.night_ending(0, &[]);
        assert_warns(&report, false);
        assert_eq!(mirror.everything(), mirror.server());
        mirror.quiet();
        // Made again with the same mail under other numbers: stored once all the same.
        let mut again = gone[0].clone();
        again.uidvalidity = Some(1_800_000_000);
        mirror.fake.world().mailboxes.push(again);
        mirror.night();
        mirror.quiet();
        mirror.assert_sound();
    }
}

#[test]
fn mailboxes_that_were_not_asked_for_are_not_missed() {
    let mut mirror = Mirror::of(six(NO_QRESYNC));
    mirror.night();
    let before = mirror.everything();
    unlist(&mirror, &["A", "B", "C"]);
    for _ in 0..3 {
        let report = mirror.night_ending(0, &["--mailbox", "INBOX", "--mailbox", "E"]);
        assert_warns(&report, false);
        assert_eq!(report["unlisted"], serde_json::json!([]));
        assert_eq!(mirror.everything(), before);
    }
}

/// A mailbox of `of` messages that loses `lost`: whether that is told, and the night ends with 3.
fn loses(capabilities: &str, name: &str, attributes: &str, of: u32, lost: u32, told: bool) {
    let mut mailbox = FakeMailbox::new(name).filled(of);
    mailbox.attributes = attributes.to_owned();
    let mut world = World::with([FakeMailbox::new("Other").filled(60), mailbox]);
    for (n, mailbox) in (1..).zip(&mut world.mailboxes) {
        mailbox.uidvalidity = Some(1_700_000_000 + n);
    }
    let mut mirror = Mirror::of(world.announcing(capabilities));
    mirror.night();
    let gone: Vec<u32> = (2..2 + lost).collect();
    let gone = if lost == of { (1..=of).collect() } else { gone };
    mirror.fake.world().mailbox_mut(name).expunge(&gone);
    let what = format!("{name} ({attributes}) lost {lost} of {of} [{capabilities}]");
    println!("{what}");
    let report = mirror.night_ending(if told { 3 } else { 0 }, &[]);
    assert_warns(&report, told);
    if told {
        assert!(report["warnings"].to_string().contains(name), "{report:#}");
    }
    // Told once, and shown as it is at the latest when it was seen twice.
    mirror.night();
    mirror.quiet();
}

#[test]
fn a_mailbox_that_lost_more_than_half_of_twenty_or_more_is_told() {
    for capabilities in ALL {
        for (of, lost, told) in [
            (20, 11, true),
            (20, 20, true),
            (50, 26, true),
            (20, 10, false),
            (19, 19, false),
            (50, 25, false),
        ] {
            loses(capabilities, "INBOX", "\\HasNoChildren", of, lost, told);
        }
    }
}

#[test]
fn trash_and_junk_may_be_emptied_without_a_word() {
    for (name, attributes) in [
        ("Papierkorb", "\\HasNoChildren \\Trash"),
        ("Spamverdacht", "\\Junk"),
        ("Trash", "\\HasNoChildren"),
        ("Junk", "\\HasNoChildren"),
    ] {
        loses(QRESYNC, name, attributes, 30, 30, false);
    }
    loses(QRESYNC, "Sent", "\\Sent", 30, 30, true);
}
