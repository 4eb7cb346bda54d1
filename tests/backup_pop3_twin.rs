//! One account over IMAP and over POP3 into one archive: nothing is stored twice but messages
//! without a final line end, to which POP3 adds one, and every message is shown once.
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

use std::collections::BTreeMap;
use std::path::Path;

use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound, files};
use support::dovecot::{ALICE, Dovecot};
use support::maildrop::{assert_drained, deliver, drain, held};
use support::mailstow::{Mailstow, Numbers, numbers};
use support::raw_imap::Mail;

const ACCOUNT: &str = "alice@127.0.0.1";

/// A message; every fifth has no line end at its end, every seventh is spam.
fn body(n: usize) -> String {
    let end = if n.is_multiple_of(5) { "" } else { "\r\n" };
    let spam = if n.is_multiple_of(7) {
        "X-Spam-Flag: YES\r\n"
    } else {
        ""
    };
    format!(
        "Date: Wed, 7 Feb 2024 20:{:02}:00 +0000\r\nSubject: {n}\r\n{spam}\r\nFrom here\r\n.{n}{end}",
        n % 60
    )
}

/// A hundred messages in the INBOX, and three of them once more, under other flags.
fn filled() -> (Dovecot, usize) {
    let dovecot = Dovecot::start();
    let bodies: Vec<String> = (1..=100).map(body).collect();
    deliver(&dovecot, ALICE, &bodies);
    for n in [10, 11, 12] {
        let text = body(n);
        dovecot.deliver(ALICE, "INBOX", text.as_bytes(), &["\\Flagged"], None);
    }
    (dovecot, 103)
}

/// Messages that `ls` shows, of each mailbox.
fn shown(mailstow: &Mailstow, archive: &Path) -> BTreeMap<String, usize> {
    let to = archive.to_str().unwrap();
    let names = archive_state(archive).mailboxes;
    names
        .into_iter()
        .map(|mailbox| {
            let ended = mailstow.run(&["ls", to, &mailbox.name]);
            (mailbox.name, ended.expect(0).stdout.lines().count())
        })
        .collect()
}

fn exported(mailstow: &Mailstow, archive: &Path, name: &str) -> Vec<Vec<u8>> {
    let out = mailstow.path().join(name);
    let args = [
        "export",
        archive.to_str().unwrap(),
        "--format",
        "eml",
        "--to",
        out.to_str().unwrap(),
    ];
    mailstow.run(&args).expect(0);
    let is_mail = |path: &Path| path.extension().is_some_and(|e| e == "eml");
    let mut mail: Vec<Vec<u8>> = files(&out)
        .into_iter()
        .filter_map(|(path, bytes)| is_mail(&path).then_some(bytes))
        .collect();
    mail.sort();
    mail
}

/// What `status` says is present in all mailboxes, and the messages kept.
fn status(mailstow: &Mailstow, archive: &Path) -> (u64, u64) {
    let ended = mailstow.run(&["status", archive.to_str().unwrap(), "--json"]);
    let value = ended.expect(0).json().pop().unwrap();
    let mailboxes = value["accounts"][0]["mailboxes"].as_array().unwrap();
    let present = mailboxes.iter().map(|m| m["present"].as_u64().unwrap());
    (present.sum(), value["messages"].as_u64().unwrap())
}

#[test]
fn after_imap_pop3_stores_nothing_but_what_has_no_line_end_at_its_end() {
    let (dovecot, count) = filled();
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let before = archive_state(&archive);
    assert_eq!(before.contents.len(), 100);
    assert_eq!(status(&mailstow, &archive), (103, 100));

    let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, &[]);
    let want = Numbers {
        exists: count as u64,
        stored: 20,
        linked: count as u64 - 20,
        ..Numbers::default()
    };
    assert_eq!(numbers(&report, "maildrop"), want);
    assert_eq!(report["line_end_added"], 20);
    assert_sound(&archive);
    // What IMAP said is what it was, and stays readable as it was.
    let after = archive_state(&archive);
    for placed in &before.placed {
        assert!(after.placed.contains(placed), "{placed:?}");
    }
    assert_eq!(after.contents.len(), 120);
    // Once each: what IMAP showed, and those whose bytes are others.
    let shown = shown(&mailstow, &archive);
    assert_eq!(shown.values().sum::<usize>(), count + 21, "{shown:?}");
    assert_eq!(status(&mailstow, &archive), (count as u64 + 21, 120));
    let mut want: Vec<Vec<u8>> = dovecot.fetch_all(ALICE)["INBOX"]
        .iter()
        .map(|m| m.body.clone())
        .collect();
    let added = drain(&dovecot, ALICE);
    let added = added.into_values().filter(|body| !want.contains(body));
    let added: Vec<Vec<u8>> = added.collect();
    assert_eq!(added.len(), 21);
    want.extend(added);
    want.sort();
    assert!(exported(&mailstow, &archive, "eml") == want);

    quiet(&dovecot, &mailstow, &archive);
}

