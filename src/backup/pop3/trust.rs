//! What may be believed: UIDLs, and what tells spam.

use super::Pop3Side;
use super::plan::recorded_size;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{PopMessages, PopSpam};
use crate::pop3::Offered;

/// Fewer new messages beside nothing known are simply new.
const RENAMED_AT_LEAST: usize = 3;

impl Pop3Side<'_> {
    /// Whether this is another server than that of the last complete run.
    pub(super) fn is_another_server(&self) -> bool {
        let alias = self.source.alias();
        self.known.server.as_ref().is_some_and(|s| *s != alias)
    }

    /// Whether UIDLs mean what they meant: on another server they need not, and where all are
    /// new and as many as before, the server has renamed its messages (a migration does that).
    pub(super) fn trusts(&self) -> bool {
        let (held, listed) = (self.known.held.len(), self.listing.messages.len());
        let many = listed >= RENAMED_AT_LEAST && 2 * listed >= held;
        !(self.is_another_server() || many && self.lists_nothing_known())
    }

    /// Whether messages are held over POP3 and the listing has no UIDL that is known.
    pub(super) fn lists_nothing_known(&self) -> bool {
        let known = |m: &Offered| m.uidl.as_deref().is_some_and(|u| self.known.knows(u));
        !self.known.held.is_empty() && !self.listing.messages.iter().any(known)
    }

    /// Gathers what may tell whether a message that is listed with another size than it was held
    /// with is the same still.
    pub(super) fn find_heads(&mut self, catalog: &Catalog) -> Result<(), CatalogError> {
        if !self.trusted {
            return Ok(());
        }
        for message in &self.listing.messages {
            let Some(uidl) = message.uidl.as_deref() else {
                continue;
            };
            let size = recorded_size(message.size);
            let entries = self.known.entries(uidl);
            let whole = || entries.iter().filter(|e| !e.held.damaged);
            if whole().any(|e| e.held.size == size) {
                continue;
            }
            for entry in whole() {
                let content = catalog.content_numbered(entry.held.content)?;
                if let Some(head) = content.and_then(|c| c.head) {
                    let heads = self.heads.entry(uidl.to_owned()).or_default();
                    heads.push((head, entry.held.size));
                }
            }
        }
        Ok(())
    }

    /// Spam was to be told from other mail, and nothing tells it.
    pub(super) fn note_without_verdict(&mut self, judged: u32) {
        self.told_without = true;
        self.notes.push(format!(
            "not one of {judged} messages carries a verdict of a spam filter, so spam cannot be told. \
             Where the server can be set to deliver only spam, do that and run with --pop-spam-from-server: \
             that pass files everything as Junk"
        ));
    }

    /// Whether `from-today` begins with this run.
    pub(super) fn is_first(&self) -> bool {
        let pop = self.ground.request.selection.pop;
        pop.messages == PopMessages::FromToday && self.known.start.is_none()
    }

    /// Whether spam was to be told from other mail and nothing told it.
    pub(super) fn is_without_verdict(&self) -> bool {
        let pop = self.ground.request.selection.pop;
        pop.spam != PopSpam::Include
            && !pop.spam_from_server
            && self.books.judgements > 0
            && self.books.verdicts == 0
            && !self.known.knows_verdicts()
    }
}
