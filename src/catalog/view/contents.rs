//! Contents and where they lie.

use rusqlite::params;

use super::stored;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{ContentId, StoredContent};

impl Catalog {
    /// Whether a content is held: stored, and neither found damaged nor forgotten since.
    ///
    /// # Errors
    /// SQLite's.
    pub fn holds(&self, id: ContentId) -> Result<bool, CatalogError> {
        let found = self.row(
            "SELECT 1 FROM contents WHERE id = ?1 AND damaged IS NULL AND forgotten IS NULL",
            [id.as_bytes()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    /// A content by its id.
    ///
    /// # Errors
    /// SQLite's.
    pub fn content(&self, id: ContentId) -> Result<Option<StoredContent>, CatalogError> {
        self.row(
            "SELECT c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size
             FROM contents c JOIN segments s ON s.id = c.segment WHERE c.id = ?1",
            [id.as_bytes()],
            |row| stored(row, 0),
        )
    }

    /// Content ids that begin with these hex digits, at most `limit`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn contents_like(
        &self,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<StoredContent>, CatalogError> {
        self.rows(
            "SELECT c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size
             FROM contents c JOIN segments s ON s.id = c.segment WHERE lower(hex(c.id)) LIKE ?1 || '%' LIMIT ?2",
            params![prefix.to_lowercase(), limit],
            |row| stored(row, 0),
        )
    }

    /// Contents with a damage record.
    ///
    /// # Errors
    /// SQLite's.
    pub fn damaged(&self) -> Result<Vec<(ContentId, String)>, CatalogError> {
        self.rows(
            "SELECT id, damaged FROM contents WHERE damaged IS NOT NULL ORDER BY no",
            [],
            |row| Ok((ContentId::from_bytes(row.get(0)?), row.get(1)?)),
        )
    }

    /// Why a content was forgotten, if it was.
    ///
    /// # Errors
    /// SQLite's.
    pub fn why_forgotten(&self, id: ContentId) -> Result<Option<String>, CatalogError> {
        self.row(
            "SELECT forgotten FROM contents WHERE id = ?1 AND forgotten IS NOT NULL",
            [id.as_bytes()],
            |row| row.get(0),
        )
    }

    /// Contents that were forgotten, and why.
    ///
    /// # Errors
    /// SQLite's.
    pub fn forgotten(&self) -> Result<Vec<(ContentId, String)>, CatalogError> {
        self.rows(
            "SELECT id, forgotten FROM contents WHERE forgotten IS NOT NULL ORDER BY no",
            [],
            |row| Ok((ContentId::from_bytes(row.get(0)?), row.get(1)?)),
        )
    }

    /// Where the pairs of a segment begin that hold contents found damaged.
    ///
    /// # Errors
    /// SQLite's.
    pub fn damaged_frames(&self, segment: &str) -> Result<Vec<u64>, CatalogError> {
        self.rows(
            "SELECT DISTINCT c.frame FROM contents c JOIN segments s ON s.id = c.segment
             WHERE s.path = ?1 AND c.damaged IS NOT NULL",
            [segment],
            |row| row.get(0),
        )
    }

    /// How many contents are held, and their bytes on the wire.
    ///
    /// # Errors
    /// SQLite's.
    pub fn content_totals(&self) -> Result<(u64, u64), CatalogError> {
        let sql = "SELECT count(*), coalesce(sum(len), 0) FROM contents WHERE damaged IS NULL AND forgotten IS NULL";
        Ok(self
            .row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?
            .unwrap_or_default())
    }

    /// All contents of one segment, by place.
    ///
    /// # Errors
    /// SQLite's.
    pub fn contents_in(
        &self,
        segment: &str,
        from_frame: u64,
    ) -> Result<Vec<StoredContent>, CatalogError> {
        self.rows(
            "SELECT c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size
             FROM contents c JOIN segments s ON s.id = c.segment
             WHERE s.path = ?1 AND c.frame >= ?2 AND c.damaged IS NULL ORDER BY c.frame, c.pos",
            params![segment, from_frame],
            |row| stored(row, 0),
        )
    }

    /// All segments: path, where the last known pair begins, whether sealed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn segments(&self) -> Result<Vec<(String, u64, bool)>, CatalogError> {
        self.rows(
            "SELECT path, last_frame, sealed FROM segments WHERE path <> '' ORDER BY path",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    }

    /// The lengths, in bytes, that segments were sealed with.
    ///
    /// # Errors
    /// SQLite's.
    pub fn sealed_lengths(&self) -> Result<Vec<(String, u64)>, CatalogError> {
        self.rows(
            "SELECT path, len FROM segments WHERE sealed = 1 AND len IS NOT NULL ORDER BY path",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// The last data frames of a segment, in its order: where each begins and how many bytes of
    /// text its contents take. Goes back from the end as long as `wanted` says so of that text.
    ///
    /// # Errors
    /// SQLite's.
    pub fn last_frames(
        &self,
        segment: &str,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<Vec<(u64, u64)>, CatalogError> {
        let query = || -> rusqlite::Result<Vec<(u64, u64)>> {
            let mut statement = self.db.prepare_cached(
                "SELECT frame, sum(size) FROM contents WHERE segment = (SELECT id FROM segments WHERE path = ?1)
                 GROUP BY frame ORDER BY frame DESC",
            )?;
            let mut rows = statement.query([segment])?;
            let mut frames = Vec::new();
            while let Some(row) = rows.next()? {
                let text = row.get(1)?;
                if !wanted(text) {
                    break;
                }
                frames.push((row.get(0)?, text));
            }
            frames.reverse();
            Ok(frames)
        };
        query().map_err(|e| self.error(e))
    }
}
