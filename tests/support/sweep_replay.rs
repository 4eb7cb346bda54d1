//! Dying at every step of a replay, and what must be true of the target afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailstow::archive::ArchiveDir;
use mailstow::model::ContentId;
use mailstow::replay::ledger::{LedgerPlace, PieceState};

use super::archive_state::files;
use super::compare::instant;
use super::dovecot::{Dovecot, PASSWORD};
use super::mailstow::{Ended, Mailstow};
use super::mutf7;
use super::raw_imap::OracleMessage;
use super::sweep::{Death, copy, in_parallel};

/// A message of the target, without its UID: bytes, flags, second of arrival.
pub type Arrived = (Vec<u8>, BTreeSet<String>, i64);

/// What a user has on the server, in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// By mailbox, sorted; a message that is there twice is here twice.
    pub mail: BTreeMap<String, Vec<Arrived>>,
    /// As LSUB shows it.
    pub subscribed: BTreeSet<String>,
}

/// What the server itself reports of a user.
pub fn target_state(dovecot: &Dovecot, user: &str) -> TargetState {
    let arrived = |m: OracleMessage| {
        let (unix, _) = instant(&m.internaldate);
        (m.body, m.flags, unix)
    };
    let sorted = |(name, messages): (String, Vec<OracleMessage>)| {
        let mut messages: Vec<Arrived> = messages.into_iter().map(arrived).collect();
        messages.sort();
        (name, messages)
    };
    let mail = dovecot.fetch_all(user).into_iter().map(sorted).collect();
    let lines = dovecot.connect(user).command("LSUB \"\" \"*\"");
    let subscribed = lines.into_iter().map(|line| line.text);
    TargetState {
        mail,
        subscribed: subscribed.filter(|l| l.starts_with("* LSUB")).collect(),
    }
}

/// A replay whose crashes are swept. Every run has a user, and so a target, of its own.
pub struct ReplayScenario<'a> {
    pub dovecot: &'a Dovecot,
    /// An archive that was replayed before, if so: the same as `archive`, at an earlier time.
    pub before: Option<PathBuf>,
    pub archive: PathBuf,
    /// More options of every run.
    pub more: &'a [&'a str],
    /// Each number is the same step in every run. Not so with several connections: there a run
    /// may end before it comes to the step it was to die at.
    pub steady: bool,
    next: AtomicUsize,
}

/// A runner with a copy of the archive, and the user it replays to.
pub struct Target {
    mailstow: Mailstow,
    user: String,
}

/// Users there are for runs of a sweep.
const USERS: usize = 2000;

/// A Dovecot with alice, and a user for each run of a sweep.
pub fn with_users(mut dovecot: Dovecot) -> Dovecot {
    dovecot.add_users((0..USERS).map(|n| format!("t{n}")));
    dovecot
}

