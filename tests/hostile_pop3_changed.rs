//! Unique-ids that are all new with the same mail, and mail known over IMAP.
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

use serde_json::Value;
use support::fake_imap::{self, FakeImap, FakeMailbox};
use support::fake_pop3::trial::{Trial, all_stored, deleted, kept, maildrop, number};
use support::fake_pop3::{Delivery, FakePop3, Message, Reaction, World, mail, mail_with};
use support::mailstow::{Numbers, assert_sound};

/// Gives every message a unique-id of another kind, as after a move to another server.
fn rename(fake: &FakePop3) {
    for message in &mut fake.world().messages {
        message.uidl = [b"new/", message.uidl.as_slice()].concat();
    }
}

/// All of them known: some were matched by their header, the others fetched and found held.
fn known(matched: u64, fetched: u64) -> Numbers {
    Numbers {
        exists: matched + fetched,
        held: matched,
        linked: fetched,
        ..Numbers::default()
    }
}

/// Every message the server has now stands in INBOX under its unique-id of now, with the
/// bytes it has there, and INBOX shows as many messages as there are.
#[track_caller]
fn assert_shown_once(trial: &Trial, fake: &FakePop3) {
    trial.assert_holds_all_but(fake, &[]);
    assert_sound(&trial.archive);
}

#[test]
fn the_same_mail_under_new_unique_ids_is_matched_and_not_fetched() {
    for renumbers in [false, true] {
        let fake = FakePop3::start(World::maildrop(30));
        fake.world().renumbers = renumbers;
        let trial = Trial::new();
        trial.backup(&fake, 0, &[]);
        rename(&fake);
        fake.forget();
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), known(30, 0), "{report:#}");
        assert_eq!(fake.count("RETR"), 0);
        assert!(fake.asked("TOP").values().all(|n| *n == 1));
        assert_shown_once(&trial, &fake);
        trial.assert_quiet(&fake, &[]);
    }
}

#[test]
fn what_cannot_be_told_apart_is_fetched() {
    let mut world = World::maildrop(28);
    // The same header and the same size, and another body.
    let (a, b) = (mail(40), mail(40));
    let b = [&b[..b.len() - 3], b"y\r\n"].concat();
    assert_eq!(a.len(), b.len());
    world.add("a", &a);
    world.messages.insert(0, Message::new(b"b", &b));
    // The same size and another header, though not in what people see of it.
    world.add("c", &mail_with(41, "X-One: 1\r\n"));
    world.add("d", &mail_with(41, "X-One: 2\r\n"));
    // The same size and nothing else.
    world.add("e", &mail_with(42, "X-Two: 1\r\n"));
    world.add("f", &mail_with(43, "X-Two:\r\n"));
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    fake.world().messages.reverse();
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let of = maildrop(&report);
    assert_eq!((of.stored, of.linked + of.held), (0, 34), "{report:#}");
    let fetched: Vec<_> = fake.asked("RETR").into_keys().collect();
    // Whoever compares whole headers need not fetch `c` and `d`.
    let some: [&str; 2] = ["new/a", "new/b"];
    let more = ["new/a", "new/b", "new/c", "new/d"];
    assert!(fetched == some || fetched == more, "{fetched:?}");
    assert_shown_once(&trial, &fake);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn another_header_is_another_message_also_where_people_see_the_same() {
    let mut world = World::maildrop(30);
    world.add("c", &mail_with(41, "X-One: 1\r\n"));
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    // A second copy of a mail that came by another way, and the first is gone.
    fake.world().message("new/c").body = mail_with(41, "X-One: 2\r\n");
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report).stored, 1, "{report:#}");
    let body = fake.world().message("new/c").received();
    assert!(trial.contents().contains(&body), "it is not held");
}

#[test]
fn a_message_whose_header_the_server_rewrites_is_not_fetched_again_and_another_is() {
    let mut world = World::maildrop(5);
    world.add("status", &mail_with(41, ""));
    world.add("reused", &mail_with(42, ""));
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    // As servers on an mbox do between sessions.
    fake.world().message("status").body = mail_with(41, "Status: RO\r\nX-UIDL: status\r\n");
    fake.world().message("reused").body = mail_with(43, "X-Other: yes\r\n");
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let numbers = maildrop(&report);
    assert_eq!((numbers.held, numbers.stored), (6, 1), "{report:#}");
    assert_eq!(fake.count("RETR"), 1);
    let body = fake.world().message("reused").received();
    assert!(trial.contents().contains(&body), "it is not held");
    assert_sound(&trial.archive);
}

