//! What is still known of a damaged archive, put together in a private catalog.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{DamagedRegion, RecoverError, RecoverReport};
use crate::archive::format::{Damaged, Departure, Forgotten, Record};
use crate::archive::{ArchiveDir, LogPosition, frame_behind, log_file, salvage_frame};
use crate::catalog::{Catalog, CatalogError};
use crate::durable;
use crate::model::{
    ContentId, LineEnds, Location, MailboxId, Placement, RemoteId, Skip, StoredContent, UidSet,
};

/// What stands in place of a location nobody knows.
pub(super) const NOWHERE: &str = "?";

const OLD_CATALOG: &str = "old-catalog.sqlite";

/// The evidence of journal and catalog.
pub(super) struct Knowledge {
    /// Accounts, mailboxes, contents, placements and skips as they were last.
    pub(super) catalog: Catalog,
    /// Every mailbox that anything was placed in, also where no record says what it is.
    pub(super) placed_in: BTreeSet<MailboxId>,
}

/// One readable frame of the journal.
struct Salvaged {
    commit: u64,
    run: u32,
    at: String,
    path: PathBuf,
    offset: u64,
}

pub(super) fn gather(
    from: &Path,
    new: &ArchiveDir,
    report: &mut RecoverReport,
) -> Result<Knowledge, RecoverError> {
    let (frames, holes) = frames(from, report)?;
    let old = old_catalog(from, new)?;
    let known_to_catalog = old.as_ref().map_or(0, |(_, commit)| *commit);
    let last = frames.last().map_or(0, |f| f.commit);
    report.journal_whole = !holes && last >= known_to_catalog.max(clean_commit(from)) && last > 0;
    let mut gather = Gather {
        catalog: Catalog::create_private("recover")?,
        commit: 0,
        placed_in: BTreeSet::new(),
    };
    // What the catalog had not seen yet is newer than all it says.
    let (mut before, after): (Vec<_>, Vec<_>) = frames
        .into_iter()
        .partition(|f| report.journal_whole || f.commit <= known_to_catalog);
    for frame in before.drain(..) {
        report.from_journal += gather.frame(&frame)?;
    }
    if let Some((old, _)) = &old
        && !report.journal_whole
    {
        report.from_catalog += gather.old(old)?;
    }
    drop(old);
    forget(new)?;
    for frame in after {
        report.from_journal += gather.frame(&frame)?;
    }
    // Counted again, by what is placed, when all is known.
    Ok(Knowledge {
        catalog: gather.catalog,
        placed_in: gather.placed_in,
    })
}

/// Finds every readable frame of the journal, also behind damage. Says whether there are holes.
fn frames(from: &Path, report: &mut RecoverReport) -> Result<(Vec<Salvaged>, bool), RecoverError> {
    let dir = from.join("journal");
    let mut found: Vec<Salvaged> = Vec::new();
    let mut holes = false;
    for number in log_numbers(&dir)? {
        let path = log_file(&dir, number);
        let io = |source| RecoverError::Io {
            path: path.clone(),
            source,
        };
        let len = match durable::open_read(&path) {
            Ok(file) => file.metadata().map_err(io)?.len(),
            Err(source) => {
                holes = true;
                report.damage.push(DamagedRegion {
                    path: path.clone(),
                    offset: 0,
                    bytes: 0,
                    text: source.to_string(),
                });
                continue;
            }
        };
        let mut offset = 0;
        while offset < len {
            match salvage_frame::<Record>(&path, offset) {
                Ok((head, _, end)) => {
                    holes |= head.n != found.last().map_or(0, |f| f.commit) + 1;
                    found.push(Salvaged {
                        commit: head.n,
                        run: head.run,
                        at: head.at,
                        path: path.clone(),
                        offset,
                    });
                    offset = end;
                }
                Err(error) => {
                    let next = frame_behind(&path, offset + 1).map_err(io)?.unwrap_or(len);
                    let text = error.to_string();
                    report.damage.push(DamagedRegion {
                        path: path.clone(),
                        offset,
                        bytes: next - offset,
                        text,
                    });
                    // The end of the last file inside a frame is no hole, unless something
                    // says that the commit happened; the caller looks at that.
                    holes |= next < len || log_file(&dir, number + 1).exists();
                    offset = next;
                }
            }
        }
    }
    Ok((found, holes))
}

