//! Servers that refuse, crowd out, break off or do not bear what others bear.
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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::fake_imap::trial::Trial;
use support::fake_imap::{Announce, FakeImap, FakeMailbox, Reaction, Refuse, Status, World};
use support::mailstow::{Numbers, numbers};

/// How often the client tried to sign in.
fn sign_ins(fake: &FakeImap) -> usize {
    fake.count("LOGIN") + fake.count("AUTHENTICATE")
}

#[test]
fn a_refused_sign_in_is_tried_exactly_once() {
    for (capabilities, words) in [
        (
            "IMAP4rev1",
            "NO [AUTHENTICATIONFAILED] Authentication failed.",
        ),
        (
            "IMAP4rev1 AUTH=PLAIN",
            "NO [ALERT] You are yet to enable IMAP for your account.",
        ),
        ("IMAP4rev1 AUTH=PLAIN SASL-IR", "NO LOGIN failed"),
        ("IMAP4rev1", "NO"),
        (
            "IMAP4rev1",
            "NO [AUTHENTICATIONFAILED] \u{1b}[2Jtoo many \u{202e}words",
        ),
    ] {
        let world = World {
            capabilities: capabilities.to_owned(),
            sign_in: words.to_owned(),
            ..World::inbox(3)
        };
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        let error = trial.backup(&fake, 5, &[]);
        assert_eq!((sign_ins(&fake), fake.connections()), (1, 1), "{words}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("refused to sign in"), "{words}: {message}");
        trial.text(&fake, 5, &[]);
        fake.world().sign_in = "OK".to_owned();
        trial.completes(&fake);
    }
}

#[test]
fn a_sign_in_refused_in_the_middle_of_a_run_is_tried_once_too() {
    let (fake, trial) = (FakeImap::start(World::inbox(200)), Trial::new());
    let mut fetches = 0;
    fake.hook(move |command, world| {
        fetches += u32::from(command.wants_bodies());
        if fetches == 2 && command.wants_bodies() {
            world.sign_in = "NO [AUTHENTICATIONFAILED] password changed".to_owned();
            return Reaction::hang_up("");
        }
        Reaction::Normal
    });
    let report = trial.backup(&fake, 6, &["--connections", "1"]);
    assert_eq!(
        sign_ins(&fake),
        2,
        "one that was let in and one that was not"
    );
    assert!(
        report["error"]
            .as_str()
            .unwrap()
            .contains("password changed"),
        "{report:#}"
    );
    assert_eq!(trial.held().len(), 80);
    trial.completes(&fake);
}

#[test]
fn a_sign_in_that_lacks_room_is_tried_again() {
    for words in [
        "NO [UNAVAILABLE] Temporary authentication failure.",
        "NO [ALERT] Too many simultaneous connections. (Failure)",
        "BAD User is authenticated but not connected.",
    ] {
        let (fake, trial) = (FakeImap::start(World::inbox(3)), Trial::new());
        let mut refusals = 2;
        fake.hook(move |command, world| {
            if command.name == "LOGIN" {
                refusals -= i32::from(refusals > 0);
                world.sign_in = if refusals > 0 {
                    words.to_owned()
                } else {
                    "OK".to_owned()
                };
            }
            Reaction::Normal
        });
        trial.backup(&fake, 0, &[]);
        assert_eq!(sign_ins(&fake), 2, "{words}");
        trial.completes(&fake);
    }
}

#[test]
fn a_sign_in_that_never_finds_room_is_given_up() {
    let world = World {
        sign_in: "NO [UNAVAILABLE] not today".to_owned(),
        ..World::inbox(3)
    };
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let error = trial.backup(&fake, 6, &[]);
    assert!(
        error["message"].as_str().unwrap().contains("not today"),
        "{error}"
    );
    assert!(
        (2..10).contains(&sign_ins(&fake)),
        "{} sign-ins",
        sign_ins(&fake)
    );
    fake.world().sign_in = "OK".to_owned();
    trial.completes(&fake);
}

#[test]
fn capabilities_and_ways_to_sign_in() {
    for (announce, capabilities, by) in [
        (Announce::InCodes, "IMAP4rev1", "LOGIN"),
        (Announce::Never, "IMAP4rev1", "LOGIN"),
        (Announce::Untagged, "IMAP4rev1 AUTH=PLAIN", "AUTHENTICATE"),
        (
            Announce::Never,
            "IMAP4rev1 AUTH=PLAIN SASL-IR ID",
            "AUTHENTICATE",
        ),
        (
            Announce::InCodes,
            "IMAP4rev1 LOGINDISABLED AUTH=PLAIN",
            "AUTHENTICATE",
        ),
    ] {
        let world = World {
            announce,
            capabilities: capabilities.to_owned(),
            ..World::inbox(3)
        };
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        trial.backup(&fake, 0, &[]);
        assert_eq!(
            (fake.count(by), sign_ins(&fake)),
            (fake.connections(), fake.connections()),
            "{capabilities}"
        );
        trial.completes(&fake);
    }
}

#[test]
fn a_server_that_forbids_sign_in_gets_no_password() {
    let world = World {
        capabilities: "IMAP4rev1 LOGINDISABLED".to_owned(),
        ..World::inbox(3)
    };
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    trial.backup(&fake, 5, &[]);
    assert_eq!(sign_ins(&fake), 0);
}

#[test]
fn plain_text_where_tls_is_wanted_gets_no_password() {
    let trial = Trial::new();
    for (greeting, words) in [
        ("* OK ready", "does not offer STARTTLS"),
        ("* PREAUTH welcome", "PREAUTH"),
    ] {
        let world = World {
            greeting: greeting.to_owned(),
            announce: Announce::Never,
            ..World::inbox(3)
        };
        let fake = FakeImap::start(world);
        // With a pinned certificate loopback is no exception.
        let pin = "00".repeat(32);
        let error = trial.backup(&fake, 6, &["--tls-fingerprint", &pin]);
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
        let url = fake.url().replace("imap://", "imaps://");
        let ended = trial
            .mailstow
            .backup(&url, &trial.archive, &["--tls-fingerprint", &pin]);
        ended.expect(6);
        assert!(
            fake.commands().iter().all(|c| c.name == "CAPABILITY"),
            "{:?}",
            fake.commands()
        );
    }
}

#[test]
fn a_server_that_bears_no_pipelining_is_asked_one_thing_at_a_time() {
    // Enough for several batches, in several mailboxes, so that STATUS is pipelined as well.
    let mailboxes = ["INBOX", "a", "b"].map(|name| FakeMailbox::new(name).filled(300));
    let world = World {
        no_pipelining: true,
        ..World::with(mailboxes)
    };
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &["--connections", "1"]);
    assert_eq!(numbers(&report, "total").stored, 900);
    trial.assert_holds_all_but(&fake, &[]);
    // Once for the STATUS commands, once for the FETCHes, and never again.
    assert_eq!(fake.connections(), 3, "cut off too often");
    assert!(fake.sent().values().all(|n| *n == 1), "sent twice");
    trial.completes(&fake);
}

