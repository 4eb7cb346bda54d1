//! Which messages of a maildrop: from today, with spam or without, judged by the headers a real
//! Dovecot shows. What was decided once is not asked for again.
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

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound};
use support::dovecot::{ALICE, Dovecot};
use support::maildrop::{assert_drained, deliver, held};
use support::mailstow::{Mailstow, numbers};
use support::pop3_tap::Pop3Tap;

const ACCOUNT: &str = "alice@127.0.0.1";
/// Noon of 7 February 2024, UTC, and of the day after it.
const NOON: i64 = 1_707_307_200;
const DAY: i64 = 86_400;

const TODAY: &[&str] = &["--pop-messages", "from-today"];

/// A runner that believes it is this time.
fn at(unix: i64) -> Mailstow {
    Mailstow::new().with("MAILSTOW_TEST_NOW", &unix.to_string())
}

fn message(name: &str, header: &str) -> String {
    format!("{header}Subject: {name}\r\nMessage-ID: <{name}@x>\r\n\r\n{name}\r\n")
}

/// A `Received` field as a mail server writes it, folded.
fn received(date: &str) -> String {
    format!(
        "Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.org (Postfix) with ESMTPS id 4TV\r\n\tfor <a@example.org>; {date}\r\n"
    )
}

/// The subjects an archive holds, with the mailbox each is filed in.
fn filed(archive: &Path) -> BTreeMap<String, String> {
    let subject = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().find_map(|l| l.strip_prefix("Subject: "));
        line.unwrap().to_owned()
    };
    held(archive, ACCOUNT)
        .into_values()
        .map(|(mailbox, bytes)| (subject(&bytes), mailbox))
        .collect()
}

fn subjects(archive: &Path) -> Vec<String> {
    filed(archive).into_keys().collect()
}

fn excluded(report: &Value) -> Value {
    report["mailboxes"][0]["excluded_because"].clone()
}

/// Not sorted by date, as maildrops are not.
fn dated() -> Vec<String> {
    let (old, new) = ("Tue, 6 Feb 2024 23:59:59", "Wed, 7 Feb 2024 00:00:00");
    vec![
        message("today-1", &format!("Date: {new} +0000\r\n")),
        message("old-1", &format!("Date: {old} +0000\r\n")),
        // The topmost Received counts, whatever else stands there.
        message(
            "old-2",
            &format!(
                "{}{}Date: {new} +0000\r\n",
                received(&format!("{old} +0000 (UTC)")),
                received(&format!("{new} +0000"))
            ),
        ),
        message(
            "today-2",
            &format!(
                "{}Date: {old} +0000\r\n",
                received(&format!("{new} +0000 (UTC)"))
            ),
        ),
        // The instant counts, not the day that is written.
        message("old-3", "Date: Wed, 7 Feb 2024 05:00:00 +0900\r\n"),
        message("today-3", "Date: Tue, 6 Feb 2024 20:00:00 -0500\r\n"),
        message("undated", ""),
        message("unreadable", "Date: soon\r\n"),
        message("future", "Date: Fri, 1 Mar 2030 00:00:00 +0000\r\n"),
    ]
}

const FROM_TODAY: [&str; 6] = [
    "future",
    "today-1",
    "today-2",
    "today-3",
    "undated",
    "unreadable",
];

#[test]
fn from_today_fetches_what_is_dated_today_or_not_dated_and_later_whatever_comes() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &dated());
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let url = tap.url(ALICE);
    let mailstow = at(NOON);
    let archive = mailstow.archive();
    let report = mailstow.report(&url, &archive, 0, TODAY);
    let counted = numbers(&report, "maildrop");
    assert_eq!(
        (counted.exists, counted.stored, counted.excluded),
        (9, 6, 3)
    );
    assert_eq!(excluded(&report), json!([["before the start day", 3]]));
    assert_eq!(subjects(&archive), FROM_TODAY);
    assert_eq!((tap.count("TOP"), tap.count("RETR")), (9, 6));
    assert!(
        tap.sessions()
            .iter()
            .flatten()
            .filter(|line| line.starts_with("TOP "))
            .all(|line| line.ends_with(" 0")),
        "{:?}",
        tap.sessions()
    );

    // The day after and at any later time the same is left out, and nobody looks again.
    for later in [at(NOON + DAY), at(NOON + 400 * DAY), at(NOON - 30 * DAY)] {
        tap.forget();
        assert_adds_a_run_record_only(&archive, || {
            let report = later.report(&url, &archive, 0, TODAY);
            let counted = numbers(&report, "maildrop");
            assert_eq!((counted.held, counted.excluded), (6, 3));
            assert_eq!(excluded(&report), json!([["before the start day", 3]]));
        });
        assert_eq!((tap.count("TOP"), tap.count("RETR")), (0, 0));
        assert_eq!(tap.sessions().len(), 1);
    }

    // What comes later is new, however old its date.
    let late = message("late", "Date: Mon, 1 Jan 1990 00:00:00 +0000\r\n");
    deliver(&dovecot, ALICE, &[late]);
    tap.forget();
    at(NOON + 2 * DAY).report(&url, &archive, 0, TODAY);
    assert_eq!((tap.count("TOP"), tap.count("RETR")), (0, 1));
    assert!(filed(&archive).contains_key("late"));

    // The rest comes with `all`; and after that nothing is left out any more.
    let report = mailstow.report(&url, &archive, 0, &["--pop-messages", "all"]);
    assert_eq!(numbers(&report, "maildrop").stored, 3);
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 10);
    let report = mailstow.report(&url, &archive, 0, TODAY);
    assert_eq!(numbers(&report, "maildrop").held, 10);
    assert_sound(&archive);
}

