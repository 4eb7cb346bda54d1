//! After an unclean stop: what do the segments hold beyond, or short of, what the journal says?
//!
//! * Whole, valid pairs behind the journal's end were written and never named: *adopted*, as
//!   contents without placements. The next run finds them held and links them.
//! * An incomplete pair there is cut, unless a whole one stands behind it (the medium wrote
//!   out of order): then the segment is sealed as it is, and what is whole is adopted.
//! * A segment nobody names whose contents are all held elsewhere is what a run left that died
//!   while it wrote a segment anew, on one side of its commit point or the other. So is what lies
//!   behind the end of a sealed one. It is looked at where they are held now; if that is whole,
//!   this copy is removed.
//! * Mail the journal names that is not there, or not what it was, is *damage*: the segment is
//!   sealed as it is, the lost contents are recorded and count as not held.

mod pairs;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::StoreError;
use crate::archive::format::{Damaged, Record, Seal};
use crate::archive::{ArchiveDir, Checked, Pair, PairError, SegmentReader, pair_behind};
use crate::catalog::Catalog;
use crate::durable::{self, AppendFile};
use crate::model::{ContentId, StoredContent};
use pairs::whole_contents;

/// What opening after an unclean stop found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Messages whose bytes were there and that nobody had named.
    pub adopted: u64,
    /// Segments that were cut back, and by how many bytes.
    pub cut: Vec<(String, u64)>,
    /// Messages whose bytes are lost, by segment, with what was found.
    pub damaged: Vec<(String, u64, String)>,
}

/// Where the journal names mail that the catalog had not seen: the first pair of each segment.
#[derive(Debug, Default)]
pub(super) struct Behind(BTreeMap<String, u64>);

impl Behind {
    /// Takes note of the records of a frame.
    pub(super) fn note(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Store(content) => check(&mut self.0, &content.at.segment, content.at.frame),
                Record::Moved(moved) => check(&mut self.0, &moved.at.segment, moved.at.frame),
                Record::Repacked(repacked) => {
                    if let Some(into) = &repacked.into {
                        check(&mut self.0, into, 0);
                    }
                }
                _ => {}
            }
        }
    }
}

fn check(from: &mut BTreeMap<String, u64>, segment: &str, frame: u64) {
    let from = from.entry(segment.to_owned()).or_insert(frame);
    *from = frame.min(*from);
}

/// What is to be done about one segment.
#[derive(Debug)]
pub(super) struct Tail {
    segment: String,
    adopt: Vec<StoredContent>,
    /// Cut the file to this length.
    cut: Option<u64>,
    /// Lost contents, and why.
    damaged: Option<(Vec<ContentId>, String)>,
    /// Nothing of the file is worth keeping, and no record names it.
    remove: bool,
    /// The length it was sealed with, where it has more.
    sealed: Option<u64>,
    /// It is sealed as it is.
    seal: bool,
    len: u64,
}

impl Tail {
    fn of(segment: &str) -> Self {
        Self {
            segment: segment.to_owned(),
            adopt: Vec::new(),
            cut: None,
            damaged: None,
            remove: false,
            sealed: None,
            seal: false,
            len: 0,
        }
    }
}

/// Whether every unsealed segment is there and reaches at least to the last pair the journal
/// knows of. One that does not is damage, and looked at closely.
pub(super) fn are_whole(dir: &ArchiveDir, catalog: &Catalog) -> Result<bool, StoreError> {
    let whole = |(segment, last, sealed): &(String, u64, bool)| {
        *sealed || std::fs::metadata(dir.mail().join(segment)).is_ok_and(|m| m.len() > *last)
    };
    Ok(catalog.segments()?.iter().all(whole))
}

