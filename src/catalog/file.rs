//! The catalog's file: opening it as it is, making a new one, taking a private copy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};

use super::{APPLICATION_ID, Catalog, CatalogError, SCHEMA, SCHEMA_VERSION};
use crate::archive::LogPosition;
use crate::durable;

/// Memory for pages while a catalog is built; negative, as SQLite wants what is not pages.
const BUILD_CACHE_KIB: i32 = -48 << 10;

/// A catalog in the temporary folder.
#[derive(Debug)]
pub(super) struct PrivateCopy(PathBuf);

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        if let Err(error) = remove_with_sidecars(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "cannot remove a private catalog");
        }
    }
}

fn sidecar(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_with_sidecars(path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        durable::remove_file(&sidecar(path, suffix))?;
    }
    Ok(())
}

/// SQLite refuses a link anywhere in the path, and the archive's own folder may be reached
/// through one of the user's: only the file itself must be none.
fn resolved(path: &Path) -> PathBuf {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    parent
        .canonicalize()
        .map_or_else(|_| path.to_owned(), |parent| parent.join(name))
}

fn io_error(path: &Path, error: &std::io::Error) -> CatalogError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let full = matches!(error.kind(), StorageFull | QuotaExceeded);
    let code = rusqlite::ffi::Error::new(if full {
        rusqlite::ffi::SQLITE_FULL
    } else {
        rusqlite::ffi::SQLITE_IOERR
    });
    CatalogError {
        path: path.to_owned(),
        source: rusqlite::Error::SqliteFailure(code, Some(error.to_string())),
    }
}

fn guard(db: &Connection) -> rusqlite::Result<()> {
    // The file may come from anywhere: nothing in its schema is run as code.
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.set_prepared_statement_cache_capacity(64);
    db.busy_timeout(Duration::from_secs(10))
}

fn is_ours(db: &Connection) -> rusqlite::Result<bool> {
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(version == SCHEMA_VERSION && application == APPLICATION_ID)
}

impl Catalog {
    /// Opens an existing catalog of this schema for writing; `None` when there is none that
    /// can be used and it has to be rebuilt.
    ///
    /// While a writer runs the database is in WAL mode; [`close`](Self::close) ends that.
    #[must_use]
    pub fn open_for_writing(path: &Path, check: bool) -> Option<Self> {
        // Without the main file a left-over WAL belongs to nothing.
        durable::open_read(path).ok()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let db = Connection::open_with_flags(resolved(path), flags).ok()?;
        let usable = guard(&db).and_then(|()| is_ours(&db)).unwrap_or(false);
        let sound = usable && (!check || quick_check(&db));
        let catalog = Self {
            db,
            path: path.to_owned(),
            private: None,
        };
        (sound && catalog.begin_writing().is_ok()).then_some(catalog)
    }

    /// Opens an existing catalog of this schema for reading, without writing anything beside it.
    #[must_use]
    pub fn open_for_reading(path: &Path) -> Option<Self> {
        durable::open_read(path).ok()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let db = Connection::open_with_flags(resolved(path), flags).ok()?;
        let usable = guard(&db).and_then(|()| is_ours(&db)).unwrap_or(false);
        usable.then(|| Self {
            db,
            path: path.to_owned(),
            private: None,
        })
    }

    fn begin_writing(&self) -> rusqlite::Result<()> {
        self.db.pragma_update(None, "journal_mode", "WAL")?;
        self.db.pragma_update(None, "synchronous", "NORMAL")
    }

    /// Makes an empty catalog at a path beside the real one, to be filled and then
    /// [`installed`](Self::install).
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create_beside(path: &Path, archive: &str) -> Result<Self, CatalogError> {
        let temporary = sidecar(path, ".new");
        remove_with_sidecars(&temporary).map_err(|e| io_error(&temporary, &e))?;
        Self::create(temporary, archive, None)
    }

