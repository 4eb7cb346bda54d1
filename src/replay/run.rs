//! The course of a replay.

mod book;
mod naming;
mod plan;
mod send;
mod sum;

use std::collections::HashSet;
use std::sync::Arc;

use super::flow::Flowed;
use super::gmail::Gmail;
use super::ledger::{Ledger, LedgerPlace, Piece};
use super::moves::Spare;
use super::outbound::Outbound;
use super::recognise::Failed;
use super::report::ReplayReport;
use super::settle::Unsettled;
use super::survey::{Habits, Place};
use super::touch::{After, Flagging, Reflag};
use super::wanted::{Item, Shared};
use super::{ReplayError, Request};
use crate::catalog::{AsOf, Within};
use crate::contact::{Line, ServerError, Stop, Trouble, describe, spool_into};
use crate::event::{Event, Sink};
use crate::imap::TargetSession;
use crate::model::{AccountId, UidSet};
use crate::report::Ending;
use crate::spool::SpoolOptions;
use crate::store::Reader;

/// A replay under way.
pub(super) struct Replay<'a> {
    pub(super) request: &'a Request,
    pub(super) reader: Reader,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) stop: &'a Stop,
    pub(super) spool: SpoolOptions,
    pub(super) shared: Shared,
    pub(super) places: Vec<Place>,
    pub(super) habits: Habits,
    pub(super) outbound: Vec<Outbound>,
    pub(super) unsettled: Vec<Unsettled>,
    /// What this run sent and the target took in without saying where, with its mailbox and its
    /// piece.
    pub(super) unlocated: Vec<(usize, u64, Item)>,
    /// Messages whose flags changed at the source.
    pub(super) reflags: Vec<Reflag>,
    /// Pieces on the target that no item asks for.
    pub(super) spare: Vec<Spare>,
    /// Flags that only a STORE can give.
    pub(super) after: Vec<After>,
    /// What is peculiar to Gmail.
    pub(super) gmail: Gmail,
    /// Contents of mailboxes that are no views of others.
    pub(super) elsewhere: HashSet<crate::model::ContentId>,
    /// Heads the target has accepted behind a synchronising literal.
    pub(super) accepted: HashSet<super::append::Head>,
    pub(super) report: ReplayReport,
    /// What was sent while the archive grew.
    pub(super) flowed: Option<Flowed>,
}

