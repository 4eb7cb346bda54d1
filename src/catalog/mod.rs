//! The catalog: a SQLite index over journal and mail. Derived, and never believed over them.
//!
//! [`Catalog::apply`] is the one function by which journal records become rows: a live
//! commit, a roll-forward and a rebuild all go through it, so they cannot differ. The
//! catalog knows the last frame it applied; whoever opens it compares that with the
//! journal ([`crate::store`] does).
//!
//! A catalog of another schema version is not migrated. It is rebuilt.

mod apply;
mod apply_history;
mod apply_maildrop;
mod apply_moves;
mod digest;
mod file;
mod view;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::archive::LogPosition;

pub use digest::TableDigest;
pub use view::{
    AsOf, Candidate, Happened, HealedRow, LifeEvent, MailboxTotals, Moment, NOW, PlacementRow,
    PoolRow, PopHeld, PopPlace, SkipRow, UidlRow, Within,
};

/// Changes with `schema.sql`.
const SCHEMA_VERSION: i32 = 5;
/// "mstw", so that `file` and other programs can tell what this is.
const APPLICATION_ID: i32 = 0x6d73_7477;
const SCHEMA: &str = include_str!("schema.sql");

/// The catalog failed. It is derived: deleting it loses nothing.
#[derive(Debug, thiserror::Error)]
#[error("the catalog `{}` failed", path.display())]
pub struct CatalogError {
    /// The database file.
    pub path: PathBuf,
    /// What SQLite said.
    #[source]
    pub source: rusqlite::Error,
}

impl CatalogError {
    /// Whether the disk it lies on is full; deleting it would not help then.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let rusqlite::Error::SqliteFailure(error, _) = &self.source else {
            return false;
        };
        // The shared memory beside a WAL is sized without asking; too large is "I/O error".
        let shm = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
        error.code == rusqlite::ErrorCode::DiskFull || error.extended_code == shm
    }
}

/// An open catalog.
#[derive(Debug)]
pub struct Catalog {
    db: Connection,
    path: PathBuf,
    /// Set when this is a private copy in the temporary folder, removed on drop.
    private: Option<file::PrivateCopy>,
}

impl Catalog {
    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is a private copy of a catalog that could not be used as it lies.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// The last journal frame that was applied.
    ///
    /// # Errors
    /// SQLite's.
    pub fn position(&self) -> Result<LogPosition, CatalogError> {
        let row = self
            .db
            .query_row(
                "SELECT file, \"offset\", hash, \"commit\" FROM position",
                [],
                |row| {
                    Ok(LogPosition {
                        file: row.get(0)?,
                        offset: row.get(1)?,
                        hash: row.get(2)?,
                        commit: row.get(3)?,
                    })
                },
            )
            .optional();
        Ok(row
            .map_err(|e| self.error(e))?
            .unwrap_or(LogPosition::START))
    }

    /// The archive this is the catalog of.
    ///
    /// # Errors
    /// SQLite's.
    pub fn archive(&self) -> Result<String, CatalogError> {
        let id = self
            .db
            .query_row("SELECT archive FROM position", [], |row| row.get(0))
            .optional();
        Ok(id.map_err(|e| self.error(e))?.unwrap_or_default())
    }

    fn error(&self, source: rusqlite::Error) -> CatalogError {
        CatalogError {
            path: self.path.clone(),
            source,
        }
    }
}
