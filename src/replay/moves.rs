//! Moves: what was moved at the source since is moved on the target, where mailstow itself put it.

use std::collections::HashMap;

use super::outbound::Outbound;
use super::recognise::Failed;
use super::run::{Replay, is_local};
use super::settle::{Unsettled, Whence};
use super::touch::{FlagVerdict, Reflag, fallback, judge};
use crate::archive::ledger::{Fate, Intent, LedgerRecord, Outcome};
use crate::contact::{Line, Trouble};
use crate::imap::{AppendUid, ImapError, TargetSession};
use crate::model::{ContentId, Flags, UidSet};

/// A piece that no item asks for any more.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    pub(super) place: usize,
    pub(super) no: u64,
    /// INTERNALDATE on the target, in Unix seconds.
    pub(super) date: Option<i64>,
    /// Its flags there, if they are known.
    pub(super) shown: Option<Flags>,
}

/// The copy that becomes this one: rather the one of its date.
fn take_from(spare: &mut Vec<Spare>, out: &Outbound) -> Option<Spare> {
    let elsewhere = |one: &Spare| one.place != out.place;
    let date = out.item.date.map(|date| date.unix);
    let same = spare.iter().position(|s| elsewhere(s) && s.date == date);
    let at = same.or_else(|| spare.iter().position(elsewhere))?;
    Some(spare.swap_remove(at))
}

/// How a move went.
enum Moved {
    Yes,
    No,
    /// The target cannot.
    Never,
}

/// What the target said to it.
enum Said {
    /// It does not know how.
    Unable,
    /// The mailbox it would go from is another one by now.
    Renumbered,
    Moved(Option<AppendUid>),
}

