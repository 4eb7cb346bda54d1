//! Opening for reading: no lock, no write access, nothing left behind.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::adopt::Behind;
use super::open::roll_forward;
use crate::archive::{ArchiveDir, LogPosition, MailReader, ReadError, Start, last_file};
use crate::catalog::Catalog;
use crate::model::StoredContent;

/// An archive opened for reading, as of the last commit there was.
#[derive(Debug)]
pub struct Reader {
    dir: ArchiveDir,
    catalog: Catalog,
    /// Where the catalog was said to lie.
    at: Option<PathBuf>,
    /// The end of the journal, looked at before the catalog was.
    seen: Option<(u32, u64)>,
    /// Where the catalog stood when it was opened. A writer may move it on.
    opened: LogPosition,
}

impl Reader {
    /// Opens the archive at `root`. A catalog that is behind, absent, of another version or
    /// unopenable is brought up to date in a private copy.
    ///
    /// # Errors
    /// The folder is no archive, or its journal is damaged.
    pub fn open(root: &Path, catalog: Option<&Path>) -> Result<Self, StoreError> {
        let dir = ArchiveDir::open(root)?;
        let at = catalog.map(Path::to_owned);
        let seen = last_file(&dir.journal()).ok().flatten();
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
            Some(catalog) if is_current(&dir, &catalog)? => {
                return Ok(Self {
                    opened: catalog.position()?,
                    dir,
                    catalog,
                    at,
                    seen,
                });
            }
            // A snapshot of it, however busy its writer is; if that fails, the journal has it all.
            Some(catalog) => match catalog.private_copy() {
                Ok(copy) => copy,
                Err(_) => Catalog::create_private(dir.id())?,
            },
            None => Catalog::create_private(dir.id())?,
        };
        roll_forward(&dir, &mut catalog, &mut Behind::default())?;
        Ok(Self {
            opened: catalog.position()?,
            dir,
            catalog,
            at,
            seen,
        })
    }

    /// The last commit there was when it was opened.
    #[must_use]
    pub const fn opened_at(&self) -> LogPosition {
        self.opened
    }

    /// The same archive as of the last commit there is by now.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reopen(&self) -> Result<Self, StoreError> {
        Self::open(self.dir.root(), self.at.as_deref())
    }

    /// Whether commits may have been made since it was opened.
    fn is_outdated(&self) -> bool {
        last_file(&self.dir.journal()).ok().flatten() != self.seen
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

    /// Reads messages back, also those that a run moves meanwhile.
    #[must_use]
    pub fn mail(&self) -> HeldMail {
        HeldMail {
            mail: MailReader::new(self.dir.root()),
            root: self.dir.root().to_owned(),
            at: self.at.clone(),
            seen: self.seen,
            newer: None,
        }
    }
}

/// Reads messages back. A run may write a segment anew at any time and remove the old file: a
/// message that is not where it was is looked for where the archive has it by then.
#[derive(Debug)]
pub struct HeldMail {
    mail: MailReader,
    root: PathBuf,
    at: Option<PathBuf>,
    seen: Option<(u32, u64)>,
    /// The archive as it was when a message was not where it should be.
    newer: Option<Reader>,
}

impl HeldMail {
    /// Writes the exact wire bytes of a message to `sink`.
    ///
    /// # Errors
    /// As [`MailReader::read`].
    pub fn read(&mut self, content: &StoredContent, sink: &mut dyn Write) -> Result<(), ReadError> {
        let mut content = content.clone();
        loop {
            // It lies nowhere.
            if content.at.segment.is_empty() {
                return Err(ReadError::Forgotten { id: content.id });
            }
            let mut sink = Counted { sink, bytes: 0 };
            let error = match self.mail.read(&content, &mut sink) {
                // What was handed on cannot be taken back.
                Err(error @ ReadError::Damaged { .. }) if sink.bytes == 0 => error,
                other => return other,
            };
            match self.elsewhere(&content) {
                Some(now) => content = now,
                None => return Err(error),
            }
        }
    }

    /// The wire bytes of a message, for what fits in memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_to_vec(&mut self, content: &StoredContent) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::with_capacity(usize::try_from(content.len).unwrap_or(0).min(1 << 24));
        self.read(content, &mut bytes)?;
        Ok(bytes)
    }

    /// The first [`HEADER_MAX`](crate::header::HEADER_MAX) wire bytes of a message, its header
    /// among them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_header(&mut self, content: &StoredContent) -> Result<Vec<u8>, ReadError> {
        let mut start = Start(Vec::new());
        self.read(content, &mut start)?;
        Ok(start.0)
    }

    /// Where a content lies by now, if that is another place.
    fn elsewhere(&mut self, content: &StoredContent) -> Option<StoredContent> {
        let other = |reader: &Reader| {
            let now = reader.catalog.content(content.id).ok().flatten();
            now.filter(|now| now.at != content.at)
        };
        if let Some(now) = self.newer.as_ref().and_then(other) {
            return Some(now);
        }
        let outdated = match &self.newer {
            Some(reader) => reader.is_outdated(),
            None => last_file(&self.root.join("journal")).ok().flatten() != self.seen,
        };
        if !outdated {
            return None;
        }
        self.newer = Reader::open(&self.root, self.at.as_deref()).ok();
        self.newer.as_ref().and_then(other)
    }
}

/// Counts what is handed on.
struct Counted<'a> {
    sink: &'a mut dyn Write,
    bytes: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.sink.write(bytes)?;
        self.bytes += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
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
