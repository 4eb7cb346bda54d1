//! POP3 servers that refuse, crowd out, cannot do this or that, or talk nonsense.
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
use support::fake_pop3::trial::{Trial, all_stored, lines, maildrop};
use support::fake_pop3::{FakePop3, Reaction, World, mail};

/// How often the client tried to sign in.
fn sign_ins(fake: &FakePop3) -> usize {
    fake.count("PASS") + fake.count("AUTH")
}

/// All that is said of an error, whichever way the run ended.
fn words(last: &Value) -> String {
    last.to_string()
}

#[test]
fn every_way_to_sign_in_and_every_set_of_capabilities_does() {
    for (capabilities, by) in [
        (Some("TOP UIDL USER"), "PASS"),
        (Some("TOP UIDL USER SASL"), "PASS"),
        (Some("TOP UIDL SASL_PLAIN"), "AUTH"),
        (Some("TOP UIDL USER SASL_LOGIN_PLAIN PIPELINING"), "AUTH"),
        (Some("TOP UIDL USER SASL_CRAM-MD5 PIPELINING"), "PASS"),
        (Some("TOP UIDL USER X-ODD_\u{e9} IMPLEMENTATION"), "PASS"),
        (None, "PASS"),
    ] {
        let lines = capabilities.map(|text| {
            let lines = text.split_whitespace();
            lines.map(|line| line.replace('_', " ")).collect()
        });
        let world = World {
            capabilities: lines,
            ..World::maildrop(4)
        };
        let (fake, trial) = (FakePop3::start(world), Trial::new());
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), all_stored(4), "{capabilities:?}");
        let every = fake.connections();
        assert_eq!((fake.count(by), sign_ins(&fake)), (every, every), "{by}");
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_refused_sign_in_is_tried_exactly_once() {
    for refusal in [
        "-ERR",
        "-ERR [AUTH] Authentication failed.",
        "-ERR Your account has no POP access",
        "-ERR \u{1b}[2Jmore \u{202e}words",
        "-ERR you said correct horse, AGFsaWNlAGNvcnJlY3QgaG9yc2U=",
    ] {
        for capability in ["SASL", "USER"] {
            let world = World {
                sign_in: refusal.to_owned(),
                ..World::maildrop(3).without(capability)
            };
            let (fake, trial) = (FakePop3::start(world), Trial::new());
            let error = trial.backup(&fake, 5, &[]);
            let tried = (sign_ins(&fake), fake.connections());
            assert_eq!(tried, (1, 1), "{refusal}");
            assert!(words(&error).contains("refused to sign in"), "{error}");
            let ended = trial.text(&fake, 5, &[]);
            let told = !refusal.contains("no POP") || ended.stderr.contains("no POP access");
            assert!(told, "{}", ended.stderr);
            trial.completes(&fake, &[]);
        }
    }
}

