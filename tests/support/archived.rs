//! An archive of a fake source, and replays of it by the real program.

use std::path::PathBuf;

use serde_json::Value;

use super::dovecot::PASSWORD;
use super::fake_imap::trial::assert_harmless;
use super::fake_imap::{FakeImap, FakeMailbox, World};
use super::mailstow::{Ended, Mailstow};

pub struct Archived {
    pub mailstow: Mailstow,
    pub source: FakeImap,
}

/// A mailbox with these messages, all of them unread.
pub fn mailbox(name: &str, bodies: &[&[u8]]) -> FakeMailbox {
    let mut mailbox = FakeMailbox::new(name);
    for body in bodies {
        mailbox.add(body).flags.clear();
    }
    mailbox
}

impl Archived {
    /// An archive of these mailboxes, and no waits.
    pub fn of(mailboxes: impl IntoIterator<Item = FakeMailbox>) -> Self {
        let source = FakeImap::start(World::with(mailboxes));
        let mailstow = Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
            .with("MAILSTOW_TEST_SETTLE_MS", "5")
            .with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let archived = Self { mailstow, source };
        archived.backup();
        archived
    }

    /// Brings the archive up to date.
    #[track_caller]
    pub fn backup(&self) {
        self.mailstow
            .backup(&self.source.url(), &self.archive(), &["--flags", "always"])
            .expect(0);
    }

    pub fn archive(&self) -> PathBuf {
        self.mailstow.archive()
    }

    /// The arguments of a replay.
    pub fn args<'a>(archive: &'a str, url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["replay", archive, "--to", url], more].concat()
    }

    /// A replay, whose output has nothing raw in it, nor the password.
    #[track_caller]
    pub fn replay(&self, url: &str, more: &[&str]) -> Ended {
        let archive = self.archive();
        let ended = self
            .mailstow
            .run(&Self::args(archive.to_str().unwrap(), url, more));
        assert_harmless(&ended);
        assert!(!ended.output().contains(PASSWORD), "{ended:?}");
        ended
    }

    /// The same with `--json`: the report. It adds up.
    #[track_caller]
    pub fn json(&self, url: &str, exit: i32, more: &[&str]) -> Value {
        let ended = self.replay(url, &[&["--json"], more].concat());
        let last = ended.expect(exit).json().pop().unwrap();
        assert_eq!(last["event"], "replay", "{last}");
        assert_eq!(last["adds_up"], true, "{last:#}");
        last
    }
}

/// What of a row of a report is not nothing, as `appended 3`; bytes aside.
pub fn told(row: &Value) -> String {
    let numbers = row.as_object().unwrap().iter();
    let numbers = numbers.filter(|(key, n)| n.as_u64().is_some_and(|n| n > 0) && *key != "bytes");
    let numbers: Vec<String> = numbers.map(|(key, n)| format!("{key} {n}")).collect();
    numbers.join(", ")
}

/// The row of a mailbox of the target.
#[track_caller]
pub fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["mailboxes"].as_array().unwrap();
    let row = rows.iter().find(|row| row["target"] == name);
    row.unwrap_or_else(|| panic!("no mailbox {name} in {report:#}"))
}

/// The messages that are named, as `what mailbox reason`, sorted.
pub fn named(report: &Value) -> Vec<String> {
    let messages = report["messages"].as_array().unwrap().iter();
    let words = |m: &Value, key: &str| m[key].as_str().unwrap().to_owned();
    let one = |m: &Value| {
        let [what, mailbox, reason] = ["what", "mailbox", "reason"].map(|key| words(m, key));
        format!("{what} {mailbox} {reason}")
    };
    let mut named: Vec<String> = messages.map(one).collect();
    named.sort();
    named
}
