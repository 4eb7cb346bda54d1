//! Verifying an archive: read everything again, and believe nothing.
//!
//! * [`journal`]: every frame from the first on, its chain, and whether the catalog says the
//!   same as a catalog built anew from the journal;
//! * [`structure`]: every segment pair by pair, against what the journal says of it;
//! * [`mail`]: every data frame decompressed and every message hashed again, on all cores;
//! * [`against`]: what the archive holds, compared with what its server has.
//!
//! Nothing in the archive is changed, and no lock is taken.

pub mod against;
mod journal;
mod mail;
mod structure;

use std::path::PathBuf;

use crate::archive::format::Record;
use crate::archive::{LogError, LogReader};
use crate::catalog::CatalogError;
use crate::event::Sink;
use crate::model::ContentId;
use crate::store::{Reader, StoreError};

/// How often everything is read again because a run moved mail meanwhile.
const AGAIN: usize = 3;

/// How much is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions {
    /// Read only this part of the data frames, in percent; the structure is always read whole.
    pub sample_percent: Option<f64>,
    /// Which part: the same seed takes the same frames, another one others.
    pub seed: u64,
    /// Threads that read mail; 0 means one per core.
    pub threads: usize,
}

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FindingKind {
    /// The journal is not what was committed.
    Journal,
    /// The catalog says something else than the journal. It is derived: deleting it helps.
    Catalog,
    /// A segment is missing, or its frames are not where the journal says.
    Segment,
    /// A data frame cannot be read, or messages in it are not what was stored.
    Mail,
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// The file.
    pub path: PathBuf,
    /// Where in it, as far as that can be said.
    pub offset: Option<u64>,
    /// Messages that cannot be read because of it.
    pub messages: Vec<ContentId>,
    /// What was found.
    pub text: String,
}

/// Bytes at the end of a file that no commit names: what an interrupted run leaves behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unnamed {
    /// The file.
    pub path: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// Messages in whole frames among them.
    pub messages: u64,
}

/// What verifying found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct VerifyReport {
    /// Commits in the journal.
    pub commits: u64,
    /// Segments.
    pub segments: u64,
    /// Data frames there are.
    pub frames: u64,
    /// Data frames that were read.
    pub frames_read: u64,
    /// Messages hashed again and found whole.
    pub messages: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Contents the journal names and that are not recorded as damaged.
    pub contents: u64,
    /// Placements.
    pub placements: u64,
    /// The end of the journal lies inside a frame here: a commit that never happened.
    pub unfinished_commit: Option<(PathBuf, u64)>,
    /// Mail behind the journal's end.
    pub unnamed: Vec<Unnamed>,
    /// Messages recorded as lost already, with the reason.
    pub known_damaged: Vec<(ContentId, String)>,
    /// Messages that were forgotten on request. None of them is in any segment, or it is a finding.
    pub forgotten: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether everything that was looked at is as it should be. Messages already recorded as
    /// lost do not count: they are known, and were reported when they were found.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// All messages that findings name, each once.
    #[must_use]
    pub fn affected(&self) -> Vec<ContentId> {
        let mut ids: Vec<ContentId> = self
            .findings
            .iter()
            .flat_map(|f| f.messages.iter().copied())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Verifying could not go on. Damage is no error, but a finding.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The archive cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] LogError),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Verifies an archive.
///
/// # Errors
/// The system failed, so that nothing can be said. Whatever is wrong with the archive itself
/// stands in the report.
pub fn verify(
    reader: &Reader,
    options: &VerifyOptions,
    sink: &dyn Sink,
) -> Result<VerifyReport, VerifyError> {
    let mut report = once(reader, options, sink)?;
    let mut newer;
    let mut last = reader;
    // A run may write segments anew meanwhile, and remove what was about to be read.
    for _ in 0..AGAIN {
        if report.is_sound() || !was_moved_since(last)? {
            break;
        }
        newer = last.reopen()?;
        report = once(&newer, options, sink)?;
        last = &newer;
    }
    Ok(report)
}

/// Whether commits since the reader was opened moved mail.
fn was_moved_since(reader: &Reader) -> Result<bool, VerifyError> {
    let dir = reader.dir();
    let mut log = LogReader::<Record>::new(&dir.journal(), dir.id(), reader.opened_at());
    loop {
        match log.next_frame() {
            Ok(Some(frame)) => {
                let moves = |r: &Record| matches!(r, Record::Repacked(_) | Record::Moved(_));
                if frame.records.iter().any(moves) {
                    return Ok(true);
                }
            }
            // What is wrong with the journal is in the report.
            Ok(None) | Err(LogError::Torn { .. } | LogError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn once(
    reader: &Reader,
    options: &VerifyOptions,
    sink: &dyn Sink,
) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport::default();
    let truth = journal::check(reader, &mut report)?;
    // Where the journal itself is damaged, the catalog may know more than what is left of it.
    let catalog = truth.catalog.as_ref().unwrap_or_else(|| reader.catalog());
    report.known_damaged = catalog.damaged()?;
    report.contents = catalog.content_totals()?.0;
    report.forgotten = catalog.forgotten()?.len() as u64;
    let mut frames = structure::check(reader.dir(), catalog, &truth.sealed, &mut report)?;
    mail::sample(&mut frames, options);
    mail::check(
        reader.dir(),
        catalog,
        &frames,
        options.threads,
        sink,
        &mut report,
    )?;
    report
        .findings
        .sort_by(|a, b| (a.kind, &a.path, a.offset).cmp(&(b.kind, &b.path, b.offset)));
    Ok(report)
}