#[test]
fn the_day_begins_at_midnight_where_the_user_lives() {
    let dovecot = Dovecot::start();
    let name = |hour: usize| format!("h{hour:02}");
    let mail: Vec<String> = (0..24)
        .map(|hour| {
            let date = format!("Date: Tue, 6 Feb 2024 {hour:02}:30:00 +0000\r\n");
            message(&name(hour), &date)
        })
        .collect();
    deliver(&dovecot, ALICE, &mail);
    // It is 7 February, noon UTC; that day began at 15:00 of the 6th in Tokyo.
    for (zone, first) in [("Asia/Tokyo", 15), ("Europe/Berlin", 23), ("UTC", 24)] {
        let mailstow = at(NOON).with("TZ", zone);
        let archive = mailstow.archive();
        mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, TODAY);
        let want: Vec<String> = (first..24).map(name).collect();
        assert_eq!(subjects(&archive), want, "{zone}");
    }
}

#[test]
fn by_the_real_clock_mail_of_today_is_told_from_mail_of_last_week() {
    let dovecot = Dovecot::start();
    let now = jiff::Timestamp::now();
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let date = |at: jiff::Timestamp| {
        let zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
        jiff::fmt::rfc2822::to_string(&zoned).unwrap()
    };
    let mail = [
        message("today", &received(&date(now))),
        message("last-week", &received(&date(now - week))),
    ];
    deliver(&dovecot, ALICE, &mail);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    mailstow.report(&dovecot.pop3_url(ALICE), &archive, 0, TODAY);
    // Midnight between the two lines above and the run would make it none.
    assert!(subjects(&archive).iter().all(|s| s == "today"));
    assert_eq!(subjects(&archive).len(), 1);
}

#[test]
fn a_plan_with_from_today_is_not_the_first_run_but_fixes_the_day() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &dated());
    let mailstow = at(NOON);
    let archive = mailstow.archive();
    let to = archive.to_str().unwrap();
    let url = dovecot.pop3_url(ALICE);
    let dry = mailstow.report(&url, &archive, 0, &[TODAY, &["--dry-run"]].concat());
    assert_eq!(excluded(&dry), json!([["before the start day", 3]]));
    mailstow
        .run(&[&["plan", &url, "--to", to], TODAY].concat())
        .expect(0);
    let resumed = at(NOON + 3 * DAY).run(&["resume", to, "--json"]);
    resumed.expect(0);
    assert_eq!(subjects(&archive), FROM_TODAY);
}

/// Real headers of several filters.
fn judged() -> Vec<String> {
    vec![
        message("spam-1", "X-Spam-Flag: YES\r\n"),
        message("ham-1", "X-Spam-Flag: NO\r\n"),
        message(
            "spam-2",
            "X-Spam-Status: Yes, score=14.9 required=5.0 tests=BAYES_99,\r\n\tURIBL_BLACK autolearn=no version=3.4.6\r\n",
        ),
        message(
            "ham-2",
            "X-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00\r\n\tautolearn=ham version=3.4.6\r\n",
        ),
        message("spam-3", "X-MS-Exchange-Organization-SCL: 6\r\n"),
        message(
            "spam-4",
            "X-Spamd-Result: default: True [15.20 / 15.00];\r\n\tBAYES_SPAM(5.10)[100.00%]\r\n",
        ),
        message("unjudged", ""),
        message(
            "zoho",
            "X-ZohoMailClient: External\r\nX-Zoho-Virus-Status: 1\r\nX-ZM-MESSAGEID: 17\r\n",
        ),
    ]
}

const SPAM: [&str; 4] = ["spam-1", "spam-2", "spam-3", "spam-4"];
const OTHER: [&str; 4] = ["ham-1", "ham-2", "unjudged", "zoho"];

