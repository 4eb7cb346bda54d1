//! Dying at every durable step of a run over POP3. The run may delete from the server, so each
//! death has a user of its own, with a copy of one Maildir: the same mail under the same UIDLs.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Command;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use mailstow::archive::format::Record;
use mailstow::archive::{ArchiveDir, DirError, LogPosition, LogReader};
use mailstow::model::{ContentId, JobState};
use mailstow::store::{Reader, StoreError};
use tempfile::TempDir;

use super::archive_state::{
    ArchiveState, archive_state, assert_adds_a_run_record_only, assert_sound, jobs,
};
use super::dovecot::{ALICE, Dovecot, PASSWORD};
use super::mailstow::{Ended, Mailstow};
use super::raw_pop3::RawPop3;
use super::sweep::{Death, copy, in_parallel};

/// A server that lets everybody in, and the folder its configuration is in.
pub fn open_house() -> (Dovecot, TempDir) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("everybody.conf");
    let text = "passdb {\n  driver = static\n  args = nopassword=y\n}\n";
    std::fs::write(&file, text).unwrap();
    let dovecot = Dovecot::start_with(&["--include", file.to_str().unwrap()]);
    (dovecot, dir)
}

/// A backup over POP3 whose crashes are swept.
pub struct PopScenario<'a> {
    pub dovecot: &'a Dovecot,
    /// Environment of every run.
    pub env: &'a [(&'a str, &'a str)],
    /// Environment of the runs after the death, over that.
    pub later: &'a [(&'a str, &'a str)],
    /// Options of a run before the one that dies; none if that is to make the archive.
    pub before: Option<&'a [&'a str]>,
    /// Messages that come after the run before.
    pub arriving: &'a [String],
    /// More options of the run that dies and of those after it.
    pub more: &'a [&'a str],
    /// The number of the next user.
    pub next: AtomicUsize,
    /// What every user has on the server before anything is deleted, by UIDL, once known.
    pub mail: OnceLock<BTreeMap<String, Vec<u8>>>,
    /// Names of the steps somebody died at, to begin with none.
    pub died: Mutex<BTreeSet<String>>,
}

/// The uninterrupted run.
pub struct Undisturbed {
    pub state: ArchiveState,
    /// UIDLs that are left on the server.
    pub left: BTreeSet<String>,
    pub steps: usize,
}

/// One user with an archive.
pub struct Trial {
    user: String,
    pub mailstow: Mailstow,
}

impl<'a> PopScenario<'a> {
    /// A first backup of what alice has; fields may be changed.
    pub fn new(dovecot: &'a Dovecot) -> Self {
        Self {
            dovecot,
            env: &[],
            later: &[],
            before: None,
            arriving: &[],
            more: &[],
            next: AtomicUsize::new(1),
            mail: OnceLock::new(),
            died: Mutex::default(),
        }
    }

    fn begin(&self) -> Trial {
        let user = format!("user{}", self.next.fetch_add(1, Ordering::SeqCst));
        let mail = self.dovecot.path().join("mail");
        copy(&mail.join(ALICE), &mail.join(&user));
        let mut mailstow = Mailstow::new();
        for (key, value) in self.env {
            mailstow = mailstow.with(key, value);
        }
        let trial = Trial { user, mailstow };
        if let Some(options) = self.before {
            Ended::of(&mut self.backup(&trial, options)).expect(0);
            self.drop_new_mail(&mail.join(&trial.user));
        }
        // One look is enough: they are all copies.
        let mail = self.mail.get_or_init(|| self.drain(&trial));
        assert!(!mail.is_empty());
        trial
    }

