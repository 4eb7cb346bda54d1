//! The centre piece: a run may die at every durable step there is, and the same command again
//! ends with what an uninterrupted run ends with (design.md §2.6, reliability.md A1 to A5).
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

use std::path::PathBuf;

use support::dovecot::{ALICE, Dovecot};
use support::mailstow::Mailstow;
use support::raw_imap::Mail;
use support::sweep::{Death, Scenario, in_parallel};
use tempfile::TempDir;

/// Many commits and sealed segments out of little mail.
const SMALL: &[(&str, &str)] = &[
    ("MAILSTOW_TEST_COMMIT_MESSAGES", "5"),
    ("MAILSTOW_TEST_SEGMENT_BYTES", "1500"),
];

const DATES: [&str; 4] = [
    "07-Feb-2024 21:52:25 +0100",
    "29-Feb-2020 00:00:00 -1130",
    "01-Jan-1998 12:00:00 +0000",
    "07-Feb-2024 21:52:25 +0100",
];

/// 24 messages in three mailboxes: some twice in one mailbox or in two, with other flags and
/// dates; of one size and one second; without a last line end; empty but for a header.
fn fill(dovecot: &Dovecot) {
    let body = |n: usize| {
        let end = if n % 4 == 1 { "" } else { "\r\n" };
        format!("Subject: message {n:02}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{n:02}{end}")
    };
    let flags: [&[&str]; 4] = [
        &[],
        &["\\Seen"],
        &["\\Flagged", "$Label1"],
        &["\\Seen", "\\Answered"],
    ];
    // Which messages, by mailbox.
    let mailboxes: [(&str, &[usize]); 3] = [
        ("INBOX", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 1]),
        ("Archive/2024 & more", &[10, 11, 1, 12, 3, 13, 13]),
        ("Sent", &[14, 2, 15, 10, 16]),
    ];
    for (mailbox, list) in mailboxes {
        let bodies: Vec<String> = list.iter().map(|n| body(*n)).collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| Mail {
                bytes: body.as_bytes(),
                flags: flags[n % 4],
                received: Some(DATES[n % 4]),
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
    }
}

fn first_backup(death: Death) {
    let dovecot = Dovecot::start();
    fill(&dovecot);
    Scenario {
        dovecot: &dovecot,
        before: None,
        env: SMALL,
        more: &[],
    }
    .sweep(death, 1);
}

#[test]
fn a_first_backup_killed_at_any_step_ends_as_if_it_had_not_been() {
    first_backup(Death::Kill);
}

#[test]
fn a_first_backup_whose_power_fails_at_any_step_ends_as_if_it_had_not() {
    first_backup(Death::Power);
}

#[test]
fn a_power_cut_that_takes_the_write_ahead_log_as_well_costs_nothing() {
    let dovecot = Dovecot::start();
    fill(&dovecot);
    Scenario {
        dovecot: &dovecot,
        before: None,
        env: SMALL,
        more: &[],
    }
    .sweep(Death::PowerAndWal, 2);
}

/// A complete archive, and then on the server: new mail (a known message among it), flags
/// changed, messages gone, a mailbox more.
fn backed_up_and_changed(dovecot: &Dovecot) -> TempDir {
    fill(dovecot);
    let dir = TempDir::new().unwrap();
    let before = dir.path().join("before");
    Mailstow::new()
        .backup(&dovecot.url(ALICE), &before, &[])
        .expect(0);
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.store("1:3", "+FLAGS", &["\\Deleted", "$Forwarded"]);
    imap.expunge("5,12");
    let new: Vec<String> = (0..14)
        .map(|n| format!("Subject: new {}\r\n\r\nx\r\n", n % 12))
        .collect();
    let mails: Vec<Mail<'_>> = new
        .iter()
        .map(|body| Mail {
            bytes: body.as_bytes(),
            flags: &["\\Draft"],
            received: Some(DATES[0]),
        })
        .collect();
    imap.append_all("INBOX", &mails[..5]);
    imap.append_all("Sent", &mails[3..9]);
    imap.create("Sent/later");
    imap.append_all("Sent/later", &mails[8..]);
    dir
}

fn incremental_backup(death: Death, stride: usize) {
    let dovecot = Dovecot::start();
    let dir = backed_up_and_changed(&dovecot);
    let before = Some(dir.path().join("before"));
    Scenario {
        dovecot: &dovecot,
        before,
        env: SMALL,
        more: &[],
    }
    .sweep(death, stride);
}

#[test]
fn a_second_backup_killed_at_any_step_ends_as_if_it_had_not_been() {
    incremental_backup(Death::Kill, 1);
}

#[test]
fn a_second_backup_whose_power_fails_ends_as_if_it_had_not() {
    incremental_backup(Death::Power, 2);
}

