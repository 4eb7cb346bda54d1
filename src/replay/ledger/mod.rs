//! The ledger of one target: opened, read, and written to by one thread.
//!
//! Whoever wants records to be durable waits for [`Ledger::commit`]; what several wait for at
//! once goes into one frame, and costs one sync.

mod state;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::archive::ledger::LedgerRecord;
use crate::archive::{LogError, LogPosition, LogReader, LogWriter};
use crate::clock::Clock;
use crate::contact::describe;
use crate::durable::{self, Lock, LockError};

pub use state::{LedgerState, OriginKey, Piece, PieceState};
use writer::WriterThread;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another replay to this target runs.
    #[error("cannot lock the ledger `{}`", path.display())]
    Lock {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: LockError,
    },
    /// It is damaged, or cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A newer program wrote it.
    #[error("the ledger holds records of a kind this mailstow does not know: {}", .0.join(", "))]
    NewerRecords(Vec<String>),
    /// It is about another target.
    #[error("the ledger `{}` is about {found}", path.display())]
    OtherTarget {
        /// Its folder.
        path: PathBuf,
        /// Whose mail it is about.
        found: String,
    },
    /// Its folder cannot be made or read.
    #[error("cannot use the ledger `{}`", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Writing it failed; nothing more is sent.
    #[error("{0}")]
    Failed(String),
    /// The thread that writes it is gone.
    #[error("the ledger can no longer be written to")]
    Gone,
}

/// Where the ledgers of an archive are, and how they are told apart.
#[derive(Debug, Clone)]
pub struct LedgerPlace {
    /// The folder of all ledgers, `ARCHIVE/replay` unless the user names another.
    pub base: PathBuf,
    /// The archive's id.
    pub archive: String,
    /// `user@host` of the target.
    pub address: String,
}

impl LedgerPlace {
    /// The folder of this ledger.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.base.join(slug(&self.address))
    }

    fn io(&self, source: std::io::Error) -> LedgerError {
        LedgerError::Io {
            path: self.folder(),
            source,
        }
    }

    /// What the ledger says, without a lock; nothing where there is none yet.
    ///
    /// # Errors
    /// It is damaged, of another target, or of a newer program.
    pub fn read(&self) -> Result<LedgerState, LedgerError> {
        let folder = self.folder();
        match folder.try_exists() {
            Ok(true) => {}
            Ok(false) => return Ok(LedgerState::default()),
            Err(source) => return Err(self.io(source)),
        }
        let (state, ..) = self.replay_log(&folder)?;
        Ok(state)
    }

    /// Reads all frames: what they say, where they end, and the number of the last run.
    fn replay_log(&self, folder: &Path) -> Result<(LedgerState, LogPosition, u32), LedgerError> {
        let mut reader = LogReader::<LedgerRecord>::new(folder, &self.archive, LogPosition::START);
        let mut state = LedgerState::default();
        let mut run = 0;
        loop {
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                // A commit that never happened: nothing was sent on its strength.
                Ok(None) | Err(LogError::Torn { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            if !frame.unknown_critical.is_empty() {
                return Err(LedgerError::NewerRecords(frame.unknown_critical));
            }
            run = frame.head.run;
            for record in &frame.records {
                state.apply(record);
            }
        }
        if let Some(found) = state.address().filter(|found| *found != self.address) {
            return Err(LedgerError::OtherTarget {
                path: folder.to_owned(),
                found: found.to_owned(),
            });
        }
        Ok((state, reader.position(), run))
    }
}

/// An opened ledger. Dropping it waits for what was handed over to be written.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<LedgerState>,
    /// None where nothing is to be written.
    writer: Option<WriterThread>,
    _lock: Option<Lock>,
}