/// Replays an account of the archive to its target, or says what that would do.
///
/// What the target has already is not sent again, so the same request goes on where it was
/// interrupted. Asked to stop, it takes in the answers that are outstanding and reports
/// [`Ending::Interrupted`]; a target that is full ends it with [`Ending::Limit`]. Dropping the
/// future abandons it as a kill would: intents stay open, and the next run looks for them.
///
/// # Errors
/// The archive, the ledger or the target cannot be used at all. A target that is lost on the way
/// stands in the report.
pub async fn run(
    request: &Request,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<ReplayReport, ReplayError> {
    let reader = Reader::open(&request.archive, request.catalog.as_deref())?;
    let told = Arc::clone(&sink);
    let line = Replay::line(request, &*told, stop).await?;
    // Only now: a mistyped target leaves no ledger behind.
    let ledger = open_ledger(request, &reader)?;
    let mut replay = Replay::new(request, reader, ledger, sink, stop)?;
    replay.work(line).await?;
    Ok(replay.finish())
}

/// The ledger of the target; in a dry run what it says, and nothing is written.
pub(super) fn open_ledger(request: &Request, reader: &Reader) -> Result<Arc<Ledger>, ReplayError> {
    let place = LedgerPlace {
        base: request
            .ledger
            .clone()
            .unwrap_or_else(|| request.archive.join("replay")),
        archive: reader.dir().id().to_owned(),
        address: request.target.address(),
    };
    Ok(Arc::new(if request.dry_run {
        Ledger::open_dry(&place)?
    } else {
        Ledger::open(&place, &request.clock)?
    }))
}

/// [`run`] with a ledger that is open, after `flowed` was sent while the archive grew.
pub(super) async fn run_with(
    request: &Request,
    reader: Reader,
    ledger: Arc<Ledger>,
    flowed: Option<Flowed>,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<ReplayReport, ReplayError> {
    let told = Arc::clone(&sink);
    let line = Replay::line(request, &*told, stop).await?;
    let mut replay = Replay::new(request, reader, ledger, sink, stop)?;
    if let Some(mut flowed) = flowed {
        replay.accepted = std::mem::take(&mut flowed.accepted);
        replay.flowed = Some(flowed);
    }
    replay.work(line).await?;
    Ok(replay.finish())
}

/// What is left out, in words: a report that says "complete" means no more than that.
pub(super) fn selection(mailboxes: &[String], exclude: &[String], within: &Within) -> Vec<String> {
    let mut words = Vec::new();
    if !mailboxes.is_empty() {
        words.push(format!("only mailboxes {}", mailboxes.join(", ")));
    }
    if !exclude.is_empty() {
        words.push(format!("without mailboxes {}", exclude.join(", ")));
    }
    for (when, at) in [("since", within.since), ("before", within.before)] {
        let at = at.map(crate::clock::rfc3339);
        words.extend(at.map(|at| format!("only messages that arrived {when} {at}")));
    }
    words
}

/// The end of the run whose mailboxes of an account are looked at, where the past was asked for.
pub(super) fn moment(as_of: Option<&AsOf>, account: AccountId) -> Option<String> {
    let mut moments = as_of?.moments();
    let moment = moments.find(|m| m.run.account == account)?;
    Some(moment.run.ended.clone())
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        request: &'a Request,
        reader: Reader,
        ledger: Arc<Ledger>,
        sink: Arc<dyn Sink>,
        stop: &'a Stop,
    ) -> Result<Self, ReplayError> {
        let accounts = reader.catalog().accounts()?;
        let account = accounts.into_iter().find(|a| a.id == request.account);
        let account = account.map(|a| a.name).unwrap_or_default();
        let mut report = ReplayReport::new(account, request.target.alias(), request.clock.now());
        report.archive = request.archive.display().to_string();
        reader.dir().id().clone_into(&mut report.archive_id);
        report.dry_run = request.dry_run;
        report.as_of = moment(request.as_of.as_ref(), request.account);
        report.selection = selection(&request.mailboxes, &request.exclude, &request.within);
        Ok(Self {
            request,
            reader,
            ledger,
            sink,
            stop,
            spool: spool_into(&std::env::temp_dir()),
            shared: Shared::default(),
            places: Vec::new(),
            habits: Habits::default(),
            outbound: Vec::new(),
            unsettled: Vec::new(),
            unlocated: Vec::new(),
            reflags: Vec::new(),
            spare: Vec::new(),
            after: Vec::new(),
            gmail: Gmail::default(),
            elsewhere: HashSet::new(),
            accepted: HashSet::new(),
            report,
            flowed: None,
        })
    }

    /// Connects to the target for everything but sending.
    pub(super) async fn line<'l>(
        request: &'l Request,
        sink: &'l dyn Sink,
        stop: &'l Stop,
    ) -> Result<Line<'l, TargetSession>, ReplayError> {
        let spool = spool_into(&std::env::temp_dir());
        let line = Line::open(&request.target, spool, sink, stop).await;
        line.map_err(|error| {
            let endpoint = &request.target.endpoint;
            ReplayError::Connect {
                server: format!("{}:{}", endpoint.host, endpoint.port),
                source: Box::new(error.into()),
            }
        })
    }

    async fn work(&mut self, mut line: Line<'_, TargetSession>) -> Result<(), ReplayError> {
        let request = self.request;
        self.name_places(&mut line).await?;
        let planned = self.plan_all(&mut line).await;
        if !self.went_well(planned)? {
            return Ok(());
        }
        if self.is_gmail() {
            let prepared = self.prepare_gmail(&mut line).await;
            if !self.went_well(prepared)? {
                return Ok(());
            }
        }
        let room = self.look_for_room(&mut line).await;
        if !self.went_well(room)? {
            return Ok(());
        }
        self.say_planned();
        if request.dry_run {
            self.look_at_messages().await?;
            self.count_labels();
            line.hang_up().await;
            return Ok(());
        }
        let moved = self.move_all(&mut line).await;
        if !self.went_well(moved)? {
            return Ok(());
        }
        if self.is_gmail() {
            // What could not be moved.
            self.gather();
        }
        let quirks = line.quirks();
        // Most targets bear few sessions, and this one would stand idle.
        line.hang_up().await;
        let first = std::mem::take(&mut self.outbound);
        let again = self.send(first, quirks, false).await?;
        if self.is_over() {
            return Ok(());
        }
        self.unsettled.extend(again);
        let afterwards = self.afterwards(&mut line, quirks).await;
        self.went_well(afterwards)?;
        line.hang_up().await;
        Ok(())
    }

    /// What comes after the first round of sending: settling, a second round, flags, and a last
    /// look.
    async fn afterwards(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        quirks: crate::imap::Quirks,
    ) -> Result<(), Failed> {
        let unsettled = std::mem::take(&mut self.unsettled);
        let settled = self.settle(line, unsettled).await?;
        let mut absent = self.book(settled);
        if self.is_gmail() {
            self.outbound = absent;
            self.gather();
            absent = std::mem::take(&mut self.outbound);
        }
        let again = absent.iter().map(|out| (out.place, out.item.clone()));
        let resent: Vec<(usize, Item)> = again.collect();
        if !absent.is_empty() && !self.stop.is_requested() {
            line.hang_up().await;
            let sent = self.send(absent, quirks, true).await;
            let again = sent.map_err(Failed::Here)?;
            let settled = self.settle(line, again).await?;
            for one in self.book(settled) {
                // Lost twice: the next run tries again.
                self.row(one.place).left += 1;
            }
        }
        let after = self.stores_after(line).await?;
        self.reflag(line, after, Flagging::Further).await?;
        let reflags = std::mem::take(&mut self.reflags);
        self.reflag(line, reflags, Flagging::Anew).await?;
        if self.is_gmail() {
            self.finish_gmail(line).await?;
        }
        self.look_for_late(line, resent).await?;
        self.count(line).await?;
        if self.is_gmail() {
            self.explain_shown();
        }
        Ok(())
    }

    /// Whether it goes on. A target that is lost ends it, with what was done so far.
    fn went_well(&mut self, result: Result<(), Failed>) -> Result<bool, ReplayError> {
        match result {
            Ok(()) => Ok(!self.is_over()),
            Err(Failed::Here(error)) => Err(error),
            Err(Failed::Target(trouble)) => {
                self.lost(&ServerError::from(trouble.into_error()));
                Ok(false)
            }
        }
    }

    /// Says in the report that the target is lost, or that somebody asked to stop.
    pub(super) fn lost(&mut self, error: &ServerError) {
        if self.stop.is_requested() {
            self.report.ending = Ending::Interrupted;
        } else {
            self.report.ending = Ending::ServerLost;
            self.report.error = Some(describe(error));
        }
    }

    fn is_over(&mut self) -> bool {
        if self.stop.is_requested() && self.report.ending == Ending::Complete {
            self.report.ending = Ending::Interrupted;
        }
        self.report.ending != Ending::Complete
    }

    fn say_planned(&self) {
        if self.flowed.is_some() && self.outbound.is_empty() {
            // It has all been said while it flowed.
            return;
        }
        let bytes = self.outbound.iter().map(|o| o.item.len).sum();
        let there = self.places.iter().map(|p| p.row.there).sum();
        let mut mailboxes: Vec<usize> = self.outbound.iter().map(|o| o.place).collect();
        mailboxes.sort_unstable();
        mailboxes.dedup();
        self.sink.event(Event::ToAppend {
            messages: self.outbound.len() as u64,
            bytes,
            mailboxes: mailboxes.len() as u64,
            there,
        });
    }

    pub(super) fn say_waiting(&self, messages: usize) {
        self.sink.event(Event::Note {
            text: format!(
                "messages under way when a connection was lost, of which nobody knows whether the target has them: {messages}; looking again in half a minute"
            ),
        });
    }

    /// The UIDs of a mailbox that pieces answer for.
    pub(super) fn claimed_in(&self, number: u32, uidvalidity: u32) -> UidSet {
        let state = self.ledger.state();
        let uids = state
            .pieces_in(number)
            .filter(|p| p.uidvalidity == uidvalidity)
            .filter_map(|p| p.uid);
        UidSet::of_ranges(uids.map(|uid| (uid, uid)))
    }

    pub(super) fn wire_of(&self, place: usize) -> Option<(String, u32)> {
        let to = &self.places.get(place)?.to;
        Some((to.wire.clone(), to.uidvalidity))
    }

    pub(super) fn name_of(&self, place: usize) -> String {
        let place = self.places.get(place);
        place.map(|p| p.row.target.clone()).unwrap_or_default()
    }

    /// The pieces of a mailbox of the target.
    pub(super) fn pieces_in(&self, number: u32) -> Vec<Piece> {
        self.ledger.state().pieces_in(number).copied().collect()
    }
}

/// Whether a trouble with one mailbox leaves the others to be worked on.
pub(super) const fn is_local(trouble: &Trouble) -> bool {
    super::recognise::is_answer(trouble)
}
