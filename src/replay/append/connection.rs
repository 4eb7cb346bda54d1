//! One connection to the target, dialled again when it breaks.

mod refused;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::load::{Load, outcome};
use super::{Ended, Head, Sending};
use crate::archive::ledger::{Fate, LedgerRecord};
use crate::contact::{Dialled as _, Patience, Stop, Verdict};
use crate::durable::step;
use crate::imap::{Append, AppendReply, ImapError, Literals, Sent, TargetSession};
use crate::net::Disposition;
use crate::replay::outbound::{BATCH_BYTES, Fed};

/// Appends under way without MULTIAPPEND, where the server bears more than one.
const DEPTH: usize = 16;
/// Bytes under way.
const UNDER_WAY: u64 = 2 * BATCH_BYTES;
/// How long answers are waited for once somebody asks to stop.
const HURRY: Duration = Duration::from_secs(20);

/// A connection, and what it has taken on.
pub(super) struct Connection {
    sending: Arc<Sending>,
    feed: Arc<Mutex<mpsc::Receiver<Fed>>>,
    session: Option<TargetSession>,
    /// Taken on, with durable intents, and not sent.
    backlog: VecDeque<Load>,
    /// Sent and not answered.
    flights: VecDeque<Load>,
    /// Outcomes that are not durable yet.
    records: Vec<LedgerRecord>,
    patience: Patience,
    /// The server stumbled over so many messages, and stored none in between.
    stumbled: u32,
    /// It has, or had until it breaks, a session of its own.
    dialled: bool,
}

/// Why work on a connection ended.
enum Broken {
    /// The connection is of no further use.
    Lost(ImapError),
    /// All is over.
    Over(Ended),
}

impl From<ImapError> for Broken {
    fn from(error: ImapError) -> Self {
        Self::Lost(error)
    }
}

impl Connection {
    pub(super) fn new(sending: Arc<Sending>, feed: Arc<Mutex<mpsc::Receiver<Fed>>>) -> Self {
        Self {
            sending,
            feed,
            session: None,
            backlog: VecDeque::new(),
            flights: VecDeque::new(),
            records: Vec::new(),
            patience: Patience::default(),
            stumbled: 0,
            dialled: false,
        }
    }

    /// Works until nothing is left.
    pub(super) async fn run(mut self) -> Ended {
        let ended = loop {
            let error = match self.work().await {
                Ok(()) => break Ended::Done,
                Err(Broken::Over(ended)) => break ended,
                Err(Broken::Lost(error)) => error,
            };
            self.session = None;
            self.sending.hung_up(&mut self.dialled);
            for load in self.flights.drain(..) {
                self.sending.unsettled(&load);
            }
            if self.sending.stop.is_requested() {
                break Ended::Done;
            }
            let Disposition::RetryAfter(least) = error.disposition().1 else {
                // An answer nobody could read: the next session may fare better.
                match self.wait(&error, Duration::from_secs(1)).await {
                    Verdict::Again => continue,
                    Verdict::Stopped => break Ended::Done,
                    Verdict::Enough => break Ended::Lost(error.into()),
                }
            };
            match self.wait(&error, least).await {
                Verdict::Again => {}
                Verdict::Stopped => break Ended::Done,
                Verdict::Enough => break Ended::Lost(error.into()),
            }
        };
        self.leave(ended).await
    }

    async fn wait(&mut self, error: &ImapError, least: Duration) -> Verdict {
        let Sending { sink, stop, .. } = &*self.sending;
        self.patience.after(error, least, &**sink, stop).await
    }

    /// What was taken on and never sent is on the target for certain not to be.
    async fn leave(mut self, ended: Ended) -> Ended {
        self.takes_over(true);
        for load in &self.backlog {
            let absent = load.iter().map(|(no, _)| outcome(no, Fate::Absent));
            self.records.extend(absent);
        }
        if let Err(error) = self.sending.ledger.commit(self.records).await
            && !matches!(ended, Ended::Ledger(_))
        {
            return Ended::Ledger(error);
        }
        if let Some(session) = self.session {
            session.logout().await;
        }
        ended
    }

