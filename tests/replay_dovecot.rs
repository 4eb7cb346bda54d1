//! A backup of one account, replayed to another one on a real server: what the server then
//! reports of both is the same (reliability.md D1, D2, D5 and D7). The oracle reads both with
//! no code of ours.
//!
//! What comes from Dovecot has been through Dovecot, so nothing is altered on the second way in.
//! Mail from elsewhere is: [`what_dovecot_alters_is_recognised_all_the_same`] compares it as it
//! is normalised there.
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

use mailstow::store::Reader;
use support::archive_state::assert_sound;
use support::dovecot::{ALICE, Dovecot};
use support::fixture;
use support::mailstow::Mailstow;
use support::raw_imap::Mail;
use support::replayed::{assert_nothing_to_do, assert_same_mail, happened, wanted};
use support::sweep_replay::target_state;

const BOB: &str = "bob";

fn dovecot() -> Dovecot {
    let mut dovecot = Dovecot::start();
    dovecot.add_users(["bob", "carol"].map(str::to_owned));
    dovecot
}

const DATES: [&str; 5] = [
    "07-Feb-2024 21:52:25 +0100",
    "29-Feb-2020 00:00:00 -1130",
    "01-Jan-1998 12:00:00 +0000",
    "31-Dec-1999 23:59:59 +1400",
    "01-Jan-1970 00:00:01 +0000",
];

const FLAGS: [&[&str]; 6] = [
    &[],
    &["\\Seen"],
    &["\\Flagged", "$Label1", "NonJunk"],
    &["\\Seen", "\\Answered", "$Forwarded"],
    &["\\Draft"],
    // The mark of deletion does not travel.
    &["\\Seen", "\\Deleted"],
];

/// Mail that others have stumbled over. No NUL, no bare LF and no date before 1970 or in the
/// future: those Dovecot 2.3.19 does not keep.
fn odd() -> Vec<Vec<u8>> {
    let large = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(700_000)
    );
    assert!(large.len() > 12 << 20);
    let mut list: Vec<Vec<u8>> = [
        "Subject: plain\r\nMessage-ID: <1@x>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nx\r\n",
        // One Message-ID, two mails.
        "Subject: plain\r\nMessage-ID: <1@x>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\ny\r\n",
        "Subject: no final line end",
        "no header at all",
        "\r\nbegins with an empty line\r\n",
        "\r\n",
        "Subject: header only\r\n",
        "From me@here Thu Jan  1 00:00:00 1970\r\nSubject: like mbox\r\n\r\nFrom here\r\n",
        "Subject: commands\r\n\r\na1 DELETE INBOX\r\na2 LOGOUT\r\n* BYE\r\n{3}\r\n)\r\n+ go\r\n",
        "a1 DELETE INBOX\r\na2 STORE 1:* +FLAGS (\\Deleted)\r\na3 EXPUNGE\r\n",
        "Subject: dots\r\n\r\n.\r\n..\r\n",
        "Subject: bare CR\r\n\r\na\rb\r\r\n",
        "Subject: blanks at the end \t \r\n\r\nof lines  \r\n\r\n\r\n",
        "Subject: \u{feff}\u{202e}\r\n\r\n\u{1f4e7}\r\n",
        large.as_str(),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    list.push(b"Subject: 8-bit \xe9\xff\r\n\r\n\xc3\x28\x80\r\n".to_vec());
    list.push([b"Subject: long\r\n\r\n".as_slice(), &vec![b'x'; 200_000]].concat());
    list
}

fn deliver(dovecot: &Dovecot, user: &str, mailbox: &str, bodies: &[Vec<u8>], from: usize) {
    let mails: Vec<Mail<'_>> = bodies
        .iter()
        .enumerate()
        .map(|(n, bytes)| Mail {
            bytes,
            flags: FLAGS[(n + from) % FLAGS.len()],
            received: Some(DATES[(n + from) % DATES.len()]),
        })
        .collect();
    dovecot.deliver_all(user, mailbox, &mails);
}

