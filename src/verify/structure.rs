//! Every segment, pair by pair, without decompressing mail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::journal::Sealed;
use super::{Finding, FindingKind, Unnamed, VerifyError, VerifyReport};
use crate::archive::{ArchiveDir, Pair, PairError, SegmentReader};
use crate::catalog::Catalog;
use crate::model::{ContentId, StoredContent};
use crate::store::files_below;

/// A data frame to be read.
#[derive(Debug, Clone)]
pub(super) struct FrameToRead {
    /// Path below `mail/`.
    pub(super) segment: std::sync::Arc<str>,
    /// Where its pair begins.
    pub(super) offset: u64,
    /// Bytes on disk.
    pub(super) bytes: u64,
}

/// Walks all segments. Gives the data frames that hold something the journal names.
pub(super) fn check(
    dir: &ArchiveDir,
    catalog: &Catalog,
    sealed: &BTreeMap<String, Sealed>,
    report: &mut VerifyReport,
) -> Result<Vec<FrameToRead>, VerifyError> {
    let files: BTreeSet<String> = files_below(&dir.mail())?.into_iter().collect();
    let known: BTreeSet<String> = catalog
        .segments()?
        .into_iter()
        .map(|(path, ..)| path)
        .collect();
    let forgotten: BTreeSet<ContentId> = catalog.forgotten()?.into_iter().map(|f| f.0).collect();
    let mut frames = Vec::new();
    report.segments = u64::try_from(files.len()).unwrap_or(u64::MAX);
    for segment in files.union(&known) {
        let expected = by_frame(catalog.contents_in(segment, 0)?);
        // Where mail was found lost before: known, and no finding a second time.
        let lost = catalog.damaged_frames(segment)?.into_iter().collect();
        let mut walk = Walk {
            dir,
            segment,
            report: &mut *report,
            frames: &mut frames,
            forgotten: &forgotten,
        };
        if files.contains(segment) {
            walk.segment(expected, &lost, sealed.get(segment).copied())?;
        } else {
            walk.missing(&expected);
        }
    }
    Ok(frames)
}

fn by_frame(contents: Vec<StoredContent>) -> BTreeMap<u64, Vec<StoredContent>> {
    let mut frames: BTreeMap<u64, Vec<StoredContent>> = BTreeMap::new();
    for content in contents {
        frames.entry(content.at.frame).or_default().push(content);
    }
    frames
}

fn ids<'a>(contents: impl Iterator<Item = &'a StoredContent>) -> Vec<ContentId> {
    contents.map(|c| c.id).collect()
}

struct Walk<'a> {
    dir: &'a ArchiveDir,
    segment: &'a str,
    report: &'a mut VerifyReport,
    frames: &'a mut Vec<FrameToRead>,
    forgotten: &'a BTreeSet<ContentId>,
}

impl Walk<'_> {
    fn find(&mut self, offset: Option<u64>, messages: Vec<ContentId>, text: &str) {
        let path = self.dir.mail().join(self.segment);
        self.report.findings.push(Finding {
            kind: FindingKind::Segment,
            path,
            offset,
            messages,
            text: text.to_owned(),
        });
    }

    fn missing(&mut self, expected: &BTreeMap<u64, Vec<StoredContent>>) {
        if !expected.is_empty() {
            let lost = ids(expected.values().flatten());
            self.find(None, lost, "the segment is missing");
        }
    }

    fn segment(
        &mut self,
        mut expected: BTreeMap<u64, Vec<StoredContent>>,
        lost: &BTreeSet<u64>,
        sealed: Option<Sealed>,
    ) -> Result<(), VerifyError> {
        let path = self.dir.mail().join(self.segment);
        let io = |source: io::Error| VerifyError::Io {
            path: path.clone(),
            source,
        };
        let name: std::sync::Arc<str> = self.segment.into();
        let last = expected.keys().next_back().copied();
        let mut reader = match SegmentReader::open(&path, 0) {
            // A run wrote it anew since it was listed, and may have removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.missing(&expected);
                return Ok(());
            }
            other => other.map_err(io)?,
        };
        let len = reader.file_len();
        let mut at = 0;
        let mut unnamed = Unnamed {
            path: path.clone(),
            offset: len,
            bytes: 0,
            messages: 0,
        };
        loop {
            let behind = last.is_none_or(|last| at > last);
            match reader.next_pair() {
                Ok(None) => break,
                Ok(Some(pair)) => {
                    self.report.frames += 1;
                    if pair.lines.iter().any(|l| self.forgotten.contains(&l.id)) {
                        self.find(
                            Some(at),
                            Vec::new(),
                            "a message that was forgotten is still here; forget it again",
                        );
                    }
                    if let Some(contents) = expected.remove(&at) {
                        self.compare(&pair, &contents);
                        self.frames.push(FrameToRead {
                            segment: std::sync::Arc::clone(&name),
                            offset: at,
                            bytes: pair.head.data,
                        });
                    } else if behind {
                        unnamed.offset = unnamed.offset.min(at);
                        unnamed.messages += u64::try_from(pair.lines.len()).unwrap_or(0);
                    }
                    reader.skip_data(&pair).map_err(io)?;
                    at = pair.end();
                    continue;
                }
                Err(PairError::Io(source)) => return Err(io(source)),
                Err(error) => {
                    let contents = expected.remove(&at).unwrap_or_default();
                    if !contents.is_empty() {
                        self.find(Some(at), ids(contents.iter()), &error.to_string());
                    } else if !behind && !lost.contains(&at) {
                        self.find(
                            Some(at),
                            Vec::new(),
                            &format!("no frame, and frames behind it: {error}"),
                        );
                    }
                }
            }
            // No pair here. The journal knows where the next one begins; behind its end there
            // is nothing left that counts.
            let Some(next) = expected
                .range(at..)
                .map(|(frame, _)| *frame)
                .next()
                .filter(|next| *next < len)
            else {
                unnamed.offset = if behind {
                    unnamed.offset.min(at)
                } else {
                    unnamed.offset
                };
                break;
            };
            at = next;
            reader = match SegmentReader::open(&path, at) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.missing(&expected);
                    return Ok(());
                }
                other => other.map_err(io)?,
            };
        }
        for (frame, contents) in expected {
            let text = if frame >= len {
                "the segment is shorter than the journal says"
            } else {
                "no frame begins here"
            };
            self.find(Some(frame), ids(contents.iter()), text);
        }
        let as_sealed = |s: &Sealed| s.len == len || (s.cut && s.len < len);
        if let Some(sealed) = sealed.filter(|s| !as_sealed(s)).map(|s| s.len) {
            self.find(
                Some(len.min(sealed)),
                Vec::new(),
                &format!("it was sealed with {sealed} bytes and has {len}"),
            );
        } else if unnamed.offset < len {
            unnamed.bytes = len - unnamed.offset;
            self.report.unnamed.push(unnamed);
        }
        Ok(())
    }

    /// Whether a pair describes what the journal says it holds.
    fn compare(&mut self, pair: &Pair, contents: &[StoredContent]) {
        let lines: BTreeMap<ContentId, _> = pair
            .lines
            .iter()
            .map(|l| (l.id, (l.pos, l.size, l.len, l.eol)))
            .collect();
        let differ: Vec<ContentId> = contents
            .iter()
            .filter(|c| lines.get(&c.id) != Some(&(c.at.pos, c.at.size, c.len, c.eol)))
            .map(|c| c.id)
            .collect();
        if !differ.is_empty() {
            self.find(
                Some(pair.offset),
                differ,
                "the frame does not describe the messages the journal places in it",
            );
        }
    }
}
