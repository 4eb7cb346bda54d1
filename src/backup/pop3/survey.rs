//! What a session lists is sorted: held, excluded, or to be fetched. Where the listing does not
//! tell, headers do (TOP, RFC 1939 §7).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::books::Books;
use super::matching::{Looked, Match, header_id};
use super::plan::{
    Facts, Fate, Look, Names, Seen, Why, excluded_by, fate, is_about_as_large, recorded_size,
};
use super::{Pop3Side, Wanted};
use crate::contact::{HEADER_BYTES, Interrupted, Open};
use crate::event::Event;
use crate::header;
use crate::model::{Renamed, shared_uidl};
use crate::pop3::{Ask, Listing, Offered, Outcome};
use crate::spam;
use crate::spool::Body;

/// Sessions lost over one header, after which it is not asked for any more.
const LOSSES: u32 = 2;

/// What a header told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) seen: Seen,
    pub(super) evidence: Option<String>,
    digest: Option<String>,
    header: [u8; 32],
}

/// A message whose header has to be looked at.
struct Item {
    wanted: Wanted,
    told: Option<Told>,
}

impl Pop3Side<'_> {
    /// Sorts what the first session of a run lists. A session that is lost meanwhile is followed
    /// by another; what its headers told is not asked again.
    pub(super) async fn survey_first(&mut self) -> Result<(), Interrupted> {
        loop {
            self.books = Books::default();
            self.wanted.clear();
            let listing = std::mem::take(&mut self.listing);
            let result = self.survey(&listing).await;
            self.listing = listing;
            match result {
                Err(Interrupted::Server(error)) => {
                    self.open = None;
                    self.door.wait(error).await?;
                    let (open, listing) = self.door.open().await?;
                    self.open = Some(open);
                    self.listing = listing;
                }
                ended => return ended,
            }
        }
    }

    /// Sorts what a later session lists: what is wanted still gets its number in this session,
    /// what is new is sorted. What was not asked for yet and is not listed any more has left;
    /// what was asked for may be hidden for that very reason, and is a skip.
    pub(super) async fn survey_again(&mut self, listing: &Listing) -> Result<(), Interrupted> {
        let names = Names::of(&listing.messages);
        let listed = listed(listing);
        let numbers: HashMap<&str, u32> = listing
            .messages
            .iter()
            .filter_map(|m| Some((m.uidl.as_deref()?, m.number)))
            .collect();
        // Nothing in common with what was listed before: the server may give out other UIDLs in
        // every session, or show another part of the maildrop.
        self.renamed_all = !listed.is_empty() && !listed.iter().any(|u| self.books.has_seen(u));
        self.later = true;
        let (mut nameless, mut became_nameless, mut vanished) = (0, 0, 0);
        let before = self.wanted.len();
        for mut wanted in std::mem::take(&mut self.wanted) {
            let number = wanted.uidl.as_deref().map(|uidl| (uidl, numbers.get(uidl)));
            match number {
                Some((uidl, Some(number))) if names.identifies(uidl) => {
                    wanted.number = *number;
                    self.wanted.push_back(wanted);
                }
                // Numbers are new in every session: only the bytes can tell which these are.
                Some((_, Some(_))) => became_nameless += 1,
                None => nameless += 1,
                Some((_, None)) if wanted.was_asked => {
                    let reason = "it was asked for, the session was lost, and the server does not offer it any more";
                    self.skip(wanted, reason.to_owned());
                }
                Some((_, None)) => {
                    vanished += 1;
                    self.books.leave();
                }
            }
        }
        // One or another may be removed meanwhile; most of them are more likely hidden.
        if vanished > 1 && 2 * vanished >= before {
            self.warnings.push(format!(
                "the server stopped offering {vanished} messages during the run; they are fetched when it offers them again"
            ));
        }
        self.listed = Arc::new(listed);
        self.restart_nameless(listing, &names, nameless, became_nameless);
        self.survey(listing).await
    }

    /// Messages without a name of their own are all asked for again if some are wanted still.
    fn restart_nameless(
        &mut self,
        listing: &Listing,
        names: &Names<'_>,
        nameless: u32,
        became_nameless: u32,
    ) {
        let wanted = nameless + became_nameless;
        if wanted == 0 {
            return;
        }
        let mut listed = 0;
        for message in &listing.messages {
            if message.uidl.as_deref().is_some_and(|u| names.identifies(u)) {
                continue;
            }
            listed += 1;
            self.wanted.push_back(Wanted::of(message, None));
        }
        let fetched = u32::saturating_sub(listed, wanted);
        self.books.see_nameless(listed, became_nameless, fetched);
    }

    async fn survey(&mut self, listing: &Listing) -> Result<(), Interrupted> {
        let names = Names::of(&listing.messages);
        let mut items = Vec::new();
        for message in &listing.messages {
            let uidl = message.uidl.as_deref().filter(|u| names.identifies(u));
            // What has no name of its own is not new in a later session: it cannot be told.
            if uidl.is_none() && self.later || self.books.see(uidl) {
                continue;
            }
            self.sort(message, uidl, &mut items);
        }
        if items.is_empty() {
            return Ok(());
        }
        if let Some(mut open) = self.open.take() {
            let looked = if open.has_top() {
                self.look(&mut open, &mut items).await
            } else {
                Ok(())
            };
            if let Err(interrupted) = looked {
                self.start_over(&open, items);
                return Err(interrupted);
            }
            self.open = Some(open);
        }
        self.settle_looked(items);
        Ok(())
    }

    fn sort(&mut self, message: &Offered, uidl: Option<&str>, items: &mut Vec<Item>) {
        let facts = Facts {
            known: &self.known,
            selection: &self.ground.request.selection,
            first: self.first,
            trusted: self.trusted,
        };
        match fate(message, uidl, &facts) {
            Fate::Held => self.books.hold(),
            Fate::Excluded(why) => self.books.exclude(why),
            Fate::Fetch(look) => {
                let mut wanted = Wanted::of(message, uidl);
                if let Some(uidl) = uidl.filter(|_| self.trusted) {
                    wanted.spam = self.known.decided(uidl).spam;
                    wanted.restate = self.known.is_unsettled(uidl);
                    wanted.before = self.known.skipped(uidl).cloned();
                }
                wanted.look = look;
                if look.is_needed() {
                    let told = uidl.and_then(|u| self.told.remove(u));
                    items.push(Item { wanted, told });
                } else {
                    self.wanted.push_back(wanted);
                }
            }
        }
    }

    /// Asks for headers. Those that came before a session is lost are kept in `items`.
    async fn look(&mut self, open: &mut Open, items: &mut [Item]) -> Result<(), Interrupted> {
        let mut next = 0;
        let total = items.len() as u64;
        let mut done = 0;
        loop {
            while let Some(item) = items.get(next).filter(|_| open.has_room(HEADER_BYTES)) {
                let losses = item.wanted.uidl.as_ref().and_then(|u| self.losses.get(u));
                if item.told.is_none() && losses.is_none_or(|n| *n < LOSSES) {
                    open.ask(Ask::Top(item.wanted.number), next, HEADER_BYTES);
                }
                next += 1;
            }
            let Some((index, outcome)) = open.answer(self.ground.stop.requested()).await? else {
                return Ok(());
            };
            self.door.gained();
            done += 1;
            self.ground.sink.event(Event::Looking { done, total });
            // A header too large for memory, or a TOP refused: the whole message will tell.
            if let (Some(item), Outcome::Message(Body::Memory(header))) =
                (items.get_mut(index), outcome)
            {
                item.told = Some(tell(&header));
            }
        }
    }

    /// The session was lost: another lists these again, and what their headers told is kept. The
    /// oldest header that did not come may be what the server falls over.
    fn start_over(&mut self, open: &Open, items: Vec<Item>) {
        let oldest = open.unanswered().first().copied();
        for (n, Item { wanted, told }) in items.into_iter().enumerate() {
            let Some(uidl) = wanted.uidl else { continue };
            self.books.unsee(&uidl);
            if oldest == Some(n) {
                let losses = self.losses.entry(uidl.clone()).or_default();
                *losses += 1;
                if *losses >= LOSSES {
                    // Whoever is found guilty no longer stands in the way.
                    self.door.gained();
                }
            }
            if let Some(told) = told {
                self.told.insert(uidl, told);
            }
        }
    }

    /// Whether a message is what is held under its UIDL, rewritten a little by the server.
    fn is_rewritten(&self, wanted: &Wanted, told: Option<&Told>) -> bool {
        let heads = wanted.uidl.as_ref().and_then(|uidl| self.heads.get(uidl));
        let digest = told.and_then(|t| t.digest.as_ref());
        let (Some(heads), Some(digest), true) = (heads, digest, wanted.look.held) else {
            return false;
        };
        let size = recorded_size(wanted.size);
        heads
            .iter()
            .any(|(head, held)| head == digest && is_about_as_large(*held, size))
    }

    pub(super) fn excluded(&self, told: &Told, look: Look) -> Option<Why> {
        excluded_by(told.seen, look, self.start, &self.ground.request.selection)
    }

    fn settle_looked(&mut self, items: Vec<Item>) {
        let looked: Vec<Option<Looked>> = items.iter().map(to_be_matched).collect();
        let asked: Vec<Looked> = looked.iter().flatten().cloned().collect();
        let matches = match &mut self.candidates {
            Some(candidates) => candidates.matched(&asked),
            None => vec![Match::Unknown; asked.len()],
        };
        let mut matches = matches.into_iter();
        for (Item { mut wanted, told }, looked) in items.into_iter().zip(looked) {
            let matched = looked.and_then(|_| matches.next());
            if self.is_rewritten(&wanted, told.as_ref()) {
                self.books.hold();
                continue;
            }
            match (matched, &wanted.uidl) {
                (Some(Match::Same), _) => {
                    self.books.hold();
                    continue;
                }
                (Some(Match::Renamed(held, from, content)), Some(uidl)) => {
                    self.books.hold();
                    // Another message may be placed under this UIDL still.
                    let to = if self.known.entries(uidl).is_empty() {
                        uidl.clone()
                    } else {
                        shared_uidl(uidl, content.id)
                    };
                    self.books.renamed.push(Renamed {
                        mailbox: held.mailbox,
                        from,
                        to,
                        healed: true,
                    });
                    continue;
                }
                _ => {}
            }
            wanted.look = wanted.look.without_held();
            let Some(told) = told else {
                self.wanted.push_back(wanted);
                continue;
            };
            if wanted.look.spam {
                self.books.judgements += 1;
                self.books.verdicts += u32::from(told.evidence.is_some());
                wanted.spam = Some(told.seen.spam);
            }
            match self.excluded(&told, wanted.look) {
                Some(why) => {
                    let evidence = told.evidence.filter(|_| told.seen.spam);
                    self.books.judge(why, wanted.uidl.as_deref(), evidence);
                }
                None => {
                    wanted.look = Look::default();
                    self.wanted.push_back(wanted);
                }
            }
        }
    }
}

/// What a header says of everything anybody may ask.
pub(super) fn tell(header: &[u8]) -> Told {
    let judgement = spam::judge(header);
    Told {
        seen: Seen {
            date: header::delivered(header),
            spam: judgement.as_ref().is_some_and(|j| j.spam),
        },
        evidence: judgement.map(|j| j.evidence),
        digest: header::digest(header),
        header: header_id(header),
    }
}

/// What is to be matched with what is held, if that is asked and its header came.
fn to_be_matched(item: &Item) -> Option<Looked> {
    let told = item.told.as_ref().filter(|_| item.wanted.look.held)?;
    Some(Looked {
        uidl: item.wanted.uidl.clone()?,
        size: recorded_size(item.wanted.size),
        digest: told.digest.clone(),
        header: told.header,
    })
}

/// UIDLs of a listing.
pub(super) fn listed(listing: &Listing) -> HashSet<String> {
    let uidls = listing.messages.iter().filter_map(|m| m.uidl.clone());
    uidls.collect()
}
