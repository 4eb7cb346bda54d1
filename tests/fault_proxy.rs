//! The network between us and a server: cut at every byte, reset, stalled, dribbling.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailstow::backup::{self, BackupError, DeletePolicy, Request, Stop};
use mailstow::event::Silent;
use mailstow::model::Selection;
use mailstow::net::{Endpoint, NetOptions, Security, Timeouts};
use mailstow::report::BackupReport;
use mailstow::secret::Credentials;
use mailstow::secret::Secret;
use mailstow::source::{ImapSource, Source};
use mailstow::store::OpenOptions;
use support::fake_imap::trial::{assert_holds_all_but, held};
use support::fake_imap::{FakeImap, FakeMailbox, World};
use support::fault_proxy::{Fault, FaultProxy};
use support::mailstow::{ArchiveState, archive_state, assert_sound};

/// Memory, where the machine has a folder there: thousands of archives are made.
fn folder() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::TempDir::with_prefix_in("ms-", parent).unwrap()
}

/// Two mailboxes, one empty, eight messages, two of them the same: about 4 KB of session.
fn world() -> World {
    let mut mailboxes = [
        FakeMailbox::new("INBOX").filled(5),
        FakeMailbox::new("&BB8-/x").filled(1),
        FakeMailbox::new("none"),
    ];
    let twin = mailboxes[0].messages[1].body.clone();
    mailboxes[1].add(&twin);
    mailboxes[1]
        .add(b"Subject: looks like an answer\r\n\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nm9 OK done\r\n");
    World {
        capabilities: "IMAP4rev1 CONDSTORE ID".to_owned(),
        modseq: Some(99),
        ..World::with(mailboxes)
    }
}

struct Sweep {
    fake: FakeImap,
    proxy: FaultProxy,
    runtime: tokio::runtime::Runtime,
    timeouts: Timeouts,
    dir: tempfile::TempDir,
    archives: usize,
    /// What an uninterrupted run makes, and how many bytes the server said in it.
    whole: ArchiveState,
    bytes: u64,
}

impl Sweep {
    fn new() -> Self {
        backup::testing::bound_waits_ms(0);
        let fake = FakeImap::start(world());
        let proxy = FaultProxy::start(fake.port(), |_| Fault::None);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let whole = ArchiveState {
            placed: Vec::new(),
            contents: Default::default(),
            mailboxes: Vec::new(),
            checkpoints: Vec::new(),
            skips: 0,
        };
        let mut sweep = Self {
            fake,
            proxy,
            runtime,
            timeouts: Timeouts::default(),
            dir: folder(),
            archives: 0,
            whole,
            bytes: 0,
        };
        let archive = sweep.archive();
        assert_eq!(sweep.backup(&archive).unwrap().exit(), 0);
        assert_eq!(sweep.proxy.connections(), 1);
        (sweep.whole, sweep.bytes) = (archive_state(&archive), sweep.proxy.bytes());
        assert!((1500..6000).contains(&sweep.bytes), "{} bytes", sweep.bytes);
        sweep
    }

    /// A path for another archive; the one before is deleted.
    fn archive(&mut self) -> PathBuf {
        let path = |n: usize| self.dir.path().join(n.to_string());
        if self.archives > 0 {
            std::fs::remove_dir_all(path(self.archives)).unwrap();
        }
        self.archives += 1;
        path(self.archives)
    }

