//! Fetching bodies: one worker per connection, commands pipelined, the tagged status decisive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::work::Work;
use crate::backup::commit::Queue;
use crate::backup::identify::identify;
use crate::backup::side::Ended;
use crate::contact::{Patience, Stop, Verdict, describe};
use crate::event::{Event, Sink};
use crate::imap::{BodyEvent, ImapError, Session, Tagged};
use crate::model::{RemoteId, UidSet};
use crate::net::{Disposition, Scope};
use crate::source::ImapSource;
use crate::spool::{Body, SpoolOptions};
use crate::store::Arrived;

/// The least wait after an answer that nobody can read and that belongs to no message.
const REDIAL: Duration = Duration::from_secs(1);

/// What a worker needs.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) source: ImapSource,
    pub(super) spool: SpoolOptions,
    pub(super) work: Work,
    pub(super) queue: Queue,
    pub(super) stop: Stop,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) depth: usize,
    /// The first worker holds out; the others leave a crowded server to it.
    pub(super) first: bool,
    /// A message came in since the last failure.
    pub(super) gained: bool,
}

/// What stands between a worker and its next batch.
enum Interrupted {
    Stopped,
    Imap(ImapError),
}

impl From<ImapError> for Interrupted {
    fn from(error: ImapError) -> Self {
        Self::Imap(error)
    }
}

/// A batch that was asked for, and what of it has not been answered.
struct Outstanding {
    batch: Batch,
    unanswered: UidSet,
}

impl Worker {
    /// Works until nothing is left. A lost connection is dialled again with growing waits;
    /// what was asked for and not answered goes back first.
    /// Tells whether it was the first worker.
    pub(super) async fn run(mut self, session: Option<Session>) -> (bool, Ended) {
        (self.first, self.work_on(session).await)
    }

    async fn work_on(&mut self, session: Option<Session>) -> Ended {
        let mut patience = Patience::default();
        let mut session = session;
        while !self.stop.is_requested() {
            let mut outstanding = VecDeque::new();
            let dialling = session.is_none();
            if dialling && !self.work.may_take() {
                return Ended::Done;
            }
            let result = match session.take() {
                Some(mut open) => {
                    let result = self.drain(&mut open, &mut outstanding).await;
                    if result.is_ok() {
                        open.logout().await;
                        return Ended::Done;
                    }
                    result
                }
                None => match self.connect().await {
                    Ok(open) => {
                        session = Some(open);
                        continue;
                    }
                    Err(interrupted) => Err(interrupted),
                },
            };
            let error = match result {
                Ok(()) => return Ended::Done,
                Err(Interrupted::Stopped) => {
                    self.put_back(outstanding);
                    return Ended::Stopped;
                }
                Err(Interrupted::Imap(error)) => error,
            };
            let gained = std::mem::take(&mut self.gained);
            if gained {
                patience.gained();
            }
            let Some(wait) = self.judge(&error, outstanding, gained) else {
                return Ended::Failed(error.into());
            };
            if wait.is_zero() {
                // A culprit was narrowed down, which ends by itself; it is no failed attempt.
                continue;
            }
            // Refused extra connections shrink the pool; what they had goes to the others.
            if !self.first && (dialling || matches!(error, ImapError::Capacity { .. })) {
                return Ended::Failed(error.into());
            }
            match patience.after(&error, wait, &*self.sink, &self.stop).await {
                Verdict::Again => {}
                Verdict::Enough => return Ended::Failed(error.into()),
                Verdict::Stopped => return Ended::Stopped,
            }
        }
        Ended::Stopped
    }

    /// What was asked for and not answered is work to be done still.
    fn put_back(&self, outstanding: VecDeque<Outstanding>) {
        for asked in outstanding.into_iter().rev() {
            self.work.put_back(asked.batch.of(asked.unanswered));
        }
    }

    async fn connect(&self) -> Result<Session, Interrupted> {
        tokio::select! {
            session = self.source.connect(self.spool.clone()) => Ok(session?),
            () = self.stop.requested() => Err(Interrupted::Stopped),
        }
    }

