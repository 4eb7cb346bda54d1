//! How a message that came over POP3 enters the books. A UIDL is all the server says to tell it
//! from others, and may say too little: it may be missing, borne by several, or have been another
//! message's. What is held decides, so that nothing is placed twice and nothing replaced.

use std::collections::HashSet;
use std::sync::Arc;

use super::{StoreError, Writer};
use crate::catalog::PopPlace;
use crate::model::{ContentId, MailboxId, shared_uidl, split_uidl};

/// What is known of a message that came over POP3 besides its bytes.
#[derive(Debug, Clone)]
pub struct PopArrival {
    /// The mailbox that stands for the maildrop.
    pub maildrop: MailboxId,
    /// Its UIDL, if it has one.
    pub uidl: Option<String>,
    /// Others of the same listing bear it as well.
    pub shared: bool,
    /// UIDLs the session lists, where the server may have renamed its messages: what is held
    /// under another may be this one.
    pub renamed_from_other_than: Option<Arc<HashSet<String>>>,
    /// It is recorded also if it is placed already, since something else was recorded of its UIDL.
    pub restate: bool,
    /// The id it would have without the line end that POP3 adds to a message that has none.
    pub unterminated: Option<ContentId>,
}

/// What becomes of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PopPlacing {
    /// A placement under this key, in this mailbox if it is filed already.
    At(String, Option<MailboxId>),
    /// It is placed under this key and nothing has changed.
    Known(String),
    /// It is placed under another key, which it no longer has.
    Renamed(PopPlace, String),
}

impl Writer {
    /// Decides how a message enters the books, by what the last commit holds and the open one
    /// renames.
    pub(super) fn place_pop(
        &self,
        id: ContentId,
        reported: u32,
        pop: &PopArrival,
    ) -> Result<PopPlacing, StoreError> {
        let mut places = self.catalog().pop_places_of(pop.maildrop, id)?;
        places.retain(|p| !p.damaged);
        let Some(uidl) = pop.uidl.as_deref() else {
            let key = shared_uidl("", id);
            return Ok(match places.pop() {
                Some(place) => PopPlacing::Known(place.key),
                None => PopPlacing::At(key, None),
            });
        };
        let under = self.catalog().pop_places_under(pop.maildrop, uidl)?;
        if let Some(place) = under.iter().find(|p| p.content == id) {
            let changed = pop.restate || place.damaged || place.size != reported;
            return Ok(if changed {
                PopPlacing::At(place.key.clone(), Some(place.mailbox))
            } else {
                PopPlacing::Known(place.key.clone())
            });
        }
        let taken = under.iter().any(|p| p.key == uidl && !p.damaged);
        let key = if pop.shared || taken {
            shared_uidl(uidl, id)
        } else {
            uidl.to_owned()
        };
        let had_other_name = |p: &PopPlace| {
            let (before, _) = split_uidl(&p.key);
            let listed = pop.renamed_from_other_than.as_ref();
            let left = before.is_empty() || listed.is_some_and(|listed| !listed.contains(before));
            // One that has its new name already is not this message but its copy.
            left && !self.renamed.contains(&(p.mailbox, p.key.clone()))
        };
        Ok(match places.into_iter().find(had_other_name) {
            Some(place) => PopPlacing::Renamed(place, key),
            None => PopPlacing::At(key, None),
        })
    }
}
