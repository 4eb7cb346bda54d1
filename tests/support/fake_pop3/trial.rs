//! Backups of a fake maildrop by the real program, and what must be true after each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailstow::store::Reader;
use serde_json::Value;

use super::FakePop3;
use crate::support::archive_state::{assert_adds_a_run_record_only, assert_sound, files, message};
use crate::support::dovecot::PASSWORD;
use crate::support::fake_imap::trial::{assert_adds_up, assert_harmless};
use crate::support::mailstow::{Ended, Mailstow, Numbers, numbers};

/// Noon of a Tuesday, 10 March 2026, in UTC: "today" of tests that have one.
pub const NOON: i64 = 1_773_144_000;
/// A day.
pub const DAY: i64 = 86_400;

/// A message as `ls` shows it: mailbox, unique-id, bytes.
pub type Shown = (String, String, Vec<u8>);

pub struct Trial {
    pub mailstow: Mailstow,
    pub archive: PathBuf,
    env: BTreeMap<String, String>,
}

impl Trial {
    /// With an archive that is not there yet, and without waits between attempts.
    pub fn new() -> Self {
        let mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let archive = mailstow.archive();
        let env = BTreeMap::new();
        Self {
            mailstow,
            archive,
            env,
        }
    }

    /// With this in the environment of every further run.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.env.insert(key.to_owned(), value.to_string());
    }

    /// It is then, in Unix seconds.
    pub fn now(&mut self, unix: i64) {
        self.set("MAILSTOW_TEST_NOW", unix);
    }

    /// In sessions of at most `n` fetched messages.
    #[must_use]
    pub fn in_sessions_of(mut self, n: usize) -> Self {
        self.set("MAILSTOW_TEST_POP_SESSION_MESSAGES", n);
        self
    }

    /// The program with these arguments. Whatever happens: nothing raw in the output, no
    /// password anywhere, and a client with manners.
    #[track_caller]
    pub fn run(&self, fake: &FakePop3, exit: i32, args: &[&str]) -> Ended {
        let ended = self.run_any(fake, args);
        ended.expect(exit);
        ended
    }

    /// The same, however it ends.
    #[track_caller]
    pub fn run_any(&self, fake: &FakePop3, args: &[&str]) -> Ended {
        let ended = Ended::of(self.mailstow.command(args).envs(&self.env));
        assert_harmless(&ended);
        fake.assert_manners();
        self.assert_no_password(&ended);
        ended
    }

    /// Runs `backup` and gives what it said to people.
    #[track_caller]
    pub fn text(&self, fake: &FakePop3, exit: i32, more: &[&str]) -> Ended {
        let url = fake.url();
        let mut args = vec!["backup", &url, "--to", self.archive.to_str().unwrap()];
        args.extend(more);
        self.run(fake, exit, &args)
    }

    /// Runs `backup --json` and gives its report, or the error it ended with.
    #[track_caller]
    pub fn backup(&self, fake: &FakePop3, exit: i32, more: &[&str]) -> Value {
        let (last, ended) = self.report(fake, more);
        ended.expect(exit);
        last
    }

    /// The same where several exit codes do.
    #[track_caller]
    pub fn backup_any(&self, fake: &FakePop3, more: &[&str]) -> Value {
        let (last, ended) = self.report(fake, more);
        let exit = ended.exit.unwrap_or(-1);
        assert!([0, 3, 4, 6, 7, 9].contains(&exit), "{ended:?}");
        last
    }

    #[track_caller]
    fn report(&self, fake: &FakePop3, more: &[&str]) -> (Value, Ended) {
        let url = fake.url();
        let archive = self.archive.to_str().unwrap();
        let mut args = vec!["--json", "backup", &url, "--to", archive];
        args.extend(more);
        let ended = self.run_any(fake, &args);
        let last = ended.json().pop();
        let last = last.unwrap_or_else(|| panic!("neither report nor error: {ended:?}"));
        if last["event"] == "report" {
            assert_adds_up(&last);
            assert_reasons_add_up(&last);
        }
        (last, ended)
    }

    /// No password in the output and in no file of the archive, plain or encoded.
    #[track_caller]
    fn assert_no_password(&self, ended: &Ended) {
        let plain = STANDARD.encode(format!("\0alice\0{PASSWORD}"));
        for secret in [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), plain] {
            assert!(!ended.output().contains(&secret), "{}", ended.output());
            if !self.archive.exists() {
                continue;
            }
            for (path, bytes) in files(&self.archive) {
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "the password stands in {}", path.display());
            }
        }
    }

    /// The lines of `ls MAILBOX --json`; none where there is no such mailbox.
    pub fn ls(&self, mailbox: &str) -> Vec<Value> {
        let archive = self.archive.to_str().unwrap();
        let ended = self.mailstow.run(&["--json", "ls", archive, mailbox]);
        if ended.exit == Some(2) {
            return Vec::new();
        }
        ended.expect(0);
        assert_harmless(&ended);
        ended.json()
    }

    /// What `ls` shows in INBOX and Junk, with the bytes, sorted.
    pub fn shown(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        for mailbox in ["INBOX", "Junk"] {
            for row in self.ls(mailbox) {
                let text = |key: &str| row[key].as_str().unwrap().to_owned();
                let bytes = message(&self.archive, &text("content"));
                shown.push((mailbox.to_owned(), text("remote"), bytes));
            }
        }
        shown.sort();
        shown
    }

    /// The unique-ids `ls` shows in a mailbox, sorted.
    pub fn remotes(&self, mailbox: &str) -> Vec<String> {
        let rows = self.ls(mailbox);
        let name = |row: &Value| row["remote"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = rows.iter().map(name).collect();
        names.sort();
        names
    }

    /// What the archive holds, sorted, each content once and read back.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        let reader = Reader::open(&self.archive, None).unwrap();
        let mut mail = reader.mail();
        let mut contents = Vec::new();
        for (segment, _, _) in reader.catalog().segments().unwrap() {
            for content in reader.catalog().contents_in(&segment, 0).unwrap() {
                contents.push(mail.read_to_vec(&content).unwrap());
            }
        }
        contents.sort();
        contents
    }

    /// INBOX shows what the maildrop has now except `but`, byte for byte, and no more.
    #[track_caller]
    pub fn assert_holds_all_but(&self, fake: &FakePop3, but: &[&str]) {
        let world = fake.world();
        let there = world
            .messages
            .iter()
            .map(|m| ("INBOX".to_owned(), m.name(), m.received()));
        let mut expected: Vec<Shown> = there.filter(|m| !but.contains(&m.1.as_str())).collect();
        drop(world);
        expected.sort();
        let shown = self.shown();
        let names = |list: &[Shown]| list.iter().map(|m| m.1.clone()).collect::<Vec<_>>();
        assert_eq!(names(&shown), names(&expected), "other messages");
        for (has, wants) in shown.iter().zip(&expected) {
            assert!(has == wants, "{}: other bytes than the server's", has.1);
        }
    }

    /// The open skips: unique-id and reason.
    pub fn skips(&self) -> Vec<(String, String)> {
        let rows = self.skip_rows();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.iter()
            .map(|row| (text(row, "remote"), text(row, "reason")))
            .collect()
    }

    /// The open skips as `skips --json` tells them.
    pub fn skip_rows(&self) -> Vec<Value> {
        let archive = self.archive.to_str().unwrap();
        let ended = self.mailstow.run(&["--json", "skips", archive]);
        ended.expect(0);
        let last = ended.json().pop().unwrap();
        last["skips"].as_array().unwrap().clone()
    }

    /// The same again is one session without a TOP, a RETR or a DELE, and a run record.
    #[track_caller]
    pub fn assert_quiet(&self, fake: &FakePop3, more: &[&str]) {
        fake.forget();
        assert_adds_a_run_record_only(&self.archive, || {
            let report = self.backup(fake, 0, more);
            let of = maildrop(&report);
            assert_eq!((of.stored, of.linked), (0, 0), "{report:#}");
        });
        assert_eq!(fake.connections(), 1, "{:?}", lines(fake));
        for name in ["TOP", "RETR", "DELE"] {
            assert_eq!(fake.count(name), 0, "{:?}", lines(fake));
        }
        assert_eq!(self.skips(), [], "open skips after a complete run");
        assert_sound(&self.archive);
    }

    /// The server is well again: the same command completes, asks only for what is missing,
    /// and once more changes nothing.
    #[track_caller]
    pub fn completes(&self, fake: &FakePop3, more: &[&str]) {
        let before: Vec<String> = self.shown().into_iter().map(|m| m.1).collect();
        fake.heal();
        let missing = fake.uidls().into_iter().filter(|u| !before.contains(u));
        let missing: BTreeMap<String, usize> = missing.map(|u| (u, 1)).collect();
        self.backup(fake, 0, more);
        assert_eq!(fake.asked("RETR"), missing, "asked for other than that");
        self.assert_holds_all_but(fake, &[]);
        self.assert_quiet(fake, more);
    }
}

