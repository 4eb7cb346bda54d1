//! Unique-ids, numbers and sizes that lie, and listings that change.
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

use support::fake_pop3::trial::{Trial, all_stored, lines, maildrop};
use support::fake_pop3::{FakePop3, Message, Reaction, World, mail};
use support::mailstow::{Numbers, assert_sound, files};

/// The bodies the server has, sorted.
fn bodies(fake: &FakePop3) -> Vec<Vec<u8>> {
    let mut bodies: Vec<_> = fake
        .world()
        .messages
        .iter()
        .map(Message::received)
        .collect();
    bodies.sort();
    bodies
}

#[test]
fn unique_ids_are_kept_as_they_are() {
    let long = "x".repeat(200);
    let odd: [(&[u8], &str); 11] = [
        (b"/etc/passwd", "/etc/passwd"),
        (b"../../../../outside", "../../../../outside"),
        (b"..", ".."),
        (b"-rf", "-rf"),
        (b"C:\\CON", "C:\\CON"),
        (b"with blanks  in it", "with blanks  in it"),
        (long.as_bytes(), &long),
        ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
        // What is not UTF-8 is told apart all the same.
        (b"gr\xfcn", "gr\u{f7fc}n"),
        (b"gr\xfdn", "gr\u{f7fd}n"),
        (b"tab\tand\x01\x7f", "tab\tand\u{1}\u{7f}"),
    ];
    let mut world = World::default();
    for (n, (wire, _)) in odd.iter().enumerate() {
        world.add_raw(wire, &mail(n as u32));
    }
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let outside = |trial: &Trial| {
        let all = files(trial.mailstow.path()).into_keys();
        all.filter(|path| !path.starts_with(&trial.archive)).count()
    };
    let before = outside(&trial);
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(odd.len() as u64));
    let mut expected: Vec<&str> = odd.iter().map(|(_, kept)| *kept).collect();
    expected.sort_unstable();
    assert_eq!(trial.remotes("INBOX"), expected);
    assert!(trial.contents() == bodies(&fake), "other bytes");
    assert_eq!(outside(&trial), before, "files beside the archive");
    for path in files(&trial.archive).keys() {
        let name = path.to_string_lossy().into_owned();
        let bad = ["passwd", "outside", "xxxx", "CON"];
        assert!(!bad.iter().any(|part| name.contains(part)), "{name}");
    }
    trial.text(&fake, 0, &[]);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn messages_that_share_a_unique_id_are_all_kept() {
    let mut world = World::maildrop(6);
    for uidl in ["u2", "u5"] {
        world.message(uidl).uidl = b"dup".to_vec();
    }
    // And two that are the same in all.
    let twin = world.messages[0].body.clone();
    world.add("u1", &twin);
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    for run in 0..3 {
        let report = trial.backup(&fake, 0, &[]);
        let of = maildrop(&report);
        let stored = if run == 0 { 6 } else { 0 };
        assert_eq!((of.exists, of.stored), (7, stored), "run {run}");
        let mut expected = bodies(&fake);
        expected.dedup();
        assert!(trial.contents() == expected, "run {run}: other bytes");
    }
    assert_eq!(trial.skips(), []);
    assert_sound(&trial.archive);
}

#[test]
fn messages_without_a_unique_id_are_kept_and_found_again() {
    let mut world = World::maildrop(6);
    for uidl in ["u2", "u5"] {
        world.message(uidl).uidl = Vec::new();
    }
    world.message("u3").uidl = b"   ".to_vec();
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    for run in 0..3 {
        let report = trial.backup(&fake, 0, &[]);
        let of = maildrop(&report);
        let stored = if run == 0 { 6 } else { 0 };
        assert_eq!((of.exists, of.stored), (6, stored), "run {run}");
        assert!(trial.contents() == bodies(&fake), "run {run}: other bytes");
        assert_eq!(trial.ls("INBOX").len(), 6, "run {run}");
    }
    assert_eq!(trial.skips(), []);
    assert_sound(&trial.archive);
}