impl Replay<'_> {
    /// Looks what became of moves that an earlier run did not see the end of. Where the message
    /// still is where it was, nothing has happened: unlike an APPEND, a move that is asked for
    /// twice is done once. The others are looked for as any message is.
    pub(super) async fn look_after_moves(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        let mut records = Vec::new();
        for (no, wire, uidvalidity, uid) in self.open_moves() {
            let is_there = line
                .run(async |session: &mut TargetSession| {
                    let session = session.reading();
                    let examined = session.examine(&wire).await?;
                    if examined.uidvalidity.unwrap_or(0) != uidvalidity || examined.exists == 0 {
                        return Ok(false);
                    }
                    let uids = UidSet::of_ranges([(uid, uid)]);
                    Ok(!session.list_uids(&uids).await?.messages.is_empty())
                })
                .await;
            match is_there {
                Ok(true) => records.push(LedgerRecord::Outcome(Outcome {
                    no,
                    fate: Fate::Absent,
                })),
                Ok(false) => {}
                Err(trouble) if is_local(&trouble) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
        self.write(records).await
    }

    /// Pieces that were being moved, and where they were before: mailbox, UIDVALIDITY and UID.
    fn open_moves(&self) -> Vec<(u64, String, u32, u32)> {
        let state = self.ledger.state();
        let open = state.pieces().filter(|p| p.is_open());
        open.filter_map(|piece| {
            let old = state.piece(piece.moves?)?;
            let wire = state.wire(old.target)?.to_owned();
            Some((piece.no, wire, old.uidvalidity, old.uid?))
        })
        .collect()
    }

    /// Repeats moves of the source: what is missing in one mailbox and left over in another is
    /// moved there, and is no longer to be sent.
    pub(super) async fn move_all(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Failed> {
        let mut spare: HashMap<ContentId, Vec<Spare>> = HashMap::new();
        for one in std::mem::take(&mut self.spare) {
            let content = self.ledger.state().piece(one.no).map(|p| p.content);
            if let Some(content) = content {
                spare.entry(content).or_default().push(one);
            }
        }
        if spare.is_empty() {
            return Ok(());
        }
        let mut outbound = std::mem::take(&mut self.outbound).into_iter();
        let mut may_move = true;
        while let Some(out) = outbound.next() {
            let from = spare.get_mut(&out.item.content);
            let from = from.and_then(|spare| take_from(spare, &out));
            let Some(from) = from.filter(|_| may_move && !self.stop.is_requested()) else {
                self.outbound.push(out);
                continue;
            };
            match self.move_one(line, &out, &from).await {
                Ok(Moved::Yes) => {}
                Ok(Moved::No) => self.outbound.push(out),
                Ok(Moved::Never) => {
                    may_move = false;
                    self.outbound.push(out);
                }
                Err(failed) => {
                    self.outbound.push(out);
                    self.outbound.extend(outbound);
                    return Err(failed);
                }
            }
        }
        Ok(())
    }

    async fn move_one(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        out: &Outbound,
        spare: &Spare,
    ) -> Result<Moved, Failed> {
        let (from, old) = (spare.place, spare.no);
        let (Some((from_wire, from_uv)), Some(to)) = (
            self.wire_of(from),
            self.places.get(out.place).map(|p| p.to.clone()),
        ) else {
            return Ok(Moved::No);
        };
        let (no, uid) = {
            let mut state = self.ledger.state();
            let uid = state.piece(old).and_then(|p| p.uid);
            (state.next_piece(), uid)
        };
        let Some(uid) = uid else {
            return Ok(Moved::No);
        };
        let intent = LedgerRecord::Intent(Intent {
            no,
            target: to.number,
            uidvalidity: to.uidvalidity,
            uidnext: to.uidnext,
            content: out.item.content,
            origin: out.item.origin(),
            flags: Flags::default(),
            moves: Some(old),
        });
        // ORDER: the intent is durable before the target is told.
        self.write(vec![intent]).await?;
        let said = line
            .try_once(async |session: &mut TargetSession| {
                if !session.capabilities().has("MOVE") {
                    return Ok(Said::Unable);
                }
                let selected = session.select(&from_wire).await?;
                if selected.uidvalidity.unwrap_or(0) != from_uv {
                    return Ok(Said::Renumbered);
                }
                crate::durable::step("move begins");
                let at = session.move_message(uid, &to.wire).await?;
                crate::durable::step("move answered");
                Ok(Said::Moved(at))
            })
            .await;
        let outcome = |fate| vec![LedgerRecord::Outcome(Outcome { no, fate })];
        let (moved, fate) = match said {
            Ok(Said::Moved(at)) => {
                let at = at.filter(|at| at.uidvalidity == to.uidvalidity);
                let at = at.and_then(|at| Some((at.uidvalidity, *at.uids.first()?)));
                let Some(at) = at else {
                    // OK is also the answer where the message was gone before.
                    self.unsettled.push(Unsettled {
                        no,
                        place: out.place,
                        item: out.item.clone(),
                        whence: Whence::Moved(from),
                    });
                    return Ok(Moved::Yes);
                };
                (Moved::Yes, Fate::There { at: Some(at) })
            }
            Ok(Said::Unable) => (Moved::Never, Fate::Absent),
            Ok(Said::Renumbered) => (Moved::No, Fate::Absent),
            Err(Trouble::Answer(
                ImapError::No { .. } | ImapError::Bad { .. } | ImapError::MailboxGone { .. },
            )) => (Moved::No, Fate::Absent),
            // Nobody knows; it is looked for at the end, and the next run looks after it.
            Err(Trouble::Answer(_)) => {
                self.unsettled.push(Unsettled {
                    no,
                    place: out.place,
                    item: out.item.clone(),
                    whence: Whence::Moved(from),
                });
                return Ok(Moved::Yes);
            }
            Err(trouble) => return Err(trouble.into()),
        };
        self.write(outcome(fate)).await?;
        if matches!(moved, Moved::Yes) {
            self.row(out.place).moved_in += 1;
            self.row(from).moved_out += 1;
            let agreed = self.plan_flags_of_moved(no, out, spare);
            self.write(agreed.into_iter().collect()).await?;
        }
        Ok(moved)
    }

    /// Flags that changed at the source as well as the mailbox.
    fn plan_flags_of_moved(
        &mut self,
        no: u64,
        out: &Outbound,
        spare: &Spare,
    ) -> Option<LedgerRecord> {
        let flags = self.wanted_flags(&out.item, out.place);
        let shown = spare.shown.as_ref()?;
        let (verdict, uid) = {
            let state = self.ledger.state();
            let piece = state.piece(no)?;
            let last = state.flags(piece.flags?)?;
            let asked = piece.asked.and_then(|id| state.flags(id)).unwrap_or(last);
            (judge(last, asked, &flags, shown), piece.uid?)
        };
        let place = out.place;
        match verdict {
            FlagVerdict::Same => {}
            FlagVerdict::Agreed => {
                let no = vec![no];
                return Some(LedgerRecord::Flagged {
                    no,
                    flags,
                    asked: None,
                });
            }
            FlagVerdict::Set => self.reflags.push(Reflag {
                place,
                no,
                uid,
                fallback: fallback(&flags, shown),
                flags,
            }),
            FlagVerdict::Theirs => self.row(place).flags_kept += 1,
        }
        None
    }

    pub(super) async fn write(&self, records: Vec<LedgerRecord>) -> Result<(), Failed> {
        let committed = self.ledger.commit(records).await;
        committed.map_err(|e| Failed::Here(e.into()))
    }
}
