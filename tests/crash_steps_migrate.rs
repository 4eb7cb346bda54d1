//! A migration may die at every step of either side: every durable step of the archive and of the
//! ledger, and every word to the target. The same command again ends with what an uninterrupted
//! one ends with, and once more it changes nothing (design.md §2.6 and §2.9, reliability.md D2, D3).
//!
//! Where every step would take too long for every day, sweeps are thinned by a stride, which is
//! said at each; MAILSTOW_EVERY_STEP=1 takes every step of all of them. Both sides work at once,
//! so a number is not the same step in every run, and a run may end before it comes to its step.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use support::archive_state::{
    ArchiveState, archive_state, assert_adds_a_run_record_only, assert_sound, jobs,
};
use support::fake_imap::{FakeImap, FakeMailbox, Reaction, World};
use support::fake_target::{CAPABILITIES, Contents, FakeTarget, TargetWorld};
use support::mailstow::Ended;
use support::migration::{Migration, assert_adds_up, n, reported};
use support::sweep::{Death, in_parallel};

/// Both servers as they are when a run begins.
struct Scenario {
    source: World,
    /// Of the target.
    capabilities: &'static str,
    /// What happens at the source between a first pass and the run.
    later: Option<fn(&mut World)>,
}

/// One run of it, with servers of its own.
struct Run {
    source: FakeImap,
    target: FakeTarget,
    trial: Migration,
}

/// What an uninterrupted run ends with.
#[derive(Debug, PartialEq, Eq)]
struct End {
    archive: ArchiveState,
    target: Contents,
    subscribed: Vec<(String, bool)>,
}

impl Scenario {
    /// After the first pass, where it is not the first itself. The last mailbox of the source waits
    /// until something was sent to the target, so that both sides are at work together.
    fn begin(&self) -> Run {
        let run = Run {
            source: FakeImap::start(self.source.clone()),
            target: FakeTarget::start(TargetWorld {
                capabilities: self.capabilities.to_owned(),
                ..TargetWorld::default()
            }),
            trial: Migration::new(),
        };
        if let Some(later) = self.later {
            run.report(&Ended::of(&mut run.command()), "the first pass");
            later(&mut run.source.world());
        }
        let appended = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&appended);
        run.target.hook(move |command, _| {
            if command.name == "APPEND" {
                begun.store(true, Ordering::SeqCst);
            }
            Reaction::Normal
        });
        run.source.hook(move |command, _| {
            let last = command.selected.as_deref() == Some("Sent") && command.wants_bodies();
            if last && !appended.load(Ordering::SeqCst) {
                return Reaction::Once(Arc::clone(&appended), Box::new(Reaction::Normal));
            }
            Reaction::Normal
        });
        run
    }

    fn uninterrupted(&self) -> (End, usize) {
        let run = self.begin();
        let count = run.trial.mailstow.path().join("steps");
        let mut command = run.command();
        let ended = Ended::of(command.env("MAILSTOW_CRASH_STEPS", &count));
        let report = run.report(&ended, "uninterrupted");
        assert!(n(&report["sent"], "messages") > 0, "nothing flowed");
        let text = std::fs::read_to_string(count).unwrap();
        let steps = text.split_whitespace().next().unwrap().parse().unwrap();
        (run.end(), steps)
    }

    /// Dies at every `stride`-th step.
    fn sweep(&self, death: Death, stride: usize) {
        let stride = if std::env::var_os("MAILSTOW_EVERY_STEP").is_some() {
            1
        } else {
            stride
        };
        let (want, steps) = self.uninterrupted();
        println!("{steps} steps, {death:?}, every {stride}.");
        let numbers: Vec<usize> = (1..=steps).step_by(stride).collect();
        let died = AtomicUsize::new(0);
        in_parallel(&numbers, |step| {
            if self.recovers(step, death, &want) {
                died.fetch_add(1, Ordering::SeqCst);
            }
        });
        let died = died.into_inner();
        assert!(
            died * 10 >= numbers.len() * 8,
            "only {died} of {} died",
            numbers.len()
        );
    }

    /// Whether it died at all.
    fn recovers(&self, step: usize, death: Death, want: &End) -> bool {
        let run = self.begin();
        let at = format!("step {step}, {death:?}");
        let mut command = run.command();
        command.env("MAILSTOW_CRASH_AT", step.to_string());
        if death != Death::Kill {
            command.env("MAILSTOW_CRASH_MODE", "power");
        }
        let ended = Ended::of(&mut command);
        let died = ended.signal == Some(9);
        assert!(died || ended.exit == Some(0), "{at}: {ended:?}");
        // What is left to be fetched may not be waited for any more.
        run.source.hook(|_, _| Reaction::Normal);
        run.report(&Ended::of(&mut run.command()), &at);
        let end = run.end();
        assert!(end == *want, "{at}: {end:#?}\n--- instead of\n{want:#?}");
        let open = jobs(&run.trial.archive);
        let is_open = |job: &mailstow::model::Job| job.state == mailstow::model::JobState::Open;
        assert!(!open.iter().any(is_open), "{at}: an open job");
        run.target.forget();
        assert_adds_a_run_record_only(&run.trial.archive, || {
            let report = run.report(&Ended::of(&mut run.command()), &at);
            assert_eq!(report["proof"]["total"]["appended"], 0, "{at}");
        });
        for command in ["APPEND", "UID STORE", "UID MOVE", "CREATE"] {
            assert_eq!(
                run.target.count(command),
                0,
                "{at}: {command} in the third run"
            );
        }
        assert!(run.end() == *want, "{at}: third run");
        died
    }
}

