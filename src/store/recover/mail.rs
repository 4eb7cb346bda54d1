//! Every message whose bytes still hash right, out of every segment there is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::knowledge::Knowledge;
use super::rebuild::{Rebuild, Saved};
use super::{DamagedRegion, RecoverError, RecoverReport};
use crate::archive::format::{ContentsHead, ContentsLine, ZSTD_MAGIC};
use crate::archive::{ArchiveDir, Body, Pair, PairError, SegmentReader, pair_behind};
use crate::durable;
use crate::event::{Event, Sink};
use crate::header;
use crate::model::{ContentId, Flags, RemoteId, StoredContent};
use crate::store::files_below;

/// Messages larger than this go through a file.
const SPOOL_FROM: usize = 8 << 20;
/// How far into a broken pair its data frame may begin.
const CONTENTS_REACH: u64 = 32 << 20;
/// Places tried as the beginning of that data frame.
const TRIES: usize = 64;

pub(super) fn save(
    from: &Path,
    knowledge: &Knowledge,
    rebuild: &mut Rebuild<'_>,
    report: &mut RecoverReport,
    sink: &dyn Sink,
) -> Result<(), RecoverError> {
    let mail = from.join("mail");
    let segments = files_below(&mail)?;
    let size = |segment: &String| std::fs::metadata(mail.join(segment)).map_or(0, |m| m.len());
    let total = segments.iter().map(size).sum();
    let mut done = 0;
    let archive = archive_id(from, &segments);
    for segment in &segments {
        let mut walk = Walk {
            path: mail.join(segment),
            segment,
            archive: archive.as_deref(),
            knowledge,
            rebuild,
            report,
            sink,
            done,
            total,
        };
        walk.segment()?;
        done += size(segment);
    }
    rebuild.commit()?;
    Ok(())
}

/// The id every pair of the archive bears: as archive.toml has it, else as the first pair that
/// can be read at the very beginning of a segment, where no message can have put one.
fn archive_id(from: &Path, segments: &[String]) -> Option<String> {
    if let Ok(dir) = ArchiveDir::open(from) {
        return Some(dir.id().to_owned());
    }
    let first = |segment: &String| {
        SegmentReader::open(&from.join("mail").join(segment), 0)
            .ok()?
            .next_pair()
            .ok()
            .flatten()
    };
    segments
        .iter()
        .find_map(first)
        .map(|pair| pair.head.archive)
}

struct Walk<'a, 'w> {
    path: PathBuf,
    archive: Option<&'a str>,
    segment: &'a str,
    knowledge: &'a Knowledge,
    rebuild: &'a mut Rebuild<'w>,
    report: &'a mut RecoverReport,
    sink: &'a dyn Sink,
    done: u64,
    total: u64,
}

