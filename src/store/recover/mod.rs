//! Salvaging a damaged archive onto a new one.
//!
//! The old archive is only read, and may lie on read-only media. What its journal, its
//! contents frames and its catalog still know is put together ([`knowledge`]), every message
//! whose bytes still hash right is stored again ([`mail`]), and what was placed is placed
//! again. Any one of the three suffices to save the messages themselves, and any two of
//! journal, catalog and archive.toml may be gone altogether.
//!
//! Where they disagree: the journal as far as it can be read; the catalog where the journal
//! has holes; the contents frames for what neither knows. Checkpoints are not taken over,
//! so the next backup looks at every mailbox anew.

mod knowledge;
mod mail;
mod maildrop;
mod rebuild;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{OpenOptions, StoreError};
use crate::archive::{ArchiveDir, DirError};
use crate::catalog::CatalogError;
use crate::clock::Clock;
use crate::event::Sink;
use crate::model::{ContentId, RemoteId};

/// Bytes of the old archive that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRegion {
    /// The file.
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How long it is, as far as that can be said.
    pub bytes: u64,
    /// What was found.
    pub text: String,
}

/// A message that is known of, and whose bytes are nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostContent {
    /// Its mailbox; empty where nothing says so.
    pub mailbox: String,
    /// The server's name for it.
    pub remote: Option<RemoteId>,
    /// Its content.
    pub content: ContentId,
}

/// What recovering did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoverReport {
    /// Messages saved, each once.
    pub messages: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Placements the journal knew.
    pub from_journal: u64,
    /// Placements only the catalog knew.
    pub from_catalog: u64,
    /// Placements only the contents frames knew: where a message was first seen, with the
    /// flags it had then.
    pub from_contents: u64,
    /// Whether the journal was read from its first commit to its last without a gap.
    pub journal_whole: bool,
    /// Messages whose bytes are nowhere.
    pub lost: Vec<LostContent>,
    /// What cannot be read of the old archive.
    pub damage: Vec<DamagedRegion>,
}

impl RecoverReport {
    /// Whether every message that is known of was saved.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.lost.is_empty()
    }
}

/// Recovering could not begin, or the new archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Nothing of an archive is at the path.
    #[error("there is nothing of an archive at `{}`", .0.display())]
    Nothing(PathBuf),
    /// The old archive was written by a newer program.
    #[error(transparent)]
    Newer(DirError),
    /// The new archive's folder holds something.
    #[error("`{}` exists and is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// One lies inside the other.
    #[error("`{}` and `{}` lie one inside the other", from.display(), to.display())]
    Nested {
        /// The old archive.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// The new archive cannot be written, or the old one's folders cannot be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The private database in which the evidence is put together failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Salvages the archive at `from` onto a new one at `to`.
///
/// # Errors
/// See [`RecoverError`]. Damage to the old archive is none: it stands in the report.
pub fn recover(
    from: &Path,
    to: &Path,
    clock: Clock,
    sink: &dyn Sink,
) -> Result<RecoverReport, RecoverError> {
    look_before(from, to)?;
    let mut report = RecoverReport::default();
    let mut writer = OpenOptions {
        create: true,
        clock,
        ..OpenOptions::default()
    }
    .open(to)?;
    match run(from, &mut writer, &mut report, sink) {
        Ok(()) => {
            writer.finish()?;
            Ok(report)
        }
        Err(error) => {
            writer.abandon();
            Err(error)
        }
    }
}

fn run(
    from: &Path,
    writer: &mut super::Writer,
    report: &mut RecoverReport,
    sink: &dyn Sink,
) -> Result<(), RecoverError> {
    let knowledge = knowledge::gather(from, writer.dir(), report)?;
    let mut rebuild = rebuild::Rebuild::begin(writer, &knowledge)?;
    mail::save(from, &knowledge, &mut rebuild, report, sink)?;
    rebuild.placements(&knowledge, report)
}

fn look_before(from: &Path, to: &Path) -> Result<(), RecoverError> {
    if !["journal", "mail"]
        .iter()
        .any(|part| from.join(part).is_dir())
    {
        return Err(RecoverError::Nothing(from.to_owned()));
    }
    // A manifest that cannot be read is no obstacle; one from the future is.
    if let Err(error @ (DirError::Newer { .. } | DirError::UnknownLayout(_))) =
        ArchiveDir::open(from)
    {
        return Err(RecoverError::Newer(error));
    }
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(RecoverError::NotEmpty(to.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(RecoverError::Io {
                path: to.to_owned(),
                source,
            });
        }
    }
    let parent = to
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let whole = |path: &Path| {
        path.canonicalize().map_err(|source| RecoverError::Io {
            path: path.to_owned(),
            source,
        })
    };
    let (old, new_parent) = (whole(from)?, whole(parent)?);
    let inside = to.canonicalize().is_ok_and(|new| old.starts_with(new));
    if inside || new_parent.starts_with(&old) {
        return Err(RecoverError::Nested {
            from: from.to_owned(),
            to: to.to_owned(),
        });
    }
    Ok(())
}
