//! Runs that write segments anew may die at every durable step there is: the same command again
//! ends with what an uninterrupted run ends with, and nothing is held twice or lost.
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

use std::path::Path;

use support::archive_state::files;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::Mailstow;
use support::raw_imap::Mail;
use support::sweep::{Death, Scenario, in_parallel};
use tempfile::TempDir;

/// Six small frames are put together, two kilobytes fill one, and what stands before them is
/// copied along only if it is smaller than that.
const SMALL: &[(&str, &str)] = &[
    ("MAILSTOW_TEST_FRAME_BYTES", "2000"),
    ("MAILSTOW_TEST_REPACK_FRAMES", "6"),
    ("MAILSTOW_TEST_REPACK_CARRY", "2000"),
];

fn deliver(dovecot: &Dovecot, mailbox: &str, numbers: std::ops::Range<usize>, filler: usize) {
    let body = |n: usize| {
        let filler: String = (0..filler)
            .map(|k| format!("{:x}", n * 7919 + k * k))
            .collect();
        format!("Subject: {mailbox} {n}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{filler}\r\n")
    };
    let bodies: Vec<String> = numbers.map(body).collect();
    let mails: Vec<Mail<'_>> = bodies
        .iter()
        .map(|body| Mail {
            bytes: body.as_bytes(),
            flags: &["\\Seen"],
            received: Some("07-Feb-2024 21:52:25 +0100"),
        })
        .collect();
    dovecot.deliver_all(ALICE, mailbox, &mails);
}

/// An archive of five nights, and the mail of the sixth, which makes it worth repacking. One
/// mailbox has small frames only, another a large one before them.
fn five_nights(dovecot: &Dovecot) -> TempDir {
    let mut mailstow = Mailstow::new();
    for (key, value) in SMALL {
        mailstow = mailstow.with(key, value);
    }
    let dir = TempDir::new().unwrap();
    let before = dir.path().join("before");
    deliver(dovecot, "Large", 100..120, 200);
    mailstow.backup(&dovecot.url(ALICE), &before, &[]).expect(0);
    for night in 1..=6 {
        deliver(dovecot, "INBOX", night..night + 1, 3);
        deliver(dovecot, "Large", night..night + 1, 3);
        if night < 6 {
            mailstow.backup(&dovecot.url(ALICE), &before, &[]).expect(0);
        }
    }
    dir
}

fn segments(archive: &Path) -> Vec<String> {
    let mail = archive.join("mail");
    let relative = |p: &Path| p.strip_prefix(&mail).unwrap().to_str().unwrap().to_owned();
    files(&mail).keys().map(|p| relative(p)).collect()
}

fn ends_with(segments: &[String], names: &[&str]) -> bool {
    segments.len() == names.len() && segments.iter().zip(names).all(|(s, n)| s.ends_with(n))
}

fn sweep(death: Death, stride: usize) {
    let dovecot = Dovecot::start();
    let dir = five_nights(&dovecot);
    sweep_from(&dovecot, &dir, death, stride);
}

fn sweep_from(dovecot: &Dovecot, dir: &TempDir, death: Death, stride: usize) {
    let before = dir.path().join("before");
    let old = segments(&before);
    let firsts = ["INBOX/000001.mbox.zst", "Large/000001.mbox.zst"];
    assert!(ends_with(&old, &firsts), "{old:?}");
    let scenario = Scenario {
        dovecot,
        before: Some(before),
        env: SMALL,
        more: &[],
    };
    // It does repack: one segment is replaced, the other cut.
    let new = segments(&scenario.run().archive());
    let both = [
        "INBOX/000002.mbox.zst",
        "Large/000001.mbox.zst",
        "Large/000002.mbox.zst",
    ];
    assert!(ends_with(&new, &both), "{new:?}");
    scenario.sweep(death, stride);
}

#[test]
fn a_repacking_run_killed_at_any_step_ends_as_if_it_had_not_been() {
    sweep(Death::Kill, 1);
}

#[test]
fn a_repacking_run_whose_power_fails_at_any_step_ends_as_if_it_had_not() {
    sweep(Death::Power, 1);
}

#[test]
fn a_repacking_run_that_loses_the_write_ahead_log_as_well_loses_nothing_else() {
    sweep(Death::PowerAndWal, 2);
}

/// A segment with another name, as in a snapshot of hard links, is not cut: it gives way to a copy.
/// The name lies beside the mail, so that each copy of the archive has it too.
fn sweep_with_a_snapshot(death: Death) {
    let dovecot = Dovecot::start();
    let dir = five_nights(&dovecot);
    let before = dir.path().join("before");
    let large = segments(&before)
        .into_iter()
        .find(|s| s.contains("Large"))
        .unwrap();
    let segment = before.join("mail").join(large);
    std::fs::hard_link(segment, before.join("snapshot")).unwrap();
    sweep_from(&dovecot, &dir, death, 2);
}

#[test]
fn a_repacking_run_beside_a_snapshot_may_be_killed_at_any_step() {
    sweep_with_a_snapshot(Death::Kill);
}

#[test]
fn a_repacking_run_beside_a_snapshot_may_lose_power_at_any_step() {
    sweep_with_a_snapshot(Death::Power);
}

/// The run that settles what a repacking run left dies as well.
#[test]
fn a_run_that_settles_a_half_repacked_archive_may_die_too() {
    let dovecot = Dovecot::start();
    let dir = five_nights(&dovecot);
    let first = Scenario {
        dovecot: &dovecot,
        before: Some(dir.path().join("before")),
        env: SMALL,
        more: &[],
    };
    let steps = first.uninterrupted().steps;
    // Repacking makes up the last two thirds.
    let numbers: Vec<usize> = (steps / 2..steps).step_by(steps / 14).collect();
    in_parallel(&numbers, |n| {
        let left = first.die(n, Death::Kill);
        let second = Scenario {
            dovecot: &dovecot,
            before: Some(left.archive()),
            env: SMALL,
            more: &[],
        };
        let want = second.uninterrupted();
        for step in (1 + n % 3..=want.steps).step_by(3) {
            second.recovers(step, Death::Power, &want.state);
        }
    });
}