    /// As a delivery agent does; Dovecot takes them in the order of their names.
    fn drop_new_mail(&self, maildir: &Path) {
        let owner = std::fs::metadata(maildir).unwrap();
        for (n, message) in self.arriving.iter().enumerate() {
            let path = maildir
                .join("new")
                .join(format!("{}.{n}.new", 1_700_000_000 + n));
            std::fs::write(&path, message.replace("\r\n", "\n")).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }

    fn drain(&self, trial: &Trial) -> BTreeMap<String, Vec<u8>> {
        let mut pop3 = RawPop3::login(self.dovecot.pop3_port(), &trial.user, PASSWORD);
        let mail = pop3.drain();
        pop3.quit();
        mail
    }

    fn left(&self, trial: &Trial) -> BTreeSet<String> {
        let mut pop3 = RawPop3::login(self.dovecot.pop3_port(), &trial.user, PASSWORD);
        let left = pop3.uidls().into_values().collect();
        pop3.quit();
        left
    }

    fn backup(&self, trial: &Trial, more: &[&str]) -> Command {
        let (url, archive) = (self.dovecot.pop3_url(&trial.user), trial.mailstow.archive());
        let archive = archive.to_str().unwrap();
        let mut command = trial
            .mailstow
            .command(&["backup", &url, "--to", archive, "-q"]);
        // One name for all, so that archives can be compared.
        command.args(["--account", ALICE]).args(more);
        command
    }

    fn later(&self, trial: &Trial) -> Command {
        let mut command = self.backup(trial, self.more);
        command.envs(self.later.iter().copied());
        command
    }

    /// Runs it to its end.
    pub fn uninterrupted(&self) -> Undisturbed {
        let trial = self.begin();
        let count = trial.mailstow.path().join("steps");
        let mut command = self.backup(&trial, self.more);
        Ended::of(command.env("MAILSTOW_CRASH_STEPS", &count)).expect(0);
        let text = std::fs::read_to_string(count).unwrap();
        let archive = trial.mailstow.archive();
        assert_sound(&archive);
        let state = archive_state(&archive);
        self.assert_nothing_lost(&trial, "uninterrupted", Some(&state));
        Undisturbed {
            state,
            left: self.left(&trial),
            steps: text.split_whitespace().next().unwrap().parse().unwrap(),
        }
    }

    /// Dies at step `n`.
    fn die(&self, n: usize, death: Death) -> Trial {
        let trial = self.begin();
        let name = trial.mailstow.path().join("died-at");
        let mut command = self.backup(&trial, self.more);
        command
            .env("MAILSTOW_CRASH_AT", n.to_string())
            .env("MAILSTOW_CRASH_STEPS", &name);
        if death != Death::Kill {
            command.env("MAILSTOW_CRASH_MODE", "power");
        }
        let ended = Ended::of(&mut command);
        assert_eq!(ended.signal, Some(9), "step {n}, {death:?}: {ended:?}");
        let name = std::fs::read_to_string(name).unwrap();
        let name = name.trim().split_once(' ').unwrap().1.to_owned();
        self.died.lock().unwrap().insert(name);
        let wal = trial.mailstow.archive().join("catalog.sqlite-wal");
        if death == Death::PowerAndWal && wal.exists() {
            let wal = std::fs::OpenOptions::new().write(true).open(wal).unwrap();
            wal.set_len(0).unwrap();
        }
        trial
    }

    /// Every message there was is on the server, or in the archive where it was read back and
    /// hashed.
    #[track_caller]
    fn assert_nothing_lost(&self, trial: &Trial, at: &str, state: Option<&ArchiveState>) {
        let left = self.left(trial);
        for (uidl, bytes) in self.mail.get().unwrap() {
            let id = ContentId::of(bytes).to_string();
            let held = state.is_some_and(|s| s.contents.contains_key(&id));
            assert!(
                left.contains(uidl) || held,
                "{at}: {uidl} is deleted and not held"
            );
        }
    }

    /// What must be true after a death at step `n`. `want` says what the run after it is to
    /// end with, once the archive is as the death has left it.
    pub fn recovers<'w>(
        &self,
        n: usize,
        death: Death,
        want: impl FnOnce(&[Record]) -> &'w Undisturbed,
    ) {
        let trial = self.die(n, death);
        let archive = trial.mailstow.archive();
        let at = format!("step {n}, {death:?}");
        let (seen, records) = match Reader::open(&archive, None) {
            Ok(_) => (Some(archive_state(&archive)), committed(&archive)),
            Err(StoreError::Dir(DirError::Missing(_))) if self.before.is_none() => {
                (None, Vec::new())
            }
            Err(e) => panic!("{at}: {e}"),
        };
        self.assert_nothing_lost(&trial, &at, seen.as_ref());
        let want = want(&records);

        let again = Ended::of(&mut self.later(&trial));
        assert_eq!(
            (again.exit, again.output().as_str()),
            (Some(0), ""),
            "{at}: run again"
        );
        let state = archive_state(&archive);
        assert!(
            state == want.state,
            "{at}: {state:#?}\n--- instead of\n{:#?}",
            want.state
        );
        assert!(
            jobs(&archive).iter().all(|job| job.state != JobState::Open),
            "{at}: an open job"
        );
        assert_sound(&archive);
        assert_adds_a_run_record_only(&archive, || {
            let third = Ended::of(&mut self.later(&trial));
            assert_eq!(third.exit, Some(0), "{at}: third run: {third:?}");
        });
        assert_eq!(archive_state(&archive), want.state, "{at}: third run");
        // Had the run before left more, the third would have had something to record.
        assert_eq!(self.left(&trial), want.left, "{at}: left on the server");
        let litter = std::fs::read_dir(archive.join("tmp")).unwrap().count();
        assert_eq!(litter, 0, "{at}: files in tmp/");
    }

    /// Every `stride`-th step of it, from `first` on. Gives the names of the steps.
    pub fn sweep(&self, death: Death, first: usize, stride: usize) -> BTreeSet<String> {
        let want = self.uninterrupted();
        println!("{} steps, {death:?}, every {stride}.", want.steps);
        let numbers: Vec<usize> = (first..=want.steps).step_by(stride).collect();
        in_parallel(&numbers, |n| self.recovers(n, death, |_| &want));
        self.died.lock().unwrap().clone()
    }
}

/// The records of every whole commit of a journal whose last one may be torn.
fn committed(archive: &Path) -> Vec<Record> {
    let dir = ArchiveDir::open(archive).unwrap();
    let mut log = LogReader::<Record>::new(&dir.journal(), dir.id(), LogPosition::START);
    let mut records = Vec::new();
    while let Ok(Some(frame)) = log.next_frame() {
        records.extend(frame.records);
    }
    records
}
