//! Reading one message back, byte for byte and checked against its content id.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::segment::{Pair, PairError, SegmentReader};
use crate::header::HEADER_MAX;
use crate::model::{ContentId, StoredContent};

/// Texts up to this size are kept while neighbours of a message are read.
const CACHED_TEXT: u64 = 32 << 20;

/// Why a message cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its bytes are lost or altered.
    #[error("message {} in `{segment}` is damaged: {reason}", id.short())]
    Damaged {
        /// The content.
        id: ContentId,
        /// The segment it stands in.
        segment: String,
        /// What was found.
        reason: String,
    },
    /// It was erased on a person's request.
    #[error("message {} was forgotten on request", id.short())]
    Forgotten {
        /// The content.
        id: ContentId,
    },
    /// Whoever takes the bytes failed.
    #[error("cannot write the message")]
    Sink(#[source] io::Error),
}

/// Reads messages out of segments. In the order of [`StoredContent::at`] each data frame is
/// decompressed once.
#[derive(Debug)]
pub struct MailReader {
    mail: PathBuf,
    cache: Option<Cached>,
}

#[derive(Debug)]
struct Cached {
    segment: String,
    pair: Pair,
    /// The wire bytes of all messages of the frame, one behind the other.
    wire: Vec<u8>,
    /// How many of the messages are complete: where the frame is broken, those before that
    /// are still good.
    complete: usize,
    /// What is wrong with the frame.
    broken: Option<String>,
}

impl MailReader {
    /// Reads from the archive at `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            mail: root.join("mail"),
            cache: None,
        }
    }

    /// Writes the exact wire bytes of a message to `sink`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the bytes are not those of the content id; `sink` may then
    /// have received some of them.
    pub fn read(&mut self, content: &StoredContent, sink: &mut dyn Write) -> Result<(), ReadError> {
        let damaged = |reason: String| ReadError::Damaged {
            id: content.id,
            segment: content.at.segment.clone(),
            reason,
        };
        let hit = self
            .cache
            .as_ref()
            .is_some_and(|c| c.segment == content.at.segment && c.pair.offset == content.at.frame);
        if !hit {
            let path = self.mail.join(&content.at.segment);
            let mut reader =
                SegmentReader::open(&path, content.at.frame).map_err(|e| damaged(e.to_string()))?;
            let pair = match reader.next_pair() {
                Ok(Some(pair)) => pair,
                Ok(None) => return Err(damaged("the segment ends before it".to_owned())),
                Err(e) => return Err(damaged(describe(&e))),
            };
            if pair.head.text > CACHED_TEXT {
                return stream(&mut reader, &pair, content, sink);
            }
            // Two texts need not lie in memory at once.
            self.cache = None;
            let mut wire = Vec::with_capacity(usize::try_from(pair.head.text).unwrap_or(0));
            let mut complete = 0;
            let read = reader.read_data(&pair, &mut |_, bytes| {
                wire.extend_from_slice(bytes.unwrap_or_default());
                complete += usize::from(bytes.is_none());
                Ok(())
            });
            let broken = read.err().map(|e| describe(&e));
            self.cache = Some(Cached {
                segment: content.at.segment.clone(),
                pair,
                wire,
                complete,
                broken,
            });
        }
        let Some(cached) = &self.cache else {
            return Err(damaged("it is not in its frame".to_owned()));
        };
        let bytes = cached.message(content.id).ok_or_else(|| {
            damaged(
                cached
                    .broken
                    .clone()
                    .unwrap_or_else(|| "it is not in its frame".to_owned()),
            )
        })?;
        if ContentId::of(bytes) != content.id {
            return Err(damaged(
                "its bytes are not those that were stored".to_owned(),
            ));
        }
        sink.write_all(bytes).map_err(ReadError::Sink)
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

    /// The first [`HEADER_MAX`] wire bytes of a message, its header among them. All of the
    /// message is read and checked, but a large one takes little memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_header(&mut self, content: &StoredContent) -> Result<Vec<u8>, ReadError> {
        let mut start = Start(Vec::new());
        self.read(content, &mut start)?;
        Ok(start.0)
    }
}

/// Keeps the first bytes, as many as a header may have, and passes over the rest.
pub(crate) struct Start(pub(crate) Vec<u8>);

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEADER_MAX.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend(bytes.iter().take(room));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Cached {
    fn message(&self, id: ContentId) -> Option<&[u8]> {
        let mut start = 0usize;
        for line in self.pair.lines.get(..self.complete)? {
            let len = usize::try_from(line.len).ok()?;
            if line.id == id {
                return self.wire.get(start..start.checked_add(len)?);
            }
            start = start.checked_add(len)?;
        }
        None
    }
}

fn describe(error: &PairError) -> String {
    match error {
        PairError::Io(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// Reads a message that is too large to be kept.
fn stream(
    reader: &mut SegmentReader,
    pair: &Pair,
    content: &StoredContent,
    sink: &mut dyn Write,
) -> Result<(), ReadError> {
    let damaged = |reason: String| ReadError::Damaged {
        id: content.id,
        segment: content.at.segment.clone(),
        reason,
    };
    let mut hasher = blake3::Hasher::new();
    let mut failed = None;
    let read = reader.read_data(pair, &mut |line, bytes| {
        if let Some(bytes) = bytes.filter(|_| line.id == content.id) {
            hasher.update(bytes);
            if let Err(error) = sink.write_all(bytes) {
                failed = Some(error);
                return Err(io::Error::other("stopped"));
            }
        }
        Ok(())
    });
    if let Some(error) = failed {
        return Err(ReadError::Sink(error));
    }
    read.map_err(|e| damaged(describe(&e)))?;
    if hasher.finalize().as_bytes() == content.id.as_bytes() {
        Ok(())
    } else {
        Err(damaged(
            "its bytes are not those that were stored".to_owned(),
        ))
    }
}
