//! Whether a segment and the catalog agree, before the one is removed because of the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{StoreError, Writer};
use crate::archive::{PairError, Rewrite, SegmentReader};
use crate::model::ContentId;

impl Writer {
    /// Whether the segment has a message that would be left behind although nothing says that it
    /// may be, or lacks one the catalog says it has: where, and which way.
    ///
    /// The catalog says what goes along, and it is derived: the pairs themselves are asked before
    /// a file is removed because of what it says.
    pub(super) fn contradiction(
        &self,
        segment: &str,
        wanted: &Rewrite,
        left: u64,
        erased: &BTreeSet<ContentId>,
    ) -> Result<Option<(u64, String)>, StoreError> {
        let path = self.dir().mail().join(segment);
        let io = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        let mut held: BTreeMap<u64, BTreeSet<ContentId>> = BTreeMap::new();
        for content in self.catalog.contents_in(segment, left)? {
            held.entry(content.at.frame).or_default().insert(content.id);
        }
        let mut reader = SegmentReader::open(&path, left).map_err(io)?;
        loop {
            let pair = match reader.next_pair() {
                Ok(Some(pair)) => pair,
                Ok(None) => break,
                Err(PairError::Io(source)) => return Err(io(source)),
                // Rewriting finds the same, and says where.
                Err(_) => return Ok(None),
            };
            let here = held.remove(&pair.offset).unwrap_or_default();
            let named: BTreeSet<ContentId> = pair.lines.iter().map(|line| line.id).collect();
            if !here.is_subset(&named) {
                let reason = "it has other messages than the catalog says".to_owned();
                return Ok(Some((pair.offset, reason)));
            }
            let goes = wanted.merge.get(&pair.offset);
            let stays = |id: &ContentId| {
                !wanted.copy.contains(&pair.offset) && !goes.is_some_and(|ids| ids.contains(id))
            };
            for id in named.iter().filter(|id| stays(id) && !erased.contains(id)) {
                let elsewhere = self.catalog.content(*id)?.is_some_and(|content| {
                    content.at.segment != segment || content.at.frame != pair.offset
                });
                if !elsewhere {
                    let reason = format!("message {} lies nowhere else", id.short());
                    return Ok(Some((pair.offset, reason)));
                }
            }
            reader.skip_data(&pair).map_err(io)?;
        }
        let absent = held.into_iter().next();
        Ok(absent.map(|(frame, _)| (frame, "the catalog says that more follows".to_owned())))
    }
}
