//! Looking at one mailbox: not at all, at what changed, or at all of it.

use std::collections::HashMap;

use super::base::Eye;
use super::changes::{NotEnough, is_another};
use super::found::{Outcome, Planned};
use super::heal::Pool;
use super::plan::{Facts, Plan, plan};
use crate::backup::BackupError;
use crate::catalog::{Catalog, CatalogError};
use crate::contact::{Line, Opened, Trouble, describe, is_unreadable, open};
use crate::header;
use crate::imap::{Examined, ImapError};
use crate::model::{
    Checkpoint, FlagSetId, FlagTable, Held, Listing, Mailbox, MailboxStatus, UidSet,
};
use crate::source::SeenMailbox;

/// Messages of which the headers are asked for at once.
const HEADERS_AT_ONCE: usize = 2000;

/// Messages by which a whole listing tells that UIDs were given a second time.
const GUARDS: usize = 8;

/// What a look at a mailbox needs.
pub(super) struct Look<'a, 'b> {
    pub(super) line: &'a mut Line<'b>,
    pub(super) catalog: &'a Catalog,
    pub(super) eye: &'a Eye<'a>,
    /// The mailbox as the archive knows it, if it does.
    pub(super) known: Option<&'a Mailbox>,
    /// Known mailboxes that the server lists no more: a new one may hold their messages.
    pub(super) lost: &'a [Mailbox],
    /// All mailboxes of the account.
    pub(super) all: &'a [Mailbox],
    /// UIDs were seen to stand for other messages than before.
    pub(super) may_reuse: bool,
}

impl Look<'_, '_> {
    /// Looks, and plans.
    ///
    /// # Errors
    /// The connection or the catalog. A mailbox that cannot be opened is no error but an
    /// [`Outcome::Failed`].
    pub(super) async fn look(mut self, seen: &SeenMailbox) -> Result<Outcome, BackupError> {
        let mut previous = None;
        if let Some(known) = self.known {
            if let Some(status) = &seen.status
                && let Some(checkpoint) = self.eye.unchanged(self.catalog, known.id, status)?
            {
                return Ok(Outcome::Unchanged { checkpoint });
            }
            previous = self.catalog.checkpoint(known.id)?;
            self.enable().await?;
            let base = self.eye.base(self.catalog, known.id, previous.as_ref())?;
            // Twice at most: somebody may have deleted a message in between.
            for _ in 0..2 {
                let Some(base) = &base else { break };
                match self.changes(known, base, seen, previous.as_ref()).await {
                    Ok(planned) => return Ok(Outcome::Planned(Box::new(planned))),
                    Err(NotEnough::Distrusted) => {}
                    Err(NotEnough::Reused) => {
                        self.may_reuse = true;
                        break;
                    }
                    Err(NotEnough::Void) => break,
                    Err(NotEnough::Catalog(error)) => return Err(error.into()),
                    Err(NotEnough::Trouble(Trouble::Server(error))) => {
                        return Err(BackupError::List(error.into()));
                    }
                    Err(NotEnough::Trouble(Trouble::Answer(error))) => {
                        tracing::debug!(error = describe(&error), "cannot ask for changes");
                        if is_unreadable(&error) {
                            self.line.distrust_qresync();
                        }
                        break;
                    }
                }
            }
        }
        self.whole(seen, previous).await
    }

    /// Has vanished messages named from now on, where the server can: only before a mailbox is
    /// opened.
    async fn enable(&mut self) -> Result<(), BackupError> {
        if !self.line.may_qresync() {
            return Ok(());
        }
        let enabling = self
            .line
            .run(async |session| session.enable_qresync().await);
        match enabling.await {
            Ok(_) | Err(Trouble::Answer(_)) => Ok(()),
            Err(Trouble::Server(error)) => Err(BackupError::List(error.into())),
        }
    }

