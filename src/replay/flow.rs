//! Sending what an archive gets while it gets it: the first part of a migration.
//!
//! Only what needs no look at the target flows: messages of which the ledger knew nothing when the
//! migration began, for mailboxes in which every message the target lists is one of ours. All
//! else, and everything that can go wrong, is left to the replay that follows; it finds in the
//! ledger what has been sent.

mod counting;
mod flowed;

use std::collections::HashSet;
use std::sync::Arc;

use self::counting::Counting;
pub(super) use self::flowed::Flowed;
use super::ledger::{Ledger, Piece, PieceState};
use super::outbound::Outbound;
use super::recognise::{Failed, is_answer};
use super::run::{Replay, open_ledger, run_with};
use super::survey::Place;
use super::wanted::Item;
use super::{ReplayError, ReplayReport, Request};
use crate::catalog::Within;
use crate::contact::{Line, Stop};
use crate::event::Sink;
use crate::imap::{Quirks, TargetSession};
use crate::model::{AccountId, ContentId, MailboxId};
use crate::report::Ending;
use crate::store::Reader;

/// Messages that were sent, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Signs in to the target and leaves, so that a slip of the user's is known before hours are spent.
pub(crate) async fn sign_in(
    request: &Request,
    sink: &dyn Sink,
    stop: &Stop,
) -> Result<(), ReplayError> {
    let mut line = Replay::line(request, sink, stop).await?;
    line.hang_up().await;
    Ok(())
}

/// A replay that follows an archive as it grows.
pub(crate) struct Flow<'a> {
    request: &'a Request,
    stop: &'a Stop,
    /// Who listens to the replay at the end, and to what is sent before.
    sink: Arc<dyn Sink>,
    counting: Arc<Counting>,
    under_way: Option<UnderWay<'a>>,
}

struct UnderWay<'a> {
    replay: Replay<'a>,
    quirks: Quirks,
    flowing: Vec<Flowing>,
    /// Contents the ledger knew at the beginning. They may have to be moved, or looked for.
    known: Known,
    /// The first number a piece of ours can have.
    first: u64,
    /// The last commit that was looked at.
    commit: u64,
    /// What was sent to each place, where one copy of each content is wanted.
    copies: HashSet<(usize, ContentId)>,
}

/// A mailbox of the archive that flows, and the place it goes to.
#[derive(Debug, Clone, Copy)]
struct Flowing {
    mailbox: MailboxId,
    place: usize,
}

/// Contents, by the first bytes of their ids: a million takes 8 MB. One that is taken for another
/// waits for the replay at the end, and no harm is done.
#[derive(Debug, Default)]
struct Known(Vec<u64>);

impl Known {
    fn of<'p>(pieces: impl Iterator<Item = &'p Piece>) -> Self {
        let mut known: Vec<u64> = pieces.map(|p| start(&p.content)).collect();
        known.sort_unstable();
        known.dedup();
        Self(known)
    }

    fn has(&self, content: &ContentId) -> bool {
        self.0.binary_search(&start(content)).is_ok()
    }
}

fn start(content: &ContentId) -> u64 {
    let bytes = content.as_bytes().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl<'a> Flow<'a> {
    /// Nothing is done before the archive has something. `request` names the account.
    pub(crate) fn new(request: &'a Request, sink: Arc<dyn Sink>, stop: &'a Stop) -> Self {
        Self {
            request,
            stop,
            counting: Arc::new(Counting::new(Arc::clone(&sink))),
            sink,
            under_way: None,
        }
    }

    /// What the target has taken in so far.
    pub(crate) fn sent(&self) -> Sent {
        self.counting.sent()
    }

    /// Sends what the archive has got since the last call. Whether there is any use in calling it
    /// again: a target that is lost is left to the replay at the end.
    ///
    /// # Errors
    /// The archive or the ledger cannot be used.
    pub(crate) async fn follow(&mut self) -> Result<bool, ReplayError> {
        let reader = Reader::open(&self.request.archive, self.request.catalog.as_deref())?;
        // What comes while it is read is left for the next call.
        let commit = reader.opened_at().commit;
        let mut under_way = match self.under_way.take() {
            Some(mut under_way) => {
                under_way.replay.reader = reader;
                under_way
            }
            None => self.begin(reader).await?,
        };
        let goes_on = under_way.send_until(commit).await;
        self.counting.over();
        self.under_way = Some(under_way);
        goes_on
    }

    async fn begin(&self, reader: Reader) -> Result<UnderWay<'a>, ReplayError> {
        let ledger = open_ledger(self.request, &reader)?;
        let (known, first) = {
            let state = ledger.state();
            (Known::of(state.pieces()), state.last_piece() + 1)
        };
        let mut line = Replay::line(self.request, &*self.sink, self.stop).await?;
        let sink: Arc<dyn Sink> = Arc::clone(&self.counting) as Arc<dyn Sink>;
        let mut replay = Replay::new(self.request, reader, ledger, sink, self.stop)?;
        replay.name_places(&mut line).await?;
        let flowing = match replay.prepare_flow(&mut line).await {
            Ok(flowing) => flowing,
            Err(Failed::Here(error)) => return Err(error),
            Err(Failed::Target(_)) => Vec::new(),
        };
        let quirks = line.quirks();
        line.hang_up().await;
        Ok(UnderWay {
            replay,
            quirks,
            flowing,
            known,
            first,
            commit: 0,
            copies: HashSet::new(),
        })
    }

    /// Replays all that is left, with a look at the target, and reports it all as one.
    ///
    /// # Errors
    /// As [`run`](super::run()).
    pub(crate) async fn finish(self) -> Result<ReplayReport, ReplayError> {
        let reader = Reader::open(&self.request.archive, self.request.catalog.as_deref())?;
        let (ledger, flowed) = match self.under_way {
            Some(under_way) => {
                let ledger: Arc<Ledger> = Arc::clone(&under_way.replay.ledger);
                (ledger, Some(Flowed::of(under_way.replay, under_way.first)))
            }
            None => (open_ledger(self.request, &reader)?, None),
        };
        run_with(self.request, reader, ledger, flowed, self.sink, self.stop).await
    }
}

