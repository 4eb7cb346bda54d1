//! Segments: pairs of a contents frame and the data frame it describes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::format::{CONTENTS_MAGIC, ContentsHead, ContentsLine};
use super::mboxrd::Decoder;
use super::zstd_frame;
use crate::durable;
use crate::model::ContentId;

/// Most bytes of a contents frame, packed and unpacked.
const CONTENTS_MAX: u64 = 64 << 20;
/// Bytes decompressed at a time.
const CHUNK: usize = 256 << 10;

/// Takes the wire bytes of messages in chunks; the call with `None` ends a message.
pub type Take<'a> = dyn FnMut(&ContentsLine, Option<&[u8]>) -> io::Result<()> + 'a;

/// Why a pair cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The system failed.
    #[error("cannot read the segment")]
    Io(#[source] io::Error),
    /// The file ends inside the pair.
    #[error("the segment ends inside a frame")]
    Cut,
    /// The bytes are not what a pair looks like, or fail their checksum.
    #[error("{0}")]
    Bad(String),
}

impl From<io::Error> for PairError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            // zstd reports corruption as `Other`; the system's own errors carry a number.
            _ if error.raw_os_error().is_none() => Self::Bad(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// A pair's description, read from its contents frame.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Where the pair begins.
    pub offset: u64,
    /// Whose mail it holds, and how much.
    pub head: ContentsHead,
    /// Its messages, in order.
    pub lines: Vec<ContentsLine>,
    /// Where the data frame begins.
    pub data_offset: u64,
}

impl Pair {
    /// Where the pair ends.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.data_offset.saturating_add(self.head.data)
    }
}

/// What [`SegmentReader::check_data`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Messages that are not what their content id says, or cannot be reached.
    pub wrong: Vec<ContentId>,
    /// What is wrong with the frame as such.
    pub broken: Option<String>,
}

/// The bytes of a contents frame.
///
/// # Errors
/// Only if zstd fails.
pub(crate) fn contents_frame(head: &ContentsHead, lines: &[ContentsLine]) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(head)?;
    text.push(b'\n');
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    let payload = zstd_frame::pack_records(&text)?;
    let len = u32::try_from(payload.len())
        .map_err(|_| io::Error::other("a contents frame over 4 GiB"))?;
    let mut frame = Vec::with_capacity(payload.len() + 8);
    frame.extend_from_slice(&CONTENTS_MAGIC.to_le_bytes());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&payload);
    Ok(frame)
}

/// Reads segments pair by pair.
#[derive(Debug)]
pub struct SegmentReader {
    input: BufReader<File>,
    offset: u64,
    len: u64,
}

