//! POP3 messages that do not come, break off, or are made of dots.
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
use support::fake_pop3::trial::{Trial, all_stored, excluded, lines, maildrop};
use support::fake_pop3::{Delivery, FakePop3, Message, Reaction, World, mail};
use support::mailstow::{Numbers, assert_sound, files};

/// Ten messages of which the fifth is sick.
fn with_sick(delivery: Delivery) -> FakePop3 {
    let mut world = World::maildrop(10);
    world.message("u5").retr = delivery;
    FakePop3::start(world)
}

fn one_skipped() -> Numbers {
    Numbers {
        exists: 10,
        stored: 9,
        skipped: 1,
        ..Numbers::default()
    }
}

fn reason(report: &Value) -> &str {
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{report:#}");
    assert_eq!(skipped[0]["remote"], "u5");
    skipped[0]["reason"].as_str().unwrap()
}

#[test]
fn bodies_come_out_as_they_went_in() {
    let large: Vec<u8> = (0..9u32 << 20)
        .map(|n| (n ^ (n >> 9) ^ (n >> 17)) as u8)
        .collect();
    let long_line = format!("Subject: long\r\n\r\n{}\r\n", "a.".repeat(35_000));
    let dots = b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.a\r\n..b\r\n\r\n.\r\n.\r\n".to_vec();
    let bare = b"Subject: bare\r\n\r\na\n.\nb\n..\n.c\r\r\n\r.\r\n.\rd\r\n".to_vec();
    let bodies: Vec<Vec<u8>> = vec![
        dots,
        bare,
        b"A: all bare\nB: b\n\nbody\n.\nFrom here\n".to_vec(),
        b"Subject: NUL\r\n\r\na\0b\0\r\n\0.\r\n".to_vec(),
        b"Subject: 8-bit \xff\xfe\r\n\r\n\x80\xa0 \xc3\xa9\r\n".to_vec(),
        long_line.into_bytes(),
        Vec::new(),
        b"\r\n".to_vec(),
        b".\r\n".to_vec(),
        b"..".to_vec(),
        b"\r\nno header\r\n".to_vec(),
        b"Subject: header only\r\n".to_vec(),
        b"Subject: header and no end".to_vec(),
        b"Subject: looks like more\r\n\r\n+OK\r\n-ERR no\r\nQUIT\r\n".to_vec(),
        b"From me\r\n>From you\r\n\r\nFrom them\r\n".to_vec(),
        [b"Subject: large\r\n\r\n", large.as_slice()].concat(),
    ];
    // Large dot-stuffed lines cross every buffer there is.
    let dotted = ".\r\n".repeat(3 << 20).into_bytes();
    let mut world = World::of(&bodies);
    world.add("dotted", &dotted);
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(bodies.len() as u64 + 1));
    trial.assert_holds_all_but(&fake, &[]);
    let spool = std::fs::read_dir(trial.archive.join("tmp")).unwrap();
    assert_eq!(spool.count(), 0, "a spool file is left");
    assert_shown_and_exported(&fake, &trial);
    trial.assert_quiet(&fake, &[]);
}

/// `show --raw` and `export` give what the server has, byte for byte.
#[track_caller]
fn assert_shown_and_exported(fake: &FakePop3, trial: &Trial) {
    let archive = trial.archive.to_str().unwrap();
    let mut expected: Vec<_> = fake
        .world()
        .messages
        .iter()
        .map(Message::received)
        .collect();
    expected.sort();
    let mut raw = Vec::new();
    for row in trial.ls("INBOX") {
        let id = row["content"].as_str().unwrap();
        let mut show = trial.mailstow.command(&["show", archive, id, "--raw"]);
        let output = show.output().unwrap();
        assert!(output.status.success(), "{id}");
        raw.push(output.stdout);
    }
    raw.sort();
    assert!(raw == expected, "`show --raw` gives other bytes");
    let to = trial.mailstow.path().join("export");
    let to_text = to.to_str().unwrap();
    let ended = trial
        .mailstow
        .run(&["export", archive, "--format", "eml", "--to", to_text]);
    ended.expect(0);
    let mut exported: Vec<Vec<u8>> = files(&to)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "eml"))
        .map(|(_, bytes)| bytes)
        .collect();
    exported.sort();
    assert!(exported == expected, "`export` gives other bytes");
}