/// Odd mail in INBOX, much of it in other mailboxes as well and some twice in one; names that
/// need care; an empty mailbox.
fn fill(dovecot: &Dovecot) {
    let odd = odd();
    let (small, _) = odd.split_at(14);
    deliver(dovecot, ALICE, "INBOX", &odd, 0);
    deliver(dovecot, ALICE, "INBOX", &small[..5], 1);
    deliver(dovecot, ALICE, "INBOX", &small[..2], 3);
    deliver(dovecot, ALICE, "Sent", small, 2);
    deliver(
        dovecot,
        ALICE,
        "Projekte/Größe & \"Co\"/2024.12",
        &small[3..9],
        0,
    );
    deliver(dovecot, ALICE, "Проекты", &small[1..4], 4);
    dovecot.connect(ALICE).create("Empty");
}

/// Content, flags and date of every message, by mailbox.
fn placed(archive: &Path) -> BTreeMap<String, Vec<(String, Vec<String>, i64)>> {
    let reader = Reader::open(archive, None).unwrap();
    let catalog = reader.catalog();
    let mut all = BTreeMap::new();
    for mailbox in catalog.mailboxes(None).unwrap() {
        let rows = catalog.placements(mailbox.id, false).unwrap();
        let row = rows.into_iter().map(|row| {
            let flags = row.flags.iter().filter(|f| *f != "\\Deleted");
            let flags = flags.map(str::to_owned).collect();
            (row.content.id.to_string(), flags, row.date.unwrap().unix)
        });
        let mut messages: Vec<_> = row.collect();
        messages.sort();
        all.insert(mailbox.name, messages);
    }
    all
}

fn full_circle(tls: bool) {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    fill(&dovecot);
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let ca = dovecot.ca();
    let with_ca = ["--target-tls-ca", ca.to_str().unwrap()];
    let (url, more): (String, &[&str]) = if tls {
        (dovecot.imaps_url(BOB), &with_ca)
    } else {
        (dovecot.url(BOB), &[])
    };
    let want = wanted(&dovecot);
    let all = want.values().flatten().count() as u64;

    let report = mailstow.replay_report(&archive, &url, 0, more);
    let done = happened(&report);
    assert_eq!((done["appended"], done["in_archive"]), (all, all));
    assert_same_mail(&target_state(&dovecot, BOB), &want);
    let (alice, bob) = (target_state(&dovecot, ALICE), target_state(&dovecot, BOB));
    assert_eq!(alice.subscribed, bob.subscribed);

    // Back into a second archive: the same content ids, flags and dates.
    let second = mailstow.path().join("second");
    mailstow.backup(&dovecot.url(BOB), &second, &[]).expect(0);
    assert_eq!(placed(&archive), placed(&second));
    assert_sound(&second);

    // Once more: nothing is sent, with the ledger and without it.
    let seen = dovecot.fetch_all(BOB);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, more));
    std::fs::remove_dir_all(archive.join("replay")).unwrap();
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, more));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, more));
    assert!(dovecot.fetch_all(BOB) == seen);
    assert_sound(&archive);
    let litter: Vec<_> = std::fs::read_dir(mailstow.tmp()).unwrap().collect();
    assert_eq!(litter.len(), 0, "{litter:?}");
}

#[test]
fn a_replay_brings_everything_once_with_its_flags_and_its_date() {
    full_circle(false);
}

#[test]
fn the_same_over_tls() {
    full_circle(true);
}

/// Bytes, flags, and the date if it is kept.
type Dated = (Vec<u8>, Vec<String>, Option<i64>);

