//! Backups of a fake server by the real program, and what must be true after each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mailstow::model::{MailboxId, RemoteId};
use mailstow::store::Reader;
use serde_json::Value;

use super::{FakeImap, Remote};
use crate::support::dovecot::PASSWORD;
use crate::support::mailstow::{Ended, Mailstow, assert_sound};

/// What an archive holds as present: mailbox by wire name, UIDVALIDITY and UID, bytes.
pub type Held = BTreeMap<(String, u32, u32), Vec<u8>>;

pub struct Trial {
    pub mailstow: Mailstow,
    pub archive: PathBuf,
}

impl Trial {
    /// With an archive that is not there yet, and without waits between attempts.
    pub fn new() -> Self {
        let mailstow = Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "5");
        let archive = mailstow.archive();
        Self { mailstow, archive }
    }

    /// Runs `backup --json` and gives its report, or the error it ended with. Whatever
    /// happens: nothing raw in the output, no password anywhere, every number adds up.
    #[track_caller]
    pub fn backup(&self, fake: &FakeImap, exit: i32, more: &[&str]) -> Value {
        let mut args = vec!["--json"];
        args.extend(more);
        let ended = self.mailstow.backup(&fake.url(), &self.archive, &args);
        ended.expect(exit);
        assert_harmless(&ended);
        fake.assert_only_looked();
        self.assert_no_password();
        let last = ended.json().pop().expect("a report or an error");
        if last["event"] == "report" {
            assert_adds_up(&last);
        }
        last
    }

    /// Every file of the archive without the password in it.
    fn assert_no_password(&self) {
        if !self.archive.exists() {
            return;
        }
        for (path, bytes) in crate::support::mailstow::files(&self.archive) {
            let found = bytes
                .windows(PASSWORD.len())
                .any(|w| w == PASSWORD.as_bytes());
            assert!(!found, "the password stands in {}", path.display());
        }
    }

    /// The same as text, for people.
    #[track_caller]
    pub fn text(&self, fake: &FakeImap, exit: i32, more: &[&str]) -> Ended {
        let ended = self.mailstow.backup(&fake.url(), &self.archive, more);
        ended.expect(exit);
        assert_harmless(&ended);
        ended
    }

    #[track_caller]
    pub fn held(&self) -> Held {
        held(&self.archive)
    }

    /// The archive holds what the server holds now except `but`, byte for byte, and no more.
    #[track_caller]
    pub fn assert_holds_all_but(&self, fake: &FakeImap, but: &[Remote]) {
        assert_holds_all_but(&self.archive, fake, but);
    }

    /// Reasons of open skips by remote id.
    pub fn skips(&self) -> Vec<(String, String)> {
        let reader = Reader::open(&self.archive, None).unwrap();
        let skips = reader.catalog().skips(false).unwrap();
        skips
            .into_iter()
            .map(|s| {
                (
                    s.remote.map_or_else(|| "?".to_owned(), |r| r.to_string()),
                    s.reason,
                )
            })
            .collect()
    }

    /// The server is well again: the same command completes, asks only for what is missing,
    /// and once more changes nothing.
    #[track_caller]
    pub fn completes(&self, fake: &FakeImap) {
        let before: BTreeSet<Remote> = self
            .held()
            .into_keys()
            .map(|(wire, _, uid)| (wire, uid))
            .collect();
        fake.heal();
        let missing: BTreeMap<Remote, usize> = all(fake)
            .into_keys()
            .filter(|remote| !before.contains(remote))
            .map(|r| (r, 1))
            .collect();
        self.backup(fake, 0, &[]);
        assert_eq!(
            fake.asked(),
            missing,
            "asked for other than what was missing"
        );
        self.assert_holds_all_but(fake, &[]);
        assert_eq!(self.skips(), [], "open skips after a complete run");
        fake.forget();
        self.backup(fake, 0, &[]);
        assert_eq!(
            fake.asked(),
            BTreeMap::new(),
            "asked for bodies that are held"
        );
        assert_sound(&self.archive);
    }
}

/// A remote of INBOX.
pub fn inbox(uid: u32) -> Remote {
    ("INBOX".to_owned(), uid)
}

/// All mail of the server but the made-up one.
pub fn all(fake: &FakeImap) -> BTreeMap<Remote, (u32, Vec<u8>)> {
    let world = fake.world();
    let of = |m: &super::FakeMailbox| {
        let (wire, validity) = (
            String::from_utf8_lossy(&m.wire).into_owned(),
            m.uidvalidity.unwrap_or(0),
        );
        m.messages
            .iter()
            .map(move |x| ((wire.clone(), x.uid), (validity, x.body.clone())))
            .collect::<Vec<_>>()
    };
    world.mailboxes.iter().flat_map(of).collect()
}

#[track_caller]
pub fn held(archive: &Path) -> Held {
    let reader = Reader::open(archive, None).expect("an archive");
    let mut mail = reader.mail();
    let mut held = Held::new();
    for mailbox in reader.catalog().mailboxes(None).unwrap() {
        for row in reader.catalog().placements(mailbox.id, false).unwrap() {
            let RemoteId::Imap { uidvalidity, uid } = row.remote else {
                panic!("{:?}", row.remote)
            };
            let bytes = mail
                .read_to_vec(&row.content)
                .expect("a message that can be read");
            let before = held.insert((mailbox.wire.clone(), uidvalidity, uid), bytes);
            assert!(
                before.is_none(),
                "{} {uidvalidity}:{uid} is placed twice",
                mailbox.wire
            );
        }
    }
    held
}

#[track_caller]
pub fn assert_holds_all_but(archive: &Path, fake: &FakeImap, but: &[Remote]) {
    let expected: Held = all(fake)
        .into_iter()
        .filter(|(remote, _)| !but.contains(remote))
        .map(|((wire, uid), (validity, bytes))| ((wire, validity, uid), bytes))
        .collect();
    let held = held(archive);
    let names = |h: &Held| h.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&held),
        names(&expected),
        "other messages than expected"
    );
    for (remote, bytes) in &held {
        assert!(
            *bytes == expected[remote],
            "{remote:?}: other bytes than the server's"
        );
    }
}

/// EXISTS = stored + linked + held + excluded + left + skipped, per mailbox and in all;
/// where the server was lost the sum is smaller, never larger.
#[track_caller]
pub fn assert_adds_up(report: &Value) {
    let mailboxes = report["mailboxes"].as_array().expect("mailboxes");
    for part in mailboxes.iter().chain([&report["total"]]) {
        let n = |key: &str| {
            part[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {part}"))
        };
        let sum: u64 = ["stored", "linked", "held", "excluded", "left", "skipped"]
            .into_iter()
            .map(n)
            .sum();
        let whole = report["ending"] == "complete";
        assert!(
            if whole {
                sum == n("exists")
            } else {
                sum <= n("exists")
            },
            "does not add up: {part} in {report:#}"
        );
    }
}

/// Nothing that moves a cursor or turns text around gets out, and no password.
#[track_caller]
pub fn assert_harmless(ended: &Ended) {
    for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        let raw = |c: &char| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let found = text.chars().find(raw);
        assert_eq!(found, None, "a raw control character on {stream}: {text:?}");
        assert!(!text.contains(PASSWORD), "the password on {stream}");
    }
}

/// The folder of each mailbox by its wire name.
pub fn folders(archive: &Path) -> BTreeMap<String, (MailboxId, String)> {
    let reader = Reader::open(archive, None).unwrap();
    let mailboxes = reader.catalog().mailboxes(None).unwrap();
    mailboxes
        .into_iter()
        .map(|m| (m.wire, (m.id, m.folder)))
        .collect()
}