    /// Lists a mailbox and plans it.
    async fn whole(
        &mut self,
        seen: &SeenMailbox,
        previous: Option<Checkpoint>,
    ) -> Result<Outcome, BackupError> {
        let (catalog, eye) = (self.catalog, self.eye);
        // Twice at most: a listing that lacks messages the server counts is asked for once more.
        for last_try in [false, true] {
            let Opened {
                mut examined,
                listing,
                unreadable,
            } = match open(self.line, &seen.wire).await {
                Ok(opened) => opened,
                // QUIRK(Dovecot 2.3.19): after an index was made anew, the first EXAMINE says that
                // the mailbox was deleted.
                Err(Trouble::Answer(ImapError::No { .. })) if !last_try => continue,
                Err(Trouble::Answer(error)) => return Ok(failed(&error, seen)),
                Err(Trouble::Server(error)) => return Err(BackupError::List(error.into())),
            };
            if examined.uidnext.is_none() {
                // QUIRK(Courier): nothing tells which messages came after EXAMINE, so they count.
                examined.exists = examined
                    .exists
                    .max(u32::try_from(listing.messages.len()).unwrap_or(u32::MAX));
            }
            let v = examined.uidvalidity.unwrap_or(0);
            let mut held = Vec::new();
            let mut accepted = UidSet::new();
            let mut skipped = UidSet::new();
            let mut open_skips = false;
            let mut accepted_nameless = 0;
            let mut again = UidSet::new();
            if let Some(known) = self.known {
                catalog.held(known.id, v, |row| held.push(row))?;
                accepted = catalog.skipped_uids(known.id, v, true)?;
                skipped = catalog.skipped_uids(known.id, v, false)?;
                open_skips = catalog.open_skips(known.id)? > 0;
                accepted_nameless = catalog.accepted_nameless(known.id)?;
                again = eye.prove.get(&(known.id, v)).cloned().unwrap_or_default();
                self.may_reuse |= counters_fell(&examined, previous.as_ref());
                self.may_reuse |= is_reused(&listing, &held);
            }
            let (unreadable, written_off): (Vec<_>, Vec<_>) = unreadable
                .into_iter()
                .partition(|(uid, _)| !accepted.contains(*uid));
            let flag_numbers = self.flag_numbers(&listing)?;
            let known_to_lack = u32::try_from(unreadable.len()).unwrap_or(u32::MAX);
            let plan = plan(&Facts {
                exists: examined.exists,
                may_reuse: v <= 1 || self.may_reuse,
                uidnext: examined.uidnext,
                listing: &listing,
                held: &held,
                again: &again,
                accepted: &accepted,
                skipped: &skipped,
                unreadable: known_to_lack,
                written_off: &written_off.iter().map(|(uid, _)| *uid).collect(),
                accepted_nameless,
                flag_numbers: &flag_numbers,
                selection: eye.selection,
            });
            if (plan.unlisted <= known_to_lack && plan.left == 0) || last_try {
                let mut planned = planned(plan, &examined, v, listing.flags);
                planned.unreadable = unreadable;
                planned.open_skips = open_skips;
                planned.accepted_nameless = accepted_nameless;
                planned.listed_at = listed_at(previous.as_ref(), eye.now);
                planned.previous = previous;
                self.recognise(seen, &mut planned).await?;
                return Ok(Outcome::Planned(Box::new(planned)));
            }
        }
        let exists = seen.status.and_then(|s| s.messages).unwrap_or(0);
        Ok(Outcome::Failed {
            exists,
            reason: "the listing does not add up".to_owned(),
            vanished: false,
        })
    }

    /// Takes what is held under another UIDVALIDITY, or came from a mailbox that is there no
    /// more, out of what is to be fetched.
    async fn recognise(
        &mut self,
        seen: &SeenMailbox,
        planned: &mut Planned,
    ) -> Result<(), BackupError> {
        let pool = self.pool(planned)?;
        let nominated = pool.nominate(&planned.plan.fetch);
        if nominated.is_empty() {
            return Ok(());
        }
        let nominated: Vec<u32> = nominated.iter().collect();
        let mut heads = HashMap::new();
        for part in nominated.chunks(HEADERS_AT_ONCE) {
            let part: UidSet = part.iter().copied().collect();
            match headers_of(self.line, &seen.wire, planned.uidvalidity, &part).await {
                Ok(found) => heads.extend(found),
                // What is not recognised is downloaded, which costs time and loses nothing.
                Err(Trouble::Answer(error)) => {
                    tracing::debug!(error = describe(&error), "no headers");
                    break;
                }
                Err(Trouble::Server(error)) => return Err(BackupError::List(error.into())),
            }
        }
        for (message, content) in pool.recognise(&planned.plan.fetch, &heads) {
            if let Some(content) = self.catalog.content_id(content)? {
                planned.healed.push((message, content));
            }
        }
        let healed: UidSet = planned.healed.iter().map(|(m, _)| m.uid).collect();
        planned.plan.fetch.retain(|m| !healed.contains(m.uid));
        planned.plan.bytes = planned.plan.fetch.iter().map(|m| u64::from(m.size)).sum();
        Ok(())
    }