impl<'a> ReplayScenario<'a> {
    pub fn new(dovecot: &'a Dovecot, archive: &Path, more: &'a [&'a str]) -> Self {
        Self {
            dovecot,
            before: None,
            archive: archive.to_owned(),
            more,
            steady: true,
            next: AtomicUsize::new(0),
        }
    }

    fn begin(&self) -> Target {
        let user = format!("t{}", self.next.fetch_add(1, Ordering::SeqCst));
        let mailstow = Mailstow::new()
            .with("MAILSTOW_TARGET_PASSWORD", PASSWORD)
            .with("MAILSTOW_TEST_SETTLE_MS", "20");
        let target = Target { mailstow, user };
        let archive = target.mailstow.archive();
        if let Some(before) = &self.before {
            copy(before, &archive);
            Ended::of(&mut self.replay(&target)).expect(0);
            let replayed = target.mailstow.path().join("before");
            std::fs::rename(&archive, &replayed).unwrap();
            copy(&self.archive, &archive);
            std::fs::rename(replayed.join("replay"), archive.join("replay")).unwrap();
        } else {
            copy(&self.archive, &archive);
        }
        target
    }

    fn replay(&self, target: &Target) -> Command {
        let (url, archive) = (self.dovecot.url(&target.user), target.mailstow.archive());
        let args = ["replay", archive.to_str().unwrap(), "--to", &url, "--json"];
        let mut command = target.mailstow.command(&args);
        if self.steady {
            command.args(["--target-connections", "1"]);
        }
        command.args(self.more);
        command
    }

    /// Runs it to its end: what the target is then, and the number of steps it took.
    pub fn uninterrupted(&self) -> (TargetState, usize) {
        let target = self.begin();
        self.to_its_end(&target)
    }

    fn to_its_end(&self, target: &Target) -> (TargetState, usize) {
        let count = target.mailstow.path().join("steps");
        let mut command = self.replay(target);
        Ended::of(command.env("MAILSTOW_CRASH_STEPS", &count)).expect(0);
        // A run that has nothing to write takes no step.
        let text = std::fs::read_to_string(count).unwrap_or_default();
        let steps = text
            .split_whitespace()
            .next()
            .map_or(0, |n| n.parse().unwrap());
        (target_state(self.dovecot, &target.user), steps)
    }

    fn die(&self, target: &Target, n: usize, death: Death) {
        let mut command = self.replay(target);
        command.env("MAILSTOW_CRASH_AT", n.to_string());
        if death != Death::Kill {
            command.env("MAILSTOW_CRASH_MODE", "power");
        }
        let ended = Ended::of(&mut command);
        let came_through = !self.steady && ended.exit == Some(0);
        assert!(
            ended.signal == Some(9) || came_through,
            "step {n}, {death:?}: {ended:?}"
        );
    }

    /// What must be true after these deaths, one after the other, the last of them at step `n`:
    /// the same command again ends with what an uninterrupted one ends with, and all intents
    /// closed; and once more, it sends nothing and writes nothing.
    fn recovers(&self, target: &Target, want: &TargetState, at: &str) {
        let again = Ended::of(&mut self.replay(target));
        assert_eq!(again.exit, Some(0), "{at}: run again: {again:?}");
        let state = target_state(self.dovecot, &target.user);
        assert!(
            state == *want,
            "{at} ({}): {}",
            target.user,
            difference(&state, want)
        );
        self.assert_ledger_is_true(target, at);
        let seen = self.dovecot.fetch_all(&target.user);
        let ledger = files(&target.mailstow.archive().join("replay"));
        let third = Ended::of(&mut self.replay(target));
        assert_eq!(third.exit, Some(0), "{at}: third run: {third:?}");
        let report = third.json().pop().expect("a report");
        let total = &report["total"];
        for what in ["appended", "moved_in", "flags_set", "left", "doubtful"] {
            assert_eq!(total[what], 0, "{at}: third run: {what} in {total:#}");
        }
        assert!(
            self.dovecot.fetch_all(&target.user) == seen,
            "{at}: the third run changed the target"
        );
        assert!(
            files(&target.mailstow.archive().join("replay")) == ledger,
            "{at}: the third run wrote to the ledger"
        );
    }

    /// Each piece is on the target, under its UID, with the content and the flags the ledger tells.
    fn assert_ledger_is_true(&self, target: &Target, at: &str) {
        let archive = target.mailstow.archive();
        let place = LedgerPlace {
            base: archive.join("replay"),
            archive: ArchiveDir::open(&archive).unwrap().id().to_owned(),
            address: format!("{}@127.0.0.1:{}", target.user, self.dovecot.imap_port()),
        };
        let state = place.read().unwrap();
        let seen = self.dovecot.fetch_all(&target.user);
        assert!(state.pieces().next().is_some(), "{at}: an empty ledger");
        for piece in state.pieces() {
            assert_eq!(piece.state, PieceState::There, "{at}: {piece:?}");
            let mailbox = &seen[&mutf7::decode(state.wire(piece.target).unwrap())];
            let message = mailbox.iter().find(|m| Some(m.uid) == piece.uid);
            let message = message.unwrap_or_else(|| panic!("{at}: not on the target: {piece:?}"));
            assert_eq!(ContentId::of(&message.body), piece.content, "{at}");
            let flags = piece.flags.and_then(|id| state.flags(id));
            let flags = flags.map(|f| f.iter().map(str::to_owned).collect());
            assert_eq!(flags.as_ref(), Some(&message.flags), "{at}: {piece:?}");
        }
    }

    /// Every `stride`-th step of it; every step of all where MAILSTOW_EVERY_STEP is set.
    pub fn sweep(&self, death: Death, stride: usize) {
        let (want, steps) = self.uninterrupted();
        let stride = thinned(stride);
        println!("{steps} steps, {death:?}, every {stride}.");
        assert!(steps > 20, "{steps} steps only");
        let numbers: Vec<usize> = (1..=steps).step_by(stride).collect();
        in_parallel(&numbers, |n| {
            let target = self.begin();
            self.die(&target, n, death);
            self.recovers(&target, &want, &format!("step {n}, {death:?}"));
        });
    }

    /// A run dies at some places, and the run that recovers at every `stride`-th step of its own.
    pub fn dying_twice(&self, deaths: [Death; 2], places: usize, stride: usize) {
        let (want, steps) = self.uninterrupted();
        let stride = thinned(stride);
        let numbers: Vec<usize> = (0..places)
            .map(|n| steps / 8 + n * steps * 7 / 8 / places)
            .collect();
        in_parallel(&numbers, |first| {
            let target = self.begin();
            self.die(&target, first, deaths[0]);
            let (state, steps) = self.to_its_end(&target);
            assert!(state == want, "step {first}: {}", difference(&state, &want));
            for second in (1 + first % stride..=steps).step_by(stride) {
                let target = self.begin();
                self.die(&target, first, deaths[0]);
                self.die(&target, second, deaths[1]);
                let at = format!("steps {first} and {second}, {deaths:?}");
                self.recovers(&target, &want, &at);
            }
        });
    }
}

fn thinned(stride: usize) -> usize {
    let all = std::env::var_os("MAILSTOW_EVERY_STEP").is_some();
    if all { 1 } else { stride }
}

/// What differs, in words that can be read.
pub fn difference(found: &TargetState, want: &TargetState) -> String {
    let mut words = String::new();
    let line = |(body, flags, unix): &Arrived| {
        let body = String::from_utf8_lossy(body);
        let subject = body.lines().next().unwrap_or_default();
        format!("{subject} ({} bytes) {flags:?} {unix}\n", body.len())
    };
    let lines = |state: &TargetState| -> BTreeSet<String> {
        let mail = state.mail.iter().flat_map(|(name, messages)| {
            let first = std::iter::once(format!("{name}: {} messages\n", messages.len()));
            first.chain(messages.iter().enumerate().map(move |(n, m)| {
                // The how-manieth of its like.
                let same = messages[..n].iter().filter(|o| *o == m).count();
                format!("{name} #{same}: {}", line(m))
            }))
        });
        mail.chain(state.subscribed.iter().map(|s| format!("{s}\n")))
            .collect()
    };
    let (found, want) = (lines(found), lines(want));
    for one in found.difference(&want) {
        words.push_str("too much: ");
        words.push_str(one);
    }
    for one in want.difference(&found) {
        words.push_str("missing: ");
        words.push_str(one);
    }
    words
}
