//! zstd frames: how they are made, and how they are read within bounds.

use std::io::{self, BufRead, Read, Write};

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, DParameter};

use super::format::WINDOW_LOG;

/// Effort for the journal and for contents frames.
const RECORDS_LEVEL: i32 = 3;

/// How hard data frames are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// As hard as there is time for: [`Level::THOROUGH`] while the compressors wait for mail,
    /// [`Level::QUICK`] while mail waits for them, as with a server on the same machine.
    #[default]
    Adaptive,
    /// Always this hard.
    Fixed(Level),
}

impl Effort {
    pub(crate) const fn level(self, mail_waits: bool) -> Level {
        match self {
            Self::Fixed(level) => level,
            Self::Adaptive if mail_waits => Level::QUICK,
            Self::Adaptive => Level::THOROUGH,
        }
    }
}

/// A zstd compression level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub i32);

impl Level {
    /// Real mail shrinks to within a few percent of what level 6 gives.
    pub const THOROUGH: Self = Self(3);
    /// A third less time, a tenth more space.
    pub const QUICK: Self = Self(1);
}

fn parameters() -> [CParameter; 4] {
    [
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::EnableLongDistanceMatching(true),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(true),
    ]
}

/// A reusable compressor of data frames.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
}

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(Level::THOROUGH.0)?;
        for parameter in parameters() {
            compressor.set_parameter(parameter)?;
        }
        Ok(Self { compressor })
    }

    /// One frame of `text`, into `frame`, whose room is used again.
    pub(crate) fn pack(
        &mut self,
        text: &[u8],
        level: Level,
        frame: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.compressor
            .set_parameter(CParameter::CompressionLevel(level.0))?;
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(text.len()));
        self.compressor.compress_to_buffer(text, frame)?;
        Ok(())
    }
}

/// A data frame written piece by piece, for a text of known length that is too large for memory.
pub(crate) fn stream_packer<W: Write>(
    sink: W,
    text_len: u64,
    level: Level,
) -> io::Result<zstd::stream::write::Encoder<'static, W>> {
    let mut encoder = zstd::stream::write::Encoder::new(sink, level.0)?;
    encoder.set_pledged_src_size(Some(text_len))?;
    for parameter in parameters() {
        encoder.set_parameter(parameter)?;
    }
    Ok(encoder)
}

/// One frame of records.
pub(crate) fn pack_records(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(RECORDS_LEVEL)?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(text)
}

/// A frame as it was read.
pub(crate) struct RawFrame {
    /// The decompressed text.
    pub(crate) text: Vec<u8>,
    /// Bytes it takes on disk.
    pub(crate) disk_len: u64,
    /// BLAKE3 of those bytes.
    pub(crate) hash: [u8; 32],
}

/// Reads one frame of at most `limit` bytes of text; `None` at the end of the input.
///
/// Memory is bounded by `limit` and the window log, whatever the frame's header claims.
pub(crate) fn read_frame<R: BufRead>(input: &mut R, limit: u64) -> io::Result<Option<RawFrame>> {
    let start = input.fill_buf()?;
    if start.is_empty() {
        return Ok(None);
    }
    // RFC 8878 §3.1.1.1.1.3: a decoder ignores this bit, and every encoder writes 0. Nothing
    // else of a frame can change without an error.
    if start
        .get(4)
        .is_some_and(|descriptor| descriptor & 0x10 != 0)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the unused bit of the frame header is set",
        ));
    }
    let mut tap = Tap {
        inner: input,
        hasher: blake3::Hasher::new(),
        count: 0,
    };
    let mut text = Vec::new();
    let mut decoder = frame_decoder(&mut tap)?;
    (&mut decoder)
        .take(limit.saturating_add(1))
        .read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame holds more than {limit} bytes"),
        ));
    }
    drop(decoder);
    Ok(Some(RawFrame {
        text,
        disk_len: tap.count,
        hash: *tap.hasher.finalize().as_bytes(),
    }))
}

/// A decoder of exactly one frame, which leaves `input` behind it.
pub(crate) fn frame_decoder<R: BufRead>(
    input: R,
) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
    Ok(decoder)
}

/// Counts and hashes what is consumed, so that a frame's own bytes are known to the byte.
struct Tap<'a, R> {
    inner: &'a mut R,
    hasher: blake3::Hasher,
    count: u64,
}

impl<R: BufRead> Read for Tap<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Tap<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        // fill_buf returns what it returned last: nothing is read here, so nothing can fail.
        if let Ok(buffer) = self.inner.fill_buf() {
            self.hasher.update(buffer.get(..n).unwrap_or_default());
        }
        self.count += u64::try_from(n).unwrap_or(0);
        self.inner.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_to_its_last_byte_and_not_beyond() {
        let frame = pack_records(b"hello").unwrap();
        let both = [frame.clone(), b"behind".to_vec()].concat();
        let mut input = io::Cursor::new(&both);
        let read = read_frame(&mut input, 100).unwrap().unwrap();
        assert_eq!(
            (read.text.as_slice(), read.disk_len),
            (&b"hello"[..], frame.len() as u64)
        );
        assert_eq!(read.hash, *blake3::hash(&frame).as_bytes());
        assert_eq!(input.position(), frame.len() as u64);
    }

    #[test]
    fn bombs_windows_and_flipped_bits_are_errors() {
        let bomb = pack_records(&vec![0; 1 << 20]).unwrap();
        assert!(read_frame(&mut io::Cursor::new(&bomb), 1000).is_err());
        let mut wide = Compressor::new(1).unwrap();
        wide.set_parameter(CParameter::WindowLog(27)).unwrap();
        wide.set_parameter(CParameter::ContentSizeFlag(false))
            .unwrap();
        let wide = wide.compress(&vec![7; 300 << 20]).unwrap();
        assert!(read_frame(&mut io::Cursor::new(&wide), u64::MAX - 1).is_err());
        let good = pack_records(b"some text that is long enough to be flipped somewhere").unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let read = read_frame(&mut io::Cursor::new(&bad), 1000);
            assert!(
                read.is_err() || read.unwrap().unwrap().hash != *blake3::hash(&good).as_bytes(),
                "byte {at}"
            );
            let cut = read_frame(&mut io::Cursor::new(&good[..at]), 1000);
            assert!(at == 0 || cut.is_err(), "cut at {at}");
        }
    }
}
