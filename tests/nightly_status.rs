//! `status --max-age`: a monitor asks how old the last complete run is.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

#[path = "nightly/night.rs"]
mod night;

mod support;

use night::{Night, text, with_a_dead_message};
use support::fake_imap::{Delivery, FakeImap, World};
use support::mailstow::{Ended, Mailstow};

/// 2026-11-22T16:25:51Z.
const EVENING: i64 = 1_795_364_751;
const HOUR: i64 = 3_600;

/// Runs `status` at a time.
#[track_caller]
fn status(night: &Night, at: i64, exit: i32, more: &[&str]) -> Ended {
    let mut command = night.mailstow.command(&["status", text(&night.archive)]);
    command.args(more).env("MAILSTOW_TEST_NOW", at.to_string());
    let ended = Ended::of(&mut command);
    ended.expect(exit);
    ended
}

#[test]
fn a_monitor_learns_when_the_last_complete_run_is_too_old() {
    let fake = FakeImap::start(with_a_dead_message());
    let night = Night::of(Mailstow::new().with("MAILSTOW_TEST_NOW", &EVENING.to_string()));
    let old = ["--max-age", "36h"];
    // A run with a skip is not complete.
    night.backup(&[&fake.url()], 3, &[]);
    let ended = status(&night, EVENING, 10, &old);
    assert!(
        ended
            .stdout
            .contains("! alice@127.0.0.1: no run was ever complete"),
        "{ended:?}"
    );
    status(&night, EVENING, 0, &[]);

    fake.world().message(2).delivery = Delivery::Whole;
    night.backup(&[&fake.url()], 0, &[]);
    let edge = EVENING + 36 * HOUR;
    assert_eq!(
        status(&night, edge, 0, &["-q", "--max-age", "36h"]).output(),
        ""
    );
    let ended = status(&night, edge + 1, 10, &["-q", "--max-age", "36h"]);
    let words = "! alice@127.0.0.1: the last complete run ended 1 d 12 h ago, more than 1 d 12 h";
    assert!(ended.stdout.contains(words), "{ended:?}");
    status(&night, edge + 1, 0, &["--max-age", "2d"]);
    status(&night, edge + 1, 10, &["--max-age", "2160m"]);
    // A clock that went back makes nothing old.
    status(&night, EVENING - 48 * HOUR, 0, &old);

    let value = status(&night, edge + 60, 10, &["--json", "--max-age", "36h"]).json();
    let account = &value[0]["accounts"][0];
    assert_eq!(
        (
            &value[0]["exit"],
            &value[0]["max_age"],
            &account["age"],
            &account["too_old"]
        ),
        (
            &10.into(),
            &(36 * HOUR).into(),
            &(36 * HOUR + 60).into(),
            &true.into()
        )
    );
    // A later failure does not make it younger.
    fake.world().message(2).delivery = Delivery::Nil;
    let later = Night {
        mailstow: Mailstow::new().with("MAILSTOW_TEST_NOW", &edge.to_string()),
        archive: night.archive.clone(),
        report: night.report.clone(),
    };
    fake.world().sign_in = "NO [AUTHENTICATIONFAILED] no".to_owned();
    later.backup(&[&fake.url()], 5, &[]);
    status(&night, edge + 1, 10, &old);
    status(&night, edge + 1, 2, &["--max-age", "36"]);
}

#[test]
fn each_account_is_asked_for_by_itself_or_all_are() {
    let (alice, bob) = (
        FakeImap::start(World::inbox(1)),
        FakeImap::start(World::inbox(1)),
    );
    let night = Night::of(Mailstow::new().with("MAILSTOW_TEST_NOW", &EVENING.to_string()));
    night.backup(&[&alice.url()], 0, &[]);
    let later = Mailstow::new().with("MAILSTOW_TEST_NOW", &(EVENING + 48 * HOUR).to_string());
    let url = bob.url().replace("alice", "bob");
    later.backup(&url, &night.archive, &[]).expect(0);
    let at = EVENING + 50 * HOUR;
    let old = ["--max-age", "36h"];
    let ended = status(&night, at, 10, &old);
    assert!(
        ended.stdout.contains("! alice@") && !ended.stdout.contains("! bob@"),
        "{ended:?}"
    );
    let of = |names: &[&'static str]| {
        let mut more = old.to_vec();
        more.extend(names.iter().flat_map(|name| ["--account", name]));
        more
    };
    let ended = status(&night, at, 0, &of(&["bob@127.0.0.1"]));
    assert!(!ended.stdout.contains("alice@"), "{ended:?}");
    status(&night, at, 10, &of(&["bob@127.0.0.1", "alice@127.0.0.1"]));
    let ended = status(&night, at, 2, &of(&["carol@127.0.0.1"]));
    assert!(ended.stderr.contains("there is no account"), "{ended:?}");
}

#[test]
fn an_archive_nothing_was_backed_up_into_is_too_old() {
    let night = Night::new();
    // Nothing is recorded of an account that never signed in.
    let refusing = FakeImap::start(World {
        sign_in: "NO [AUTHENTICATIONFAILED] no".to_owned(),
        ..World::inbox(1)
    });
    night.backup(&[&refusing.url()], 5, &[]);
    let ended = status(&night, EVENING, 10, &["--max-age", "36h"]);
    assert!(
        ended.stdout.contains("! no account was ever backed up"),
        "{ended:?}"
    );
}
