//! Writing a segment anew: pairs are copied as they are, or the messages of several put together
//! in one data frame.
//!
//! Every message is hashed again on the way, in the old file and once more in the new one as it
//! lies on disk, before anybody may think of removing the old.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::format::{ContentsHead, ContentsLine, FrameMove};
use super::segment::{Pair, PairError, SegmentReader, contents_frame};
use super::zstd_frame::{Level, Packer};
use crate::durable::{self, AppendFile};
use crate::model::ContentId;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// What of a segment goes into a new one, by the offsets of its pairs. What is in neither is
/// left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Pairs that are copied as they are.
    pub copy: BTreeSet<u64>,
    /// Pairs whose messages are put together with those of their neighbours, and which of their
    /// messages are kept.
    pub merge: BTreeMap<u64, BTreeSet<ContentId>>,
    /// Bytes of text at which a frame put together is full.
    pub full: u64,
}

/// A segment written anew; it is durable, its name is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Its length in bytes.
    pub len: u64,
    /// Frames that are in it with all their messages.
    pub frames: Vec<FrameMove>,
    /// Messages of frames that lost others: content, frame, position and size, in bytes.
    pub moved: Vec<(ContentId, u64, u64, u64)>,
}

/// A segment cannot be written anew; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// A pair is not what it was.
    #[error("the frame at byte {frame} is damaged: {reason}")]
    Damaged {
        /// Where the pair begins.
        frame: u64,
        /// What was found.
        reason: String,
    },
    /// The system failed, over the old file or the new one.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes what is wanted of the segment `source` to a new file, and syncs it.
///
/// # Errors
/// The new file may then be there, and is for the caller to remove.
pub fn rewrite(source: &Path, wanted: &Rewrite, target: &Path) -> Result<Rewritten, RewriteError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RewriteError::Io { path, source }
    };
    let mut writer = Anew {
        file: AppendFile::create(target).map_err(io(target))?,
        packer: Packer::new().map_err(io(target))?,
        done: Rewritten::default(),
        expected: Vec::new(),
        open: None,
    };
    let offsets: BTreeSet<u64> = wanted
        .copy
        .iter()
        .chain(wanted.merge.keys())
        .copied()
        .collect();
    for frame in offsets {
        let damaged = |reason: String| RewriteError::Damaged { frame, reason };
        let failed = |error: PairError| match error {
            PairError::Io(error) => io(source)(error),
            error => damaged(error.to_string()),
        };
        let mut reader = SegmentReader::open(source, frame).map_err(io(source))?;
        let pair = reader
            .next_pair()
            .map_err(failed)?
            .ok_or_else(|| damaged("the segment ends before it".to_owned()))?;
        match wanted.merge.get(&frame) {
            None => {
                let checked = reader.check_data(&pair).map_err(io(source))?;
                if !checked.wrong.is_empty() || checked.broken.is_some() {
                    let reason = checked.broken;
                    return Err(damaged(reason.unwrap_or_else(wrong)));
                }
                writer
                    .copy(source, &pair)
                    .map_err(|(path, error)| io(&path)(error))?;
            }
            Some(keep) if keep.is_empty() => {}
            Some(keep) => {
                let text = reader
                    .read_text(&pair)
                    .map_err(failed)?
                    .ok_or_else(|| damaged(wrong()))?;
                let taken = writer.take(&pair, &text, keep, wanted.full);
                taken.map_err(io(target))?;
            }
        }
    }
    writer.finish(target).map_err(io(target))
}

fn wrong() -> String {
    "a message is not what its content id says".to_owned()
}

/// A new segment on its way.
struct Anew {
    file: AppendFile,
    packer: Packer,
    done: Rewritten,
    /// What the new file has to hold, in order.
    expected: Vec<ContentId>,
    open: Option<Open>,
}

/// A data frame that is being put together; its pair will begin at the end of the file.
struct Open {
    head: ContentsHead,
    lines: Vec<ContentsLine>,
    text: Vec<u8>,
}