    /// Sends and receives until nothing is left, or the connection is lost.
    async fn work(&mut self) -> Result<(), Broken> {
        loop {
            let over = self.sending.stop.is_requested() || self.sending.state().full.is_some();
            let load = if over { None } else { self.next_load().await? };
            match load {
                Some(load) => self.send(load).await?,
                None if self.flights.is_empty() => {
                    if !self.takes_over(over) {
                        return Ok(());
                    }
                }
                None => self.receive().await?,
            }
        }
    }

    /// Takes what another connection could not send, before it ends; whether there was any.
    fn takes_over(&mut self, over: bool) -> bool {
        let left = self.sending.take_over(&mut self.dialled, over);
        self.backlog.extend(left);
        !over && !self.backlog.is_empty()
    }

    /// The next load, if one more may be under way. While answers are outstanding it is not
    /// waited for.
    async fn next_load(&mut self) -> Result<Option<Load>, Broken> {
        if !self.has_room() {
            return Ok(None);
        }
        loop {
            if let Some(load) = self.backlog.pop_front() {
                return Ok(Some(load));
            }
            let fed = if self.flights.is_empty() {
                // Whoever waits here may have to wait for long.
                self.commit(Vec::new()).await?;
                let feed = Arc::clone(&self.feed);
                tokio::select! {
                    fed = async { feed.lock().await.recv().await } => fed,
                    () = self.sending.stop.requested() => None,
                }
            } else {
                let taken = self.feed.try_lock();
                taken.ok().and_then(|mut feed| feed.try_recv().ok())
            };
            match fed {
                None => return Ok(None),
                Some(Fed::Batch(place, messages)) => {
                    let (intents, load) = self.sending.intend(place, messages);
                    // ORDER: intents are durable before a byte of their messages goes out.
                    self.commit(intents).await?;
                    if !load.is_empty() {
                        self.backlog.push_back(load);
                    }
                }
                Some(Fed::Failed(error)) => return Err(Broken::Over(Ended::Spool(error))),
                Some(other) => self.sending.take_note(&other),
            }
        }
    }

    fn has_room(&self) -> bool {
        let Some(session) = &self.session else {
            return self.flights.is_empty();
        };
        let depth = match (session.quirks().depth, self.together(session)) {
            (1, _) => 1,
            // A message that is BAD costs the session, and what is under way behind it a look.
            _ if self.sending.alone => 1,
            (_, true) => 2,
            (_, false) => DEPTH,
        };
        let bytes: u64 = self.flights.iter().map(Load::bytes).sum();
        self.flights.is_empty() || (self.flights.len() < depth && bytes < UNDER_WAY)
    }

    /// Whether several messages go in one command.
    fn together(&self, session: &TargetSession) -> bool {
        !self.sending.alone && session.multiappend() && !self.sending.state().singly
    }

    /// Makes records durable, together with the outcomes gathered so far.
    async fn commit(&mut self, mut more: Vec<LedgerRecord>) -> Result<(), Broken> {
        let mut records = std::mem::take(&mut self.records);
        records.append(&mut more);
        let result = self.sending.ledger.commit(records).await;
        result.map_err(|error| Broken::Over(Ended::Ledger(error)))
    }

