//! The course of a delivery.

use std::sync::Arc;

use super::rules::Delivery;
use super::send::{Courier, Sent, connect};
use super::{DeliverRequest, NOWHERE};
use crate::archive::ledger::{LedgerRecord, TargetMailbox};
use crate::contact::{Stop, spool_into};
use crate::event::{Event, Sink};
use crate::model::Listing;
use crate::replay::ReplayError;
use crate::replay::assign::{Resend, assign};
use crate::replay::ledger::{Ledger, LedgerPlace, Piece};
use crate::replay::outbound::{Fed, Feeder, Message, Outbound, in_archive_order};
use crate::replay::report::{MailboxRow, MessageNote, ReplayReport, What};
use crate::replay::run::{moment, selection};
use crate::replay::survey::Habits;
use crate::replay::wanted::{Item, Shared, chosen, collapse};
use crate::report::Ending;
use crate::store::Reader;

/// Delivers, or says what that would do. The same request again goes on with what was not sent.
///
/// Asked to stop, it ends behind the message that is under way, for whose answer it waits twenty
/// seconds. Dropping the future leaves that message doubtful.
///
/// # Errors
/// The archive, the ledger or the server cannot be used at all. A server that is lost on the way
/// stands in the report.
pub async fn deliver(
    request: &DeliverRequest,
    sink: Arc<dyn Sink>,
    stop: &Stop,
) -> Result<ReplayReport, ReplayError> {
    let reader = Reader::open(&request.archive, request.catalog.as_deref())?;
    let ledger = open_ledger(request, &reader)?;
    let report = fresh_report(request, &reader)?;
    // Before anything is planned: a slip of the user's is known at once.
    let session = connect(request, stop).await?;
    let extensions = session.extensions();
    let habits = Habits {
        append_limit: extensions.size,
        delivery: Some(Delivery {
            recipient: request.recipient.clone(),
            eight_bit: extensions.eight_bit_mime,
        }),
        ..Habits::default()
    };
    let mut course = Course {
        request,
        shared: Shared::default(),
        row: MailboxRow {
            target: request.recipient.clone(),
            ..MailboxRow::default()
        },
        report,
        outbound: Arc::default(),
        booked: 0,
    };
    let items = course.items(&reader)?;
    course.plan(&ledger, items);
    course.say_planned(&*sink);
    let mut courier = Courier::new(request, &ledger, &*sink, stop, session);
    if !request.dry_run {
        begin(request, &ledger).await?;
    }
    course.work(&mut courier, &reader, habits).await?;
    if let Some(session) = courier.session {
        session.quit().await;
    }
    Ok(course.finish())
}

fn open_ledger(request: &DeliverRequest, reader: &Reader) -> Result<Ledger, ReplayError> {
    let place = LedgerPlace {
        base: request
            .ledger
            .clone()
            .unwrap_or_else(|| request.archive.join("replay")),
        archive: reader.dir().id().to_owned(),
        address: request.address(),
    };
    Ok(if request.dry_run {
        Ledger::open_dry(&place)?
    } else {
        Ledger::open(&place, &request.clock)?
    })
}

fn fresh_report(request: &DeliverRequest, reader: &Reader) -> Result<ReplayReport, ReplayError> {
    let accounts = reader.catalog().accounts()?;
    let account = accounts.into_iter().find(|a| a.id == request.account);
    let account = account.map(|a| a.name).unwrap_or_default();
    let mut report = ReplayReport::new(account, request.address(), request.clock.now());
    report.delivery = true;
    report.archive = request.archive.display().to_string();
    reader.dir().id().clone_into(&mut report.archive_id);
    report.dry_run = request.dry_run;
    report.as_of = moment(request.as_of.as_ref(), request.account);
    report.selection = selection(&request.mailboxes, &request.exclude, &request.within);
    report.notes.push(
        "dates of arrival, flags and mailboxes do not travel by delivery, and what was delivered cannot be taken back".to_owned(),
    );
    Ok(report)
}

/// The one mailbox of the ledger.
async fn begin(request: &DeliverRequest, ledger: &Ledger) -> Result<(), ReplayError> {
    if ledger.state().target(&request.recipient).is_some() {
        return Ok(());
    }
    let mailbox = TargetMailbox {
        id: NOWHERE,
        wire: request.recipient.clone(),
    };
    Ok(ledger.commit(vec![LedgerRecord::Mailbox(mailbox)]).await?)
}

/// A delivery under way.
struct Course<'a> {
    request: &'a DeliverRequest,
    shared: Shared,
    row: MailboxRow,
    report: ReplayReport,
    outbound: Arc<Vec<Outbound>>,
    /// Outbound messages whose fate is booked.
    booked: u64,
}

