//! Sending: as many connections as the target bears, each with a few appends under way.
//!
//! What must hold here (design.md §7):
//! * no byte of a message goes out before its intent is durable;
//! * a non-synchronising literal stands behind a head that cannot fail: the mailbox was opened,
//!   the flags are allowed there, and that set of flags was accepted once behind a synchronising
//!   one. A server that answers BAD would go on to execute the message as commands;
//! * a lost connection leaves its intents open. They are looked for before they are sent again.

mod connection;
mod judge;
mod load;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use self::connection::Connection;
use self::load::Load;
use super::ledger::{Ledger, LedgerError};
use super::outbound::{Fed, Outbound};
use super::report::What;
use super::survey::Destination;
use crate::archive::ledger::{Intent, LedgerRecord};
use crate::contact::{ServerError, Stop};
use crate::event::{Event, Sink};
use crate::model::Flags;
use crate::source::ImapSource;
use crate::spool::{SpoolError, SpoolOptions};

/// What became of an outbound message in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// The target has it, and this is its piece.
    Appended(u64),
    /// Refused, or not to be had.
    Not(What),
    /// Its piece is open: the connection was lost before the answer came.
    Unsettled(u64),
}

/// What all connections of a run share.
pub(super) struct Sending {
    pub(super) source: ImapSource,
    pub(super) spool: SpoolOptions,
    pub(super) ledger: Arc<Ledger>,
    pub(super) destinations: Vec<Destination>,
    pub(super) outbound: Arc<Vec<Outbound>>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) stop: Stop,
    /// Every message by itself, behind a synchronising literal: what was lost once is sent with
    /// nothing else at stake.
    pub(super) alone: bool,
    pub(super) state: Mutex<State>,
}

/// What a server may stumble over in the head of an APPEND: a set of flags and, where there is a
/// keyword among them, the mailbox as well, since a mailbox may take so many keywords and no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Head {
    flags: Flags,
    place: Option<usize>,
}

impl Head {
    fn of(place: usize, flags: &Flags) -> Self {
        let has_keyword = flags.iter().any(|flag| !flag.starts_with('\\'));
        Self {
            flags: flags.clone(),
            place: has_keyword.then_some(place),
        }
    }

    /// Whether it was accepted for all mailboxes.
    pub(super) const fn holds_everywhere(&self) -> bool {
        self.place.is_none()
    }
}

/// What changes while messages are sent.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By outbound message; `None` while it was not reached.
    pub(super) done: Vec<Option<Done>>,
    /// Heads that were accepted behind a synchronising literal.
    pub(super) accepted: HashSet<Head>,
    /// The target refused several messages together and may have stored some of them: from now on
    /// each goes by itself.
    singly: bool,
    /// What a person should know of messages.
    pub(super) notes: Vec<(usize, What, String)>,
    /// Flags that pieces are to be given once they are there, with their outbound messages.
    pub(super) after: Vec<(u64, usize, Flags)>,
    /// The target is full, in its own words.
    pub(super) full: Option<String>,
    /// Connections that have a session, or had one until it breaks.
    dialled: usize,
    /// What a connection could not send, for those that have a session.
    handed_over: Vec<Load>,
    sent: (u64, u64),
    total: u64,
}

/// How sending ended for one connection.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing is left, or somebody asked to stop, or the target is full.
    Done,
    /// The server cannot be had any more.
    Lost(ServerError),
    /// The ledger cannot be written.
    Ledger(LedgerError),
    /// The spool cannot be written.
    Spool(SpoolError),
    /// A thread died.
    Died,
}

impl Sending {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fresh_state(outbound: &[Outbound], total: u64, accepted: HashSet<Head>) -> State {
        State {
            done: vec![None; outbound.len()],
            total,
            accepted,
            ..State::default()
        }
    }

    /// Sends what `feed` brings. Gives how the first connection to fail ended.
    pub(super) async fn run(
        self: Arc<Self>,
        feed: mpsc::Receiver<Fed>,
        connections: usize,
    ) -> Ended {
        let feed = Arc::new(tokio::sync::Mutex::new(feed));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections.max(1) {
            let connection = Connection::new(Arc::clone(&self), Arc::clone(&feed));
            workers.spawn(connection.run());
        }
        let mut worst = Ended::Done;
        while let Some(joined) = workers.join_next().await {
            let ended = joined.unwrap_or(Ended::Died);
            if matches!(ended, Ended::Ledger(_) | Ended::Spool(_) | Ended::Died) {
                // Nothing more may go out.
                feed.lock().await.close();
            }
            if rank(&ended) > rank(&worst) {
                worst = ended;
            }
        }
        worst
    }