#[test]
fn a_unique_id_used_again_for_another_message_hides_none() {
    let (fake, trial) = (FakePop3::start(World::maildrop(6)), Trial::new());
    trial.backup(&fake, 0, &[]);
    let (before, fresh) = (bodies(&fake), mail(96));
    assert!(before.iter().all(|body| body.len() != fresh.len()));
    fake.world().message("u3").body.clone_from(&fresh);
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let expected = Numbers {
        exists: 6,
        stored: 1,
        held: 5,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), expected);
    assert_eq!(fake.asked("RETR").into_keys().collect::<Vec<_>>(), ["u3"]);
    let contents = trial.contents();
    assert!(before.iter().all(|body| contents.contains(body)), "lost");
    assert!(contents.contains(&fresh), "not seen");
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn sizes_that_lie_or_are_none_change_nothing() {
    let mut world = World::maildrop(10);
    for (n, size) in [
        "0",
        "1",
        "4294967295",
        "4294967296",
        "99999999999999999999999999",
        "-5",
        "",
        "12 octets",
    ]
    .into_iter()
    .enumerate()
    {
        world.messages[n].size = Some(size.to_owned());
    }
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(10));
    // A body shorter than announced may be fetched twice, any other once.
    let twice = fake.asked("RETR").into_iter().filter(|(_, n)| *n > 1);
    let short = |(uidl, n): (String, usize)| n == 2 && ["u3", "u4"].contains(&uidl.as_str());
    assert!(twice.into_iter().all(short), "{:?}", fake.asked("RETR"));
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
    // A size told truly for the first time is no other message.
    for message in &mut fake.world().messages {
        message.size = None;
    }
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report).stored, 0);
    trial.assert_holds_all_but(&fake, &[]);
}

#[test]
fn sizes_that_nothing_could_hold_break_no_sum() {
    let mut world = World::maildrop(10);
    for n in [2, 3, 7] {
        world.messages[n].size = Some(u64::MAX.to_string());
    }
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    trial.text(&fake, 0, &["--dry-run"]);
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(10));
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn listings_that_disagree_or_cannot_be_read_are_made_the_best_of() {
    for (name, answer, fetched) in [
        // UIDL knows one more than LIST, LIST one more than UIDL.
        ("LIST", "+OK\r\n1 100\r\n2 100\r\n.\r\n", 3),
        ("UIDL", "+OK\r\n1 u1\r\n2 u2\r\n.\r\n", 3),
        // The first line of a number counts; others are passed over.
        (
            "UIDL",
            "+OK\r\n1 u1\r\n1 other\r\nwhat?\r\n2 u2\r\n\r\n3 u3\r\n0 u0\r\n-1 u9\r\n4294967296 u8\r\n.\r\n",
            3,
        ),
        (
            "LIST",
            "+OK 3\r\n1 1\r\n2 2\r\n3 3\r\n3 9\r\nzwei 2\r\n.\r\n",
            3,
        ),
        ("LIST", "-ERR not now\r\n", 3),
        ("LIST", "+OK\r\n3 10\r\n1 10\r\n2 10\r\n.\r\n", 3),
        ("UIDL", "+OK\r\n1 u1\r\n2 u2 \r\n3 u3  \r\n.\r\n", 3),
    ] {
        let (fake, trial) = (FakePop3::start(World::maildrop(3)), Trial::new());
        fake.hook(move |command, _| {
            if command.name == name {
                return Reaction::say(answer);
            }
            Reaction::Normal
        });
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report).stored, fetched, "{answer:?}");
        assert!(trial.contents() == bodies(&fake), "{answer:?}: other bytes");
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report).stored, 0, "{answer:?}");
    }
}

