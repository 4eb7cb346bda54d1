//! Moving an account between servers that go wrong exactly as a test asks: what flows while the
//! backup runs is booked once, and the same command again brings what is missing.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use support::compare::instant;
use support::fake_imap::{Delivery, FakeImap, FakeMailbox, Reaction, World};
use support::fake_target::{AppendUid, FakeTarget, Fault, TargetWorld};
use support::mailstow::assert_sound;
use support::migration::{Migration, assert_adds_up, n, reported, total};

/// Flags, moment of arrival and hash of each message by mailbox, in order.
type Mail = BTreeMap<String, Vec<(Vec<String>, i64, String)>>;

fn message(flags: &str, date: &str, body: &[u8]) -> (Vec<String>, i64, String) {
    let mut flags: Vec<String> = flags.split_ascii_whitespace().map(str::to_owned).collect();
    flags.sort();
    (
        flags,
        instant(date).0,
        blake3::hash(body).to_hex().to_string(),
    )
}

fn at_source(source: &FakeImap) -> Mail {
    let world = source.world();
    let mailboxes = world.mailboxes.iter().map(|mailbox| {
        let messages = mailbox.messages.iter();
        let mut all: Vec<_> = messages
            .map(|m| message(&m.flags, &m.date, &m.body))
            .collect();
        all.sort();
        (String::from_utf8(mailbox.wire.clone()).unwrap(), all)
    });
    mailboxes.collect()
}

fn on_target(target: &FakeTarget) -> Mail {
    let world = target.world();
    let mailboxes = world.mailboxes.iter().map(|mailbox| {
        let messages = mailbox.messages.iter();
        let mut all: Vec<_> = messages
            .map(|m| message(&m.flags.join(" "), &m.date, &m.body))
            .collect();
        all.sort();
        (mailbox.wire.clone(), all)
    });
    mailboxes.collect()
}

/// Two servers, and a source that holds the last mailbox back until the target was told to append
/// something: what is told before flows while the backup runs, or nothing ever comes.
struct Two {
    trial: Migration,
    source: FakeImap,
    target: FakeTarget,
    appended: Arc<AtomicBool>,
}

impl Two {
    fn new(target: TargetWorld) -> Self {
        let world = World::with([
            FakeMailbox::new("INBOX").filled(30),
            FakeMailbox::new("Sent").filled(7),
        ]);
        let two = Self {
            trial: Migration::new(),
            source: FakeImap::start(world),
            target: FakeTarget::start(target),
            appended: Arc::default(),
        };
        let appended = Arc::clone(&two.appended);
        two.source.hook(move |command, _| {
            let last = command.selected.as_deref() == Some("Sent");
            if last && command.wants_bodies() && !appended.load(Ordering::SeqCst) {
                return Reaction::Once(Arc::clone(&appended), Box::new(Reaction::Normal));
            }
            Reaction::Normal
        });
        let appended = Arc::clone(&two.appended);
        two.target.hook(move |command, _| {
            if command.name == "APPEND" {
                appended.store(true, Ordering::SeqCst);
            }
            Reaction::Normal
        });
        two
    }

    #[track_caller]
    fn events(&self, exit: i32, more: &[&str]) -> Vec<Value> {
        let (from, to) = (self.source.url(), self.target.url());
        let more = [&["--connections", "1"], more].concat();
        self.trial.events((&from, &to), exit, &more)
    }

    #[track_caller]
    fn migrate(&self, exit: i32, more: &[&str]) -> Value {
        let report = reported(&self.events(exit, more));
        assert_adds_up(&report);
        report
    }

    /// What flowed before the last mailbox came from the source.
    #[track_caller]
    fn assert_flowed(&self) {
        assert!(self.appended.load(Ordering::SeqCst));
    }

    #[track_caller]
    fn assert_all_there(&self) {
        assert_eq!(on_target(&self.target), at_source(&self.source));
    }

    /// Once more: nothing is sent, and all that is asked of the target is what is there.
    #[track_caller]
    fn changes_nothing(&self) {
        let before = on_target(&self.target);
        self.target.forget();
        let report = self.migrate(0, &["--final"]);
        assert_eq!(report["adds_up"], true, "{report:#}");
        for command in ["APPEND", "UID STORE", "UID MOVE", "CREATE"] {
            assert_eq!(self.target.count(command), 0, "{command}");
        }
        assert_eq!(on_target(&self.target), before);
        assert_sound(&self.trial.archive);
    }
}

