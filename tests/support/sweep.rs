//! Dying at every durable step of a run, and what must be true afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailstow::archive::DirError;
use mailstow::model::JobState;
use mailstow::store::{Reader, StoreError};

use super::archive_state::{
    ArchiveState, archive_state, assert_adds_a_run_record_only, assert_sound, jobs,
};
use super::dovecot::{ALICE, Dovecot};
use super::mailstow::{Ended, Mailstow};

/// What dies with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// SIGKILL: what was written stays.
    Kill,
    /// A power cut: what no sync made durable is gone.
    Power,
    /// A power cut that takes the catalog's write-ahead log as well, which nobody syncs.
    PowerAndWal,
}

/// A backup whose crashes are swept.
pub struct Scenario<'a> {
    pub dovecot: &'a Dovecot,
    /// The archive the run begins with; none if it is to make one.
    pub before: Option<PathBuf>,
    /// Environment of every run, such as limits that a test lowers.
    pub env: &'a [(&'a str, &'a str)],
    /// More options of every run.
    pub more: &'a [&'a str],
}

/// The uninterrupted run.
pub struct Uninterrupted {
    pub state: ArchiveState,
    /// How many steps it took, with the name of the last.
    pub steps: usize,
}

impl Scenario<'_> {
    fn begin(&self) -> Mailstow {
        let mut mailstow = Mailstow::new();
        for (key, value) in self.env {
            mailstow = mailstow.with(key, value);
        }
        if let Some(before) = &self.before {
            copy(before, &mailstow.archive());
        }
        mailstow
    }

    /// Whether it began with a whole archive, not with nothing or an unfinished creation.
    fn had_archive(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|path| path.join("archive.toml").exists())
    }

    fn backup(&self, mailstow: &Mailstow) -> Command {
        let (url, archive) = (self.dovecot.url(ALICE), mailstow.archive());
        let archive = archive.to_str().unwrap();
        let mut command = mailstow.command(&["backup", &url, "--to", archive, "-q"]);
        command.args(["--connections", "1"]).args(self.more);
        command
    }

    /// Runs it to its end. Gives the runner with the archive.
    pub fn run(&self) -> Mailstow {
        let mailstow = self.begin();
        Ended::of(&mut self.backup(&mailstow)).expect(0);
        mailstow
    }

    /// Runs it to its end, and counts its steps.
    pub fn uninterrupted(&self) -> Uninterrupted {
        let mailstow = self.begin();
        let count = mailstow.path().join("steps");
        let mut command = self.backup(&mailstow);
        Ended::of(command.env("MAILSTOW_CRASH_STEPS", &count)).expect(0);
        let text = std::fs::read_to_string(count).unwrap();
        let steps = text.split_whitespace().next().unwrap().parse().unwrap();
        assert_sound(&mailstow.archive());
        let state = archive_state(&mailstow.archive());
        Uninterrupted { state, steps }
    }

    /// Dies at step `n`. Gives the runner with the archive as it was left.
    pub fn die(&self, n: usize, death: Death) -> Mailstow {
        let mailstow = self.begin();
        let mut command = self.backup(&mailstow);
        command.env("MAILSTOW_CRASH_AT", n.to_string());
        if death != Death::Kill {
            command.env("MAILSTOW_CRASH_MODE", "power");
        }
        let ended = Ended::of(&mut command);
        assert_eq!(ended.signal, Some(9), "step {n}, {death:?}: {ended:?}");
        let wal = mailstow.archive().join("catalog.sqlite-wal");
        if death == Death::PowerAndWal && wal.exists() {
            let wal = std::fs::OpenOptions::new().write(true).open(wal).unwrap();
            wal.set_len(0).unwrap();
        }
        mailstow
    }

    /// What must be true after a death at step `n`: what is named can be read; the same
    /// command again ends as the uninterrupted run did; once more adds a run record only.
    pub fn recovers(&self, n: usize, death: Death, want: &ArchiveState) {
        let mailstow = self.die(n, death);
        let archive = mailstow.archive();
        let at = format!("step {n}, {death:?}");
        match Reader::open(&archive, None) {
            // A reader sees no message that is not there in full.
            Ok(_) => {
                let seen = archive_state(&archive);
                let known = seen
                    .contents
                    .keys()
                    .all(|id| want.contents.contains_key(id));
                assert!(known, "{at}: a content nobody sent");
            }
            Err(StoreError::Dir(DirError::Missing(_))) if !self.had_archive() => {}
            Err(e) => panic!("{at}: {e}"),
        }
        let again = Ended::of(&mut self.backup(&mailstow));
        assert_eq!(
            (again.exit, again.output().as_str()),
            (Some(0), ""),
            "{at}: run again"
        );
        let state = archive_state(&archive);
        assert!(
            state == *want,
            "{at}: {state:#?}\n--- instead of\n{want:#?}"
        );
        assert!(
            jobs(&archive).iter().all(|job| job.state != JobState::Open),
            "{at}: an open job"
        );
        assert_sound(&archive);
        assert_adds_a_run_record_only(&archive, || {
            let third = Ended::of(&mut self.backup(&mailstow));
            assert_eq!(third.exit, Some(0), "{at}: third run: {third:?}");
        });
        assert_eq!(archive_state(&archive), *want, "{at}: third run");
        let litter = std::fs::read_dir(archive.join("tmp")).unwrap().count();
        assert_eq!(litter, 0, "{at}: files in tmp/");
    }

    /// Every `stride`-th step of it.
    pub fn sweep(&self, death: Death, stride: usize) {
        let Uninterrupted { state, steps } = self.uninterrupted();
        println!("{steps} steps, {death:?}, every {stride}.");
        let numbers: Vec<usize> = (1..=steps).step_by(stride).collect();
        in_parallel(&numbers, |n| self.recovers(n, death, &state));
    }
}

/// Calls `each` for every number, on as many threads as there are cores. A panic names its
/// number and ends the test.
pub fn in_parallel(numbers: &[usize], each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(n) = numbers.get(next.fetch_add(1, Ordering::SeqCst)) {
                    each(*n);
                }
            });
        }
    });
}

/// Copies an archive as it lies.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("run cp").success());
}
