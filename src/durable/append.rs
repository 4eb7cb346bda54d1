//! A file that only grows, and can be cut back to where it was.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{files, steps};

/// An append-only file with its length and whether it holds unsynced bytes.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    path: PathBuf,
    len: u64,
    dirty: bool,
}

impl AppendFile {
    /// Creates the file; it must not exist. Its folder still has to be synced.
    ///
    /// # Errors
    /// As [`super::create_new`].
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: files::create_new(path)?,
            path: path.to_owned(),
            len: 0,
            dirty: true,
        })
    }

    /// Opens an existing regular file for appending.
    ///
    /// # Errors
    /// As [`super::open_read`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = files::open_write(path)?;
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            len,
            dirty: false,
        })
    }

    /// Bytes in the file, unsynced ones included.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether bytes were written since the last sync.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes; durable only after [`sync`](Self::sync).
    ///
    /// # Errors
    /// On an error part of the bytes may be in the file: cut it back.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        steps::wrote(&self.path, self.len);
        self.dirty = true;
        let torn = bytes.get(..bytes.len() / 2).unwrap_or_default();
        let rest = bytes.get(torn.len()..).unwrap_or_default();
        if cfg!(feature = "testing") {
            // Two writes, so that a crash step leaves a torn record behind.
            self.file.write_all(torn)?;
            steps::step("half a write");
            self.file.write_all(rest)?;
        } else {
            self.file.write_all(bytes)?;
        }
        self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        steps::step("write");
        Ok(())
    }

    /// Cuts the file back to `len` bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len))?;
        self.len = len;
        self.dirty = true;
        steps::step("truncate");
        Ok(())
    }

    /// Makes the bytes durable (`fdatasync`).
    ///
    /// # Errors
    /// A failed sync is final: nothing since the last one may be reported as saved, and it
    /// must not be tried again.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.clean();
        steps::step("sync");
        Ok(())
    }

    /// Notes that a sync over the whole file system covered this file.
    pub fn clean(&mut self) {
        self.dirty = false;
        steps::synced(&self.path, self.len);
    }

    /// Asks the kernel to forget cached pages, so that the next read comes from the medium.
    pub fn drop_cache(&self) {
        #[cfg(target_os = "linux")]
        if let Err(error) = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed) {
            // Advice only: the read that follows is checked by hash either way.
            tracing::debug!(%error, path = %self.path.display(), "cannot drop cached pages");
        }
    }
}
