//! What a catalog says, as hashes: to compare one with another built from the same journal.

use rusqlite::types::ValueRef;

use super::{Catalog, CatalogError};

/// One kind of thing a catalog knows: how many there are, and a hash over all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableDigest {
    /// What it is, in words for people.
    pub what: &'static str,
    /// How many rows.
    pub rows: u64,
    /// BLAKE3 over all rows in a fixed order.
    pub hash: [u8; 32],
}

/// Everything but numbers that only the database itself gives out.
const TABLES: [(&str, &str); 19] = [
    ("commits", "SELECT n, run, at FROM commits ORDER BY n"),
    ("accounts", "SELECT id, name, aliases, folder FROM accounts ORDER BY id"),
    (
        "mailboxes",
        "SELECT id, account, name, wire, separator, folder, uidvalidity, special_use, subscribed FROM mailboxes ORDER BY id",
    ),
    (
        "states of mailboxes",
        "SELECT mailbox, began, name, wire, uidvalidity FROM mailbox_states ORDER BY mailbox, began",
    ),
    ("segments", "SELECT path, last_frame, sealed, len FROM segments ORDER BY path"),
    (
        "messages",
        "SELECT c.id, c.len, c.raw, c.head, s.path, c.frame, c.pos, c.size, c.damaged, c.forgotten, c.forgotten_at
         FROM contents c LEFT JOIN segments s ON s.id = c.segment ORDER BY c.id",
    ),
    (
        "placements",
        "SELECT p.mailbox, p.uidvalidity, p.uid, p.uidl, c.id, f.flags, p.date, p.zone, p.size, p.healed, p.gone, p.since
         FROM placements p LEFT JOIN contents c ON c.no = p.content LEFT JOIN flag_sets f ON f.id = p.flags
         ORDER BY p.mailbox, p.uidvalidity, p.uid, p.uidl",
    ),
    (
        "damages",
        "SELECT c.id, d.\"commit\", d.reason FROM damages d LEFT JOIN contents c ON c.no = d.content
         ORDER BY c.id, d.\"commit\", d.reason",
    ),
    (
        "earlier placements",
        "SELECT l.mailbox, l.uidvalidity, l.uid, l.uidl, l.since, l.until, c.id, f.flags, l.date, l.zone, l.size, l.healed
         FROM lives l LEFT JOIN contents c ON c.no = l.content LEFT JOIN flag_sets f ON f.id = l.flags
         ORDER BY l.mailbox, l.uidvalidity, l.uid, l.uidl, l.since",
    ),
    (
        "earlier flags",
        "SELECT e.mailbox, e.uidvalidity, e.uid, e.until, f.flags FROM earlier_flags e LEFT JOIN flag_sets f ON f.id = e.flags
         ORDER BY e.mailbox, e.uidvalidity, e.uid, e.until",
    ),
    (
        "renamed messages",
        "SELECT mailbox, \"from\", \"to\", healed, \"commit\" FROM renames ORDER BY no",
    ),
    (
        "removals",
        "SELECT mailbox, uidl, \"commit\" FROM removals ORDER BY mailbox, uidl, \"commit\"",
    ),
    ("maildrops", "SELECT mailbox, server, start, zone FROM maildrops ORDER BY mailbox"),
    (
        "unique ids",
        "SELECT mailbox, uidl, baseline, before, spam, evidence, removed FROM uidls ORDER BY mailbox, uidl",
    ),
    (
        "skips",
        "SELECT mailbox, uidvalidity, uid, uidl, count, reason, tries, first, last, accepted FROM skips
         ORDER BY mailbox, uidvalidity, uid, uidl",
    ),
    (
        "checkpoints",
        "SELECT mailbox, uidvalidity, uidnext, messages, highestmodseq, excluded, listed_at, by_changes, fingerprint FROM checkpoints ORDER BY mailbox",
    ),
    (
        "doubts",
        "SELECT account, mailbox, uidvalidity, since, uids FROM doubts ORDER BY account, mailbox, uidvalidity, since",
    ),
    ("jobs", "SELECT id, account, state, record FROM jobs ORDER BY id"),
    ("runs", "SELECT id, record, \"commit\" FROM runs ORDER BY id"),
];

impl Catalog {
    /// A digest per table. Two catalogs built from the same journal have the same; memory
    /// does not grow with the archive.
    ///
    /// # Errors
    /// SQLite's.
    pub fn digests(&self) -> Result<Vec<TableDigest>, CatalogError> {
        let digest = |(what, sql): (&'static str, &str)| -> rusqlite::Result<TableDigest> {
            let mut hasher = blake3::Hasher::new();
            let mut count = 0;
            let mut statement = self.db.prepare(sql)?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                count += 1;
                for column in 0..columns {
                    absorb(&mut hasher, row.get_ref(column)?);
                }
            }
            Ok(TableDigest {
                what,
                rows: count,
                hash: *hasher.finalize().as_bytes(),
            })
        };
        TABLES
            .into_iter()
            .map(digest)
            .collect::<rusqlite::Result<_>>()
            .map_err(|e| self.error(e))
    }

    /// Whether SQLite finds the database sound, indices included.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        super::file::integrity_check(&self.db)
    }
}

fn absorb(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let number;
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(n) => {
            number = n.to_le_bytes();
            (1, &number)
        }
        ValueRef::Real(x) => {
            number = x.to_le_bytes();
            (2, &number)
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    hasher
        .update(&[kind])
        .update(&len.to_le_bytes())
        .update(bytes);
}