/// Every command line so far.
pub fn lines(fake: &FakePop3) -> Vec<String> {
    fake.commands().into_iter().map(|c| c.line).collect()
}

/// The numbers of the maildrop.
#[track_caller]
pub fn maildrop(report: &Value) -> Numbers {
    numbers(report, "maildrop")
}

/// All of them stored.
pub fn all_stored(n: u64) -> Numbers {
    Numbers {
        exists: n,
        stored: n,
        ..Numbers::default()
    }
}

/// A list of `[name, count]` pairs, such as `excluded_because` of the maildrop. An empty one is
/// left out of the report.
#[track_caller]
fn pairs(value: &Value) -> BTreeMap<String, u64> {
    let pair = |p: &Value| (p[0].as_str().unwrap().to_owned(), p[1].as_u64().unwrap());
    let list = value.as_array().into_iter().flatten();
    list.map(pair).collect()
}

fn row(report: &Value) -> &Value {
    let rows = report["mailboxes"].as_array().expect("mailboxes");
    let row = rows.iter().find(|m| m["name"] == "maildrop");
    row.unwrap_or_else(|| panic!("no maildrop in {report:#}"))
}

/// Why messages were excluded, and how many.
#[track_caller]
pub fn excluded(report: &Value) -> Vec<(String, u64)> {
    pairs(&row(report)["excluded_because"])
        .into_iter()
        .collect()
}

