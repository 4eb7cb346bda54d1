//! What the archive knows of a maildrop, by UIDL.

use std::collections::{HashMap, HashSet};

use crate::catalog::{Catalog, CatalogError, PopHeld, SkipRow};
use crate::model::{Account, InternalDate, Mailbox, RemoteId, split_uidl};

/// What is held and what was decided, as of the beginning of a run.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Placements by their UIDL. Several where the UIDL does not tell messages apart.
    pub(super) held: HashMap<String, Vec<Entry>>,
    decided: HashMap<String, Decided>,
    accepted: HashSet<String>,
    /// Open skips by their UIDL: when it was tried last, and the reason.
    skipped: HashMap<String, (String, String)>,
    /// The skip of messages without a UIDL of their own, open or accepted.
    pub(super) nameless: Option<SkipRow>,
    /// `user@host` of the last complete run.
    pub(super) server: Option<String>,
    /// The midnight that began the day of the first run with `from-today`.
    pub(super) start: Option<InternalDate>,
}

/// A placement.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) held: PopHeld,
    /// Its key has more than the UIDL, which several messages bear.
    pub(super) shared: bool,
}

/// What was decided about a UIDL.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decided {
    /// It was there at the first run with `from-today`.
    pub(super) baseline: bool,
    /// Dated before the start day.
    pub(super) before: bool,
    /// Spam by its header; `None` where nobody judged.
    pub(super) spam: Option<bool>,
    /// mailstow deleted it from the server: what is listed under it is another message.
    pub(super) removed: bool,
}

impl Known {
    /// Reads the catalog. Without an account nothing is known.
    pub(super) fn load(catalog: &Catalog, account: Option<&Account>) -> Result<Self, CatalogError> {
        let mut known = Self::default();
        let Some(account) = account else {
            return Ok(known);
        };
        let mailboxes = catalog.mailboxes(Some(account.id))?;
        for mailbox in &mailboxes {
            let held = &mut known.held;
            catalog.pop_held(mailbox.id, |key, entry| {
                let (uidl, shared) = split_uidl(&key);
                let entry = Entry {
                    held: entry,
                    shared,
                };
                held.entry(uidl.to_owned()).or_default().push(entry);
            })?;
            let accepted = catalog.skipped_over_pop(mailbox.id, true)?;
            known.accepted.extend(accepted);
        }
        for skip in catalog.skips(true)? {
            if !mailboxes.iter().any(|m| m.id == skip.mailbox) {
                continue;
            }
            match &skip.remote {
                None if inbox(&mailboxes).is_some_and(|m| m.id == skip.mailbox) => {
                    known.nameless = Some(skip);
                }
                Some(RemoteId::Pop { uidl }) if skip.accepted.is_none() => {
                    let (uidl, last) = (uidl.clone(), skip.last);
                    known.skipped.insert(uidl, (last, skip.reason));
                }
                _ => {}
            }
        }
        if let Some(inbox) = inbox(&mailboxes) {
            if let Some(maildrop) = catalog.maildrop(inbox.id)? {
                known.server = Some(maildrop.server);
                known.start = maildrop.start;
            }
            for row in catalog.uidls(inbox.id)? {
                let decided = Decided {
                    baseline: row.baseline,
                    before: row.before,
                    spam: row.spam,
                    removed: row.removed,
                };
                known.decided.insert(row.uidl, decided);
            }
        }
        Ok(known)
    }

    /// One UIDL of which something was decided.
    #[cfg(test)]
    pub(super) fn with_decided(uidl: &str, decided: Decided) -> Self {
        Self {
            decided: HashMap::from([(uidl.to_owned(), decided)]),
            ..Self::default()
        }
    }

    pub(super) fn decided(&self, uidl: &str) -> Decided {
        self.decided.get(uidl).copied().unwrap_or_default()
    }

    pub(super) fn is_accepted(&self, uidl: &str) -> bool {
        self.accepted.contains(uidl)
    }

    /// Whether more was recorded of a UIDL than its placement, which a new one would settle: an
    /// open skip, or that it was deleted.
    pub(super) fn is_unsettled(&self, uidl: &str) -> bool {
        self.skipped.contains_key(uidl) || self.decided(uidl).removed
    }

    /// What was skipped before: when it was tried last, and why it was skipped.
    pub(super) fn skipped(&self, uidl: &str) -> Option<&(String, String)> {
        self.skipped.get(uidl)
    }

    /// Whether a header ever said here whether a message is spam.
    pub(super) fn knows_verdicts(&self) -> bool {
        self.decided.values().any(|d| d.spam.is_some())
    }

    /// Whether anything is known of a UIDL.
    pub(super) fn knows(&self, uidl: &str) -> bool {
        self.held.contains_key(uidl) || self.decided.contains_key(uidl)
    }

    /// What is held under a UIDL.
    pub(super) fn entries(&self, uidl: &str) -> &[Entry] {
        self.held.get(uidl).map_or(&[], Vec::as_slice)
    }
}

/// The mailbox that stands for the maildrop of an account.
pub(super) fn inbox(mailboxes: &[Mailbox]) -> Option<&Mailbox> {
    mailboxes
        .iter()
        .find(|m| m.wire.eq_ignore_ascii_case("INBOX"))
}

/// The mailbox recognised spam is filed in.
pub(super) fn junk(mailboxes: &[Mailbox]) -> Option<&Mailbox> {
    let is_special = |m: &&Mailbox| {
        m.special_use
            .as_deref()
            .is_some_and(|u| u.eq_ignore_ascii_case("\\Junk"))
    };
    mailboxes
        .iter()
        .find(is_special)
        .or_else(|| mailboxes.iter().find(|m| m.name == "Junk"))
}