/// A mailbox whose messages have other numbers, some of them replaced; one that goes by another
/// name; one that is gone, which a first run has not believed.
fn renumbered_and_renamed(death: Death, stride: usize) {
    let dovecot = Dovecot::start();
    fill(&dovecot);
    let dir = TempDir::new().unwrap();
    let before = dir.path().join("before");
    let backup = || {
        let mailstow = Mailstow::new();
        mailstow.backup(&dovecot.url(ALICE), &before, &[]).expect(0);
    };
    dovecot.deliver(ALICE, "Gone", b"Subject: gone\r\n\r\nx\r\n", &[], None);
    backup();
    dovecot.doveadm(&["mailbox", "delete", "-u", ALICE, "Gone"]);
    backup();
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.expunge("5,12");
    let new = Mail {
        bytes: b"Subject: new\r\nMessage-ID: <5@x>\r\n\r\nx\r\n",
        flags: &["\\Draft"],
        received: Some(DATES[0]),
    };
    imap.append_all("INBOX", &[new, new]);
    imap.command("CLOSE");
    let renumber = [
        "mailbox",
        "update",
        "-u",
        ALICE,
        "--uid-validity",
        "4242424242",
    ];
    dovecot.doveadm(&[renumber.as_slice(), &["INBOX"]].concat());
    dovecot.doveadm(&["mailbox", "rename", "-u", ALICE, "Sent", "Was sent"]);
    Scenario {
        dovecot: &dovecot,
        before: Some(before),
        env: &[SMALL, &[("MAILSTOW_TEST_NOW", "1900000000")]].concat(),
        more: &[],
    }
    .sweep(death, stride);
}

#[test]
fn recognising_messages_survives_a_kill_at_any_step() {
    renumbered_and_renamed(Death::Kill, 1);
}

#[test]
fn recognising_messages_survives_a_power_cut() {
    renumbered_and_renamed(Death::Power, 2);
}

/// A message above 8 MiB waits in the spool and is packed from file to file.
fn with_a_large_message(death: Death, stride: usize) {
    let dovecot = Dovecot::start();
    let line = "All work and no play makes Jack a dull boy. From here on.\r\n";
    let large = format!(
        "Subject: large\r\n\r\n{}",
        line.repeat((9 << 20) / line.len())
    );
    let small = b"Subject: small\r\n\r\nx\r\n".as_slice();
    dovecot.deliver(ALICE, "INBOX", small, &[], None);
    dovecot.deliver(ALICE, "INBOX", large.as_bytes(), &["\\Seen"], None);
    dovecot.deliver(ALICE, "Copies", large.as_bytes(), &[], None);
    dovecot.deliver(ALICE, "Copies", b"Subject: other\r\n\r\n", &[], None);
    let dir = TempDir::new().unwrap();
    let before = dir.path().join("before");
    let small_only = ["--max-size", "1M", "--exclude", "Copies"];
    Mailstow::new()
        .backup(&dovecot.url(ALICE), &before, &small_only)
        .expect(0);
    // In an archive marked clean, so that the mark must go before the large message comes.
    let env = &[("MAILSTOW_TEST_COMMIT_MESSAGES", "3")];
    Scenario {
        dovecot: &dovecot,
        before: Some(before),
        env,
        more: &[],
    }
    .sweep(death, stride);
}

#[test]
fn a_large_message_survives_a_kill_at_any_step() {
    with_a_large_message(Death::Kill, 1);
}

#[test]
fn a_large_message_survives_a_power_cut() {
    with_a_large_message(Death::Power, 2);
}

/// The run that recovers dies as well, at every step of its own.
fn dying_twice(before: Option<PathBuf>, dovecot: &Dovecot, deaths: [Death; 2], places: usize) {
    let first = Scenario {
        dovecot,
        before,
        env: SMALL,
        more: &[],
    };
    let steps = first.uninterrupted().steps;
    let numbers: Vec<usize> = (0..places)
        .map(|n| steps / 8 + n * steps * 3 / 4 / places)
        .collect();
    in_parallel(&numbers, |n| {
        let left = first.die(n, deaths[0]);
        let second = Scenario {
            dovecot,
            before: Some(left.archive()),
            env: SMALL,
            more: &[],
        };
        let want = second.uninterrupted();
        for step in (1 + n % 3..=want.steps).step_by(3) {
            second.recovers(step, deaths[1], &want.state);
        }
    });
}

#[test]
fn a_run_that_recovers_may_be_killed_too() {
    let dovecot = Dovecot::start();
    fill(&dovecot);
    dying_twice(None, &dovecot, [Death::Kill, Death::Kill], 6);
}

#[test]
fn a_run_that_recovers_from_a_power_cut_may_lose_power_too() {
    let dovecot = Dovecot::start();
    let dir = backed_up_and_changed(&dovecot);
    let before = Some(dir.path().join("before"));
    dying_twice(before, &dovecot, [Death::Power, Death::PowerAndWal], 4);
}

#[test]
fn the_clean_mark_goes_before_the_first_byte_of_mail() {
    let dovecot = Dovecot::start();
    let dir = TempDir::new().unwrap();
    let before = dir.path().join("before");
    let filler = "x".repeat(4000);
    let fill = |round: usize| {
        for mailbox in ["A", "B", "C"] {
            let body = |n| format!("Subject: {mailbox} {round} {n}\r\n\r\n{filler}\r\n");
            let bodies = [body(1), body(2), body(3)];
            let mails = bodies.each_ref().map(|body| Mail {
                bytes: body.as_bytes(),
                flags: &[],
                received: None,
            });
            dovecot.deliver_all(ALICE, mailbox, &mails);
        }
    };
    fill(1);
    Mailstow::new()
        .backup(&dovecot.url(ALICE), &before, &[])
        .expect(0);
    fill(2);
    // So slow that the frame of one mailbox is compressed and written while the next mailbox
    // is still coming in, long before the first commit.
    let more = &["--limit-rate", "30k"];
    let scenario = Scenario {
        dovecot: &dovecot,
        before: Some(before),
        env: &[],
        more,
    };
    let want = scenario.uninterrupted().state;
    in_parallel(&[1, 2, 3, 4, 5, 6, 7, 8], |n| {
        scenario.recovers(n, Death::Kill, &want)
    });
}
