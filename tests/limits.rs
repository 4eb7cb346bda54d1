//! `--max-runtime`, `--max-bytes` and `--newest-first` over IMAP: a run ends in good order
//! at its limit, exits with 9, and the next one goes on until both together are one whole run.
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

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mailstow::model::JobState;
use serde_json::Value;
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound, jobs};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::fake_imap::trial::{Trial, inbox};
use support::fake_imap::{FakeImap, FakeMailbox, Reaction, World};
use support::mailstow::{Mailstow, numbers};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";
/// Every message of [`filled`] has this many bytes.
const EACH: u64 = 3000;

/// 100 messages of 3,000 bytes that differ from each other, in each of two mailboxes.
fn filled() -> Dovecot {
    let dovecot = Dovecot::start();
    for mailbox in ["INBOX", "Sent"] {
        let body = |n: usize| {
            let head = format!("Subject: {n} of {mailbox}\r\n\r\n");
            let rest = usize::try_from(EACH).unwrap() - head.len() - 2;
            format!(
                "{head}{}\r\n",
                format!("{n:03}").repeat(rest).split_at(rest).0
            )
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

/// What a run says that stopped at a limit, after it has been looked at.
#[track_caller]
fn at_limit(report: &Value, limit: &str) -> (u64, u64) {
    assert_eq!(report["ending"], "limit", "{report:#}");
    assert_eq!(report["limit"]["reached"], limit, "{report:#}");
    let n = |key: &str| report["limit"][key].as_u64().unwrap();
    let total = &report["total"];
    let sum: u64 = ["stored", "linked", "held", "excluded", "left", "skipped"]
        .iter()
        .map(|key| total[key].as_u64().unwrap())
        .sum();
    assert_eq!(
        sum + n("messages_left"),
        total["exists"].as_u64().unwrap(),
        "what is left and what is not are not all: {report:#}"
    );
    (n("messages_left"), n("bytes_left"))
}

fn states(archive: &Path) -> Vec<JobState> {
    jobs(archive).iter().map(|job| job.state).collect()
}

/// Names of the mailboxes that have a checkpoint.
fn checkpoints(archive: &Path) -> Vec<String> {
    let state = archive_state(archive);
    state.checkpoints.into_iter().map(|c| c.0).collect()
}

/// The archive is that of an uninterrupted run, and once more changes nothing.
#[track_caller]
fn assert_as_if_uninterrupted(dovecot: &Dovecot, mailstow: &Mailstow) {
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    assert_eq!(assert_same(dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_sound(&archive);
    let whole = Mailstow::new();
    whole.backup(&url, &whole.archive(), &[]).expect(0);
    let (one, many) = (archive_state(&whole.archive()), archive_state(&archive));
    assert_eq!(one.placed, many.placed);
    assert_eq!(one.contents, many.contents);
    assert_eq!(one.checkpoints, many.checkpoints);
    assert_adds_a_run_record_only(&archive, || {
        mailstow.backup(&url, &archive, &[]).expect(0);
    });
}

#[test]
fn a_run_that_is_out_of_time_takes_in_what_is_coming_and_the_next_goes_on() {
    let (dovecot, mailstow) = (filled(), Mailstow::new());
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    // 600 kB at this rate take 10 seconds.
    let slowly = ["--connections", "1", "--limit-rate", "60k"];
    let report = mailstow.report(
        &url,
        &archive,
        9,
        &[&slowly[..], &["--max-runtime", "2s"]].concat(),
    );
    let (messages, bytes) = at_limit(&report, "max-runtime");
    assert_eq!(bytes, messages * EACH);
    assert!((1..200).contains(&messages), "{messages} of 200 are left");
    // Whole batches came: nothing was cut off in the middle.
    let stored = report["total"]["stored"].as_u64().unwrap();
    assert!(
        stored % 80 == 0 || stored == 100 || stored == 180,
        "{stored}"
    );
    assert_eq!(states(&archive), [JobState::Open]);
    assert_sound(&archive);
    // It is no complete run: not for a monitor, and not for the history.
    mailstow.run(&["status", to, "--max-age", "1h"]).expect(10);
    mailstow.run(&["ls", to, "--as-of", "2100-01-01"]).expect(2);
    let status = mailstow.run(&["status", to]);
    assert!(status.expect(0).stdout.contains("(exit 9)"), "{status:?}");

    let mut next = mailstow.start(&["backup", &url, "--to", to]);
    let resuming = next.wait_for("resuming").unwrap();
    assert_eq!(resuming["job"], 1);
    // Totals go on where they stood.
    assert!(resuming["done"].as_u64().unwrap() > 0, "{resuming}");
    assert!(resuming["bytes"].as_u64().unwrap() > 0, "{resuming}");
    let next = next.finish();
    next.expect(0);
    assert_eq!(numbers(&next.report(), "total").held, 200 - messages);
    assert_eq!(states(&archive), [JobState::Done]);
    mailstow.run(&["status", to, "--max-age", "1h"]).expect(0);
    assert_as_if_uninterrupted(&dovecot, &mailstow);
}

#[test]
fn at_a_limit_in_bytes_mailboxes_that_are_through_get_their_checkpoint() {
    for connections in ["1", "4"] {
        let (dovecot, mailstow) = (filled(), Mailstow::new());
        let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
        let limited = ["--max-bytes", "400000", "--connections", connections];
        let report = mailstow.report(&url, &archive, 9, &limited);
        let (messages, bytes) = at_limit(&report, "max-bytes");
        let fetched = report["bytes"].as_u64().unwrap();
        assert!(
            (400_000..400_000 + EACH).contains(&fetched),
            "{fetched} bytes with {connections} connections"
        );
        assert_eq!((messages, bytes), (200 - fetched / EACH, 600_000 - fetched));
        assert_eq!(checkpoints(&archive), ["INBOX"]);
        let to = archive.to_str().unwrap();
        let resumed = mailstow.run(&["resume", to, "--max-bytes", "100000"]);
        assert!(
            resumed
                .expect(9)
                .stdout
                .contains("stopped at --max-bytes: 34 messages stored"),
            "{}",
            resumed.stdout
        );
        assert!(
            resumed.stdout.contains("32 messages (93.8 KiB) left"),
            "{}",
            resumed.stdout
        );
        assert_eq!(states(&archive), [JobState::Open]);
        mailstow
            .run(&["resume", to, "--max-bytes", "96000"])
            .expect(0);
        assert_as_if_uninterrupted(&dovecot, &mailstow);
    }
}

#[test]
fn interrupted_limited_and_resumed_it_is_one_whole_run() {
    let dovecot = filled();
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_COMMIT_MESSAGES", "15");
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut first = mailstow.start(&[
        "backup",
        &url,
        "--to",
        to,
        "--limit-rate",
        "60k",
        "--max-runtime",
        "1h",
        "--max-bytes",
        "1G",
        "--newest-first",
    ]);
    assert!(first.wait_for("committed").is_some());
    first.signal("INT");
    let first = first.finish();
    first.expect(130);
    assert_eq!(first.report()["ending"], "interrupted");
    let limited = ["resume", to, "--max-bytes", "100k", "--newest-first"];
    mailstow.run(&limited).expect(9);
    assert_eq!(states(&archive), [JobState::Open]);
    mailstow.run(&["resume", to]).expect(0);
    assert_eq!(states(&archive), [JobState::Done]);
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 200);
    assert_as_if_uninterrupted(&dovecot, &mailstow);
}

#[test]
fn a_message_larger_than_the_limit_stands_in_nobodys_way() {
    let mut world = World::inbox(5);
    for _ in 0..2 {
        let large = vec![b'x'; 200_000];
        world.mailbox_mut("INBOX").add(&large);
        world.mailbox_mut("INBOX").add(&[]);
    }
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let mut runs = 0;
    loop {
        // New mail every night, which is fetched as well.
        fake.world().mailbox_mut("INBOX").add(&[]);
        runs += 1;
        assert!(runs < 20, "it never ends");
        let order = if runs % 2 == 0 {
            "--newest-first"
        } else {
            "-v"
        };
        let limited = ["--connections", "3", "--max-bytes", "1000", order];
        let ended = trial.mailstow.backup(
            &fake.url(),
            &trial.archive,
            &[&limited[..], &["--json"]].concat(),
        );
        let report = ended.report();
        let (stored, fetched) = (
            report["total"]["stored"].as_u64().unwrap(),
            report["bytes"].as_u64().unwrap(),
        );
        assert!(stored > 0, "run {runs} fetched nothing: {report:#}");
        assert!(fetched < 201_000, "run {runs} fetched {fetched} bytes");
        if ended.exit == Some(0) {
            break;
        }
        ended.expect(9);
    }
    trial.completes(&fake);
}

#[test]
fn sizes_that_lie_do_not_get_past_the_limit() {
    let mut world = World::default();
    let mut mailbox = FakeMailbox::new("INBOX");
    for n in 0..1_000u16 {
        let body = format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(1_000));
        mailbox.add(body.as_bytes()).size = Some(1);
    }
    world.mailboxes.push(mailbox);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let limited = ["--connections", "1", "--max-bytes", "60000"];
    let report = trial.backup(&fake, 9, &limited);
    // What was asked for in advance still comes.
    assert!(numbers_stored(&report) < 500, "{report:#}");
    trial.completes(&fake);
}

fn numbers_stored(report: &Value) -> u64 {
    report["total"]["stored"].as_u64().unwrap()
}

#[test]
fn the_newest_come_first_in_each_mailbox_and_inbox_before_all() {
    let world = World::with([
        FakeMailbox::new("Archive").filled(100),
        FakeMailbox::new("INBOX").filled(300),
    ]);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    let limited = [
        "--newest-first",
        "--max-bytes",
        "5000",
        "--connections",
        "1",
    ];
    let report = trial.backup(&fake, 9, &limited);
    let stored = numbers_stored(&report);
    let mut held: Vec<u32> = trial.held().into_keys().map(|(_, _, uid)| uid).collect();
    held.sort_unstable();
    let newest: Vec<u32> = (1..=300).skip(300 - held.len()).collect();
    assert_eq!((held.len() as u64, &held), (stored, &newest));
    // A message that comes meanwhile is before what is left.
    fake.world().mailbox_mut("INBOX").add(&[]);
    trial.backup(&fake, 9, &limited);
    assert!(
        trial
            .held()
            .keys()
            .any(|k| (k.0.as_str(), k.2) == ("INBOX", 301))
    );
    assert!(trial.held().keys().all(|k| k.0 == "INBOX"));
    // The order is not part of the job: the same one goes on without it.
    assert_eq!(states(&trial.archive), [JobState::Open]);
    assert_eq!(fake.asked().get(&inbox(1)), None);
    trial.completes(&fake);
}

/// A server that does not answer such commands until the flag is set.
fn stalls(fake: &FakeImap, name: &'static str, nth: u32) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::clone(&flag);
    let mut seen = 0;
    fake.hook(move |command, _| {
        let is_it = command.name == name || name == "BODY" && command.wants_bodies();
        seen += u32::from(is_it);
        if is_it && seen >= nth {
            Reaction::Once(Arc::clone(&goes_on), Box::new(Reaction::Normal))
        } else {
            Reaction::Normal
        }
    });
    flag
}

#[test]
fn out_of_time_while_it_looks_around_it_says_so_and_an_open_job_stays() {
    let world = World::with([
        FakeMailbox::new("INBOX").filled(100),
        FakeMailbox::new("Sent").filled(100),
    ]);
    let (fake, trial) = (FakeImap::start(world), Trial::new());
    for known in [false, true] {
        let flag = stalls(&fake, "EXAMINE", 2);
        let began = Instant::now();
        let report = trial.backup(&fake, 9, &["--max-runtime", "1s"]);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(
            (
                &report["ending"],
                &report["limit"]["reached"],
                &report["limit"]["messages_left"]
            ),
            (&"limit".into(), &"max-runtime".into(), &Value::Null)
        );
        assert_eq!(report["run"].is_u64(), known, "{report:#}");
        flag.store(true, Ordering::SeqCst);
        fake.heal();
        if !known {
            trial.backup(&fake, 9, &["--max-bytes", "500"]);
        }
        assert_eq!(states(&trial.archive), [JobState::Open]);
    }
    assert_sound(&trial.archive);
    trial.completes(&fake);
}

#[test]
fn a_server_that_stalls_is_left_soon_after_the_time_is_up() {
    let (fake, mut trial) = (FakeImap::start(World::inbox(200)), Trial::new());
    trial.mailstow = trial.mailstow.with("MAILSTOW_TEST_GRACE_MS", "300");
    // It never goes on: what the client had sent in advance would be read after it has left.
    stalls(&fake, "BODY", 2);
    let began = Instant::now();
    let report = trial.backup(&fake, 9, &["--max-runtime", "1s", "--connections", "1"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    at_limit(&report, "max-runtime");
    assert_eq!(numbers_stored(&report), 80);
    trial.completes(&fake);
}

#[test]
fn of_several_accounts_each_gets_its_share_of_the_time_and_the_gravest_code_counts() {
    let (slow, quick) = (
        FakeImap::start(World::inbox(5)),
        FakeImap::start(World::inbox(3)),
    );
    let (first, second) = (slow.url(), quick.url());
    let flag = stalls(&slow, "BODY", 1);
    let mailstow = Mailstow::bare().with("MAILSTOW_TEST_GRACE_MS", "100");
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let ask = ["--password-command", "printf '%s\\n' 'correct horse'"];
    let both = [
        &["backup", &first, &second, "--to", to, "--json"][..],
        &["--max-runtime", "6s"],
        &ask,
    ]
    .concat();
    let ended = mailstow.run(&both);
    ended.expect(9);
    let reports: Vec<Value> = ended
        .json()
        .into_iter()
        .filter(|line| line["event"] == "report")
        .collect();
    assert_eq!(reports[0]["ending"], "limit");
    assert_eq!(reports[1]["ending"], "complete", "{:#}", reports[1]);
    flag.store(true, Ordering::SeqCst);
    mailstow.run(&both).expect(0);
    assert_sound(&archive);
}

#[test]
fn what_is_no_limit_is_refused() {
    let mailstow = Mailstow::new();
    for (option, value) in [
        ("--max-runtime", "0s"),
        ("--max-runtime", "2"),
        ("--max-runtime", "1w"),
        ("--max-bytes", "0"),
        ("--max-bytes", "much"),
    ] {
        let ended = mailstow.backup(
            "imap://a@127.0.0.1:9",
            &mailstow.archive(),
            &[option, value],
        );
        assert!(ended.expect(2).stderr.contains(option), "{}", ended.stderr);
    }
}