fn log_numbers(dir: &Path) -> Result<BTreeSet<u32>, RecoverError> {
    let io = |source| RecoverError::Io {
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(io(e)),
    };
    let mut numbers = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        numbers.extend(
            name.to_str()
                .and_then(|n| n.strip_suffix(".jsonl.zst"))
                .and_then(|n| n.parse::<u32>().ok()),
        );
    }
    Ok(numbers)
}

/// The commit an orderly end left its mark at, 0 if there is none.
fn clean_commit(from: &Path) -> u64 {
    let mark = durable::read_small(&ArchiveDir::lock_path(from), 256).unwrap_or_default();
    let mark = String::from_utf8_lossy(&mark).into_owned();
    mark.trim()
        .strip_prefix("clean ")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// A copy of the old catalog, with the commit it stands at; nothing is opened where it lies.
fn old_catalog(from: &Path, new: &ArchiveDir) -> Result<Option<(Catalog, u64)>, RecoverError> {
    let target = new.tmp().join(OLD_CATALOG);
    // With its write-ahead log first; where the two do not fit, without.
    for suffixes in [&["", "-wal"][..], &[""]] {
        forget(new)?;
        for suffix in suffixes {
            let source = from.join(format!("catalog.sqlite{suffix}"));
            let Ok(mut file) = durable::open_read(&source) else {
                continue;
            };
            let path = new.tmp().join(format!("{OLD_CATALOG}{suffix}"));
            let mut copy: File = durable::create_new(&path).map_err(|source| RecoverError::Io {
                path: path.clone(),
                source,
            })?;
            if let Err(error) = io::copy(&mut file, &mut copy) {
                tracing::debug!(%error, "cannot copy the old catalog");
            }
        }
        if let Some(catalog) = Catalog::open_for_writing(&target, true)
            && let Ok(position) = catalog.position()
        {
            return Ok(Some((catalog, position.commit)));
        }
    }
    Ok(None)
}

/// Removes the copy again.
fn forget(new: &ArchiveDir) -> Result<(), RecoverError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = new.tmp().join(format!("{OLD_CATALOG}{suffix}"));
        durable::remove_file(&path).map_err(|source| RecoverError::Io { path, source })?;
    }
    Ok(())
}

struct Gather {
    catalog: Catalog,
    commit: u64,
    placed_in: BTreeSet<MailboxId>,
}

impl Gather {
    fn apply(&mut self, run: u32, at: &str, records: &[Record]) -> Result<(), CatalogError> {
        self.commit += 1;
        self.placed_in
            .extend(records.iter().filter_map(|r| match r {
                Record::Place(place) => Some(place.mailbox),
                _ => None,
            }));
        let end = LogPosition {
            commit: self.commit,
            ..LogPosition::START
        };
        self.catalog.apply("recover", run, at, records, end)
    }

    /// Applies a frame of the journal; gives the number of its placements.
    fn frame(&mut self, frame: &Salvaged) -> Result<u64, RecoverError> {
        let (_, mut records, _) =
            salvage_frame::<Record>(&frame.path, frame.offset).map_err(|source| {
                RecoverError::Io {
                    path: frame.path.clone(),
                    source,
                }
            })?;
        let mut stored: HashSet<ContentId> = HashSet::new();
        let mut unknown = Vec::new();
        let mut placements = 0;
        for record in &records {
            match record {
                Record::Store(content) => {
                    stored.insert(content.id);
                }
                Record::Place(place) => {
                    placements += 1;
                    if !stored.contains(&place.content)
                        && self.catalog.content(place.content)?.is_none()
                    {
                        stored.insert(place.content);
                        unknown.extend(nowhere(place.content, u64::from(place.size)));
                    }
                }
                _ => {}
            }
        }
        unknown.append(&mut records);
        self.apply(frame.run, &frame.at, &unknown)?;
        Ok(placements)
    }