    /// What a broken session means for the work, and how long to wait before the next;
    /// `None` when there is no point in a next.
    fn judge(
        &mut self,
        error: &ImapError,
        outstanding: VecDeque<Outstanding>,
        gained: bool,
    ) -> Option<Duration> {
        let (scope, disposition) = error.disposition();
        // QUIRK(Zoho, 2024; others): a pipelining client is cut off. One command at a time then.
        let lost = matches!(error, ImapError::Io { .. } | ImapError::Bye { .. });
        if lost && outstanding.len() > 1 {
            self.work.go_shallow();
        }
        // Without anything outstanding there is nobody to blame: it is a failed attempt.
        let culprit = scope == Scope::Message && !outstanding.is_empty();
        // Lost before anything came: there may be a message over which the server falls. What was
        // skipped before is suspected at once.
        let is_retry = |asked: &Outstanding| asked.batch.retry;
        let suspect = lost
            && outstanding.len() == 1
            && (!gained || outstanding.front().is_some_and(is_retry));
        // Last in first, so that the oldest stands in front again.
        for (n, asked) in outstanding.into_iter().enumerate().rev() {
            let rest = asked.batch.of(asked.unanswered);
            if n == 0 && rest.retry && (culprit || suspect) {
                self.work.lost_over_retry();
            }
            if n == 0 && culprit {
                self.work.narrow(&rest, &error.to_string());
            } else if n == 0 && suspect {
                self.work.go_shallow();
                // Whoever is found guilty no longer stands in the way, which is a gain.
                self.gained |= self.work.suspect(&rest, &describe(error));
            } else {
                self.work.put_back(rest);
            }
        }
        match disposition {
            Disposition::RetryAfter(wait) => Some(wait),
            // The culprit is narrowed down or recorded; the session is of no further use.
            Disposition::RetryNow | Disposition::Skip if culprit => Some(Duration::ZERO),
            Disposition::RetryNow => Some(REDIAL),
            _ => None,
        }
    }

    async fn drain(
        &mut self,
        session: &mut Session,
        outstanding: &mut VecDeque<Outstanding>,
    ) -> Result<(), Interrupted> {
        let mut open = None;
        loop {
            let depth = match outstanding.front() {
                Some(asked) if asked.batch.retry => 1,
                _ if self.work.is_shallow() => 1,
                _ => self.depth,
            };
            while outstanding.len() < depth && !self.stop.is_requested() {
                let next = if outstanding.is_empty() {
                    self.work.take(None)
                } else {
                    self.work.take(open)
                };
                let Some(batch) = next else { break };
                if open != Some(batch.mailbox) {
                    // Whatever comes of it, the server has left the mailbox that was open.
                    open = None;
                    if !self.examine(session, &batch).await? {
                        continue;
                    }
                    open = Some(batch.mailbox);
                }
                let unanswered = batch.uids.clone();
                let uids = batch.uids.clone();
                outstanding.push_back(Outstanding { batch, unanswered });
                session.send_body_fetch(&uids).await?;
            }
            if outstanding.is_empty() {
                return if self.stop.is_ordered() {
                    Err(Interrupted::Stopped)
                } else {
                    Ok(())
                };
            }
            let event = tokio::select! {
                event = session.next_body() => event?,
                // The session is dropped in the middle of an answer; nothing of it was kept.
                () = self.stop.overdue() => return Err(Interrupted::Stopped),
            };
            match event {
                Some(BodyEvent::Message { uid, body }) => {
                    self.message(outstanding, uid, body).await?
                }
                Some(BodyEvent::BatchDone { status }) => {
                    let Some(done) = outstanding.pop_front() else {
                        continue;
                    };
                    let rest = done.batch.of(done.unanswered);
                    if !rest.uids.is_empty() {
                        if status.is_throttle() {
                            // It may be sent later, and will not be by asking on.
                            if rest.retry {
                                self.work.lost_over_retry();
                            }
                            self.work.suspect(&rest, &reason(&status));
                            return Err(ImapError::Capacity {
                                words: status.words,
                            }
                            .into());
                        }
                        self.work.narrow(&rest, &reason(&status));
                    }
                }
                Some(BodyEvent::Expunged) | None => {}
            }
        }
    }

