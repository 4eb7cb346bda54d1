//! The mailbox changes while it is being read, and one message is larger than memory should be.
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
use std::process::Command;

use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Ended, Mailstow, Numbers, numbers};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";
/// At this rate what [`fill`] delivers takes three seconds, and the server can be ahead of us
/// by less than half of it: by what fits into the buffers of a connection.
const SLOWLY: &[&str] = &["--connections", "1", "--limit-rate", "6M"];
/// Bytes that [`fill`] delivers.
const BYTES: usize = 18 << 20;

fn fill(dovecot: &Dovecot, mailbox: &str, count: usize) {
    let body = |n| {
        let line = format!("message {n} in {mailbox}\r\n");
        format!(
            "Subject: {n}\r\n\r\n{}",
            line.repeat(BYTES / count / line.len())
        )
    };
    let bodies: Vec<String> = (0..count).map(body).collect();
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

/// Runs a slow backup, and `change` while the bodies of the first mailbox are coming in.
fn changed_meanwhile(dovecot: &Dovecot, mailstow: &Mailstow, change: impl FnOnce(&str)) -> Ended {
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let mut running = mailstow.start(&[&["backup", &url, "--to", to], SLOWLY].concat());
    let event = running.wait_for("mailbox").expect("work on a mailbox");
    change(event["name"].as_str().unwrap());
    running.finish()
}

#[test]
fn messages_expunged_during_the_run_are_counted_as_left() {
    let dovecot = Dovecot::start();
    fill(&dovecot, "INBOX", 160);
    let mailstow = Mailstow::new();
    let ended = changed_meanwhile(&dovecot, &mailstow, |_| {
        let mut imap = dovecot.connect(ALICE);
        imap.select("INBOX");
        imap.expunge("150:160");
    });
    ended.expect(0);
    let inbox = numbers(&ended.report(), "INBOX");
    assert_eq!(
        inbox,
        Numbers {
            exists: 160,
            stored: 149,
            left: 11,
            ..Numbers::default()
        }
    );
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), ACCOUNT),
        149
    );
    assert_sound(&mailstow.archive());
    let state = archive_state(&mailstow.archive());
    assert_eq!((state.skips, state.placed.len()), (0, 149));
    // The next run need not be told anything: all is held.
    let again = mailstow.report(&dovecot.url(ALICE), &mailstow.archive(), 0, &[]);
    let inbox = numbers(&again, "INBOX");
    assert_eq!(
        inbox,
        Numbers {
            exists: 149,
            held: 149,
            ..Numbers::default()
        }
    );
    assert_adds_a_run_record_only(&mailstow.archive(), || {
        mailstow
            .backup(&dovecot.url(ALICE), &mailstow.archive(), &[])
            .expect(0);
    });
}

#[test]
fn messages_that_arrive_during_the_run_belong_to_the_next() {
    let dovecot = Dovecot::start();
    fill(&dovecot, "INBOX", 160);
    let mailstow = Mailstow::new();
    let ended = changed_meanwhile(&dovecot, &mailstow, |_| {
        dovecot.deliver(
            ALICE,
            "INBOX",
            b"Subject: late\r\n\r\n",
            &["\\Flagged"],
            None,
        );
        let mut imap = dovecot.connect(ALICE);
        imap.select("INBOX");
        imap.store("1:3", "+FLAGS", &["$Late"]);
    });
    ended.expect(0);
    assert_eq!(numbers(&ended.report(), "INBOX").stored, 160);
    let again = mailstow.report(&dovecot.url(ALICE), &mailstow.archive(), 0, &[]);
    let inbox = numbers(&again, "INBOX");
    assert_eq!(
        inbox,
        Numbers {
            exists: 161,
            stored: 1,
            held: 160,
            ..Numbers::default()
        }
    );
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), ACCOUNT),
        161
    );
    assert_sound(&mailstow.archive());
}

