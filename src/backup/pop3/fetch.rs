//! Fetching what is wanted, over as many sessions as it takes.

use std::time::Duration;

use super::transfer::{Pass, SHORT_USUAL};
use super::{Pop3Side, Wanted};
use crate::archive::format::Record;
use crate::backup::commit::{Closed, Queue};
use crate::backup::side::Ended;
use crate::contact::{Interrupted, Open, describe};
use crate::event::Event;
use crate::model::{Maildrop, RemoteId, Renamed, Skip, shared_uidl};
use crate::net::{Disposition, Scope};
use crate::pop3::Pop3Error;

/// The longest a maildrop is kept locked for others.
const SESSION: Duration = Duration::from_secs(10 * 60);

impl Pop3Side<'_> {
    /// Fetches everything, and looks again until nothing new appears: some servers list only so
    /// many messages at a time (QUIRK(Gmail, 2024): a few hundred, the next once these were
    /// fetched).
    pub(super) async fn fetch_all(&mut self, queue: &Queue) -> Ended {
        let ended = self.fetch_sessions(queue).await;
        let done = matches!(ended, Ok(true));
        if self.settle(queue, done).is_err() {
            return Ended::Stopped;
        }
        match ended {
            Ok(true) => Ended::Done,
            Ok(false) => Ended::Short,
            Err(Interrupted::Stopped) => Ended::Stopped,
            Err(Interrupted::Server(error)) => Ended::Failed(error.into()),
        }
    }

    /// Tells whether nothing is wanted any more, where it is not to be asked on.
    async fn fetch_sessions(&mut self, queue: &Queue) -> Result<bool, Interrupted> {
        if self.wanted.is_empty() {
            self.quit().await;
            return Ok(true);
        }
        let sink = self.ground.sink;
        sink.event(Event::Connected {
            account: self.source.alias(),
            connections: 1,
        });
        sink.event(Event::Note {
            text: "fetching over POP3 may mark messages as read on the server; it has no way to be told not to".to_owned(),
        });
        let (mut second_look, mut more_may_be_there) = (false, false);
        loop {
            sink.event(Event::Mailbox {
                name: super::MAILDROP.to_owned(),
                messages: self.wanted.len() as u64,
            });
            let Some(mut open) = self.open.take() else {
                self.reopen().await?;
                continue;
            };
            self.put_in_order();
            let pass = self.drain(&mut open, queue).await;
            // What a later session brings is compared with what is committed.
            queue.flush().await.map_err(|_| Interrupted::Stopped)?;
            let (came, fresh) = (open.came > 0, open.fresh > 0);
            // What has no name of its own is there in every run, and no sign of more.
            more_may_be_there |= fresh && open.named > 0;
            match pass {
                Ok(pass) if pass != Pass::Limit && !self.doubted.is_empty() => {
                    self.open = Some(open);
                    self.quit().await;
                    for wanted in std::mem::take(&mut self.doubted).into_iter().rev() {
                        self.wanted.push_front(wanted);
                    }
                    second_look = true;
                }
                Ok(pass) => {
                    self.open = Some(open);
                    self.quit().await;
                    if pass == Pass::Limit {
                        self.note_no_way_on();
                        return Err(Interrupted::Stopped);
                    }
                    if came && !fresh && !std::mem::take(&mut second_look) {
                        self.notes.push(
                            "the last session brought nothing but messages that had come before in this run: the server calls them by other names in every session, or by none; each is kept once"
                                .to_owned(),
                        );
                        return Ok(self.wanted.is_empty());
                    }
                    let drained = pass == Pass::Drained;
                    let looks = drained && std::mem::take(&mut more_may_be_there);
                    if drained && !(looks && self.look_again().await?) {
                        return Ok(true);
                    }
                }
                Err(Interrupted::Server(error)) => self.survive(error).await?,
                Err(stopped) => return Err(stopped),
            }
        }
    }

    /// The next run begins with the same messages where no name tells that they are held.
    fn note_no_way_on(&mut self) {
        if self.wanted.iter().any(|w| w.uidl.is_none()) {
            self.notes.push(
                "messages that have no UIDL of their own are fetched from the first on in every run: if they are more than the limit allows, the rest never comes"
                    .to_owned(),
            );
        }
    }

    /// A new session, in which what is wanted has new numbers.
    async fn reopen(&mut self) -> Result<(), Interrupted> {
        loop {
            let (open, listing) = self.door.open().await?;
            self.open = Some(open);
            match self.survey_again(&listing).await {
                Ok(()) => return Ok(()),
                Err(Interrupted::Server(error)) => {
                    self.open = None;
                    self.door.wait(error).await?;
                }
                Err(stopped) => return Err(stopped),
            }
        }
    }

    /// Looks whether more is there than the last session listed. A server that does not let us
    /// in again so soon has given all it had.
    async fn look_again(&mut self) -> Result<bool, Interrupted> {
        let again = match self.door.open_once().await {
            Ok((open, listing)) => {
                self.open = Some(open);
                self.survey_again(&listing).await
            }
            Err(error) => Err(error),
        };
        match again {
            Ok(()) if self.wanted.is_empty() => {
                self.quit().await;
                Ok(false)
            }
            Ok(()) => Ok(true),
            // What it found already is to be had in another.
            Err(Interrupted::Server(error)) if !self.wanted.is_empty() => {
                self.survive(error).await?;
                Ok(true)
            }
            Err(Interrupted::Server(error)) => {
                self.open = None;
                self.notes.push(format!(
                    "could not look again for mail that came meanwhile; the next run will: {}",
                    describe(&error)
                ));
                Ok(false)
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// What a broken session means: whether there is to be another, and after how long.
    async fn survive(&mut self, error: Pop3Error) -> Result<(), Interrupted> {
        self.open = None;
        let (scope, disposition) = error.disposition();
        // A culprit was found, which ends by itself; it is no failed attempt.
        if scope == Scope::Message {
            return Ok(());
        }
        match disposition {
            Disposition::RetryAfter(_) | Disposition::RetryNow => self.door.wait(error).await,
            Disposition::Skip | Disposition::Abort => Err(error.into()),
        }
    }

    async fn quit(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(error) = open.quit().await
        {
            tracing::debug!(%error, "the session was not ended in good order");
        }
    }

    pub(super) fn skip(&mut self, wanted: Wanted, reason: String) {
        self.ground.sink.event(Event::Skipped {
            mailbox: super::MAILDROP.to_owned(),
            remote: wanted.uidl.clone().unwrap_or_else(|| "?".to_owned()),
            reason: reason.clone(),
        });
        self.books.skipped.push((wanted.uidl, reason));
        if wanted.before.is_some() {
            self.retried_in_vain();
        }
    }

    /// Whether a session has lasted long enough. Not while messages without a name of their own
    /// are wanted, which would all be asked for again.
    pub(super) fn is_over(&self, open: &Open) -> bool {
        let enough = if cfg!(feature = "testing") {
            std::env::var("MAILSTOW_TEST_POP_SESSION_MESSAGES").ok()
        } else {
            None
        };
        let enough = enough.and_then(|n| n.parse::<u64>().ok());
        let over = open.since.elapsed() >= SESSION || enough.is_some_and(|n| open.came >= n);
        let many_short = self.doubted.len() >= usize::try_from(SHORT_USUAL).unwrap_or(1);
        many_short || over && self.wanted.iter().all(|w| w.uidl.is_some())
    }

    /// Records what became of messages that did not come, and with which server this was.
    fn settle(&mut self, queue: &Queue, done: bool) -> Result<(), Closed> {
        let Some(mailbox) = self.mailbox() else {
            return Ok(());
        };
        // Judged on arrival, for want of TOP.
        if !self.told_without && self.is_without_verdict() {
            self.note_without_verdict(self.books.judgements);
            self.books.forget_clean();
        }
        let server = self.source.alias();
        let complete = done && self.wanted.is_empty();
        if complete && self.known.server.as_ref() != Some(&server) {
            // Only now: a run that was cut short has to check all UIDLs of another server again.
            self.release_uidls(queue)?;
            queue.record(Record::Maildrop(Maildrop {
                mailbox,
                server,
                start: self.start,
                baseline: Vec::new(),
            }))?;
        }
        if complete || !self.is_another_server() {
            for judged in self.books.take_judged(mailbox) {
                queue.record(Record::Judged(judged))?;
            }
        }
        if let Some(record) = self.settle_nameless(mailbox, complete) {
            queue.record(record)?;
        }
        for (uidl, reason) in &self.books.skipped {
            let Some(uidl) = uidl.clone() else { continue };
            queue.record(Record::Skip(Skip {
                mailbox,
                remote: Some(RemoteId::Pop { uidl }),
                count: 1,
                reason: reason.clone(),
                accepted: None,
            }))?;
        }
        if self.books.short > 0 {
            self.notes.push(format!(
                "{} messages came shorter than the server's list said, every time; they are kept as they came",
                self.books.short
            ));
        }
        Ok(())
    }

    /// What is held from another server under UIDLs that this one does not list must not be taken
    /// for what this one may list under them one day.
    fn release_uidls(&self, queue: &Queue) -> Result<(), Closed> {
        let Some(candidates) = self
            .candidates
            .as_ref()
            .filter(|_| self.is_another_server())
        else {
            return Ok(());
        };
        let renamed = |key: &str| self.books.renamed.iter().any(|r| r.from == key);
        for claim in candidates.unlisted(|uidl| uidl.is_empty() || self.books.has_seen(uidl)) {
            if !renamed(&claim.key) {
                queue.record(Record::Renamed(Renamed {
                    mailbox: claim.mailbox,
                    from: claim.key.clone(),
                    to: shared_uidl("", claim.content),
                    healed: false,
                }))?;
            }
        }
        Ok(())
    }
}
