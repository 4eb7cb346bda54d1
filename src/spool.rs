//! The bytes of a message on their way from a server: in memory, or in a file when large.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a new, empty file for one large message.
pub type OpenSpoolFile = Arc<dyn Fn() -> io::Result<(File, PathBuf)> + Send + Sync>;

/// Where messages go that are too large to be held in memory.
#[derive(Clone)]
pub struct SpoolOptions {
    /// Opens a new, empty file that nobody else uses.
    pub open: OpenSpoolFile,
    /// Messages above this many bytes are spooled.
    pub threshold: u64,
    /// Messages above this many bytes are an error. The protocol ends at 2³² - 1.
    pub max: u64,
}

impl SpoolOptions {
    /// Messages up to this many bytes are held in memory.
    pub const THRESHOLD: u64 = 8 * 1024 * 1024;

    /// A spool with the usual limits.
    #[must_use]
    pub fn new(open: OpenSpoolFile) -> Self {
        Self {
            open,
            threshold: Self::THRESHOLD,
            max: u32::MAX.into(),
        }
    }
}

impl fmt::Debug for SpoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolOptions")
            .field("threshold", &self.threshold)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// A message in the spool. The file goes when this does.
#[derive(Debug)]
pub struct SpooledBody {
    path: PathBuf,
    len: u64,
}

impl SpooledBody {
    /// The file, complete and closed, never synced.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for SpooledBody {
    fn drop(&mut self) {
        // What cannot be removed lies in the archive's `tmp/`, which is swept on opening.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The exact bytes of a message.
#[derive(Debug)]
pub enum Body {
    /// Held in memory.
    Memory(Vec<u8>),
    /// Held in a file, because it is large.
    Spooled(SpooledBody),
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled(body) => body.len(),
        }
    }

    /// Whether it has no byte at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A large message could not be written to the spool, or not be read from it.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a large message in the spool{}", at(.path.as_ref()))]
pub struct SpoolError {
    /// The file, if one was opened.
    pub path: Option<PathBuf>,
    /// The cause, such as a full disk, or a file that is not as long as it was.
    #[source]
    pub source: io::Error,
}

fn at(path: Option<&PathBuf>) -> String {
    path.map(|path| format!(" at `{}`", path.display()))
        .unwrap_or_default()
}

/// A message on its way into the spool. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Spooling {
    file: File,
    body: SpooledBody,
}

impl Spooling {
    pub(crate) fn open(options: &SpoolOptions) -> Result<Self, SpoolError> {
        let (file, path) = (options.open)().map_err(|source| SpoolError { path: None, source })?;
        Ok(Self {
            file,
            body: SpooledBody { path, len: 0 },
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.file.write_all(bytes).map_err(|source| SpoolError {
            path: Some(self.body.path.clone()),
            source,
        })?;
        self.body.len += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(self) -> SpooledBody {
        self.body
    }
}
