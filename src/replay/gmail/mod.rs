//! Gmail as a target. Its mailboxes are labels of one store: a message is appended once, and what
//! lies in other mailboxes as well gets their labels (X-GM-EXT-1).
//!
//! `gather` decides before the start what is appended and what is labelled, `twins` names what
//! Gmail may take for one message, `read_back` looks afterwards for what was appended, and
//! `labels` gives the labels.
//!
//! QUIRK(Gmail, 2024): a second APPEND of a Message-ID is answered OK with a UID and thrown away;
//! the message that is held is shown in that mailbox as well. So what was appended is read back,
//! and what is not what is shown is *collapsed*.
//!
//! QUIRK(Gmail, 2009): a message that gets into Trash or Spam leaves all other mailboxes.

mod gather;
mod labels;
mod read_back;
mod twins;

use std::collections::{HashMap, HashSet};

use super::assign::Assigned;
use super::ledger::{LedgerState, PieceState};
use super::outbound::Outbound;
use super::recognise::Failed;
use super::report::What;
use super::run::Replay;
use super::survey::Place;
use super::wanted::Item;
use crate::contact::Line;
use crate::imap::{TargetSession, Vendor};
use crate::model::ContentId;

/// What was not sent since Gmail has its one copy of it elsewhere is no gap: nothing is missing
/// there but another place for it.
pub(super) fn kept_elsewhere(
    ledger: &LedgerState,
    items: &[Item],
    assigned: &mut Assigned,
    is_refused: impl Fn(usize) -> bool,
) {
    let content = |item: &usize| items.get(*item).map(|item| item.content);
    let missing: HashSet<ContentId> = assigned
        .missing
        .iter()
        .filter_map(|(item, _)| content(item))
        .collect();
    let pieces = ledger.pieces();
    let kept = pieces.filter(|p| p.state == PieceState::There && missing.contains(&p.content));
    let kept: HashSet<ContentId> = kept.map(|p| p.content).collect();
    assigned.missing.retain(|(item, _)| {
        let is_kept = content(item).is_some_and(|c| kept.contains(&c)) && !is_refused(*item);
        if is_kept {
            assigned.collapsed.push(*item);
        }
        !is_kept
    });
}

/// What there is to know while a replay to Gmail is under way.
#[derive(Debug, Default)]
pub(super) struct Gmail {
    /// Wire names of mailboxes whose messages are in no other one: Trash and Spam.
    pub(super) aside: HashSet<String>,
    /// Pieces that were seen on the target when the run began.
    live: HashSet<u64>,
    /// The last piece there was when sending began; later ones are of this run.
    before: u64,
    /// Messages that are to be shown in a further mailbox.
    labels: Vec<Outbound>,
    /// Contents of which others have the Message-ID.
    twins: HashSet<ContentId>,
    /// Messages this run appended, with their places.
    sent: Vec<(usize, Item)>,
    /// Pieces of an earlier run that nobody has read back, with their places.
    unseen: Vec<(u64, usize, Item)>,
    /// Contents that this run could not append.
    not_sent: HashMap<ContentId, What>,
    /// How many messages each place shows in the place of collapsed ones.
    instead: HashMap<usize, u64>,
}

/// How a message gets into a further mailbox.
#[derive(Debug, PartialEq, Eq)]
enum Label {
    /// By storing this label.
    Store(String),
    /// By itself: it shows all mail.
    Shown,
}

fn label(place: &Place) -> Label {
    if place.to.wire.eq_ignore_ascii_case("INBOX") {
        return Label::Store("\\Inbox".to_owned());
    }
    match place.shown_as.as_deref() {
        Some("\\All") => Label::Shown,
        Some("\\Sent") => Label::Store("\\Sent".to_owned()),
        Some("\\Drafts") => Label::Store("\\Draft".to_owned()),
        Some("\\Flagged") => Label::Store("\\Starred".to_owned()),
        Some("\\Important") => Label::Store("\\Important".to_owned()),
        _ => Label::Store(place.to.wire.clone()),
    }
}

/// Where one of several placements is appended: the lowest first.
///
/// QUIRK(Gmail API, 2020): its labels for sent mail and drafts cannot be given. Whether IMAP is as
/// strict is not known, so a message that lies there is appended there.
fn rank(place: &Place) -> u8 {
    match place.shown_as.as_deref() {
        Some("\\Drafts") => 0,
        Some("\\Sent") => 1,
        Some("\\Flagged" | "\\Important") => 3,
        Some("\\All") => 4,
        _ => 2,
    }
}

impl Replay<'_> {
    pub(super) fn is_gmail(&self) -> bool {
        self.habits.vendor == Vendor::Gmail
    }

    /// Whether messages of this mailbox are in no other one.
    fn is_aside(&self, place: usize) -> bool {
        let place = self.places.get(place);
        place.is_some_and(|p| self.gmail.aside.contains(&p.to.wire))
    }

    /// Decides what is appended and what is labelled, and names what Gmail may collapse.
    pub(super) async fn prepare_gmail(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        if self.request.manner.deleted_too {
            let note =
                "Gmail removes messages marked as deleted at once, so that mark stays behind";
            self.report.notes.push(note.to_owned());
        }
        self.look_elsewhere(line).await?;
        self.gmail.before = self.ledger.state().last_piece();
        self.gather();
        self.name_twins().await
    }

    /// Takes note of what became of a message that was to be appended.
    pub(super) fn gmail_sent(&mut self, out: &Outbound, refused: Option<What>) {
        if !self.is_gmail() {
            return;
        }
        match refused {
            None => self.gmail.sent.push((out.place, out.item.clone())),
            Some(what) => {
                self.gmail.not_sent.insert(out.item.content, what);
            }
        }
    }

    /// Of what mailboxes show besides what was brought there: other copies, and all mail.
    pub(super) fn explain_shown(&mut self) {
        let appended: u64 = self
            .places
            .iter()
            .filter(|p| label(p) != Label::Shown && !self.gmail.aside.contains(&p.to.wire))
            .map(|p| p.row.appended)
            .sum();
        for (n, place) in self.places.iter_mut().enumerate() {
            let more = place.row.elsewhere().unwrap_or(0);
            let mut shown = self.gmail.instead.get(&n).copied().unwrap_or(0);
            if label(place) == Label::Shown {
                shown += appended;
            }
            place.row.shown = shown.min(u64::try_from(more).unwrap_or(0));
        }
    }
}
