//! The crash-step sweep over POP3, with deletion from the server: a run may die at every durable
//! step there is, and the same command again ends with what an uninterrupted run ends with. At no
//! moment is a message gone from the server that the archive does not hold (reliability.md A1 to
//! A5, C10).
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

use mailstow::archive::format::Record;
use support::dovecot::{ALICE, Dovecot};
use support::maildrop::deliver;
use support::sweep::{Death, in_parallel};
use support::sweep_pop3::{PopScenario, open_house};

/// Several commits and sealed segments out of little mail.
const SMALL: &[(&str, &str)] = &[
    ("MAILSTOW_TEST_COMMIT_MESSAGES", "5"),
    ("MAILSTOW_TEST_SEGMENT_BYTES", "700"),
];

/// A message with this number: every fourth is spam, every fifth has no line end at its end.
fn message(n: usize) -> String {
    let spam = if n.is_multiple_of(4) {
        "X-Spam-Flag: YES\r\n"
    } else {
        ""
    };
    let end = if n % 5 == 1 { "" } else { "\r\n" };
    format!("Subject: message {n:02}\r\n{spam}Message-ID: <{n}@x>\r\n\r\nFrom here\r\n.{n:02}{end}")
}

/// 12 messages, one of them three times.
fn fill(dovecot: &Dovecot) {
    let list: [usize; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 10, 1];
    deliver(dovecot, ALICE, &list.map(message));
    // Whoever copies the Maildir finds it at rest: all UIDs are given.
    assert_eq!(dovecot.fetch_all(ALICE)["INBOX"].len(), 12);
}

/// What comes between two runs, a copy of what is held among it.
fn arriving() -> Vec<String> {
    [11, 12, 2, 13, 14, 15, 16].map(message).into()
}

#[test]
fn a_first_backup_killed_at_any_step_ends_as_if_it_had_not_been() {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let scenario = PopScenario {
        env: SMALL,
        ..PopScenario::new(&dovecot)
    };
    scenario.sweep(Death::Kill, 1, 1);
}

#[test]
fn a_first_backup_over_several_sessions_whose_power_fails_ends_as_if_it_had_not() {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let short_sessions = [SMALL, &[("MAILSTOW_TEST_POP_SESSION_MESSAGES", "4")]].concat();
    let scenario = PopScenario {
        env: &short_sessions,
        more: &["--no-pipelining"],
        ..PopScenario::new(&dovecot)
    };
    scenario.sweep(Death::Power, 1, 3);
}

fn incremental_backup(death: Death, stride: usize) {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let arriving = arriving();
    let scenario = PopScenario {
        env: SMALL,
        before: Some(&[]),
        arriving: &arriving,
        ..PopScenario::new(&dovecot)
    };
    scenario.sweep(death, 1, stride);
}

#[test]
fn a_second_backup_killed_at_any_step_ends_as_if_it_had_not_been() {
    incremental_backup(Death::Kill, 1);
}

#[test]
fn a_second_backup_whose_power_fails_ends_as_if_it_had_not() {
    incremental_backup(Death::PowerAndWal, 4);
}

const DELETING: &[&str] = &["--pop-delete", "archived"];

#[test]
fn a_first_backup_that_deletes_loses_nothing_wherever_it_is_killed() {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let scenario = PopScenario {
        env: SMALL,
        more: DELETING,
        ..PopScenario::new(&dovecot)
    };
    assert!(scenario.uninterrupted().left.is_empty());
    let names = scenario.sweep(Death::Kill, 1, 1);
    for name in ["DELE", "QUIT", "QUIT answered"] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
}

#[test]
fn a_backup_that_deletes_what_two_runs_fetched_loses_nothing_in_a_power_cut() {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let arriving = arriving();
    let scenario = PopScenario {
        env: SMALL,
        before: Some(&[]),
        arriving: &arriving,
        more: DELETING,
        ..PopScenario::new(&dovecot)
    };
    assert!(scenario.uninterrupted().left.is_empty());
    for (death, first) in [(Death::Power, 1), (Death::PowerAndWal, 3)] {
        scenario.sweep(death, first, 4);
    }
}

#[test]
fn what_is_excluded_stays_on_the_server_wherever_a_run_that_deletes_is_killed() {
    let (dovecot, _dir) = open_house();
    fill(&dovecot);
    let scenario = PopScenario {
        env: SMALL,
        more: &["--pop-delete", "archived", "--pop-spam", "exclude"],
        ..PopScenario::new(&dovecot)
    };
    // Messages 4 and 8.
    assert_eq!(scenario.uninterrupted().left.len(), 2);
    scenario.sweep(Death::Kill, 2, 2);
}

/// Noon of 7 and 8 February 2024, UTC.
const DAYS: [&str; 2] = ["1707307200", "1707393600"];

#[test]
fn the_start_day_does_not_move_when_the_run_that_sets_it_is_killed() {
    let (dovecot, _dir) = open_house();
    let dated = |n: usize| {
        let day = [6, 7, 7, 8, 5][n % 5];
        format!(
            "Date: Wed, {day:02} Feb 2024 09:00:00 +0000\r\n{}",
            message(n)
        )
    };
    let mail: Vec<String> = (0..15).map(dated).collect();
    deliver(&dovecot, ALICE, &mail);
    assert_eq!(dovecot.fetch_all(ALICE)["INBOX"].len(), 15);
    let day = |day: &'static str| [SMALL, &[("MAILSTOW_TEST_NOW", day)]].concat();
    let [first_day, next_day] = DAYS.map(day);
    let begun_on = |env| PopScenario {
        env,
        later: &[("MAILSTOW_TEST_NOW", DAYS[1])],
        more: &["--pop-messages", "from-today"],
        ..PopScenario::new(&dovecot)
    };
    let scenario = begun_on(&first_day);
    let want = scenario.uninterrupted();
    assert_eq!(want.state.placed.len(), 9);
    let other = begun_on(&next_day).uninterrupted();
    assert_eq!(other.state.placed.len(), 3);
    let numbers: Vec<usize> = (1..=want.steps).collect();
    let has_begun = |records: &[Record]| {
        let mut records = records.iter();
        records.any(|r| matches!(r, Record::Maildrop(m) if m.start.is_some()))
    };
    in_parallel(&numbers, |n| {
        let death = if n.is_multiple_of(4) {
            Death::Power
        } else {
            Death::Kill
        };
        scenario.recovers(n, death, |records| {
            // Before the start day is durable there was no first run yet.
            if has_begun(records) { &want } else { &other }
        });
    });
}