impl UnderWay<'_> {
    /// Sends what came with later commits than the last that was looked at, up to this one.
    async fn send_until(&mut self, commit: u64) -> Result<bool, ReplayError> {
        let request = self.replay.request;
        let mut outbound = Vec::new();
        for flowing in &self.flowing {
            let catalog = self.replay.reader.catalog();
            let items = self.replay.shared.arrived_between(
                catalog,
                flowing.mailbox,
                self.commit,
                commit,
            )?;
            for item in items {
                if self.known.has(&item.content) || !is_within(&item, &request.within) {
                    continue;
                }
                let copy = (flowing.place, item.content);
                if request.manner.collapse && !self.copies.insert(copy) {
                    continue;
                }
                outbound.push(Outbound {
                    item,
                    place: flowing.place,
                    replaces: None,
                });
            }
        }
        self.commit = commit;
        // What is not known to be there is open in the ledger, and looked for at the end.
        self.replay.send(outbound, self.quirks, false).await?;
        Ok(!self.flowing.is_empty() && self.replay.report.ending == Ending::Complete)
    }
}

/// As [`Catalog::shown_at`](crate::catalog::Catalog::shown_at) chooses.
fn is_within(item: &Item, within: &Within) -> bool {
    let arrived = item.date.map(|date| date.unix);
    arrived.is_none_or(|at| {
        within.since.is_none_or(|since| at >= since)
            && within.before.is_none_or(|before| at < before)
    }) && within.larger.is_none_or(|larger| item.len > larger)
        && within.smaller.is_none_or(|smaller| item.len < smaller)
}

/// Whether every message of a mailbox is one that the ledger says is ours.
fn is_all_ours(place: &Place, pieces: &[Piece]) -> bool {
    let ours: HashSet<u32> = pieces
        .iter()
        .filter(|p| p.state == PieceState::There && p.uidvalidity == place.to.uidvalidity)
        .filter_map(|p| p.uid)
        .collect();
    let mut listed = place.listing.messages.iter();
    listed.all(|m| ours.contains(&m.uid))
}

impl Replay<'_> {
    /// Makes the mailboxes, and gives those that need no look at what is in them.
    async fn prepare_flow(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<Vec<Flowing>, Failed> {
        self.learn_habits(line).await?;
        if self.is_gmail() {
            // What gets a label and what is appended is known once all of it is.
            return Ok(Vec::new());
        }
        let mut flowing = Vec::new();
        for n in 0..self.places.len() {
            let Some(place) = self.places.get_mut(n) else {
                continue;
            };
            match place.prepare(line, false).await {
                Ok(()) => {}
                // Said by the replay that follows.
                Err(trouble) if is_answer(&trouble) => continue,
                Err(trouble) => return Err(trouble.into()),
            }
            self.number(n).await?;
            let number = self.places.get(n).map(|place| place.to.number);
            let ours = number
                .map(|number| self.pieces_in(number))
                .unwrap_or_default();
            let Some(place) = self.places.get_mut(n) else {
                continue;
            };
            if let Some(permanent) = self.habits.permanent.get_mut(n) {
                permanent.clone_from(&place.permanent);
            }
            if is_all_ours(place, &ours) {
                let sources = place.sources.iter().filter(|s| !s.leftovers);
                flowing.extend(sources.map(|s| Flowing {
                    mailbox: s.mailbox.id,
                    place: n,
                }));
            }
            place.listing = crate::model::Listing::default();
        }
        Ok(flowing)
    }
}

/// The account of an archive by its name, or by `user@host` of its source.
pub(crate) fn account_in(
    archive: &std::path::Path,
    catalog: Option<&std::path::Path>,
    name: &str,
    alias: &str,
) -> Result<Option<AccountId>, ReplayError> {
    let reader = Reader::open(archive, catalog)?;
    let accounts = reader.catalog().accounts()?;
    let found = accounts
        .iter()
        .find(|a| a.name == name || a.aliases.iter().any(|x| x == alias));
    Ok(found.map(|a| a.id))
}
