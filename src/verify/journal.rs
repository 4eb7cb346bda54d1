//! The journal from its first byte on, and the catalog against it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::path::PathBuf;

use super::{Finding, FindingKind, VerifyError, VerifyReport};
use crate::archive::format::Record;
use crate::archive::{ArchiveDir, LogError, LogPosition, LogReader, log_file};
use crate::catalog::Catalog;
use crate::durable;
use crate::model::{ContentId, MailboxId};
use crate::store::Reader;

const CATALOG: &str = "catalog.sqlite";

/// What the journal says.
pub(super) struct Truth {
    /// A catalog built from it alone; `None` when it is damaged.
    pub(super) catalog: Option<Catalog>,
    /// Sealed segments and their lengths.
    pub(super) sealed: BTreeMap<String, Sealed>,
}

/// How a segment was sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    /// With so many bytes.
    pub(super) len: u64,
    /// What was behind them lies elsewhere, and may be there until a run removes it.
    pub(super) cut: bool,
}

/// What is looked for while the journal is read.
#[derive(Default)]
struct Watch {
    sealed: BTreeMap<String, Sealed>,
    mailboxes: BTreeSet<MailboxId>,
    /// Placements of contents nobody stored.
    orphans: BTreeSet<ContentId>,
    strangers: BTreeSet<MailboxId>,
    unknown: BTreeSet<String>,
    /// Whether a frame ends exactly where the catalog stands.
    met: bool,
}

pub(super) fn check(reader: &Reader, report: &mut VerifyReport) -> Result<Truth, VerifyError> {
    let dir = reader.dir();
    let stands = reader.catalog().position()?;
    let mut built = Catalog::create_private(dir.id())?;
    let mut log = LogReader::<Record>::new(&dir.journal(), dir.id(), LogPosition::START);
    let mut watch = Watch {
        met: stands == LogPosition::START,
        ..Watch::default()
    };
    let mut end = LogPosition::START;
    let broken = loop {
        match log.next_frame() {
            // A commit that came after the reader was opened is the next verification's.
            Ok(Some(_)) if watch.met && end.commit >= stands.commit => break None,
            Ok(Some(frame)) => {
                end = frame.end;
                watch.unknown.extend(frame.unknown_critical);
                built.apply(
                    dir.id(),
                    frame.head.run,
                    &frame.head.at,
                    &frame.records,
                    frame.end,
                )?;
                watch.records(&frame.records, &built)?;
                watch.met |= end == stands;
            }
            Ok(None) => break None,
            Err(LogError::Io { path, source }) => return Err(VerifyError::Io { path, source }),
            Err(error) => break Some(error),
        }
    };
    report.commits = end.commit;
    let damaged = judge(reader, broken, &watch, end, stands, report);
    let path = log_file(&dir.journal(), 1);
    let mut find = |messages: Vec<ContentId>, text: String| {
        report.findings.push(Finding {
            kind: FindingKind::Journal,
            path: path.clone(),
            offset: None,
            messages,
            text,
        });
    };
    if !watch.unknown.is_empty() {
        let kinds: Vec<String> = watch.unknown.into_iter().collect();
        find(
            Vec::new(),
            format!(
                "holds records of a kind this mailstow does not know: {}",
                kinds.join(", ")
            ),
        );
    }
    if !watch.orphans.is_empty() {
        let text = format!(
            "places {} messages that it never says are stored",
            watch.orphans.len()
        );
        find(watch.orphans.into_iter().collect(), text);
    }
    for mailbox in watch.strangers {
        find(
            Vec::new(),
            format!(
                "places messages in mailbox {}, which it does not know",
                mailbox.0
            ),
        );
    }
    if damaged {
        report.placements = count(reader.catalog(), "placements")?;
        return Ok(Truth {
            catalog: None,
            sealed: watch.sealed,
        });
    }
    report.placements = compare(reader, stands, &built, report)?;
    Ok(Truth {
        catalog: Some(built),
        sealed: watch.sealed,
    })
}

