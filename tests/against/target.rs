//! Replays by the real program, and comparisons with what came of them.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;

use serde_json::Value;

use crate::support::archive_state::files;
use crate::support::dovecot::PASSWORD;
use crate::support::fake_imap::trial::assert_harmless;
use crate::support::mailstow::{Ended, Mailstow};

pub(crate) struct Trial {
    pub(crate) mailstow: Mailstow,
    pub(crate) archive: PathBuf,
}

impl Trial {
    /// With an archive of this source, and without waits between attempts.
    #[track_caller]
    pub(crate) fn of(source: &str) -> Self {
        let mailstow = Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
            .with("MAILSTOW_TEST_SETTLE_MS", "5")
            .with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let archive = mailstow.archive();
        mailstow.backup(source, &archive, &[]).expect(0);
        Self { mailstow, archive }
    }

    #[track_caller]
    pub(crate) fn replay(&self, to: &str, exit: i32, more: &[&str]) {
        let args = ["replay", self.archive.to_str().unwrap(), "--to", to];
        let ended = self.mailstow.run(&[&args[..], more].concat());
        ended.expect(exit);
    }

    /// Compares. Whatever comes of it: nothing in the archive changed, the ledger among it,
    /// nothing is left in the temporary folder, and nothing raw is in the output.
    #[track_caller]
    pub(crate) fn run(&self, url: &str, exit: i32, more: &[&str]) -> Ended {
        let before = files(&self.archive);
        let args = ["verify", self.archive.to_str().unwrap(), "--against", url];
        let ended = self.mailstow.run(&[&args[..], more].concat());
        ended.expect(exit);
        assert_harmless(&ended);
        assert!(
            files(&self.archive) == before,
            "the archive was changed by looking"
        );
        assert!(files(&self.mailstow.tmp()).is_empty());
        ended
    }

    /// The same with `--json`; gives the report of a target, whose table adds up.
    #[track_caller]
    pub(crate) fn against(&self, url: &str, exit: i32, more: &[&str]) -> Value {
        let ended = self.run(url, exit, &[&["--json"], more].concat());
        let last = ended.json().pop().expect("a report");
        assert_eq!(last["event"], "against", "{last}");
        assert_eq!(last["side"], "target", "{last}");
        assert_eq!(last["exit"], exit);
        for row in last["mailboxes"].as_array().expect("mailboxes") {
            assert_adds_up(row);
        }
        last
    }
}

#[track_caller]
fn assert_adds_up(row: &Value) {
    let sum = |keys: &[&str]| -> u64 {
        let number = |key: &&str| match &row[key] {
            Value::Object(names) => names["count"].as_u64().unwrap(),
            number => number.as_u64().unwrap(),
        };
        keys.iter().map(number).sum()
    };
    let there = sum(&["agree", "differ", "unproven"]);
    let not = sum(&[
        "removed",
        "refused",
        "collapsed",
        "never_sent",
        "doubtful",
        "open",
    ]);
    if row["state"] == "not-reached" {
        assert_eq!(there + not, 0, "{row:#}");
        return;
    }
    assert_eq!(there + not, sum(&["in_archive"]), "{row:#}");
    if row["state"] == "compared" {
        let else_there = sum(&["left_over", "others", "unlisted"]);
        assert_eq!(there + else_there, sum(&["on_target"]), "{row:#}");
    }
}

/// A mailbox of a report.
#[track_caller]
pub(crate) fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["mailboxes"].as_array().expect("mailboxes");
    let row = rows.iter().find(|m| m["name"] == name);
    row.unwrap_or_else(|| panic!("no mailbox {name} in {report:#}"))
}

/// What of a row (or of the bodies) is not nothing, as `name: number` or `name: uids`.
#[track_caller]
pub(crate) fn told(row: &Value) -> Vec<String> {
    let told = row.as_object().unwrap().iter().filter_map(|(key, value)| {
        let value = match value {
            Value::Object(names) if names["count"] != 0 => names["uids"].as_str()?.to_owned(),
            Value::Number(number) if number.as_u64() != Some(0) && key != "seed" => {
                number.to_string()
            }
            _ => return None,
        };
        Some(format!("{key}: {value}"))
    });
    told.collect()
}

/// The messages that are named, as `what uid reason`.
#[track_caller]
pub(crate) fn named(report: &Value) -> Vec<String> {
    let messages = report["messages"].as_array().expect("messages");
    let one = |m: &Value| {
        let uid = m["uid"].as_u64().map_or("-".to_owned(), |u| u.to_string());
        let reason = m["reason"].as_str().unwrap_or_default();
        let (what, mailbox) = (m["what"].as_str().unwrap(), m["mailbox"].as_str().unwrap());
        format!("{what} {mailbox} {uid} {reason}")
            .trim_end()
            .to_owned()
    };
    messages.iter().map(one).collect()
}