#[test]
fn a_refused_message_is_skipped_tried_again_and_can_be_accepted() {
    for words in ["message is corrupt", "[SYS/PERM] disk \u{1b}[2Jgone", ""] {
        let (fake, trial) = (with_sick(Delivery::refused(words)), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        assert_eq!(maildrop(&report), one_skipped(), "{words}");
        assert!(!reason(&report).is_empty());
        assert!(reason(&report).contains(words), "{}", reason(&report));
        trial.assert_holds_all_but(&fake, &["u5"]);
        // The next run asks for it again, and for nothing else.
        fake.forget();
        let report = trial.backup(&fake, 3, &[]);
        let again = Numbers {
            exists: 10,
            held: 9,
            skipped: 1,
            ..Numbers::default()
        };
        assert_eq!(maildrop(&report), again, "{words}");
        assert_eq!(fake.asked("RETR").into_keys().collect::<Vec<_>>(), ["u5"]);
        if words.is_empty() {
            let id = trial.skip_rows()[0]["id"].to_string();
            let archive = trial.archive.to_str().unwrap();
            let accept = ["skips", archive, "--accept", &id, "it was an advertisement"];
            trial.run(&fake, 0, &accept);
            let report = trial.backup(&fake, 0, &[]);
            let because = excluded(&report);
            assert_eq!(because, [("accepted loss".to_owned(), 1)]);
            trial.assert_quiet(&fake, &[]);
            continue;
        }
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let (fake, trial) = (FakePop3::start(World::maildrop(20)), Trial::new());
    let mut refusals = 3;
    fake.hook(move |command, _| {
        if command.name == "RETR" && command.uidl.as_deref() == Some("u7") && refusals > 0 {
            refusals -= 1;
            return Reaction::say("-ERR [SYS/TEMP] the store is being moved\r\n");
        }
        Reaction::Normal
    });
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(20));
    trial.completes(&fake, &[]);
}

#[test]
fn a_server_that_refuses_every_message_for_now_is_left_in_peace() {
    let (fake, trial) = (FakePop3::start(World::maildrop(200)), Trial::new());
    fake.hook(|command, _| match command.name.as_str() {
        "RETR" => Reaction::say("-ERR [SYS/TEMP] not now\r\n"),
        _ => Reaction::Normal,
    });
    trial.backup_any(&fake, &[]);
    let asked = fake.count("RETR");
    assert!(asked < 1500, "{asked} commands for 200 messages");
    trial.completes(&fake, &[]);
}

#[test]
fn a_connection_lost_in_a_body_goes_on_where_it_was() {
    for (cut, renumbers) in [(0, false), (3, true), (90, false), (90, true)] {
        let world = World {
            renumbers,
            ..World::maildrop(20)
        };
        let (fake, trial) = (FakePop3::start(world), Trial::new());
        let mut lost = 0;
        fake.hook(move |command, world| {
            let at = matches!(command.uidl.as_deref(), Some("u4" | "u11"));
            if command.name == "RETR" && at && lost < 2 {
                lost += 1;
                let uidl = command.uidl.clone().unwrap();
                let half = world.message(&uidl).body[..cut].to_vec();
                return Reaction::HangUp([b"+OK\r\n", half.as_slice()].concat());
            }
            Reaction::Normal
        });
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), all_stored(20), "cut at {cut}");
        let twice = fake.sent().into_iter().filter(|(_, n)| *n > 1);
        assert_eq!(twice.collect::<Vec<_>>(), [], "cut at {cut}");
        assert!(fake.sessions() < 8, "{:?}", lines(&fake));
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_message_over_which_the_connection_breaks_is_skipped_alone() {
    for delivery in [
        Delivery::Cut(0),
        Delivery::Cut(50),
        Delivery::Unterminated,
        Delivery::Raw(b"what?\r\n".to_vec()),
        Delivery::Raw(b"\r\n".to_vec()),
    ] {
        let (fake, trial) = (with_sick(delivery.clone()), Trial::new());
        let report = trial.backup(&fake, 3, &[]);
        assert_eq!(maildrop(&report), one_skipped(), "{delivery:?}");
        assert!(!reason(&report).is_empty(), "{delivery:?}");
        trial.assert_holds_all_but(&fake, &["u5"]);
        let connections = fake.connections();
        assert!(connections < 12, "{delivery:?}: {connections} connections");
        trial.completes(&fake, &[]);
    }
}

#[test]
fn two_such_messages_do_not_stand_in_the_way_of_the_others() {
    let mut world = World::maildrop(60);
    for uidl in ["u5", "u6", "u40"] {
        world.message(uidl).retr = Delivery::Cut(30);
    }
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 3, &[]);
    let of = maildrop(&report);
    assert_eq!((of.stored, of.skipped), (57, 3), "{report:#}");
    trial.assert_holds_all_but(&fake, &["u5", "u6", "u40"]);
    trial.completes(&fake, &[]);
}

