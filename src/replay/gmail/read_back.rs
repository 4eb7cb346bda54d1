//! Looks whether what was appended is what Gmail shows.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::archive::ledger::{Fate, LedgerRecord, Outcome};
use crate::contact::{Line, Opened, open};
use crate::imap::TargetSession;
use crate::model::{ContentId, Listing, UidSet};
use crate::replay::ladder::Group;
use crate::replay::ledger::{OriginKey, Piece, PieceState};
use crate::replay::recognise::{Failed, Recognised, Search};
use crate::replay::repair::Repairs;
use crate::replay::report::What;
use crate::replay::run::Replay;
use crate::replay::wanted::Item;

/// What is known of a piece before its message is looked at.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The target shows it: a new message of its size.
    Ours,
    /// It shows no message under its UID.
    Gone,
    /// The UID is not known.
    Nowhere,
    /// Its bytes have to be compared. Where they differ by no more than a repair, it is ours.
    Doubt { may_be_repaired: bool },
}

impl Replay<'_> {
    /// Reads back what this run appended, and what an earlier one did not come to; false where some
    /// of it is left to the next one.
    pub(super) async fn read_back(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<bool, Failed> {
        let mut by_place: BTreeMap<usize, Vec<(Piece, Item)>> = BTreeMap::new();
        for (piece, place, item) in self.take_unread() {
            by_place.entry(place).or_default().push((piece, item));
        }
        let mut all = true;
        for (place, ones) in by_place {
            all &= self.read_back_in(line, place, ones).await?;
        }
        Ok(all)
    }

    /// All there is in the ledger was read back, or found by looking.
    pub(super) async fn say_read_back(&mut self) -> Result<(), Failed> {
        let upto = {
            let state = self.ledger.state();
            let last = state.last_piece();
            (last > state.read_back()).then_some(last)
        };
        let record = upto.map(|upto| LedgerRecord::ReadBack { upto });
        self.write(record.into_iter().collect()).await
    }

    fn take_unread(&mut self) -> Vec<(Piece, usize, Item)> {
        let (sent, unseen) = (
            std::mem::take(&mut self.gmail.sent),
            std::mem::take(&mut self.gmail.unseen),
        );
        let state = self.ledger.state();
        let before = self.gmail.before;
        let new = state.pieces().filter(|p| p.no > before);
        let key = |p: &Piece| (p.target, p.origin, p.content);
        let by_key: HashMap<(u32, OriginKey, ContentId), u64> =
            new.map(|p| (key(p), p.no)).collect();
        let number = |place: usize| self.places.get(place).map(|p| p.to.number);
        let sent = sent.into_iter().filter_map(|(place, item)| {
            let key = (number(place)?, item.key(), item.content);
            Some((*by_key.get(&key)?, place, item))
        });
        let pieces = sent.chain(unseen).filter_map(|(no, place, item)| {
            let piece = state.piece(no)?;
            let there = piece.state == PieceState::There;
            there.then_some((*piece, place, item))
        });
        pieces.collect()
    }

    /// Reads back the messages of one mailbox; false where that was not possible.
    async fn read_back_in(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        n: usize,
        ones: Vec<(Piece, Item)>,
    ) -> Result<bool, Failed> {
        let Some((wire, uidvalidity)) = self.wire_of(n) else {
            return Ok(false);
        };
        let Opened {
            examined, listing, ..
        } = open(line, &wire).await?;
        if examined.uidvalidity.unwrap_or(0) != uidvalidity {
            // The next run finds everything under its new number.
            return Ok(false);
        }
        let shared_uids = self.uids_of_several(n);
        let sizes: HashMap<u32, u32> = listing.messages.iter().map(|m| (m.uid, m.size)).collect();
        let repairs = self.request.manner.repairs != Repairs::default();
        let judge = |(piece, item): &(Piece, Item)| {
            let Some(uid) = piece.uid else {
                return Seen::Nowhere;
            };
            let Some(size) = sizes.get(&uid) else {
                return Seen::Gone;
            };
            let known = uid < piece.uidnext
                || shared_uids.contains(&uid)
                || self.gmail.twins.contains(&item.content);
            if !known && u64::from(*size) == item.len {
                return Seen::Ours;
            }
            Seen::Doubt {
                may_be_repaired: repairs && !known,
            }
        };
        let seen: Vec<Seen> = ones.iter().map(judge).collect();
        let looked = self.look_at_bytes(line, &wire, &listing, &ones, &seen);
        let looked = looked.await?;
        let found: HashMap<usize, u32> = looked.found.into_iter().collect();
        let mut records = Vec::new();
        for (at, ((piece, item), seen)) in ones.into_iter().zip(seen).enumerate() {
            let is_ours = match seen {
                Seen::Ours => true,
                Seen::Gone => false,
                Seen::Nowhere => match found.get(&at) {
                    Some(uid) => {
                        records.push(LedgerRecord::Located {
                            no: piece.no,
                            uidvalidity,
                            uid: *uid,
                        });
                        true
                    }
                    None => looked.unsure.contains(&at),
                },
                Seen::Doubt { may_be_repaired } => {
                    may_be_repaired || found.contains_key(&at) || looked.unsure.contains(&at)
                }
            };
            if !is_ours {
                let fate = Fate::Collapsed;
                records.push(LedgerRecord::Outcome(Outcome { no: piece.no, fate }));
                self.collapse(n, &piece, &item, &sizes);
            }
        }
        self.write(records).await?;
        Ok(true)
    }

    /// UIDs that several pieces of a mailbox have.
    fn uids_of_several(&self, n: usize) -> HashSet<u32> {
        let Some(place) = self.places.get(n) else {
            return HashSet::new();
        };
        let state = self.ledger.state();
        let pieces = state.pieces_in(place.to.number);
        let uids = pieces.filter(|p| p.uidvalidity == place.to.uidvalidity);
        let mut once = HashSet::new();
        let uids = uids.filter_map(|p| p.uid);
        uids.filter(|uid| !once.insert(*uid)).collect()
    }

    /// Compares bytes where nothing else tells, and looks for what has no UID.
    async fn look_at_bytes(
        &self,
        line: &mut Line<'_, TargetSession>,
        wire: &str,
        listing: &Listing,
        ones: &[(Piece, Item)],
        seen: &[Seen],
    ) -> Result<Recognised, Failed> {
        let items: Vec<Item> = ones.iter().map(|(_, item)| item.clone()).collect();
        let mut groups = Vec::new();
        let mut nowhere = Vec::new();
        for (at, ((piece, _), seen)) in ones.iter().zip(seen).enumerate() {
            match (seen, piece.uid) {
                (Seen::Doubt { .. }, Some(uid)) => groups.push(Group {
                    ours: vec![at],
                    theirs: vec![uid],
                }),
                (Seen::Nowhere, _) => nowhere.push(at),
                _ => {}
            }
        }
        let claimed = match ones.first() {
            Some((piece, _)) if !nowhere.is_empty() => {
                self.claimed_in(piece.target, piece.uidvalidity)
            }
            _ => UidSet::default(),
        };
        let search = Search {
            wire,
            listing,
            claimed: &claimed,
            items: &items,
            shared: &self.shared,
            wanted: &nowhere,
            // The target said that it has them.
            certain: nowhere.len(),
            hidden: 0,
        };
        let mut looked = search.run(line, self.reader.mail()).await?;
        // The groups name items by their place among all of them.
        let all: Vec<usize> = (0..items.len()).collect();
        let search = Search {
            wanted: &all,
            certain: 0,
            ..search
        };
        let compared = search.compare(line, self.reader.mail(), groups, &mut looked);
        compared.await?;
        Ok(looked)
    }

    /// Books a message of which the target shows another one, or none.
    fn collapse(&mut self, n: usize, piece: &Piece, item: &Item, sizes: &HashMap<u32, u32>) {
        let is_new = piece.no > self.gmail.before;
        let shown = piece.uid.is_some_and(|uid| sizes.contains_key(&uid));
        // What was there before is counted already.
        if is_new && shown && piece.uid >= Some(piece.uidnext) {
            *self.gmail.instead.entry(n).or_default() += 1;
        }
        let name = self.name_of(n);
        let row = self.row(n);
        if is_new {
            row.appended = row.appended.saturating_sub(1);
            row.bytes = row.bytes.saturating_sub(item.len);
        } else {
            row.there = row.there.saturating_sub(1);
        }
        row.collapsed += 1;
        let reason = if shown {
            "the target answered OK and shows another message with its Message-ID instead"
        } else {
            "the target answered OK and shows no such message"
        };
        self.report.note(crate::replay::MessageNote {
            what: What::Collapsed,
            mailbox: name,
            content: item.content.to_string(),
            remote: item.remote.to_string(),
            reason: reason.to_owned(),
        });
    }
}