/// Where messages were filed in this run, and how many.
#[track_caller]
pub fn filed(report: &Value) -> Vec<(String, u64)> {
    let filed = pairs(&row(report)["filed"]).into_iter();
    filed.filter(|(_, n)| *n > 0).collect()
}

/// Why messages were kept on the server, and how many in all.
#[track_caller]
pub fn kept(report: &Value) -> (Vec<String>, u64) {
    let kept = pairs(&report["kept"]);
    (kept.keys().cloned().collect(), kept.values().sum())
}

/// A number of a report that is left out where it is 0, such as `deleted`.
#[track_caller]
pub fn number(report: &Value, key: &str) -> u64 {
    assert_eq!(report["event"], "report", "{report:#}");
    let value = &report[key];
    let wrong = || panic!("{key}: {value} in {report:#}");
    let number = value.as_u64();
    number.unwrap_or_else(|| if value.is_null() { 0 } else { wrong() })
}

/// `deleted` of a report.
#[track_caller]
pub fn deleted(report: &Value) -> u64 {
    number(report, "deleted")
}

/// Reasons and mailboxes add up with the numbers beside them.
#[track_caller]
fn assert_reasons_add_up(report: &Value) {
    for row in report["mailboxes"].as_array().expect("mailboxes") {
        let n = |key: &str| row[key].as_u64().unwrap();
        let because: u64 = pairs(&row["excluded_because"]).values().sum();
        assert_eq!(because, n("excluded"), "excluded without a reason: {row:#}");
        let filed: u64 = pairs(&row["filed"]).values().sum();
        assert_eq!(filed, n("stored") + n("linked"), "filed nowhere: {row:#}");
    }
}
