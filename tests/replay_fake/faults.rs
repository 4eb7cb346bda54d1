//! Every fault at every APPEND: after one more run each message is there once, and no message
//! ran as a command.

use std::time::Duration;

use super::*;
use support::fake_target::{AppendUid, Contents, Fault};
use support::odd_mail::{self, contents};

type Make = fn() -> TargetWorld;

/// A target that goes wrong only as `make` makes it, and what is on it after a replay.
struct Oracle {
    make: Make,
    contents: Contents,
    appends: usize,
}

/// Runs that share one archive, each with a ledger of its own.
struct Sweep {
    archived: Archived,
    args: Vec<&'static str>,
    ledgers: usize,
    wrong: Vec<String>,
}

impl Sweep {
    fn of(world: World) -> Self {
        Self {
            archived: Archived::of(world),
            args: vec!["--target-connections", "1"],
            ledgers: 0,
            wrong: Vec::new(),
        }
    }

    fn oracle(&mut self, make: Make) -> Oracle {
        let target = FakeTarget::start(make());
        let args = self.next();
        self.archived.replay(&target, 0, &args);
        self.ledgers -= 1;
        let folder = self.folder(self.ledgers);
        std::fs::remove_dir_all(folder).unwrap();
        Oracle {
            make,
            contents: contents(&target),
            appends: target.appends().len(),
        }
    }

    fn folder(&self, n: usize) -> PathBuf {
        self.archived.mailstow.path().join(format!("ledger-{n}"))
    }

    /// Arguments of a run with a ledger of its own.
    fn next(&mut self) -> Vec<&'static str> {
        self.ledgers += 1;
        let folder = self.folder(self.ledgers - 1);
        let folder: &'static str = folder.to_str().unwrap().to_owned().leak();
        [&self.args[..], &["--ledger", folder]].concat()
    }

    /// Runs with one fault and once more; everything must be there once, and a third run must
    /// have nothing to do.
    fn heals(&mut self, oracle: &Oracle, what: &str, n: usize, fault: &Fault, smuggles: bool) {
        let args = self.next();
        let at = format!("{what}, {fault:?} at {n}");
        let mut world = (oracle.make)();
        world.faults.insert(n, fault.clone());
        let target = FakeTarget::start(world);
        if smuggles {
            target.allow_smuggling();
        }
        let replay = |exits: &[i32]| {
            let json = [&["--json"], &args[..]].concat();
            let archive = self.archived.archive();
            let ended = self
                .archived
                .mailstow
                .replay(&archive, &target.url(), &json);
            assert!(
                ended.exit.is_some_and(|e| exits.contains(&e)),
                "{at}: {ended:#?}"
            );
            ended.replayed()
        };
        let first = replay(&[0, 3]);
        let healed = contents(&target) == oracle.contents;
        let second = replay(&[0, 3]);
        let found = difference(&contents(&target), &oracle.contents);
        if !found.is_empty() {
            self.wrong
                .push(format!("{at}: {found} ({healed} after one run)"));
            return;
        }
        assert!(
            !healed || total(&second, "appended") == 0,
            "{at}: {first:#} {second:#}"
        );
        target.forget();
        let third = replay(&[0]);
        assert_eq!(target.count("APPEND"), 0, "{at}: {third:#}");
        assert_eq!(total(&third, "there"), total(&third, "in_archive"), "{at}");
    }

    fn all(&mut self, what: &str, make: Make, faults: &[Fault]) {
        let oracle = self.oracle(make);
        for fault in faults {
            for n in 1..=oracle.appends {
                self.heals(&oracle, what, n, fault, false);
            }
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// What is missing and what is too much.
fn difference(found: &Contents, wanted: &Contents) -> String {
    let flat = |contents: &Contents| {
        let mut all = Vec::new();
        for (mailbox, messages) in contents {
            all.extend(
                messages
                    .iter()
                    .map(|m| format!("{mailbox} {} {:?}", &m.2[..6], m.0)),
            );
        }
        all
    };
    let minus = |a: &Contents, b: &Contents| {
        let (mut rest, b) = (flat(a), flat(b));
        for one in &b {
            if let Some(at) = rest.iter().position(|r| r == one) {
                rest.remove(at);
            }
        }
        rest
    };
    let (missing, more) = (minus(wanted, found), minus(found, wanted));
    if missing.is_empty() && more.is_empty() {
        return String::new();
    }
    format!("missing {missing:?}, too many {more:?}")
}

fn lost() -> Vec<Fault> {
    vec![
        Fault::LoseReply,
        Fault::LoseBefore,
        Fault::Cut(0),
        Fault::Cut(40),
        Fault::Bye("going down".to_owned()),
        Fault::ByeBefore("going down".to_owned()),
    ]
}

fn plain() -> TargetWorld {
    TargetWorld::default().without("MULTIAPPEND")
}

#[test]
fn whatever_is_lost_with_multiappend_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    sweep.all("MULTIAPPEND", TargetWorld::default, &lost());
}

#[test]
fn whatever_is_lost_without_multiappend_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    sweep.all("without MULTIAPPEND", plain, &lost());
}

