//! What is appended, and what gets a label instead.

use std::collections::{HashMap, HashSet};

use super::rank;
use crate::contact::Line;
use crate::imap::TargetSession;
use crate::model::{ContentId, UidSet};
use crate::replay::assign::Assigned;
use crate::replay::ledger::PieceState;
use crate::replay::outbound::Outbound;
use crate::replay::recognise::Failed;
use crate::replay::report::What;
use crate::replay::run::{Replay, is_local};
use crate::replay::wanted::Item;

/// Copies of a content on the target.
#[derive(Debug, Default)]
struct Copies {
    /// Mailboxes of the target, by their numbers; those that are to be left are not among them.
    targets: Vec<u32>,
    /// One is in a mailbox whose messages may be in others, whether it is to stay there or not.
    open: bool,
    /// One is in Trash or Spam.
    aside: bool,
    /// Places that it is to leave.
    spare: Vec<usize>,
    /// Gmail shows another message in its place.
    collapsed: bool,
}

const ONE_COPY: &str = "Gmail keeps one copy of a message in a mailbox";
const ELSEWHERE: &str = "it lies in another mailbox too, and Gmail would take it away from there";
const COLLAPSED: &str = "Gmail shows another message with its Message-ID instead";

impl Replay<'_> {
    /// Takes note of a planned place: pieces that are seen there, and those that nobody has looked
    /// at since an earlier run sent them.
    pub(in crate::replay) fn gmail_planned(
        &mut self,
        n: usize,
        items: &[Item],
        assigned: &Assigned,
    ) {
        let Some(place) = self.places.get(n).filter(|_| self.is_gmail()) else {
            return;
        };
        let listed: HashSet<u32> = place.listing.messages.iter().map(|m| m.uid).collect();
        let uidvalidity = place.to.uidvalidity;
        let state = self.ledger.state();
        let live = state.pieces_in(place.to.number).filter(|p| {
            p.state == PieceState::There
                && p.uidvalidity == uidvalidity
                && p.uid.is_some_and(|uid| listed.contains(&uid))
        });
        let live: Vec<u64> = live.map(|p| p.no).collect();
        let read_back = state.read_back();
        // Flags are known of what mailstow has sent; the rest was recognised.
        let is_unseen =
            |no: u64| no > read_back && state.piece(no).is_some_and(|p| p.flags.is_some());
        let unseen = assigned.there.iter().filter(|(_, no)| is_unseen(*no));
        let unseen = unseen.filter_map(|(item, no)| Some((*no, n, items.get(*item)?.clone())));
        let unseen: Vec<_> = unseen.collect();
        drop(state);
        self.gmail.live.extend(live);
        self.gmail.unseen.extend(unseen);
    }

    /// Looks for copies in mailboxes that are not replayed this time: they need a label only.
    pub(in crate::replay) async fn look_elsewhere(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        if self.outbound.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<ContentId> = self.outbound.iter().map(|o| o.item.content).collect();
        let here: HashSet<u32> = self.places.iter().map(|p| p.to.number).collect();
        let mut by_target: HashMap<(u32, u32), Vec<(u64, u32)>> = HashMap::new();
        {
            let state = self.ledger.state();
            let pieces = state.pieces().filter(|p| p.state == PieceState::There);
            for piece in pieces.filter(|p| !here.contains(&p.target)) {
                if let Some(uid) = piece.uid.filter(|_| wanted.contains(&piece.content)) {
                    let of = by_target.entry((piece.target, piece.uidvalidity));
                    of.or_default().push((piece.no, uid));
                }
            }
        }
        for ((target, uidvalidity), pieces) in by_target {
            let wire = self.ledger.state().wire(target).map(str::to_owned);
            let Some(wire) = wire else { continue };
            let uids: UidSet = pieces.iter().map(|(_, uid)| *uid).collect();
            let listed = line
                .run(async |session: &mut TargetSession| {
                    let session = session.reading();
                    let examined = session.examine(&wire).await?;
                    if examined.uidvalidity.unwrap_or(0) != uidvalidity || examined.exists == 0 {
                        return Ok(UidSet::default());
                    }
                    let listing = session.list_uids(&uids).await?;
                    Ok(listing.messages.iter().map(|m| m.uid).collect())
                })
                .await;
            let listed = match listed {
                Ok(listed) => listed,
                // It may be gone.
                Err(trouble) if is_local(&trouble) => continue,
                Err(trouble) => return Err(trouble.into()),
            };
            let live = pieces.iter().filter(|(_, uid)| listed.contains(*uid));
            self.gmail.live.extend(live.map(|(no, _)| *no));
        }
        Ok(())
    }

    /// Keeps one append of each content. What else there is of it becomes labels, or cannot be:
    /// that is said at once. What can be moved is left to be moved; a second call takes what could
    /// not.
    pub(in crate::replay) fn gather(&mut self) {
        let mut all = std::mem::take(&mut self.outbound);
        if all.is_empty() {
            return;
        }
        let order = |out: &Outbound| {
            let place = self.places.get(out.place);
            (self.is_aside(out.place), place.map(rank), out.place)
        };
        all.sort_by_cached_key(order);
        let mut copies = self.copies(&all);
        let (mut rest, mut labels, mut collapsed) = (Vec::new(), Vec::new(), Vec::new());
        for out in all {
            let aside = self.is_aside(out.place);
            let number = self.places.get(out.place).map_or(0, |p| p.to.number);
            let of = copies.entry(out.item.content).or_default();
            let stays = of
                .targets
                .iter()
                .any(|target| !self.is_aside_number(*target));
            let moves = of.spare.iter().position(|place| *place != out.place);
            if let Some(at) = moves.filter(|_| !(aside && stays)) {
                of.spare.swap_remove(at);
                rest.push(out);
            } else if of.targets.contains(&number) {
                collapsed.push((out, ONE_COPY));
                continue;
            } else if aside {
                if stays {
                    collapsed.push((out, ELSEWHERE));
                    continue;
                }
                if of.aside {
                    collapsed.push((out, ELSEWHERE));
                    continue;
                }
                of.aside = true;
                rest.push(out);
            } else if of.open {
                labels.push(out);
            } else if of.collapsed {
                collapsed.push((out, COLLAPSED));
                continue;
            } else {
                of.open = true;
                rest.push(out);
            }
            of.targets.push(number);
        }
        self.outbound = rest;
        self.gmail.labels.extend(labels);
        for (out, reason) in collapsed {
            self.row(out.place).collapsed += 1;
            let note = self.note_of(What::Collapsed, &out, reason.to_owned());
            self.report.note(note);
        }
    }

    fn is_aside_number(&self, target: u32) -> bool {
        let state = self.ledger.state();
        let wire = state.wire(target);
        wire.is_some_and(|wire| self.gmail.aside.contains(wire))
    }

    /// What the target has of these contents.
    fn copies(&self, all: &[Outbound]) -> HashMap<ContentId, Copies> {
        let contents = all.iter().map(|out| (out.item.content, Copies::default()));
        let mut copies: HashMap<ContentId, Copies> = contents.collect();
        let spare: HashMap<u64, usize> = self.spare.iter().map(|s| (s.no, s.place)).collect();
        let state = self.ledger.state();
        for piece in state.pieces() {
            let Some(of) = copies.get_mut(&piece.content) else {
                continue;
            };
            let seen = self.gmail.live.contains(&piece.no) || piece.no > self.gmail.before;
            match piece.state {
                PieceState::Collapsed => of.collapsed = true,
                PieceState::There if seen && piece.uid.is_some() => {
                    let wire = state.wire(piece.target);
                    let aside = wire.is_some_and(|wire| self.gmail.aside.contains(wire));
                    if aside {
                        of.aside = true;
                    } else {
                        of.open = true;
                    }
                    match spare.get(&piece.no) {
                        Some(place) => of.spare.push(*place),
                        None => of.targets.push(piece.target),
                    }
                }
                _ => {}
            }
        }
        copies
    }

    /// What a dry run would label.
    pub(in crate::replay) fn count_labels(&mut self) {
        for out in std::mem::take(&mut self.gmail.labels) {
            self.row(out.place).labelled += 1;
        }
    }

    /// Messages whose labels were not reached.
    pub(in crate::replay) fn leave_labels(&mut self) {
        for out in std::mem::take(&mut self.gmail.labels) {
            self.row(out.place).left += 1;
        }
    }
}
