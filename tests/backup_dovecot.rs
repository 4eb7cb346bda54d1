//! The main job against a real Dovecot: a mailbox becomes an archive, a second run fetches only
//! what is new, and the source is not touched. The oracle is what the server itself reports.
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
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound, commits};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Mailstow, Numbers, numbers};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";
const DATE: Option<&str> = Some("07-Feb-2024 21:52:25 +0100");

fn body(n: usize) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{n}\r\n").into_bytes()
}

/// Messages with these numbers into a mailbox.
fn deliver(dovecot: &Dovecot, mailbox: &str, numbers: &[usize], flags: &[&str]) {
    let bodies: Vec<_> = numbers.iter().map(|n| body(*n)).collect();
    let mail = |bytes| Mail {
        bytes,
        flags,
        received: DATE,
    };
    let mails: Vec<_> = bodies.iter().map(|bytes| mail(bytes.as_slice())).collect();
    dovecot.deliver_all(ALICE, mailbox, &mails);
}

fn status_of(dovecot: &Dovecot) -> String {
    let mut args = vec!["mailbox", "status", "-u", ALICE];
    args.extend([
        "messages unseen uidnext uidvalidity highestmodseq recent",
        "*",
    ]);
    dovecot.doveadm(&args)
}

#[test]
fn the_source_is_not_changed_by_a_backup() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[1, 2, 3], &[]);
    deliver(&dovecot, "Sent", &[1, 4], &["\\Flagged"]);
    // What the server counts first: reading as the oracle opens the mailboxes too.
    let (status, mail) = (status_of(&dovecot), dovecot.fetch_all(ALICE));
    assert!(mail["INBOX"].iter().all(|m| m.flags.is_empty()));
    let mailstow = Mailstow::new();
    for _ in 0..2 {
        mailstow
            .backup(&dovecot.url(ALICE), &mailstow.archive(), &[])
            .expect(0);
        assert_eq!(status_of(&dovecot), status);
        assert_eq!(dovecot.fetch_all(ALICE), mail);
    }
}

#[test]
fn flags_keywords_dates_copies_special_use_and_subscriptions_are_recorded() {
    let dovecot = Dovecot::start();
    // Copies in one mailbox and in two, with other flags and dates.
    for (flags, date) in [
        (
            &["\\Seen", "\\Answered", "$Forwarded"][..],
            " 7-Feb-2024 21:52:25 +0100",
        ),
        (&[], "29-Feb-2020 00:00:00 -1130"),
        (
            &["\\Deleted", "\\Draft", "NonJunk", "\\Flagged"],
            "02-Jan-1970 00:00:00 +0000",
        ),
        (&[], "01-Jan-2037 00:00:00 +1345"),
    ] {
        dovecot.deliver(ALICE, "INBOX", &body(1), flags, Some(date));
        dovecot.deliver(ALICE, "Sent", &body(1), &[], Some(date));
    }
    // Messages of one size and one second that are not the same.
    deliver(&dovecot, "INBOX", &[2, 3, 4, 5], &["\\Seen"]);
    dovecot.connect(ALICE).command("CREATE Unsubscribed");
    let mailstow = Mailstow::new();
    let report = mailstow.report(&dovecot.url(ALICE), &mailstow.archive(), 0, &[]);
    let inbox = Numbers {
        exists: 8,
        stored: 5,
        linked: 3,
        ..Numbers::default()
    };
    let sent = Numbers {
        exists: 4,
        linked: 4,
        ..Numbers::default()
    };
    let counted = [numbers(&report, "INBOX"), numbers(&report, "Sent")];
    // Which of two mailboxes comes first is the server's affair.
    if counted[0] == inbox {
        assert_eq!(counted[1], sent);
    } else {
        let total = numbers(&report, "total");
        assert_eq!((total.exists, total.stored, total.linked), (12, 5, 7));
    }
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), ACCOUNT),
        12
    );
    let state = archive_state(&mailstow.archive());
    assert_eq!(state.contents.len(), 5);
    let seen: Vec<_> = state
        .mailboxes
        .iter()
        .map(|m| (m.name.as_str(), m.special_use.as_deref(), m.subscribed))
        .collect();
    let want = [
        ("INBOX", None, true),
        ("Sent", Some("\\Sent"), true),
        ("Unsubscribed", None, false),
    ];
    assert_eq!(seen, want);
    assert_sound(&mailstow.archive());
}

