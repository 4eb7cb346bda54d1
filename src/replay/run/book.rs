//! What a plan says of each item and each piece, booked.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Replay;
use crate::archive::ledger::{Fate, Known, LedgerRecord, Outcome};
use crate::model::{Flags, Listing};
use crate::replay::assign::Assigned;
use crate::replay::ledger::{Piece, PieceState};
use crate::replay::moves::Spare;
use crate::replay::outbound::Outbound;
use crate::replay::recognise::Recognised;
use crate::replay::report::{MessageNote, What};
use crate::replay::settle::{Unsettled, Whence};
use crate::replay::survey::Place;
use crate::replay::touch::{FlagVerdict, Reflag, fallback, judge};
use crate::replay::wanted::Item;

/// So many messages that are gone from a mailbox of the target may be an accident.
const REMOVED: usize = 20;

impl Replay<'_> {
    /// Puts every item where it belongs, and says what was found out about pieces.
    pub(super) fn book_plan(
        &mut self,
        n: usize,
        items: &[Item],
        assigned: &Assigned,
        recognised: &Recognised,
    ) -> Vec<LedgerRecord> {
        let mut records = Vec::new();
        let found: HashMap<usize, u32> = recognised.found.iter().copied().collect();
        let unsure: HashSet<usize> = recognised.unsure.iter().copied().collect();
        let Some(place) = self.places.get_mut(n) else {
            return records;
        };
        let (target, uidvalidity) = (place.to.number, place.to.uidvalidity);
        let row = &mut place.row;
        row.there += assigned.there.len() as u64;
        row.collapsed += assigned.collapsed.len() as u64;
        let resend = self.request.manner.resend;
        let mut outbound = Vec::new();
        let mut removed = assigned.removed.len();
        let mut gone: Vec<u64> = assigned.removed.iter().map(|(_, no)| *no).collect();
        for (item, no) in &assigned.unlocated {
            match found.get(item) {
                Some(uid) => {
                    row.there += 1;
                    records.push(LedgerRecord::Located {
                        no: *no,
                        uidvalidity,
                        uid: *uid,
                    });
                }
                // Below it is doubtful: the target told of no UID, and shows none that is it.
                None if unsure.contains(item) => outbound.push((*item, Some(*no))),
                None if resend.removed => outbound.push((*item, Some(*no))),
                None => {
                    removed += 1;
                    gone.push(*no);
                }
            }
        }
        // Somebody made it anew, or emptied it and the numbers changed: that is no order to fill
        // it again.
        let mut emptied = 0;
        if row.before == Some(0) && !resend.removed {
            emptied = assigned.renumbered.len();
            removed += emptied;
            gone.extend(assigned.renumbered.iter().map(|(_, no)| *no));
        }
        row.removed += removed as u64;
        if emptied > 0 {
            self.report.warnings.push(format!(
                "{} is empty and has other numbers than before, so somebody emptied it or made it anew; {emptied} messages that were brought there are not sent again unless you say --resend-removed",
                row.target
            ));
        } else if removed >= REMOVED && removed > assigned.there.len() {
            self.report.warnings.push(format!(
                "{removed} messages that were brought to {} are no longer there, more than half; if nobody removed them on purpose, send them again with --resend-removed",
                row.target
            ));
        }
        let located = |no: u64, uid: u32| LedgerRecord::Located {
            no,
            uidvalidity,
            uid,
        };
        let is_there = |no: u64, uid: u32| {
            let at = Some((uidvalidity, uid));
            let fate = Fate::There { at };
            LedgerRecord::Outcome(Outcome { no, fate })
        };
        let mut doubtful: Vec<(usize, String)> = Vec::new();
        for (item, no) in &assigned.doubtful {
            if let Some(uid) = found.get(item) {
                row.there += 1;
                records.push(is_there(*no, *uid));
            } else {
                doubtful.push((*item, "as an earlier run said".to_owned()));
            }
        }
        for (item, no) in &assigned.open {
            match (found.get(item), items.get(*item)) {
                (Some(uid), _) => {
                    row.there += 1;
                    records.push(is_there(*no, *uid));
                }
                (None, Some(item)) => self.unsettled.push(Unsettled {
                    no: *no,
                    place: n,
                    item: item.clone(),
                    whence: match &self.flowed {
                        Some(flowed) if flowed.has_sent(*no) => Whence::Sent,
                        _ => Whence::Before,
                    },
                }),
                (None, None) => {}
            }
        }
        for (item, no) in &assigned.renumbered {
            match found.get(item) {
                Some(uid) => {
                    row.there += 1;
                    records.push(located(*no, *uid));
                }
                None if emptied > 0 => {}
                None => outbound.push((*item, Some(*no))),
            }
        }
        let mut state = self.ledger.state();
        let was_removed = |no: u64| {
            let piece = state.piece(no);
            piece.is_some_and(|piece| piece.state == PieceState::Removed)
        };
        for (_, no) in &assigned.there {
            if was_removed(*no)
                && let Some(uid) = state.piece(*no).and_then(|piece| piece.uid)
            {
                records.push(located(*no, uid));
            }
        }
        gone.retain(|no| !was_removed(*no));
        if !gone.is_empty() {
            records.push(LedgerRecord::Removed { no: gone });
        }
        for (item, replaces) in &assigned.missing {
            let (Some(uid), Some(placed)) = (found.get(item), items.get(*item)) else {
                outbound.push((*item, *replaces));
                continue;
            };
            row.there += 1;
            if let Some(no) = *replaces {
                // It must not answer for another copy later on.
                let fate = Fate::Absent;
                records.push(LedgerRecord::Outcome(Outcome { no, fate }));
            }
            records.push(LedgerRecord::Known(Known {
                no: state.next_piece(),
                target,
                uidvalidity,
                uid: *uid,
                content: placed.content,
                origin: placed.origin(),
            }));
        }
        drop(state);
        for (item, replaces) in outbound {
            if unsure.contains(&item) && !resend.doubtful {
                let why = "the target does not send a message that may be this one";
                doubtful.push((item, why.to_owned()));
            } else if let Some(item) = items.get(item) {
                self.outbound.push(Outbound {
                    item: item.clone(),
                    place: n,
                    replaces,
                });
            }
        }
        row.doubtful += doubtful.len() as u64;
        let name = row.target.clone();
        for (item, reason) in doubtful {
            if let Some(item) = items.get(item) {
                self.report.note(MessageNote {
                    what: What::Doubtful,
                    mailbox: name.clone(),
                    content: item.content.to_string(),
                    remote: item.remote.to_string(),
                    reason,
                });
            }
        }
        records
    }

    /// Flags that changed at the source, where the target still shows what mailstow gave it: of
    /// pieces that were known to be there, and of those that were found now.
    pub(super) fn plan_flags(
        &mut self,
        n: usize,
        items: &[Item],
        assigned: &Assigned,
        recognised: &Recognised,
    ) -> Vec<LedgerRecord> {
        let mut agreed: BTreeMap<Flags, Vec<u64>> = BTreeMap::new();
        let Some(place) = self.places.get(n) else {
            return Vec::new();
        };
        let state = self.ledger.state();
        let found: HashMap<usize, u32> = recognised.found.iter().copied().collect();
        let there = assigned.there.iter();
        let there = there.filter_map(|(item, no)| Some((*item, *no, state.piece(*no)?.uid?)));
        let located = (assigned.open.iter())
            .chain(&assigned.doubtful)
            .chain(&assigned.renumbered)
            .chain(&assigned.unlocated);
        let located = located.filter_map(|(item, no)| Some((*item, *no, *found.get(item)?)));
        let mut kept = 0;
        for (item, no, uid) in there.chain(located) {
            let (Some(item), Some(piece)) = (items.get(item), state.piece(no)) else {
                continue;
            };
            // Another account's copy keeps the flags it has there.
            if !is_of(piece, place) {
                continue;
            }
            let Some(last) = piece.flags.and_then(|id| state.flags(id)) else {
                continue;
            };
            // What the target does not say readably is not known to be what we gave it.
            let Some(shown) = shown(&place.listing, uid) else {
                continue;
            };
            let wanted = self.wanted_flags(item, n);
            let asked = piece.asked.and_then(|id| state.flags(id)).unwrap_or(last);
            match judge(last, asked, &wanted, shown) {
                FlagVerdict::Same => {}
                FlagVerdict::Agreed => agreed.entry(wanted).or_default().push(no),
                FlagVerdict::Set => self.reflags.push(Reflag {
                    place: n,
                    no,
                    uid,
                    fallback: fallback(&wanted, shown),
                    flags: wanted,
                }),
                FlagVerdict::Theirs => kept += 1,
            }
        }
        drop(state);
        self.row(n).flags_kept += kept;
        let flagged = |(flags, no)| LedgerRecord::Flagged {
            no,
            flags,
            asked: None,
        };
        agreed.into_iter().map(flagged).collect()
    }

    /// A piece that no item asks for, if it may be moved elsewhere: mailstow put it there, and it
    /// stands for a message of a mailbox that is looked at as a whole now. Others are of another
    /// account, or of a mailbox that is left out this time.
    pub(super) fn movable(&self, n: usize, no: u64) -> Option<Spare> {
        let state = self.ledger.state();
        let (piece, place) = (state.piece(no)?, self.places.get(n)?);
        let in_part = place.sources.iter().any(|taken| taken.leftovers);
        if piece.flags.is_none() || in_part || !is_of(piece, place) {
            return None;
        }
        let uid = piece.uid?;
        let listed = &place.listing.messages;
        let at = listed.binary_search_by_key(&uid, |m| m.uid).ok();
        Some(Spare {
            place: n,
            no,
            date: at.and_then(|at| listed.get(at)?.date()).map(|d| d.unix),
            shown: shown(&place.listing, uid).cloned(),
        })
    }
}

/// Whether a piece stands for a message of one of the mailboxes that go to a place now.
fn is_of(piece: &Piece, place: &Place) -> bool {
    let mut mailboxes = place.sources.iter().map(|taken| taken.mailbox.id);
    mailboxes.any(|mailbox| mailbox == piece.origin.mailbox)
}

/// The flags of a message of a listing, if they are known.
fn shown(listing: &Listing, uid: u32) -> Option<&Flags> {
    let messages = &listing.messages;
    let at = messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
    listing.flags.get(messages.get(at)?.flags)
}
