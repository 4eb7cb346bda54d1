//! Migrations by the real program, and what must be true after each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::archive_state::assert_sound;
use super::compare::instant;
use super::dovecot::{ALICE, Dovecot, PASSWORD};
use super::fake_imap::trial::assert_harmless;
use super::mailstow::{Ended, Mailstow};
use super::raw_imap::Mail;

/// The user of the target.
pub const BOB: &str = "bob";

/// At this rate a few hundred kilobytes take seconds: whoever saw a commit is in the middle.
pub const SLOWLY: [&str; 4] = ["--connections", "1", "--limit-rate", "60k"];

pub struct Migration {
    pub mailstow: Mailstow,
    pub archive: PathBuf,
}

impl Migration {
    /// Through an archive that is not there yet, in small commits, without waits.
    pub fn new() -> Self {
        let mailstow = Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
            .with("MAILSTOW_TEST_SETTLE_MS", "50")
            .with("MAILSTOW_TEST_BACKOFF_MS", "5")
            .with("MAILSTOW_TEST_COMMIT_MESSAGES", "5");
        let archive = mailstow.archive();
        Self { mailstow, archive }
    }

    pub fn args<'a>(&'a self, source: &'a str, target: &'a str) -> Vec<&'a str> {
        let via = self.archive.to_str().unwrap();
        vec!["migrate", source, target, "--via", via]
    }

    /// As text, for people.
    #[track_caller]
    pub fn text(&self, (source, target): (&str, &str), exit: i32, more: &[&str]) -> Ended {
        let mut args = self.args(source, target);
        args.extend(more);
        let ended = self.mailstow.run(&args);
        ended.expect(exit);
        assert_harmless(&ended);
        ended
    }

    /// Runs it with `--json` and gives all its lines.
    #[track_caller]
    pub fn events(&self, between: (&str, &str), exit: i32, more: &[&str]) -> Vec<Value> {
        let ended = self.text(between, exit, &[more, &["--json"]].concat());
        ended.json()
    }

    /// Runs it and gives its report, whose numbers add up on both sides.
    #[track_caller]
    pub fn migrate(&self, between: (&str, &str), exit: i32, more: &[&str]) -> Value {
        let report = reported(&self.events(between, exit, more));
        assert_adds_up(&report);
        report
    }

    /// Runs it where it ends with an error, and gives that.
    #[track_caller]
    pub fn fails(&self, between: (&str, &str), exit: i32, more: &[&str]) -> Value {
        let last = self.events(between, exit, more).pop().unwrap();
        assert_eq!(last["event"], "error", "{last}");
        last
    }

    /// Migrates once more, which must change nothing on the target, and leave the archive sound.
    #[track_caller]
    pub fn changes_nothing(&self, between: (&str, &str)) -> Value {
        let report = self.migrate(between, 0, &[]);
        let total = &report["replay"]["total"];
        let done = ["appended", "moved_in", "flags_set", "left"].map(|key| n(total, key));
        assert_eq!(done, [0; 4], "{total:#}");
        assert_sound(&self.archive);
        report
    }
}

/// The report of a migration.
#[track_caller]
pub fn reported(lines: &[Value]) -> Value {
    let last = lines.last().expect("a line");
    assert_eq!(last["event"], "migrate", "the last line: {last}");
    last.clone()
}

#[track_caller]
pub fn n(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} in {value:#}"))
}

/// `total` of the replay.
pub fn total(report: &Value, key: &str) -> u64 {
    n(&report["replay"]["total"], key)
}

/// Every message of the archive is accounted for in each mailbox; and where nobody else works on
/// the target, it has what was there before and what came.
#[track_caller]
pub fn assert_adds_up(report: &Value) {
    let Some(replay) = report.get("replay") else {
        return;
    };
    for row in replay["mailboxes"].as_array().unwrap() {
        let booked: u64 = [
            "appended",
            "moved_in",
            "labelled",
            "there",
            "removed",
            "collapsed",
            "refused",
            "doubtful",
            "lost",
            "excluded",
            "left",
        ]
        .map(|key| n(row, key))
        .iter()
        .sum();
        assert_eq!(n(row, "in_archive"), booked, "{row:#}");
        if let (Some(before), Some(now)) = (row["before"].as_u64(), row["now"].as_u64()) {
            let came = n(row, "appended") + n(row, "moved_in") + n(row, "labelled");
            assert_eq!(before + came - n(row, "moved_out"), now, "{row:#}");
        }
    }
}

