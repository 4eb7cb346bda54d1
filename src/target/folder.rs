//! The folder an export is written to: private modes, nothing overwritten, one sync at the end.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::TargetError;
use crate::durable::{self, FileSystem};
use crate::model::InternalDate;

/// A new folder that is being filled.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    file_system: FileSystem,
    dirs: BTreeSet<PathBuf>,
}

/// Why a folder cannot take an export.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is something in it.
    #[error("`{}` is not empty (it holds `{found}`), and an export never writes over anything", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The system failed.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Folder {
    /// Makes the folder, or takes an empty one. Its parent must exist.
    ///
    /// # Errors
    /// It is not empty, or cannot be made.
    pub fn create(root: &Path) -> Result<Self, FolderError> {
        let error = |source| TargetError {
            path: root.to_owned(),
            source,
        };
        if let Some(found) = first_entry(root).map_err(error)? {
            return Err(FolderError::NotEmpty {
                path: root.to_owned(),
                found,
            });
        }
        // The folder itself may be reached through a link of the user's; nothing in it may.
        let mut dirs = BTreeSet::new();
        if !root.is_dir() && durable::ensure_dir(root).map_err(error)? {
            let parent = root
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            dirs.insert(parent.to_owned());
        }
        // Opened before the first write: syncfs reports only errors that come after.
        let file_system = FileSystem::open(root).map_err(error)?;
        dirs.insert(root.to_owned());
        Ok(Self {
            root: root.to_owned(),
            file_system,
            dirs,
        })
    }

    /// The folder's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders of a relative path.
    ///
    /// # Errors
    /// Something else has one of the names, or the path leaves the folder.
    pub fn dirs(&mut self, relative: &Path) -> Result<(), TargetError> {
        durable::ensure_dirs(&self.root, relative, &mut self.dirs)
            .map_err(TargetError::of(&self.root.join(relative)))?;
        self.dirs.insert(self.root.join(relative));
        Ok(())
    }

    /// Creates a file, mode 0600; `None` when something has that name already.
    ///
    /// # Errors
    /// The system's.
    pub fn create_file(&mut self, relative: &str) -> Result<Option<File>, TargetError> {
        let path = self.root.join(relative);
        match durable::create_new(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(TargetError { path, source }),
        }
    }

    /// Creates `stem` + `suffix`, or `stem~2` + `suffix` and so on where that is taken.
    ///
    /// # Errors
    /// The system's.
    pub fn create_numbered(
        &mut self,
        stem: &str,
        suffix: &str,
    ) -> Result<(String, File), TargetError> {
        let mut n = 1u32;
        loop {
            let name = if n == 1 {
                format!("{stem}{suffix}")
            } else {
                format!("{stem}~{n}{suffix}")
            };
            if let Some(file) = self.create_file(&name)? {
                return Ok((name, file));
            }
            n = n.saturating_add(1);
        }
    }

    /// Ends a file: its time, and its sync where no single one at the end will do.
    ///
    /// # Errors
    /// A failed sync is final.
    pub fn close(
        &self,
        relative: &str,
        file: &File,
        date: Option<InternalDate>,
    ) -> Result<(), TargetError> {
        let path = self.root.join(relative);
        if let Some(at) = date.and_then(system_time)
            && let Err(error) = file.set_modified(at)
        {
            // A file system that holds no such date; index.jsonl has it all the same.
            tracing::debug!(%error, path = %path.display(), "cannot set a file's time");
        }
        if self.file_system.has_syncfs() {
            Ok(())
        } else {
            durable::sync_file(file, &path).map_err(TargetError::of(&path))
        }
    }

    /// Removes a file of which nothing may stay behind.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, relative: &str) -> Result<(), TargetError> {
        let path = self.root.join(relative);
        durable::remove_file(&path).map_err(TargetError::of(&path))
    }

    /// Gives a file its final name, which nothing may have.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), TargetError> {
        let path = self.root.join(to);
        durable::rename_new(&self.root.join(from), &path).map_err(TargetError::of(&path))
    }

    /// Makes everything in the folder durable.
    ///
    /// # Errors
    /// A failed sync is final.
    pub fn sync(&self) -> Result<(), TargetError> {
        if self.file_system.has_syncfs() {
            return self.file_system.sync().map_err(TargetError::of(&self.root));
        }
        self.dirs
            .iter()
            .try_for_each(|dir| durable::sync_dir(dir).map_err(TargetError::of(dir)))
    }
}

fn first_entry(root: &Path) -> io::Result<Option<String>> {
    match fs::read_dir(root) {
        Ok(mut entries) => Ok(entries
            .next()
            .transpose()?
            .map(|e| e.file_name().to_string_lossy().into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn system_time(date: InternalDate) -> Option<SystemTime> {
    let seconds = Duration::from_secs(date.unix.unsigned_abs());
    if date.unix < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    }
}