#[test]
fn new_mail_among_the_renamed_is_fetched() {
    let fake = FakePop3::start(World::maildrop(30));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    // One came, and one that looks like another but for its body and size.
    fake.world().add("new/fresh", &mail(80));
    let longer = [mail(7).as_slice(), b"and more\r\n"].concat();
    fake.world().add("new/longer", &longer);
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let of = maildrop(&report);
    assert_eq!((of.stored, of.held), (2, 30), "{report:#}");
    assert_eq!(fake.count("RETR"), 2);
    assert_shown_once(&trial, &fake);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn sizes_that_lie_match_nothing_wrongly() {
    let mut world = World::maildrop(30);
    for message in &mut world.messages {
        message.size = Some("1000".to_owned());
    }
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    let report = trial.backup(&fake, 0, &[]);
    let of = maildrop(&report);
    assert_eq!((of.stored, of.linked + of.held), (0, 30), "{report:#}");
    assert_shown_once(&trial, &fake);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn a_top_that_sends_more_than_a_header_is_a_header_all_the_same() {
    let fake = FakePop3::start(World::maildrop(30));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    for message in &mut fake.world().messages {
        // QUIRK(several): `TOP n 0` is answered as RETR is, or without the empty line.
        let text = String::from_utf8(message.body.clone()).unwrap();
        let (header, _) = text.split_once("\r\n\r\n").unwrap();
        let whole = text.replace("\r\n.", "\r\n..");
        let raw = if message.uidl.ends_with(b"2") {
            format!("+OK\r\n{header}\r\n.\r\n")
        } else {
            format!("+OK\r\n{whole}.\r\n")
        };
        message.top = Delivery::Raw(raw.into_bytes());
    }
    fake.world().may_delete = true;
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), known(30, 0), "{report:#}");
    assert_shown_once(&trial, &fake);
    // Those that were fetched under their unique-id can be deleted by such a TOP as well.
    fake.world().add("new/last", &mail(70));
    let report = trial.backup(&fake, 0, &["--pop-delete", "archived"]);
    assert!(deleted(&report) >= 1, "{report:#}");
}

/// Twenty messages whose unique-ids are others in every session. The hundredth one is refused,
/// so that a client that goes on for ever fails its test.
fn fickle(world: World) -> FakePop3 {
    let fake = FakePop3::start(world);
    let mut n = 0;
    fake.hook(move |command, world| {
        if command.name == "AUTH" {
            n += 1;
            for (k, message) in world.messages.iter_mut().enumerate() {
                message.uidl = format!("{n}-{k}").into_bytes();
            }
        }
        match n {
            100.. => Reaction::hang_up(""),
            _ => Reaction::Normal,
        }
    });
    fake
}

#[test]
fn unique_ids_that_are_new_in_every_session_store_nothing_twice() {
    for world in [World::maildrop(20), World::maildrop(20).without("TOP")] {
        let (fake, trial) = (fickle(world), Trial::new());
        for run in 0..3 {
            fake.forget();
            let report = trial.backup(&fake, 0, &[]);
            assert!(fake.sessions() < 6, "run {run}: {}", fake.sessions());
            assert!(fake.count("RETR") <= 60, "run {run}: {report:#}");
            let world = fake.world();
            let mut expected: Vec<_> = world.messages.iter().map(Message::received).collect();
            drop(world);
            expected.sort();
            assert!(trial.contents() == expected, "run {run}: other bytes");
            assert_eq!(trial.ls("INBOX").len(), 20, "run {run}");
        }
        assert_sound(&trial.archive);
    }
}

#[test]
fn unique_ids_that_are_new_in_every_session_are_not_fetched_for_ever() {
    let fake = fickle(World::maildrop(20).without("PIPELINING"));
    let trial = Trial::new().in_sessions_of(7);
    // It comes to an end, and says that it has not all.
    let ended = trial.text(&fake, 3, &[]);
    assert!(fake.sessions() < 30, "{} sessions", fake.sessions());
    assert!(!ended.stdout.contains("complete"), "{}", ended.stdout);
    assert_sound(&trial.archive);
}

