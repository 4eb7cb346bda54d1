//! Erasing contents on a person's request.
//!
//! The segments that hold a copy, sealed ones too, are written anew without it ([`super::repack`]);
//! the same commit that says so has the `forgotten` record of what lay there. Then the catalog is
//! rid of what SQLite keeps of deleted rows. Death on the way leaves an archive in which some is
//! erased and some is not: the same order again does the rest, also of what was forgotten earlier.

use std::collections::{BTreeMap, BTreeSet};

use super::repack::Replacement;
use super::{StoreError, Writer, files_below};
use crate::archive::format::{Forgotten, Record};
use crate::archive::{PairError, Rewrite, SegmentReader};
use crate::model::ContentId;

/// What forgetting did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgetReport {
    /// Contents that are forgotten now and were not before.
    pub forgotten: Vec<ContentId>,
    /// Contents that were forgotten already.
    pub already: Vec<ContentId>,
    /// Segments written anew.
    pub segments: u64,
    /// Segments that could not be written anew or be looked through, and why. What is asked for
    /// may still be in them.
    pub refused: Vec<(String, String)>,
    /// Files with the name of a segment that are no part of the archive and hold it too.
    pub strangers: Vec<String>,
}

impl ForgetReport {
    /// Whether nothing of what was asked for is left in the archive.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.strangers.is_empty()
    }
}

impl Writer {
    /// Erases contents for good, and whatever is left of those forgotten before. Durable on return.
    /// Whatever was taken has to be committed before.
    ///
    /// # Errors
    /// A failed write or sync: part of it may be done, and the same call again does the rest. A
    /// segment that is damaged is none: it stands in the report, and nothing is erased from it.
    pub fn forget(
        &mut self,
        contents: &[ContentId],
        reason: &str,
    ) -> Result<ForgetReport, StoreError> {
        let mut report = ForgetReport::default();
        let before: BTreeSet<ContentId> =
            self.catalog.forgotten()?.into_iter().map(|f| f.0).collect();
        let (already, mut new): (BTreeSet<ContentId>, BTreeSet<ContentId>) =
            contents.iter().partition(|id| before.contains(id));
        report.already = already.into_iter().collect();
        let wanted: BTreeSet<ContentId> = before.union(&new).copied().collect();
        let record = |id: ContentId| {
            let reason = reason.to_owned();
            Record::Forgotten(Forgotten { id, reason })
        };
        let known: BTreeSet<String> = self.catalog.segments()?.into_iter().map(|s| s.0).collect();
        let files = files_below(&self.dir().mail())?;
        for segment in files.iter().cloned() {
            let found = match self.frames_with(&segment, &wanted)? {
                Ok(found) if found.is_empty() => continue,
                Ok(_) if !known.contains(&segment) => {
                    report.strangers.push(segment);
                    continue;
                }
                Ok(found) => found,
                Err(why) => {
                    report.refused.push((segment, why));
                    continue;
                }
            };
            let mut here = Vec::new();
            for id in &new {
                let content = self.catalog.content(*id)?;
                here.extend(content.filter(|c| c.at.segment == segment).map(|_| *id));
            }
            let replacement = Replacement {
                segment: &segment,
                wanted: self.without(&segment, &found, &wanted)?,
                left: 0,
                more: here.iter().copied().map(record).collect(),
                erased: &wanted,
            };
            match self.replace(replacement)? {
                Ok(_) => {
                    report.segments += 1;
                    new.retain(|id| !here.contains(id));
                    report.forgotten.extend(here);
                }
                Err((frame, why)) => {
                    let why = format!("the frame at byte {frame} is damaged: {why}");
                    report.refused.push((segment, why));
                }
            }
        }
        // What is left of them is nowhere, unless it is where nobody could look.
        for id in new {
            let at = self.catalog.content(id)?.map(|c| c.at);
            if let Some(at) = &at
                && !at.segment.is_empty()
                && !files.contains(&at.segment)
                && !self
                    .catalog
                    .damaged_frames(&at.segment)?
                    .contains(&at.frame)
            {
                // A disk that is not there now has the message still.
                let why = "its file is not there, so it cannot be erased".to_owned();
                report.refused.push((at.segment.clone(), why));
                continue;
            }
            let at = at.map(|at| at.segment);
            if report.refused.iter().all(|(s, _)| Some(s) != at.as_ref()) {
                report.forgotten.push(id);
            }
        }
        let rest: Vec<ContentId> = report.forgotten.clone();
        let mut records = Vec::new();
        for id in rest {
            if self.catalog.why_forgotten(id)?.is_none() {
                records.push(record(id));
            }
        }
        self.commit_records(records)?;
        self.catalog.scrub()?;
        Ok(report)
    }

    /// The pairs of a segment that hold one of these contents, by offset; why it cannot be told,
    /// where not all of the segment can be read.
    fn frames_with(
        &self,
        segment: &str,
        contents: &BTreeSet<ContentId>,
    ) -> Result<Result<BTreeSet<u64>, String>, StoreError> {
        let path = self.dir().mail().join(segment);
        let io = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        let mut found = BTreeSet::new();
        let mut reader = SegmentReader::open(&path, 0).map_err(io)?;
        loop {
            match reader.next_pair() {
                Ok(Some(pair)) => {
                    if pair.lines.iter().any(|line| contents.contains(&line.id)) {
                        found.insert(pair.offset);
                    }
                    reader.skip_data(&pair).map_err(io)?;
                }
                Ok(None) => return Ok(Ok(found)),
                Err(PairError::Io(source)) => return Err(io(source)),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
    }

    /// A segment as it is, but for these contents, which stand in these frames. Frames in which
    /// nothing is named are left out.
    fn without(
        &self,
        segment: &str,
        frames: &BTreeSet<u64>,
        contents: &BTreeSet<ContentId>,
    ) -> Result<Rewrite, StoreError> {
        let mut merge: BTreeMap<u64, BTreeSet<ContentId>> = frames
            .iter()
            .map(|frame| (*frame, BTreeSet::new()))
            .collect();
        let mut copy = BTreeSet::new();
        for content in self.catalog.contents_in(segment, 0)? {
            match merge.get_mut(&content.at.frame) {
                Some(keep) if !contents.contains(&content.id) => {
                    keep.insert(content.id);
                }
                Some(_) => {}
                None => {
                    copy.insert(content.at.frame);
                }
            }
        }
        // Damaged ones as well, so that the damage is seen before anything is written anew.
        let damaged = self.catalog.damaged_frames(segment)?;
        copy.extend(damaged.into_iter().filter(|f| !frames.contains(f)));
        // Full is what a frame was: none is put together with another.
        Ok(Rewrite {
            copy,
            merge,
            full: 0,
        })
    }
}