#[test]
fn what_flows_is_counted_once_whatever_the_target_makes_of_it() {
    let late = Duration::from_millis(20);
    for fault in [
        None,
        Some(Fault::LoseReply),
        Some(Fault::LoseBefore),
        Some(Fault::StoreLate(late)),
        Some(Fault::Bye("too long".to_owned())),
        Some(Fault::ByeBefore("too long".to_owned())),
        Some(Fault::No("[UNAVAILABLE] later".to_owned())),
        Some(Fault::Cut(50)),
    ] {
        // The first command has one message, the third those whose flags are known to be taken.
        for number in [1, 3, 6] {
            let mut world = TargetWorld::default();
            world
                .faults
                .extend(fault.clone().map(|fault| (number, fault)));
            let mut two = Two::new(world);
            two.trial.mailstow = two.trial.mailstow.with("MAILSTOW_TEST_SETTLE_MS", "300");
            let report = two.migrate(0, &[]);
            two.assert_flowed();
            two.assert_all_there();
            let counted = (total(&report, "appended"), total(&report, "there"));
            assert_eq!(counted, (37, 0), "{fault:?} {number}: {report:#}");
            assert!(n(&report["sent"], "messages") > 0, "{fault:?} {number}");
            assert_eq!(report["adds_up"], true, "{fault:?} {number}");
            two.changes_nothing();
            if fault.is_none() {
                break;
            }
        }
    }
}

#[test]
fn what_flows_is_found_again_on_targets_that_tell_little_or_change_mail() {
    type Make = fn() -> TargetWorld;
    let makes: [(&str, Make); 8] = [
        ("no UIDPLUS", || TargetWorld::default().without("UIDPLUS")),
        ("no MULTIAPPEND", || {
            TargetWorld::default().without("MULTIAPPEND")
        }),
        ("no LITERAL+", || TargetWorld::default().without("LITERAL+")),
        ("nothing", || TargetWorld {
            capabilities: "IMAP4rev1".to_owned(),
            ..TargetWorld::default()
        }),
        ("swapped", || TargetWorld {
            appenduid: AppendUid::Swapped,
            ..TargetWorld::default()
        }),
        ("adds a header", || TargetWorld {
            add_header: Some("X-Scanned: yes\r\n".to_owned()),
            ..TargetWorld::default()
        }),
        ("normalises", || TargetWorld {
            normalise: true,
            ..TargetWorld::default()
        }),
        ("no dates", || TargetWorld {
            ignores_date: true,
            ..TargetWorld::default()
        }),
    ];
    for (name, make) in makes {
        let two = Two::new(make());
        let report = two.migrate(0, &[]);
        two.assert_flowed();
        let counted = (total(&report, "appended"), total(&report, "there"));
        assert_eq!(counted, (37, 0), "{name}: {report:#}");
        if !["adds a header", "normalises", "no dates"].contains(&name) {
            two.assert_all_there();
        }
        two.changes_nothing();
    }
}

#[test]
fn a_target_lost_on_the_way_leaves_a_whole_backup_and_the_next_run_goes_on() {
    let two = Two::new(TargetWorld::default());
    let appended = Arc::clone(&two.appended);
    let healthy = Arc::new(AtomicBool::new(false));
    let is_healthy = Arc::clone(&healthy);
    two.target.hook(move |command, _| {
        let lost = appended.load(Ordering::SeqCst) && !is_healthy.load(Ordering::SeqCst);
        if command.name == "APPEND" {
            appended.store(true, Ordering::SeqCst);
        }
        if lost {
            return Reaction::hang_up("");
        }
        Reaction::Normal
    });
    let lines = two.events(6, &["--final"]);
    let error = lines.last().unwrap();
    assert_eq!(error["event"], "error", "{error}");
    let report = reported(&lines[..lines.len() - 1]);
    assert_eq!(report["backup"]["ending"], "complete", "{report:#}");
    assert_eq!(report["backup"]["total"]["stored"], 37);
    assert_eq!(report.get("replay"), None);
    assert_sound(&two.trial.archive);
    let before: usize = on_target(&two.target).values().map(Vec::len).sum();
    assert!((0..37).contains(&before), "{before}");
    healthy.store(true, Ordering::SeqCst);
    let report = two.migrate(0, &["--final"]);
    assert_eq!(report["adds_up"], true);
    two.assert_all_there();
    two.changes_nothing();
}

#[test]
fn a_target_without_room_ends_it_with_a_whole_backup() {
    let two = Two::new(TargetWorld {
        quota: Some(1500),
        ..TargetWorld::default()
    });
    let report = two.migrate(9, &["--final"]);
    assert_eq!(report["backup"]["ending"], "complete", "{report:#}");
    assert_eq!(
        (&report["ending"], &report["adds_up"]),
        (&"limit".into(), &false.into())
    );
    assert!(total(&report, "left") > 0, "{report:#}");
    assert_eq!(
        (report.get("proof"), report["unproven"].is_string()),
        (None, true)
    );
    let sent = total(&report, "appended") + total(&report, "there");
    let there: usize = on_target(&two.target).values().map(Vec::len).sum();
    assert_eq!(sent, there as u64);
    two.target.world().quota = None;
    let report = two.migrate(0, &["--final"]);
    assert_eq!(total(&report, "appended"), 37 - sent);
    two.assert_all_there();
    two.changes_nothing();
}