impl Run {
    fn command(&self) -> Command {
        let (from, to) = (self.source.url(), self.target.url());
        let mut args = self.trial.args(&from, &to);
        args.extend(["--connections", "1", "--final", "--json"]);
        self.trial.mailstow.command(&args)
    }

    #[track_caller]
    fn report(&self, ended: &Ended, at: &str) -> Value {
        assert_eq!(ended.exit, Some(0), "{at}: {ended:?}");
        let report = reported(&ended.json());
        assert_adds_up(&report);
        assert_eq!(report["adds_up"], true, "{at}: {report:#}");
        assert_eq!(report.get("unproven"), None, "{at}: {report:#}");
        report
    }

    fn end(&self) -> End {
        assert_sound(&self.trial.archive);
        let world = self.target.world();
        let mailboxes = world.mailboxes.iter();
        let subscribed = mailboxes.map(|m| (m.wire.clone(), m.subscribed)).collect();
        drop(world);
        End {
            archive: archive_state(&self.trial.archive),
            target: self.target.contents(),
            subscribed,
        }
    }
}

/// Ten messages in two mailboxes, some twice in one or in both, with flags and dates of their own.
fn first_pass(capabilities: &'static str) -> Scenario {
    let body = |n: u32| format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n{n}\r\n");
    let filled = |wire: &str, bodies: &[u32]| {
        let mut mailbox = FakeMailbox::new(wire);
        for n in bodies {
            mailbox.add(body(*n).as_bytes());
        }
        mailbox
    };
    let source = World::with([
        filled("INBOX", &[1, 2, 3, 1, 4, 5]),
        filled("Sent", &[6, 1, 7, 6]),
    ]);
    Scenario {
        source: source.announcing("CONDSTORE"),
        capabilities,
        later: None,
    }
}

/// After a first pass: new mail, some of it known; flags changed; one message moved, one gone; one
/// mailbox more.
fn later_pass() -> Scenario {
    let later = |source: &mut World| {
        let inbox = source.mailbox_mut("INBOX");
        let moved = inbox.message(3).body.clone();
        inbox.message(1).flags = "\\Flagged".to_owned();
        inbox.message(2).flags = "\\Answered $Forwarded".to_owned();
        inbox.expunge(&[3, 5]);
        let more = b"Subject: more\r\nMessage-ID: <more@x>\r\n\r\nmore\r\n";
        for body in [&b""[..], more, b"", more, b"", b""] {
            inbox.add(body);
        }
        let mut new = FakeMailbox::new("Later");
        new.add(more);
        new.add(b"");
        source.mailboxes.insert(1, new);
        let sent = source.mailbox_mut("Sent");
        sent.add(&moved);
        sent.add(b"");
    };
    Scenario {
        later: Some(later),
        ..first_pass(CAPABILITIES)
    }
}

#[test]
fn a_first_pass_killed_at_any_step_ends_as_if_it_had_not_been() {
    first_pass(CAPABILITIES).sweep(Death::Kill, 2);
}

#[test]
fn a_first_pass_whose_power_fails_ends_as_if_it_had_not() {
    first_pass(CAPABILITIES).sweep(Death::Power, 3);
}

#[test]
fn a_first_pass_to_a_target_that_tells_little_ends_as_if_it_had_not_been_killed() {
    first_pass("IMAP4rev1").sweep(Death::Kill, 6);
}

#[test]
fn a_later_pass_killed_at_any_step_ends_as_if_it_had_not_been() {
    later_pass().sweep(Death::Kill, 2);
}

#[test]
fn a_later_pass_whose_power_fails_ends_as_if_it_had_not() {
    later_pass().sweep(Death::Power, 3);
}