#[test]
fn a_second_run_fetches_nothing_and_adds_a_run_record() {
    let dovecot = Dovecot::start();
    let large = format!("Subject: l\r\n\r\n{}", "0123456789\r\n".repeat(30_000));
    dovecot.deliver(ALICE, "INBOX", large.as_bytes(), &[], None);
    deliver(&dovecot, "Sent", &[1, 2, 3], &[]);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let first = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    assert!(first["received"].as_u64().unwrap() > 360_000);
    assert_adds_a_run_record_only(&archive, || {
        let again = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
        let received = again["received"].as_u64().unwrap();
        assert!(received < 4_000, "{received} bytes");
        assert_eq!(
            numbers(&again, "total"),
            Numbers {
                exists: 4,
                held: 4,
                ..Numbers::default()
            }
        );
    });
}

#[test]
fn new_mail_changed_flags_and_expunged_messages_are_followed() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[1, 2, 3, 4, 5], &[]);
    deliver(&dovecot, "Work/2024", &[6, 7], &[]);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);

    deliver(&dovecot, "INBOX", &[8, 2], &["\\Seen"]);
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.store("1", "FLAGS", &["\\Flagged", "$Label1"]);
    imap.expunge("4");
    imap.command("UID MOVE 5 \"Work/2024\"");
    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    let inbox = numbers(&report, "INBOX");
    assert_eq!(
        inbox,
        Numbers {
            exists: 5,
            stored: 1,
            linked: 1,
            held: 3,
            ..Numbers::default()
        }
    );
    let work = numbers(&report, "Work/2024");
    assert_eq!(
        work,
        Numbers {
            exists: 3,
            linked: 1,
            held: 2,
            ..Numbers::default()
        }
    );
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 8);
    // The archive never forgets.
    let state = archive_state(&archive);
    let gone: Vec<_> = state
        .placed
        .iter()
        .filter(|p| p.gone)
        .map(|p| p.mailbox.as_str())
        .collect();
    assert_eq!((gone, state.contents.len()), (vec!["INBOX", "INBOX"], 8));
    assert_sound(&archive);

    // Flags alone: no message comes, one `flags` record does.
    imap.store("1:2", "+FLAGS", &["\\Answered"]);
    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    assert_eq!(numbers(&report, "total").held, 8);
    let last = commits(&archive).into_iter().flatten().rev().take(4);
    assert!(
        last.into_iter()
            .any(|record| matches!(record, Record::Flags(_)))
    );
    assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 8);
}

#[test]
fn an_account_without_mail_is_complete() {
    let dovecot = Dovecot::start();
    let mailstow = Mailstow::new();
    let report = mailstow.report(&dovecot.url(ALICE), &mailstow.archive(), 0, &[]);
    assert_eq!(numbers(&report, "total"), Numbers::default());
    assert_eq!(
        assert_same(&dovecot, ALICE, &mailstow.archive(), ACCOUNT),
        0
    );
    assert_sound(&mailstow.archive());
}

#[test]
fn one_connection_or_four_make_the_same_archive() {
    let dovecot = Dovecot::start();
    for (n, mailbox) in ["INBOX", "A", "B", "C"].iter().enumerate() {
        let list: Vec<usize> = (n * 100..n * 100 + 250).collect();
        deliver(&dovecot, mailbox, &list, &[]);
    }
    let state = |connections: &str| {
        let mailstow = Mailstow::new();
        let archive = mailstow.archive();
        let report = mailstow.report(
            &dovecot.url(ALICE),
            &archive,
            0,
            &["--connections", connections],
        );
        let total = numbers(&report, "total");
        assert_eq!((total.exists, total.stored, total.linked), (1000, 550, 450));
        assert_eq!(assert_same(&dovecot, ALICE, &archive, ACCOUNT), 1000);
        assert_sound(&archive);
        archive_state(&archive)
    };
    assert_eq!(state("1"), state("4"));
}