#[test]
fn a_session_too_many_leaves_the_work_to_the_first() {
    for how in [
        Refuse::Silently,
        Refuse::Greeting(
            "* BYE [UNAVAILABLE] Maximum number of connections from user+IP exceeded".to_owned(),
        ),
        Refuse::Greeting("* BYE no".to_owned()),
        Refuse::SignIn("NO [UNAVAILABLE] Maximum number of connections exceeded".to_owned()),
        Refuse::SignIn("NO [ALERT] Too many simultaneous connections. (Failure)".to_owned()),
    ] {
        let world = World {
            sessions: Some((1, how.clone())),
            ..World::inbox(400)
        };
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        let report = trial.backup(&fake, 0, &["--connections", "4"]);
        assert_eq!(numbers(&report, "INBOX").stored, 400, "{how:?}");
        trial.assert_holds_all_but(&fake, &[]);
        assert!(
            fake.asked().values().all(|n| *n == 1),
            "{how:?}: asked twice"
        );
        trial.completes(&fake);
    }
}

#[test]
fn what_a_leaving_connection_put_back_is_fetched_by_another() {
    let (fake, trial) = (FakeImap::start(World::inbox(800)), Trial::new());
    // The second connection takes work and keeps it until the first has ended; then it is cut
    // off, and refused when it comes back.
    let (has_work, ended) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let set = |flag: &AtomicBool| flag.store(true, Ordering::SeqCst);
    fake.hook(
        move |command, _| match (command.connection, command.name.as_str()) {
            (1, "UID FETCH") if command.wants_bodies() => {
                Reaction::Once(Arc::clone(&has_work), Box::new(Reaction::Normal))
            }
            (1, "LOGOUT") => {
                set(&ended);
                Reaction::Normal
            }
            (2, "UID FETCH") => {
                set(&has_work);
                Reaction::Once(Arc::clone(&ended), Box::new(Reaction::hang_up("")))
            }
            (3, "LOGIN") => Reaction::say("TAG NO [LIMIT] Too many connections\r\n"),
            _ => Reaction::Normal,
        },
    );
    let report = trial.backup(&fake, 0, &["--connections", "2"]);
    assert_eq!(numbers(&report, "INBOX").stored, 800);
    assert_eq!(fake.connections(), 4);
    trial.completes(&fake);
}