/// Mail no server has seen, with bare LF, NUL, no date and dates before 1970.
#[test]
fn what_dovecot_alters_is_recognised_all_the_same() {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    let mut mails = fixture::mails();
    // Dovecot makes an empty message of a lone CR, by which nothing can be recognised.
    mails.retain(|mail| mail.bytes != b"\r");
    let fixture = fixture::build_of(mails, 7);
    let url = dovecot.url(BOB);
    // An empty message cannot be appended.
    let empty = fixture.mails.iter().filter(|m| m.bytes.is_empty()).count() as u64;
    assert!(empty > 0);
    let all = fixture.mails.len() as u64;
    let report = mailstow.replay_report(&fixture.root, &url, 3, &[]);
    let done = happened(&report);
    assert_eq!((done["appended"], done["refused"]), (all - empty, empty));

    // As Dovecot 2.3.19 serves it: every line end is CRLF, NUL is 0x80, a CR that
    // is no part of a line end is lost at one. A date before 1970 may
    // become one in 2038; without a date it is the time of arrival.
    let normalised = |bytes: &[u8]| {
        let mut out = Vec::new();
        for (n, byte) in bytes.iter().enumerate() {
            let rest = &bytes[n + 1..];
            match byte {
                b'\r' if rest.is_empty() || rest.starts_with(b"\r\n") => {}
                b'\n' if n == 0 || bytes[n - 1] != b'\r' => out.extend(b"\r\n"),
                0 => out.push(0x80),
                byte => out.push(*byte),
            }
        }
        out
    };
    let mut want: BTreeMap<String, Vec<Dated>> = BTreeMap::new();
    for mail in fixture.mails.iter().filter(|m| !m.bytes.is_empty()) {
        let flags = mail.flags.iter().filter(|f| **f != "\\Deleted");
        let mut flags: Vec<String> = flags.map(|f| (*f).to_owned()).collect();
        flags.sort();
        let date = mail.date.map(|d| d.unix).filter(|unix| *unix >= 0);
        let name = fixture::MAILBOXES[mail.mailbox].0.to_owned();
        let message = (normalised(&mail.bytes), flags, date);
        want.entry(name).or_default().push(message);
    }
    // Names differ that differ in nothing but case, or hold control characters.
    let rows = report["mailboxes"].as_array().unwrap();
    let source = |target: &str| {
        let row = rows.iter().find(|row| row["target"] == target);
        let row = row.unwrap_or_else(|| panic!("no {target} in {report:#}"));
        row["sources"][0].as_str().unwrap().to_owned()
    };
    let mut found: BTreeMap<String, Vec<Dated>> = BTreeMap::new();
    for (name, messages) in target_state(&dovecot, BOB).mail {
        for (body, flags, unix) in messages {
            let kept = (0..1_750_000_000).contains(&unix);
            let message = (body, flags.into_iter().collect(), kept.then_some(unix));
            found.entry(source(&name)).or_default().push(message);
        }
    }
    for list in want.values_mut().chain(found.values_mut()) {
        list.sort();
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        want.keys().collect::<Vec<_>>()
    );
    for (name, list) in &want {
        let lines = |list: &[Dated]| -> Vec<String> {
            let line = |m: &Dated| {
                let start = String::from_utf8_lossy(&m.0[..m.0.len().min(60)]).into_owned();
                format!("{start:?} {} {:?} {:?}", m.0.len(), m.1, m.2)
            };
            list.iter().map(line).collect()
        };
        assert_eq!(lines(&found[name]), lines(list), "{name}");
        assert!(found[name] == *list, "{name}: other bytes");
    }

    let seen = dovecot.fetch_all(BOB);
    for round in 0..3 {
        let report = mailstow.replay_report(&fixture.root, &url, 3, &[]);
        let done = happened(&report);
        assert_eq!(
            (done["there"], done["refused"], done.get("appended")),
            (all - empty, empty, None),
            "round {round}"
        );
        assert!(dovecot.fetch_all(BOB) == seen, "round {round}");
        let ledgers = fixture.root.join("replay");
        if round == 0 {
            std::fs::remove_dir_all(ledgers).unwrap();
        }
    }
}

