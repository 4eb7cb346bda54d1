//! Runs over POP3 that are killed, stopped, starved of disk or cut off: what was committed stays,
//! and the same command again completes it.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::fmt::Write as _;

use mailstow::model::JobState;
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound, jobs};
use support::disk::Disk;
use support::dovecot::{ALICE, Dovecot};
use support::fault_proxy::{Fault, FaultProxy};
use support::maildrop::{assert_drained, deliver};
use support::mailstow::{Mailstow, Numbers, numbers};
use support::pop3_tap::Pop3Tap;

const ACCOUNT: &str = "alice@127.0.0.1";
/// At this rate the mail below takes many seconds: whoever saw a commit is in the middle.
const SLOWLY: &[&str] = &["--limit-rate", "60k"];

/// 200 messages of 3 kB that differ from each other.
fn filled() -> Dovecot {
    let dovecot = Dovecot::start();
    let body = |n: usize| {
        let line = format!("{n} {}\r\n", "x".repeat(n % 50));
        format!("Subject: {n}\r\n\r\n{}", line.repeat(3000 / line.len()))
    };
    let bodies: Vec<String> = (0..200).map(body).collect();
    deliver(&dovecot, ALICE, &bodies);
    dovecot
}

fn mailstow() -> Mailstow {
    Mailstow::new().with("MAILSTOW_TEST_COMMIT_MESSAGES", "5")
}

fn states(archive: &std::path::Path) -> Vec<JobState> {
    jobs(archive).iter().map(|job| job.state).collect()
}

#[test]
fn a_killed_run_keeps_what_was_committed_and_the_next_fetches_the_rest() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let (url, archive) = (tap.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut running = mailstow.start(&[&["backup", &url, "--to", to], SLOWLY].concat());
    for _ in 0..3 {
        assert!(running.wait_for("committed").is_some());
    }
    running.signal("KILL");
    assert_eq!(running.finish().signal, Some(9));
    let part = archive_state(&archive).placed.len();
    assert!((15..200).contains(&part), "{part} of 200 messages");
    assert_eq!(states(&archive), [JobState::Open]);

    tap.forget();
    let resumed = mailstow.run(&["resume", to, "--json"]);
    let report = resumed.expect(0).report();
    let counted = numbers(&report, "maildrop");
    // Only what was not committed comes again.
    assert_eq!(counted.exists, 200);
    assert!(counted.held >= part as u64, "{counted:?}");
    assert_eq!(tap.count("RETR") as u64, 200 - counted.held);
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
    assert_eq!(states(&archive), [JobState::Done]);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
}

fn stopped_by(signal: &str, exit: i32) {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.pop3_url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let args = ["backup", &url, "--to", to, "--pop-delete", "archived"];
    let mut running = mailstow.start(&[&args, SLOWLY].concat());
    assert!(running.wait_for("committed").is_some());
    running.signal(signal);
    let ended = running.finish();
    let report = ended.expect(exit).report();
    assert_eq!(
        (report["ending"].as_str(), report["exit"].as_i64()),
        (Some("interrupted"), Some(exit.into()))
    );
    assert_sound(&archive);
    let part = archive_state(&archive).placed.len();
    assert!((5..200).contains(&part), "{part} of 200 messages");
    assert_eq!(states(&archive), [JobState::Open]);
    let listed = mailstow.run(&["jobs", to, "--json"]).json().pop().unwrap();
    assert_eq!(
        (
            listed["jobs"][0]["planned"].as_u64(),
            listed["jobs"][0]["held"].as_u64()
        ),
        (Some(200), Some(part as u64))
    );

    let resumed = mailstow.run(&["resume", to, "--json"]);
    let counted = numbers(&resumed.expect(0).report(), "maildrop");
    assert_eq!((counted.exists, counted.held), (200, part as u64));
    // Neither the run that was stopped nor the one that went on deleted anything.
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
    assert_eq!(states(&archive), [JobState::Done]);
}

#[test]
fn ctrl_c_commits_what_is_there_and_resume_goes_on() {
    stopped_by("INT", 130);
}

#[test]
fn sigterm_commits_what_is_there_and_resume_goes_on() {
    stopped_by("TERM", 143);
}

