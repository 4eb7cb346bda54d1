//! Contents that lie elsewhere now, or nowhere.

use rusqlite::OptionalExtension;

use super::apply::Applier;
use crate::archive::format::{Forgotten, Moved, Repacked};
use crate::model::Location;

impl Applier<'_> {
    pub(super) fn moved(&self, moved: &Moved) -> rusqlite::Result<()> {
        let Location {
            segment,
            frame,
            pos,
            size,
        } = &moved.at;
        let segment = self.segment(segment, *frame)?;
        self.tx
            .prepare_cached(
                "UPDATE contents SET segment = ?2, frame = ?3, pos = ?4, size = ?5 WHERE id = ?1 AND forgotten IS NULL",
            )?
            .execute((moved.id.as_bytes(), segment, frame, pos, size))?;
        Ok(())
    }

    pub(super) fn repacked(&self, repacked: &Repacked) -> rusqlite::Result<()> {
        let last = repacked.frames.iter().map(|f| f.to).max().unwrap_or(0);
        let into = match &repacked.into {
            Some(path) => Some(self.segment(path, last)?),
            None => None,
        };
        let old: Option<i64> = self
            .tx
            .prepare_cached("SELECT id FROM segments WHERE path = ?1")?
            .query_row([&repacked.segment], |row| row.get(0))
            .optional()?;
        let Some(old) = old else { return Ok(()) };
        if let Some(into) = into {
            let mut update = self.tx.prepare_cached(
                "UPDATE contents SET segment = ?3, frame = ?4, pos = pos + ?5 WHERE segment = ?1 AND frame = ?2",
            )?;
            for frame in &repacked.frames {
                update.execute((old, frame.from, into, frame.to, frame.shift))?;
            }
        }
        if repacked.left == 0 {
            // One that something still lies in is not forgotten: its file is missing then.
            self.tx
                .prepare_cached(
                    "DELETE FROM segments WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM contents WHERE segment = ?1)",
                )?
                .execute([old])?;
        } else {
            self.tx
                .prepare_cached(
                    "UPDATE segments SET last_frame = coalesce((SELECT max(frame) FROM contents WHERE segment = ?1), 0)
                     WHERE id = ?1",
                )?
                .execute([old])?;
        }
        Ok(())
    }

    /// Nothing is kept of it but its id and its places. What was said first stands.
    pub(super) fn forgotten(&self, forgotten: &Forgotten) -> rusqlite::Result<()> {
        let nowhere = self.segment("", 0)?;
        self.tx
            .prepare_cached(
                "INSERT INTO contents (id, len, raw, segment, frame, pos, size, forgotten, forgotten_at)
                 VALUES (?1, 0, 0, ?2, 0, 0, 0, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET len = 0, raw = 0, head = NULL, segment = ?2, frame = 0, pos = 0,
                     size = 0, damaged = NULL, forgotten = coalesce(forgotten, ?3),
                     forgotten_at = coalesce(forgotten_at, ?4)",
            )?
            .execute((forgotten.id.as_bytes(), nowhere, &forgotten.reason, self.commit))?;
        Ok(())
    }
}