/// A run over either protocol adds a run record and nothing else.
fn quiet(dovecot: &Dovecot, mailstow: &Mailstow, archive: &Path) {
    // The first run over IMAP after POP3 takes in the flags POP3 changed on the server.
    mailstow.backup(&dovecot.url(ALICE), archive, &[]).expect(0);
    let before = (shown(mailstow, archive), status(mailstow, archive));
    for _ in 0..2 {
        for url in [dovecot.url(ALICE), dovecot.pop3_url(ALICE)] {
            assert_adds_a_run_record_only(archive, || {
                let report = mailstow.report(&url, archive, 0, &[]);
                let total = numbers(&report, "total");
                assert_eq!(total.held, total.exists, "{report}");
            });
        }
    }
    assert_eq!(
        (shown(mailstow, archive), status(mailstow, archive)),
        before
    );
}

#[test]
fn after_pop3_imap_stores_nothing_but_what_has_no_line_end_at_its_end() {
    let (dovecot, count) = filled();
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, &[]);
    let first = numbers(&report, "maildrop");
    assert_eq!((first.exists, first.stored, first.linked), (103, 100, 3));
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), count);
    // Spam lies in a mailbox of its own, until IMAP says where it is.
    let junk = held(&archive, ACCOUNT);
    let junk = junk.values().filter(|(mailbox, _)| mailbox == "Junk");
    assert_eq!(junk.count(), 14);

    let report = mailstow.report(&dovecot.url(ALICE), &archive, 0, &[]);
    let inbox = numbers(&report, "INBOX");
    assert_eq!((inbox.exists, inbox.stored), (count as u64, 20));
    assert_sound(&archive);
    let shown = shown(&mailstow, &archive);
    assert_eq!(shown.values().sum::<usize>(), count + 21, "{shown:?}");
    assert_eq!(status(&mailstow, &archive), (count as u64 + 21, 120));
    assert_eq!(exported(&mailstow, &archive, "eml").len(), count + 21);
    quiet(&dovecot, &mailstow, &archive);
}

#[test]
fn mail_with_its_line_ends_is_shown_once_by_either_order() {
    for pop3_first in [true, false] {
        let dovecot = Dovecot::start();
        let bodies: Vec<String> = (1..=40).filter(|n| n % 5 > 0).map(body).collect();
        deliver(&dovecot, ALICE, &bodies);
        let sent = [bodies[0].as_str(), bodies[1].as_str()].map(|text| Mail {
            bytes: text.as_bytes(),
            flags: &["\\Seen"],
            received: None,
        });
        dovecot.deliver_all(ALICE, "Sent", &sent);
        let mailstow = Mailstow::new();
        let archive = mailstow.archive();
        let mut urls = [dovecot.url(ALICE), dovecot.pop3_url(ALICE)];
        if pop3_first {
            urls.reverse();
        }
        let first = mailstow.report(&urls[0], &archive, 0, &[]);
        assert_eq!(numbers(&first, "total").stored, 32);
        let second = mailstow.report(&urls[1], &archive, 0, &[]);
        assert_eq!(numbers(&second, "total").stored, 0);
        assert!(second["line_end_added"].is_null(), "{second}");
        let shown = shown(&mailstow, &archive);
        assert_eq!((shown["INBOX"], shown["Sent"]), (32, 2), "{shown:?}");
        assert_eq!(shown.values().sum::<usize>(), 34, "{shown:?}");
        assert_eq!(status(&mailstow, &archive), (34, 32));
        let mut served: Vec<Vec<u8>> = dovecot
            .fetch_all(ALICE)
            .into_values()
            .flatten()
            .map(|m| m.body)
            .collect();
        served.sort();
        assert!(exported(&mailstow, &archive, "eml") == served);
        quiet(&dovecot, &mailstow, &archive);
    }
}

#[test]
fn spam_goes_to_the_mailbox_the_server_has_for_it() {
    let dovecot = Dovecot::start();
    dovecot.deliver(ALICE, "Junk", b"Subject: old\r\n\r\n", &[], None);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let mailboxes = archive_state(&archive).mailboxes.len();
    deliver(&dovecot, ALICE, &[body(7), body(8)]);
    let report = mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, &[]);
    assert_eq!(
        report["mailboxes"][0]["filed"],
        serde_json::json!([["INBOX", 1], ["Junk", 1]])
    );
    let state = archive_state(&archive);
    assert_eq!(state.mailboxes.len(), mailboxes);
    let junk: Vec<_> = state
        .mailboxes
        .iter()
        .filter(|m| m.special_use.as_deref() == Some("\\Junk"))
        .collect();
    assert_eq!(junk.len(), 1, "{junk:?}");
    assert_eq!(junk[0].wire, "Junk");
}