#[test]
fn a_mailbox_deleted_during_the_run_is_accounted_for_and_the_others_are_complete() {
    let dovecot = Dovecot::start();
    fill(&dovecot, "One", 80);
    fill(&dovecot, "Two", 80);
    let mailstow = Mailstow::new();
    let mut gone = "";
    let ended = changed_meanwhile(&dovecot, &mailstow, |working| {
        gone = if working == "One" { "Two" } else { "One" };
        dovecot.connect(ALICE).command(&format!("DELETE {gone}"));
    });
    let kept = if gone == "One" { "Two" } else { "One" };
    let report = ended.report();
    assert_eq!(numbers(&report, kept).stored, 80);
    // Proven gone with all that was in it: nothing is missing that anybody could have.
    let want = Numbers {
        exists: 80,
        left: 80,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, gone), want, "{}", report["skipped"][0]);
    ended.expect(0);
    assert_sound(&mailstow.archive());
    mailstow
        .backup(&dovecot.url(ALICE), &mailstow.archive(), &[])
        .expect(0);
    assert_eq!(archive_state(&mailstow.archive()).placed.len(), 80);
}

#[test]
fn a_uidvalidity_that_changes_during_the_run_mixes_nothing_up() {
    let dovecot = Dovecot::start();
    fill(&dovecot, "One", 80);
    fill(&dovecot, "Two", 80);
    let mailstow = Mailstow::new();
    let ended = changed_meanwhile(&dovecot, &mailstow, |working| {
        let other = if working == "One" { "Two" } else { "One" };
        let mut args = vec!["mailbox", "update", "-u", ALICE];
        args.extend(["--uid-validity", "77", other]);
        dovecot.doveadm(&args);
    });
    ended.expect(3);
    assert_eq!(numbers(&ended.report(), "total").exists, 160);
    assert_sound(&mailstow.archive());
    mailstow
        .backup(&dovecot.url(ALICE), &mailstow.archive(), &[])
        .expect(0);
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), ACCOUNT),
        160
    );
}

/// Peak resident memory of a command, in MiB, by GNU time.
fn peak_mib(mailstow: &Mailstow, args: &[&str]) -> u64 {
    let peak = mailstow.path().join("peak");
    let program = mailstow.command(args);
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%M", "-o"])
        .arg(&peak)
        .arg(program.get_program())
        .args(args);
    time.env_clear().current_dir(mailstow.path());
    for (key, value) in program.get_envs() {
        time.env(key, value.unwrap());
    }
    let output = time
        .output()
        .expect("run /usr/bin/time; scripts/test.sh installs it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let text = std::fs::read_to_string(peak).unwrap();
    text.trim().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_message_of_150_mb_does_not_show_in_memory() {
    let dovecot = Dovecot::start();
    let line = "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuTWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsu\r\n";
    let mut large = String::with_capacity(151 << 20);
    large.push_str("Subject: large\r\n\r\n");
    let mut n = 0u64;
    while large.len() < 150 << 20 {
        write!(large, "{:x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
        large.push_str(line);
        n += 1;
    }
    dovecot.deliver(ALICE, "INBOX", large.as_bytes(), &["\\Seen"], None);
    let id = mailstow::model::ContentId::of(large.as_bytes()).to_string();
    let mailstow = Mailstow::new();
    let (url, archive) = (dovecot.url(ALICE), mailstow.archive());
    let to = archive.to_str().unwrap();
    let out = mailstow.path().join("eml");
    let eml = [
        "export",
        to,
        "--format",
        "eml",
        "--to",
        out.to_str().unwrap(),
    ];
    for args in [
        &["backup", &url, "--to", to][..],
        &["backup", &url, "--to", to],
        &["verify", to],
        &eml,
    ] {
        let peak = peak_mib(&mailstow, args);
        println!("{}: {peak} MiB", args[0]);
        assert!(peak <= 128, "{args:?}: {peak} MiB");
    }
    let state = archive_state(&archive);
    assert_eq!(state.contents.get(&id), Some(&(large.len() as u64)));
    assert_eq!(
        std::fs::read_dir(archive.join("tmp")).unwrap().count(),
        0,
        "litter"
    );
}