impl SegmentReader {
    /// Opens a segment at the beginning of a pair.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = durable::open_read(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            input: BufReader::with_capacity(1 << 16, file),
            offset,
            len,
        })
    }

    /// Bytes in the file when it was opened.
    #[must_use]
    pub const fn file_len(&self) -> u64 {
        self.len
    }

    /// The description of the pair at the current offset; `None` at the end of the file.
    /// The data frame is then next; pass it with [`skip_data`](Self::skip_data) or
    /// [`check_data`](Self::check_data).
    ///
    /// # Errors
    /// The bytes are no pair, or the file ends in it.
    pub fn next_pair(&mut self) -> Result<Option<Pair>, PairError> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let magic = self.u32()?;
        if magic != CONTENTS_MAGIC {
            return Err(PairError::Bad(
                "no contents frame where one belongs".to_owned(),
            ));
        }
        let packed = u64::from(self.u32()?);
        if packed > CONTENTS_MAX || self.offset.saturating_add(packed).saturating_add(8) > self.len
        {
            return Err(PairError::Cut);
        }
        let mut payload = (&mut self.input).take(packed);
        let raw = zstd_frame::read_frame(&mut payload, CONTENTS_MAX)?;
        let left = payload.limit();
        let raw = raw
            .filter(|_| left == 0)
            .ok_or_else(|| PairError::Bad("an empty contents frame".to_owned()))?;
        let data_offset = self.offset + 8 + packed;
        let mut lines = raw.text.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        let bad = |e: serde_json::Error| PairError::Bad(format!("unreadable contents frame: {e}"));
        let head: ContentsHead =
            serde_json::from_slice(lines.next().unwrap_or_default()).map_err(bad)?;
        let lines = lines
            .map(serde_json::from_slice)
            .collect::<Result<Vec<ContentsLine>, _>>()
            .map_err(bad)?;
        let pair = Pair {
            offset: self.offset,
            head,
            lines,
            data_offset,
        };
        if pair.end() > self.len {
            return Err(PairError::Cut);
        }
        self.offset = pair.end();
        Ok(Some(pair))
    }

    /// Passes over the data frame.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn skip_data(&mut self, pair: &Pair) -> io::Result<()> {
        let by = i64::try_from(pair.head.data).map_err(io::Error::other)?;
        self.input.seek_relative(by)
    }

    /// Where in the file reading goes on.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn position(&mut self) -> io::Result<u64> {
        self.input.stream_position()
    }

    /// Decompresses the data frame and hands each message's wire bytes to `message`, in
    /// chunks; the call with `None` ends a message.
    ///
    /// # Errors
    /// The frame fails its checksum or is not what the description says. Messages handed
    /// over before are as good as their hash says.
    pub fn read_data(&mut self, pair: &Pair, message: &mut Take<'_>) -> Result<(), PairError> {
        self.read_frame(pair, &mut |_| {}, message)
            .map_err(incomplete)
    }

    /// Hands the text over as well, before it is decoded.
    fn read_frame(
        &mut self,
        pair: &Pair,
        text: &mut dyn FnMut(&[u8]),
        message: &mut Take<'_>,
    ) -> Result<(), PairError> {
        let mut frame = (&mut self.input).take(pair.head.data);
        let mut decoder = zstd_frame::frame_decoder(&mut frame)?;
        let mut chunk = vec![0; CHUNK];
        let mut wire = Vec::with_capacity(CHUNK);
        let mut at = 0;
        for line in &pair.lines {
            if line.pos != at || line.size > pair.head.text.saturating_sub(at) {
                return Err(PairError::Bad(
                    "the contents frame does not fit the data frame".to_owned(),
                ));
            }
            at += line.size;
            let mut mbox = Decoder::new(line.eol, line.len);
            let mut left = line.size;
            while left > 0 {
                let want = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
                let part = chunk.get_mut(..want).unwrap_or_default();
                decoder.read_exact(part)?;
                left -= u64::try_from(want).unwrap_or(0);
                text(part);
                wire.clear();
                mbox.push(part, &mut wire);
                message(line, Some(&wire))?;
            }
            wire.clear();
            mbox.finish(&mut wire)
                .map_err(|e| PairError::Bad(e.to_string()))?;
            message(line, Some(&wire))?;
            message(line, None)?;
        }
        // Reading on to the end makes zstd compare the checksum.
        if at != pair.head.text || decoder.read(&mut chunk)? != 0 {
            return Err(PairError::Bad(
                "the data frame holds more than its contents frame says".to_owned(),
            ));
        }
        drop(decoder);
        if frame.limit() != 0 {
            return Err(PairError::Bad(
                "the data frame is shorter than its contents frame says".to_owned(),
            ));
        }
        Ok(())
    }

    /// Decompresses the data frame and re-hashes every message. Where the frame breaks, the
    /// messages before that are as good as their hash.
    ///
    /// # Errors
    /// Only if the system fails.
    pub fn check_data(&mut self, pair: &Pair) -> io::Result<Checked> {
        let mut checked = Checked::default();
        let mut hasher = blake3::Hasher::new();
        let mut finished = 0;
        let read = self.read_data(pair, &mut |line, bytes| {
            if let Some(bytes) = bytes {
                hasher.update(bytes);
                return Ok(());
            }
            finished += 1;
            if hasher.finalize().as_bytes() != line.id.as_bytes() {
                checked.wrong.push(line.id);
            }
            hasher.reset();
            Ok(())
        });
        match read {
            Ok(()) => {}
            Err(PairError::Io(error)) => return Err(error),
            Err(error) => {
                checked.wrong.extend(
                    pair.lines
                        .get(finished..)
                        .unwrap_or_default()
                        .iter()
                        .map(|l| l.id),
                );
                checked.broken = Some(error.to_string());
            }
        }
        Ok(checked)
    }

    /// The text of a data frame that fits in memory; `None` if a message in it is not what its
    /// content id says.
    ///
    /// # Errors
    /// As [`read_data`](Self::read_data).
    pub(crate) fn read_text(&mut self, pair: &Pair) -> Result<Option<Vec<u8>>, PairError> {
        let mut text = Vec::new();
        let mut hasher = blake3::Hasher::new();
        let mut wrong = false;
        let mut tap = |part: &[u8]| text.extend_from_slice(part);
        let read = self.read_frame(pair, &mut tap, &mut |line, bytes| {
            if let Some(bytes) = bytes {
                hasher.update(bytes);
            } else {
                wrong |= hasher.finalize().as_bytes() != line.id.as_bytes();
                hasher.reset();
            }
            Ok(())
        });
        read.map_err(incomplete)?;
        Ok((!wrong).then_some(text))
    }

    fn u32(&mut self) -> Result<u32, PairError> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// The file is long enough for the pair, so what ends inside the data frame is not the file.
fn incomplete(error: PairError) -> PairError {
    match error {
        PairError::Cut => PairError::Bad("the data frame is incomplete".to_owned()),
        other => other,
    }
}

/// Where the next pair of this archive begins at or behind `from`, for salvage of a damaged
/// segment. Without an id any pair counts, also one that somebody put into a message.
///
/// # Errors
/// Whatever the system says.
pub fn pair_behind(path: &Path, from: u64, archive: Option<&str>) -> io::Result<Option<u64>> {
    const WINDOW: usize = 1 << 20;
    let magic = CONTENTS_MAGIC.to_le_bytes();
    let mut file = durable::open_read(path)?;
    let mut at = from;
    let mut window = vec![0; WINDOW];
    loop {
        file.seek(SeekFrom::Start(at))?;
        let n = read_full(&mut file, &mut window)?;
        let bytes = window.get(..n).unwrap_or_default();
        for hit in memchr::memmem::find_iter(bytes, &magic) {
            let offset = at + u64::try_from(hit).unwrap_or(0);
            if let Ok(Some(pair)) = SegmentReader::open(path, offset)?.next_pair()
                && archive.is_none_or(|id| pair.head.archive == id)
            {
                return Ok(Some(offset));
            }
        }
        if n < WINDOW {
            return Ok(None);
        }
        at += u64::try_from(n - magic.len() + 1).unwrap_or(1);
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(free) = buffer.get_mut(filled..).filter(|b| !b.is_empty()) {
        match file.read(free)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
