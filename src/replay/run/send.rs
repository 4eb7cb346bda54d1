//! Sending, and what is booked of it.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::Replay;
use crate::imap::Quirks;
use crate::replay::ReplayError;
use crate::replay::append::{Done, Ended, Sending, State};
use crate::replay::outbound::{Fed, Feeder, Outbound, in_archive_order};
use crate::replay::report::{MessageNote, What};
use crate::replay::settle::{Settled, Unsettled, Whence};
use crate::replay::touch::After;
use crate::report::Ending;

/// Batches that wait for a connection.
const WAITING: usize = 1;

impl Replay<'_> {
    /// Sends these, and gives those of which nobody knows whether they arrived.
    pub(in crate::replay) async fn send(
        &mut self,
        outbound: Vec<Outbound>,
        quirks: Quirks,
        alone: bool,
    ) -> Result<Vec<Unsettled>, ReplayError> {
        if outbound.is_empty() {
            return Ok(Vec::new());
        }
        let connections = if alone {
            1
        } else {
            let wanted = self.request.target.connections;
            wanted.unwrap_or(quirks.max_connections).clamp(1, 32)
        };
        let order = in_archive_order(&outbound);
        let total = outbound.iter().map(|o| o.item.len).sum();
        let outbound = Arc::new(outbound);
        let shared = Arc::new(std::mem::take(&mut self.shared));
        let habits = Arc::new(std::mem::take(&mut self.habits));
        let (sender, receiver) = mpsc::channel(WAITING);
        let feeder = Feeder {
            outbound: Arc::clone(&outbound),
            shared: Arc::clone(&shared),
            mail: self.reader.mail(),
            habits: Arc::clone(&habits),
            repairs: self.request.manner.repairs,
            spool: self.spool.clone(),
            stop: self.stop.clone(),
            dry: false,
        };
        let feeding = tokio::task::spawn_blocking(move || feeder.run(&order, &sender));
        let accepted = std::mem::take(&mut self.accepted);
        let sending = Arc::new(Sending {
            source: self.request.target.clone(),
            spool: self.spool.clone(),
            ledger: Arc::clone(&self.ledger),
            destinations: self.places.iter().map(|p| p.to.clone()).collect(),
            outbound: Arc::clone(&outbound),
            sink: Arc::clone(&self.sink),
            stop: self.stop.clone(),
            alone,
            state: Mutex::new(Sending::fresh_state(&outbound, total, accepted)),
        });
        let ended = Arc::clone(&sending).run(receiver, connections).await;
        feeding
            .await
            .map_err(|e| ReplayError::Thread(std::io::Error::other(e)))?;
        let mut state = std::mem::take(&mut *sending.state());
        self.accepted = std::mem::take(&mut state.accepted);
        drop(sending);
        self.shared = Arc::into_inner(shared).unwrap_or_default();
        self.habits = Arc::into_inner(habits).unwrap_or_default();
        self.end_of_sending(ended, &state)?;
        let outbound = Arc::into_inner(outbound).unwrap_or_default();
        Ok(self.book_sent(outbound, state))
    }

    fn end_of_sending(&mut self, ended: Ended, state: &State) -> Result<(), ReplayError> {
        match ended {
            Ended::Done => {}
            Ended::Lost(error) => self.lost(&error),
            Ended::Ledger(error) => return Err(error.into()),
            Ended::Spool(error) => return Err(error.into()),
            Ended::Died => {
                let died = "a connection's task died; please report this";
                return Err(ReplayError::Thread(std::io::Error::other(died)));
            }
        }
        if let Some(words) = &state.full {
            self.report.ending = Ending::Limit;
            self.report.error = Some(format!("the target has no room left: {words}"));
        }
        Ok(())
    }

    fn book_sent(&mut self, outbound: Vec<Outbound>, state: State) -> Vec<Unsettled> {
        for (out, what, reason) in state.notes {
            if let Some(out) = outbound.get(out) {
                let note = self.note_of(what, out, reason);
                self.report.note(note);
            }
        }
        for (no, out, flags) in state.after {
            self.after.extend(outbound.get(out).map(|out| After {
                no,
                place: out.place,
                item: out.item.clone(),
                flags,
            }));
        }
        let mut unsettled = Vec::new();
        for (out, done) in outbound.into_iter().zip(state.done) {
            match done {
                Some(Done::Appended(_)) => self.gmail_sent(&out, None),
                Some(Done::Not(what)) => self.gmail_sent(&out, Some(what)),
                _ => {}
            }
            let row = self.row(out.place);
            match done {
                Some(Done::Appended(no)) => {
                    row.appended += 1;
                    row.bytes += out.item.len;
                    self.unlocated.push((out.place, no, out.item));
                }
                Some(Done::Not(What::Lost)) => row.lost += 1,
                Some(Done::Not(_)) => row.refused += 1,
                Some(Done::Unsettled(no)) => unsettled.push(Unsettled {
                    no,
                    place: out.place,
                    item: out.item,
                    whence: Whence::Sent,
                }),
                None => row.left += 1,
            }
        }
        let state = self.ledger.state();
        let is_unlocated = |no: u64| state.piece(no).is_some_and(|piece| piece.uid.is_none());
        self.unlocated.retain(|(_, no, _)| is_unlocated(*no));
        drop(state);
        unsettled
    }

    pub(in crate::replay) fn note_of(
        &self,
        what: What,
        out: &Outbound,
        reason: String,
    ) -> MessageNote {
        MessageNote {
            what,
            mailbox: self.name_of(out.place),
            content: out.item.content.to_string(),
            remote: out.item.remote.to_string(),
            reason,
        }
    }

    /// Books what was found out about unsettled messages, and gives those to be sent again.
    pub(super) fn book(&mut self, settled: Settled) -> Vec<Outbound> {
        let Settled {
            there,
            absent,
            doubtful,
            open,
        } = settled;
        for one in there {
            if let Whence::Moved(from) = one.whence {
                self.row(from).moved_out += 1;
            }
            if !matches!(one.whence, Whence::Moved(_)) {
                // Its answer was to bring it.
                let flags = self.shared.flags(&one.item);
                let after = self.habits.travelling(&flags, one.place).store_after;
                if !after.is_empty() {
                    self.after.push(After {
                        no: one.no,
                        place: one.place,
                        item: one.item.clone(),
                        flags: after,
                    });
                }
            }
            let row = self.row(one.place);
            match one.whence {
                Whence::Before => row.there += 1,
                Whence::Sent => {
                    row.appended += 1;
                    row.bytes += one.item.len;
                }
                Whence::Moved(_) => row.moved_in += 1,
            }
        }
        for one in open {
            self.row(one.place).left += 1;
        }
        let again = |one: Unsettled| Outbound {
            item: one.item,
            place: one.place,
            replaces: None,
        };
        let mut outbound = Vec::new();
        for one in absent {
            if matches!(one.whence, Whence::Moved(_)) {
                // It is where it was, and the next run moves it: a copy would be one too many.
                self.row(one.place).left += 1;
            } else {
                outbound.push(again(one));
            }
        }
        for (one, reason) in doubtful {
            if self.request.manner.resend.doubtful {
                outbound.push(again(one));
                continue;
            }
            self.row(one.place).doubtful += 1;
            let out = again(one);
            let note = self.note_of(What::Doubtful, &out, reason);
            self.report.note(note);
        }
        outbound
    }

    /// Reads the messages that would be sent, for what there is to say of them.
    pub(super) async fn look_at_messages(&mut self) -> Result<(), ReplayError> {
        let outbound = std::mem::take(&mut self.outbound);
        for out in &outbound {
            let row = self.row(out.place);
            row.appended += 1;
            row.bytes += out.item.len;
        }
        for one in std::mem::take(&mut self.unsettled) {
            self.row(one.place).left += 1;
        }
        let order = in_archive_order(&outbound);
        let outbound = Arc::new(outbound);
        let (sender, mut receiver) = mpsc::channel(64);
        let feeder = Feeder {
            outbound: Arc::clone(&outbound),
            shared: Arc::new(std::mem::take(&mut self.shared)),
            mail: self.reader.mail(),
            habits: Arc::new(std::mem::take(&mut self.habits)),
            repairs: self.request.manner.repairs,
            spool: self.spool.clone(),
            stop: self.stop.clone(),
            dry: true,
        };
        let feeding = tokio::task::spawn_blocking(move || feeder.run(&order, &sender));
        while let Some(fed) = receiver.recv().await {
            let (out, what, reason, not) = match fed {
                Fed::Not(out, what, reason) => (out, what, reason, true),
                Fed::Note(out, what, reason) => (out, what, reason, false),
                Fed::Failed(error) => return Err(error.into()),
                Fed::Batch(..) => continue,
            };
            let Some(out) = outbound.get(out) else {
                continue;
            };
            let note = self.note_of(what, out, reason);
            self.report.note(note);
            if not {
                let row = self.row(out.place);
                row.appended -= 1;
                row.bytes -= out.item.len;
                if what == What::Lost {
                    row.lost += 1;
                } else {
                    row.refused += 1;
                }
            }
        }
        let joined = feeding.await;
        joined.map_err(|e| ReplayError::Thread(std::io::Error::other(e)))
    }
}