    /// Makes an empty private catalog in the temporary folder, for a reader that may not, or
    /// cannot, write beside the archive.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create_private(archive: &str) -> Result<Self, CatalogError> {
        let (path, private) = private_path()?;
        Self::create(path, archive, Some(private))
    }

    fn create(
        path: PathBuf,
        archive: &str,
        private: Option<PrivateCopy>,
    ) -> Result<Self, CatalogError> {
        drop(durable::create_new(&path).map_err(|e| io_error(&path, &e))?);
        let made = || -> rusqlite::Result<Connection> {
            let mut db = Connection::open(&path)?;
            guard(&db)?;
            // Ids come in no order, so all of their index is in use while the journal is applied.
            db.pragma_update(None, "cache_size", BUILD_CACHE_KIB)?;
            // Nothing here survives a crash, so nothing is synced until it is complete.
            db.pragma_update(None, "journal_mode", "MEMORY")?;
            db.pragma_update(None, "synchronous", "OFF")?;
            db.pragma_update(None, "application_id", APPLICATION_ID)?;
            let tx = db.transaction()?;
            tx.execute_batch(SCHEMA)?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            set_position(&tx, archive, LogPosition::START)?;
            tx.commit()?;
            Ok(db)
        };
        let db = made().map_err(|source| CatalogError {
            path: path.clone(),
            source,
        })?;
        Ok(Self { db, path, private })
    }

    /// Puts a filled catalog in the place of the real one, durably, and opens it for writing.
    ///
    /// The old database's WAL goes first: beside the new database it would be applied to it.
    ///
    /// # Errors
    /// Any step of it; the catalog is then absent or whole, and rebuilt next time.
    pub fn install(self, path: &Path) -> Result<Self, CatalogError> {
        let temporary = self.path.clone();
        self.db.close().map_err(|(_, source)| CatalogError {
            path: temporary.clone(),
            source,
        })?;
        let io = |e: std::io::Error| io_error(path, &e);
        remove_with_sidecars(path).map_err(io)?;
        durable::rename_synced(&temporary, path).map_err(io)?;
        Self::open_for_writing(path, false)
            .ok_or_else(|| io(std::io::Error::other("the new catalog cannot be opened")))
    }

    /// A private copy of this catalog, to roll forward without touching the archive.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn private_copy(&self) -> Result<Self, CatalogError> {
        let (path, private) = private_path()?;
        let copy = || -> rusqlite::Result<Connection> {
            let mut db = Connection::open(&path)?;
            rusqlite::backup::Backup::new(&self.db, &mut db)?.run_to_completion(
                4096,
                Duration::ZERO,
                None,
            )?;
            guard(&db)?;
            db.pragma_update(None, "journal_mode", "MEMORY")?;
            db.pragma_update(None, "synchronous", "OFF")?;
            Ok(db)
        };
        let db = copy().map_err(|source| CatalogError {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            db,
            path,
            private: Some(private),
        })
    }

    /// Leaves nothing of what was deleted in the file: SQLite keeps deleted rows in free pages and in
    /// the slack of pages until something else is written there.
    ///
    /// # Errors
    /// SQLite's; what was deleted may then still be found in the file or its write-ahead log.
    pub fn scrub(&self) -> Result<(), CatalogError> {
        let scrubbed = || -> rusqlite::Result<()> {
            self.db.execute_batch("VACUUM")?;
            // Into the database, and the log to nothing; without a log that does nothing.
            self.db
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        scrubbed().map_err(|e| self.error(e))?;
        durable::step("catalog scrubbed");
        Ok(())
    }

    /// Ends writing: back to a rollback journal, so that the file opens on read-only media.
    ///
    /// # Errors
    /// SQLite's; the catalog is still whole, or rebuilt next time.
    pub fn close(self) -> Result<(), CatalogError> {
        let path = self.path.clone();
        let error = |source| CatalogError {
            path: path.clone(),
            source,
        };
        // A reader may look on for hours, and nobody waits for that.
        self.db
            .busy_timeout(Duration::from_secs(1))
            .map_err(error)?;
        self.db
            .pragma_update(None, "synchronous", "FULL")
            .map_err(error)?;
        // The answer is the mode there is now: SQLite may leave it as it was without an error.
        let mode: String = self
            .db
            .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))
            .map_err(error)?;
        if mode != "delete" {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(error(rusqlite::Error::SqliteFailure(busy, None)));
        }
        self.db.close().map_err(|(_, e)| error(e))
    }

    /// Removes a catalog with all that lies beside it, its write-ahead log first.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn discard(path: &Path) -> Result<(), CatalogError> {
        remove_with_sidecars(path).map_err(|e| io_error(path, &e))
    }

    /// Whether a write-ahead log lies beside a catalog; after a clean end none does.
    #[must_use]
    pub fn has_wal(path: &Path) -> bool {
        sidecar(path, "-wal").exists()
    }
}

fn quick_check(db: &Connection) -> bool {
    db.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))
        .is_ok_and(|answer| answer == "ok")
}

/// Slower than [`quick_check`], and sees indices that do not fit their tables.
pub(super) fn integrity_check(db: &Connection) -> bool {
    db.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0))
        .is_ok_and(|answer| answer == "ok")
}

fn private_path() -> Result<(PathBuf, PrivateCopy), CatalogError> {
    let folder = std::env::temp_dir();
    let path = folder.join(format!(
        "mailstow-{}.sqlite",
        crate::clock::Clock::System.fresh_id()
    ));
    drop(durable::create_new(&path).map_err(|e| io_error(&path, &e))?);
    // Made once, so that nobody else's file is opened; SQLite takes it over empty.
    durable::remove_file(&path).map_err(|e| io_error(&path, &e))?;
    Ok((path.clone(), PrivateCopy(path)))
}

pub(super) fn set_position(
    tx: &Transaction<'_>,
    archive: &str,
    position: LogPosition,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO position (only, archive, file, \"offset\", hash, \"commit\") VALUES (1, ?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (only) DO UPDATE SET file = ?2, \"offset\" = ?3, hash = ?4, \"commit\" = ?5",
    )?
    .execute((archive, position.file, position.offset, position.hash, position.commit))?;
    Ok(())
}
