//! What no record names: segments, and bytes behind the end of sealed ones. It is what a run left
//! that died while it wrote a segment anew, or all that a run wrote which did not live to commit.

use std::collections::{BTreeMap, BTreeSet};

use super::{Tail, behind_the_end, is_new};
use crate::archive::ArchiveDir;
use crate::archive::format::SEGMENT_SUFFIX;
use crate::catalog::Catalog;
use crate::durable::AppendFile;
use crate::model::ContentId;
use crate::store::StoreError;
use crate::store::folders::files_below;

/// What lies in the mail and no record names: segments, and bytes behind the end of sealed ones.
/// All that is whole of it is listed, held elsewhere or not.
pub(super) fn find(
    dir: &ArchiveDir,
    catalog: &Catalog,
    known: &BTreeMap<String, (u64, bool)>,
) -> Result<Vec<Tail>, StoreError> {
    let mut found: Vec<(String, Option<u64>)> = files_below(&dir.mail())?
        .into_iter()
        .filter(|segment| !known.contains_key(segment))
        .map(|segment| (segment, None))
        .collect();
    for (segment, len) in catalog.sealed_lengths()? {
        let longer = |m: std::fs::Metadata| m.len() > len;
        if std::fs::metadata(dir.mail().join(&segment)).is_ok_and(longer) {
            found.push((segment, Some(len)));
        }
    }
    let mut tails = Vec::new();
    for (segment, sealed) in found {
        let path = dir.mail().join(&segment);
        // ORDER: before a record names what lies here, it is on disk, and really so.
        let file = AppendFile::open(&path).and_then(|mut file| file.sync().map(|()| file));
        file.map_err(|source| StoreError::Io { path, source })?
            .drop_cache();
        let mut tail = Tail::of(&segment);
        tail.sealed = sealed;
        let from = sealed.unwrap_or(0);
        behind_the_end(dir, &mut tail, from)?;
        if let Some(len) = sealed {
            // Damage behind its end is nobody's; all of it is cut, or nothing.
            tail.damaged = None;
            tail.cut = Some(len);
        }
        tails.push(tail);
    }
    Ok(tails)
}

/// Decides what becomes of it, when it is known which named contents are lost.
pub(super) fn judge(
    tail: &mut Tail,
    catalog: &Catalog,
    lost: &BTreeSet<ContentId>,
) -> Result<(), StoreError> {
    let mut wanted = Vec::new();
    for content in tail.adopt.drain(..) {
        if lost.contains(&content.id) || is_new(catalog, content.id)? {
            wanted.push(content);
        }
    }
    tail.adopt = wanted;
    if !tail.adopt.is_empty() {
        // What is behind the end of a sealed segment and is wanted is behind it no longer.
        tail.seal |= tail.sealed.is_some();
        tail.cut = tail.cut.filter(|cut| Some(*cut) != tail.sealed);
    } else if tail.sealed.is_none() && tail.damaged.is_none() {
        // What has another name a person has put there, empty or not.
        tail.remove = is_ours(&tail.segment);
    }
    Ok(())
}

/// Whether a file has the name of a segment of ours, and is no copy that somebody made.
fn is_ours(segment: &str) -> bool {
    let name = segment.rsplit_once('/').map_or(segment, |(_, name)| name);
    let digits = name.strip_suffix(SEGMENT_SUFFIX).unwrap_or_default();
    digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit())
}