impl Anew {
    /// Copies a pair byte for byte.
    fn copy(&mut self, source: &Path, pair: &Pair) -> Result<(), (PathBuf, io::Error)> {
        let ours = self.file.path().to_owned();
        self.close().map_err(|e| (ours.clone(), e))?;
        let theirs = |error| (source.to_owned(), error);
        let to = self.file.len();
        let mut from = durable::open_read(source).map_err(theirs)?;
        from.seek(SeekFrom::Start(pair.offset)).map_err(theirs)?;
        let mut left = pair.end() - pair.offset;
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let part = chunk.get_mut(..want).unwrap_or_default();
            from.read_exact(part).map_err(theirs)?;
            self.file.append(part).map_err(|e| (ours.clone(), e))?;
            left -= want as u64;
        }
        self.expected.extend(pair.lines.iter().map(|l| l.id));
        self.done.frames.push(FrameMove {
            from: pair.offset,
            to,
            shift: 0,
        });
        Ok(())
    }

    /// Adds the messages that are kept of a pair to the open frame.
    fn take(
        &mut self,
        pair: &Pair,
        text: &[u8],
        keep: &BTreeSet<ContentId>,
        full: u64,
    ) -> io::Result<()> {
        let same = |open: &Open| {
            let now = ContentsHead {
                data: open.head.data,
                text: open.head.text,
                ..pair.head.clone()
            };
            now == open.head && open.text.len() as u64 + text.len() as u64 <= full
        };
        if self.open.as_ref().is_some_and(|open| !same(open)) {
            self.close()?;
        }
        let to = self.file.len();
        let open = self.open.get_or_insert_with(|| Open {
            head: pair.head.clone(),
            lines: Vec::new(),
            text: Vec::new(),
        });
        let shift = open.text.len() as u64;
        let whole = pair.lines.iter().all(|line| keep.contains(&line.id));
        if whole {
            self.done.frames.push(FrameMove {
                from: pair.offset,
                to,
                shift,
            });
        }
        for line in pair.lines.iter().filter(|line| keep.contains(&line.id)) {
            let pos = open.text.len() as u64;
            open.text.extend_from_slice(part(text, line)?);
            if !whole {
                self.done.moved.push((line.id, to, pos, line.size));
            }
            open.lines.push(ContentsLine {
                pos,
                ..line.clone()
            });
        }
        Ok(())
    }

    /// Writes the open frame.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let mut data = Vec::new();
        self.packer.pack(&open.text, Level::THOROUGH, &mut data)?;
        open.head.text = open.text.len() as u64;
        open.head.data = data.len() as u64;
        self.file
            .append(&contents_frame(&open.head, &open.lines)?)?;
        self.file.append(&data)?;
        self.expected.extend(open.lines.iter().map(|l| l.id));
        Ok(())
    }

    /// Syncs the file, and reads it again from the medium.
    fn finish(mut self, target: &Path) -> io::Result<Rewritten> {
        self.close()?;
        self.file.sync()?;
        self.file.drop_cache();
        self.done.len = self.file.len();
        let mut found = Vec::with_capacity(self.expected.len());
        let mut reader = SegmentReader::open(target, 0)?;
        let unlike = |reason: String| io::Error::other(format!("read back: {reason}"));
        while let Some(pair) = reader.next_pair().map_err(|e| unlike(e.to_string()))? {
            let checked = reader.check_data(&pair)?;
            if !checked.wrong.is_empty() || checked.broken.is_some() {
                return Err(unlike(checked.broken.unwrap_or_else(wrong)));
            }
            found.extend(pair.lines.iter().map(|l| l.id));
        }
        if found != self.expected {
            return Err(unlike("it does not hold what was written".to_owned()));
        }
        Ok(self.done)
    }
}

/// The text of one message in that of its frame.
fn part<'a>(text: &'a [u8], line: &ContentsLine) -> io::Result<&'a [u8]> {
    let range = || {
        let from = usize::try_from(line.pos).ok()?;
        let size = usize::try_from(line.size).ok()?;
        text.get(from..from.checked_add(size)?)
    };
    range().ok_or_else(|| io::Error::other("a message lies outside its frame"))
}
