//! Every data frame on all cores: decompressed, decoded, hashed again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::structure::FrameToRead;
use super::{Finding, FindingKind, VerifyError, VerifyOptions, VerifyReport};
use crate::archive::{ArchiveDir, PairError, SegmentReader};
use crate::catalog::Catalog;
use crate::event::{Event, Sink};
use crate::model::ContentId;

/// Keeps the part of the frames that the options ask for.
pub(super) fn sample(frames: &mut Vec<FrameToRead>, options: &VerifyOptions) {
    if let Some(percent) = options.sample_percent.filter(|p| *p < 100.0) {
        frames.retain(|frame| {
            let mut hasher = blake3::Hasher::new();
            hasher
                .update(&options.seed.to_le_bytes())
                .update(frame.segment.as_bytes())
                .update(&frame.offset.to_le_bytes());
            let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
            f64::from(u32::from_le_bytes([a, b, c, d])) < percent / 100.0 * f64::from(u32::MAX)
        });
    }
}

/// What came of one frame.
#[derive(Default)]
struct Outcome {
    messages: u64,
    bytes: u64,
    bad: Vec<ContentId>,
    text: Option<String>,
}

/// Reads the frames and reports what is wrong with them.
pub(super) fn check(
    dir: &ArchiveDir,
    catalog: &Catalog,
    frames: &[FrameToRead],
    threads: usize,
    sink: &dyn Sink,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if threads == 0 { cores } else { threads }
        .min(frames.len())
        .max(1);
    let total = frames.iter().map(|f| f.bytes).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let bad = Mutex::new(Vec::new());
    let work = || -> Result<(u64, u64, u64), VerifyError> {
        let (mut read, mut messages, mut bytes) = (0, 0, 0);
        while let Some(frame) = frames.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = dir.mail().join(&*frame.segment);
            let outcome = match check_frame(&path, frame.offset) {
                Ok(outcome) => outcome,
                Err(source) => {
                    // The others need not go on either.
                    next.store(frames.len(), Ordering::Relaxed);
                    return Err(VerifyError::Io { path, source });
                }
            };
            read += 1;
            messages += outcome.messages;
            bytes += outcome.bytes;
            if outcome.text.is_some() || !outcome.bad.is_empty() {
                bad.lock().unwrap_or_else(PoisonError::into_inner).push((
                    path,
                    frame.offset,
                    outcome,
                ));
            }
            let so_far = done.fetch_add(frame.bytes, Ordering::Relaxed) + frame.bytes;
            sink.event(Event::Progress {
                what: "verifying",
                done: so_far,
                total,
            });
        }
        Ok((read, messages, bytes))
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut results = vec![Ok(work())];
        results.extend(handles.into_iter().map(std::thread::ScopedJoinHandle::join));
        results
    });
    for result in results {
        let (read, messages, bytes) =
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        report.frames_read += read;
        report.messages += messages;
        report.bytes += bytes;
    }
    for (path, offset, outcome) in bad.into_inner().unwrap_or_else(PoisonError::into_inner) {
        record(dir, catalog, path, offset, outcome, report)?;
    }
    Ok(())
}

/// Turns a bad frame into a finding, unless all that is bad in it is of no account any more.
fn record(
    dir: &ArchiveDir,
    catalog: &Catalog,
    path: PathBuf,
    offset: u64,
    outcome: Outcome,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let mut messages = Vec::new();
    let lost_any = !outcome.bad.is_empty();
    for id in outcome.bad {
        // Recorded as lost already, or stored again elsewhere: then nobody reads it here.
        let here = catalog
            .content(id)?
            .is_some_and(|c| c.at.frame == offset && dir.mail().join(&c.at.segment) == path);
        if here && catalog.holds(id)? {
            messages.push(id);
        }
    }
    if lost_any && messages.is_empty() {
        return Ok(());
    }
    let text = outcome
        .text
        .unwrap_or_else(|| "messages are not what was stored".to_owned());
    report.findings.push(Finding {
        kind: FindingKind::Mail,
        path,
        offset: Some(offset),
        messages,
        text,
    });
    Ok(())
}

/// Reads one data frame.
fn check_frame(path: &std::path::Path, offset: u64) -> std::io::Result<Outcome> {
    let mut reader = match SegmentReader::open(path, offset) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Outcome {
                text: Some("the segment is missing".to_owned()),
                ..Outcome::default()
            });
        }
        other => other?,
    };
    let pair = match reader.next_pair() {
        Ok(Some(pair)) => pair,
        Ok(None) => {
            return Ok(Outcome {
                text: Some("the segment ends before it".to_owned()),
                ..Outcome::default()
            });
        }
        Err(PairError::Io(source)) => return Err(source),
        Err(error) => {
            return Ok(Outcome {
                text: Some(error.to_string()),
                ..Outcome::default()
            });
        }
    };
    let checked = reader.check_data(&pair)?;
    let wrong: HashSet<ContentId> = checked.wrong.iter().copied().collect();
    let whole = pair.lines.iter().filter(|line| !wrong.contains(&line.id));
    let (mut messages, mut bytes) = (0, 0);
    for line in whole {
        messages += 1;
        bytes += line.len;
    }
    Ok(Outcome {
        messages,
        bytes,
        bad: checked.wrong,
        text: checked.broken,
    })
}
