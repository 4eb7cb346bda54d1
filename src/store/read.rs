//! Opening for reading: no lock, no write access, nothing left behind.

use std::path::Path;

use super::StoreError;
use super::open::roll_forward;
use crate::archive::{ArchiveDir, MailReader};
use crate::catalog::Catalog;

/// An archive opened for reading, as of the last commit there was.
#[derive(Debug)]
pub struct Reader {
    dir: ArchiveDir,
    catalog: Catalog,
}

impl Reader {
    /// Opens the archive at `root`. A catalog that is behind, absent, of another version or
    /// unopenable is brought up to date in a private copy.
    ///
    /// # Errors
    /// The folder is no archive, or its journal is damaged.
    pub fn open(root: &Path, catalog: Option<&Path>) -> Result<Self, StoreError> {
        let dir = ArchiveDir::open(root)?;
        let path = catalog.map_or_else(|| root.join("catalog.sqlite"), Path::to_owned);
        // After a clean end there is no WAL; one that is there belongs to another catalog.
        let stale = Catalog::has_wal(&path) && is_clean(&dir);
        let usable =
            |c: &Catalog| c.archive().is_ok_and(|id| id == dir.id()) && c.position().is_ok();
        let lying = if stale {
            None
        } else {
            Catalog::open_for_reading(&path).filter(usable)
        };
        let mut catalog = match lying {
            Some(catalog) if is_current(&dir, &catalog)? => return Ok(Self { dir, catalog }),
            // A snapshot of it, however busy its writer is; if that fails, the journal has it all.
            Some(catalog) => match catalog.private_copy() {
                Ok(copy) => copy,
                Err(_) => Catalog::create_private(dir.id())?,
            },
            None => Catalog::create_private(dir.id())?,
        };
        roll_forward(&dir, &mut catalog, &mut Vec::new())?;
        Ok(Self { dir, catalog })
    }

    /// The archive's folder.
    #[must_use]
    pub const fn dir(&self) -> &ArchiveDir {
        &self.dir
    }

    /// The catalog.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Reads messages back.
    #[must_use]
    pub fn mail(&self) -> MailReader {
        MailReader::new(self.dir.root())
    }
}

/// Whether the last run ended in good order.
fn is_clean(dir: &ArchiveDir) -> bool {
    let mark = crate::durable::read_small(&ArchiveDir::lock_path(dir.root()), 256);
    mark.is_ok_and(|mark| mark.starts_with(b"clean "))
}

/// Whether the catalog stands at the end of the journal.
fn is_current(dir: &ArchiveDir, catalog: &Catalog) -> Result<bool, StoreError> {
    use crate::archive::{LogError, LogReader, format::Record};
    let mut reader = LogReader::<Record>::new(&dir.journal(), dir.id(), catalog.position()?);
    match reader.next_frame() {
        Ok(None) | Err(LogError::Torn { .. }) => Ok(true),
        Ok(Some(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
