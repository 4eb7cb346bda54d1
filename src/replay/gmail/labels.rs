//! Gives labels, and looks whether the messages are shown where they are to be.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Label, label};
use crate::archive::ledger::{Fate, Intent, LedgerRecord, Outcome};
use crate::contact::{Line, Trouble};
use crate::durable::step;
use crate::imap::TargetSession;
use crate::model::{ContentId, UidSet};
use crate::replay::ledger::PieceState;
use crate::replay::outbound::Outbound;
use crate::replay::recognise::Failed;
use crate::replay::report::What;
use crate::replay::run::Replay;
use crate::replay::settle::{Settled, Unsettled, Whence};

/// Messages of one STORE. Their intents are made durable together.
const AT_ONCE: usize = 200;

/// A copy on the target that can be given labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Copy {
    /// The mailbox of the target it was seen in.
    target: u32,
    uidvalidity: u32,
    uid: u32,
}

impl Replay<'_> {
    /// Reads back what was appended, and gives labels.
    pub(in crate::replay) async fn finish_gmail(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        let all = self.read_back(line).await?;
        self.give_labels(line).await?;
        if all {
            self.say_read_back().await?;
        }
        Ok(())
    }

    async fn give_labels(&mut self, line: &mut Line<'_, TargetSession>) -> Result<(), Failed> {
        let labels = std::mem::take(&mut self.gmail.labels);
        let copies = self.copies_to_label(&labels);
        let fates = self.fates(&labels, &copies);
        let mut groups: BTreeMap<(usize, u32, u32), Vec<(Outbound, u32)>> = BTreeMap::new();
        for out in labels {
            match copies.get(&out.item.content) {
                Some(copy) => {
                    let group = (out.place, copy.target, copy.uidvalidity);
                    groups.entry(group).or_default().push((out, copy.uid));
                }
                None => {
                    self.without_copy(&out, fates.get(&out.item.content).copied());
                }
            }
        }
        let mut by_place: BTreeMap<usize, Vec<Unsettled>> = BTreeMap::new();
        for ((place, target, uidvalidity), mut ones) in groups {
            while !ones.is_empty() {
                let rest = ones.split_off(ones.len().min(AT_ONCE));
                if self.stop.is_requested() {
                    self.row(place).left += ones.len() as u64;
                } else {
                    let given = self.give(line, place, (target, uidvalidity), ones).await?;
                    by_place.entry(place).or_default().extend(given);
                }
                ones = rest;
            }
        }
        for (place, given) in by_place {
            self.look_for_labelled(line, place, given).await?;
        }
        Ok(())
    }

    /// A copy of each of these, where there is one outside of Trash and Spam.
    fn copies_to_label(&self, labels: &[Outbound]) -> HashMap<ContentId, Copy> {
        let wanted: HashSet<ContentId> = labels.iter().map(|out| out.item.content).collect();
        let state = self.ledger.state();
        let is_aside = |target: u32| {
            let wire = state.wire(target);
            wire.is_some_and(|wire| self.gmail.aside.contains(wire))
        };
        let mut copies = HashMap::new();
        for piece in state.pieces().filter(|p| p.state == PieceState::There) {
            let seen = self.gmail.live.contains(&piece.no) || piece.no > self.gmail.before;
            if !seen || !wanted.contains(&piece.content) || is_aside(piece.target) {
                continue;
            }
            if let Some(uid) = piece.uid {
                let (target, uidvalidity) = (piece.target, piece.uidvalidity);
                copies.entry(piece.content).or_insert(Copy {
                    target,
                    uidvalidity,
                    uid,
                });
            }
        }
        copies
    }

    /// What became of those that have no copy there, as far as it is known.
    fn fates(
        &self,
        labels: &[Outbound],
        copies: &HashMap<ContentId, Copy>,
    ) -> HashMap<ContentId, What> {
        let contents = labels.iter().map(|out| out.item.content);
        let lacking: HashSet<ContentId> = contents.filter(|c| !copies.contains_key(c)).collect();
        let mut fates = HashMap::new();
        for piece in self.ledger.state().pieces() {
            let what = match piece.state {
                PieceState::Collapsed => What::Collapsed,
                PieceState::Doubtful => What::Doubtful,
                PieceState::Open | PieceState::There | PieceState::Removed => continue,
            };
            if lacking.contains(&piece.content) {
                fates.insert(piece.content, what);
            }
        }
        let not_sent = self.gmail.not_sent.iter();
        fates.extend(not_sent.map(|(content, what)| (*content, *what)));
        fates
    }

    /// A message whose one append did not make a copy on the target.
    fn without_copy(&mut self, out: &Outbound, what: Option<What>) {
        let Some(what) = what else {
            self.row(out.place).left += 1;
            return;
        };
        let row = self.row(out.place);
        match what {
            What::Lost => row.lost += 1,
            What::Collapsed => row.collapsed += 1,
            What::Doubtful => row.doubtful += 1,
            _ => row.refused += 1,
        }
        let reason = "as the same message in another mailbox".to_owned();
        let note = self.note_of(what, out, reason);
        self.report.note(note);
    }

    /// Gives messages of one mailbox the label of another. Gives those that are to be looked for.
    async fn give(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        place: usize,
        (from, uidvalidity): (u32, u32),
        ones: Vec<(Outbound, u32)>,
    ) -> Result<Vec<Unsettled>, Failed> {
        let wire = self.ledger.state().wire(from).map(str::to_owned);
        let (Some(wire), Some(to)) = (wire, self.places.get(place)) else {
            return Ok(Vec::new());
        };
        let (label, to) = (label(to), to.to.clone());
        let mut intents = Vec::with_capacity(ones.len());
        let mut given = Vec::with_capacity(ones.len());
        let uids: UidSet = ones.iter().map(|(_, uid)| *uid).collect();
        for (out, _) in ones {
            let no = self.ledger.state().next_piece();
            intents.push(LedgerRecord::Intent(Intent {
                no,
                target: to.number,
                uidvalidity: to.uidvalidity,
                // It may be shown there already, in the place of a collapsed one.
                uidnext: 0,
                content: out.item.content,
                origin: out.item.origin(),
                // Flags are the message's, whatever mailbox it is seen in: those of the mailbox
                // it was appended to. What changes at the source from now on counts here too.
                flags: self.wanted_flags(&out.item, place),
                moves: None,
            }));
            given.push(Unsettled {
                no,
                place,
                item: out.item,
                whence: Whence::Sent,
            });
        }
        // ORDER: the intents are durable before the target is told.
        self.write(intents).await?;
        let Label::Store(label) = label else {
            return Ok(given);
        };
        let labels = [label];
        let stored = line
            .run(async |session: &mut TargetSession| {
                let selected = session.select(&wire).await?;
                if selected.uidvalidity.unwrap_or(0) != uidvalidity {
                    return Ok(());
                }
                step("label begins");
                session.store_labels(&uids, &labels).await?;
                step("label answered");
                Ok(())
            })
            .await;
        match stored {
            // Whatever the answer: what counts is what is shown.
            Ok(()) => Ok(given),
            Err(Trouble::Answer(error)) => {
                self.refuse_labels(given, &error.to_string()).await?;
                Ok(Vec::new())
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    async fn look_for_labelled(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        place: usize,
        given: Vec<Unsettled>,
    ) -> Result<(), Failed> {
        let mut settled = Settled::default();
        let rest = self.look(line, given, false, &mut settled).await?;
        self.row(place).labelled += settled.there.len() as u64;
        let why = "the target took its label and does not show the message there";
        self.refuse_labels(rest, why).await
    }

    async fn refuse_labels(&mut self, ones: Vec<Unsettled>, why: &str) -> Result<(), Failed> {
        let refused = ones.iter().map(|one| {
            LedgerRecord::Outcome(Outcome {
                no: one.no,
                fate: Fate::Refused {
                    reason: why.to_owned(),
                },
            })
        });
        self.write(refused.collect()).await?;
        for one in ones {
            self.row(one.place).refused += 1;
            let out = Outbound {
                item: one.item,
                place: one.place,
                replaces: None,
            };
            let note = self.note_of(What::Refused, &out, why.to_owned());
            self.report.note(note);
        }
        Ok(())
    }
}
