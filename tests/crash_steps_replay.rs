//! A replay may die at every step there is, before and after each write to the ledger and each
//! word to the target: the same command again ends with what an uninterrupted one ends with, and
//! once more it sends nothing (design.md §2.9, reliability.md D2 and D3).
//!
//! Where every step would take too long for every day, sweeps are thinned by a stride, which is
//! said at each; MAILSTOW_EVERY_STEP=1 takes every step of all of them.
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

use support::dovecot::{ALICE, Dovecot};
use support::mailstow::Mailstow;
use support::raw_imap::Mail;
use support::sweep::{Death, copy};
use support::sweep_replay::{ReplayScenario, with_users};
use tempfile::TempDir;

const DATES: [&str; 3] = [
    "07-Feb-2024 21:52:25 +0100",
    "29-Feb-2020 00:00:00 -1130",
    "01-Jan-1998 12:00:00 +0000",
];

fn body(n: usize) -> String {
    let end = if n.is_multiple_of(3) { "" } else { "\r\n" };
    // Some of one size, some without any of the fields messages are told apart by.
    let head = match n % 4 {
        3 => "X-None: of them\r\n".to_owned(),
        _ => format!("Subject: message\r\nMessage-ID: <{n:02}@x>\r\n"),
    };
    format!("{head}\r\na9 DELETE INBOX\r\n{n:02}{end}")
}

/// Messages in three mailboxes: some twice in one mailbox or in two, with other flags and dates;
/// of one size and one second; without a last line end. The first of each set of flags goes out
/// before all others, so copies are not sent in their order.
fn fill(dovecot: &Dovecot) {
    let flags: [&[&str]; 4] = [
        &[],
        &["\\Seen"],
        &["\\Flagged", "$Label1"],
        &["\\Seen", "\\Answered"],
    ];
    // Messages, each with its flags.
    let mailboxes: [(&str, &[(usize, usize)]); 3] = [
        (
            "INBOX",
            &[
                (2, 0),
                (1, 0),
                (1, 1),
                (3, 2),
                (4, 0),
                (1, 3),
                (2, 1),
                (5, 2),
            ],
        ),
        (
            "Archive/2024 & more",
            &[(10, 0), (11, 1), (1, 2), (7, 2), (7, 3)],
        ),
        ("Sent", &[(14, 0), (2, 1), (15, 2)]),
    ];
    for (mailbox, list) in mailboxes {
        let bodies: Vec<String> = list.iter().map(|(n, _)| body(*n)).collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| Mail {
                bytes: body.as_bytes(),
                flags: flags[list[n].1],
                received: Some(DATES[n % 3]),
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
    }
}

fn backup(dovecot: &Dovecot, archive: &Path) {
    Mailstow::new()
        .backup(&dovecot.url(ALICE), archive, &[])
        .expect(0);
}

fn filled() -> (Dovecot, TempDir) {
    filled_on(Dovecot::start())
}

fn filled_on(dovecot: Dovecot) -> (Dovecot, TempDir) {
    let dovecot = with_users(dovecot);
    fill(&dovecot);
    let dir = TempDir::new().unwrap();
    backup(&dovecot, &dir.path().join("archive"));
    (dovecot, dir)
}

fn first_replay(death: Death, stride: usize) {
    let (dovecot, dir) = filled();
    ReplayScenario::new(&dovecot, &dir.path().join("archive"), &[]).sweep(death, stride);
}

#[test]
fn a_first_replay_killed_at_any_step_ends_as_if_it_had_not_been() {
    first_replay(Death::Kill, 1);
}

#[test]
fn a_first_replay_whose_power_fails_ends_as_if_it_had_not() {
    first_replay(Death::Power, 3);
}

#[test]
fn a_replay_over_two_connections_may_die_as_well() {
    let (dovecot, dir) = filled();
    let two = ["--target-connections", "2"];
    let mut scenario = ReplayScenario::new(&dovecot, &dir.path().join("archive"), &two);
    scenario.steady = false;
    scenario.sweep(Death::Kill, 4);
}

/// A target that takes one message at a time, of which several are under way, so that a part of
/// them arrives; and that does not tell their UIDs.
#[test]
fn a_replay_to_a_target_of_few_abilities_may_die_as_well() {
    let few = "imap_capability=IMAP4rev1 LITERAL+ NAMESPACE";
    let (dovecot, dir) = filled_on(Dovecot::start_with(&["--set", few]));
    let scenario = ReplayScenario::new(&dovecot, &dir.path().join("archive"), &[]);
    scenario.sweep(Death::Kill, 3);
}

/// Two archives of alice, the second one after new mail, other flags, moves between mailboxes (of
/// one of several copies as well), a copy, and a deletion.
fn filled_and_changed() -> (Dovecot, TempDir) {
    let (dovecot, dir) = filled();
    let (before, archive) = (dir.path().join("before"), dir.path().join("archive"));
    copy(&archive, &before);
    let mut imap = dovecot.connect(ALICE);
    imap.create("Moved");
    imap.select("INBOX");
    imap.store("4", "-FLAGS", &["\\Flagged"]);
    imap.transfer("MOVE", "2,4", "Moved").unwrap();
    imap.transfer("MOVE", "6", "Sent").unwrap();
    imap.transfer("COPY", "3", "Moved").unwrap();
    imap.store("1", "FLAGS", &["\\Answered", "$Label2"]);
    imap.store("7", "-FLAGS", &["\\Seen"]);
    imap.expunge("5");
    imap.select("Archive/2024 & more");
    imap.store("2:3", "+FLAGS", &["\\Flagged"]);
    let bodies = [body(20), body(21)];
    let mails = bodies.each_ref().map(|body| Mail {
        bytes: body.as_bytes(),
        flags: &["\\Draft"],
        received: Some(DATES[1]),
    });
    imap.append_all("Archive/2024 & more", &mails);
    backup(&dovecot, &archive);
    (dovecot, dir)
}

fn later_replay(death: Death, stride: usize) {
    let (dovecot, dir) = filled_and_changed();
    let mut scenario = ReplayScenario::new(&dovecot, &dir.path().join("archive"), &[]);
    scenario.before = Some(dir.path().join("before"));
    scenario.sweep(death, stride);
}

#[test]
fn a_replay_of_moves_and_flags_killed_at_any_step_ends_as_if_it_had_not_been() {
    later_replay(Death::Kill, 1);
}

#[test]
fn a_replay_of_moves_and_flags_whose_power_fails_ends_as_if_it_had_not() {
    later_replay(Death::Power, 3);
}

#[test]
fn a_replay_that_recovers_may_die_too() {
    let (dovecot, dir) = filled();
    let scenario = ReplayScenario::new(&dovecot, &dir.path().join("archive"), &[]);
    scenario.dying_twice([Death::Kill, Death::Power], 3, 7);
}

#[test]
fn a_replay_that_recovers_moves_may_die_too() {
    let (dovecot, dir) = filled_and_changed();
    let mut scenario = ReplayScenario::new(&dovecot, &dir.path().join("archive"), &[]);
    scenario.before = Some(dir.path().join("before"));
    scenario.dying_twice([Death::Power, Death::Kill], 3, 7);
}
