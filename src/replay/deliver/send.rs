//! One message after the other, at most once.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::judge::{Judged, judge};
use super::pace::Pace;
use super::{DeliverRequest, NOWHERE};
use crate::archive::ledger::{Fate, Intent, LedgerRecord, Outcome};
use crate::contact::{Patience, ServerError, Stop, Verdict, describe};
use crate::durable::step;
use crate::event::Sink;
use crate::imap::AppendBody;
use crate::model::Flags;
use crate::net::Disposition;
use crate::replay::ReplayError;
use crate::replay::ledger::Ledger;
use crate::replay::outbound::{Message, Outbound};
use crate::report::Ending;
use crate::smtp::{SendReply, SmtpBody, SmtpError, SmtpSession};

/// Attempts of one message that the server puts off for its own sake.
const TRIES: u32 = 2;
/// How long an answer is waited for once somebody asks to stop.
const HURRY: Duration = Duration::from_secs(20);

/// Brings messages to the server.
pub(super) struct Courier<'a> {
    pub(super) request: &'a DeliverRequest,
    pub(super) ledger: &'a Ledger,
    pub(super) sink: &'a dyn Sink,
    pub(super) stop: &'a Stop,
    pub(super) session: Option<SmtpSession>,
    patience: Patience,
    pace: Pace,
    /// Why nothing more can be sent, once that is so.
    pub(super) over: Option<(Ending, Option<String>)>,
}

/// What became of a message.
pub(super) enum Sent {
    /// The server has it.
    Accepted,
    /// It does not want it.
    Refused(String),
    /// Nobody can tell.
    Doubtful(String),
    /// It was not delivered, and is left for another run.
    Not,
}

/// Connects to the server and signs in.
pub(super) async fn connect(
    request: &DeliverRequest,
    stop: &Stop,
) -> Result<SmtpSession, ReplayError> {
    let target = &request.target;
    open(request, stop)
        .await
        .map_err(|error| ReplayError::Connect {
            server: format!("{}:{}", target.endpoint.host, target.endpoint.port),
            source: Box::new(ServerError::from(error)),
        })
}

async fn open(request: &DeliverRequest, stop: &Stop) -> Result<SmtpSession, SmtpError> {
    let target = &request.target;
    let credentials = target.credentials.as_ref();
    tokio::select! {
        session = SmtpSession::connect(&target.endpoint, &target.net, credentials, target.lmtp) => session,
        () = stop.requested() => Err(interrupted()),
    }
}

fn interrupted() -> SmtpError {
    io::Error::new(io::ErrorKind::Interrupted, "stopped by request").into()
}

impl<'a> Courier<'a> {
    pub(super) fn new(
        request: &'a DeliverRequest,
        ledger: &'a Ledger,
        sink: &'a dyn Sink,
        stop: &'a Stop,
        session: SmtpSession,
    ) -> Self {
        Self {
            request,
            ledger,
            sink,
            stop,
            session: Some(session),
            patience: Patience::default(),
            pace: Pace::new(request.pace),
            over: None,
        }
    }

    /// Sends a message, tried again only while it is certain that it was not delivered.
    pub(super) async fn send(
        &mut self,
        out: &Outbound,
        message: &Message,
    ) -> Result<Sent, ReplayError> {
        let mut tries = 0;
        loop {
            if !self.turn().await {
                self.over = Some((Ending::Interrupted, None));
                return Ok(Sent::Not);
            }
            let no = self.intend(out).await?;
            tries += 1;
            match judge(self.try_once(message).await) {
                Judged::Accepted => {
                    self.patience.gained();
                    self.close(out, no, Fate::There { at: None }).await?;
                    return Ok(Sent::Accepted);
                }
                Judged::Refused(reason) => return self.refuse(out, no, reason).await,
                Judged::Doubtful(error) => {
                    self.session = None;
                    let reason = describe(&error);
                    let fate = Fate::Doubtful {
                        reason: reason.clone(),
                    };
                    self.close(out, no, fate).await?;
                    // A server that loses one answer after the other is not given more to lose.
                    self.rest_after_doubt(error).await;
                    return Ok(Sent::Doubtful(reason));
                }
                Judged::Over(reason) => {
                    self.close(out, no, Fate::Absent).await?;
                    self.over = Some((Ending::ServerLost, Some(reason)));
                    return Ok(Sent::Not);
                }
                Judged::Later {
                    error,
                    wait,
                    of_message,
                } => {
                    if of_message && tries >= TRIES {
                        return self.refuse(out, no, describe(&error)).await;
                    }
                    if !of_message {
                        self.session = None;
                    }
                    // ORDER: what is known not to be delivered is no doubt while we wait.
                    self.close(out, no, Fate::Absent).await?;
                    if !self.rest(&error, wait).await {
                        return Ok(Sent::Not);
                    }
                }
            }
        }
    }

