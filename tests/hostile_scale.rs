//! Mailboxes of a size nobody should have.
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

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::fake_imap::{FakeImap, FakeMailbox, Reaction, World};
use support::mailstow::{Ended, Mailstow};

/// Peak resident memory of a living process in KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Plans a backup of `n` messages: peak memory in KiB up to LOGOUT, which comes when all has
/// been planned, and the time it took.
fn plan(n: u32, how: &[&str]) -> (u64, Duration, Ended) {
    let fake = FakeImap::start(World::with([FakeMailbox::new("INBOX").bulk(n)]));
    let (process, highest) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let (watched, seen) = (Arc::clone(&process), Arc::clone(&highest));
    fake.hook(move |command, _| {
        if command.name == "LOGOUT" {
            seen.store(peak(watched.load(Ordering::SeqCst)), Ordering::SeqCst);
        }
        Reaction::Normal
    });
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = fake.url();
    let mut args = how.to_vec();
    args.extend([url.as_str(), "--to", archive.to_str().unwrap()]);
    let started = Instant::now();
    let mut command = mailstow.command(&args);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.store(child.id(), Ordering::SeqCst);
    let output = child.wait_with_output().unwrap();
    let took = started.elapsed();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ended = Ended {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        exit: output.status.code(),
        signal: None,
    };
    ended.expect(0);
    for command in fake.commands() {
        assert!(
            command.line.len() < 8000,
            "a command of {} bytes",
            command.line.len()
        );
    }
    (highest.load(Ordering::SeqCst), took, ended)
}

#[test]
fn thirty_thousand_messages_are_planned() {
    for how in [&["backup", "--dry-run"][..], &["plan"]] {
        let (peak, took, ended) = plan(30_000, how);
        eprintln!("{how:?}: 30,000 messages planned in {took:?}, peak {peak} KiB");
        assert!(ended.stdout.contains("30000"), "{}", ended.stdout);
        assert!((1..64 << 10).contains(&peak), "{peak} KiB");
    }
}

#[test]
fn a_million_messages_are_planned_in_bounded_memory() {
    let (peak, took, ended) = plan(1_000_000, &["plan"]);
    eprintln!("1,000,000 messages planned in {took:?}, peak {peak} KiB");
    assert!(ended.stdout.contains("1000000"), "{}", ended.stdout);
    assert!((1..128 << 10).contains(&peak), "{peak} KiB");
}
