//! What is to be done, mailbox by mailbox of the target.

use super::{Replay, is_local};
use crate::archive::ledger::{LedgerRecord, TargetMailbox};
use crate::catalog::NOW;
use crate::contact::{Line, Trouble, describe};
use crate::event::Event;
use crate::imap::{TargetSession, Vendor};
use crate::model::Listing;
use crate::replay::assign::assign;
use crate::replay::moves::Spare;
use crate::replay::recognise::{Failed, Search};
use crate::replay::report::MailboxRow;
use crate::replay::survey::{Habits, Place};
use crate::replay::wanted::{Item, collapse};

impl Replay<'_> {
    /// Plans every mailbox. One that cannot be worked on does not stop the others.
    pub(super) async fn plan_all(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        self.learn_habits(line).await?;
        self.look_after_moves(line).await?;
        let total = self.places.len() as u64;
        for n in 0..self.places.len() {
            if self.stop.is_requested() {
                return Ok(());
            }
            let items = self.items_of(n)?;
            let planned = self.plan_one(line, n, items).await;
            match planned {
                Ok(()) => {}
                Err(Failed::Target(trouble)) if is_local(&trouble) => {
                    let row = self.row(n);
                    row.left = row.in_archive - row.excluded;
                    row.problem = Some(describe(&trouble.into_error()));
                }
                Err(failed) => return Err(failed),
            }
            self.sink.event(Event::Enumerating {
                done: n as u64 + 1,
                total,
            });
        }
        Ok(())
    }

    pub(in crate::replay) async fn learn_habits(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        let (limit, vendor) = line
            .run(async |session: &mut TargetSession| {
                Ok((session.append_limit(), session.quirks().vendor))
            })
            .await?;
        self.habits = Habits {
            append_limit: limit,
            vendor,
            // QUIRK(Gmail, 2024): a message appended with \Deleted is gone at once.
            deleted_too: self.request.manner.deleted_too && vendor != Vendor::Gmail,
            permanent: vec![crate::imap::PermanentFlags::default(); self.places.len()],
            delivery: None,
        };
        Ok(())
    }

    /// Says so where the target has no room for what is to be sent (RFC 9208).
    pub(super) async fn look_for_room(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        let Some(place) = self.outbound.first().and_then(|o| self.places.get(o.place)) else {
            return Ok(());
        };
        // One that is not there yet has no quota root.
        let wire = if place.exists {
            &place.to.wire
        } else {
            "INBOX"
        };
        let quotas = line
            .try_once(async |session: &mut TargetSession| session.quota(wire).await)
            .await
            .unwrap_or_default();
        let (messages, bytes) = (
            self.outbound.len() as u64,
            self.outbound.iter().map(|o| o.item.len).sum::<u64>(),
        );
        for quota in quotas {
            let room = quota.limit.saturating_sub(quota.usage);
            let (room, needed, what) = match quota.resource.as_str() {
                "STORAGE" => (room.saturating_mul(1024), bytes, "bytes"),
                "MESSAGE" => (room, messages, "messages"),
                _ => continue,
            };
            if needed > room {
                self.report.notes.push(format!(
                    "the target says it has room for {room} more {what}, and {needed} are to be sent; it will be full before the end"
                ));
            }
        }
        Ok(())
    }

    /// The messages that are to be in a mailbox of the target.
    fn items_of(&mut self, n: usize) -> Result<Vec<Item>, Failed> {
        let here = |error: crate::catalog::CatalogError| Failed::Here(error.into());
        let Some(place) = self.places.get_mut(n) else {
            return Ok(Vec::new());
        };
        let catalog = self.reader.catalog();
        let mut items = Vec::new();
        for taken in &place.sources {
            let within = &self.request.within;
            let (mut some, not_sent) = self
                .shared
                .items(catalog, taken.mailbox.id, taken.commit.min(NOW), within)
                .map_err(here)?;
            if taken.leftovers {
                some.retain(|item| !self.elsewhere.contains(&item.content));
                // What one view brought, the next does not bring once more.
                self.elsewhere.extend(some.iter().map(|item| item.content));
            } else {
                place.row.in_archive += not_sent.forgotten;
                place.row.excluded += not_sent.forgotten;
            }
            items.append(&mut some);
        }
        place.row.in_archive += items.len() as u64;
        if self.request.manner.collapse {
            place.row.excluded += collapse(&mut items);
        }
        Ok(items)
    }

    async fn plan_one(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        n: usize,
        items: Vec<Item>,
    ) -> Result<(), Failed> {
        let leftovers = |p: &Place| !p.exists && p.sources.iter().all(|s| s.leftovers);
        if items.is_empty() && self.places.get(n).is_some_and(leftovers) {
            // Nobody had such a mailbox, and there is nothing for it.
            self.row(n).before = Some(0);
            self.row(n).now = Some(0);
            return Ok(());
        }
        self.prepare(line, n).await?;
        if self.places.get(n).is_some_and(|p| p.row.problem.is_some()) {
            return Ok(());
        }
        self.subscribe(line, n).await?;
        self.number(n).await?;
        let Some(place) = self.places.get(n) else {
            return Ok(());
        };
        if let Some(permanent) = self.habits.permanent.get_mut(n) {
            permanent.clone_from(&place.permanent);
        }
        let known = self.pieces_in(place.to.number);
        let resend = self.request.manner.resend;
        let assigned = assign(&items, &known, &place.listing, place.to.uidvalidity, resend);
        // Those the target said it has come first: of two copies an open one must not pass for
        // the other, and then never be sent.
        let certain = assigned.unlocated.iter().chain(&assigned.renumbered);
        let certain: Vec<usize> = certain.map(|(item, _)| *item).collect();
        let others = assigned.open.iter().chain(&assigned.doubtful);
        let missing = assigned.missing.iter().map(|(item, _)| *item);
        let wanted: Vec<usize> = (certain.iter().copied())
            .chain(others.map(|(item, _)| *item))
            .chain(missing)
            .collect();
        let search = Search {
            wire: &place.to.wire,
            listing: &place.listing,
            claimed: &assigned.claimed,
            items: &items,
            shared: &self.shared,
            wanted: &wanted,
            certain: certain.len(),
            hidden: place.hidden,
        };
        let recognised = search.run(line, self.reader.mail()).await?;
        self.row(n).notes.extend(recognised.unseen.clone());
        let mut records = self.book_plan(n, &items, &assigned, &recognised);
        self.book_flowed(n, &items, &assigned, &recognised);
        records.extend(self.plan_flags(n, &items, &assigned, &recognised));
        self.write(records).await?;
        self.gmail_planned(n, &items, &assigned);
        if self.is_whole() {
            let spare: Vec<Spare> = assigned
                .spare
                .iter()
                .filter_map(|no| self.movable(n, *no))
                .collect();
            self.spare.extend(spare);
        }
        if let Some(place) = self.places.get_mut(n) {
            place.listing = Listing::default();
        }
        Ok(())
    }

    /// Makes a mailbox if it is not there, and opens it. One that is not listed and that holds what
    /// an earlier run brought is only opened: if it is gone, somebody renamed or deleted it, and
    /// to make it anew would bring all of it a second time.
    async fn prepare(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        n: usize,
    ) -> Result<(), Failed> {
        let request = self.request;
        let Some(place) = self.places.get_mut(n) else {
            return Ok(());
        };
        let had_some = {
            let state = self.ledger.state();
            let number = state.target(&place.to.wire);
            number.is_some_and(|number| state.pieces_in(number).next().is_some())
        };
        let unlisted = !place.exists && had_some && !request.manner.resend.removed;
        place.exists |= unlisted;
        match place.prepare(line, request.dry_run).await {
            Err(trouble) if unlisted && is_local(&trouble) => {
                place.row.left = place.row.in_archive - place.row.excluded;
                place.row.problem = Some(format!(
                    "mail was brought there, and the target neither lists nor opens it now ({}); if it was renamed, --map names the mailbox it is; if it was deleted, --resend-removed makes it anew and sends all again",
                    describe(&trouble.into_error())
                ));
                Ok(())
            }
            prepared => Ok(prepared?),
        }
    }

    /// Whether all there is in the mailboxes is asked for, so that what is left over was moved.
    fn is_whole(&self) -> bool {
        let request = self.request;
        request.as_of.is_none()
            && request.within == crate::catalog::Within::default()
            && !request.manner.collapse
    }

    /// Subscribes to a mailbox that was there, when mailstow first works with it: also to one that
    /// an earlier run made and did not live to subscribe to. What the user does later stays.
    async fn subscribe(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        n: usize,
    ) -> Result<(), Failed> {
        let is_known = |wire: &str| self.ledger.state().target(wire).is_some();
        let Some(Place {
            to, subscribe, row, ..
        }) = self.places.get(n)
        else {
            return Ok(());
        };
        if self.request.dry_run || !subscribe || row.created || is_known(&to.wire) {
            return Ok(());
        }
        let wire = to.wire.clone();
        let subscribed = line
            .run(async |session: &mut TargetSession| session.subscribe(&wire).await)
            .await;
        match subscribed {
            // Most mail programs show INBOX and the like all the same.
            Ok(()) | Err(Trouble::Answer(_)) => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Gives a mailbox its number in the ledger, and records what goes there.
    pub(in crate::replay) async fn number(&mut self, n: usize) -> Result<(), Failed> {
        let Some(place) = self.places.get_mut(n) else {
            return Ok(());
        };
        let mut records = Vec::new();
        {
            let state = self.ledger.state();
            let known = state.target(&place.to.wire);
            let number = known.unwrap_or_else(|| state.next_target());
            if known.is_none() {
                records.push(LedgerRecord::Mailbox(TargetMailbox {
                    id: number,
                    wire: place.to.wire.clone(),
                }));
            }
            let into = self.request.rules.into.is_some();
            for taken in place.sources.iter().filter(|t| !t.leftovers && !into) {
                let wire = &taken.mailbox.wire;
                if state.recorded_as(taken.mailbox.id, wire) != Some(&place.to.wire) {
                    records.push(LedgerRecord::Map {
                        mailbox: taken.mailbox.id,
                        target: number,
                        source: Some(wire.clone()),
                    });
                }
            }
            place.to.number = number;
        }
        self.write(records).await
    }

    pub(in crate::replay) fn row(&mut self, n: usize) -> &mut MailboxRow {
        match self.places.get_mut(n) {
            Some(place) => &mut place.row,
            // Places are never taken away, so this is never written to.
            None => &mut self.report.total,
        }
    }
}