    /// Opens the batch's mailbox; `false` when it cannot be worked on, which is then recorded.
    async fn examine(&self, session: &mut Session, batch: &Batch) -> Result<bool, Interrupted> {
        let Some(target) = self.work.mailboxes.get(batch.mailbox) else {
            return Ok(false);
        };
        let reason = match session.examine(&target.mailbox.wire).await {
            Ok(examined) if examined.uidvalidity.unwrap_or(0) == target.uidvalidity => {
                self.sink.event(Event::Mailbox {
                    name: target.mailbox.name.clone(),
                    messages: u64::try_from(target.messages.len()).unwrap_or(0),
                });
                return Ok(true);
            }
            Ok(_) => {
                "UIDVALIDITY changed during the run; the next run lists the mailbox anew".to_owned()
            }
            // Busy now and perhaps not in a minute; a mailbox that always is gets given up.
            Err(error @ ImapError::No { .. })
                if matches!(error.disposition().1, Disposition::RetryAfter(_))
                    && self.work.is_worth_waiting_for(batch.mailbox) =>
            {
                self.work.put_back(batch.clone());
                return Err(ImapError::Capacity {
                    words: error.to_string(),
                }
                .into());
            }
            Err(
                error @ (ImapError::No { .. }
                | ImapError::Bad { .. }
                | ImapError::MailboxGone { .. }),
            ) => error.to_string(),
            Err(error) => {
                self.work.put_back(batch.clone());
                return Err(error.into());
            }
        };
        self.work.put_back(batch.clone());
        self.work.close_mailbox(batch.mailbox, &reason);
        Ok(false)
    }

    async fn message(
        &mut self,
        outstanding: &mut VecDeque<Outstanding>,
        uid: u32,
        body: Option<Body>,
    ) -> Result<(), Interrupted> {
        // Servers answer in any order, twice, or for messages nobody asked for.
        let Some(asked) = outstanding.iter_mut().find(|o| o.unanswered.contains(uid)) else {
            return Ok(());
        };
        let n = asked.batch.mailbox;
        let Some((target, listed)) = self
            .work
            .mailboxes
            .get(n)
            .and_then(|m| Some((m, m.listed(uid)?)))
        else {
            return Ok(());
        };
        // NIL, or nothing where RFC822.SIZE says something, is no message: it stays unanswered.
        let Some(body) = body.filter(|b| !b.is_empty() || listed.size == 0) else {
            return Ok(());
        };
        let len = body.len();
        let found = identify(body).map_err(ImapError::from)?;
        asked.unanswered.remove(uid);
        self.work.came(&asked.batch, u64::from(listed.size), len);
        if len < u64::from(listed.size) && !self.work.confirm_short(n, uid, found.id) {
            return Ok(());
        }
        self.gained = true;
        self.sink.event(Event::Fetched { bytes: len });
        let in_memory = found.in_memory();
        let remote = RemoteId::Imap {
            uidvalidity: target.uidvalidity,
            uid,
        };
        let flags = target.flags.get(listed.flags).cloned().unwrap_or_default();
        let (content, body) = found.into_content(remote, listed.date(), flags);
        let arrived = Arrived {
            mailbox: target.mailbox.id,
            content,
            reported: listed.size,
            body,
            pop: None,
        };
        self.queue
            .arrived(arrived, in_memory)
            .await
            .map_err(|_| Interrupted::Stopped)
    }
}

/// Why what a FETCH left out was not sent.
fn reason(status: &Tagged) -> String {
    match (status.is_ok(), status.words.trim()) {
        (true, _) => "the server did not send it".to_owned(),
        (false, "") => "the server refused it without a word".to_owned(),
        (false, words) => words.to_owned(),
    }
}
