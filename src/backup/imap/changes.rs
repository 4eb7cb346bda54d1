//! Looking at what changed in a mailbox since a base, instead of at all of it.

use std::collections::HashMap;

use super::base::Base;
use super::delta::{Known, plan_changes};
use super::found::Planned;
use super::look::{Look, planned};
use super::plan::Facts;
use crate::catalog::CatalogError;
use crate::contact::Trouble;
use crate::imap::{Changes, Examined, ImapError};
use crate::model::{Checkpoint, FlagSetId, FlagTable, Held, Listed, Listing, Mailbox, UidSet};
use crate::source::SeenMailbox;

/// Why looking at the changes was not enough.
pub(super) enum NotEnough {
    /// They do not add up, or the server cannot tell them.
    Distrusted,
    /// A UID stands for another message than before, or may well do so: the server's counters fell.
    Reused,
    /// The base is of another epoch; asking again would not help.
    Void,
    Trouble(Trouble),
    Catalog(CatalogError),
}

impl From<CatalogError> for NotEnough {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

/// What the server said of the changes.
struct Answers {
    examined: Examined,
    /// `None` where flags were not looked at.
    changes: Option<Changes>,
    /// What was wanted, and what came later.
    listing: Listing,
    guards: Listing,
    /// The UIDs there are of the known part, where that had to be asked.
    uids: Option<UidSet>,
}

impl Look<'_, '_> {
    /// Looks at what changed since the base, and at what is wanted.
    pub(super) async fn changes(
        &mut self,
        known: &Mailbox,
        base: &Base,
        seen: &SeenMailbox,
        previous: Option<&Checkpoint>,
    ) -> Result<Planned, NotEnough> {
        let (catalog, eye) = (self.catalog, self.eye);
        let (id, v) = (known.id, base.uidvalidity);
        let answers = self.ask(known, base, seen).await?;
        let accepted = catalog.skipped_uids(id, v, true)?;
        let Answers {
            examined,
            changes,
            mut listing,
            guards,
            uids,
        } = answers;
        let wary = catalog.guards(id, v, base.uidnext)?;
        if guards.messages.iter().any(|m| is_another(m, &wary)) {
            return Err(NotEnough::Reused);
        }
        let mut vanished = UidSet::new();
        let mut flags: HashMap<FlagSetId, UidSet> = HashMap::new();
        if let Some(Changes {
            changed,
            vanished: gone,
            cut_short,
        }) = changes
        {
            if cut_short {
                return Err(NotEnough::Distrusted);
            }
            vanished = catalog
                .present_among(id, v, &gone.difference(&base.wanted))?
                .difference(&accepted)
                .intersection(&UidSet::below(base.uidnext));
            if self.names_a_stranger(known, base, &changed, &accepted)? {
                return Err(NotEnough::Distrusted);
            }
            flags = self
                .changed_flags(known, base, &changed, &mut listing.flags)?
                .ok_or(NotEnough::Reused)?;
        }
        if let Some(uids) = uids {
            let all = catalog
                .present_among(id, v, &UidSet::below(base.uidnext))?
                .difference(&base.wanted)
                .difference(&accepted);
            // A UID nobody knows stands for a message nobody has.
            if !uids.difference(&all).difference(&base.wanted).is_empty() {
                return Err(NotEnough::Distrusted);
            }
            vanished = vanished.union(&all.difference(&uids));
        }
        self.confirm(seen, v, &vanished).await?;
        for uids in flags.values_mut() {
            *uids = uids.difference(&vanished);
        }
        flags.retain(|_, uids| !uids.is_empty());
        let mut held = Vec::new();
        let later = UidSet::of_ranges([(base.uidnext, u32::MAX)]);
        let listed = base.wanted.union(&later);
        catalog.held_among(id, v, &listed, |row| held.push(row))?;
        let flag_numbers = self.flag_numbers(&listing)?;
        let skipped = catalog.skipped_uids(id, v, false)?;
        let none = UidSet::new();
        let facts = Facts {
            exists: examined.exists,
            may_reuse: v <= 1,
            uidnext: examined.uidnext,
            listing: &listing,
            held: &held,
            again: eye.prove.get(&(id, v)).unwrap_or(&none),
            accepted: &accepted,
            skipped: &skipped,
            unreadable: 0,
            written_off: &none,
            accepted_nameless: 0,
            flag_numbers: &flag_numbers,
            selection: eye.selection,
        };
        let known = Known {
            base,
            vanished,
            flags,
        };
        let plan = plan_changes(&facts, known).ok_or(NotEnough::Distrusted)?;
        let mut planned = planned(plan, &examined, v, listing.flags);
        planned.listed_at = base.listed_at;
        planned.by_changes = true;
        planned.open_skips = catalog.open_skips(id)? > 0;
        planned.previous = previous.cloned();
        planned.goes_on = base.goes_on;
        Ok(planned)
    }