impl Walk<'_, '_> {
    fn io(&self, source: io::Error) -> RecoverError {
        RecoverError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn segment(&mut self) -> Result<(), RecoverError> {
        let mut known: BTreeMap<u64, Vec<StoredContent>> = BTreeMap::new();
        for content in self.knowledge.catalog.contents_in(self.segment, 0)? {
            known.entry(content.at.frame).or_default().push(content);
        }
        let mut at = 0;
        loop {
            let mut reader = match SegmentReader::open(&self.path, at) {
                Ok(reader) => reader,
                Err(error) => {
                    self.damaged(at, 0, error.to_string());
                    return Ok(());
                }
            };
            let len = reader.file_len();
            match reader.next_pair() {
                Ok(None) => return Ok(()),
                Ok(Some(pair)) => {
                    if let Some(text) = self.pair(&mut reader, &pair)?.broken {
                        self.damaged(pair.data_offset, pair.head.data, text);
                    }
                    at = pair.end();
                }
                Err(error) => {
                    let goal = known
                        .range(at + 1..)
                        .map(|(frame, _)| *frame)
                        .next()
                        .filter(|frame| *frame < len);
                    let end = match known.get(&at) {
                        Some(contents) => {
                            self.without_description(at, goal.unwrap_or(len), contents)?
                        }
                        None => None,
                    };
                    let next = match end {
                        Some(end) => end,
                        None => self.next_pair(at, goal, len)?,
                    };
                    self.damaged(at, next - at, error.to_string());
                    at = next;
                }
            }
            self.sink.event(Event::Progress {
                what: "recovering",
                done: self.done + at.min(len),
                total: self.total,
            });
        }
    }

    fn damaged(&mut self, offset: u64, bytes: u64, text: String) {
        self.report.damage.push(DamagedRegion {
            path: self.path.clone(),
            offset,
            bytes,
            text,
        });
    }

    /// Where to go on behind a pair that cannot be read.
    ///
    /// A message may hold what looks like a pair, put there by whoever sent it. So a place
    /// the journal names is believed first, then one from which pairs lead without a gap to
    /// such a place or to the end of the file, and only then any at all.
    fn next_pair(&self, at: u64, named: Option<u64>, len: u64) -> Result<u64, RecoverError> {
        let goal = named.unwrap_or(len);
        let mut first = None;
        let mut from = at + 1;
        while let Some(found) = pair_behind(&self.path, from, self.archive)
            .map_err(|e| self.io(e))?
            .filter(|found| *found < goal)
        {
            if leads_to(&self.path, found, goal) {
                return Ok(found);
            }
            first = first.or(Some(found));
            from = found + 1;
        }
        Ok(named.or(first).unwrap_or(len))
    }

    /// Saves what a pair holds.
    fn pair(&mut self, reader: &mut SegmentReader, pair: &Pair) -> Result<Yield, RecoverError> {
        let mut taker = Taker::new(
            self.rebuild,
            &self.knowledge.catalog,
            self.segment,
            &pair.head,
        );
        let read = reader.read_data(pair, &mut |line, bytes| taker.take(line, bytes));
        let Taker {
            failed,
            finished,
            saved,
            messages,
            bytes,
            ..
        } = taker;
        if let Some(error) = failed {
            return Err(error);
        }
        self.report.messages += messages;
        self.report.bytes += bytes;
        let broken = match read {
            Ok(()) => None,
            Err(PairError::Io(source)) => Some(source.to_string()),
            Err(error) => Some(error.to_string()),
        };
        for (n, line) in pair.lines.iter().enumerate() {
            if n >= finished || !saved.contains(&line.id) {
                self.rebuild.missing(line, &pair.head);
            }
        }
        self.rebuild.commit_if_due()?;
        Ok(Yield {
            broken,
            saved: saved.len(),
        })
    }

    /// A pair whose contents frame is lost: the journal knows what it held, and the data
    /// frame begins somewhere behind. Gives where it ends, if all of it could be read.
    fn without_description(
        &mut self,
        at: u64,
        next: u64,
        contents: &[StoredContent],
    ) -> Result<Option<u64>, RecoverError> {
        let lines: Vec<ContentsLine> = contents
            .iter()
            .map(|c| self.line(c))
            .collect::<Result<_, _>>()?;
        let reach = next
            .min(at.saturating_add(CONTENTS_REACH))
            .saturating_sub(at);
        let mut bytes = Vec::new();
        let mut file = durable::open_read(&self.path).map_err(|e| self.io(e))?;
        file.seek(SeekFrom::Start(at)).map_err(|e| self.io(e))?;
        file.take(reach)
            .read_to_end(&mut bytes)
            .map_err(|e| self.io(e))?;
        let hits: Vec<usize> = memchr::memmem::find_iter(&bytes, &ZSTD_MAGIC.to_le_bytes())
            .take(TRIES)
            .collect();
        drop(bytes);
        for hit in hits {
            let data_offset = at + u64::try_from(hit).unwrap_or(0);
            let head = ContentsHead {
                archive: String::new(),
                account: String::new(),
                mailbox: String::new(),
                wire: String::new(),
                separator: None,
                data: next - data_offset,
                text: contents.iter().map(|c| c.at.size).sum(),
            };
            let pair = Pair {
                offset: at,
                head,
                lines: lines.clone(),
                data_offset,
            };
            let mut reader =
                SegmentReader::open(&self.path, data_offset).map_err(|e| self.io(e))?;
            let saved = self.pair(&mut reader, &pair)?.saved;
            if saved == contents.len() {
                return Ok(Some(reader.position().map_err(|e| self.io(e))?));
            }
            if saved > 0 {
                break;
            }
        }
        Ok(None)
    }

    /// The line a contents frame would have for a content the journal knows.
    fn line(&self, content: &StoredContent) -> Result<ContentsLine, RecoverError> {
        let placed = self
            .knowledge
            .catalog
            .placements_of(content.id)?
            .into_iter()
            .next();
        let (date, remote, flags) = placed.map_or_else(
            || {
                (
                    None,
                    RemoteId::Pop {
                        uidl: content.id.to_string(),
                    },
                    Flags::default(),
                )
            },
            |p| (p.date, p.remote, p.flags),
        );
        let StoredContent {
            id, len, eol, at, ..
        } = content.clone();
        Ok(ContentsLine {
            id,
            len,
            eol,
            pos: at.pos,
            size: at.size,
            date,
            remote,
            flags,
        })
    }
}

/// What a pair gave.
struct Yield {
    broken: Option<String>,
    saved: usize,
}

/// Whether pairs stand one behind the other from `at` to exactly `goal`.
fn leads_to(path: &Path, mut at: u64, goal: u64) -> bool {
    let Ok(mut reader) = SegmentReader::open(path, at) else {
        return false;
    };
    while at < goal {
        match reader.next_pair() {
            Ok(Some(pair)) if reader.skip_data(&pair).is_ok() => at = pair.end(),
            _ => return false,
        }
    }
    at == goal
}

/// Takes the messages of one data frame, and keeps those that are what their id says.
struct Taker<'a, 'w> {
    rebuild: &'a mut Rebuild<'w>,
    catalog: &'a crate::catalog::Catalog,
    segment: &'a str,
    head: &'a ContentsHead,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    spool: Option<File>,
    start: Vec<u8>,
    failed: Option<RecoverError>,
    /// Messages that were read to their end.
    finished: usize,
    saved: std::collections::HashSet<ContentId>,
    messages: u64,
    bytes: u64,
}

impl<'a, 'w> Taker<'a, 'w> {
    fn new(
        rebuild: &'a mut Rebuild<'w>,
        catalog: &'a crate::catalog::Catalog,
        segment: &'a str,
        head: &'a ContentsHead,
    ) -> Self {
        Self {
            rebuild,
            catalog,
            segment,
            head,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            spool: None,
            start: Vec::new(),
            failed: None,
            finished: 0,
            saved: std::collections::HashSet::new(),
            messages: 0,
            bytes: 0,
        }
    }