/// Looks at every unsealed segment, known or not, and at what lies behind the end of sealed ones.
/// Changes nothing but the page cache.
pub(super) fn examine(
    dir: &ArchiveDir,
    catalog: &Catalog,
    behind: &Behind,
) -> Result<Vec<Tail>, StoreError> {
    let mut check_from = behind.0.clone();
    let known: BTreeMap<String, (u64, bool)> = catalog
        .segments()?
        .into_iter()
        .map(|(path, last, sealed)| (path, (last, sealed)))
        .collect();
    let mut strangers = strangers::find(dir, catalog, &known)?;
    // Before a copy goes that nobody names, the one that is named is looked at.
    for content in strangers.iter().flat_map(|tail| &tail.adopt) {
        if catalog.holds(content.id)?
            && let Some(held) = catalog.content(content.id)?
        {
            check(&mut check_from, &held.at.segment, held.at.frame);
        }
    }
    let mut tails = Vec::new();
    for (segment, (last, sealed)) in &known {
        // A sealed segment was whole and synced before its seal was journaled. It is looked
        // at only when the records the catalog had not seen name mail in it.
        let from = check_from.get(segment).copied();
        if !sealed || from.is_some() {
            tails.push(known_segment(
                dir,
                catalog,
                segment,
                from.unwrap_or(*last).min(*last),
                *sealed,
            )?);
        }
    }
    let lost: BTreeSet<ContentId> = tails
        .iter()
        .flat_map(|tail| tail.damaged.iter().flat_map(|(lost, _)| lost))
        .copied()
        .collect();
    for tail in &mut strangers {
        strangers::judge(tail, catalog, &lost)?;
    }
    tails.append(&mut strangers);
    Ok(tails)
}

/// Carries out what [`examine`] found, and gives the records that say so.
pub(super) fn settle(
    dir: &ArchiveDir,
    catalog: &Catalog,
    tails: Vec<Tail>,
) -> Result<(Vec<Record>, Findings), StoreError> {
    let mut findings = Findings::default();
    let mut records = Vec::new();
    let mut seals = Vec::new();
    let mut found = BTreeSet::new();
    let mut removed = BTreeSet::new();
    for tail in &tails {
        let path = dir.mail().join(&tail.segment);
        let io = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        // What a segment written anew leaves behind was never anybody's loss.
        if let Some(len) = tail.cut.filter(|_| tail.sealed.is_none()) {
            findings.cut.push((tail.segment.clone(), tail.len - len));
        }
        match tail.cut {
            _ if tail.remove => {
                durable::remove_file(&path).map_err(io)?;
                removed.extend(path.parent().map(Path::to_owned));
            }
            Some(len) if tail.sealed.is_some() => {
                durable::cut_apart(&path, len, &dir.tmp().join("segment.cut")).map_err(io)?;
            }
            Some(len) => durable::set_len(&path, len).map_err(io)?,
            None => {}
        }
        for content in &tail.adopt {
            if found.insert(content.id) {
                findings.adopted += u64::from(!catalog.holds(content.id)?);
                records.push(Record::Store(content.clone()));
            }
        }
    }
    for folder in removed {
        let synced = durable::sync_dir(&folder);
        synced.map_err(|source| StoreError::Io {
            path: folder,
            source,
        })?;
    }
    for tail in tails {
        if let Some((lost, reason)) = tail.damaged {
            // A copy of it may have turned up elsewhere.
            let lost: Vec<ContentId> = lost.into_iter().filter(|id| !found.contains(id)).collect();
            findings.damaged.push((
                tail.segment.clone(),
                u64::try_from(lost.len()).unwrap_or(0),
                reason.clone(),
            ));
            let segment = &tail.segment;
            let records = lost.into_iter().map(|id| {
                Record::Damaged(Damaged {
                    id,
                    segment: segment.clone(),
                    reason: reason.clone(),
                })
            });
            seals.extend(records);
        } else if !tail.seal {
            continue;
        }
        seals.push(Record::Seal(Seal {
            segment: tail.segment,
            len: tail.len,
        }));
    }
    records.extend(seals);
    Ok((records, findings))
}