#[test]
fn without_top_everything_is_fetched_again_and_linked() {
    let fake = FakePop3::start(World::maildrop(30).without("TOP"));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), known(0, 30), "{report:#}");
    assert_eq!(fake.count("RETR"), 30);
    assert_shown_once(&trial, &fake);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn copies_of_one_message_keep_a_name_each_when_all_names_are_new() {
    for top in [true, false] {
        let mut world = World::maildrop(6);
        for twin in ["twin-1", "twin-2"] {
            world.add(twin, &mail_with(41, ""));
        }
        let fake = FakePop3::start(if top { world } else { world.without("TOP") });
        let trial = Trial::new();
        trial.backup(&fake, 0, &[]);
        rename(&fake);
        trial.backup(&fake, 0, &[]);
        assert_shown_once(&trial, &fake);
        trial.assert_quiet(&fake, &[]);
    }
}

#[test]
fn a_refused_top_is_followed_by_a_look_at_the_message() {
    let fake = FakePop3::start(World::maildrop(30));
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    fake.world().message("new/u3").top = Delivery::refused("no");
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), known(29, 1), "{report:#}");
    assert_eq!(
        fake.asked("RETR").into_keys().collect::<Vec<_>>(),
        ["new/u3"]
    );
    assert_shown_once(&trial, &fake);
}

#[test]
fn what_was_matched_is_deleted_only_if_the_header_is_that_of_the_held_message() {
    let mut world = World::maildrop(30);
    world.may_delete = true;
    let fake = FakePop3::start(world);
    let trial = Trial::new();
    trial.backup(&fake, 0, &[]);
    rename(&fake);
    trial.backup(&fake, 0, &[]);
    let report = trial.backup(&fake, 0, &["--pop-delete", "archived"]);
    // What is on the server still is told with its reason.
    let left = fake.uidls().len() as u64;
    let told = kept(&report).1;
    assert_eq!((deleted(&report) + left, told), (30, left), "{report:#}");
    assert_eq!(trial.ls("INBOX").len(), 30);
    trial.assert_quiet(&fake, &["--pop-delete", "archived"]);
}

/// An IMAP server with the same messages, the last one without its line end.
fn imap_twin(fake: &FakePop3) -> FakeImap {
    let mut inbox = FakeMailbox::new("INBOX");
    let world = fake.world();
    let (last, others) = world.messages.split_last().unwrap();
    for message in others {
        inbox.add(&message.body);
    }
    inbox.add(last.body.strip_suffix(b"\r\n").unwrap());
    FakeImap::start(fake_imap::World::with([inbox]))
}

#[track_caller]
fn imap_backup(trial: &Trial, fake: &FakePop3, imap: &FakeImap) -> Value {
    let archive = trial.archive.to_str().unwrap();
    let url = imap.url();
    let args = ["--json", "backup", &url, "--to", archive];
    trial.run(fake, 0, &args).report()
}

#[test]
fn what_is_known_over_imap_is_linked_and_shown_once() {
    let fake = FakePop3::start(World::maildrop(10));
    let imap = imap_twin(&fake);
    let trial = Trial::new();
    imap_backup(&trial, &fake, &imap);
    let report = trial.backup(&fake, 0, &[]);
    let of = maildrop(&report);
    // POP3 adds the line end that is missing; the report counts it and hides nothing.
    assert_eq!((of.stored, of.linked), (1, 9), "{report:#}");
    assert_eq!(number(&report, "line_end_added"), 1, "{report:#}");
    let rows = trial.ls("INBOX");
    assert_eq!(rows.len(), 11, "{rows:#?}");
    trial.assert_quiet(&fake, &[]);
    imap_backup(&trial, &fake, &imap);
    assert_eq!(trial.ls("INBOX").len(), 11);
    assert_sound(&trial.archive);
}

#[test]
fn what_is_known_over_pop3_is_linked_and_shown_once() {
    let fake = FakePop3::start(World::maildrop(10));
    let imap = imap_twin(&fake);
    let trial = Trial::new();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(10));
    assert_eq!(number(&report, "line_end_added"), 0, "{report:#}");
    let report = imap_backup(&trial, &fake, &imap);
    assert_eq!(report["total"]["stored"], 1, "{report:#}");
    assert_eq!(report["total"]["linked"], 9, "{report:#}");
    assert_eq!(trial.ls("INBOX").len(), 11);
    trial.assert_quiet(&fake, &[]);
    assert_sound(&trial.archive);
}