#[test]
fn below_a_prefix_nothing_meets_what_is_there() {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    let mail = [
        b"Subject: a\r\n\r\nx\r\n".to_vec(),
        b"Subject: b\r\n\r\n".to_vec(),
    ];
    deliver(&dovecot, ALICE, "INBOX", &mail, 0);
    deliver(&dovecot, ALICE, "Sent/2024", &mail[..1], 1);
    deliver(&dovecot, BOB, "INBOX", &mail, 0);
    let archive = mailstow.archive();
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    let url = dovecot.url(BOB);
    let into = ["--into", "Old mail/Zoho"];
    let report = mailstow.replay_report(&archive, &url, 0, &into);
    assert_eq!(happened(&report)["appended"], 3);
    let want = wanted(&dovecot);
    let found = target_state(&dovecot, BOB);
    assert_eq!(found.mail["INBOX"], want["INBOX"]);
    assert_eq!(found.mail["Old mail/Zoho/INBOX"], want["INBOX"]);
    assert_eq!(found.mail["Old mail/Zoho/Sent/2024"], want["Sent/2024"]);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &into));
    // Without the prefix INBOX is recognised, and what lies below the prefix stays.
    let report = mailstow.replay_report(&archive, &url, 0, &[]);
    let done = happened(&report);
    assert_eq!((done["appended"], done["there"]), (1, 2));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &[]));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &url, 0, &into));
    let found = target_state(&dovecot, BOB);
    assert_eq!(found.mail["Sent/2024"], want["Sent/2024"]);
    assert_eq!(found.mail["Old mail/Zoho/INBOX"], want["INBOX"]);
}

#[test]
fn a_part_can_be_chosen_by_date_and_by_day_and_copies_collapsed() {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    let body = |n: usize| format!("Subject: {n}\r\n\r\nx\r\n").into_bytes();
    // Of 2024, 2020, 1998, 1999 and 1970; the first once more.
    let bodies: Vec<Vec<u8>> = (0..5).map(body).collect();
    deliver(&dovecot, ALICE, "INBOX", &bodies, 0);
    deliver(&dovecot, ALICE, "INBOX", &bodies[..1], 0);
    deliver(&dovecot, ALICE, "Gone", &bodies[..2], 0);
    let (archive, alice) = (mailstow.archive(), dovecot.url(ALICE));
    let backup = |at: &str| {
        let mailstow = Mailstow::new().with("MAILSTOW_TEST_NOW", at);
        mailstow.backup(&alice, &archive, &[]).expect(0);
    };
    // 2026-06-01 and 2026-06-03, noon.
    backup("1780315200");
    let before = wanted(&dovecot);
    let mut imap = dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.expunge("2:4");
    imap.store("1", "FLAGS", &["\\Flagged"]);
    imap.delete("Gone").unwrap();
    backup("1780488000");

    let (bob, carol) = (dovecot.url(BOB), dovecot.url("carol"));
    let as_of = ["--as-of", "2026-06-02"];
    let report = mailstow.replay_report(&archive, &bob, 0, &as_of);
    assert_eq!(happened(&report)["appended"], 8);
    assert_same_mail(&target_state(&dovecot, BOB), &before);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &bob, 0, &as_of));
    // As it is now: what is gone at the source is not removed here, and flags follow. That a
    // whole mailbox is gone is not believed yet.
    let report = mailstow.replay_report(&archive, &bob, 0, &[]);
    let done = happened(&report);
    assert_eq!((done["there"], done["flags_set"]), (5, 1));
    assert_eq!(dovecot.fetch_all(BOB)["INBOX"].len(), 6);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &bob, 0, &[]));

    let part = [
        &as_of[..],
        &["--since", "1998-01-01", "--before", "2020-03-01"],
    ]
    .concat();
    let report = mailstow.replay_report(&archive, &carol, 0, &part);
    // 1998, 1999 and 2020 of INBOX, 2020 of Gone.
    assert_eq!(happened(&report)["appended"], 4);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &carol, 0, &part));
    let once = [&as_of[..], &["--collapse-duplicates"]].concat();
    for round in 0..2 {
        let report = mailstow.replay_report(&archive, &carol, 0, &once);
        let done = happened(&report);
        assert_eq!(done["excluded"], 1, "round {round}");
        assert_eq!(done.get("appended").copied(), (round == 0).then_some(3));
    }
    assert_eq!(dovecot.fetch_all("carol")["INBOX"].len(), 5);
    // And the copy after all.
    let report = mailstow.replay_report(&archive, &carol, 0, &as_of);
    assert_eq!(happened(&report)["appended"], 1);
    assert_same_mail(&target_state(&dovecot, "carol"), &before);
}