    /// The questions, on one session.
    async fn ask(
        &mut self,
        known: &Mailbox,
        base: &Base,
        seen: &SeenMailbox,
    ) -> Result<Answers, NotEnough> {
        let uncertain = base.highestmodseq.is_none() || base.uidvalidity <= 1;
        let guards: UidSet = if uncertain {
            let guards = self
                .catalog
                .guards(known.id, base.uidvalidity, base.uidnext)?;
            guards.iter().map(|held| held.uid).collect()
        } else {
            UidSet::new()
        };
        let may_qresync = self.line.may_qresync();
        let asked = self.line.run(async |session| -> Result<_, ImapError> {
            let qresync = may_qresync && session.enable_qresync().await?;
            let examined = session.examine(&seen.wire).await?;
            if examined.uidvalidity != Some(base.uidvalidity) {
                return Ok(Err(NotEnough::Void));
            }
            let Some(uidnext) = examined.uidnext else {
                return Ok(Err(NotEnough::Void));
            };
            let fell = base.highestmodseq.zip(examined.highestmodseq);
            if uidnext < base.uidnext || fell.is_some_and(|(before, now)| now < before) {
                return Ok(Err(NotEnough::Reused));
            }
            let last = base.uidnext.saturating_sub(1);
            let empty = examined.exists == 0 || last == 0;
            let changes = match (base.highestmodseq, examined.highestmodseq) {
                (None, None) => None,
                (Some(before), Some(now)) if now == before || now > before && empty => {
                    Some(Changes::default())
                }
                (Some(before), Some(now)) if now > before => {
                    Some(session.changes(last, before).await?)
                }
                // Mod-sequences that came or went tell nothing.
                _ => return Ok(Err(NotEnough::Void)),
            };
            let mut listing = Listing::default();
            if examined.exists > 0 {
                listing.absorb(session.list_uids(&base.wanted).await?, 1..=last);
                if uidnext > base.uidnext {
                    let later = format!("{}:*", base.uidnext);
                    let new = session.list_messages(&later).await?;
                    listing.absorb(new, base.uidnext..=uidnext - 1);
                }
            }
            // With QRESYNC it is known who has vanished; otherwise only how many there are.
            let told = qresync && !empty && examined.highestmodseq > base.highestmodseq;
            let there = u64::try_from(listing.messages.len()).unwrap_or(u64::MAX);
            let expected = base.known + u64::from(base.excluded) + there;
            let uids = if told || u64::from(examined.exists) == expected {
                None
            } else if empty {
                Some(UidSet::new())
            } else if base.excluded > 0 {
                // Which of those that are there a filter excluded, nobody remembers.
                return Ok(Err(NotEnough::Distrusted));
            } else {
                Some(session.uids_to(last).await?)
            };
            let guards = if empty {
                Listing::default()
            } else {
                session.list_uids(&guards).await?
            };
            Ok(Ok(Answers {
                examined,
                changes,
                listing,
                guards,
                uids,
            }))
        });
        match asked.await {
            Ok(answers) => answers,
            Err(trouble) => Err(NotEnough::Trouble(trouble)),
        }
    }

