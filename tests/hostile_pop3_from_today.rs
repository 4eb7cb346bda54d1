//! `--pop-messages from-today`: what counts as new, for good.
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

use support::fake_pop3::trial::{DAY, NOON, Trial, excluded, filed, maildrop};
use support::fake_pop3::{Delivery, FakePop3, Message, Reaction, World, mail_dated};
use support::mailstow::Numbers;

const FROM_TODAY: [&str; 2] = ["--pop-messages", "from-today"];

/// Unsorted mail around the midnight of 10 March 2026 in UTC; those with a `+` are of that
/// day or later, or may be.
fn around_midnight() -> World {
    let mut world = World::default();
    for (uidl, received, date) in [
        ("+noon", Some("Tue, 10 Mar 2026 11:00:00 +0000"), None),
        ("-old", Some("Mon, 03 Jun 2019 11:00:00 +0200"), None),
        (
            "-second-before",
            Some("Mon, 09 Mar 2026 23:59:59 +0000"),
            None,
        ),
        ("+midnight", Some("Tue, 10 Mar 2026 00:00:00 +0000"), None),
        (
            "-already-tomorrow-there",
            Some("Tue, 10 Mar 2026 01:00:00 +0500"),
            None,
        ),
        (
            "+still-yesterday-there",
            Some("Mon, 09 Mar 2026 20:00:00 -0500 (EST)"),
            None,
        ),
        // The topmost Received field counts, not what the sender claims.
        (
            "+claims-to-be-old",
            Some("Tue, 10 Mar 2026 08:00:00 +0000"),
            Some("Thu, 01 Jan 1998 00:00:00 +0000"),
        ),
        (
            "-claims-to-be-new",
            Some("Sun, 08 Mar 2026 08:00:00 +0000"),
            Some("Tue, 10 Mar 2026 08:00:00 +0000"),
        ),
        ("-date-only", None, Some("Mon, 09 Mar 2026 12:00:00 +0000")),
        ("+date-only", None, Some("Tue, 10 Mar 2026 12:00:00 +0000")),
        ("+no-date", None, None),
        ("+nonsense", None, Some("the day before yesterday")),
        ("+future", Some("Fri, 01 Jan 2027 00:00:00 +0000"), None),
        (
            "-older",
            Some("Sat, 01 Jan 2000 00:00:00 +0000"),
            Some("Sat, 01 Jan 2000 00:00:00 +0000"),
        ),
    ] {
        world.add(uidl, &mail_dated(uidl, received, date));
    }
    world.add("+no-header", b"\r\nno header at all\r\n");
    world
}

/// The unique-ids that begin with this, sorted.
fn beginning(fake: &FakePop3, with: char) -> Vec<String> {
    let mut uidls = fake.uidls();
    uidls.retain(|uidl| uidl.starts_with(with));
    uidls.sort();
    uidls
}

fn before_the_start_day(n: u64) -> Vec<(String, u64)> {
    vec![("before the start day".to_owned(), n)]
}

/// A first run at noon.
fn started(fake: &FakePop3) -> Trial {
    let mut trial = Trial::new();
    trial.now(NOON);
    let report = trial.backup(fake, 0, &FROM_TODAY);
    let expected = Numbers {
        exists: 15,
        stored: 9,
        excluded: 6,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), expected);
    assert_eq!(excluded(&report), before_the_start_day(6));
    assert_eq!(filed(&report), [("INBOX".to_owned(), 9)]);
    trial
}

