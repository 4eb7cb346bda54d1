//! Writing a segment anew: to put small frames together, or to leave something out.
//!
//! ORDER: the new file is written in `tmp/`, synced, read back and hashed, renamed to the next
//! number of its mailbox, and the folder synced → one journal frame says what lies where now, and
//! what is left of the old file: the commit point → the catalog → the old file is removed, or cut
//! back to the part that stays. Death before the commit point leaves a file nobody names, whose
//! contents are all held elsewhere; death behind it leaves the old file or its tail in the same
//! state. The next opening removes both ([`super::adopt`]).

mod agree;
mod plan;

use std::collections::BTreeSet;
use std::io;

use super::write::last_segment;
use super::{StoreError, Writer};
use crate::archive::format::{Damaged, Moved, Record, Repacked, SEGMENT_SUFFIX, Seal};
use crate::archive::{Rewrite, RewriteError, Rewritten, SegmentReader, rewrite};
use crate::durable;
use crate::model::{ContentId, Location};

pub use plan::RepackPolicy;
use plan::{Frame, decide};

/// What repacking did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepackReport {
    /// Segments written anew.
    pub segments: u64,
    /// Data frames put together.
    pub frames: u64,
    /// Bytes on disk before, without what stayed where it was.
    pub before: u64,
    /// Bytes on disk of the new segments.
    pub after: u64,
    /// Messages that were found damaged on the way; they stay where they are.
    pub damaged: u64,
}

/// A segment that is to be replaced, and by what.
pub(super) struct Replacement<'a> {
    pub(super) segment: &'a str,
    pub(super) wanted: Rewrite,
    /// Bytes of the old file that stay.
    pub(super) left: u64,
    /// Records of the same commit.
    pub(super) more: Vec<Record>,
    /// Contents that are not to go along.
    pub(super) erased: &'a BTreeSet<ContentId>,
}

impl Writer {
    /// Puts small data frames together, in segments that were written to since the archive was
    /// opened. Whatever was taken has to be committed before. Durable on return; asked to stop,
    /// it ends between two segments.
    ///
    /// # Errors
    /// A failed write or sync: nothing is lost, and the archive is for the next opening to settle.
    pub fn repack(
        &mut self,
        policy: &RepackPolicy,
        stopped: &dyn Fn() -> bool,
    ) -> Result<RepackReport, StoreError> {
        let mut report = RepackReport::default();
        let mut budget = policy.budget;
        for segment in self.mail.written_to() {
            if stopped() {
                break;
            }
            budget =
                budget.saturating_sub(self.repack_one(&segment, policy, budget, &mut report)?);
        }
        Ok(report)
    }

    /// Gives what it took of the budget.
    fn repack_one(
        &mut self,
        segment: &str,
        policy: &RepackPolicy,
        budget: u64,
        report: &mut RepackReport,
    ) -> Result<u64, StoreError> {
        let known = self.catalog.segments()?;
        let unsealed = known
            .iter()
            .any(|(path, _, sealed)| path == segment && !sealed);
        // Where something is damaged nothing is touched.
        if !unsealed || !self.catalog.damaged_frames(segment)?.is_empty() {
            return Ok(0);
        }
        let tail: Vec<Frame> = self
            .catalog
            .last_frames(segment, |text| policy.is_small(text))?
            .into_iter()
            .map(|(offset, text)| Frame { offset, text })
            .collect();
        let len = self.len_of(segment)?;
        let Some(decision) = decide(&tail, len, policy, budget) else {
            return Ok(0);
        };
        let merged: BTreeSet<u64> = tail
            .get(decision.merge.clone())
            .unwrap_or_default()
            .iter()
            .map(|frame| frame.offset)
            .collect();
        let mut wanted = Rewrite {
            full: policy.full,
            ..Rewrite::default()
        };
        for content in self.catalog.contents_in(segment, decision.from)? {
            let frame = content.at.frame;
            if merged.contains(&frame) {
                wanted.merge.entry(frame).or_default().insert(content.id);
            } else {
                wanted.copy.insert(frame);
            }
        }
        let frames = merged.len() as u64;
        let replaced = self.replace(Replacement {
            segment,
            wanted,
            left: decision.from,
            more: Vec::new(),
            erased: &BTreeSet::new(),
        });
        match replaced? {
            Ok(new) => {
                report.segments += 1;
                report.frames += frames;
                report.before += len.saturating_sub(decision.from);
                report.after += new.len;
            }
            Err((frame, reason)) => report.damaged += self.leave(segment, frame, &reason)?,
        }
        Ok(decision.cost)
    }

