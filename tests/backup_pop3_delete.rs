//! Deleting from a real Dovecot what is held (`--pop-delete`). The oracle is what the server has
//! afterwards, looked at over IMAP.
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

use serde_json::{Value, json};
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound};
use support::dovecot::{ALICE, Dovecot};
use support::maildrop::{assert_kept, deliver, drain, on_server};
use support::mailstow::{Mailstow, numbers};
use support::pop3_tap::Pop3Tap;
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";
/// Noon of 7 February 2024, UTC.
const NOON: i64 = 1_707_307_200;
const DAY: i64 = 86_400;
const ARCHIVED: &[&str] = &["--pop-delete", "archived"];

fn at(unix: i64) -> Mailstow {
    Mailstow::new().with("MAILSTOW_TEST_NOW", &unix.to_string())
}

fn body(n: usize) -> String {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n.{n}\r\n")
}

fn bodies(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(body).collect()
}

fn deleted(report: &Value) -> u64 {
    report["deleted"].as_u64().unwrap_or(0)
}

#[test]
fn what_is_archived_is_deleted_in_a_session_of_its_own_and_stays_in_the_archive() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..12));
    // Two of one content; one without a line end at its end; mail elsewhere is nobody's business.
    deliver(
        &dovecot,
        ALICE,
        &[body(3), "Subject: end\r\n\r\nx".to_owned()],
    );
    dovecot.deliver(ALICE, "Sent", body(1).as_bytes(), &[], None);
    let mail = drain(&dovecot, ALICE);
    assert_eq!(mail.len(), 14);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, ARCHIVED);
    assert_eq!(deleted(&report), 14);
    assert!(report["kept"].is_null(), "{report}");
    assert!(on_server(&dovecot, ALICE).is_empty());
    assert_eq!(dovecot.fetch_all(ALICE)["Sent"].len(), 1);
    for session in tap.sessions() {
        let has = |verb: &str| session.iter().any(|line| line.starts_with(verb));
        assert!(!(has("RETR") && has("DELE")), "{session:?}");
        // Each is looked at again before it is marked.
        if has("DELE") {
            let first = session.iter().position(|l| l.starts_with("DELE")).unwrap();
            let looked = session[..first].iter().filter(|l| l.starts_with("TOP"));
            assert_eq!(looked.count(), 14);
        }
    }
    assert_kept(&mailstow, &archive, ACCOUNT, &mail);

    // Nothing more to delete, and nothing to say about it.
    assert_adds_a_run_record_only(&archive, || {
        let ended = mailstow.backup(&tap.url(ALICE), &archive, ARCHIVED);
        assert!(!ended.expect(0).output().contains("delet"), "{ended:?}");
    });
    assert_kept(&mailstow, &archive, ACCOUNT, &mail);
}

#[test]
fn the_words_of_a_run_that_deletes() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..3));
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = dovecot.pop3_url(ALICE);
    // A run without the option deletes nothing, nor does `never`.
    mailstow.backup(&url, &archive, &[]).expect(0);
    mailstow
        .backup(&url, &archive, &["--pop-delete", "never"])
        .expect(0);
    assert_eq!(on_server(&dovecot, ALICE).len(), 3);
    // What earlier runs fetched is covered too. Zoho's users are told what that means there.
    let ended = mailstow.backup(&url, &archive, ARCHIVED);
    for words in ["3 messages deleted from the server", "On Zoho", "POP queue"] {
        assert!(ended.expect(0).output().contains(words), "{ended:?}");
    }
    assert!(on_server(&dovecot, ALICE).is_empty());
}

#[test]
fn after_days_counts_from_when_a_message_became_durable_here() {
    let dovecot = Dovecot::start();
    let old = "Date: Mon, 1 Jan 1990 00:00:00 +0000\r\n";
    let mail: Vec<String> = bodies(0..4).iter().map(|b| format!("{old}{b}")).collect();
    deliver(&dovecot, ALICE, &mail);
    let archive_dir = tempfile::tempdir().unwrap();
    let archive = archive_dir.path().join("archive");
    let url = dovecot.pop3_url(ALICE);
    let run = |now: i64, days: &str| {
        let option = format!("after-days={days}");
        deleted(&at(now).report(&url, &archive, 0, &["--pop-delete", &option]))
    };
    // However old the mail itself is.
    assert_eq!(run(NOON, "7"), 0);
    assert_eq!(run(NOON + 7 * DAY - 1, "7"), 0);
    deliver(&dovecot, ALICE, &bodies(4..6));
    let all = drain(&dovecot, ALICE);
    assert_eq!(run(NOON + 7 * DAY - 1, "7"), 0);
    assert_eq!(run(NOON + 7 * DAY, "7"), 4);
    assert_eq!(on_server(&dovecot, ALICE).len(), 2);
    assert_eq!(run(NOON + 14 * DAY - 2, "7"), 0);
    // A clock that was set back deletes nothing.
    assert_eq!(run(NOON - 100 * DAY, "7"), 0);
    assert_eq!(run(NOON + 14 * DAY - 1, "7"), 2);
    assert!(on_server(&dovecot, ALICE).is_empty());
    assert_kept(&Mailstow::new(), &archive, ACCOUNT, &all);
    // Nought days are as good as `archived`.
    deliver(&dovecot, ALICE, &bodies(6..8));
    assert_eq!(run(NOON + 20 * DAY, "0"), 2);
}