impl Ledger {
    /// Opens a ledger for writing, and makes it where there is none.
    ///
    /// # Errors
    /// As [`LedgerError`] says. One that is damaged is left as it is.
    pub fn open(place: &LedgerPlace, clock: &Clock) -> Result<Self, LedgerError> {
        let folder = place.folder();
        for dir in [&place.base, &folder] {
            // The folder of all ledgers may be a link of the user's; nothing below it may.
            if !dir.is_dir() {
                durable::ensure_dir(dir).map_err(|e| place.io(e))?;
            }
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                durable::sync_dir(parent).map_err(|e| place.io(e))?;
            }
        }
        let lock = Lock::take(&folder.join("lock")).map_err(|source| LedgerError::Lock {
            path: folder.clone(),
            source,
        })?;
        // What an earlier process read as written may not have been synced.
        LogWriter::<LedgerRecord>::settle(&folder)?;
        let (mut state, end, run) = place.replay_log(&folder)?;
        let mut log = LogWriter::open(&folder, &place.archive, end)?;
        if state.address().is_none() {
            let address = place.address.clone();
            let first = [LedgerRecord::Target { address }];
            log.append(run + 1, &clock.now(), &first)?;
            first.iter().for_each(|record| state.apply(record));
        }
        let writer = WriterThread::start(log, run + 1, *clock).map_err(|e| place.io(e))?;
        Ok(Self {
            state: Mutex::new(state),
            writer: Some(writer),
            _lock: Some(lock),
        })
    }

    /// Reads a ledger for a plan: what is committed to it is written nowhere.
    ///
    /// # Errors
    /// As [`LedgerPlace::read`].
    pub fn open_dry(place: &LedgerPlace) -> Result<Self, LedgerError> {
        Ok(Self {
            state: Mutex::new(place.read()?),
            writer: None,
            _lock: None,
        })
    }

    /// What it says by now.
    pub fn state(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes records; on return they are durable, and part of what the ledger says. Dropping the
    /// future does not take them back: they may be written, and are not part of the state.
    ///
    /// # Errors
    /// Writing failed, now or before. Nothing more can be written then.
    pub async fn commit(&self, records: Vec<LedgerRecord>) -> Result<(), LedgerError> {
        if records.is_empty() {
            return Ok(());
        }
        let records = match &self.writer {
            Some(writer) => writer.write(records).await?,
            None => records,
        };
        let mut state = self.state();
        records.iter().for_each(|record| state.apply(record));
        Ok(())
    }
}

/// A name for a folder: readable, and another one for every address.
fn slug(address: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "@.-_".contains(c);
    let mut slug: String = address
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(80)
        .collect();
    if slug != address || slug.starts_with('.') {
        let digest = blake3::hash(address.as_bytes()).to_hex();
        let digits: String = digest.chars().take(8).collect();
        slug = format!("{}~{digits}", slug.trim_start_matches('.'));
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ledger::{Fate, Outcome, TargetMailbox};

    fn place(base: &Path) -> LedgerPlace {
        LedgerPlace {
            base: base.join("replay"),
            archive: "a".repeat(32),
            address: "bob@imap.example.com".into(),
        }
    }

    fn mailbox(id: u32) -> LedgerRecord {
        LedgerRecord::Mailbox(TargetMailbox {
            id,
            wire: format!("m{id}"),
        })
    }

    #[test]
    fn folders_are_readable_and_never_shared() {
        assert_eq!(slug("bob@imap.example.com"), "bob@imap.example.com");
        for (a, b) in [("Bob@x", "bob@x"), ("a/b@x", "a_b@x"), ("..@x", "@x")] {
            assert_ne!(slug(a), slug(b));
        }
        let hostile = slug("../../etc/passwd");
        assert!(
            !hostile.contains('/') && !hostile.starts_with('.'),
            "{hostile}"
        );
    }

    #[tokio::test]
    async fn what_was_committed_is_there_again_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path());
        assert!(place.read().unwrap().address().is_none());
        let ledger = Ledger::open(&place, &Clock::Fixed(0)).unwrap();
        let (one, two) = tokio::join!(
            ledger.commit(vec![mailbox(1)]),
            ledger.commit(vec![mailbox(2)])
        );
        one.unwrap();
        two.unwrap();
        assert!(matches!(
            Ledger::open(&place, &Clock::Fixed(0)),
            Err(LedgerError::Lock { .. })
        ));
        drop(ledger);
        let file = place.folder().join("000001.jsonl.zst");
        let whole = std::fs::read(&file).unwrap();
        let mut torn = whole.clone();
        torn.extend_from_slice(&whole[..9]);
        #[expect(clippy::disallowed_methods, reason = "a torn tail made by hand")]
        std::fs::write(&file, torn).unwrap();
        assert_eq!(place.read().unwrap().target("m2"), Some(2));
        let ledger = Ledger::open(&place, &Clock::Fixed(0)).unwrap();
        let gone = Outcome {
            no: 9,
            fate: Fate::Absent,
        };
        ledger
            .commit(vec![mailbox(3), LedgerRecord::Outcome(gone)])
            .await
            .unwrap();
        drop(ledger);
        let state = place.read().unwrap();
        assert_eq!((state.target("m1"), state.target("m3")), (Some(1), Some(3)));
        assert_eq!(state.address(), Some("bob@imap.example.com"));
    }
}