    /// Applies everything an old catalog says, as far as it can be read.
    fn old(&mut self, old: &Catalog) -> Result<u64, RecoverError> {
        let mut head: Vec<Record> = old
            .accounts()
            .unwrap_or_default()
            .into_iter()
            .map(Record::Account)
            .collect();
        let mailboxes = old.mailboxes(None).unwrap_or_default();
        head.extend(mailboxes.iter().cloned().map(Record::Mailbox));
        // Before anything is placed: it is not a content of which nobody knows where it lies.
        let forgotten = old.forgotten().unwrap_or_default().into_iter();
        head.extend(forgotten.map(|(id, reason)| Record::Forgotten(Forgotten { id, reason })));
        head.extend(old.runs().unwrap_or_default().into_iter().map(Record::Run));
        self.apply(0, "", &head)?;
        for (segment, ..) in old.segments().unwrap_or_default() {
            let contents = old.contents_in(&segment, 0).unwrap_or_default();
            self.apply(
                0,
                "",
                &contents.into_iter().map(Record::Store).collect::<Vec<_>>(),
            )?;
        }
        let mut added = 0;
        for mailbox in &mailboxes {
            added += self.old_mailbox(old, mailbox.id)?;
            let maildrop = super::maildrop::records(old, mailbox.id, mailbox.id);
            self.apply(0, "", &maildrop.unwrap_or_default())?;
        }
        let skips = old.skips(true).unwrap_or_default();
        let skip = |s: crate::catalog::SkipRow| {
            (
                s.last,
                Skip {
                    mailbox: s.mailbox,
                    remote: s.remote,
                    count: s.count,
                    reason: s.reason,
                    accepted: s.accepted,
                },
            )
        };
        for (at, skip) in skips.into_iter().map(skip) {
            self.apply(0, &at, &[Record::Skip(skip)])?;
        }
        Ok(added)
    }

    fn old_mailbox(&mut self, old: &Catalog, mailbox: MailboxId) -> Result<u64, RecoverError> {
        let mut records = Vec::new();
        let mut gone: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut added = 0;
        for row in old.placements(mailbox, true).unwrap_or_default() {
            if self.catalog.content(row.content.id)?.is_none() {
                records.extend(nowhere(row.content.id, row.content.len));
            }
            if !self
                .catalog
                .placements_of(row.content.id)?
                .iter()
                .any(|p| p.mailbox == mailbox && p.remote == row.remote)
            {
                added += 1;
            }
            if let (true, RemoteId::Imap { uidvalidity, uid }) = (row.gone, &row.remote) {
                gone.entry(*uidvalidity).or_default().push(*uid);
            }
            records.push(Record::Place(Placement {
                content: row.content.id,
                mailbox,
                remote: row.remote,
                flags: row.flags,
                date: row.date,
                size: row.size,
                evidence: row.evidence,
            }));
        }
        records.extend(gone.into_iter().map(|(uidvalidity, uids)| {
            Record::Gone(Departure {
                mailbox,
                uidvalidity,
                uids: uids.into_iter().collect::<UidSet>(),
            })
        }));
        self.apply(1, "", &records)?;
        Ok(added)
    }
}

/// Records that make a content known of which nobody says where it lay.
fn nowhere(id: ContentId, len: u64) -> [Record; 2] {
    let at = Location {
        segment: NOWHERE.to_owned(),
        frame: 0,
        pos: 0,
        size: 0,
    };
    let stored = StoredContent {
        id,
        len,
        eol: LineEnds::Raw,
        head: None,
        at,
    };
    let reason = "nothing says where it lay".to_owned();
    [
        Record::Store(stored),
        Record::Damaged(Damaged {
            id,
            segment: NOWHERE.to_owned(),
            reason,
        }),
    ]
}
