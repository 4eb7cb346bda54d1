//! Somebody works in every mailbox of a Dovecot while it is backed up, run after run. When it is
//! quiet again the archive shows what the server holds, and has forgotten nothing it ever showed.
//!
//! `MAILSTOW_SEED` repeats a course of events, `MAILSTOW_ROUNDS` makes it longer.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use mailstow::model::ContentId;
use mailstow::store::Reader;
use support::archive_state::{archive_state, assert_adds_a_run_record_only, assert_sound};
use support::compare::instant;
use support::dice::Dice;
use support::dovecot::{ALICE, Dovecot};
use support::fake_imap::trial::assert_adds_up;
use support::mailstow::{Ended, Mailstow};
use support::mutator::Mutator;
use support::past::Past;

const FIRST: i64 = 1_780_279_200;
/// More than a week, so that what is looked at weekly is looked at.
const LONG: i64 = 8 * 86_400;
/// On the same day: too soon to prove more of what was recognised and not fetched.
const SOON: i64 = 3600;
/// What is done to the mailboxes during one run.
const ROUNDS_PER_RUN: usize = 12;

/// Mailbox, remote id without its UIDVALIDITY, flags, date with its zone, content.
type Standing = BTreeSet<(String, u32, Vec<String>, (i64, i16), ContentId)>;

struct Nights {
    mailstow: Mailstow,
    url: String,
    now: i64,
    past: Past,
    /// Content of every placement there ever was. What it was called may be another's name by now.
    ever: BTreeSet<String>,
}

impl Nights {
    fn archive(&self) -> PathBuf {
        self.mailstow.archive()
    }

    fn start(&mut self, later: i64, more: &[&str]) -> Child {
        self.now += later;
        let archive = self.archive();
        let to = archive.to_str().unwrap();
        let args = [&["backup", &self.url, "--to", to, "--json"], more].concat();
        let mut command = self.mailstow.command(&args);
        command.env("MAILSTOW_TEST_NOW", self.now.to_string());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        child.spawn().unwrap()
    }

    /// Whatever was shown before is there still.
    #[track_caller]
    fn finish(&mut self, child: Child) -> Ended {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Ended {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            exit: output.status.code(),
            signal: None,
        };
        if ended.exit != Some(3) {
            ended.expect(0);
        }
        let report = ended.report();
        assert_adds_up(&report);
        if ended.exit == Some(3) {
            let mailboxes = report["mailboxes"].as_array().unwrap().iter();
            let problems: Vec<_> = mailboxes.filter(|m| !m["problem"].is_null()).collect();
            let (warnings, skipped) = (&report["warnings"], &report["skipped"]);
            println!("not complete: {warnings} {problems:?} {skipped}");
        }
        let reader = Reader::open(&self.archive(), None).unwrap();
        self.past.assert_last_kept(&reader);
        self.past.add(&reader, self.now);
        let state = archive_state(&self.archive());
        let now: BTreeSet<_> = state.placed.into_iter().map(|p| p.content).collect();
        self.ever.extend(now);
        let held: BTreeSet<_> = state.contents.into_keys().collect();
        let forgotten: Vec<_> = self.ever.difference(&held).take(5).collect();
        assert!(forgotten.is_empty(), "forgotten: {forgotten:#?}");
        ended
    }

    /// A run that nobody disturbs.
    fn run(&mut self, later: i64) -> Ended {
        let child = self.start(later, &[]);
        self.finish(child)
    }

    /// What the archive shows.
    fn shown(&self) -> Standing {
        let reader = Reader::open(&self.archive(), None).unwrap();
        let catalog = reader.catalog();
        let mut standing = Standing::new();
        for mailbox in catalog.mailboxes(None).unwrap() {
            for row in catalog.placements(mailbox.id, false).unwrap() {
                let remote = row.remote.to_string();
                let uid = remote.split_once(':').unwrap().1.parse().unwrap();
                let mut flags: Vec<_> = row.flags.iter().map(str::to_owned).collect();
                flags.sort();
                let date = row.date.map(|d| (d.unix, d.offset_minutes)).unwrap();
                standing.insert((mailbox.name.clone(), uid, flags, date, row.content.id));
            }
        }
        standing
    }
}

/// What the server says.
fn server(dovecot: &Dovecot) -> Standing {
    let all = dovecot.fetch_all(ALICE);
    let mut standing = Standing::new();
    for (name, messages) in all {
        for m in messages {
            let flags = m.flags.into_iter().collect();
            let (date, content) = (instant(&m.internaldate), ContentId::of(&m.body));
            standing.insert((name.clone(), m.uid, flags, date, content));
        }
    }
    standing
}

fn rounds() -> usize {
    let given = std::env::var("MAILSTOW_ROUNDS").ok();
    given.map_or(240, |rounds| rounds.parse().expect("a number"))
}

#[test]
fn somebody_works_in_the_mailboxes_during_every_run() {
    let dice = Dice::thrown("somebody_works_in_the_mailboxes_during_every_run");
    let seed = dice.seed;
    let dovecot = Dovecot::start();
    let mut mutator = Mutator::new(&dovecot, dice);
    let mut nights = Nights {
        mailstow: Mailstow::new().with("MAILSTOW_TEST_BACKOFF_MS", "5"),
        url: dovecot.url(ALICE),
        now: FIRST,
        past: Past::default(),
        ever: BTreeSet::new(),
    };
    let mut left = rounds();
    let (mut incomplete, mut during) = (0, 0);
    while left > 0 {
        // Some runs are slow, so that more happens in them.
        let slowly = ["--connections", "1", "--limit-rate", "60K"];
        let how = if mutator.dice.once_in(3) {
            &slowly[..]
        } else {
            &[]
        };
        let mut child = nights.start(LONG, how);
        for _ in 0..ROUNDS_PER_RUN.min(left) {
            mutator.round();
            left -= 1;
            during += usize::from(child.try_wait().unwrap().is_none());
        }
        incomplete += usize::from(nights.finish(child).exit == Some(3));
    }
    println!("{}", mutator.done.join("\n"));
    println!("seed {seed}: {during} rounds during runs, {incomplete} of which were not complete");

    // The first quiet run may have to make good for the last one, and doubt what it sees.
    nights.run(LONG);
    nights.run(LONG).expect(0);
    let (server, shown) = (server(&dovecot), nights.shown());
    let lacks: Vec<_> = server.difference(&shown).take(5).collect();
    let more: Vec<_> = shown.difference(&server).take(5).collect();
    assert!(
        server == shown,
        "seed {seed}: the archive lacks {lacks:#?}\nand shows what is not so: {more:#?}"
    );
    let archive = nights.archive();
    assert_adds_a_run_record_only(&archive, || {
        nights.run(SOON).expect(0);
    });
    let reader = Reader::open(&archive, None).unwrap();
    nights.past.assert_kept(&reader);
    // Verifies, reads every content back, and finds none kept twice.
    assert_sound(&archive);
}