#[test]
fn a_listing_that_is_none_ends_the_run_and_changes_nothing() {
    let (fake, trial) = (FakePop3::start(World::maildrop(3)), Trial::new());
    trial.backup(&fake, 0, &[]);
    for answer in ["what?\r\n", "+OK\r\n1 u1\r\n2 u", ""] {
        fake.hook(move |command, _| match command.name.as_str() {
            "UIDL" => Reaction::hang_up(answer),
            _ => Reaction::Normal,
        });
        let commands = fake.commands().len();
        trial.backup(&fake, 6, &[]);
        assert!(fake.commands().len() < commands + 120, "{answer:?}");
        trial.assert_holds_all_but(&fake, &[]);
    }
    fake.heal();
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn what_is_no_longer_listed_stays_and_changes_nothing() {
    let (fake, trial) = (FakePop3::start(World::maildrop(5)), Trial::new());
    trial.backup(&fake, 0, &[]);
    let before = trial.shown();
    for uidl in ["u1", "u3"] {
        fake.world().remove(uidl);
    }
    trial.assert_quiet(&fake, &[]);
    let report = trial.backup(&fake, 0, &[]);
    let held = |n| Numbers {
        exists: n,
        held: n,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), held(3));
    assert!(trial.shown() == before, "something went");
    assert!(trial.ls("INBOX").iter().all(|row| row["gone"] == false));
    // Nothing at all is listed.
    let all = std::mem::take(&mut fake.world().messages);
    trial.assert_quiet(&fake, &[]);
    assert!(trial.shown() == before, "something went");
    // And what comes back is known.
    fake.world().messages = all;
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), held(3));
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn an_empty_maildrop_is_complete() {
    let (fake, trial) = (FakePop3::start(World::default()), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), Numbers::default());
    trial.assert_quiet(&fake, &[]);
    fake.world().add("first", &mail(1));
    trial.completes(&fake, &[]);
}

#[test]
fn a_listing_may_change_between_two_sessions() {
    let world = World::maildrop(9).without("PIPELINING");
    let (fake, trial) = (FakePop3::start(world), Trial::new().in_sessions_of(3));
    // Behind the first session one that was fetched goes, one that was not, and one comes.
    fake.hook(|command, world| {
        if command.connection == 1 && command.name == "QUIT" {
            world.remove("u1");
            world.remove("u8");
            world.add("new", &mail(50));
            world.messages.reverse();
        }
        Reaction::Normal
    });
    let report = trial.backup(&fake, 0, &[]);
    let of = maildrop(&report);
    assert_eq!(of.skipped, 0, "{report:#}");
    assert!(of.left <= 1 && of.stored >= 8, "{report:#}");
    assert!(fake.asked("RETR").values().all(|n| *n == 1));
    fake.unhook();
    trial.backup(&fake, 0, &[]);
    let uidls = trial.remotes("INBOX");
    assert_eq!(
        uidls,
        ["new", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u9"]
    );
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn windows_are_looped_until_nothing_new_appears() {
    let world = World {
        window: Some(10),
        ..World::maildrop(35)
    };
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(35));
    assert!(fake.asked("RETR").values().all(|n| *n == 1));
    assert!((4..=5).contains(&fake.sessions()), "{:?}", lines(&fake));
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
    for n in 40..60 {
        fake.world().add(&format!("u{n}"), &mail(n));
    }
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report).stored, 20);
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
}

#[test]
fn a_maildrop_that_is_empty_in_the_middle_of_a_run_is_not_taken_for_a_complete_one() {
    let fake = FakePop3::start(World::maildrop(10).without("PIPELINING"));
    let trial = Trial::new().in_sessions_of(3);
    let mut sessions = 0;
    let mut hidden = Vec::new();
    fake.hook(move |command, world| {
        if command.name == "AUTH" {
            sessions += 1;
            match sessions {
                2 => hidden = std::mem::take(&mut world.messages),
                3 => world.messages = std::mem::take(&mut hidden),
                _ => {}
            }
        }
        Reaction::Normal
    });
    let report = trial.backup(&fake, 3, &[]);
    let of = maildrop(&report);
    assert_eq!((of.stored, of.left), (3, 7), "{report:#}");
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains('7'), "{warning}");
    trial.backup(&fake, 0, &[]);
    trial.assert_holds_all_but(&fake, &[]);
}