#[test]
fn what_is_excluded_or_arrives_meanwhile_is_not_touched() {
    let dovecot = Dovecot::start();
    let mut mail = bodies(0..6);
    let spam = format!("X-Spam-Flag: YES\r\n{}", body(90));
    let large = format!("Subject: l\r\n\r\n{}", "0123456789\r\n".repeat(3000));
    mail.extend([spam.clone(), large.clone()]);
    deliver(&dovecot, ALICE, &mail);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mut imap = dovecot.connect(ALICE);
    let mut arrived = 100;
    tap.on_command(move |_, command| {
        // At every turn of the deletion one message more, of the same size as others.
        if command.starts_with("DELE") || command == "QUIT" && arrived > 100 {
            arrived += 1;
            let text = body(arrived);
            let bytes = text.as_bytes();
            imap.append(
                "INBOX",
                Mail {
                    bytes,
                    flags: &[],
                    received: None,
                },
            );
        }
    });
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let more = [ARCHIVED, &["--pop-spam", "exclude", "--max-size", "20k"]].concat();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &more);
    assert_eq!(deleted(&report), 6);
    let mut left = on_server(&dovecot, ALICE);
    left.sort();
    let mut want: Vec<Vec<u8>> = (101..=107).map(|n| body(n).into_bytes()).collect();
    want.extend([spam.into_bytes(), large.into_bytes()]);
    want.sort();
    assert!(left == want, "{} messages are left", left.len());
    tap.on_command(|_, _| {});
    // The next run fetches what came, and then deletes it as well.
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &more);
    assert_eq!(
        (numbers(&report, "maildrop").stored, deleted(&report)),
        (7, 7)
    );
    assert_eq!(on_server(&dovecot, ALICE).len(), 2);
    assert_sound(&archive);
}

#[test]
fn a_message_that_another_program_removes_in_between_is_no_failure() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..6));
    let mail = drain(&dovecot, ALICE);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow.backup(&tap.url(ALICE), &archive, &[]).expect(0);
    tap.forget();
    let mut imap = dovecot.connect(ALICE);
    let mut done = false;
    tap.on_command(move |session, command| {
        // The session that looks has listed them; the one that deletes does not.
        if session == 1 && command == "QUIT" && !std::mem::replace(&mut done, true) {
            imap.select("INBOX");
            imap.expunge("2,5");
        }
    });
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, ARCHIVED);
    assert_eq!(deleted(&report), 4);
    assert_eq!(report["warnings"], json!([]));
    assert!(on_server(&dovecot, ALICE).is_empty());
    assert_kept(&mailstow, &archive, ACCOUNT, &mail);
}

#[test]
fn what_a_run_over_imap_holds_is_not_deleted_over_pop3_before_it_was_fetched_there() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..5));
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let url = dovecot.pop3_url(ALICE);
    let dry = mailstow.report(&url, &archive, 0, &[ARCHIVED, &["--dry-run"]].concat());
    assert_eq!(deleted(&dry), 0);
    assert_eq!(on_server(&dovecot, ALICE).len(), 5);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, ARCHIVED);
    // Fetched, so that its UIDL is known to be these bytes, and linked to what is held.
    assert_eq!(tap.count("RETR"), 5);
    let counted = numbers(&report, "maildrop");
    assert_eq!((counted.linked, deleted(&report)), (5, 5));
    assert!(on_server(&dovecot, ALICE).is_empty());
    // The next run over IMAP sees them gone, and `ls --all` shows them still.
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let to = archive.to_str().unwrap();
    let all = mailstow.run(&["ls", to, "INBOX", "--all"]);
    assert_eq!(all.expect(0).stdout.lines().count(), 5, "{}", all.stdout);
    assert_eq!(archive_state(&archive).contents.len(), 5);
    assert_sound(&archive);
}

#[test]
fn a_maildrop_larger_than_one_session_deletes_is_emptied() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..1200));
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, ARCHIVED);
    assert_eq!(deleted(&report), 1200);
    assert!(on_server(&dovecot, ALICE).is_empty());
    let marks = |session: &Vec<String>| session.iter().filter(|l| l.starts_with("DELE")).count();
    let most = tap.sessions().iter().map(marks).max().unwrap();
    assert!(most <= 500, "{most} in one session");
    assert_eq!(archive_state(&archive).contents.len(), 1200);
}
