//! Opening for writing: the lock, the `clean` mark, and what to do when it is missing.

use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::adopt::{self, Behind, Findings};
use super::folders;
use super::write::Writer;
use crate::archive::format::Record;
use crate::archive::{
    ArchiveDir, DirError, Effort, LogError, LogPosition, LogReader, LogWriter, MailWriter,
    last_file, log_file,
};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::durable::{self, Lock};

/// How to open an archive for writing.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Make the archive if there is none.
    pub create: bool,
    /// Where the catalog lies, if not in the archive.
    pub catalog: Option<PathBuf>,
    /// Time and ids.
    pub clock: Clock,
    /// How hard mail is compressed.
    pub effort: Effort,
    /// Threads that compress; 0 means one, or two where there are three cores or more.
    pub threads: usize,
}

impl OpenOptions {
    /// Opens the archive at `root` and takes its lock.
    ///
    /// After an unclean stop this reads what lies behind the catalog's position, checks the
    /// mail it names, adopts whole frames nobody named and cuts torn ones. What it found is
    /// committed before it returns, so a crash in here is a crash like any other.
    ///
    /// # Errors
    /// Damage to the journal is an error and changes nothing. Damage to a segment is not: it
    /// is recorded, and stands in [`Writer::findings`].
    pub fn open(&self, root: &Path) -> Result<Writer, StoreError> {
        let exists = match ArchiveDir::open(root) {
            Ok(_) => true,
            Err(DirError::Missing(_)) if self.create => {
                ArchiveDir::may_create(root)?;
                ArchiveDir::make_root(root)?;
                false
            }
            Err(e) => return Err(e.into()),
        };
        let lock_error = |source| StoreError::Lock {
            path: root.to_owned(),
            source,
        };
        let mut lock = Lock::take(&ArchiveDir::lock_path(root)).map_err(lock_error)?;
        let dir = if exists {
            ArchiveDir::open(root)?
        } else {
            self.create_or_open(root)?
        };
        let mark = lock.read_mark().map_err(|source| StoreError::Io {
            path: ArchiveDir::lock_path(root),
            source,
        })?;
        let catalog_path = self
            .catalog
            .clone()
            .unwrap_or_else(|| root.join("catalog.sqlite"));
        empty_tmp(&dir)?;

        let last = last_file(&dir.journal()).map_err(|source| StoreError::Io {
            path: dir.journal(),
            source,
        })?;
        let mark = Mark::parse(&mark);
        if mark.clean
            && let Some(position) = clean_position(&catalog_path, &dir, last, mark.commit)
        {
            take_mark(&mut lock, &dir, mark.commit)?;
            if let Some(catalog) = Catalog::open_for_writing(&catalog_path, false) {
                return self.writer(dir, lock, catalog, position, Findings::default());
            }
        }
        self.open_unclean(dir, lock, &catalog_path, mark)
    }

    /// Somebody may have finished the creation between our look and our lock.
    fn create_or_open(&self, root: &Path) -> Result<ArchiveDir, StoreError> {
        match ArchiveDir::open(root) {
            Err(DirError::Missing(_)) => Ok(ArchiveDir::create(root, &self.clock)?),
            other => Ok(other?),
        }
    }

