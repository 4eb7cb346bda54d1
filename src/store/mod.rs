//! An opened archive: folder, journal, mail and catalog as one thing.
//!
//! Here stand the order of writes and what happens on opening. The archive knows files, the
//! catalog knows rows; only this module knows that a commit is, in this order:
//!
//! 1. message bytes on disk ([`MailWriter::sync`](crate::archive::MailWriter::sync));
//! 2. one journal frame appended and synced: the commit point;
//! 3. the catalog;
//! 4. the caller may report progress.
//!
//! [`Writer`] holds the lock and is the one committer. [`Reader`] needs neither lock nor
//! write access.

mod adopt;
mod folders;
mod forget;
mod open;
mod pop;
mod read;
mod recover;
mod register;
mod repack;
mod write;

use std::path::PathBuf;

use crate::archive::{DirError, LogError, WriteError};
use crate::catalog::CatalogError;
use crate::durable::LockError;

pub use adopt::Findings;
pub(crate) use folders::files_below;
pub use forget::ForgetReport;
pub use open::OpenOptions;
pub use pop::PopArrival;
pub use read::{HeldMail, Reader};
pub use recover::{DamagedRegion, LostContent, RecoverError, RecoverReport, recover};
pub use repack::{RepackPolicy, RepackReport};
pub use write::{Arrived, Committed, Writer};

/// Why an archive cannot be opened, or went wrong while it was open.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is no archive, or not one for this program.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Somebody else is writing to it, or it cannot be locked.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: LockError,
    },
    /// The journal is damaged or cannot be read or written.
    #[error(transparent)]
    Journal(#[from] LogError),
    /// A newer program wrote records this one must not ignore.
    #[error("the archive holds records of a kind this mailstow does not know: {}", .0.join(", "))]
    NewerRecords(Vec<String>),
    /// Mail cannot be written.
    #[error(transparent)]
    Mail(#[from] WriteError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file of the archive cannot be read or changed.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
