//! Appending frames.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::{LogError, LogPosition, LogRecord, last_file, log_file};
use crate::archive::format::{FrameHead, LOG_FILE_BYTES};
use crate::archive::zstd_frame;
use crate::durable::{self, AppendFile};

/// Appends frames to a log.
#[derive(Debug)]
pub struct LogWriter<R> {
    dir: PathBuf,
    archive: String,
    file: AppendFile,
    position: LogPosition,
    failed: bool,
    records: PhantomData<R>,
}

impl<R: LogRecord> LogWriter<R> {
    /// Goes on writing at `end`, which a reader found to be the end of the log. Bytes behind
    /// it (a torn tail) are cut off.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn open(dir: &Path, archive: &str, end: LogPosition) -> Result<Self, LogError> {
        let path = log_file(dir, end.file);
        let write = |source| LogError::Write {
            path: path.clone(),
            source,
        };
        let file = if path.exists() {
            let mut file = AppendFile::open(&path).map_err(write)?;
            if file.len() > end.offset {
                file.truncate(end.offset).map_err(write)?;
                file.sync().map_err(write)?;
            }
            file
        } else {
            let file = AppendFile::create(&path).map_err(write)?;
            durable::sync_dir(dir).map_err(write)?;
            file
        };
        Ok(Self {
            dir: dir.to_owned(),
            archive: archive.to_owned(),
            file,
            position: end,
            failed: false,
            records: PhantomData,
        })
    }

    /// Behind the last frame.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// Appends one frame and syncs it: on return the commit is durable.
    ///
    /// # Errors
    /// [`LogError::Write`]: the commit did not happen. The writer refuses every further
    /// append, since after a failed sync nobody knows what is on disk.
    pub fn append(&mut self, run: u32, at: &str, records: &[R]) -> Result<LogPosition, LogError> {
        if self.failed {
            let source = io::Error::other("an earlier write to this log failed");
            return Err(LogError::Write {
                path: self.file.path().to_owned(),
                source,
            });
        }
        match self.try_append(run, at, records) {
            Ok(position) => {
                self.position = position;
                Ok(position)
            }
            Err(source) => {
                self.failed = true;
                // As well as possible: a torn tail is cut on the next open either way.
                if let Err(error) = self.file.truncate(self.position.offset) {
                    tracing::debug!(%error, "cannot cut a failed commit off again");
                }
                Err(LogError::Write {
                    path: self.file.path().to_owned(),
                    source,
                })
            }
        }
    }

    fn try_append(&mut self, run: u32, at: &str, records: &[R]) -> io::Result<LogPosition> {
        if self.file.len() >= LOG_FILE_BYTES {
            let next = self.position.file + 1;
            self.file = AppendFile::create(&log_file(&self.dir, next))?;
            durable::sync_dir(&self.dir)?;
            self.position = LogPosition {
                file: next,
                offset: 0,
                ..self.position
            };
        }
        let first = self.position.commit == 0;
        let mut must: Vec<String> = records
            .iter()
            .map(LogRecord::kind)
            .filter(|(_, critical)| *critical)
            .map(|(k, _)| k.to_owned())
            .collect();
        must.sort_unstable();
        must.dedup();
        let head = FrameHead {
            n: self.position.commit + 1,
            run,
            at: at.to_owned(),
            prev: (!first).then(|| {
                blake3::Hash::from_bytes(self.position.hash)
                    .to_hex()
                    .to_string()
            }),
            archive: first.then(|| self.archive.clone()),
            must,
        };
        let mut text = serde_json::to_vec(&head)?;
        text.push(b'\n');
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        let bytes = zstd_frame::pack_records(&text)?;
        self.file.append(&bytes)?;
        self.file.sync()?;
        Ok(LogPosition {
            file: self.position.file,
            offset: self.file.len(),
            hash: *blake3::hash(&bytes).as_bytes(),
            commit: self.position.commit + 1,
        })
    }

    /// Syncs the log's last file and drops it from the page cache, before it is read again
    /// after an unclean stop.
    ///
    /// # Errors
    /// A failed sync is final.
    pub fn settle(dir: &Path) -> Result<(), LogError> {
        let io = |path: &Path, source| LogError::Write {
            path: path.to_owned(),
            source,
        };
        if let Some((number, _)) = last_file(dir).map_err(|e| io(dir, e))? {
            let path = log_file(dir, number);
            let mut file = AppendFile::open(&path).map_err(|e| io(&path, e))?;
            file.sync().map_err(|e| io(&path, e))?;
            file.drop_cache();
            durable::sync_dir(dir).map_err(|e| io(dir, e))?;
        }
        Ok(())
    }
}
