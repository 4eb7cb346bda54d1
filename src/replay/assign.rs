//! Which messages of the archive the ledger knows on the target, and which are missing. Pure.
//!
//! Multisets: k placements of one content make k messages, and a piece of the ledger answers for
//! one of them.

use std::collections::{HashMap, HashSet};

use super::ladder::is_near;
use super::ledger::{OriginKey, Piece, PieceState};
use super::wanted::Item;
use crate::model::{ContentId, Listing, UidSet};

/// What to do about messages that need a person's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resend {
    /// Those that were there and are no longer.
    pub removed: bool,
    /// Those of which nobody can tell whether they are there.
    pub doubtful: bool,
}

/// Where each item stands. Items by their index, pieces by their number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The target has it, and this piece is it.
    pub(super) there: Vec<(usize, u64)>,
    /// The target has it as another copy.
    pub(super) collapsed: Vec<usize>,
    /// It was there, and is not any more.
    pub(super) removed: Vec<(usize, u64)>,
    /// Nobody can tell.
    pub(super) doubtful: Vec<(usize, u64)>,
    /// It was being sent when an earlier run ended.
    pub(super) open: Vec<(usize, u64)>,
    /// The target said it has it, and its UID is not known, or what is listed under it has a
    /// size that no server makes of it.
    pub(super) unlocated: Vec<(usize, u64)>,
    /// It was there under another UIDVALIDITY.
    pub(super) renumbered: Vec<(usize, u64)>,
    /// The ledger knows nothing of it, or a person wants it sent again in the place of this piece.
    pub(super) missing: Vec<(usize, Option<u64>)>,
    /// Pieces on the target that no item asks for.
    pub(super) spare: Vec<u64>,
    /// UIDs of the listing that pieces answer for.
    pub(super) claimed: UidSet,
}

/// Sets items against the pieces of one mailbox of the target.
///
/// `listing` is what is in it now, `uidvalidity` its UIDVALIDITY.
#[must_use]
pub(super) fn assign(
    items: &[Item],
    pieces: &[Piece],
    listing: &Listing,
    uidvalidity: u32,
    resend: Resend,
) -> Assigned {
    let mut assigned = Assigned::default();
    let listed: HashMap<u32, u32> = listing.messages.iter().map(|m| (m.uid, m.size)).collect();
    let mut elsewhere: HashSet<u64> = HashSet::new();
    let mut claimed: Vec<u32> = Vec::new();
    for (item, piece) in paired(items, pieces, &mut assigned) {
        let Some(piece) = piece else {
            assigned.missing.push((item, None));
            continue;
        };
        let pair = (item, piece.no);
        match piece.state {
            PieceState::Open => assigned.open.push(pair),
            PieceState::Collapsed => assigned.collapsed.push(item),
            PieceState::Doubtful if resend.doubtful => {
                assigned.missing.push((item, Some(piece.no)));
            }
            PieceState::Doubtful => assigned.doubtful.push(pair),
            PieceState::There if piece.uidvalidity != uidvalidity => {
                assigned.renumbered.push(pair);
            }
            // It was removed before the numbers changed.
            PieceState::Removed if piece.uidvalidity != uidvalidity => {
                if resend.removed {
                    assigned.missing.push((item, Some(piece.no)));
                } else {
                    assigned.removed.push(pair);
                }
            }
            PieceState::There | PieceState::Removed => match piece.uid {
                None => assigned.unlocated.push(pair),
                Some(uid) if listed.contains_key(&uid) => {
                    let size = listed.get(&uid).copied().unwrap_or(0);
                    let len = items.get(item).map_or(0, |item| item.len);
                    // A server that names the wrong UIDs must not make us change or move
                    // somebody's mail.
                    if size == 0 || is_near(len, size.into()) {
                        assigned.there.push(pair);
                    } else {
                        elsewhere.insert(piece.no);
                        assigned.unlocated.push(pair);
                    }
                }
                Some(_) if resend.removed => assigned.missing.push((item, Some(piece.no))),
                Some(_) => assigned.removed.push(pair),
            },
        }
    }
    let known = |p: &&Piece| p.uidvalidity == uidvalidity && !elsewhere.contains(&p.no);
    for piece in pieces.iter().filter(known) {
        claimed.extend(piece.uid.filter(|uid| listed.contains_key(uid)));
    }
    assigned.claimed = UidSet::of_ranges(claimed.into_iter().map(|uid| (uid, uid)));
    assigned
        .spare
        .retain(|no| is_there(pieces, *no, uidvalidity, &listed));
    assigned
}

fn is_there(pieces: &[Piece], no: u64, uidvalidity: u32, listed: &HashMap<u32, u32>) -> bool {
    let at = pieces.binary_search_by_key(&no, |p| p.no).ok();
    at.and_then(|at| pieces.get(at)).is_some_and(|p| {
        p.state == PieceState::There
            && p.uidvalidity == uidvalidity
            && p.uid.is_some_and(|uid| listed.contains_key(&uid))
    })
}

/// Each item with its piece: the one of its own placement, else one of its content.
fn paired<'p>(
    items: &[Item],
    pieces: &'p [Piece],
    assigned: &mut Assigned,
) -> Vec<(usize, Option<&'p Piece>)> {
    let mut by_origin: HashMap<(OriginKey, ContentId), Vec<&Piece>> = HashMap::new();
    // The newest last: an older one was given up.
    for piece in pieces {
        let key = (piece.origin, piece.content);
        by_origin.entry(key).or_default().push(piece);
    }
    let mut paired: Vec<(usize, Option<&Piece>)> = Vec::with_capacity(items.len());
    let mut taken: HashSet<u64> = HashSet::new();
    for (n, item) in items.iter().enumerate() {
        let piece = by_origin
            .get_mut(&(item.key(), item.content))
            .and_then(Vec::pop);
        taken.extend(piece.map(|p| p.no));
        paired.push((n, piece));
    }
    let mut by_content: HashMap<ContentId, Vec<&Piece>> = HashMap::new();
    for piece in pieces.iter().filter(|p| !taken.contains(&p.no)) {
        by_content.entry(piece.content).or_default().push(piece);
    }
    for (n, slot) in paired.iter_mut().filter(|(_, piece)| piece.is_none()) {
        let content = items.get(*n).map(|item| item.content);
        *slot = content
            .and_then(|c| by_content.get_mut(&c))
            .and_then(Vec::pop);
        taken.extend(slot.map(|p| p.no));
    }
    let spare = pieces.iter().filter(|p| !taken.contains(&p.no));
    assigned.spare = spare.map(|p| p.no).collect();
    paired
}

#[cfg(test)]
mod tests;
