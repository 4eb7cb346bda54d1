//! Maildrops of a size nobody should have, and a small one cut at every byte.
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

use std::sync::atomic::{AtomicUsize, Ordering};

use support::archive_state::assert_sound;
use support::fake_pop3::trial::{Shown, Trial, all_stored, maildrop};
use support::fake_pop3::{FakePop3, World};
use support::fault_proxy::{Fault, FaultProxy};
use support::mailstow::{Ended, Mailstow, Numbers};
use support::sweep::in_parallel;

#[test]
fn a_hundred_thousand_messages_that_are_held_cost_one_session_and_no_message() {
    let world = World {
        bulk: 100_000,
        ..World::maildrop(3)
    };
    let (fake, trial) = (FakePop3::start(world), Trial::new());
    let report = trial.backup(&fake, 0, &[]);
    assert_eq!(maildrop(&report), all_stored(100_003));
    assert!(fake.asked("RETR").values().all(|n| *n == 1));
    trial.assert_quiet(&fake, &[]);
    fake.forget();
    let report = trial.backup(&fake, 0, &[]);
    let held = Numbers {
        exists: 100_003,
        held: 100_003,
        ..Numbers::default()
    };
    assert_eq!(maildrop(&report), held);
    let names: Vec<String> = fake.commands().into_iter().map(|c| c.name).collect();
    let work = names
        .iter()
        .filter(|n| !["CAPA", "USER"].contains(&n.as_str()));
    let mut work: Vec<&str> = work.map(String::as_str).collect();
    work.sort_unstable();
    assert_eq!(work, ["AUTH", "LIST", "QUIT", "UIDL"]);
}

/// Small, so that there are few bytes: dots, an empty one, spam, no line end.
fn small() -> World {
    World::of([
        &b"Subject: a\r\n\r\n.\r\n..x\r\n"[..],
        b"",
        b"Subject: b\r\nX-Spam-Flag: YES\r\n\r\nno end",
    ])
}

/// A maildrop behind a network that is bad in one way.
struct Cut {
    _fake: FakePop3,
    proxy: FaultProxy,
    trial: Trial,
}

impl Cut {
    fn new(plan: impl FnMut(usize) -> Fault + Send + 'static) -> Self {
        let fake = FakePop3::start(small());
        let mut trial = Trial::new();
        trial.mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "1");
        trial.archive = trial.mailstow.archive();
        Self {
            proxy: FaultProxy::start(fake.port(), plan),
            _fake: fake,
            trial,
        }
    }

    fn backup(&self) -> Ended {
        let url = format!("pop3://alice@127.0.0.1:{}", self.proxy.port());
        let Trial {
            mailstow, archive, ..
        } = &self.trial;
        mailstow.backup(&url, archive, &["-q"])
    }
}

/// An uninterrupted run: what it shows, and how many bytes the server said.
fn uninterrupted() -> (Vec<Shown>, u64) {
    let cut = Cut::new(|_| Fault::None);
    let ended = cut.backup();
    assert_eq!((ended.exit, ended.output().as_str()), (Some(0), ""));
    let (want, bytes) = (cut.trial.shown(), cut.proxy.bytes());
    assert_eq!(want.len(), 3);
    assert!((200..1500).contains(&bytes), "{bytes} bytes");
    (want, bytes)
}

#[test]
fn a_session_cut_at_every_byte_ends_as_one_that_was_not() {
    let (want, bytes) = uninterrupted();
    let numbers: Vec<usize> = (0..usize::try_from(bytes).unwrap()).collect();
    let most = AtomicUsize::new(0);
    in_parallel(&numbers, |k| {
        // A reset that comes sooner may be a refused connection for the client.
        let fault = if k > 64 && k % 3 == 0 {
            Fault::Reset(k as u64)
        } else {
            Fault::Cut(k as u64)
        };
        let cut = Cut::new(move |n| if n == 1 { fault } else { Fault::None });
        let ended = cut.backup();
        let said = (ended.exit, ended.output());
        assert_eq!(said, (Some(0), String::new()), "{fault:?}");
        assert!(cut.trial.shown() == want, "{fault:?}");
        assert_sound(&cut.trial.archive);
        most.fetch_max(cut.proxy.connections(), Ordering::SeqCst);
    });
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} connections");
}

#[test]
fn sessions_that_are_always_cut_are_given_up_and_the_next_run_completes() {
    let (want, bytes) = uninterrupted();
    let numbers: Vec<usize> = (0..usize::try_from(bytes).unwrap()).step_by(13).collect();
    in_parallel(&numbers, |k| {
        let cut = Cut::new(move |_| Fault::Cut(k as u64));
        let ended = cut.backup();
        assert!(matches!(ended.exit, Some(0 | 3 | 6)), "{k}: {ended:?}");
        let connections = cut.proxy.connections();
        assert!(connections < 60, "{k}: {connections} connections");
        if cut.trial.archive.join("archive.toml").exists() {
            let so_far = cut.trial.shown();
            assert!(so_far.iter().all(|message| want.contains(message)), "{k}");
            assert!(ended.exit != Some(0) || so_far == want, "{k}");
        }
        cut.proxy.plan(|_| Fault::None);
        let ended = cut.backup();
        assert_eq!(ended.exit, Some(0), "after {k}: {ended:?}");
        assert!(cut.trial.shown() == want, "after {k}");
        assert_sound(&cut.trial.archive);
    });
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    let fake = FakePop3::start(World::maildrop(5));
    let proxy = FaultProxy::start(fake.port(), |_| Fault::Dribble);
    let trial = Trial::new();
    let url = format!("pop3://alice@127.0.0.1:{}", proxy.port());
    let ended = trial.mailstow.backup(&url, &trial.archive, &["-q"]);
    ended.expect(0);
    trial.assert_holds_all_but(&fake, &[]);
}