#[test]
fn spam_is_filed_as_junk_or_left_out_or_all_there_is_and_judged_once() {
    let dovecot = Dovecot::start();
    deliver(&dovecot, ALICE, &judged());
    let tap = Pop3Tap::start(dovecot.pop3_port());
    let url = tap.url(ALICE);

    let mailstow = Mailstow::new();
    mailstow.report(&url, &mailstow.archive(), 0, &[]);
    let all = filed(&mailstow.archive());
    assert!(SPAM.iter().all(|s| all[*s] == "Junk"), "{all:?}");
    assert!(OTHER.iter().all(|s| all[*s] == "INBOX"), "{all:?}");
    assert_eq!(tap.count("TOP"), 0);

    for (mode, fetched, mailbox, why) in [
        ("exclude", OTHER, "INBOX", "spam"),
        ("only", SPAM, "Junk", "not spam"),
    ] {
        tap.forget();
        let mailstow = Mailstow::new();
        let archive = mailstow.archive();
        let report = mailstow.report(&url, &archive, 0, &["--pop-spam", mode]);
        let counted = numbers(&report, "maildrop");
        assert_eq!((counted.stored, counted.excluded), (4, 4));
        assert_eq!(excluded(&report), json!([[why, 4]]));
        assert_eq!(report["mailboxes"][0]["filed"], json!([[mailbox, 4]]));
        assert_eq!(subjects(&archive), fetched);
        assert_eq!((tap.count("TOP"), tap.count("RETR")), (8, 4));
        // Not looked at again.
        tap.forget();
        assert_adds_a_run_record_only(&archive, || {
            let report = mailstow.report(&url, &archive, 0, &["--pop-spam", mode]);
            assert_eq!(excluded(&report), json!([[why, 4]]));
        });
        assert_eq!((tap.count("TOP"), tap.count("RETR")), (0, 0));
        // What was left out comes with `include`, to where it belongs.
        mailstow.report(&url, &archive, 0, &[]);
        assert_eq!(filed(&archive), all, "{mode}");
        assert_sound(&archive);
    }
}

#[test]
fn where_nothing_carries_a_verdict_only_refuses_and_exclude_says_so() {
    let dovecot = Dovecot::start();
    let mail: Vec<String> = (0..5).map(|n| message(&format!("m{n}"), "")).collect();
    deliver(&dovecot, ALICE, &mail);
    let url = dovecot.pop3_url(ALICE);
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    let refused = mailstow.backup(&url, &archive, &["--pop-spam", "only"]);
    for words in ["not one of 5 messages", "--pop-spam-from-server"] {
        assert!(refused.expect(4).stderr.contains(words), "{refused:?}");
    }
    let report = mailstow.report(&url, &archive, 0, &["--pop-spam", "exclude"]);
    assert_eq!(numbers(&report, "maildrop").stored, 5);
    let notes = report["notes"][0].as_str().unwrap();
    assert!(notes.contains("--pop-spam-from-server"), "{notes}");

    // The server says that all it delivers is spam.
    let mailstow = Mailstow::new();
    let archive = mailstow.archive();
    for mode in [&["--pop-spam", "only"][..], &[]] {
        let more = [&["--pop-spam-from-server"], mode].concat();
        let report = mailstow.report(&url, &archive, 0, &more);
        assert_eq!(numbers(&report, "maildrop").exists, 5);
    }
    assert!(filed(&archive).values().all(|mailbox| mailbox == "Junk"));
    assert_eq!(filed(&archive).len(), 5);
    // Only what is new is filed so.
    deliver(&dovecot, ALICE, &[message("later", "")]);
    mailstow.report(&url, &archive, 0, &[]);
    let state = archive_state(&archive);
    let inbox = state.placed.iter().filter(|p| p.mailbox == "INBOX");
    assert_eq!(inbox.count(), 1);
}

#[test]
fn start_day_spam_and_size_each_leave_out_their_part() {
    let dovecot = Dovecot::start();
    let mut mail = judged();
    mail.extend(dated());
    let large = message("large", &format!("X-Pad: {}\r\n", "x ".repeat(20_000)));
    mail.push(large);
    deliver(&dovecot, ALICE, &mail);
    let mailstow = at(NOON);
    let archive = mailstow.archive();
    let url = dovecot.pop3_url(ALICE);
    let more = [TODAY, &["--pop-spam", "exclude", "--max-size", "10k"]].concat();
    let report = mailstow.report(&url, &archive, 0, &more);
    assert_eq!(
        excluded(&report),
        json!([
            ["before the start day", 3],
            ["spam", 4],
            ["larger than --max-size", 1]
        ])
    );
    let counted = numbers(&report, "maildrop");
    assert_eq!(
        (counted.exists, counted.stored, counted.excluded),
        (18, 10, 8)
    );
    mailstow.report(&url, &archive, 0, &[]);
    assert_eq!(assert_drained(&dovecot, ALICE, &archive, ACCOUNT), 18);
}
