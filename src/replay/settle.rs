//! Intents whose outcome nobody knows: the target is looked at until it is known.
//!
//! A server may store an APPEND seconds after the connection was cut, so "it is not there" is
//! believed only after two looks with time in between (design.md §7).

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::PieceState;
use super::recognise::{Failed, Recognised, Search, Whole, is_answer};
use super::run::Replay;
use super::survey::Place;
use super::wanted::Item;
use crate::archive::ledger::{Fate, LedgerRecord, Outcome};
use crate::contact::{Line, open};
use crate::imap::TargetSession;
use crate::model::UidSet;

/// Between the two looks.
const APART: Duration = Duration::from_secs(30);

/// A piece whose outcome is not known.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) no: u64,
    pub(super) place: usize,
    pub(super) item: Item,
    pub(super) whence: Whence,
}

/// How an unsettled piece came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whence {
    /// An earlier run left it.
    Before,
    /// It was sent in this run.
    Sent,
    /// It was moved in this run, from this place.
    Moved(usize),
}

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// On the target.
    pub(super) there: Vec<Unsettled>,
    /// Not on the target.
    pub(super) absent: Vec<Unsettled>,
    /// Nobody can tell, and why.
    pub(super) doubtful: Vec<(Unsettled, String)>,
    /// Not looked at for long enough; the next run goes on.
    pub(super) open: Vec<Unsettled>,
}

impl Replay<'_> {
    /// Looks for all of them, twice if need be, and records what it finds.
    pub(super) async fn settle(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        unsettled: Vec<Unsettled>,
    ) -> Result<Settled, Failed> {
        let mut settled = Settled::default();
        if unsettled.is_empty() {
            return Ok(settled);
        }
        let rest = self.look(line, unsettled, false, &mut settled).await?;
        if rest.is_empty() {
            return Ok(settled);
        }
        self.say_waiting(rest.len());
        tokio::select! {
            () = tokio::time::sleep(apart()) => {}
            () = self.stop.requested() => {
                settled.open = rest;
                return Ok(settled);
            }
        }
        let rest = self.look(line, rest, true, &mut settled).await?;
        settled.open.extend(rest);
        Ok(settled)
    }

    /// One look; gives those that are not found. At the last one they are absent or doubtful.
    pub(super) async fn look(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        unsettled: Vec<Unsettled>,
        last: bool,
        settled: &mut Settled,
    ) -> Result<Vec<Unsettled>, Failed> {
        let mut rest = Vec::new();
        let mut by_place: BTreeMap<usize, Vec<Unsettled>> = BTreeMap::new();
        for one in unsettled {
            by_place.entry(one.place).or_default().push(one);
        }
        for (place, ones) in by_place {
            let mut looked = self.look_in(line, place, &ones).await?;
            if looked.renumbered {
                // Which of the messages are the others' is not known now; the next run looks
                // for all of them together.
                settled.open.extend(ones);
                continue;
            }
            let mut records = std::mem::take(&mut looked.located);
            for (n, one) in ones.into_iter().enumerate() {
                let found = looked.found.iter().find(|(item, _)| *item == n);
                let fate = if let Some((_, uid)) = found {
                    Fate::There {
                        at: Some((looked.uidvalidity, *uid)),
                    }
                } else if !last {
                    rest.push(one);
                    continue;
                } else if let Some(reason) = looked.doubt(n, one.no, self) {
                    Fate::Doubtful { reason }
                } else {
                    Fate::Absent
                };
                records.push(LedgerRecord::Outcome(Outcome {
                    no: one.no,
                    fate: fate.clone(),
                }));
                match fate {
                    Fate::There { .. } => settled.there.push(one),
                    Fate::Doubtful { reason } => settled.doubtful.push((one, reason)),
                    _ => settled.absent.push(one),
                }
            }
            self.ledger
                .commit(records)
                .await
                .map_err(|e| Failed::Here(e.into()))?;
        }
        Ok(rest)
    }

    /// The third look, at the end of the run: warns of what was sent again, having been looked for
    /// twice, and is there a second time now, because the first copy arrived late.
    pub(super) async fn look_for_late(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        resent: Vec<(usize, Item)>,
    ) -> Result<(), Failed> {
        let mut by_place: BTreeMap<usize, Vec<Unsettled>> = BTreeMap::new();
        for (place, item) in resent {
            if self.is_there(place, &item) {
                by_place.entry(place).or_default().push(Unsettled {
                    // It has a piece, which answers for the other copy.
                    no: 0,
                    place,
                    item,
                    whence: Whence::Sent,
                });
            }
        }
        for (place, ones) in by_place {
            let looked = match self.look_in(line, place, &ones).await {
                Err(Failed::Target(trouble)) if is_answer(&trouble) => continue,
                looked => looked?,
            };
            if looked.renumbered {
                continue;
            }
            self.write(looked.located).await?;
            let name = self.name_of(place);
            for (n, _) in looked.found {
                let Some(Unsettled { item, .. }) = ones.get(n) else {
                    continue;
                };
                self.report.warnings.push(format!(
                    "{name}: the message {} ({}) was sent again because it was not there; it arrived late and is there twice; nothing is deleted by mailstow",
                    item.remote, item.content
                ));
            }
        }
        Ok(())
    }

    /// Whether the target said that it has an item.
    fn is_there(&self, place: usize, item: &Item) -> bool {
        let Some(Place { to, .. }) = self.places.get(place) else {
            return false;
        };
        let state = self.ledger.state();
        let (key, number) = (item.key(), to.number);
        state.pieces_in(number).any(|piece| {
            piece.state == PieceState::There && piece.content == item.content && piece.origin == key
        })
    }

    /// What a mailbox of the target shows of these.
    async fn look_in(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        place: usize,
        ones: &[Unsettled],
    ) -> Result<Looked, Failed> {
        let Some(Place { to, .. }) = self.places.get(place) else {
            return Ok(Looked::default());
        };
        let wire = to.wire.clone();
        let Whole {
            examined,
            listing,
            hidden,
        } = open(line, &wire).await?.into();
        let uidvalidity = examined.uidvalidity.unwrap_or(0);
        let renumbered = uidvalidity != to.uidvalidity;
        let claimed = self.claimed_in(to.number, uidvalidity);
        // What the target took in without saying where is among the messages it shows, and must
        // not pass for one of these.
        let (mut numbers, mut items) = (Vec::new(), Vec::new());
        for (at, no, item) in &self.unlocated {
            let state = self.ledger.state();
            if *at == place && state.piece(*no).is_some_and(|piece| piece.uid.is_none()) {
                numbers.push(*no);
                items.push(item.clone());
            }
        }
        let certain = items.len();
        items.extend(ones.iter().map(|one| one.item.clone()));
        let all: Vec<usize> = (0..items.len()).collect();
        let search = Search {
            wire: &wire,
            listing: &listing,
            claimed: &claimed,
            items: &items,
            shared: &self.shared,
            wanted: &all,
            certain,
            hidden,
        };
        let Recognised { found, unsure, .. } = search.run(line, self.reader.mail()).await?;
        let located = found.iter().filter_map(|(n, uid)| {
            Some(LedgerRecord::Located {
                no: *numbers.get(*n)?,
                uidvalidity,
                uid: *uid,
            })
        });
        let located = located.collect();
        let own = |n: &usize| n.checked_sub(certain);
        let found = found.iter().filter_map(|(n, uid)| Some((own(n)?, *uid)));
        let (found, unsure) = (found.collect(), unsure.iter().filter_map(own).collect());
        let live: UidSet = listing.messages.iter().map(|m| m.uid).collect();
        Ok(Looked {
            found,
            unsure,
            located,
            renumbered,
            uidvalidity,
            uidnext: examined.uidnext.unwrap_or(0),
            live,
        })
    }
}

