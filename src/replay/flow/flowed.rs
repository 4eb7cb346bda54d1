//! What has flowed, in the books of the replay that follows: it counts as sent by it.

use std::collections::{BTreeSet, HashSet};

use crate::replay::append::Head;
use crate::replay::assign::Assigned;
use crate::replay::recognise::Recognised;
use crate::replay::report::{MailboxRow, MessageNote, ReplayReport, What};
use crate::replay::run::Replay;
use crate::replay::wanted::Item;

/// What a replay has to know of the flow before it.
#[derive(Debug)]
pub(in crate::replay) struct Flowed {
    /// Pieces from this number on were sent by the flow.
    first: u64,
    places: Vec<Before>,
    /// Of messages that are on the target.
    messages: Vec<MessageNote>,
    noted: Vec<(What, u64)>,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// Flag sets the target has accepted.
    pub(in crate::replay) accepted: HashSet<Head>,
}

/// A mailbox of the target as it was before the flow.
#[derive(Debug)]
struct Before {
    wire: String,
    row: MailboxRow,
}

/// What the replay that follows does not find out by itself.
const KEPT: [What; 4] = [
    What::Altered,
    What::Repaired,
    What::WithoutKeywords,
    What::WithoutDate,
];

impl Flowed {
    pub(super) fn of(flow: Replay<'_>, first: u64) -> Self {
        let before = |place: crate::replay::survey::Place| Before {
            wire: place.to.wire,
            row: place.row,
        };
        let mut report = flow.report;
        report.messages.retain(|note| KEPT.contains(&note.what));
        report.noted.retain(|(what, _)| KEPT.contains(what));
        Self {
            first,
            places: flow.places.into_iter().map(before).collect(),
            messages: report.messages,
            noted: report.noted,
            notes: report.notes,
            warnings: report.warnings,
            // The places of another run may be others.
            accepted: (flow.accepted.into_iter())
                .filter(Head::holds_everywhere)
                .collect(),
        }
    }

    /// Whether the flow sent this piece.
    pub(in crate::replay) const fn has_sent(&self, no: u64) -> bool {
        no >= self.first
    }

    /// Books what was there before the flow as what was there before the replay.
    pub(in crate::replay) fn book_rows<'r>(
        &self,
        rows: impl Iterator<Item = (&'r str, &'r mut MailboxRow)>,
    ) {
        for (wire, row) in rows {
            let Some(Before { row: before, .. }) = self.places.iter().find(|b| b.wire == wire)
            else {
                continue;
            };
            row.created |= before.created;
            if before.before.is_some() {
                row.before = before.before;
            }
            let new = before.notes.iter().filter(|n| !row.notes.contains(n));
            let new: Vec<String> = new.cloned().collect();
            row.notes.extend(new);
        }
    }

    /// Adds what was noted of messages.
    pub(in crate::replay) fn book_notes(self, report: &mut ReplayReport) {
        let own: BTreeSet<(What, String, String)> = report
            .messages
            .iter()
            .map(|n| (n.what, n.mailbox.clone(), n.remote.clone()))
            .collect();
        for (what, count) in self.noted {
            let named = self.messages.iter().filter(|n| n.what == what).count() as u64;
            let more = count.saturating_sub(named);
            if more > 0 {
                match report.noted.iter_mut().find(|(w, _)| *w == what) {
                    Some((_, count)) => *count += more,
                    None => report.noted.push((what, more)),
                }
            }
        }
        for note in self.messages {
            // What was sent once more after a lost connection is told by the replay.
            if !own.contains(&(note.what, note.mailbox.clone(), note.remote.clone())) {
                report.note(note);
            }
        }
        report.notes.extend(self.notes);
        report.warnings.extend(self.warnings);
    }
}

impl Replay<'_> {
    /// What was found where the flow put it was sent by this run.
    pub(in crate::replay) fn book_flowed(
        &mut self,
        n: usize,
        items: &[Item],
        assigned: &Assigned,
        recognised: &Recognised,
    ) {
        let Some(flowed) = &self.flowed else {
            return;
        };
        let found: HashSet<usize> = recognised.found.iter().map(|(item, _)| *item).collect();
        let looked_for = assigned.open.iter().chain(&assigned.renumbered);
        let ours = (assigned.there.iter())
            .chain(&assigned.unlocated)
            .chain(looked_for.filter(|(item, _)| found.contains(item)))
            .filter(|(_, no)| flowed.has_sent(*no))
            .filter_map(|(item, _)| items.get(*item));
        let sum = |(messages, bytes), item: &Item| (messages + 1, bytes + item.len);
        let there: (u64, u64) = ours.fold((0, 0), sum);
        // The target said it has these, and does not show them: they are missed at the end.
        let vanished = (assigned.removed.iter())
            .filter(|(_, no)| flowed.has_sent(*no))
            .filter_map(|(item, _)| items.get(*item));
        let vanished: (u64, u64) = vanished.fold((0, 0), sum);
        let row = self.row(n);
        row.there = row.there.saturating_sub(there.0);
        row.removed = row.removed.saturating_sub(vanished.0);
        row.appended += there.0 + vanished.0;
        row.bytes += there.1 + vanished.1;
    }
}