#[test]
fn what_is_dated_today_or_later_or_not_at_all_is_fetched() {
    let fake = FakePop3::start(around_midnight());
    let trial = started(&fake);
    let new = beginning(&fake, '+');
    assert_eq!(trial.remotes("INBOX"), new);
    // Only headers of the others were looked at.
    assert_eq!(fake.asked("RETR").into_keys().collect::<Vec<_>>(), new);
    assert!(fake.asked("TOP").values().all(|n| *n == 1));
    let tops = fake.commands().into_iter().filter(|c| c.name == "TOP");
    assert!(tops.into_iter().all(|c| c.args[1] == "0"));
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn the_start_day_is_decided_once_and_everything_can_be_had_later() {
    let fake = FakePop3::start(around_midnight());
    let mut trial = started(&fake);
    for days in [1, 2, 400] {
        trial.now(NOON + days * DAY);
        trial.assert_quiet(&fake, &FROM_TODAY);
        let report = trial.backup(&fake, 0, &FROM_TODAY);
        assert_eq!(excluded(&report), before_the_start_day(6));
    }
    // Elsewhere on the planet it is the same day still.
    trial.set("TZ", "Pacific/Kiritimati");
    trial.assert_quiet(&fake, &FROM_TODAY);
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let expected = Numbers {
        exists: 15,
        stored: 6,
        held: 9,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), expected);
    let old = beginning(&fake, '-');
    assert_eq!(fake.asked("RETR").into_keys().collect::<Vec<_>>(), old);
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn the_day_begins_at_the_local_midnight() {
    // In Auckland it is one in the morning of the 11th when it is noon of the 10th in UTC.
    let mut world = World::default();
    for (uidl, received) in [
        ("-", "Tue, 10 Mar 2026 10:59:59 +0000"),
        ("+", "Tue, 10 Mar 2026 11:00:00 +0000"),
    ] {
        world.add(uidl, &mail_dated(uidl, Some(received), None));
    }
    let fake = FakePop3::start(world);
    let mut trial = Trial::new();
    trial.now(NOON);
    trial.set("TZ", "Pacific/Auckland");
    trial.backup(&fake, 0, &FROM_TODAY);
    assert_eq!(trial.remotes("INBOX"), ["+"]);
    trial.set("TZ", "UTC");
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn what_arrives_later_is_new_whatever_its_date() {
    let fake = FakePop3::start(around_midnight());
    let mut trial = started(&fake);
    let old = Some("Sat, 01 Jan 2000 00:00:00 +0000");
    let late = Message::new(b"+late", &mail_dated("late", old, old));
    fake.world().messages.insert(3, late);
    trial.now(NOON + DAY);
    fake.forget();
    let report = trial.backup(&fake, 0, &FROM_TODAY);
    let expected = Numbers {
        exists: 16,
        stored: 1,
        held: 9,
        excluded: 6,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), expected);
    assert_eq!((fake.count("TOP"), fake.count("RETR")), (0, 1));
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn a_backup_of_everything_may_go_on_from_today() {
    let fake = FakePop3::start(World::of([mail_dated(
        "first",
        Some("Mon, 02 Feb 2026 00:00:00 +0000"),
        None,
    )]));
    let mut trial = Trial::new();
    trial.now(NOON);
    trial.backup(&fake, 0, &[]);
    fake.world().add(
        "new",
        &mail_dated("new", Some("Tue, 10 Mar 2026 13:00:00 +0000"), None),
    );
    let report = trial.backup(&fake, 0, &FROM_TODAY);
    let of = maildrop(&report);
    assert_eq!((of.held, of.stored, of.excluded), (1, 1, 0), "{report:#}");
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn without_top_messages_are_fetched_and_then_judged() {
    let fake = FakePop3::start(around_midnight().without("TOP"));
    let mut trial = started(&fake);
    assert_eq!(trial.remotes("INBOX"), beginning(&fake, '+'));
    assert_eq!((fake.count("TOP"), fake.count("RETR")), (0, 15));
    trial.now(NOON + DAY);
    trial.assert_quiet(&fake, &FROM_TODAY);
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report).exists, 15);
    trial.assert_holds_all_but(&fake, &[]);
}

#[test]
fn a_refused_top_makes_no_message_old() {
    let mut world = around_midnight();
    for message in &mut world.messages {
        if ["+noon", "-old"].contains(&message.name().as_str()) {
            message.top = Delivery::refused("no header");
        }
    }
    let fake = FakePop3::start(world);
    let mut trial = Trial::new();
    trial.now(NOON);
    let report = trial.backup(&fake, 0, &FROM_TODAY);
    assert_eq!(maildrop(&report).skipped, 0, "{report:#}");
    // It could not be judged by TOP, so it is fetched; then its date is known.
    let held = trial.remotes("INBOX");
    let new = beginning(&fake, '+');
    assert!(new.iter().all(|uidl| held.contains(uidl)), "{held:?}");
    let n = fake.asked("RETR").len();
    assert_eq!(n, new.len() + 1, "{:?}", fake.asked("RETR"));
    trial.now(NOON + DAY);
    trial.assert_quiet(&fake, &FROM_TODAY);
}

/// At the `at`-th command of this name the server goes down.
fn lose(fake: &FakePop3, name: &'static str, at: usize) {
    let mut seen = 0;
    fake.hook(move |command, _| {
        seen += usize::from(command.name == name);
        if seen >= at {
            return Reaction::hang_up("");
        }
        Reaction::Normal
    });
}

#[test]
fn an_interrupted_first_run_ends_as_one_that_was_not() {
    for (name, at, later) in [
        ("UIDL", 1, 0),
        ("LIST", 1, 0),
        ("TOP", 1, 0),
        ("TOP", 5, 0),
        ("RETR", 1, 0),
        ("RETR", 5, 0),
        // The start day was decided before the first message came.
        ("RETR", 1, DAY),
        ("RETR", 5, DAY),
    ] {
        let fake = FakePop3::start(around_midnight());
        let mut trial = Trial::new();
        trial.now(NOON);
        lose(&fake, name, at);
        trial.backup(&fake, 6, &FROM_TODAY);
        fake.heal();
        trial.now(NOON + later);
        let report = trial.backup(&fake, 0, &FROM_TODAY);
        assert_eq!(excluded(&report), before_the_start_day(6), "{name} {at}");
        let held = trial.remotes("INBOX");
        assert_eq!(held, beginning(&fake, '+'), "{name} {at}");
        trial.assert_quiet(&fake, &FROM_TODAY);
    }
}

#[test]
fn resume_goes_on_with_what_was_begun() {
    let fake = FakePop3::start(around_midnight());
    let mut trial = Trial::new();
    trial.now(NOON);
    lose(&fake, "RETR", 5);
    trial.backup(&fake, 6, &FROM_TODAY);
    fake.heal();
    trial.now(NOON + DAY);
    let archive = trial.archive.to_str().unwrap();
    trial.run(&fake, 0, &["resume", archive]);
    assert_eq!(trial.remotes("INBOX"), beginning(&fake, '+'));
    trial.assert_quiet(&fake, &FROM_TODAY);
}

#[test]
fn windows_have_a_baseline_too() {
    let world = World {
        window: Some(4),
        ..around_midnight()
    };
    let fake = FakePop3::start(world);
    let mut trial = Trial::new();
    trial.now(NOON);
    // What is only looked at with TOP stays in the window; no endless loop comes of it.
    let report = trial.backup(&fake, 0, &FROM_TODAY);
    assert_eq!(maildrop(&report).skipped, 0, "{report:#}");
    assert!(fake.sessions() < 20, "{} sessions", fake.sessions());
}
