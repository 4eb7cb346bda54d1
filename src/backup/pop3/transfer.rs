//! One session's fetching: what is asked for, what comes, and who is to blame when it breaks.

use std::collections::HashMap;
use std::sync::Arc;

use super::plan::recorded_size;
use super::survey::tell;
use super::{Pop3Side, Wanted};
use crate::backup::commit::Queue;
use crate::backup::identify::{Identified, identify};
use crate::backup::side::Ground;
use crate::contact::{Interrupted, Open, describe};
use crate::event::Event;
use crate::header;
use crate::model::{Flags, RemoteId};
use crate::net::{Disposition, Scope};
use crate::pop3::{Ask, Outcome, Pop3Error};
use crate::spam;
use crate::store::{Arrived, PopArrival};

/// Tries after which a message that is refused has failed …
const REFUSALS: u32 = 2;
/// … and after which one is to blame over which sessions are lost, or the server is busy.
const SUSPICIONS: u32 = 3;
/// Messages in a row that are found to blame, after which it is the server's fault.
const CULPRITS: u32 = 3;
/// How often a body is fetched that is never the same.
const SHORT_TRIES: u32 = 4;
/// Messages shorter than LIST says that came so again, after which LIST counts otherwise.
pub(super) const SHORT_USUAL: u32 = 16;

/// How a session ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Nothing is wanted any more.
    Drained,
    /// It lasted long enough; there is more.
    Over,
    /// There is more, and a limit of the run was reached.
    Limit,
}

