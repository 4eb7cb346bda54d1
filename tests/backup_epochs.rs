//! Other epochs of a mailbox, and other accounts in one archive: nothing is lost, nothing is kept
//! twice, and nothing is mixed up.
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

use mailstow::store::Reader;
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound};
use support::compare::assert_same;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Mailstow, Numbers, numbers};
use support::raw_imap::Mail;

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

fn set_uidvalidity(dovecot: &Dovecot, mailbox: &str, value: &str) {
    dovecot.doveadm(&[
        "mailbox",
        "update",
        "-u",
        ALICE,
        "--uid-validity",
        value,
        mailbox,
    ]);
}

#[test]
fn a_changed_uidvalidity_loses_nothing_and_stores_nothing_twice() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "INBOX", &[1, 2, 3, 1], &["\\Seen"]);
    deliver(&dovecot, "Sent", &[4], &[]);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let before = archive_state(&archive);

    set_uidvalidity(&dovecot, "INBOX", "4242424242");
    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    let inbox = numbers(&report, "INBOX");
    assert_eq!(
        inbox,
        Numbers {
            exists: 4,
            linked: 4,
            ..Numbers::default()
        }
    );
    let after = archive_state(&archive);
    assert_eq!(after.contents, before.contents);
    // The old epoch stays as it was, and the new one stands beside it.
    for placed in &before.placed {
        let still = |p: &&support::archive_state::Placed| {
            p.remote == placed.remote && p.mailbox == placed.mailbox
        };
        assert_eq!(
            after.placed.iter().find(still).map(|p| &p.content),
            Some(&placed.content)
        );
    }
    let new = after
        .placed
        .iter()
        .filter(|p| p.remote.starts_with("4242424242:"))
        .count();
    assert_eq!((new, after.placed.len()), (4, before.placed.len() + 4));
    assert_sound(&archive);
    assert_adds_a_run_record_only(&archive, || {
        mailstow
            .backup(&dovecot.url(ALICE), &archive, &[])
            .expect(0);
    });
}

#[test]
fn a_mailbox_deleted_and_made_again_is_another_epoch() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, "Work", &[1, 2], &[]);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let mut imap = dovecot.connect(ALICE);
    imap.command("DELETE Work");
    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    assert_eq!(numbers(&report, "total").exists, 0);
    // The mailbox is not listed any more, and nothing of it is lost.
    assert_eq!(archive_state(&archive).placed.len(), 2);

    deliver(&dovecot, "Work", &[3, 2], &[]);
    set_uidvalidity(&dovecot, "Work", "99");
    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    let work = numbers(&report, "Work");
    assert_eq!(
        work,
        Numbers {
            exists: 2,
            stored: 1,
            linked: 1,
            ..Numbers::default()
        }
    );
    let state = archive_state(&archive);
    assert_eq!((state.placed.len(), state.contents.len()), (4, 3));
    assert_sound(&archive);
}

#[test]
fn accounts_share_contents_and_nothing_else() {
    let mut dovecot = Dovecot::start();
    dovecot.add_user("bob@example.com", support::dovecot::PASSWORD);
    deliver(&dovecot, "INBOX", &[1, 2], &[]);
    dovecot.deliver("bob@example.com", "INBOX", &body(2), &["\\Seen"], None);
    dovecot.deliver("bob@example.com", "INBOX", &body(3), &[], None);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    mailstow
        .backup(
            &dovecot.url(ALICE),
            &archive,
            &["--account", "Alice at home"],
        )
        .expect(0);
    let report = mailstow.report(&dovecot.url("bob@example.com"), &archive, 0, &[]);
    assert_eq!(
        numbers(&report, "INBOX"),
        Numbers {
            exists: 2,
            stored: 1,
            linked: 1,
            ..Numbers::default()
        }
    );
    assert_eq!(assert_same(&dovecot, ALICE, &archive, "Alice at home"), 2);
    assert_eq!(
        assert_same(&dovecot, "bob@example.com", &archive, "bob@example.com"),
        2
    );
    let folders: Vec<String> = Reader::open(&archive, None)
        .unwrap()
        .catalog()
        .accounts()
        .unwrap()
        .into_iter()
        .map(|a| a.folder)
        .collect();
    assert!(
        folders
            .iter()
            .all(|folder| Path::new(&archive).join("mail").join(folder).is_dir()),
        "{folders:?}"
    );
    assert_ne!(folders[0], folders[1]);
    assert_eq!(archive_state(&archive).contents.len(), 3);
    assert_sound(&archive);
    // The account is known again by its address, whatever it is called.
    assert_adds_a_run_record_only(&archive, || {
        mailstow
            .backup(&dovecot.url(ALICE), &archive, &[])
            .expect(0);
    });
    let listed = mailstow.run(&["ls", to, "INBOX", "--account", "Alice at home"]);
    assert_eq!(listed.expect(0).stdout.lines().count(), 2);

    // Two sources in one go, and one password would reach two servers: refused.
    let (one, two) = (dovecot.url(ALICE), dovecot.url("bob@example.com"));
    let both = ["backup", &one, &two, "--to", to];
    mailstow.run(&both).expect(2);
    let command = format!("echo '{}'", support::dovecot::PASSWORD);
    let asked = Mailstow::bare().run(&[&both[..], &["--password-command", &command]].concat());
    asked.expect(0);
    assert_eq!(
        asked.stdout.matches("\ncomplete: ").count(),
        2,
        "{}",
        asked.stdout
    );
}
