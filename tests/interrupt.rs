//! Signals, kills at random, and two runs at once: the archive stays consistent, and the same
//! command again completes it (reliability.md A13, A14).
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

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use mailstow::model::JobState;
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound, jobs};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Mailstow, numbers};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";
/// At this rate the mail below takes many seconds: whoever saw a commit is in the middle.
const SLOWLY: &[&str] = &["--connections", "1", "--limit-rate", "60k"];

/// 200 messages of 3 kB that differ from each other, in two mailboxes.
fn filled() -> Dovecot {
    let dovecot = Dovecot::start();
    for mailbox in ["INBOX", "Sent"] {
        let body = |n: usize| {
            let line = format!("{mailbox} {n} {}\r\n", "x".repeat(n % 50));
            format!("Subject: {n}\r\n\r\n{}", line.repeat(3000 / line.len()))
        };
        let bodies: Vec<String> = (0..100).map(body).collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .map(|body| Mail {
                bytes: body.as_bytes(),
                flags: &["\\Seen"],
                received: None,
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
    }
    dovecot
}

fn mailstow() -> Mailstow {
    Mailstow::new().with("MAILSTOW_TEST_COMMIT_MESSAGES", "15")
}

fn stopped_by(signal: &str, exit: i32) {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut running = mailstow.start(&[&["backup", &url, "--to", to], SLOWLY].concat());
    assert!(running.wait_for("committed").is_some());
    running.signal(signal);
    let ended = running.finish();
    ended.expect(exit);
    let report = ended.report();
    assert_eq!(
        (report["ending"].as_str(), report["exit"].as_i64()),
        (Some("interrupted"), Some(exit.into()))
    );
    assert_sound(&archive);
    let (part, open) = (archive_state(&archive).placed, jobs(&archive));
    assert!(
        (15..200).contains(&part.len()),
        "{} of 200 messages",
        part.len()
    );
    assert_eq!(
        open.iter().map(|job| job.state).collect::<Vec<_>>(),
        [JobState::Open]
    );
    let status = mailstow.run(&["status", to]);
    assert!(
        status.expect(0).stdout.contains("job 1 is open"),
        "{}",
        status.stdout
    );

    let resumed = mailstow.run(&["resume", to, "--json"]);
    resumed.expect(0);
    let total = numbers(&resumed.report(), "total");
    assert_eq!((total.exists, total.held), (200, part.len() as u64));
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
    assert_eq!(
        jobs(&archive)
            .iter()
            .map(|job| job.state)
            .collect::<Vec<_>>(),
        [JobState::Done]
    );
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
}

/// Stops a run in the middle, changes the server, and goes on: no mailbox is listed again, and
/// the archive is what the server is.
#[test]
fn what_changed_while_a_job_lay_still_is_found_without_listing_again() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut running = mailstow.start(&[&["backup", &url, "--to", to], SLOWLY].concat());
    assert!(running.wait_for("committed").is_some());
    running.signal("KILL");
    running.finish();
    let held = archive_state(&archive).placed.len() as u64;
    assert!((15..200).contains(&held), "{held} of 200 messages");

    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    // Held ones and, from the end, ones that were never fetched.
    imap.expunge("3,98");
    imap.store("5,97", "+FLAGS", &["\\Flagged"]);
    let new = Mail {
        bytes: b"Subject: new\r\n\r\nx\r\n",
        flags: &[],
        received: None,
    };
    imap.append_all("INBOX", &[new]);
    let report = mailstow.report(&url, &archive, 0, &[]);
    let notes = report["notes"].as_array().unwrap();
    let goes_on =
        |note: &&serde_json::Value| note.as_str().unwrap().contains("without listing it again");
    assert_eq!(notes.iter().filter(goes_on).count(), 2, "{notes:?}");
    let total = numbers(&report, "total");
    assert_eq!((total.exists, total.held), (199, held - 1));
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 199);
    assert_sound(&archive);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
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
fn a_second_signal_leaves_at_once() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut command = mailstow.command(&[&["backup", &url, "--to", to], SLOWLY].concat());
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut wait_for = |start: &str| {
        let found = words.any(|line| line.unwrap().starts_with(start));
        assert!(found, "it never said {start:?}");
    };
    let send = |signal: &str| {
        let id = child.id().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", signal, &id]).status().unwrap().success());
    };
    wait_for("to fetch: ");
    // Somebody holds the catalog, so an orderly end would wait for 10 seconds.
    let catalog = rusqlite::Connection::open(archive.join("catalog.sqlite")).unwrap();
    catalog.busy_timeout(Duration::from_secs(10)).unwrap();
    catalog.execute_batch("BEGIN IMMEDIATE").unwrap();
    send("INT");
    wait_for("stopping: ");
    send("TERM");
    // 130 or 1 would be the end of the orderly way.
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(catalog);
    mailstow.backup(&url, &archive, &[]).expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let seed: u64 = std::env::var("MAILSTOW_TEST_SEED").map_or(now.into(), |s| s.parse().unwrap());
    println!("MAILSTOW_TEST_SEED={seed}");
    let mut random = seed;
    let mut known = 0;
    for n in 0..10 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut command =
            mailstow.command(&["backup", &url, "--to", to, "--limit-rate", "1M", "-q"]);
        let mut child = command.spawn().unwrap();
        // The moment is the input of this test, not a wait for something to happen.
        std::thread::sleep(Duration::from_millis((random >> 33) % 300));
        child.kill().unwrap();
        child.wait().unwrap();
        if archive.join("archive.toml").exists() {
            let placed = archive_state(&archive).placed.len();
            assert!(
                placed >= known,
                "kill {n}, seed {seed}: {placed} after {known}"
            );
            known = placed;
        }
    }
    mailstow.backup(&url, &archive, &[]).expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
}

#[test]
fn of_two_runs_one_works_and_the_other_is_told_or_waits() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut first = mailstow.start(&[&["backup", &url, "--to", to], SLOWLY].concat());
    assert!(first.wait_for("committed").is_some());

    let second = mailstow.backup(&url, &archive, &[]);
    assert!(
        second
            .expect(8)
            .stderr
            .contains("another run is working on this archive"),
        "{second:?}"
    );
    assert!(second.stderr.contains("--wait"), "{second:?}");
    // Readers need no lock.
    for args in [&["status", to][..], &["ls", to, "INBOX"], &["verify", to]] {
        mailstow.run(args).expect(0);
    }

    let waiting = mailstow.start(&["backup", &url, "--to", to, "--wait"]);
    first.signal("KILL");
    assert_eq!(first.finish().signal, Some(9));
    // The kernel has taken the dead run's lock back; nothing stale is left behind.
    waiting.finish().expect(0);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
}

#[test]
fn a_reader_of_the_output_that_goes_away_harms_nothing() {
    let (dovecot, mailstow) = (filled(), mailstow());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let args = ["backup", &url, "--to", archive.to_str().unwrap(), "--json"];
    let mut command = mailstow.command(&args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(0), "")
    );
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
}
