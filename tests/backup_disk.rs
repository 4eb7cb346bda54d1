//! Disks that fill and disks that may only be read (reliability.md A11, A16).
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

use support::archive_state::{archive_state, assert_sound, files};
use support::compare::assert_same;
use support::disk::Disk;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Ended, Mailstow};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";

/// Text that no compressor makes small.
fn noise(seed: u64, len: usize) -> String {
    let mut x = seed.wrapping_mul(2).wrapping_add(1);
    let mut text = String::with_capacity(len + 100);
    while text.len() < len {
        for _ in 0..8 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            write!(text, "{x:x}").unwrap();
        }
        text.push_str("\r\n");
    }
    format!("Subject: {seed}\r\n\r\n{text}")
}

fn deliver(dovecot: &Dovecot, mailbox: &str, bodies: &[String]) {
    let mails: Vec<Mail<'_>> = bodies
        .iter()
        .map(|body| Mail {
            bytes: body.as_bytes(),
            flags: &[],
            received: None,
        })
        .collect();
    dovecot.deliver_all(ALICE, mailbox, &mails);
}

#[track_caller]
fn assert_full(ended: &Ended) {
    ended.expect(4);
    // The system's words, or those of SQLite, and in both cases where and what to do.
    let full = ["No space left on device", "disk is full"];
    assert!(
        full.iter().any(|words| ended.stderr.contains(words)),
        "{}",
        ended.stderr
    );
    for words in ["/ms-disk-", "make room"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // Not tried again in a loop.
    assert!(!ended.stderr.contains("trying again"), "{}", ended.stderr);
}

fn filling(size: &str, bodies: &[String]) {
    let dovecot = Dovecot::start();
    deliver(
        &dovecot,
        "INBOX",
        &["Subject: small\r\n\r\nx\r\n".to_owned()],
    );
    let Some(disk) = Disk::mount(size) else {
        return;
    };
    let mailstow = Mailstow::new().with("MAILSTOW_TEST_COMMIT_MESSAGES", "4");
    let (url, archive) = (dovecot.url(ALICE), disk.archive());
    let to = archive.to_str().unwrap();
    mailstow.backup(&url, &archive, &[]).expect(0);
    deliver(&dovecot, "INBOX", &bodies[..bodies.len() / 2]);
    deliver(&dovecot, "Sent", &bodies[bodies.len() / 2..]);
    for _ in 0..2 {
        let full = mailstow.backup(&url, &archive, &[]);
        assert_full(&full);
        // It opens, and what was committed is whole.
        mailstow.run(&["status", to]).expect(0);
        mailstow.run(&["verify", to]).expect(0);
        assert!(!archive_state(&archive).placed.is_empty());
    }
    disk.remount("size=200m");
    mailstow.backup(&url, &archive, &[]).expect(0);
    assert_eq!(
        assert_same(&dovecot, ALICE, &archive, ACCOUNT),
        bodies.len() + 1
    );
    assert_sound(&archive);
    assert_eq!(
        std::fs::read_dir(archive.join("tmp")).unwrap().count(),
        0,
        "litter"
    );
}

#[test]
fn a_disk_that_fills_with_mail_is_named_and_the_rerun_completes() {
    let bodies: Vec<String> = (1..=40).map(|n| noise(n, 100_000)).collect();
    filling("1500k", &bodies);
}

#[test]
fn a_disk_that_fills_with_one_large_message_is_named_and_the_rerun_completes() {
    filling("6m", &[noise(7, 12 << 20), noise(8, 1000)]);
}

#[test]
fn a_disk_too_small_for_an_archive_is_named() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[noise(1, 1000)]);
    let mailstow = Mailstow::new();
    // From no room at all to just too little: every one of them ends in the same words.
    for size in ["4k", "12k", "40k", "80k"] {
        let Some(disk) = Disk::mount(size) else {
            return;
        };
        let archive = disk.archive();
        assert_full(&mailstow.backup(&dovecot.url(ALICE), &archive, &[]));
        disk.remount("size=20m");
        mailstow
            .backup(&dovecot.url(ALICE), &archive, &[])
            .expect(0);
        assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 1);
        assert_sound(&archive);
    }
}

#[test]
fn from_a_read_only_disk_everything_can_be_read_and_nothing_is_left_behind() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[noise(1, 1000), noise(2, 1000)]);
    let Some(disk) = Disk::mount("20m") else {
        return;
    };
    let mailstow = Mailstow::new();
    let (url, archive) = (dovecot.url(ALICE), disk.archive());
    let to = archive.to_str().unwrap();
    mailstow.backup(&url, &archive, &[]).expect(0);
    // Once as a run left it, once without a catalog to read.
    for catalog in [true, false] {
        if !catalog {
            disk.remount("rw");
            std::fs::remove_file(archive.join("catalog.sqlite")).unwrap();
        }
        disk.remount("ro");
        let before = files(&archive);
        let id = archive_state(&archive).contents.into_keys().next().unwrap();
        let out = mailstow.path().join(format!("out-{catalog}"));
        for args in [
            &["status", to][..],
            &["ls", to],
            &["ls", to, "INBOX"],
            &["show", to, &id],
            &["jobs", to],
            &["skips", to],
            &["verify", to],
            &[
                "export",
                to,
                "--format",
                "eml",
                "--to",
                out.to_str().unwrap(),
            ],
        ] {
            mailstow.run(args).expect(0);
        }
        mailstow.backup(&url, &archive, &["--dry-run"]).expect(0);
        let refused = mailstow.backup(&url, &archive, &[]);
        assert!(
            refused.expect(4).stderr.contains("read-only file system"),
            "{}",
            refused.stderr
        );
        assert!(files(&archive) == before);
        assert_eq!(
            std::fs::read_dir(mailstow.tmp()).unwrap().count(),
            0,
            "litter"
        );
    }
}
