//! Reading a log frame by frame, and judging what cannot be read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    FRAME_TEXT_MAX, Frame, LogError, LogPosition, LogRecord, frame_behind, last_file, log_file,
};
use crate::archive::format::FrameHead;
use crate::archive::zstd_frame;
use crate::durable;

/// Reads a log frame by frame from a known position.
#[derive(Debug)]
pub struct LogReader<R> {
    dir: PathBuf,
    archive: String,
    input: Option<BufReader<File>>,
    position: LogPosition,
    records: PhantomData<R>,
}

impl<R: LogRecord> LogReader<R> {
    /// Reads on from `position`; the chain is checked from there.
    #[must_use]
    pub fn new(dir: &Path, archive: &str, position: LogPosition) -> Self {
        Self {
            dir: dir.to_owned(),
            archive: archive.to_owned(),
            input: None,
            position,
            records: PhantomData,
        }
    }

    /// Behind the last frame that was read.
    #[must_use]
    pub const fn position(&self) -> LogPosition {
        self.position
    }

    /// The next frame; `None` at the end of the log.
    ///
    /// # Errors
    /// [`LogError::Torn`] or [`LogError::Damaged`]; the position stays before the bad frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame<R>>, LogError> {
        loop {
            let path = log_file(&self.dir, self.position.file);
            if self.input.is_none() && !self.open(&path)? {
                return Ok(None);
            }
            let Some(input) = self.input.as_mut() else {
                return Ok(None);
            };
            let at_end = input
                .fill_buf()
                .map_err(|source| LogError::Io {
                    path: path.clone(),
                    source,
                })?
                .is_empty();
            if !at_end {
                let frame = self.frame(&path)?;
                self.position = frame.end;
                return Ok(Some(frame));
            }
            let next = self.position.file.saturating_add(1);
            // By the folder, not by the next name alone: a file missing in between is damage.
            let last = last_file(&self.dir).map_err(|source| LogError::Io {
                path: self.dir.clone(),
                source,
            })?;
            if last.is_none_or(|(last, _)| last < next) {
                return Ok(None);
            }
            self.position = LogPosition {
                file: next,
                offset: 0,
                ..self.position
            };
            self.input = None;
        }
    }

    fn open(&mut self, path: &Path) -> Result<bool, LogError> {
        let io = |source| LogError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = match durable::open_read(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let last = last_file(&self.dir).map_err(io)?.map_or(0, |(n, _)| n);
                if last == 0 && self.position == LogPosition::START {
                    return Ok(false);
                }
                return Err(self.damaged(path, "the file is missing".to_owned()));
            }
            Err(e) => return Err(io(e)),
        };
        if file.metadata().map_err(io)?.len() < self.position.offset {
            return Err(self.damaged(
                path,
                "the file is shorter than what was committed to it".to_owned(),
            ));
        }
        file.seek(SeekFrom::Start(self.position.offset))
            .map_err(io)?;
        self.input = Some(BufReader::with_capacity(1 << 16, file));
        Ok(true)
    }

    fn damaged(&self, path: &Path, reason: String) -> LogError {
        LogError::Damaged {
            path: path.to_owned(),
            offset: self.position.offset,
            reason,
        }
    }

    fn frame(&mut self, path: &Path) -> Result<Frame<R>, LogError> {
        let Some(input) = self.input.as_mut() else {
            return Err(self.damaged(path, "no input".to_owned()));
        };
        let raw = match zstd_frame::read_frame(input, FRAME_TEXT_MAX) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Err(self.damaged(path, "an empty frame".to_owned())),
            Err(error) => {
                self.input = None;
                return Err(self.torn_or_damaged(path, &error));
            }
        };
        let end = LogPosition {
            file: self.position.file,
            offset: self.position.offset + raw.disk_len,
            hash: raw.hash,
            commit: self.position.commit + 1,
        };
        let (head, records, unknown_critical) =
            parse::<R>(&raw.text).map_err(|reason| self.damaged(path, reason))?;
        self.check_chain(&head)
            .map_err(|reason| self.damaged(path, reason))?;
        Ok(Frame {
            head,
            records,
            unknown_critical,
            end,
        })
    }

    fn check_chain(&self, head: &FrameHead) -> Result<(), String> {
        let expected = self.position.commit + 1;
        if head.n != expected {
            return Err(format!("commit {} stands where {expected} belongs", head.n));
        }
        if expected == 1 {
            return if head.archive.as_deref() == Some(self.archive.as_str()) {
                Ok(())
            } else {
                Err("the log belongs to another archive".to_owned())
            };
        }
        let prev = blake3::Hash::from_bytes(self.position.hash).to_hex();
        if head.prev.as_deref() == Some(prev.as_str()) {
            Ok(())
        } else {
            Err(format!(
                "commit {expected} does not follow the one before it"
            ))
        }
    }

    /// A torn tail exists only at the end of the last file, with no readable frame behind it.
    fn torn_or_damaged(&self, path: &Path, error: &io::Error) -> LogError {
        let io = |source| LogError::Io {
            path: path.to_owned(),
            source,
        };
        if log_file(&self.dir, self.position.file.saturating_add(1)).exists() {
            return self.damaged(
                path,
                format!("unreadable frame before the next file: {error}"),
            );
        }
        match frame_behind(path, self.position.offset.saturating_add(1)) {
            Err(e) => io(e),
            Ok(Some(at)) => self.damaged(
                path,
                format!("unreadable frame ({error}), and a good one behind it at byte {at}"),
            ),
            Ok(None) => LogError::Torn {
                path: path.to_owned(),
                offset: self.position.offset,
            },
        }
    }
}

#[derive(Deserialize)]
struct Kind {
    k: String,
}

pub(super) fn parse<R: LogRecord>(text: &[u8]) -> Result<(FrameHead, Vec<R>, Vec<String>), String> {
    let mut lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let head = lines.next().ok_or("a frame without a head")?;
    let head: FrameHead =
        serde_json::from_slice(head).map_err(|e| format!("unreadable frame head: {e}"))?;
    let mut records = Vec::new();
    for line in lines {
        match serde_json::from_slice::<R>(line) {
            Ok(record) => records.push(record),
            Err(error) => {
                let kind: Kind =
                    serde_json::from_slice(line).map_err(|e| format!("unreadable record: {e}"))?;
                if R::KINDS.contains(&kind.k.as_str()) {
                    return Err(format!("unreadable `{}` record: {error}", kind.k));
                }
            }
        }
    }
    let unknown = head
        .must
        .iter()
        .filter(|k| !R::KINDS.contains(&k.as_str()))
        .cloned()
        .collect();
    Ok((head, records, unknown))
}