#[test]
fn whatever_is_lost_on_three_connections_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    sweep.args = vec!["--target-connections", "3"];
    sweep.all("three connections", plain, &lost()[..2]);
}

#[test]
fn whatever_is_lost_behind_literals_that_wait_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    let faults = [Fault::LoseReply, Fault::LoseBefore, Fault::Cut(40)];
    sweep.all("no LITERAL+", || plain().without("LITERAL+"), &faults);
    let minus = || plain().without("LITERAL+").announcing("LITERAL-");
    sweep.all("LITERAL-", minus, &faults[..2]);
}

#[test]
fn whatever_is_lost_without_uids_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    let faults = [Fault::LoseReply, Fault::LoseBefore];
    sweep.all("no UIDPLUS", || plain().without("UIDPLUS"), &faults);
    let multi = || TargetWorld::default().without("UIDPLUS");
    sweep.all("MULTIAPPEND, no UIDPLUS", multi, &faults);
}

#[test]
fn whatever_is_lost_where_uids_are_told_wrongly_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    let faults = [Fault::LoseReply, Fault::LoseBefore];
    fn swapped() -> TargetWorld {
        let mut world = plain();
        world.appenduid = AppendUid::Swapped;
        world
    }
    sweep.all("swapped", swapped, &faults);
    sweep.all(
        "short",
        || TargetWorld {
            appenduid: AppendUid::Short,
            ..TargetWorld::default()
        },
        &faults,
    );
    sweep.all(
        "wrong UIDVALIDITY",
        || TargetWorld {
            appenduid: AppendUid::WrongValidity,
            ..plain()
        },
        &faults,
    );
    sweep.all(
        "absent",
        || TargetWorld {
            appenduid: AppendUid::Absent,
            ..TargetWorld::default()
        },
        &faults,
    );
}

#[test]
fn whatever_is_lost_where_messages_are_changed_is_there_once() {
    let mut sweep = Sweep::of(odd_mail::few());
    let faults = [Fault::LoseReply, Fault::LoseBefore];
    sweep.all(
        "headers added, no UIDPLUS",
        || TargetWorld {
            add_header: Some("Received: by target\r\nX-Spam: no\r\n".to_owned()),
            ..plain().without("UIDPLUS")
        },
        &faults,
    );
    sweep.all(
        "normalised",
        || TargetWorld {
            normalise: true,
            ..TargetWorld::default().without("UIDPLUS")
        },
        &faults,
    );
}

#[test]
fn a_refusal_that_passes_costs_nothing() {
    let mut sweep = Sweep::of(odd_mail::few());
    let no = [Fault::No("[CANNOT] not today".to_owned())];
    sweep.all("NO, MULTIAPPEND", TargetWorld::default, &no);
    sweep.all("NO", plain, &no);
    let bad = [Fault::Bad("what?".to_owned())];
    let waits = || TargetWorld::default().without("LITERAL+");
    sweep.all("BAD, MULTIAPPEND", waits, &bad);
    sweep.all("BAD", || plain().without("LITERAL+"), &bad);
}

/// A head that was accepted before is refused all the same: what comes behind runs as commands,
/// and what these do to the connection costs no message.
#[test]
fn mail_that_ran_as_commands_is_sent_once_more_and_there_once() {
    let mut world = odd_mail::few();
    for mailbox in &mut world.mailboxes {
        let harmless = |body: &[u8]| !body.windows(6).any(|w| w == b"DELETE");
        mailbox.messages.retain(|m| harmless(&m.body));
    }
    let mut sweep = Sweep::of(world);
    for make in [TargetWorld::default, plain] {
        let oracle = sweep.oracle(make);
        for n in 1..=oracle.appends {
            sweep.heals(&oracle, "BAD", n, &Fault::Bad("what?".to_owned()), true);
        }
    }
    assert!(sweep.wrong.is_empty(), "{}", sweep.wrong.join("\n"));
}

#[test]
fn what_is_stored_late_is_not_sent_again() {
    let mut sweep = Sweep::of(odd_mail::few());
    sweep.archived.mailstow = sweep
        .archived
        .mailstow
        .with("MAILSTOW_TEST_SETTLE_MS", "500");
    let late = [Fault::StoreLate(Duration::from_millis(20))];
    sweep.all("late", TargetWorld::default, &late);
}