    fn backup(&self, archive: &Path) -> Result<BackupReport, BackupError> {
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.proxy.port(),
            security: Security::Plaintext,
        };
        let net = NetOptions {
            timeouts: self.timeouts,
            ..NetOptions::default()
        };
        let credentials = Credentials {
            user: "alice".to_owned(),
            secret: Secret::new("secret".to_owned()),
            authzid: None,
        };
        let request = Request {
            archive: archive.to_owned(),
            open: OpenOptions {
                create: true,
                ..OpenOptions::default()
            },
            source: Source::Imap(ImapSource {
                endpoint,
                net,
                credentials,
                connections: Some(1),
            }),
            account: "alice".to_owned(),
            source_text: "imap://alice@127.0.0.1".to_owned(),
            selection: Selection::default(),
            delete: DeletePolicy::Never,
            flags: mailstow::backup::FlagPolicy::default(),
            believe_deletions: false,
            limits: mailstow::backup::Limits::default(),
            newest_first: false,
            plan_only: false,
            job: None,
        };
        self.runtime
            .block_on(backup::run(&request, Arc::new(Silent), &Stop::default()))
    }

    /// The first connection has this fault, later ones have none: the result is that of an
    /// uninterrupted run.
    fn recovers_from(&mut self, fault: Fault) {
        self.proxy
            .plan(move |n| if n == 1 { fault } else { Fault::None });
        let archive = self.archive();
        let report = self
            .backup(&archive)
            .unwrap_or_else(|error| panic!("{fault:?}: {error} {error:?}"));
        assert_eq!(report.exit(), 0, "{fault:?}: {report:#?}");
        assert!(
            archive_state(&archive) == self.whole,
            "{fault:?}: {:#?}",
            archive_state(&archive)
        );
    }

    /// Every connection has this fault: it is given up, unless each gets a little further; the
    /// archive is sound, and the same command completes on a good day.
    fn gives_up_on(&mut self, fault: Fault) {
        self.proxy.plan(move |_| fault);
        let archive = self.archive();
        let exit = self.backup(&archive).map(|report| report.exit());
        // A run that ends in an error exits 6 as well; 3 is for messages that alone broke it.
        assert!(
            matches!(
                exit,
                Ok(0 | 3 | 6) | Err(BackupError::Connect { .. } | BackupError::List(_))
            ),
            "{fault:?}: {exit:?}"
        );
        assert!(
            self.proxy.connections() < 60,
            "{fault:?}: {} connections",
            self.proxy.connections()
        );
        let all: Vec<_> = held_of(&self.whole);
        let so_far = archive_state(&archive);
        assert!(
            !matches!(exit, Ok(0)) || so_far == self.whole,
            "{fault:?}: exit 0 and {so_far:#?}"
        );
        assert!(
            so_far
                .contents
                .iter()
                .all(|content| self.whole.contents.get(content.0) == Some(content.1)),
            "{fault:?}: half a message"
        );
        assert!(
            held_of(&so_far).iter().all(|placed| all.contains(placed)),
            "{fault:?}: a wrong placement"
        );
        assert_sound(&archive);

        self.proxy.plan(|_| Fault::None);
        let report = self.backup(&archive).unwrap();
        assert_eq!(report.exit(), 0, "after {fault:?}: {report:#?}");
        assert!(
            archive_state(&archive) == self.whole,
            "after {fault:?}: {:#?}",
            archive_state(&archive)
        );
    }
}

fn held_of(state: &ArchiveState) -> Vec<(String, String, String)> {
    state
        .placed
        .iter()
        .map(|p| (p.mailbox.clone(), p.remote.clone(), p.content.clone()))
        .collect()
}

/// Every k-th byte of the session for one of `parts` tests that share the work.
fn cut_first_connection(part: u64, parts: u64) {
    let mut sweep = Sweep::new();
    let started = Instant::now();
    for k in (0..=sweep.bytes).filter(|k| k % parts == part) {
        sweep.recovers_from(Fault::Cut(k));
    }
    eprintln!(
        "{} bytes, part {part} of {parts} in {:?}",
        sweep.bytes,
        started.elapsed()
    );
}

#[test]
fn a_first_connection_cut_at_any_even_byte_changes_nothing() {
    cut_first_connection(0, 2);
}

#[test]
fn a_first_connection_cut_at_any_odd_byte_changes_nothing() {
    cut_first_connection(1, 2);
}

#[test]
fn connections_that_are_always_cut_are_given_up_and_the_next_run_completes() {
    let mut sweep = Sweep::new();
    for k in (0..sweep.bytes).step_by(17) {
        sweep.gives_up_on(Fault::Cut(k));
    }
}

#[test]
fn a_reset_is_no_different_from_an_end() {
    let mut sweep = Sweep::new();
    // In the greeting it may be the connecting that fails, which is a wrong port.
    for k in (100..sweep.bytes).step_by(41) {
        sweep.recovers_from(Fault::Reset(k));
    }
}

#[test]
fn one_byte_at_a_time_changes_nothing() {
    let mut sweep = Sweep::new();
    sweep.recovers_from(Fault::Dribble);
    assert_eq!(sweep.proxy.connections(), 1);
}

#[test]
fn a_stalled_connection_is_left_and_dialled_again() {
    let mut sweep = Sweep::new();
    let wait = Duration::from_millis(200);
    sweep.timeouts = Timeouts {
        greeting: wait,
        read: wait,
        ..Timeouts::default()
    };
    // Not in the greeting or the sign-in: a server that never answers there is a wrong port.
    for k in (500..sweep.bytes).step_by(usize::try_from(sweep.bytes / 9).unwrap()) {
        let started = Instant::now();
        sweep.recovers_from(Fault::Stall(k));
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "stalled at {k} for {:?}",
            started.elapsed()
        );
    }
    let archive = sweep.archive();
    sweep.proxy.plan(|_| Fault::Stall(0));
    let error = sweep.backup(&archive).unwrap_err();
    assert!(matches!(error, BackupError::Connect { .. }), "{error:?}");
    assert_eq!(
        sweep.proxy.connections(),
        1,
        "who never greets is not asked again"
    );
}

#[test]
fn held_mail_is_that_of_the_server() {
    let mut sweep = Sweep::new();
    let archive = sweep.archive();
    sweep.proxy.plan(|_| Fault::None);
    sweep.backup(&archive).unwrap();
    assert_holds_all_but(&archive, &sweep.fake, &[]);
    assert_eq!(held(&archive).len(), 8);
}