/// What a look at a mailbox showed.
#[derive(Debug, Default)]
struct Looked {
    found: Vec<(usize, u32)>,
    unsure: Vec<usize>,
    /// Where others are.
    located: Vec<LedgerRecord>,
    /// The mailbox has another UIDVALIDITY than when the run began.
    renumbered: bool,
    uidvalidity: u32,
    uidnext: u32,
    live: UidSet,
}

impl Looked {
    /// Why a piece that was not found may be, or have been, there all the same.
    fn doubt(&self, n: usize, no: u64, replay: &Replay<'_>) -> Option<String> {
        if self.unsure.contains(&n) {
            return Some("the target does not send a message that may be this one".to_owned());
        }
        let state = replay.ledger.state();
        let piece = state.piece(no)?;
        // Under another UIDVALIDITY nothing can be concluded from numbers.
        if piece.uidvalidity != self.uidvalidity || piece.uidnext == 0 || self.uidnext == 0 {
            return None;
        }
        let given = u64::from(self.uidnext.saturating_sub(piece.uidnext));
        let below = UidSet::below(piece.uidnext);
        let there = self.live.difference(&below).len();
        (given > there).then(|| {
            format!(
                "{} of the messages that came since it was sent are no longer in the mailbox; it may be one of them",
                given - there
            )
        })
    }
}

#[cfg(not(feature = "testing"))]
const fn apart() -> Duration {
    APART
}

/// `MAILSTOW_TEST_SETTLE_MS` replaces it: tests have no half minute.
#[cfg(feature = "testing")]
fn apart() -> Duration {
    let named = std::env::var("MAILSTOW_TEST_SETTLE_MS").ok();
    let millis = named.and_then(|ms| ms.parse().ok());
    millis.map_or(APART, Duration::from_millis)
}