impl Pop3Side<'_> {
    pub(super) async fn drain(
        &mut self,
        open: &mut Open,
        queue: &Queue,
    ) -> Result<Pass, Interrupted> {
        let mut asked: HashMap<usize, Wanted> = HashMap::new();
        let mut next = 0;
        let mut busy = None;
        loop {
            let enough = busy.is_some() || self.is_over(open);
            // One that was skipped before is asked for alone: it is known then who is to blame.
            let room = |open: &Open, wanted: &Wanted, alone: bool| {
                open.has_room(wanted.size.unwrap_or(0)) && (alone || wanted.before.is_none())
            };
            while !enough
                && !self.ground.stop.is_requested()
                && self.ground.quota.has_room()
                && self
                    .wanted
                    .front()
                    .is_some_and(|w| room(open, w, asked.is_empty()))
                && let Some(wanted) = self.wanted.pop_front()
            {
                self.ground.quota.ask(wanted.size.unwrap_or(0));
                open.ask(Ask::Retr(wanted.number), next, wanted.size.unwrap_or(0));
                asked.insert(next, wanted);
                next += 1;
            }
            let answer = match open.answer(self.ground.stop.overdue()).await {
                Ok(answer) => answer,
                Err(interrupted) => {
                    self.put_back(open, asked, &interrupted);
                    return Err(interrupted);
                }
            };
            let Some((index, outcome)) = answer else {
                if self.is_at_limit() {
                    self.put_off_retries();
                }
                return match busy {
                    Some(error) => Err(Interrupted::Server(error)),
                    None if self.ground.stop.is_ordered() => Err(Interrupted::Stopped),
                    None if self.wanted.is_empty() => Ok(Pass::Drained),
                    None if self.is_at_limit() => Ok(Pass::Limit),
                    None => Ok(Pass::Over),
                };
            };
            let Some(wanted) = asked.remove(&index) else {
                continue;
            };
            match outcome {
                Outcome::Message(body) if !body.is_empty() || wanted.size.unwrap_or(0) == 0 => {
                    let found = identify(body).map_err(Pop3Error::from)?;
                    self.message(wanted, found, open, queue).await?;
                }
                Outcome::Message(_) => {
                    self.give_back(&wanted);
                    self.refused(wanted, "the server sent nothing".to_owned());
                }
                Outcome::Refused { words } => {
                    self.give_back(&wanted);
                    let error = Pop3Error::Refused {
                        command: "RETR",
                        words,
                    };
                    match error.disposition().1 {
                        Disposition::RetryAfter(_) if wanted.tries < SUSPICIONS => {
                            let tries = wanted.tries + 1;
                            self.wanted.push_front(Wanted { tries, ..wanted });
                            busy = Some(error);
                        }
                        _ => self.refused(wanted, error.to_string()),
                    }
                }
                Outcome::Done => {}
            }
        }
    }

    /// Whether a limit of the run was reached.
    pub(super) fn is_at_limit(&self) -> bool {
        let Ground { stop, quota, .. } = self.ground;
        quota.reached(stop).is_some()
    }

    /// It was asked for and did not come.
    fn give_back(&self, wanted: &Wanted) {
        self.ground.quota.give_back(wanted.size.unwrap_or(0));
    }

    async fn message(
        &mut self,
        wanted: Wanted,
        found: Identified,
        open: &mut Open,
        queue: &Queue,
    ) -> Result<(), Interrupted> {
        let announced = wanted.size.unwrap_or(0);
        self.ground.quota.came(announced, found.len);
        open.came += 1;
        open.named += u64::from(wanted.uidl.is_some());
        if self.came.insert(found.id) {
            open.fresh += 1;
            self.culprits = 0;
            self.door.gained();
        }
        self.ground.sink.event(Event::Fetched { bytes: found.len });
        if found.len >= announced || self.confirms_short(&wanted, &found) {
            return self.arrive(wanted, found, queue).await;
        }
        // It may have been cut off by something between, or by the state of this session.
        // QUIRK(GNU mailutils 3.15): behind TOP, RETR sends the header alone.
        let tries = wanted.tries + 1;
        let wanted = Wanted { tries, ..wanted };
        if tries >= SHORT_TRIES {
            let reason = "the server sends it shorter than announced, and differently each time";
            self.skip(wanted, reason.to_owned());
        } else {
            self.doubted.push(wanted);
        }
        Ok(())
    }

    /// Whether a message that is shorter than LIST says may be kept: it came so in another
    /// session, or all that were looked at twice did.
    fn confirms_short(&mut self, wanted: &Wanted, found: &Identified) -> bool {
        let by_number = || wanted.number.to_string();
        let name = wanted.uidl.clone().unwrap_or_else(by_number);
        let before = self.short.insert(name, found.id);
        self.short_differs |= before.is_some_and(|id| id != found.id);
        let usual = self.books.short >= SHORT_USUAL && !self.short_differs;
        let kept = usual || before == Some(found.id);
        self.books.short += u32::from(kept);
        kept
    }

    /// Asked for in vain: once more behind all others, then it has failed.
    fn refused(&mut self, mut wanted: Wanted, reason: String) {
        wanted.tries += 1;
        if wanted.tries < REFUSALS && wanted.before.is_none() {
            self.wanted.push_back(wanted);
        } else {
            self.skip(wanted, reason);
        }
    }

    /// What was asked for and not answered is wanted still. The oldest of it may be what the
    /// server or we stumbled over.
    fn put_back(
        &mut self,
        open: &Open,
        mut asked: HashMap<usize, Wanted>,
        interrupted: &Interrupted,
    ) {
        let mut unanswered: Vec<Wanted> = open
            .unanswered()
            .iter()
            .filter_map(|index| asked.remove(index))
            .map(|wanted| Wanted {
                was_asked: true,
                ..wanted
            })
            .collect();
        unanswered.iter().for_each(|wanted| self.give_back(wanted));
        let mut is_retry = false;
        if let Interrupted::Server(error) = interrupted {
            let (scope, disposition) = error.disposition();
            if scope == Scope::Account && unanswered.len() > 1 {
                self.door.go_shallow();
            }
            // Several outstanding: it may have been another's fault, so that does not count.
            let enough = match (scope, disposition) {
                (Scope::Message, Disposition::Skip) => Some(1),
                _ if scope != Scope::Run
                    && unanswered.len() == 1
                    && unanswered.iter().all(|w| w.before.is_some()) =>
                {
                    Some(1)
                }
                (Scope::Message, _) => Some(REFUSALS),
                (Scope::Account, _) if unanswered.len() == 1 && open.came == 0 => Some(SUSPICIONS),
                _ => None,
            };
            if let (Some(enough), false) = (enough, unanswered.is_empty()) {
                let mut culprit = unanswered.remove(0);
                culprit.tries += 1;
                if culprit.tries >= enough {
                    is_retry = culprit.before.is_some();
                    self.skip(culprit, describe(error));
                    self.culprits += u32::from(!is_retry);
                    // Whoever is found guilty no longer stands in the way; but not everybody is.
                    if self.culprits < CULPRITS {
                        self.door.gained();
                    }
                } else {
                    unanswered.insert(0, culprit);
                }
            }
        }
        for wanted in unanswered.into_iter().rev() {
            self.wanted.push_front(wanted);
        }
        if is_retry {
            self.lost_over_retry();
        }
    }

    /// A message is here whole: it is judged, if that is still to be done, and handed over.
    async fn arrive(
        &mut self,
        wanted: Wanted,
        found: Identified,
        queue: &Queue,
    ) -> Result<(), Interrupted> {
        let mut spam = wanted.spam;
        if wanted.look.is_needed() {
            let told = tell(found.start());
            self.books.judgements += u32::from(wanted.look.spam);
            self.books.verdicts += u32::from(wanted.look.spam && told.evidence.is_some());
            if let Some(why) = self.excluded(&told, wanted.look) {
                let evidence = told.evidence.filter(|_| told.seen.spam);
                self.books.judge(why, wanted.uidl.as_deref(), evidence);
                return Ok(());
            }
            spam = Some(told.seen.spam);
        }
        let Some(filing) = &self.filing else {
            return Err(Interrupted::Stopped);
        };
        let start = found.start();
        let is_spam = self.ground.request.selection.pop.spam_from_server
            || spam.unwrap_or_else(|| spam::judge(start).is_some_and(|j| j.spam));
        let mailbox = if is_spam { &filing.junk } else { &filing.inbox };
        let (mailbox, date) = (mailbox.id, header::delivered(start));
        let renamed = !self.trusted || self.renamed_all;
        let pop = PopArrival {
            maildrop: filing.inbox.id,
            shared: wanted.uidl.is_none(),
            uidl: wanted.label.clone(),
            renamed_from_other_than: renamed.then(|| Arc::clone(&self.listed)),
            restate: wanted.restate,
            unterminated: found.unterminated,
        };
        let in_memory = found.in_memory();
        let uidl = wanted.label.unwrap_or_default();
        let (content, body) = found.into_content(RemoteId::Pop { uidl }, date, Flags::default());
        let arrived = Arrived {
            mailbox,
            content,
            reported: recorded_size(wanted.size),
            body,
            pop: Some(pop),
        };
        let sent = queue.arrived(arrived, in_memory).await;
        sent.map_err(|_| Interrupted::Stopped)
    }
}