fn known_segment(
    dir: &ArchiveDir,
    catalog: &Catalog,
    segment: &str,
    from: u64,
    sealed: bool,
) -> Result<Tail, StoreError> {
    let path = dir.mail().join(segment);
    let io = |source| StoreError::Io {
        path: path.clone(),
        source,
    };
    let mut tail = Tail::of(segment);
    match AppendFile::open(&path) {
        Ok(mut file) => {
            tail.len = file.len();
            file.sync().map_err(io)?;
            file.drop_cache();
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let all: Vec<ContentId> = catalog
                .contents_in(segment, 0)?
                .into_iter()
                .map(|c| c.id)
                .collect();
            tail.damaged = (!all.is_empty()).then(|| (all, "the segment is missing".to_owned()));
            return Ok(tail);
        }
        Err(e) => return Err(io(e)),
    }
    let mut frames: BTreeMap<u64, Vec<ContentId>> = BTreeMap::new();
    for content in catalog.contents_in(segment, from)? {
        frames.entry(content.at.frame).or_default().push(content.id);
    }
    let mut end = from;
    let mut lost = Vec::new();
    let mut reason = None;
    // By the places the journal names, so that one bad pair takes no other with it.
    for (frame, contents) in frames {
        let mut reader = SegmentReader::open(&path, frame).map_err(io)?;
        let (good, found) = match checked_pair(&mut reader) {
            Ok(Some((pair, checked))) => {
                end = end.max(pair.end());
                let good: BTreeSet<ContentId> = pair
                    .lines
                    .iter()
                    .map(|l| l.id)
                    .filter(|id| !checked.wrong.contains(id))
                    .collect();
                (
                    good,
                    checked
                        .broken
                        .unwrap_or_else(|| "a message is not what was stored".to_owned()),
                )
            }
            Ok(None) => (
                BTreeSet::new(),
                "the segment is shorter than the journal says".to_owned(),
            ),
            Err(PairError::Io(source)) => return Err(io(source)),
            Err(e) => (BTreeSet::new(), e.to_string()),
        };
        let before = lost.len();
        lost.extend(contents.into_iter().filter(|id| !good.contains(id)));
        if lost.len() > before {
            reason.get_or_insert(found);
        }
    }
    if let Some(reason) = reason {
        tail.damaged = Some((lost, reason));
    } else if !sealed {
        behind_the_end(dir, &mut tail, end)?;
        // What the catalog holds already needs no second record.
        let mut unknown = Vec::new();
        for content in tail.adopt.drain(..) {
            if is_new(catalog, content.id)? {
                unknown.push(content);
            }
        }
        tail.adopt = unknown;
    }
    Ok(tail)
}

/// Whether a content is neither held nor to be forgotten.
fn is_new(catalog: &Catalog, id: ContentId) -> Result<bool, StoreError> {
    Ok(!catalog.holds(id)? && catalog.why_forgotten(id)?.is_none())
}

/// Adopts whole pairs from `end` on, and marks the first that is not whole for cutting; where
/// a whole one stands behind that, nothing is cut. Gives where the last whole one ends.
fn behind_the_end(dir: &ArchiveDir, tail: &mut Tail, end: u64) -> Result<u64, StoreError> {
    let path = dir.mail().join(&tail.segment);
    let io = |source| StoreError::Io {
        path: path.clone(),
        source,
    };
    let mut good_end = end;
    let mut from = end;
    loop {
        let mut reader = SegmentReader::open(&path, from).map_err(io)?;
        tail.len = reader.file_len();
        match adopt_pairs(&mut reader, tail, &mut from) {
            Ok(()) => break,
            Err(PairError::Io(source)) => return Err(io(source)),
            Err(error) => {
                tail.cut.get_or_insert(from);
                match pair_behind(&path, from + 1, Some(dir.id())).map_err(io)? {
                    Some(next) => {
                        tail.damaged.get_or_insert((Vec::new(), error.to_string()));
                        from = next;
                    }
                    None => break,
                }
            }
        }
        good_end = good_end.max(from);
    }
    if tail.damaged.is_some() {
        tail.cut = None;
    } else {
        good_end = from;
    }
    Ok(good_end)
}

/// Adopts pair after pair up to the end of the file; `at` is the end of the last whole one.
fn adopt_pairs(reader: &mut SegmentReader, tail: &mut Tail, at: &mut u64) -> Result<(), PairError> {
    while let Some(pair) = reader.next_pair()? {
        let contents = whole_contents(reader, &pair, &tail.segment)?;
        tail.adopt.extend(contents);
        *at = pair.end();
    }
    Ok(())
}

fn checked_pair(reader: &mut SegmentReader) -> Result<Option<(Pair, Checked)>, PairError> {
    let Some(pair) = reader.next_pair()? else {
        return Ok(None);
    };
    let checked = reader.check_data(&pair).map_err(PairError::Io)?;
    Ok(Some((pair, checked)))
}