    /// Takes note of what is no message to be sent.
    fn take_note(&self, fed: &Fed) {
        let mut state = self.state();
        match fed {
            Fed::Not(out, what, reason) => {
                state.notes.push((*out, *what, reason.clone()));
                if let Some(done) = state.done.get_mut(*out) {
                    *done = Some(Done::Not(*what));
                }
            }
            Fed::Note(out, what, reason) => state.notes.push((*out, *what, reason.clone())),
            Fed::Batch(..) | Fed::Failed(_) => {}
        }
    }

    /// The intents of a batch, and the loads it makes.
    fn intend(
        &self,
        place: usize,
        messages: Vec<super::outbound::Message>,
    ) -> (Vec<LedgerRecord>, Load) {
        let mut records = Vec::with_capacity(messages.len());
        let mut load = Load::new(place);
        let Some(destination) = self.destinations.get(place) else {
            return (records, load);
        };
        let mut ledger = self.ledger.state();
        for message in messages {
            let Some(Outbound { item, replaces, .. }) = self.outbound.get(message.out) else {
                continue;
            };
            if let Some(old) = replaces {
                records.push(load::outcome(*old, crate::archive::ledger::Fate::Absent));
            }
            let no = ledger.next_piece();
            records.push(LedgerRecord::Intent(Intent {
                no,
                target: destination.number,
                uidvalidity: destination.uidvalidity,
                uidnext: destination.uidnext,
                content: item.content,
                origin: item.origin(),
                flags: message.flags.clone(),
                moves: None,
            }));
            load.push(no, message);
        }
        (records, load)
    }

    /// These are on the target.
    fn arrived(&self, load: &Load) {
        let mut state = self.state();
        for (no, message) in load.iter() {
            state.sent.0 += 1;
            state.sent.1 += message.len;
            if let Some(done) = state.done.get_mut(message.out) {
                *done = Some(Done::Appended(no));
            }
            if !message.after.is_empty() {
                let after = (no, message.out, message.after.clone());
                state.after.push(after);
            }
        }
        let (messages, bytes) = state.sent;
        let total = state.total;
        drop(state);
        self.sink.event(Event::Appended {
            messages,
            bytes,
            total,
        });
    }

    /// A connection has a session.
    fn dialled(&self, already: &mut bool) {
        if !std::mem::replace(already, true) {
            self.state().dialled += 1;
        }
    }

    /// A connection has none any more.
    fn hung_up(&self, dialled: &mut bool) {
        if std::mem::take(dialled) {
            self.state().dialled -= 1;
        }
    }

    /// Leaves loads to other connections, if there are any with a session.
    fn hand_over(&self, dialled: bool, loads: &mut VecDeque<Load>) -> bool {
        let mut state = self.state();
        let others = state.dialled - usize::from(dialled) > 0;
        if others {
            state.handed_over.extend(loads.drain(..));
        }
        others
    }

    /// What others could not send, for a connection that is at its end. Where there is nothing, or
    /// `over` says that nothing more is sent, it ends now.
    fn take_over(&self, dialled: &mut bool, over: bool) -> Vec<Load> {
        let mut state = self.state();
        let others = state.dialled - usize::from(*dialled) > 0;
        if over && others {
            // One of those sees to it.
            state.dialled -= usize::from(std::mem::take(dialled));
            return Vec::new();
        }
        let loads = std::mem::take(&mut state.handed_over);
        if over || loads.is_empty() {
            state.dialled -= usize::from(std::mem::take(dialled));
        }
        loads
    }

    fn refused(&self, message: &super::outbound::Message, reason: &str) {
        let mut state = self.state();
        state
            .notes
            .push((message.out, What::Refused, reason.to_owned()));
        if let Some(done) = state.done.get_mut(message.out) {
            *done = Some(Done::Not(What::Refused));
        }
    }

    fn unsettled(&self, load: &Load) {
        let mut state = self.state();
        for (no, message) in load.iter() {
            if let Some(done) = state.done.get_mut(message.out) {
                *done = Some(Done::Unsettled(no));
            }
        }
    }
}

const fn rank(ended: &Ended) -> u8 {
    match ended {
        Ended::Done => 0,
        Ended::Lost(_) => 1,
        Ended::Spool(_) => 2,
        Ended::Ledger(_) => 3,
        Ended::Died => 4,
    }
}
