//! What a pair holds, read again.

use crate::archive::format::ContentsLine;
use crate::archive::{Pair, PairError, SegmentReader};
use crate::header;
use crate::model::{Location, StoredContent};

/// The contents of a pair, each re-hashed; an error if one is not what it should be.
pub(super) fn whole_contents(
    reader: &mut SegmentReader,
    pair: &Pair,
    segment: &str,
) -> Result<Vec<StoredContent>, PairError> {
    let mut contents = Vec::new();
    let mut hasher = blake3::Hasher::new();
    let mut start = Vec::new();
    let mut wrong = false;
    reader.read_data(pair, &mut |line, bytes| {
        if let Some(bytes) = bytes {
            hasher.update(bytes);
            let room = header::HEADER_MAX
                .saturating_sub(start.len())
                .min(bytes.len());
            start.extend_from_slice(bytes.get(..room).unwrap_or_default());
        } else {
            wrong |= hasher.finalize().as_bytes() != line.id.as_bytes();
            contents.push(content(line, pair, segment, header::digest(&start)));
            hasher.reset();
            start.clear();
        }
        Ok(())
    })?;
    if wrong {
        Err(PairError::Bad(
            "a message is not what its content id says".to_owned(),
        ))
    } else {
        Ok(contents)
    }
}

fn content(line: &ContentsLine, pair: &Pair, segment: &str, head: Option<String>) -> StoredContent {
    let at = Location {
        segment: segment.to_owned(),
        frame: pair.offset,
        pos: line.pos,
        size: line.size,
    };
    StoredContent {
        id: line.id,
        len: line.len,
        eol: line.eol,
        head,
        at,
    }
}
