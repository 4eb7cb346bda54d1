//! Writing mail: the open data frame, the compressors, the segments, and their sync.
//!
//! This is step 1 of the order of writes. What [`MailWriter::sync`] returns is durable and
//! may be named by the journal; nothing before that may.

mod encode;
mod segments;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::format::{ContentsLine, DATA_FRAME_BYTES, Seal};
use super::pack::{Entry, PackJob, Packed, Pool, Text};
use super::zstd_frame::Effort;
use crate::durable;
use crate::model::{
    Account, ContentId, Flags, InternalDate, LineEnds, Location, Mailbox, MailboxId, RemoteId,
    StoredContent,
};
use encode::{encode, measure};
use segments::{Segments, Written};

/// A content that is new to the archive.
#[derive(Debug, Clone)]
pub struct NewContent {
    /// Its identity, computed from the bytes that follow.
    pub id: ContentId,
    /// Bytes on the wire.
    pub len: u64,
    /// What [`super::mboxrd::LineEndScan`] says of it.
    pub eol: LineEnds,
    /// Its header digest.
    pub head: Option<String>,
    /// INTERNALDATE where it was seen.
    pub date: Option<InternalDate>,
    /// Remote id where it was seen.
    pub remote: RemoteId,
    /// Flags where it was seen.
    pub flags: Flags,
}

/// The bytes of a message.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file of the spool, already unlinked or removed by its owner.
    Spooled(File),
}

/// Writing mail failed; the run is over.
#[derive(Debug, thiserror::Error)]
#[error("cannot write mail to `{}`", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// The newest segment of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSegment {
    /// Its number.
    pub number: u32,
    /// Where its last pair begins; `None` once it is sealed.
    pub last_pair: Option<u64>,
    /// The highest number any segment of the mailbox has: one written anew may have a higher one.
    pub highest: u32,
}

/// A POP3 maildrop files its mail in two mailboxes by turns; a frame for each keeps them from
/// being cut into small ones.
const OPEN_FRAMES: usize = 2;

#[derive(Debug)]
struct OpenFrame {
    mailbox: MailboxId,
    entries: Vec<Entry>,
    text: Vec<u8>,
}

/// Appends new contents to the segments of an archive.
#[derive(Debug)]
pub struct MailWriter {
    tmp: PathBuf,
    segments: Segments,
    pool: Pool,
    effort: Effort,
    /// The oldest first.
    frames: Vec<OpenFrame>,
    /// Text buffers and compressed ones, to be used again.
    buffers: Vec<Vec<u8>>,
    rooms: Vec<Vec<u8>>,
    stored: Vec<StoredContent>,
    seals: Vec<Seal>,
    spooled: u64,
}

impl MailWriter {
    /// Prepares to write below `root`, into the archive of this id.
    ///
    /// # Errors
    /// The folder cannot be opened, or no thread can be started.
    pub fn new(
        root: &Path,
        archive: &str,
        effort: Effort,
        threads: usize,
    ) -> Result<Self, WriteError> {
        let error = |source| WriteError {
            path: root.to_owned(),
            source,
        };
        Ok(Self {
            tmp: root.join("tmp"),
            segments: Segments::new(root, archive).map_err(error)?,
            pool: Pool::start(threads.max(1)).map_err(error)?,
            effort,
            frames: Vec::new(),
            buffers: Vec::new(),
            rooms: Vec::new(),
            stored: Vec::new(),
            seals: Vec::new(),
            spooled: 0,
        })
    }