    async fn refuse(
        &mut self,
        out: &Outbound,
        no: u64,
        reason: String,
    ) -> Result<Sent, ReplayError> {
        let fate = Fate::Refused {
            reason: reason.clone(),
        };
        self.close(out, no, fate).await?;
        Ok(Sent::Refused(reason))
    }

    /// Waits after a failure; false where that was enough, or somebody asks to stop.
    async fn rest(&mut self, error: &SmtpError, least: Duration) -> bool {
        let Self {
            patience,
            sink,
            stop,
            ..
        } = self;
        match patience.after(error, least, *sink, stop).await {
            Verdict::Again => return true,
            Verdict::Stopped => self.over = Some((Ending::Interrupted, None)),
            Verdict::Enough => self.over = Some((Ending::ServerLost, Some(describe(error)))),
        }
        false
    }

    async fn rest_after_doubt(&mut self, error: SmtpError) {
        if self.stop.is_requested() {
            self.over = Some((Ending::Interrupted, None));
            return;
        }
        let least = match error.disposition().1 {
            Disposition::RetryAfter(wait) => wait,
            _ => Duration::ZERO,
        };
        // It is not this message that is tried again.
        let cause = match error {
            SmtpError::Doubtful { cause } => *cause,
            other => other,
        };
        self.rest(&cause, least).await;
    }

    /// Waits until a message may go; false where somebody asks to stop meanwhile.
    async fn turn(&mut self) -> bool {
        let wait = self.pace.wait(Instant::now());
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.requested() => return false,
            }
        }
        self.pace.goes(Instant::now());
        !self.stop.is_requested()
    }

    async fn try_once(&mut self, message: &Message) -> Result<SendReply, SmtpError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => open(self.request, self.stop).await?,
        };
        let body = match &message.body {
            AppendBody::Memory(bytes) => SmtpBody::Memory(bytes),
            AppendBody::Spooled(body) => SmtpBody::Spooled(body),
        };
        step("delivery begins");
        let DeliverRequest {
            reverse_path,
            recipient,
            ..
        } = self.request;
        let reply = tokio::select! {
            reply = session.send(reverse_path, recipient, body) => reply,
            () = async { self.stop.requested().await; tokio::time::sleep(HURRY).await } => {
                return Err(SmtpError::Doubtful { cause: Box::new(interrupted()) });
            }
        };
        step("delivery answered");
        self.session = Some(session);
        reply
    }

    async fn intend(&self, out: &Outbound) -> Result<u64, ReplayError> {
        let no = self.ledger.state().next_piece();
        let intent = LedgerRecord::Intent(Intent {
            no,
            target: NOWHERE,
            uidvalidity: 0,
            uidnext: 0,
            content: out.item.content,
            origin: out.item.origin(),
            flags: Flags::default(),
            moves: None,
        });
        // ORDER: the intent is durable before a byte of the message goes out.
        self.ledger.commit(vec![intent]).await?;
        Ok(no)
    }

    /// Says what became of a piece. An older doubt about the same message lasts until it is known
    /// to be there, or there is a newer one.
    async fn close(&self, out: &Outbound, no: u64, fate: Fate) -> Result<(), ReplayError> {
        let settles = matches!(fate, Fate::There { .. } | Fate::Doubtful { .. });
        let mut records = vec![LedgerRecord::Outcome(Outcome { no, fate })];
        if let Some(old) = out.replaces.filter(|_| settles) {
            let fate = Fate::Absent;
            records.push(LedgerRecord::Outcome(Outcome { no: old, fate }));
        }
        Ok(self.ledger.commit(records).await?)
    }
}