#[test]
fn messages_put_back_are_never_fetched_from_a_mailbox_that_was_opened_in_vain() {
    let world = World::with([
        FakeMailbox::new("INBOX").filled(800),
        FakeMailbox::new("Sent").filled(900),
    ]);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    // The second connection opens Sent, whose UIDVALIDITY has changed, and gets its answer when
    // what the first one had of INBOX is back in the queue.
    let (opened, put_back, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let set = |flag: &AtomicBool| flag.store(true, Ordering::SeqCst);
    let is_set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
    fake.hook(move |command, world| {
        let once = |flag: &Arc<AtomicBool>, then| Reaction::Once(Arc::clone(flag), Box::new(then));
        match (command.connection, command.name.as_str()) {
            (1, "UID FETCH") if command.wants_bodies() => once(&opened, Reaction::hang_up("")),
            (2, "EXAMINE") if command.line.contains("Sent") => {
                world.mailbox_mut("Sent").uidvalidity = Some(99);
                set(&opened);
                once(&put_back, Reaction::Normal)
            }
            (2, _) if is_set(&put_back) => {
                set(&taken);
                Reaction::Normal
            }
            (3, "LOGIN" | "AUTHENTICATE") => {
                set(&put_back);
                once(&taken, Reaction::Normal)
            }
            _ => Reaction::Normal,
        }
    });
    let report = trial.backup(&fake, 3, &["--connections", "2"]);
    assert_eq!(numbers(&report, "INBOX").stored, 800);
    assert_eq!(numbers(&report, "Sent").skipped, 900);
    trial.completes(&fake);
}

#[test]
fn a_connection_cut_after_any_command_costs_nothing_but_time() {
    let world = || {
        World::with([
            FakeMailbox::new("INBOX").filled(100),
            FakeMailbox::new("Sent").filled(90),
            FakeMailbox::new("none"),
        ])
    };
    let mut k = 1;
    loop {
        let (fake, trial) = (FakeImap::start(world()), Trial::new());
        fake.hook(
            move |command, _| match command.connection == 1 && command.number == k {
                true => Reaction::hang_up(if k % 2 == 0 {
                    "* BYE idle too long\r\n"
                } else {
                    "* 5 FET"
                }),
                false => Reaction::Normal,
            },
        );
        let report = trial.backup(&fake, 0, &["--connections", "1"]);
        assert_eq!(numbers(&report, "total").stored, 190, "cut at command {k}");
        trial.assert_holds_all_but(&fake, &[]);
        if fake.connections() == 1 {
            break;
        }
        k += 1;
    }
    assert!(k > 10, "only {k} commands");
}

#[test]
fn a_zoho_session_is_one_connection_and_one_command_at_a_time() {
    let mut sent = FakeMailbox::new("&XfJT0ZABkK5O9g-").filled(3);
    sent.attributes = "\\HasNoChildren \\Sent".to_owned();
    let world = World {
        greeting: "* OK svwall.zoho.com IMAP4 Server (Zoho Mail IMAP4rev1 Server version 1.0)".to_owned(),
        capabilities: "IMAP4rev1 UNSELECT CHILDREN XLIST NAMESPACE IDLE MOVE ID AUTH=PLAIN SASL-IR UIDPLUS ESEARCH \
            LIST-EXTENDED LIST-STATUS WITHIN LITERAL- APPENDLIMIT=20971520 CONDSTORE"
            .to_owned(),
        announce: Announce::Untagged,
        sessions: Some((1, Refuse::Silently)),
        no_pipelining: true,
        modseq: Some(4711),
        chatter: b"* 0 RECENT\r\n".to_vec(),
        ..World::with([FakeMailbox::new("INBOX").filled(200), sent])
    };
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    // SUSPICION would hold up a client that rightly sends nothing more.
    fake.trust_first();
    // LIST with nothing in it comes now and then (2026).
    let mut lists = 0;
    fake.hook(move |command, _| {
        lists += u32::from(command.name == "LIST");
        if command.name == "LIST" && lists == 1 {
            Reaction::say("TAG OK\r\n")
        } else {
            Reaction::Normal
        }
    });
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(numbers(&report, "INBOX").stored, 200);
    assert_eq!(numbers(&report, "已发送邮件").stored, 3);
    assert_eq!(fake.connections(), 1, "{:?}", fake.commands());
    trial.assert_holds_all_but(&fake, &[]);
    trial.completes(&fake);
    // With CONDSTORE and nothing changed the mailboxes need not even be opened.
    fake.forget();
    trial.backup(&fake, 0, &[]);
    assert_eq!(fake.count("EXAMINE"), 0);
}

#[test]
fn a_mailbox_without_status_or_whose_status_is_refused_is_examined() {
    for status in [
        Status::Silent,
        Status::Refused("NO [SERVERBUG] no".to_owned()),
        Status::Refused("BAD what".to_owned()),
    ] {
        let mut odd = FakeMailbox::new("odd").filled(3);
        odd.status = status.clone();
        let world = World {
            modseq: Some(9),
            capabilities: "IMAP4rev1 CONDSTORE".to_owned(),
            ..World::with([FakeMailbox::new("INBOX").filled(3), odd])
        };
        let (fake, trial) = (FakeImap::start(world), Trial::new());
        for stored in [3, 0] {
            fake.forget();
            let report = trial.backup(&fake, 0, &[]);
            let expected = Numbers {
                exists: 3,
                stored,
                held: 3 - stored,
                ..Numbers::default()
            };
            assert_eq!(numbers(&report, "odd"), expected, "{status:?}");
        }
        let opened: Vec<String> = fake
            .commands()
            .into_iter()
            .filter(|c| c.name == "EXAMINE")
            .map(|c| c.args[0].clone())
            .collect();
        assert_eq!(opened, ["odd"], "{status:?}");
    }
}