impl Course<'_> {
    /// Each content of the chosen mailboxes once.
    fn items(&mut self, reader: &Reader) -> Result<Vec<Item>, ReplayError> {
        let request = self.request;
        let catalog = reader.catalog();
        let mailboxes = chosen(
            catalog,
            request.account,
            request.as_of.as_ref(),
            &request.mailboxes,
            &request.exclude,
        )?;
        let (mut items, row) = (Vec::new(), &mut self.row);
        for (mailbox, commit) in mailboxes {
            let within = &request.within;
            let (mut some, not_sent) = self.shared.items(catalog, mailbox.id, commit, within)?;
            items.append(&mut some);
            row.in_archive += not_sent.forgotten;
            row.excluded += not_sent.forgotten;
            row.sources.push(mailbox.name);
        }
        row.in_archive += items.len() as u64;
        row.excluded += collapse(&mut items);
        Ok(items)
    }

    /// Finds out what was not sent yet.
    fn plan(&mut self, ledger: &Ledger, items: Vec<Item>) {
        let again = self.request.resend_doubtful;
        let pieces: Vec<Piece> = ledger.state().pieces().copied().collect();
        let resend = Resend {
            removed: false,
            doubtful: again,
        };
        let assigned = assign(&items, &pieces, &Listing::default(), 0, resend);
        // What a server has taken is nowhere to be seen.
        self.row.there += (assigned.unlocated.len() + assigned.there.len()) as u64;
        let mut wanted = assigned.missing;
        for (item, no) in assigned.open.into_iter().chain(assigned.doubtful) {
            if again {
                wanted.push((item, Some(no)));
                continue;
            }
            self.row.doubtful += 1;
            let why = "it was under way when the connection was lost or the run ended; it may have been delivered";
            self.note(What::Doubtful, items.get(item), why.to_owned());
        }
        let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
        let outbound = wanted.into_iter().filter_map(|(item, replaces)| {
            Some(Outbound {
                item: items.get_mut(item)?.take()?,
                place: 0,
                replaces,
            })
        });
        self.outbound = Arc::new(outbound.collect());
    }

    fn say_planned(&self, sink: &dyn Sink) {
        sink.event(Event::ToAppend {
            messages: self.outbound.len() as u64,
            bytes: self.outbound.iter().map(|o| o.item.len).sum(),
            mailboxes: 0,
            there: self.row.there,
        });
    }

    /// Reads what is to be sent and brings it to the server; in a dry run only the first.
    async fn work(
        &mut self,
        courier: &mut Courier<'_>,
        reader: &Reader,
        habits: Habits,
    ) -> Result<(), ReplayError> {
        let order = in_archive_order(&self.outbound);
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let feeder = Feeder {
            outbound: Arc::clone(&self.outbound),
            shared: Arc::new(std::mem::take(&mut self.shared)),
            mail: reader.mail(),
            habits: Arc::new(habits),
            repairs: self.request.repairs,
            spool: spool_into(&std::env::temp_dir()),
            stop: courier.stop.clone(),
            dry: self.request.dry_run,
        };
        let feeding = tokio::task::spawn_blocking(move || feeder.run(&order, &sender));
        if self.request.dry_run {
            let all = self.outbound.iter();
            self.row.bytes = all.map(|o| o.item.len).sum();
        }
        while let Some(fed) = receiver.recv().await {
            match fed {
                Fed::Not(out, what, reason) => self.cannot(out, what, reason),
                // Its date and flags do not travel in any case.
                Fed::Note(_, What::WithoutDate | What::WithoutKeywords, _) => {}
                Fed::Note(out, what, reason) => self.note_of(what, out, reason),
                Fed::Failed(error) => return Err(error.into()),
                Fed::Batch(_, messages) => {
                    for message in &messages {
                        if courier.over.is_none() {
                            self.send(courier, message).await?;
                        }
                    }
                    if courier.over.is_some() {
                        receiver.close();
                    }
                }
            }
        }
        let joined = feeding.await;
        joined.map_err(|e| ReplayError::Thread(std::io::Error::other(e)))?;
        if let Some((ending, error)) = courier.over.take() {
            self.report.ending = ending;
            self.report.error = error;
        } else if courier.stop.is_requested() && self.rest() > 0 {
            self.report.ending = Ending::Interrupted;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        courier: &mut Courier<'_>,
        message: &Message,
    ) -> Result<(), ReplayError> {
        let outbound = Arc::clone(&self.outbound);
        let Some(out) = outbound.get(message.out) else {
            return Ok(());
        };
        let row = &mut self.row;
        match courier.send(out, message).await? {
            Sent::Accepted => {
                row.appended += 1;
                row.bytes += message.len;
                courier.sink.event(Event::Appended {
                    messages: row.appended,
                    bytes: row.bytes,
                    total: outbound.iter().map(|o| o.item.len).sum(),
                });
            }
            Sent::Refused(reason) => {
                row.refused += 1;
                self.note_of(What::Refused, message.out, reason);
            }
            Sent::Doubtful(reason) => {
                row.doubtful += 1;
                self.note_of(What::Doubtful, message.out, reason);
            }
            Sent::Not => return Ok(()),
        }
        self.booked += 1;
        Ok(())
    }

    /// A message that is not tried.
    fn cannot(&mut self, out: usize, what: What, reason: String) {
        self.booked += 1;
        match what {
            What::Lost => self.row.lost += 1,
            _ => self.row.refused += 1,
        }
        if self.request.dry_run {
            let len = self.outbound.get(out).map_or(0, |o| o.item.len);
            self.row.bytes = self.row.bytes.saturating_sub(len);
        }
        self.note_of(what, out, reason);
    }

    fn note_of(&mut self, what: What, out: usize, reason: String) {
        let outbound = Arc::clone(&self.outbound);
        self.note(what, outbound.get(out).map(|o| &o.item), reason);
    }

    fn note(&mut self, what: What, item: Option<&Item>, reason: String) {
        self.report.note(MessageNote {
            what,
            mailbox: self.request.recipient.clone(),
            content: item.map(|i| i.content.to_string()).unwrap_or_default(),
            remote: item.map(|i| i.remote.to_string()).unwrap_or_default(),
            reason,
        });
    }

    fn rest(&self) -> u64 {
        (self.outbound.len() as u64).saturating_sub(self.booked)
    }

    fn finish(self) -> ReplayReport {
        let rest = self.rest();
        let Self {
            request,
            mut row,
            mut report,
            ..
        } = self;
        if request.dry_run && report.ending == Ending::Complete {
            row.appended += rest;
        } else {
            row.left += rest;
        }
        report.mailboxes.push(row);
        report.add_up();
        report.ended = request.clock.now();
        let sent = &request.target.net.counters.sent;
        report.sent = sent.load(std::sync::atomic::Ordering::Relaxed);
        report
    }
}
