//! Comparisons by the real program, and what must be true after each.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

use mailstow::archive::format::Record;
use mailstow::store::{OpenOptions, Reader};
use serde_json::Value;

use crate::support::archive_state::files;
use crate::support::fake_imap::trial::assert_harmless;
use crate::support::fake_imap::{FakeImap, World};
use crate::support::mailstow::{Ended, Mailstow};

pub(crate) struct Trial {
    pub(crate) mailstow: Mailstow,
    pub(crate) archive: PathBuf,
}

impl Trial {
    /// With an archive that is not there yet, and without waits between attempts.
    pub(crate) fn new() -> Self {
        let mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let archive = mailstow.archive();
        Self { mailstow, archive }
    }

    #[track_caller]
    pub(crate) fn backup(&self, url: &str, exit: i32, more: &[&str]) {
        self.mailstow.backup(url, &self.archive, more).expect(exit);
    }

    /// Compares. Whatever comes of it: nothing in the archive changed, nothing is left in the
    /// temporary folder, and nothing raw is in the output.
    #[track_caller]
    pub(crate) fn run(&self, url: &str, exit: i32, more: &[&str]) -> Ended {
        let before = files(&self.archive);
        let mut args = vec!["verify", self.archive.to_str().unwrap(), "--against", url];
        args.extend(more);
        let ended = self.mailstow.run(&args);
        ended.expect(exit);
        assert_harmless(&ended);
        let after = files(&self.archive);
        let names = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
            files.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&after), names(&before), "other files");
        assert!(after == before, "a file of the archive was changed");
        assert_eq!(names(&files(&self.mailstow.tmp())), [] as [PathBuf; 0]);
        ended
    }

    /// The same with `--json`; gives the report.
    #[track_caller]
    pub(crate) fn against(&self, url: &str, exit: i32, more: &[&str]) -> Value {
        let ended = self.run(url, exit, &[&["--json"], more].concat());
        let last = ended.json().pop().expect("a report");
        assert_eq!(last["event"], "against", "{last}");
        assert_eq!(last["exit"], exit);
        assert_adds_up(&last);
        last
    }

    /// Writes records of a run that never was.
    pub(crate) fn record(&self, records: impl IntoIterator<Item = Record>) {
        let mut writer = OpenOptions::default().open(&self.archive).unwrap();
        records.into_iter().for_each(|record| writer.record(record));
        writer.commit().unwrap();
        writer.finish().unwrap();
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.archive, None).unwrap()
    }
}

/// A mailbox of a report.
#[track_caller]
pub(crate) fn mailbox<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["mailboxes"].as_array().expect("mailboxes");
    let row = rows.iter().find(|m| m["name"] == name);
    row.unwrap_or_else(|| panic!("no mailbox {name} in {report:#}"))
}

/// The sets of a mailbox that are not empty, as `name: names`, in the order of the alphabet.
#[track_caller]
pub(crate) fn sets(report: &Value, name: &str) -> Vec<String> {
    let row = mailbox(report, name).as_object().unwrap();
    let named = row
        .iter()
        .filter(|(_, set)| set["count"].as_u64() > Some(0));
    named
        .map(|(key, set)| {
            let uids = set["uids"].as_str().map(str::to_owned);
            format!(
                "{key}: {}",
                uids.unwrap_or_else(|| set["uidls"].to_string())
            )
        })
        .collect()
}

/// What the server counts is somewhere, and what the archive holds is somewhere else.
#[track_caller]
fn assert_adds_up(report: &Value) {
    for row in report["mailboxes"].as_array().expect("mailboxes") {
        let sum = |keys: &[&str]| -> u64 {
            let count = |key: &&str| row[key]["count"].as_u64().unwrap();
            keys.iter().map(count).sum()
        };
        if row["state"] != "compared" && row["state"] != "unknown" {
            continue;
        }
        let server = sum(&[
            "present", "newer", "excluded", "skipped", "accepted", "missing", "damaged", "returned",
        ]);
        let unnamed = row["unlisted"].as_u64().unwrap() + row["nameless"].as_u64().unwrap();
        assert_eq!(
            server + unnamed,
            row["on_server"].as_u64().unwrap(),
            "{row:#}"
        );
        if row["name"] != "maildrop" {
            let archive = sum(&["present", "damaged", "departed", "unseen"]);
            assert_eq!(archive, row["in_archive"].as_u64().unwrap(), "{row:#}");
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server with this world, and an archive of it.
pub(crate) fn backed_up(world: World) -> (FakeImap, Trial) {
    let fake = FakeImap::start(world);
    let trial = Trial::new();
    trial.backup(&fake.url(), 0, &[]);
    fake.forget();
    (fake, trial)
}

/// The UIDs of INBOX whose bodies were asked for.
pub(crate) fn asked(fake: &FakeImap) -> Vec<u32> {
    fake.asked().into_keys().map(|(_, uid)| uid).collect()
}