    fn take(&mut self, line: &ContentsLine, bytes: Option<&[u8]>) -> io::Result<()> {
        let taken = match bytes {
            Some(bytes) => self.more(bytes),
            None => self.end(line),
        };
        taken.map_err(|error| {
            self.failed = Some(error);
            io::Error::other("stopped")
        })
    }

    fn more(&mut self, bytes: &[u8]) -> Result<(), RecoverError> {
        self.hasher.update(bytes);
        let room = header::HEADER_MAX
            .saturating_sub(self.start.len())
            .min(bytes.len());
        self.start
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.spool.is_none() && self.buffer.len() + bytes.len() > SPOOL_FROM {
            let mut file = self.rebuild.spool_file()?;
            self.rebuild.spooled(file.write_all(&self.buffer))?;
            self.buffer.clear();
            self.spool = Some(file);
        }
        match self.spool.as_mut() {
            Some(file) => {
                let written = file.write_all(bytes);
                self.rebuild.spooled(written)
            }
            None => {
                self.buffer.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn end(&mut self, line: &ContentsLine) -> Result<(), RecoverError> {
        self.finished += 1;
        let whole = self.hasher.finalize().as_bytes() == line.id.as_bytes();
        self.hasher.reset();
        let buffer = std::mem::take(&mut self.buffer);
        let body = self
            .spool
            .take()
            .map_or(Body::Memory(buffer), Body::Spooled);
        let start = std::mem::take(&mut self.start);
        if !whole {
            return Ok(());
        }
        self.saved.insert(line.id);
        let head = header::digest(&start);
        let saved = Saved {
            line,
            head,
            body,
            segment: self.segment,
            pair: self.head,
        };
        if self.rebuild.keep(saved, self.catalog)? {
            self.messages += 1;
            self.bytes += line.len;
        }
        Ok(())
    }
}
