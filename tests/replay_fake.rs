//! Replay against a target that goes wrong exactly as a test asks, with the real program.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

#[path = "replay_fake/again.rs"]
mod again;
#[path = "replay_fake/arrives.rs"]
mod arrives;
#[path = "replay_fake/changes.rs"]
mod changes;
#[path = "replay_fake/faults.rs"]
mod faults;
#[path = "replay_fake/later.rs"]
mod later;
#[path = "replay_fake/planning.rs"]
mod planning;
#[path = "replay_fake/recognised.rs"]
mod recognised;
#[path = "replay_fake/refusals.rs"]
mod refusals;

use std::path::PathBuf;

use serde_json::Value;
use support::fake_imap::{FakeImap, World};
use support::fake_target::{FakeTarget, TargetWorld};
use support::mailstow::Mailstow;

/// A source, and the archive made of it by a real backup.
struct Archived {
    source: FakeImap,
    mailstow: Mailstow,
}

impl Archived {
    fn of(world: World) -> Self {
        let archived = Self {
            source: FakeImap::start(world),
            mailstow: Mailstow::new(),
        };
        archived.back_up();
        archived
    }

    /// Backs up what the source has now.
    fn back_up(&self) {
        let ended =
            self.mailstow
                .backup(&self.source.url(), &self.archive(), &["--flags", "always"]);
        ended.expect(0);
    }

    fn archive(&self) -> PathBuf {
        self.mailstow.archive()
    }

    /// Replays, demands this exit code, and gives the report.
    #[track_caller]
    fn replay(&self, target: &FakeTarget, exit: i32, more: &[&str]) -> Value {
        self.mailstow
            .replay_report(&self.archive(), &target.url(), exit, more)
    }
}

/// A number of all mailboxes together.
fn total(report: &Value, key: &str) -> u64 {
    report["total"][key].as_u64().unwrap()
}

/// The row of a mailbox of the target.
#[track_caller]
fn row<'r>(report: &'r Value, name: &str) -> &'r Value {
    let rows = report["mailboxes"].as_array().unwrap();
    let row = rows.iter().find(|row| row["target"] == name);
    row.unwrap_or_else(|| panic!("no mailbox {name} in {report:#}"))
}

/// What the report says of messages, as `what: reason`.
fn notes(report: &Value) -> Vec<String> {
    let messages = report["messages"].as_array().unwrap().iter();
    let text = |note: &Value, key: &str| note[key].as_str().unwrap().to_owned();
    let mut notes: Vec<String> = messages
        .map(|note| format!("{}: {}", text(note, "what"), text(note, "reason")))
        .collect();
    notes.sort();
    notes
}