    /// Writes a segment anew and makes that true. Gives where a frame is damaged, and how, if one
    /// is: then nothing has changed.
    ///
    /// # Errors
    /// As [`repack`](Self::repack).
    pub(super) fn replace(
        &mut self,
        replacement: Replacement<'_>,
    ) -> Result<Result<Rewritten, (u64, String)>, StoreError> {
        let Replacement {
            segment,
            wanted,
            left,
            more,
            erased,
        } = replacement;
        if let Some(found) = self.contradiction(segment, &wanted, left, erased)? {
            return Ok(Err(found));
        }
        let source = self.dir().mail().join(segment);
        let temporary = self.dir().tmp().join("segment.new");
        let io = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        durable::remove_file(&temporary).map_err(io(&temporary))?;
        let (new, into) = match rewrite(&source, &wanted, &temporary) {
            // Nothing is left to put anywhere.
            Ok(new) if new.len == 0 => {
                durable::remove_file(&temporary).map_err(io(&temporary))?;
                (new, None)
            }
            Ok(new) => {
                let into = self.name_new(segment, &temporary)?;
                (new, Some(into))
            }
            Err(error) => {
                // As well as possible: the next opening empties the folder.
                if let Err(error) = durable::remove_file(&temporary) {
                    tracing::debug!(%error, "cannot remove an unfinished segment");
                }
                return match error {
                    RewriteError::Damaged { frame, reason } => Ok(Err((frame, reason))),
                    RewriteError::Io { path, source } => Err(StoreError::Io { path, source }),
                };
            }
        };
        // What stands for a sealed segment is sealed as well.
        let sealed = |(path, _, sealed): &(String, u64, bool)| path == segment && *sealed;
        let seal = self.mail.is_full(new.len) || self.catalog.segments()?.iter().any(sealed);
        let records = records(segment, left, into.as_deref(), &new, more, seal);
        self.commit_records(records)?;
        // ORDER: only now, when the journal and the catalog say where all of it lies.
        self.mail.release(segment);
        if left == 0 {
            durable::remove_file(&source).map_err(io(&source))?;
            if let Some(folder) = source.parent() {
                durable::sync_dir(folder).map_err(io(folder))?;
            }
        } else {
            durable::cut_apart(&source, left, &temporary).map_err(io(&source))?;
        }
        self.go_on_behind(segment)?;
        Ok(Ok(new))
    }

    /// Gives a finished segment the next number of its folder, durably.
    fn name_new(&self, old: &str, temporary: &std::path::Path) -> Result<String, StoreError> {
        let (folder, _) = old.rsplit_once('/').unwrap_or(("", old));
        let mut number = 1;
        for (path, ..) in self.catalog.segments()? {
            let taken = number_in(folder, &path);
            number = number.max(taken.map_or(0, |n| n + 1));
        }
        let mail = self.dir().mail();
        loop {
            let relative = format!("{folder}/{number:06}{SEGMENT_SUFFIX}");
            let path = mail.join(&relative);
            match durable::rename_new(temporary, &path) {
                Ok(()) => {
                    let folder = mail.join(folder);
                    let synced = durable::sync_dir(&folder);
                    synced.map_err(|source| StoreError::Io {
                        path: folder,
                        source,
                    })?;
                    return Ok(relative);
                }
                // Something stands there that is not ours to write over.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(StoreError::Io { path, source }),
            }
        }
    }