    fn pool(&self, planned: &Planned) -> Result<Pool, CatalogError> {
        let mut rows = Vec::new();
        match self.known {
            Some(known) => {
                let v = planned.uidvalidity;
                let epoch = match &planned.previous {
                    // It was taken for gone as a whole, and is back.
                    Some(c) if c.uidvalidity == v && c.is_tombstone() => {
                        rows = self.catalog.pool(known.id, v, true)?;
                        None
                    }
                    // A checkpoint says that its epoch was held in full: of this one, what is
                    // new is new mail.
                    Some(c) => Some(c.uidvalidity).filter(|epoch| *epoch != v),
                    None => self.catalog.epoch_before(known.id, v)?,
                };
                if let Some(epoch) = epoch {
                    rows = self.catalog.pool(known.id, epoch, false)?;
                }
            }
            None => {
                for lost in self.lost {
                    let epoch = lost.uidvalidity.unwrap_or(0);
                    rows.append(&mut self.catalog.pool(lost.id, epoch, false)?);
                }
            }
        }
        // A mailbox that has changed names with another has its UIDVALIDITY.
        let v = planned.uidvalidity;
        let is_other = |m: &&Mailbox| v > 1 && self.known.is_some_and(|known| known.id != m.id);
        for other in self.all.iter().filter(is_other) {
            if other.uidvalidity == Some(v) {
                rows.append(&mut self.catalog.pool(other.id, v, false)?);
            }
        }
        Ok(Pool::new(rows))
    }

    /// The catalog's number of each flag set of a listing.
    pub(super) fn flag_numbers(
        &self,
        listing: &Listing,
    ) -> Result<HashMap<FlagSetId, Option<i64>>, CatalogError> {
        let mut numbers = HashMap::new();
        for message in &listing.messages {
            if let Some(flags) = listing.flags.get(message.flags)
                && !numbers.contains_key(&message.flags)
            {
                numbers.insert(message.flags, self.catalog.flag_set(flags)?);
            }
        }
        Ok(numbers)
    }
}

/// The digests of headers, by UID.
pub(super) async fn headers_of(
    line: &mut Line<'_>,
    wire: &str,
    uidvalidity: u32,
    uids: &UidSet,
) -> Result<HashMap<u32, u128>, Trouble> {
    line.run(async |session| {
        let mut heads = HashMap::new();
        if session.examine(wire).await?.uidvalidity.unwrap_or(0) != uidvalidity {
            return Ok(heads);
        }
        let each = |uid: u32, header: &[u8]| {
            let digest = header::digest(header);
            heads.extend(
                digest
                    .as_deref()
                    .and_then(header::digest_number)
                    .map(|head| (uid, head)),
            );
        };
        session.header_fields(uids, each).await?;
        Ok(heads)
    })
    .await
}

/// When the mailbox was listed. By the day: a run on the same day leaves the checkpoint as it is.
fn listed_at(previous: Option<&Checkpoint>, now: i64) -> Option<i64> {
    let before = previous.filter(|c| !c.by_changes).and_then(|c| c.listed_at);
    let today = before.filter(|at| (0..86_400).contains(&(now - at)));
    Some(today.unwrap_or(now))
}

/// Whether UIDNEXT or HIGHESTMODSEQ are lower than they were: the server was put back to an
/// earlier state, and may have given UIDs a second time since.
fn counters_fell(examined: &Examined, previous: Option<&Checkpoint>) -> bool {
    let same = previous.filter(|c| examined.uidvalidity == Some(c.uidvalidity));
    same.is_some_and(|c| {
        let modseq = examined.highestmodseq.zip(c.highestmodseq);
        examined.uidnext.is_some_and(|next| next < c.uidnext)
            || modseq.is_some_and(|(now, before)| now < before)
    })
}

/// Whether one of the last held messages that are listed is another than it was.
fn is_reused(listing: &Listing, held: &[Held]) -> bool {
    let listed = held.iter().rev().filter(|h| !h.gone).filter_map(|h| {
        let at = listing.messages.binary_search_by_key(&h.uid, |m| m.uid);
        at.ok()
            .and_then(|at| listing.messages.get(at))
            .map(|m| (m, h))
    });
    listed
        .take(GUARDS)
        .any(|(message, held)| is_another(message, std::slice::from_ref(held)))
}

pub(super) fn planned(
    plan: Plan,
    examined: &Examined,
    uidvalidity: u32,
    flags: FlagTable,
) -> Planned {
    Planned {
        plan,
        healed: Vec::new(),
        doubtful: UidSet::new(),
        exists: examined.exists,
        uidvalidity,
        status: MailboxStatus {
            uidvalidity: examined.uidvalidity,
            uidnext: examined.uidnext,
            messages: Some(examined.exists),
            highestmodseq: examined.highestmodseq,
        },
        listed_at: None,
        by_changes: false,
        flags,
        unreadable: Vec::new(),
        previous: None,
        open_skips: false,
        accepted_nameless: 0,
        goes_on: false,
    }
}

/// One mailbox never blocks the others, whatever the server says of it.
fn failed(error: &ImapError, seen: &SeenMailbox) -> Outcome {
    let exists = seen.status.and_then(|s| s.messages).unwrap_or(0);
    let vanished = matches!(error, ImapError::MailboxGone { .. });
    Outcome::Failed {
        exists,
        reason: describe(error),
        vanished,
    }
}
