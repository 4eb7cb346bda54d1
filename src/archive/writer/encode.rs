//! Messages as entries of a data frame.

use std::fs::File;
use std::io::{self, Read, Seek};

use super::NewContent;
use crate::archive::format::ContentsLine;
use crate::archive::mboxrd::{Encoder, separator};
use crate::archive::pack::Entry;

/// Encodes a message onto the text of a data frame.
pub(super) fn encode(content: &NewContent, bytes: &[u8], text: &mut Vec<u8>) -> Entry {
    let pos = text.len();
    text.extend_from_slice(separator(content.date).as_bytes());
    let mut encoder = Encoder::new(content.eol);
    encoder.push(bytes, text);
    encoder.finish(text);
    entry(
        content,
        u64::try_from(pos).unwrap_or(0),
        u64::try_from(text.len() - pos).unwrap_or(0),
    )
}

fn entry(content: &NewContent, pos: u64, size: u64) -> Entry {
    let line = ContentsLine {
        id: content.id,
        len: content.len,
        eol: content.eol,
        pos,
        size,
        date: content.date,
        remote: content.remote.clone(),
        flags: content.flags.clone(),
    };
    Entry {
        line,
        head: content.head.clone(),
    }
}

/// How long the text of a spooled message will be; the contents frame needs it beforehand.
pub(super) fn measure(content: &NewContent, wire: &File) -> io::Result<Entry> {
    let mut wire = wire;
    wire.rewind()?;
    let mut size = separator(content.date).len();
    let mut encoder = Encoder::new(content.eol);
    let mut chunk = vec![0; 256 << 10];
    let mut text = Vec::new();
    loop {
        let n = wire.read(&mut chunk)?;
        text.clear();
        if n == 0 {
            encoder.finish(&mut text);
            size += text.len();
            return Ok(entry(
                content,
                0,
                u64::try_from(size).map_err(io::Error::other)?,
            ));
        }
        encoder.push(chunk.get(..n).unwrap_or_default(), &mut text);
        size += text.len();
    }
}