#[test]
fn a_target_that_says_ok_and_stores_nothing_is_no_proof() {
    let two = Two::new(TargetWorld {
        drops_deleted: true,
        ..TargetWorld::default()
    });
    two.source.world().message(4).flags = "\\Deleted".to_owned();
    let lines = two.events(3, &["--keep-deleted", "--final"]);
    let report = reported(&lines);
    assert_eq!(report["adds_up"], false, "{report:#}");
    assert_eq!(
        (total(&report, "appended"), total(&report, "removed")),
        (37, 0)
    );
    assert_eq!(n(&report["proof"]["total"], "removed"), 1, "{report:#}");
    let ended = two.trial.text(
        (&two.source.url(), &two.target.url()),
        0,
        &["--keep-deleted", "--final"],
    );
    // By now it is a message that was there once, as far as anybody can tell.
    let words = "Proven: the target lists 36 messages that were brought there; 1 message removed there by somebody since.";
    assert!(ended.stdout.contains(words), "{}", ended.stdout);
}

#[test]
fn a_source_that_lacks_something_is_told_and_the_rest_is_brought() {
    let two = Two::new(TargetWorld::default());
    two.source.world().message(3).delivery = Delivery::Nil;
    two.source.world().mailbox_mut("Sent").examine = Some("NO [CANNOT] broken".to_owned());
    let report = two.migrate(3, &["--final"]);
    assert_eq!(
        (total(&report, "appended"), &report["adds_up"]),
        (29, &false.into())
    );
    let sides = report["sides"].as_array().unwrap();
    let inbox = ["at_source", "in_archive", "brought", "on_target"].map(|key| n(&sides[0], key));
    assert_eq!(inbox, [30, 29, 29, 29]);
    let said = two
        .trial
        .text((&two.source.url(), &two.target.url()), 3, &[]);
    let words = "It does NOT add up: 37 messages at the source, 29 in the archive, 29 of them on the target; 8 could not be fetched.";
    assert!(said.stdout.contains(words), "{}", said.stdout);
    two.source.heal();
    let report = two.migrate(0, &[]);
    assert_eq!(total(&report, "appended"), 8);
    two.assert_all_there();
    two.changes_nothing();
}

#[test]
fn a_source_lost_on_the_way_leaves_what_was_fetched_on_the_target() {
    let two = Two::new(TargetWorld::default());
    let healthy = Arc::new(AtomicBool::new(false));
    let (is_healthy, appended) = (Arc::clone(&healthy), Arc::clone(&two.appended));
    two.source.hook(move |command, world| {
        let last = command.selected.as_deref() == Some("Sent");
        if last && command.wants_bodies() && !is_healthy.load(Ordering::SeqCst) {
            world.sign_in = "NO [AUTHENTICATIONFAILED] closed".to_owned();
            return Reaction::Once(Arc::clone(&appended), Box::new(Reaction::hang_up("")));
        }
        Reaction::Normal
    });
    let report = two.migrate(6, &["--final"]);
    assert_eq!(report["ending"], "server-lost");
    assert_eq!(
        (total(&report, "appended"), total(&report, "left")),
        (30, 0)
    );
    // What is in the archive is proven to be there, and that it is not all is said as well.
    assert_eq!(n(&report["proof"]["total"], "there"), 30);
    assert_eq!(report["adds_up"], false);
    healthy.store(true, Ordering::SeqCst);
    two.source.world().sign_in = "OK".to_owned();
    let report = two.migrate(0, &["--final"]);
    assert_eq!(total(&report, "appended"), 7);
    two.assert_all_there();
    two.changes_nothing();
}

#[test]
fn what_somebody_delivers_to_the_target_meanwhile_is_nobody_elses_copy() {
    let two = Two::new(TargetWorld::default());
    two.migrate(0, &[]);
    // Mail for bob, and one that both get.
    let both = b"Subject: for both\r\nMessage-ID: <both@x>\r\n\r\nhello\r\n";
    let date = "07-Feb-2024 21:52:25 +0100";
    {
        let mut world = two.target.world();
        let inbox = world.mailbox_mut("INBOX");
        inbox.add(&["\\Seen"], date, b"Subject: for bob\r\n\r\nhello\r\n");
        inbox.add(&["\\Seen"], date, both);
    }
    let mut world = two.source.world();
    world.mailbox_mut("INBOX").add(both);
    for _ in 0..12 {
        world.mailbox_mut("INBOX").add(&[]);
        world.mailbox_mut("Sent").add(&[]);
    }
    drop(world);
    let report = two.migrate(0, &["--final"]);
    assert_eq!(
        (total(&report, "appended"), total(&report, "there")),
        (24, 38)
    );
    assert_eq!(report["adds_up"], true);
    two.changes_nothing();
}