    fn open_unclean(
        &self,
        dir: ArchiveDir,
        mut lock: Lock,
        catalog_path: &Path,
        mark: Mark,
    ) -> Result<Writer, StoreError> {
        LogWriter::<Record>::settle(&dir.journal())?;
        folders::settle_names(&dir.mail())?;
        let root = dir.root();
        durable::sync_dir(root).map_err(|source| StoreError::Io {
            path: root.to_owned(),
            source,
        })?;
        // After a clean end there is no WAL; one that is there belongs to another catalog,
        // and SQLite would apply it to this one.
        let ours = |c: &Catalog| c.archive().is_ok_and(|id| id == dir.id());
        let trusted = !mark.clean || !Catalog::has_wal(catalog_path);
        let lying = if trusted {
            Catalog::open_for_reading(catalog_path).filter(ours)
        } else {
            None
        };
        let from = lying
            .and_then(|c| c.position().ok())
            .unwrap_or(LogPosition::START);
        // Damage to the journal must change nothing, so all of it is looked at before anything is.
        survey(&dir, from, mark.commit)?;
        if !trusted {
            // ORDER: while the clean mark still says that the WAL is a stranger's. Without the
            // mark the next opening would take it for our own.
            Catalog::discard(catalog_path)?;
        }
        take_mark(&mut lock, &dir, mark.commit)?;
        let usable = if trusted {
            Catalog::open_for_writing(catalog_path, true).filter(ours)
        } else {
            None
        };
        let rebuilt = usable.is_none();
        let mut catalog = match usable {
            Some(catalog) => catalog,
            None => Catalog::create_beside(catalog_path, dir.id())?,
        };
        let mut behind = Behind::default();
        let end = roll_forward(&dir, &mut catalog, &mut behind)?;
        // Whoever erased something may have died before the catalog was rid of it, and one that is
        // built anew learns all of it again first.
        if !catalog.forgotten()?.is_empty()
            && let Err(error) = catalog.scrub()
        {
            // A full disk must not stand between a backup and its archive; `forget` insists.
            tracing::warn!(%error, "what was erased may lie in free pages of the catalog still");
        }
        if rebuilt {
            catalog = catalog.install(catalog_path)?;
        }
        // A clean end whose catalog was deleted: all mail was durable and nothing was open.
        let clean = mark.clean && mark.commit == end.commit && adopt::are_whole(&dir, &catalog)?;
        let tails = if clean {
            Vec::new()
        } else {
            adopt::examine(&dir, &catalog, &behind)?
        };
        let (records, findings) = adopt::settle(&dir, &catalog, tails)?;
        let mut writer = self.writer(dir, lock, catalog, end, findings)?;
        if !records.is_empty() {
            writer.commit_records(records)?;
        }
        Ok(writer)
    }

    fn writer(
        &self,
        dir: ArchiveDir,
        lock: Lock,
        catalog: Catalog,
        end: LogPosition,
        findings: Findings,
    ) -> Result<Writer, StoreError> {
        let journal = LogWriter::open(&dir.journal(), dir.id(), end)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Every one of them holds a frame of text (`DATA_FRAME_BYTES`) and as much room for the result.
        let threads = if self.threads == 0 {
            (cores - 1).clamp(1, 2)
        } else {
            self.threads
        };
        let mail = MailWriter::new(dir.root(), dir.id(), self.effort, threads)?;
        Writer::new(dir, lock, catalog, journal, mail, self.clock, findings)
    }
}

/// What the lock says of the last writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// It ended in good order.
    clean: bool,
    /// The journal holds at least this many commits.
    commit: u64,
}

impl Mark {
    fn parse(text: &str) -> Self {
        let commit = |number: &str| number.parse().unwrap_or(0);
        match text.trim().rsplit_once(' ') {
            Some(("clean", n)) => Self {
                clean: n.parse::<u64>().is_ok(),
                commit: commit(n),
            },
            Some(("in use from", n)) => Self {
                clean: false,
                commit: commit(n),
            },
            _ => Self::default(),
        }
    }
}

/// Takes the clean mark away.
///
/// ORDER: before the first byte of anything, SQLite's write-ahead log included. A torn frame
/// behind a clean mark would be appended to, and a WAL beside one belongs to another catalog.
fn take_mark(lock: &mut Lock, dir: &ArchiveDir, commit: u64) -> Result<(), StoreError> {
    let path = ArchiveDir::lock_path(dir.root());
    let written = lock.write_mark(&format!("in use from {commit}\n"));
    written.map_err(|source| StoreError::Io { path, source })
}