    /// Asks for messages that are said to be gone: not one may be there.
    ///
    /// QUIRK(iCloud, 2024): UID SEARCH has been seen to answer with message numbers.
    async fn confirm(
        &mut self,
        seen: &SeenMailbox,
        uidvalidity: u32,
        vanished: &UidSet,
    ) -> Result<(), NotEnough> {
        if vanished.is_empty() {
            return Ok(());
        }
        let asked = self.line.run(async |session| {
            let examined = session.examine(&seen.wire).await?;
            if examined.uidvalidity != Some(uidvalidity) {
                return Ok(None);
            }
            // QUIRK(several): a FETCH in an empty mailbox is BAD.
            if examined.exists == 0 {
                return Ok(Some(Listing::default()));
            }
            session.list_uids(vanished).await.map(Some)
        });
        match asked.await {
            Ok(Some(listing)) if listing.messages.is_empty() => Ok(()),
            Ok(_) => Err(NotEnough::Distrusted),
            Err(trouble) => Err(NotEnough::Trouble(trouble)),
        }
    }

    /// Whether a message that changed is one nobody knows: it was not visible when it should have
    /// been. What a filter excludes is nobody's.
    fn names_a_stranger(
        &self,
        known: &Mailbox,
        base: &Base,
        changed: &Listing,
        accepted: &UidSet,
    ) -> Result<bool, CatalogError> {
        let uids: UidSet = changed.messages.iter().map(|m| m.uid).collect();
        let present = self
            .catalog
            .present_among(known.id, base.uidvalidity, &uids)?;
        let strangers = uids
            .difference(&present)
            .difference(&base.wanted)
            .difference(accepted);
        let is_stranger =
            |m: &Listed| strangers.contains(m.uid) && !self.eye.selection.leaves_out(m);
        Ok(changed.messages.iter().any(is_stranger))
    }

    /// Which known messages have other flags than are held of them. `None` where a UID stands for
    /// another message than before.
    fn changed_flags(
        &self,
        known: &Mailbox,
        base: &Base,
        changed: &Listing,
        table: &mut FlagTable,
    ) -> Result<Option<HashMap<FlagSetId, UidSet>>, CatalogError> {
        let numbers = self.flag_numbers(changed)?;
        let mut reused = false;
        let uids: UidSet = changed.messages.iter().map(|m| m.uid).collect();
        let uids = uids.difference(&base.wanted);
        let mut flags: HashMap<FlagSetId, UidSet> = HashMap::new();
        let mut messages = changed.messages.iter().peekable();
        self.catalog
            .held_among(known.id, base.uidvalidity, &uids, |held: Held| {
                while messages.next_if(|m| m.uid < held.uid).is_some() {}
                let Some(message) = messages.peek().filter(|m| m.uid == held.uid) else {
                    return;
                };
                let differs = numbers
                    .get(&message.flags)
                    .is_some_and(|number| *number != Some(held.flags));
                reused |= base.uidvalidity <= 1 && is_another(message, std::slice::from_ref(&held));
                if differs
                    && !held.gone
                    && let Some(set) = changed.flags.get(message.flags)
                {
                    let set = table.intern(set.clone());
                    flags.entry(set).or_default().push(held.uid);
                }
            })?;
        Ok((!reused).then_some(flags))
    }
}

/// Whether a listed message is not the held one of its UID. The date tells: servers change their
/// minds about sizes, and about what they can say at all.
pub(super) fn is_another(message: &Listed, held: &[Held]) -> bool {
    held.iter()
        .filter(|h| h.uid == message.uid)
        .filter_map(|h| h.date.zip(message.date()))
        .any(|(held, listed)| held != listed.unix)
}