impl Watch {
    fn records(&mut self, records: &[Record], built: &Catalog) -> Result<(), VerifyError> {
        let mut stored = HashSet::new();
        for record in records {
            match record {
                Record::Store(content) => {
                    stored.insert(content.id);
                }
                Record::Mailbox(mailbox) => {
                    self.mailboxes.insert(mailbox.id);
                }
                Record::Seal(seal) => {
                    let cut = |old: &Sealed| old.cut && old.len == seal.len;
                    let cut = self.sealed.get(&seal.segment).is_some_and(cut);
                    let sealed = Sealed { len: seal.len, cut };
                    self.sealed.insert(seal.segment.clone(), sealed);
                }
                Record::Repacked(repacked) if repacked.left == 0 => {
                    self.sealed.remove(&repacked.segment);
                }
                Record::Repacked(repacked) => {
                    let (len, cut) = (repacked.left, true);
                    self.sealed
                        .insert(repacked.segment.clone(), Sealed { len, cut });
                }
                Record::Place(place) => {
                    if !self.mailboxes.contains(&place.mailbox) {
                        self.strangers.insert(place.mailbox);
                    }
                    if !stored.contains(&place.content) && built.content(place.content)?.is_none() {
                        self.orphans.insert(place.content);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Tells an unfinished commit from damage. Gives whether the journal is damaged.
fn judge(
    reader: &Reader,
    broken: Option<LogError>,
    watch: &Watch,
    end: LogPosition,
    stands: LogPosition,
    report: &mut VerifyReport,
) -> bool {
    let dir = reader.dir();
    let path = log_file(&dir.journal(), end.file);
    let mut find = |offset, text: String| {
        let kind = FindingKind::Journal;
        report.findings.push(Finding {
            kind,
            path: path.clone(),
            offset: Some(offset),
            messages: Vec::new(),
            text,
        });
        true
    };
    let promised = stands.commit.max(clean_commit(dir).unwrap_or(0));
    match broken {
        Some(LogError::Damaged { offset, reason, .. }) => find(offset, reason),
        Some(LogError::Torn { offset, .. }) if end.commit < promised => find(
            offset,
            format!(
                "an unreadable frame where commit {} of {promised} belongs",
                end.commit + 1
            ),
        ),
        Some(LogError::Torn { path, offset }) => {
            report.unfinished_commit = Some((path, offset));
            false
        }
        Some(other) => find(end.offset, other.to_string()),
        None if end.commit < promised => find(
            end.offset,
            format!("ends at commit {} of {promised}", end.commit),
        ),
        None if !watch.met => find(
            stands.offset,
            "no frame ends where the catalog says one does".to_owned(),
        ),
        None => false,
    }
}

/// The commit an orderly end left its mark at.
fn clean_commit(dir: &ArchiveDir) -> Option<u64> {
    let mark = durable::read_small(&ArchiveDir::lock_path(dir.root()), 256).ok()?;
    std::str::from_utf8(&mark)
        .ok()?
        .trim()
        .strip_prefix("clean ")?
        .parse()
        .ok()
}

/// Compares the archive's catalog with the one just built; gives the number of placements.
fn compare(
    reader: &Reader,
    stands: LogPosition,
    built: &Catalog,
    report: &mut VerifyReport,
) -> Result<u64, VerifyError> {
    let lying = reader.catalog();
    let mut find = |path: PathBuf, text: String| {
        report.findings.push(Finding {
            kind: FindingKind::Catalog,
            path,
            offset: None,
            messages: Vec::new(),
            text,
        });
    };
    let truth = built.digests()?;
    let placements = truth
        .iter()
        .find(|d| d.what == "placements")
        .map_or(0, |d| d.rows);
    if let Some(text) = unusable(reader.dir(), lying) {
        find(reader.dir().root().join(CATALOG), text);
    }
    if !lying.is_sound() {
        find(
            lying.path().to_owned(),
            "is not a sound database".to_owned(),
        );
        return Ok(placements);
    }
    match lying.digests() {
        Err(error) => find(lying.path().to_owned(), error.source.to_string()),
        // A run has committed since: what it says now is another state.
        Ok(_) if lying.position()? != stands => {}
        Ok(said) => {
            for (said, truth) in said
                .iter()
                .zip(&truth)
                .filter(|(said, truth)| said != truth)
            {
                find(
                    lying.path().to_owned(),
                    format!(
                        "knows {} {} that differ from the {} of the journal",
                        said.rows, said.what, truth.rows
                    ),
                );
            }
        }
    }
    Ok(placements)
}

/// What is wrong with a catalog that the reader passed over for one in the temporary folder.
fn unusable(dir: &ArchiveDir, read: &Catalog) -> Option<String> {
    let path = dir.root().join(CATALOG);
    if !read.is_private() || Catalog::has_wal(&path) {
        return None;
    }
    let mut header = Vec::new();
    durable::open_read(&path)
        .ok()?
        .take(100)
        .read_to_end(&mut header)
        .ok()?;
    // Byte 18 tells a database in WAL mode: not closed in good order, which is no damage.
    let in_use = header.starts_with(b"SQLite format 3\0") && header.get(18) == Some(&2);
    let usable = in_use || Catalog::open_for_reading(&path).is_some();
    (!usable).then(|| "cannot be used; it is derived, so deleting it loses nothing".to_owned())
}

fn count(catalog: &Catalog, what: &str) -> Result<u64, VerifyError> {
    Ok(catalog
        .digests()?
        .iter()
        .find(|d| d.what == what)
        .map_or(0, |d| d.rows))
}