    /// A segment in which a frame turned out to be damaged is sealed as it is, and what is lost
    /// is recorded. Gives how many messages that are.
    fn leave(&mut self, segment: &str, frame: u64, reason: &str) -> Result<u64, StoreError> {
        let path = self.dir().mail().join(segment);
        let mut good = BTreeSet::new();
        if let Ok(mut reader) = SegmentReader::open(&path, frame)
            && let Ok(Some(pair)) = reader.next_pair()
            && let Ok(checked) = reader.check_data(&pair)
        {
            let wrong: BTreeSet<ContentId> = checked.wrong.into_iter().collect();
            good.extend(
                pair.lines
                    .iter()
                    .map(|l| l.id)
                    .filter(|id| !wrong.contains(id)),
            );
        }
        let lost = self.catalog.contents_in(segment, frame)?;
        let lost = lost
            .into_iter()
            .filter(|c| c.at.frame == frame && !good.contains(&c.id));
        let mut records: Vec<Record> = lost
            .map(|content| {
                Record::Damaged(Damaged {
                    id: content.id,
                    segment: segment.to_owned(),
                    reason: reason.to_owned(),
                })
            })
            .collect();
        let count = records.len() as u64;
        if count > 0 {
            let len = self.len_of(segment)?;
            records.push(Record::Seal(Seal {
                segment: segment.to_owned(),
                len,
            }));
            self.commit_records(records)?;
            self.mail.release(segment);
            self.go_on_behind(segment)?;
        }
        Ok(count)
    }

    /// Lets the mailbox of a segment go on where the catalog says now.
    fn go_on_behind(&mut self, segment: &str) -> Result<(), StoreError> {
        let segments = self.catalog.segments()?;
        let accounts = self.catalog.accounts()?;
        for mailbox in self.catalog.mailboxes(None)? {
            let account = accounts.iter().find(|a| a.id == mailbox.account);
            if let Some(account) = account
                && number_in(&format!("{}/{}", account.folder, mailbox.folder), segment).is_some()
            {
                let last = last_segment(&segments, account, &mailbox);
                self.mail.register(account, &mailbox, last);
            }
        }
        Ok(())
    }

    fn len_of(&self, segment: &str) -> Result<u64, StoreError> {
        let path = self.dir().mail().join(segment);
        match std::fs::metadata(&path) {
            Ok(meta) => Ok(meta.len()),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }
}

/// What the journal says of a segment written anew.
fn records(
    segment: &str,
    left: u64,
    into: Option<&str>,
    new: &Rewritten,
    more: Vec<Record>,
    full: bool,
) -> Vec<Record> {
    let mut records = more;
    if let Some(into) = into {
        records.extend(new.moved.iter().map(|(id, frame, pos, size)| {
            Record::Moved(Moved {
                id: *id,
                at: Location {
                    segment: into.to_owned(),
                    frame: *frame,
                    pos: *pos,
                    size: *size,
                },
            })
        }));
    }
    records.push(Record::Repacked(Repacked {
        segment: segment.to_owned(),
        left,
        into: into.map(str::to_owned),
        frames: new.frames.clone(),
    }));
    if left > 0 {
        records.push(Record::Seal(Seal {
            segment: segment.to_owned(),
            len: left,
        }));
    }
    if let Some(into) = into.filter(|_| full) {
        records.push(Record::Seal(Seal {
            segment: into.to_owned(),
            len: new.len,
        }));
    }
    records
}

/// The number of a segment in a folder; `None` if it lies elsewhere.
pub(super) fn number_in(folder: &str, segment: &str) -> Option<u32> {
    let (its, name) = segment.rsplit_once('/')?;
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    (its == folder && digits.len() >= 6).then(|| digits.parse().ok())?
}