    /// Seals segments at another size than the format's; for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn seal_at(&mut self, bytes: u64) {
        self.segments.seal_at = bytes;
    }

    /// Tells where a mailbox's mail goes on.
    pub fn register(&mut self, account: &Account, mailbox: &Mailbox, last: Option<LastSegment>) {
        self.segments.register(account, mailbox, last);
    }

    /// A mailbox goes by another name from now on; its folder stays.
    pub fn rename(&mut self, mailbox: &Mailbox) {
        self.segments.rename(mailbox);
    }

    /// Segments that were appended to and are not sealed yet, as far as commits went.
    #[must_use]
    pub fn written_to(&self) -> Vec<String> {
        self.segments.written_to.iter().cloned().collect()
    }

    /// Whether a segment of so many bytes is to be sealed.
    #[must_use]
    pub const fn is_full(&self, len: u64) -> bool {
        len >= self.segments.seal_at
    }

    /// Forgets a segment that is not appended to any more.
    pub fn release(&mut self, segment: &str) {
        self.segments.release(segment);
    }

    /// Takes a new content. A large one closes the open frames and gets its own; a full frame
    /// goes to the compressors. May wait for them.
    ///
    /// # Errors
    /// The run is over; see [`abandon`](Self::abandon).
    pub fn add(
        &mut self,
        mailbox: MailboxId,
        content: &NewContent,
        body: Body,
    ) -> Result<(), WriteError> {
        // Quoting and the separator take a little more; a message that is all `From ` lines may
        // still make its frame a bit longer, which nobody minds.
        let room = content.len + content.len / 64 + 128;
        match body {
            Body::Memory(bytes) if content.len < DATA_FRAME_BYTES / 2 => {
                let frame = self.frame(mailbox, room)?;
                frame.entries.push(encode(content, &bytes, &mut frame.text));
            }
            Body::Memory(bytes) => {
                self.close_frames()?;
                let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 32 + 64);
                let entry = encode(content, &bytes, &mut text);
                self.send(mailbox, vec![entry], Text::Memory(text))?;
            }
            Body::Spooled(wire) => {
                self.close_frames()?;
                let entry = measure(content, &wire).map_err(|source| WriteError {
                    path: self.tmp.clone(),
                    source,
                })?;
                self.spooled += 1;
                let packed = self.tmp.join(format!("packed-{}", self.spooled));
                durable::remove_file(&packed).map_err(|source| WriteError {
                    path: packed.clone(),
                    source,
                })?;
                self.send(mailbox, vec![entry], Text::Spool { wire, packed })?;
            }
        }
        while let Some(packed) = self.pool.try_take() {
            self.write(packed)?;
        }
        Ok(())
    }

    /// The open frame of a mailbox, with room for so many bytes more. Those open together hold no
    /// more text than one full frame.
    fn frame(&mut self, mailbox: MailboxId, room: u64) -> Result<&mut OpenFrame, WriteError> {
        let text = |frames: &[OpenFrame]| frames.iter().map(|f| f.text.len() as u64).sum::<u64>();
        while !self.frames.is_empty() && text(&self.frames) + room > DATA_FRAME_BYTES {
            let fullest =
                (0..self.frames.len()).max_by_key(|&n| self.frames.get(n).map(|f| f.text.len()));
            self.close_frame(fullest.unwrap_or(0))?;
        }
        let open = self.frames.iter().position(|f| f.mailbox == mailbox);
        let n = match open {
            Some(n) => n,
            None => {
                if self.frames.len() >= OPEN_FRAMES {
                    self.close_frame(0)?;
                }
                self.frames.push(OpenFrame {
                    mailbox,
                    entries: Vec::new(),
                    text: self.buffers.pop().unwrap_or_else(new_buffer),
                });
                self.frames.len() - 1
            }
        };
        let path = self.tmp.clone();
        self.frames.get_mut(n).ok_or_else(|| WriteError {
            path,
            source: io::Error::other("a frame is lost"),
        })
    }

    /// Hands an open frame to the compressors.
    fn close_frame(&mut self, n: usize) -> Result<(), WriteError> {
        let frame = self.frames.remove(n);
        self.send(frame.mailbox, frame.entries, Text::Memory(frame.text))
    }

    fn close_frames(&mut self) -> Result<(), WriteError> {
        while !self.frames.is_empty() {
            self.close_frame(0)?;
        }
        Ok(())
    }

    /// Makes everything added so far durable, and says where it lies.
    ///
    /// # Errors
    /// A failed write or sync: nothing since the last commit counts, and nothing is retried.
    pub fn sync(&mut self) -> Result<(Vec<StoredContent>, Vec<Seal>), WriteError> {
        self.close_frames()?;
        while let Some(packed) = self.pool.take() {
            self.write(packed)?;
        }
        self.segments.sync()?;
        Ok((
            std::mem::take(&mut self.stored),
            std::mem::take(&mut self.seals),
        ))
    }

    /// Notes that the journal names all that was synced.
    pub fn committed(&mut self) {
        self.segments.committed();
    }

    /// Cuts what no commit names off again, as well as possible: the next open does the rest.
    pub fn abandon(self) {
        self.segments.abandon();
    }

    fn send(
        &mut self,
        mailbox: MailboxId,
        entries: Vec<Entry>,
        text: Text,
    ) -> Result<(), WriteError> {
        let mut head = self.segments.head(mailbox)?;
        head.text = entries.iter().map(|e| e.line.size).sum();
        let level = self.effort.level(self.pool.in_flight() > 0);
        while self.pool.is_full() {
            match self.pool.take() {
                Some(packed) => self.write(packed)?,
                None => break,
            }
        }
        let room = self.rooms.pop().unwrap_or_default();
        let job = PackJob {
            mailbox,
            head,
            entries,
            text,
            level,
            room,
        };
        self.pool.send(job).map_err(|source| WriteError {
            path: self.tmp.clone(),
            source,
        })
    }

    /// Writes a finished pair, and notes what is stored with it.
    fn write(&mut self, packed: io::Result<Packed>) -> Result<(), WriteError> {
        let mut packed = packed.map_err(|source| WriteError {
            path: self.tmp.clone(),
            source,
        })?;
        packed.buffer.clear();
        if packed.buffer.capacity() > 0 && self.buffers.len() < 2 {
            self.buffers.push(std::mem::take(&mut packed.buffer));
        }
        let Written {
            segment,
            frame,
            room,
            seal,
        } = self
            .segments
            .append(packed.mailbox, &packed.contents, packed.data)?;
        if room.capacity() > 0 && self.rooms.len() < 2 {
            self.rooms.push(room);
        }
        for entry in packed.entries {
            let ContentsLine {
                id,
                len,
                eol,
                pos,
                size,
                ..
            } = entry.line;
            let at = Location {
                segment: segment.clone(),
                frame,
                pos,
                size,
            };
            self.stored.push(StoredContent {
                id,
                len,
                eol,
                head: entry.head,
                at,
            });
        }
        self.seals.extend(seal);
        Ok(())
    }
}

fn new_buffer() -> Vec<u8> {
    Vec::with_capacity(usize::try_from(DATA_FRAME_BYTES).unwrap_or(0))
}

/// So that a spooled message can be handed over as a [`Body`].
impl From<File> for Body {
    fn from(file: File) -> Self {
        Self::Spooled(file)
    }
}

/// So that small tests can write a message as bytes.
impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::Memory(bytes.to_vec())
    }
}