/// Body, flags and moment of arrival of each message by mailbox, in order.
pub type Seen = BTreeMap<String, Vec<(Vec<u8>, BTreeSet<String>, i64)>>;

/// What a user has on a Dovecot, as that reports it; mailboxes without mail are left out.
pub fn seen(dovecot: &Dovecot, user: &str) -> Seen {
    let mut seen = Seen::new();
    for (name, messages) in dovecot.fetch_all(user) {
        let mut all: Vec<_> = messages
            .into_iter()
            .map(|m| (m.body, m.flags, instant(&m.internaldate).0))
            .collect();
        all.sort();
        if !all.is_empty() {
            seen.insert(name, all);
        }
    }
    seen
}

/// Both users have the same mail.
#[track_caller]
pub fn assert_same_mail(dovecot: &Dovecot) {
    let (source, target) = (seen(dovecot, ALICE), seen(dovecot, BOB));
    let names = |seen: &Seen| {
        let each = seen.iter().map(|(name, all)| (name.clone(), all.len()));
        each.collect::<Vec<_>>()
    };
    assert_eq!(names(&target), names(&source));
    for (name, messages) in &source {
        for (n, (message, there)) in messages.iter().zip(&target[name]).enumerate() {
            assert!(
                message == there,
                "{name}, {n}: {there:?}\n--- instead of\n{message:?}"
            );
        }
    }
}

const DATES: [&str; 4] = [
    "07-Feb-2024 21:52:25 +0100",
    "29-Feb-2020 00:00:00 -1130",
    "01-Jan-1998 12:00:00 +0000",
    "07-Feb-2024 21:52:25 +0100",
];

/// A Dovecot with alice, who has mail, and bob, who has none: 24 messages in three mailboxes, some
/// twice in one mailbox or in two, with other flags and dates; of one size and one second; without
/// a last line end.
pub fn dovecot() -> Dovecot {
    dovecot_with(&[])
}

pub fn dovecot_with(options: &[&str]) -> Dovecot {
    let mut dovecot = Dovecot::start_with(options);
    dovecot.add_user(BOB, PASSWORD);
    let body = |n: usize| {
        let end = if n % 4 == 1 { "" } else { "\r\n" };
        format!("Subject: message {n:02}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{n:02}{end}")
    };
    let flags: [&[&str]; 4] = [
        &[],
        &["\\Seen"],
        &["\\Flagged", "$Label1"],
        &["\\Seen", "\\Answered"],
    ];
    let mailboxes: [(&str, &[usize]); 3] = [
        ("INBOX", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 1]),
        ("Archive/2024 & more", &[10, 11, 1, 12, 3, 13, 13]),
        ("Sent", &[14, 2, 15, 10, 16]),
    ];
    for (mailbox, list) in mailboxes {
        let bodies: Vec<String> = list.iter().map(|n| body(*n)).collect();
        let mails: Vec<Mail<'_>> = bodies
            .iter()
            .enumerate()
            .map(|(n, body)| Mail {
                bytes: body.as_bytes(),
                flags: flags[n % 4],
                received: Some(DATES[n % 4]),
            })
            .collect();
        dovecot.deliver_all(ALICE, mailbox, &mails);
    }
    dovecot
}

/// Alice's and bob's, for [`Migration`].
pub fn urls(dovecot: &Dovecot) -> (String, String) {
    (dovecot.url(ALICE), dovecot.url(BOB))
}

/// 120 more messages of 3 kB into alice's INBOX, each different.
pub fn deliver_many(dovecot: &Dovecot) {
    let body = |n: usize| {
        let line = format!("{n} {}\r\n", "x".repeat(n % 50));
        format!(
            "Subject: {n} of many\r\n\r\n{}",
            line.repeat(3000 / line.len())
        )
    };
    let bodies: Vec<String> = (0..120).map(body).collect();
    let mails: Vec<Mail<'_>> = bodies
        .iter()
        .map(|body| Mail {
            bytes: body.as_bytes(),
            flags: &["\\Seen"],
            received: None,
        })
        .collect();
    dovecot.deliver_all(ALICE, "INBOX", &mails);
}

/// Whether this is an archive.
pub fn is_archive(path: &Path) -> bool {
    path.join("archive.toml").exists()
}