/// Two accounts of one archive come together in one: what both have is there once, and what one
/// has moved is not looked for among the other's.
#[test]
fn two_accounts_of_an_archive_go_to_one_target() {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    let body = |n: usize| format!("Subject: {n}\r\n\r\nx\r\n").into_bytes();
    let bodies: Vec<Vec<u8>> = (0..4).map(body).collect();
    deliver(&dovecot, ALICE, "INBOX", &bodies[..3], 0);
    // carol has in Sent what alice has in INBOX.
    deliver(&dovecot, "carol", "Sent", &bodies[..1], 0);
    deliver(&dovecot, "carol", "INBOX", &bodies[2..], 0);
    let (archive, bob) = (mailstow.archive(), dovecot.url(BOB));
    for user in [ALICE, "carol"] {
        let url = dovecot.url(user);
        mailstow.backup(&url, &archive, &[]).expect(0);
    }
    let args = ["replay", archive.to_str().unwrap(), "--to", &bob];
    let ended = mailstow.run(&args);
    assert!(ended.expect(2).stderr.contains("--account"), "{ended:?}");
    let (alice, carol) = (
        ["--account", "alice@127.0.0.1"],
        ["--account", "carol@127.0.0.1"],
    );
    let report = mailstow.replay_report(&archive, &bob, 0, &alice);
    assert_eq!(happened(&report)["appended"], 3);
    let report = mailstow.replay_report(&archive, &bob, 0, &carol);
    let done = happened(&report);
    assert_eq!((done["appended"], done["there"]), (2, 1), "{report:#}");
    assert_nothing_to_do(&mailstow.replay_report(&archive, &bob, 0, &alice));
    assert_nothing_to_do(&mailstow.replay_report(&archive, &bob, 0, &carol));
    let counts = |user: &str| -> Vec<(String, usize)> {
        let all = dovecot.fetch_all(user).into_iter();
        all.map(|(name, list)| (name, list.len())).collect()
    };
    let want = [("INBOX".to_owned(), 4), ("Sent".to_owned(), 1)];
    assert_eq!(counts(BOB), want);
}

/// What the user of the target has removed, or filed elsewhere, is not brought back.
#[test]
fn what_was_removed_from_the_target_stays_away_until_it_is_asked_for() {
    let (dovecot, mailstow) = (dovecot(), Mailstow::new());
    let body = |n: usize| format!("Subject: {n}\r\n\r\nx\r\n").into_bytes();
    let bodies: Vec<Vec<u8>> = (0..4).map(body).collect();
    deliver(&dovecot, ALICE, "INBOX", &bodies, 0);
    let (archive, bob) = (mailstow.archive(), dovecot.url(BOB));
    mailstow
        .backup(&dovecot.url(ALICE), &archive, &[])
        .expect(0);
    mailstow.replay_report(&archive, &bob, 0, &[]);
    let mut imap = dovecot.connect(BOB);
    imap.create("Filed");
    imap.select("INBOX");
    imap.transfer("MOVE", "1", "Filed").unwrap();
    imap.expunge("2");
    let report = mailstow.replay_report(&archive, &bob, 0, &[]);
    let done = happened(&report);
    assert_eq!((done["there"], done["removed"]), (2, 2));
    assert_eq!(done.get("appended"), None);
    let report = mailstow.replay_report(&archive, &bob, 0, &["--resend-removed"]);
    assert_eq!(happened(&report)["appended"], 2);
    assert_eq!(dovecot.fetch_all(BOB)["INBOX"].len(), 4);
    assert_nothing_to_do(&mailstow.replay_report(&archive, &bob, 0, &[]));
}
