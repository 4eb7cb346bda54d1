//! Night after night of a fake server: the archive's present is the server, and its past is what
//! it showed before.

use std::collections::BTreeSet;

use mailstow::model::ContentId;
use mailstow::store::Reader;
use serde_json::Value;

use super::trial::{Trial, assert_adds_up, assert_harmless};
use super::{FakeImap, World};
use crate::support::archive_state::{assert_adds_a_run_record_only, assert_sound};
use crate::support::compare::instant;
use crate::support::mailstow::Ended;
use crate::support::nights::words;
use crate::support::past::Past;

/// The time of the first run.
const FIRST: i64 = 1_780_279_200;
/// Between two nights. More than a week, so that what is looked at weekly is looked at.
const LONG: i64 = 8 * 86_400;
/// Between a night and a quiet run after it.
const SOON: i64 = 3600;

/// A message as it stands: mailbox by wire name, remote id, flags, date with its zone, content.
pub type Standing = BTreeSet<(String, String, Vec<String>, Option<(i64, i16)>, ContentId)>;

pub struct Mirror {
    pub fake: FakeImap,
    pub trial: Trial,
    now: i64,
    past: Past,
}

impl Mirror {
    pub fn of(world: World) -> Self {
        Self {
            fake: FakeImap::start(world),
            trial: Trial::new(),
            now: FIRST - LONG,
            past: Past::default(),
        }
    }

    /// A night after which the archive shows what the server holds.
    #[track_caller]
    pub fn night(&mut self) -> Value {
        let report = self.night_ending(0, &[]);
        self.assert_mirrors();
        report
    }

    /// A night that ends so. Whatever was shown in an earlier one is shown for it still.
    #[track_caller]
    pub fn night_ending(&mut self, exit: i32, more: &[&str]) -> Value {
        self.now += LONG;
        self.run(&[exit], more)
    }

    /// A night during which somebody works in the mailboxes: complete, or not quite.
    #[track_caller]
    pub fn restless_night(&mut self) -> Value {
        self.now += LONG;
        self.run(&[0, 3], &[])
    }

    /// A run an hour later.
    #[track_caller]
    pub fn soon_after(&mut self, exit: i32, more: &[&str]) -> Value {
        self.now += SOON;
        self.run(&[exit], more)
    }

    #[track_caller]
    fn run(&mut self, exits: &[i32], more: &[&str]) -> Value {
        self.fake.forget();
        let (url, archive) = (self.fake.url(), &self.trial.archive);
        let to = archive.to_str().unwrap();
        let args = [&["backup", &url, "--to", to, "--json"], more].concat();
        let mut command = self.trial.mailstow.command(&args);
        command.env("MAILSTOW_TEST_NOW", self.now.to_string());
        let ended = Ended::of(&mut command);
        let usual = exits.first().copied().unwrap_or(0);
        let exit = ended.exit.filter(|exit| exits.contains(exit));
        ended.expect(exit.unwrap_or(usual));
        assert_harmless(&ended);
        let report = ended.report();
        assert_adds_up(&report);
        let reader = Reader::open(archive, None).unwrap();
        self.past.assert_kept(&reader);
        self.past.add(&reader, self.now);
        report
    }

    /// One more run adds a run record and nothing else, and asks for no body.
    #[track_caller]
    pub fn quiet(&mut self) -> Value {
        let archive = self.trial.archive.clone();
        let mut report = Value::Null;
        assert_adds_a_run_record_only(&archive, || report = self.soon_after(0, &[]));
        let asked: Vec<_> = self.fake.asked().into_keys().collect();
        assert_eq!(asked, [], "bodies that are held");
        report
    }

    /// What the server holds is what the archive shows of the mailboxes that the server lists.
    #[track_caller]
    pub fn assert_mirrors(&self) {
        let (server, archive) = (self.server(), self.archive());
        let missing: Vec<_> = server.difference(&archive).take(5).collect();
        let false_ones: Vec<_> = archive.difference(&server).take(5).collect();
        assert!(
            server == archive,
            "the archive lacks {missing:#?}\nand shows what is not so: {false_ones:#?}"
        );
    }

    pub fn server(&self) -> Standing {
        let world = self.fake.world();
        let mut standing = Standing::new();
        for mailbox in &world.mailboxes {
            let wire = String::from_utf8_lossy(&mailbox.wire).into_owned();
            for message in &mailbox.messages {
                let flags: BTreeSet<String> = message
                    .flags
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                standing.insert((
                    wire.clone(),
                    format!("{}:{}", mailbox.uidvalidity.unwrap_or(0), message.uid),
                    flags.into_iter().collect(),
                    Some(instant(&message.date)),
                    ContentId::of(&message.body),
                ));
            }
        }
        standing
    }

    /// What the archive shows as present.
    pub fn archive(&self) -> Standing {
        let listed: Vec<Vec<u8>> = {
            let world = self.fake.world();
            world.mailboxes.iter().map(|m| m.wire.clone()).collect()
        };
        let mut standing = self.everything();
        standing.retain(|(wire, ..)| listed.iter().any(|l| l == wire.as_bytes()));
        standing
    }

    /// The same, with mailboxes the server does not list.
    pub fn everything(&self) -> Standing {
        let reader = Reader::open(&self.trial.archive, None).unwrap();
        let mut standing = Standing::new();
        for mailbox in reader.catalog().mailboxes(None).unwrap() {
            for row in reader.catalog().placements(mailbox.id, false).unwrap() {
                let mut flags = words(&row.flags);
                flags.sort();
                let date = row.date.map(|date| (date.unix, date.offset_minutes));
                let remote = row.remote.to_string();
                let key = (mailbox.wire.clone(), remote, flags, date, row.content.id);
                assert!(standing.insert(key), "placed twice");
            }
        }
        standing
    }

    /// Every content is whole, and none is kept twice.
    #[track_caller]
    pub fn assert_sound(&self) {
        assert_sound(&self.trial.archive);
        crate::support::archive_state::archive_state(&self.trial.archive);
    }
}