    async fn send(&mut self, mut load: Load) -> Result<(), Broken> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match self.dial().await {
                Ok(session) => session,
                Err(broken) => {
                    self.backlog.push_front(load);
                    let lost = matches!(broken, Broken::Lost(_));
                    // Most targets bear few sessions; where others work, one more is a luxury.
                    if lost && self.sending.hand_over(self.dialled, &mut self.backlog) {
                        return Err(Broken::Over(Ended::Done));
                    }
                    return Err(broken);
                }
            },
        };
        load.synchronising |=
            self.sending.alone || load.bytes() > BATCH_BYTES || load.has_odd_date();
        if load.len() > 1 && (!self.together(&session) || load.has_odd_date()) {
            self.put_back(load.apart());
            self.session = Some(session);
            return Ok(());
        }
        if session.literals() != Literals::Synchronising && !load.synchronising {
            let mut first_of = self.untried(&mut load);
            if !first_of.is_empty() {
                if !load.is_empty() {
                    first_of.push(load);
                }
                self.put_back(first_of);
                self.session = Some(session);
                return Ok(());
            }
        }
        if load.waits(session.literals()) && !self.flights.is_empty() {
            // The session would wait for those as well, and a BAD among them would end it with
            // nobody knowing what was refused.
            self.backlog.push_front(load);
            self.session = Some(session);
            return self.receive().await;
        }
        let Some(destination) = self.sending.destinations.get(load.place) else {
            return Ok(());
        };
        let messages = load.appending();
        let append = Append {
            mailbox: &destination.wire,
            messages: &messages,
            synchronising: load.synchronising,
        };
        step("append begins");
        let sent = tokio::select! {
            sent = session.send_append(&append) => sent,
            error = hurry(&self.sending.stop) => Err(error),
        };
        step("append sent");
        match sent {
            Ok(Sent::Outstanding) => {
                self.session = Some(session);
                self.flights.push_back(load);
                Ok(())
            }
            Ok(Sent::Refused(tagged)) => {
                self.session = Some(session);
                self.judge(load, &tagged).await
            }
            Err(error @ (ImapError::Unsendable { .. } | ImapError::CommandTooLong { .. })) => {
                // Nothing of it went out.
                self.session = Some(session);
                self.refuse(&load, &error.to_string());
                Ok(())
            }
            Err(ImapError::Spool(error)) => {
                self.backlog.push_front(load);
                Err(Broken::Over(Ended::Spool(error)))
            }
            Err(error) => {
                self.flights.push_back(load);
                Err(error.into())
            }
        }
    }

    fn put_back(&mut self, loads: Vec<Load>) {
        for load in loads.into_iter().rev() {
            self.backlog.push_front(load);
        }
    }

    /// One message of each set of flags the server has not accepted yet, to be tried first.
    fn untried(&self, load: &mut Load) -> Vec<Load> {
        let state = self.sending.state();
        let mut tried = std::collections::HashSet::new();
        let place = load.place;
        load.take_out(|message| {
            let head = Head::of(place, &message.flags);
            !state.accepted.contains(&head) && tried.insert(head)
        })
    }

    async fn dial(&mut self) -> Result<TargetSession, Broken> {
        let Sending {
            source,
            spool,
            stop,
            ..
        } = &*self.sending;
        tokio::select! {
            session = TargetSession::dial(source, spool.clone()) => {
                let session = session?;
                self.sending.dialled(&mut self.dialled);
                Ok(session)
            }
            () = stop.requested() => Err(Broken::Over(Ended::Done)),
        }
    }

    /// Takes in the answer to the oldest append.
    async fn receive(&mut self) -> Result<(), Broken> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let hurry = hurry(&self.sending.stop);
        let reply = tokio::select! {
            reply = session.next_append() => reply?,
            error = hurry => return Err(error.into()),
        };
        step("append answered");
        let Some(load) = self.flights.pop_front() else {
            return Ok(());
        };
        match reply {
            AppendReply::Stored(told) => {
                self.patience.gained();
                self.stumbled = 0;
                if load.synchronising {
                    let heads = load.iter().map(|(_, m)| Head::of(load.place, &m.flags));
                    self.sending.state().accepted.extend(heads);
                }
                let uidvalidity = self.uidvalidity(&load);
                self.records.extend(load.there(told.as_ref(), uidvalidity));
                self.say_bare(&load);
                self.sending.arrived(&load);
                Ok(())
            }
            AppendReply::Refused(tagged) => self.judge(load, &tagged).await,
            AppendReply::Misunderstood(tagged) => {
                self.misunderstood(load, &tagged);
                // What came behind it may have been taken for commands.
                self.session = None;
                for load in self.flights.drain(..) {
                    self.sending.unsettled(&load);
                }
                Ok(())
            }
        }
    }

    fn uidvalidity(&self, load: &Load) -> u32 {
        let destination = self.sending.destinations.get(load.place);
        destination.map_or(0, |d| d.uidvalidity)
    }
}

/// Comes once somebody has asked to stop, and has waited for long enough.
async fn hurry(stop: &Stop) -> ImapError {
    stop.requested().await;
    tokio::time::sleep(HURRY).await;
    ImapError::Io {
        source: std::io::ErrorKind::Interrupted.into(),
    }
}
