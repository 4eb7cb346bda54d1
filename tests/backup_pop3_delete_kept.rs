//! What `--pop-delete` leaves on a real Dovecot, and what it says about it: mail that cannot be
//! re-read, mail known only by its header, odd mail, and a run that is told to stop.
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

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde_json::Value;
use support::archive_state::{assert_sound, files};
use support::dovecot::{ALICE, Dovecot};
use support::fixture::{flip, hostile};
use support::maildrop::{assert_kept, deliver, drain, held, on_server};
use support::mailstow::{Mailstow, numbers};
use support::pop3_tap::Pop3Tap;

const ACCOUNT: &str = "alice@127.0.0.1";
const ARCHIVED: &[&str] = &["--pop-delete", "archived"];

fn body(n: usize) -> String {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n.{n}\r\n")
}

fn bodies(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(body).collect()
}

fn deleted(report: &Value) -> u64 {
    report["deleted"].as_u64().unwrap_or(0)
}

/// Segments of an archive, of which there is one per mailbox here.
fn segments(archive: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.to_string_lossy().ends_with(".mbox.zst");
    files(&archive.join("mail"))
        .into_keys()
        .filter(is_segment)
        .collect()
}

#[test]
fn what_cannot_be_re_read_from_the_archive_is_never_deleted() {
    let dovecot = Dovecot::start();
    let mut mail = bodies(0..8);
    mail.extend((0..3).map(|n| format!("X-Spam-Flag: YES\r\n{}", body(50 + n))));
    deliver(&dovecot, ALICE, &mail);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = dovecot.pop3_url(ALICE);
    mailstow.backup(&url, &archive, &[]).expect(0);
    let inbox = segments(&archive)
        .into_iter()
        .find(|path| path.to_string_lossy().contains("INBOX"))
        .unwrap();
    let whole = std::fs::read(&inbox).unwrap();
    // In the middle of the mail itself, and in its last byte.
    for byte in [whole.len() * 2 / 3, whole.len() - 6] {
        flip(&inbox, byte, 3);
        let ended = mailstow.backup(&url, &archive, &[ARCHIVED, &["--json"]].concat());
        println!("byte {byte} of {}: exit {:?}", whole.len(), ended.exit);
        let left = on_server(&dovecot, ALICE);
        for n in 0..8 {
            assert!(
                left.contains(&body(n).into_bytes()),
                "message {n} is gone and cannot be read: {ended:?}"
            );
        }
        let report = ended.report();
        let kept: u64 = report["kept"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| pair[1].as_u64().unwrap())
            .sum();
        assert_eq!(kept, 8, "{report}");
        std::fs::write(&inbox, &whole).unwrap();
    }
    // What lies in another segment was not hurt, and is gone.
    assert_eq!(on_server(&dovecot, ALICE).len(), 8);
    // Whole again, it is deleted.
    let report = mailstow.report(&url, &archive, 0, ARCHIVED);
    assert_eq!(deleted(&report), 8);
    assert_sound(&archive);
}

#[test]
fn a_run_that_finds_mail_it_cannot_re_read_does_not_end_as_if_all_were_well() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..8));
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let url = dovecot.pop3_url(ALICE);
    mailstow.backup(&url, &archive, &[]).expect(0);
    let segment = segments(&archive).swap_remove(0);
    let len = std::fs::metadata(&segment).unwrap().len();
    flip(&segment, usize::try_from(len).unwrap() * 2 / 3, 3);
    let ended = mailstow.backup(&url, &archive, ARCHIVED);
    assert!(
        matches!(ended.exit, Some(3 | 7)),
        "exit {:?}: {}",
        ended.exit,
        ended.output()
    );
}

#[test]
fn mail_that_other_tools_get_wrong_is_deleted_or_kept_for_a_reason() {
    let dovecot = Dovecot::start();
    let mail: Vec<Vec<u8>> = hostile()
        .into_iter()
        .filter(|m| !m.is_empty() && !m.contains(&0))
        .collect();
    deliver(&dovecot, ALICE, &mail);
    let all = drain(&dovecot, ALICE);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, ARCHIVED);
    // Where a message begins with an empty line its header has no end that `TOP` would agree on;
    // and of a lone CR Dovecot says that it has 0 bytes, which is what it says of nothing.
    let left = on_server(&dovecot, ALICE);
    let want: [&[u8]; 2] = [b"\r\nbegins with an empty line\r\n", b""];
    assert_eq!(left, want);
    let kept = report["kept"].as_array().unwrap();
    let counts: Vec<&Value> = kept.iter().map(|pair| &pair[1]).collect();
    assert_eq!(counts, [1, 1], "{report}");
    assert_eq!(deleted(&report), all.len() as u64 - 2);
    assert_kept(&mailstow, &archive, ACCOUNT, &all);
}

#[test]
fn after_the_server_has_renamed_its_mail_only_what_is_sure_is_deleted_and_the_rest_is_named() {
    let mut dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..6));
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.pop3_url(ALICE), &archive, &[])
        .expect(0);
    let before = held(&archive, ACCOUNT);
    dovecot.restart_with(&["--set", "pop3_uidl_format=new-%v-%u"]);
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, &[]);
    assert_eq!(numbers(&report, "maildrop").held, 6);
    assert_eq!((tap.count("TOP"), tap.count("RETR")), (6, 0));
    let after = held(&archive, ACCOUNT);
    assert!(
        after.keys().all(|uidl| uidl.starts_with("new-")),
        "{after:?}"
    );
    assert!(after.values().eq(before.values()));

    // Their bytes were never fetched under these names.
    deliver(&dovecot, ALICE, &bodies(6..8));
    let report = mailstow.report(&tap.url(ALICE), &archive, 0, ARCHIVED);
    assert_eq!(deleted(&report), 2);
    let mut left = on_server(&dovecot, ALICE);
    left.sort();
    assert_eq!(
        left,
        (0..6).map(|n| body(n).into_bytes()).collect::<Vec<_>>()
    );
    let kept = report["kept"].as_array().unwrap_or(const { &Vec::new() });
    let kept: u64 = kept.iter().map(|pair| pair[1].as_u64().unwrap()).sum();
    assert_eq!(
        kept, 6,
        "six messages are left and nobody says why: {report}"
    );
}

#[test]
fn a_signal_while_deleting_ends_the_run_as_signals_do_and_deletes_nothing() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &bodies(0..6));
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let (reached, is_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    tap.on_command(move |_, command| {
        if command.starts_with("TOP 1 ") {
            reached.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
    });
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let (url, to) = (tap.url(ALICE), archive.to_str().unwrap());
    let running = mailstow.start(&[&["backup", &url, "--to", to], ARCHIVED].concat());
    is_reached.recv().unwrap();
    running.signal("INT");
    let ended = running.finish();
    go_on.send(()).unwrap();
    assert_eq!(on_server(&dovecot, ALICE).len(), 6);
    assert_sound(&archive);
    let report = ended.report();
    assert_eq!(deleted(&report), 0);
    assert!(
        report.to_string().contains("stopped while deleting"),
        "{report}"
    );
    tap.on_command(|_, _| {});
    let again = mailstow.report(&url, &archive, 0, ARCHIVED);
    assert_eq!(deleted(&again), 6);
    assert_eq!(ended.exit, Some(130), "{report}");
}
