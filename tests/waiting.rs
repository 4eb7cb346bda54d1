//! Two runs on one archive: the second is told, or waits (`--wait`) until it is free, its time is up,
//! or somebody stops it.
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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::archive_state::assert_sound;
use support::fake_imap::trial::Trial;
use support::fake_imap::{FakeImap, Reaction, World};
use support::mailstow::numbers;

/// A server that sends no body until the flag is set.
fn stalls(fake: &FakeImap) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::clone(&flag);
    fake.hook(move |command, _| match command.wants_bodies() {
        true => Reaction::Once(Arc::clone(&goes_on), Box::new(Reaction::Normal)),
        false => Reaction::Normal,
    });
    flag
}

#[test]
fn who_waits_says_so_and_stops_at_its_limit_or_when_told() {
    let (fake, trial) = (FakeImap::start(World::inbox(5)), Trial::new());
    let flag = stalls(&fake);
    let (url, to) = (fake.url(), trial.archive.to_str().unwrap());
    let args = ["backup", &url, "--to", to];
    let mut first = trial.mailstow.start(&args);
    assert!(first.wait_for("mailbox").is_some());

    let locked = trial.mailstow.run(&args);
    assert!(locked.expect(8).stderr.contains("another run is working"));
    let waits = [&args[..], &["--wait"]].concat();
    let tired = trial
        .mailstow
        .run(&[&waits[..], &["--max-runtime", "1s"]].concat());
    assert!(
        tired
            .expect(9)
            .stderr
            .contains("another run works on this archive; waiting"),
        "{tired:?}"
    );
    assert!(
        tired
            .stdout
            .contains("stopped at --max-runtime, another run"),
        "{tired:?}"
    );

    for (signal, exit) in [("INT", 130), ("TERM", 143)] {
        let mut told = trial.mailstow.start(&waits);
        assert!(told.wait_for("waiting").is_some());
        told.signal(signal);
        let told = told.finish();
        told.expect(exit);
        assert!(told.output().contains("stopped while waiting"), "{told:?}");
    }

    let mut patient = trial
        .mailstow
        .start(&[&waits[..], &["--max-runtime", "1h"]].concat());
    assert!(patient.wait_for("waiting").is_some());
    flag.store(true, Ordering::SeqCst);
    first.finish().expect(0);
    let patient = patient.finish();
    patient.expect(0);
    assert_eq!(numbers(&patient.report(), "INBOX").held, 5);
    assert_sound(&trial.archive);
}