#[test]
fn a_maildrop_in_use_or_a_server_without_room_is_tried_again() {
    for refusal in [
        "-ERR [IN-USE] Unable to lock maildrop: Mailbox is locked by another process",
        "-ERR [LOGIN-DELAY] minimum time between mail checks not elapsed",
        "-ERR [SYS/TEMP] Temporary authentication failure.",
        "-ERR maildrop already locked by another session",
    ] {
        let (fake, trial) = (FakePop3::start(World::maildrop(3)), Trial::new());
        let mut refusals = 2;
        fake.hook(move |command, _| match command.name.as_str() {
            "PASS" | "AUTH" if refusals > 0 => {
                refusals -= 1;
                Reaction::say(&format!("{refusal}\r\n"))
            }
            _ => Reaction::Normal,
        });
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), all_stored(3));
        let log = lines(&fake);
        assert_eq!(sign_ins(&fake), fake.sessions() + 2, "{refusal}: {log:?}");
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_maildrop_that_is_never_free_is_given_up() {
    for refusal in [
        "-ERR [IN-USE] not today",
        "-ERR [SYS/TEMP] not today",
        "-ERR [LOGIN-DELAY] not today",
    ] {
        let world = World {
            sign_in: refusal.to_owned(),
            ..World::maildrop(3).with("LOGIN-DELAY 900")
        };
        let (fake, trial) = (FakePop3::start(world), Trial::new());
        let error = trial.backup(&fake, 6, &[]);
        assert!(words(&error).contains("not today"), "{error}");
        let tried = sign_ins(&fake);
        assert!((2..12).contains(&tried), "{refusal}: {tried} times");
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_server_that_is_broken_for_good_is_not_asked_again() {
    let world = World {
        sign_in: "-ERR [SYS/PERM] no such backend".to_owned(),
        ..World::maildrop(3)
    };
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let error = trial.backup(&fake, 6, &[]);
    assert!(words(&error).contains("no such backend"), "{error}");
    assert_eq!(sign_ins(&fake), 1);
    trial.completes(&fake, &[]);
}

#[test]
fn a_greeting_that_is_none_gets_no_password() {
    for greeting in [
        &b"* OK IMAP4rev1 ready\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 smtp.example.com ESMTP\r\n",
        b"\r\n",
        b"\xff\xfe\x00\x01\r\n",
        b"-ERR go away\r\n",
        b"-ERR \x1b[2J\xff\r\n",
        &[b'a'; 1 << 20],
    ] {
        let world = World {
            greeting: greeting.to_vec(),
            ..World::maildrop(3)
        };
        let (fake, mut trial) = (FakePop3::start(world), Trial::new());
        trial.set("MAILSTOW_TEST_GREETING_MS", 5000);
        let shown = String::from_utf8_lossy(&greeting[..greeting.len().min(20)]);
        let error = trial.backup(&fake, 6, &[]);
        assert_eq!(error["event"], "error", "{shown}");
        assert_eq!(sign_ins(&fake) + fake.count("USER"), 0, "{shown}");
        assert!(fake.connections() < 12, "{shown}");
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_server_that_never_greets_is_given_up() {
    let world = World {
        greeting: Vec::new(),
        ..World::maildrop(3)
    };
    let (fake, mut trial) = (FakePop3::start(world), Trial::new());
    trial.set("MAILSTOW_TEST_GREETING_MS", 100);
    trial.backup(&fake, 6, &[]);
    assert_eq!(fake.commands().len(), 0, "{:?}", lines(&fake));
    trial.completes(&fake, &[]);
}

#[test]
fn plain_text_where_tls_is_wanted_gets_no_password() {
    let pin = "00".repeat(32);
    for (world, stls) in [
        (World::maildrop(3), None),
        (World::maildrop(3).without_capa(), None),
        (World::maildrop(3).with("STLS"), Some("-ERR not today\r\n")),
        (World::maildrop(3).with("STLS"), Some("what?\r\n")),
        (World::maildrop(3).with("STLS"), Some("+OK but no TLS\r\n")),
        (
            World::maildrop(3).with("STLS"),
            Some("+OK go on\r\n+OK injected\r\n+OK injected\r\n"),
        ),
    ] {
        let (fake, trial) = (FakePop3::start(world), Trial::new());
        fake.hook(move |command, _| match (command.name.as_str(), stls) {
            ("STLS", Some(answer)) => Reaction::hang_up(answer),
            _ => Reaction::Normal,
        });
        // With a certificate named loopback is no exception.
        let error = trial.backup(&fake, 6, &["--tls-fingerprint", &pin]);
        assert_eq!(error["event"], "error", "{stls:?}: {error}");
        for command in fake.commands() {
            let harmless = ["CAPA", "STLS", "QUIT"].contains(&command.name.as_str());
            assert!(harmless, "{stls:?}: {:?}", lines(&fake));
        }
        if stls.is_none() {
            assert!(words(&error).contains("STLS"), "{error}");
        }
    }
}

#[test]
fn a_server_that_drops_the_connection_over_capa_is_given_up() {
    let (fake, trial) = (FakePop3::start(World::maildrop(3)), Trial::new());
    fake.hook(|command, _| match command.name.as_str() {
        "CAPA" => Reaction::hang_up(""),
        _ => Reaction::Normal,
    });
    trial.backup(&fake, 6, &[]);
    assert!(fake.connections() < 12, "{} times", fake.connections());
    assert_eq!(sign_ins(&fake), 0);
    trial.completes(&fake, &[]);
}

/// A backup, and another one with all unique-ids new, for which TOP is used.
fn never_two_at_once(world: World, more: &[&str]) {
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    fake.world().watches = true;
    let report = trial.backup(&fake, 0, more);
    assert_eq!(maildrop(&report), all_stored(40));
    assert_eq!(fake.most_waiting(), 0, "{more:?}");
    for message in &mut fake.world().messages {
        message.uidl.push(b'x');
    }
    trial.backup(&fake, 0, more);
    assert_eq!(fake.most_waiting(), 0, "{more:?}");
    assert!(fake.count("TOP") > 0, "{more:?}");
}

#[test]
fn without_pipelining_one_command_is_under_way_at_a_time() {
    // Here the server itself complains as well of a command that comes early.
    never_two_at_once(World::maildrop(40).without("PIPELINING"), &[]);
    never_two_at_once(World::maildrop(40).without_capa(), &[]);
}

#[test]
fn pipelining_can_be_forbidden() {
    never_two_at_once(World::maildrop(40), &["--no-pipelining"]);
}

#[test]
fn where_it_is_announced_several_messages_are_asked_for_at_once() {
    let world = World {
        awaits: 3,
        ..World::maildrop(40)
    };
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(40));
    assert!(fake.most_waiting() >= 3, "lock-step");
    assert!(fake.asked("RETR").values().all(|n| *n == 1));
    trial.completes(&fake, &[]);
}

#[test]
fn sessions_are_bounded_and_go_on_by_unique_id() {
    for renumbers in [false, true] {
        // One at a time, so that nothing is under way when a session has had enough.
        let world = World {
            renumbers,
            ..World::maildrop(10).without("PIPELINING")
        };
        let (fake, trial) = (FakePop3::start(world), Trial::new().in_sessions_of(3));
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), all_stored(10));
        assert!((4..=5).contains(&fake.sessions()), "{}", fake.sessions());
        assert!(fake.asked("RETR").values().all(|n| *n == 1));
        trial.completes(&fake, &[]);
    }
}

#[test]
fn a_connection_cut_at_any_command_costs_nothing_but_time() {
    let mut k = 1;
    loop {
        let world = World {
            renumbers: true,
            ..World::maildrop(12)
        };
        let (fake, trial) = (FakePop3::start(world), Trial::new().in_sessions_of(5));
        fake.hook(move |command, _| {
            if command.connection == 1 && command.number == k {
                return Reaction::hang_up(["", "+O", "+OK 12\r\n1 u"][k % 3]);
            }
            Reaction::Normal
        });
        let report = trial.backup(&fake, 0, &[]);
        assert_eq!(maildrop(&report), all_stored(12), "cut at command {k}");
        assert!(fake.sent().values().all(|n| *n == 1), "cut at command {k}");
        trial.assert_holds_all_but(&fake, &[]);
        let first = fake.commands().into_iter().filter(|c| c.connection == 1);
        if first.count() < k {
            break;
        }
        k += 1;
    }
    assert!(k > 8, "only {k} commands");
}

#[test]
fn without_uidl_only_a_full_run_that_was_asked_for_is_done() {
    let world = World::maildrop(5).without("UIDL");
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    trial.backup(&fake, 4, &[]);
    let ended = trial.text(&fake, 4, &[]);
    let hint = ended.stderr.contains("--pop-without-uidl");
    assert!(hint, "{}", ended.stderr);
    assert_eq!(fake.count("RETR") + fake.count("TOP"), 0);
    // The second time everything is fetched again, and nothing stored.
    for stored in [5, 0] {
        fake.forget();
        let report = trial.backup(&fake, 0, &["--pop-without-uidl"]);
        let of = maildrop(&report);
        assert_eq!((of.exists, of.stored), (5, stored), "{report:#}");
        assert_eq!(of.linked + of.held, 5 - stored, "{report:#}");
        assert_eq!(fake.count("RETR"), 5);
        assert_eq!(trial.contents().len(), 5);
        assert_eq!(trial.ls("INBOX").len(), 5);
    }
    let mut expected: Vec<_> = fake.world().messages.iter().map(|m| m.received()).collect();
    expected.sort();
    assert!(trial.contents() == expected, "other bytes");
    // One more is found among the others.
    fake.world().add("u6", &mail(6));
    let report = trial.backup(&fake, 0, &["--pop-without-uidl"]);
    assert_eq!(maildrop(&report).stored, 1, "{report:#}");
    assert_eq!(trial.ls("INBOX").len(), 6);
}

#[test]
fn without_top_everything_can_be_fetched_all_the_same() {
    let world = World::maildrop(5).without("TOP");
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(5));
    assert_eq!(fake.count("TOP"), 0);
    trial.completes(&fake, &[]);
}

#[test]
fn options_of_the_one_protocol_are_refused_with_the_other() {
    let (fake, trial) = (FakePop3::start(World::maildrop(1)), Trial::new());
    for more in [
        &["--mailbox", "INBOX"][..],
        &["--exclude", "Junk"],
        &["--since", "2026-01-01"],
        &["--before", "2026-01-01"],
        &["--pop-messages", "some"],
        &["--pop-delete", "after-days"],
        &["--pop-delete", "after-days=x"],
        &["--pop-delete", "after-days=-1"],
        &["--pop-spam", "exclude", "--pop-spam-from-server"],
    ] {
        let ended = trial.text(&fake, 2, more);
        assert_eq!(ended.stdout, "", "{more:?}");
    }
    let imap = "imap://alice@127.0.0.1:9";
    for more in [
        &["--pop-messages", "from-today"][..],
        &["--pop-spam", "only"],
        &["--pop-delete", "archived"],
        &["--pop-spam-from-server"],
        &["--pop-without-uidl"],
    ] {
        let mut args = vec!["backup", imap, "--to", trial.archive.to_str().unwrap()];
        args.extend(more);
        trial.run(&fake, 2, &args);
    }
    assert_eq!(fake.connections(), 0);
    assert!(!trial.archive.exists());
}