#[test]
fn a_large_maildrop_is_fetched_in_sessions_of_bounded_length() {
    let dovecot = Dovecot::start();
    let bodies: Vec<String> = (0..3000)
        .map(|n| format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(n % 200)))
        .collect();
    deliver(&dovecot, ALICE, &bodies);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_POP_SESSION_MESSAGES", "100");
    let archive = mailstow.archive();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
    let want = Numbers {
        exists: 3000,
        stored: 3000,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "maildrop"), want);
    let sessions = tap.sessions();
    let asked = |session: &Vec<String>| session.iter().filter(|l| l.starts_with("RETR")).count();
    // What was asked for already when the time is up is still taken.
    let most = sessions.iter().map(asked).max().unwrap();
    assert!((100..=164).contains(&most), "{most} in one session");
    assert!(sessions.len() > 3000 / 164, "{} sessions", sessions.len());
    assert_eq!(tap.count("RETR"), 3000);
    for session in &sessions {
        assert_eq!(session.last().unwrap(), "QUIT");
    }
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 3000);
    assert_sound(&archive);
    tap.forget();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
    assert_eq!(numbers(&report, "maildrop").held, 3000);
    assert_eq!((tap.sessions().len(), tap.count("RETR")), (1, 0));
}

#[test]
fn a_connection_that_breaks_again_and_again_costs_nothing_twice() {
    let dovecot = filled();
    for fault in [Fault::Cut, Fault::Reset] {
        // About 20 messages per connection.
        let proxy = FaultProxy::start(dovecot.pop3_port(), move |_| fault(70_000));
        let mailstow = mailstow().with("MAILSTOW_TEST_BACKOFF_MS", "1");
        let archive = mailstow.archive();
        let url = format!("pop3://alice@127.0.0.1:{}", proxy.port());
        let report = mailstow.report(&url, &archive, 0, &[]);
        let want = Numbers {
            exists: 200,
            stored: 200,
            ..Numbers::default()
        };
        assert_eq!(numbers(&report, "maildrop"), want);
        assert!(proxy.connections() > 8, "{}", proxy.connections());
        assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 200);
        assert_sound(&archive);
    }
}

/// A message that does not compress.
fn noise(seed: u64, len: usize) -> String {
    let mut text = String::with_capacity(len + 100);
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < len {
        for _ in 0..4 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            write!(text, "{x:x}").unwrap();
        }
        text.push_str("\r\n");
    }
    format!("Subject: {seed}\r\n\r\n{text}")
}

fn filling(size: &str, bodies: &[String]) {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &["Subject: small\r\n\r\nx\r\n"]);
    let Some(disk) = Disk::mount(size) else {
        return;
    };
    let mailstow = mailstow();
    let (url, archive) = (dovecot.pop3_url(ALICE), disk.archive());
    let to = archive.to_str().unwrap();
    mailstow.backup(&url, &archive, &[]).expect(0);
    deliver(&dovecot, ALICE, bodies);
    for _ in 0..2 {
        let full = mailstow.backup(&url, &archive, &["--pop-delete", "archived"]);
        full.expect(4);
        let words = ["No space left on device", "disk is full"];
        assert!(
            words.iter().any(|words| full.stderr.contains(words)),
            "{}",
            full.stderr
        );
        assert!(full.stderr.contains("make room"), "{}", full.stderr);
        assert!(!full.stderr.contains("trying again"), "{}", full.stderr);
        // It opens, and what was committed is whole.
        mailstow.run(&["status", to]).expect(0);
        mailstow.run(&["verify", to]).expect(0);
    }
    disk.remount("size=200m");
    mailstow.backup(&url, &archive, &[]).expect(0);
    assert_eq!(
        assert_drained(&dovecot, ALICE, &archive, ACCOUNT),
        bodies.len() + 1
    );
    assert_sound(&archive);
    let litter = std::fs::read_dir(archive.join("tmp")).unwrap().count();
    assert_eq!(litter, 0, "files in tmp/");
}

#[test]
fn a_disk_that_fills_is_named_nothing_is_deleted_and_the_rerun_completes() {
    let bodies: Vec<String> = (1..=40).map(|n| noise(n, 100_000)).collect();
    filling("1500k", &bodies);
}

#[test]
fn a_disk_that_fills_with_one_large_message_is_named_and_the_rerun_completes() {
    filling("6m", &[noise(7, 12 << 20), noise(8, 1000)]);
}

#[test]
fn a_job_does_not_count_what_a_run_of_the_same_second_fetched() {
    let dovecot = Dovecot::start();
    let mail = |n: usize| format!("Subject: {n}\r\n\r\n{n}\r\n");
    deliver(&dovecot, ALICE, &[1, 2, 3, 4, 5].map(mail));
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_NOW", "1707307200");
    let (url, archive) = (dovecot.pop3_url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    mailstow.backup(&url, &archive, &[]).expect(0);
    deliver(&dovecot, ALICE, &[6, 7, 8].map(mail));
    mailstow.run(&["plan", &url, "--to", to]).expect(0);
    let listed = mailstow.run(&["jobs", to, "--json"]).json().pop().unwrap();
    let job = &listed["jobs"][1];
    assert_eq!(
        (job["planned"].as_u64(), job["held"].as_u64()),
        (Some(3), Some(0))
    );
}