#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let (fake, trial) = (FakePop3::start(World::maildrop(100)), Trial::new());
    fake.hook(|command, _| match command.name.as_str() {
        "RETR" => Reaction::hang_up("+OK\r\nSubject: ha"),
        _ => Reaction::Normal,
    });
    let report = trial.backup(&fake, 6, &[]);
    assert_eq!(report["ending"], "server-lost", "{report:#}");
    assert!(fake.connections() < 60, "{} times", fake.connections());
    assert_sound(&trial.archive);
    trial.completes(&fake, &[]);
}

#[test]
fn a_body_that_is_shorter_and_never_the_same_costs_that_message_alone() {
    let mut world = World::maildrop(10);
    world.message("u5").size = Some("9000".to_owned());
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    fake.hook(|command, world| {
        if command.name == "RETR" && command.uidl.as_deref() == Some("u5") {
            // What is asked for next time, in another session, is another message.
            world.message("u5").body.push(b'x');
            let body = world.message("u5").received();
            return Reaction::Say([b"+OK\r\n", body.as_slice(), b".\r\n"].concat());
        }
        Reaction::Normal
    });
    let report = trial.backup_any(&fake, &[]);
    assert_eq!(maildrop(&report).exists, 10, "{report:#}");
    assert!(maildrop(&report).stored >= 9, "{report:#}");
    assert!(fake.asked("RETR")["u5"] < 10, "{:?}", fake.asked("RETR"));
    assert!(fake.asked("RETR").values().sum::<usize>() < 20);
}

#[test]
fn what_stands_behind_a_body_is_the_next_answer() {
    // Three answers in one segment, a refusal among them, and a last one that ends oddly.
    let mut world = World::of([
        &b"Subject: a\r\n\r\nends in dots\r\n..\r\n"[..],
        b"Subject: b\r\n\r\nnever sent\r\n",
        b"Subject: c\r\n\r\n.\r\n",
        b"Subject: d\r\n\r\nno end",
    ]);
    world.message("u2").retr = Delivery::refused("no such message here");
    world.awaits = 3;
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    trial.backup(&fake, 3, &[]);
    trial.assert_holds_all_but(&fake, &["u2"]);
    trial.completes(&fake, &[]);
}

#[test]
fn a_message_larger_than_wanted_is_left_out_until_it_is_wanted() {
    let mut world = World::maildrop(4);
    let large = [mail(7), vec![b'x'; 200_000], b"\r\n".to_vec()].concat();
    world.add("large", &large);
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &["--max-size", "100K"]);
    let of = maildrop(&report);
    assert_eq!((of.exists, of.stored, of.excluded), (5, 4, 1));
    let because = excluded(&report);
    assert_eq!(because, [("larger than --max-size".to_owned(), 1)]);
    trial.assert_quiet(&fake, &["--max-size", "100K"]);
    trial.completes(&fake, &[]);
}

#[test]
fn neither_dry_run_nor_plan_fetches_anything() {
    let (fake, trial) = (FakePop3::start(World::maildrop(5)), Trial::new());
    trial.text(&fake, 0, &["--dry-run"]);
    assert!(!trial.archive.exists());
    let url = fake.url();
    let archive = trial.archive.to_str().unwrap();
    trial.run(&fake, 0, &["plan", &url, "--to", archive]);
    assert_eq!(fake.count("RETR"), 0);
    trial.run(&fake, 0, &["resume", archive]);
    trial.assert_holds_all_but(&fake, &[]);
    trial.assert_quiet(&fake, &[]);
}
