//! Finding readable frames in a log whose chain is broken.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::reader::parse;
use super::{FRAME_TEXT_MAX, LogRecord};
use crate::archive::format::{FrameHead, LOG_FILE_BYTES, ZSTD_MAGIC};
use crate::archive::zstd_frame;
use crate::durable;

/// Where the next readable frame of a log begins at or behind `from`, whatever lies between.
///
/// # Errors
/// Whatever the system says.
pub fn frame_behind(path: &Path, from: u64) -> io::Result<Option<u64>> {
    let mut file = durable::open_read(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut rest = Vec::new();
    file.take(LOG_FILE_BYTES * 2).read_to_end(&mut rest)?;
    for at in memchr::memmem::find_iter(&rest, &ZSTD_MAGIC.to_le_bytes()) {
        let mut input = io::Cursor::new(rest.get(at..).unwrap_or_default());
        if let Ok(Some(frame)) = zstd_frame::read_frame(&mut input, FRAME_TEXT_MAX)
            && frame.text.starts_with(br#"{"k":"frame""#)
        {
            return Ok(Some(from + u64::try_from(at).unwrap_or(0)));
        }
    }
    Ok(None)
}

/// Reads one frame at a known offset without looking at the chain; for salvage.
pub(crate) fn salvage_frame<R: LogRecord>(
    path: &Path,
    offset: u64,
) -> io::Result<(FrameHead, Vec<R>, u64)> {
    let mut file = durable::open_read(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut input = BufReader::new(file);
    let raw = zstd_frame::read_frame(&mut input, FRAME_TEXT_MAX)?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let (head, records, _) =
        parse::<R>(&raw.text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((head, records, offset + raw.disk_len))
}