/// The end of the journal, when mark, catalog and journal agree that nothing happened since.
fn clean_position(
    path: &Path,
    dir: &ArchiveDir,
    last: Option<(u32, u64)>,
    commit: u64,
) -> Option<LogPosition> {
    // After a clean end no WAL is there; one that is belongs to something else.
    if Catalog::has_wal(path) {
        return None;
    }
    let catalog = Catalog::open_for_reading(path)?;
    if !adopt::are_whole(dir, &catalog).ok()? {
        return None;
    }
    let position = catalog.position().ok()?;
    let at_end = last.map_or(position == LogPosition::START, |last| {
        last == (position.file, position.offset)
    });
    let ours = catalog.archive().ok()? == dir.id();
    (at_end && ours && position.commit == commit).then_some(position)
}

/// Reads the journal to its end, which must not lie before the commit that the last orderly
/// end left its mark at.
fn survey(dir: &ArchiveDir, from: LogPosition, promised: u64) -> Result<(), StoreError> {
    let mut reader = LogReader::<Record>::new(&dir.journal(), dir.id(), from);
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) if !frame.unknown_critical.is_empty() => {
                return Err(StoreError::NewerRecords(frame.unknown_critical));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(LogError::Torn { .. }) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let end = reader.position();
    if end.commit < promised {
        let reason = format!(
            "it ends with commit {}, and {promised} were made",
            end.commit
        );
        return Err(LogError::Damaged {
            path: log_file(&dir.journal(), end.file),
            offset: end.offset,
            reason,
        }
        .into());
    }
    Ok(())
}

/// Applies what the journal holds behind the catalog's position; a torn tail is its end.
pub(super) fn roll_forward(
    dir: &ArchiveDir,
    catalog: &mut Catalog,
    behind: &mut Behind,
) -> Result<LogPosition, StoreError> {
    let mut reader = LogReader::<Record>::new(&dir.journal(), dir.id(), catalog.position()?);
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                if !frame.unknown_critical.is_empty() {
                    return Err(StoreError::NewerRecords(frame.unknown_critical));
                }
                catalog.apply(
                    dir.id(),
                    frame.head.run,
                    &frame.head.at,
                    &frame.records,
                    frame.end,
                )?;
                behind.note(&frame.records);
            }
            Ok(None) | Err(LogError::Torn { .. }) => return Ok(reader.position()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Removes what earlier runs left in `tmp/`.
fn empty_tmp(dir: &ArchiveDir) -> Result<(), StoreError> {
    let tmp = dir.tmp();
    let io = |source: io::Error| StoreError::Io {
        path: tmp.clone(),
        source,
    };
    durable::ensure_dir(&tmp).map_err(io)?;
    for entry in std::fs::read_dir(&tmp).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_file() {
            durable::remove_file(&entry.path()).map_err(io)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_and_anything_else_promises_nothing() {
        assert_eq!(
            Mark::parse("clean 7\n"),
            Mark {
                clean: true,
                commit: 7
            }
        );
        assert_eq!(
            Mark::parse("in use from 7\n"),
            Mark {
                clean: false,
                commit: 7
            }
        );
        for other in ["", "clean", "in use", "clean x", "\u{0}"] {
            assert_eq!(Mark::parse(other).commit, 0, "{other:?}");
        }
    }

    #[test]
    fn a_reader_that_looks_on_at_the_end_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("archive");
        let create = OpenOptions {
            create: true,
            ..OpenOptions::default()
        };
        let mut writer = create.open(&root).unwrap();
        writer.account("alice", "alice@host").unwrap();
        writer.commit().unwrap();
        let reader = crate::store::Reader::open(&root, None).unwrap();
        assert_eq!(reader.catalog().accounts().unwrap().len(), 1);
        writer.finish().unwrap();
        // While a WAL may lie there, no mark says that none does.
        let mark = std::fs::read_to_string(ArchiveDir::lock_path(&root)).unwrap();
        assert_eq!(
            mark.starts_with("clean"),
            !Catalog::has_wal(&root.join("catalog.sqlite"))
        );
        drop(reader);
        let writer = create.open(&root).unwrap();
        assert_eq!(writer.catalog().accounts().unwrap().len(), 1);
        writer.finish().unwrap();
    }
}
