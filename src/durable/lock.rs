//! The archive's lock, which also carries the `clean` mark.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::steps;

/// A held `flock`. The kernel releases it when the process ends, also by a kill.
///
/// Holding one proves that no other mailstow process on this machine writes to the archive.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Why the lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another run is working on this archive")]
    Held,
    /// The file system refused.
    #[error("cannot lock the archive (is it on a network share without lock support?)")]
    Io(#[source] io::Error),
}

impl Lock {
    /// Takes the lock without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when somebody else has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let nofollow = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nofollow)
            .open(path)
            .map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held),
            Err(e) => return Err(LockError::Io(e.into())),
        }
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .map_err(LockError::Io)?;
        Ok(Self { file })
    }

    /// What the last holder wrote; at most 256 bytes of it.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn read_mark(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0))?;
        match (&self.file).take(256).read_to_string(&mut text) {
            Ok(_) => Ok(text),
            // Not ours, so no mark; never a reason to refuse an archive.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(String::new()),
            Err(e) => Err(e),
        }
    }

    /// Replaces the mark; durable on return.
    ///
    /// # Errors
    /// Whatever the system says; the mark may then be empty, which reads as "not clean".
    pub fn write_mark(&mut self, mark: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(mark.as_bytes())?;
        steps::step("write mark");
        self.file.sync_data()?;
        steps::step("sync mark");
        Ok(())
    }
}
