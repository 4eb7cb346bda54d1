//! Deleting from the server what is held. The only part of mailstow that asks a source for a
//! change, and only on the user's order.
//!
//! A message is marked (DELE) only if all of this holds: its bytes were fetched under this UIDL,
//! as many as the server's list says or more, and lie re-read in the archive, long enough if days
//! were asked for; no other message has that UIDL or had it; this new session lists the UIDL, once,
//! with the size it had; and the header the server has under it (TOP) is the header of the message
//! in the archive, byte for byte. Nothing is deleted before +OK to QUIT (RFC 1939 §6).

use std::collections::HashMap;

use super::Pop3Side;
use super::matching::place;
use super::plan::{Names, recorded_size};
use crate::archive::MailReader;
use crate::archive::format::Record;
use crate::backup::BackupError;
use crate::catalog::{Catalog, CatalogError};
use crate::contact::{HEADER_BYTES, Interrupted, Open, describe};
use crate::event::Event;
use crate::header::{self, header_of};
use crate::model::{Evidence, RemoteId, Removed, Skip, StoredContent};
use crate::pop3::{Ask, Listing, Outcome};
use crate::report::{BackupReport, Ending, Limit, Reached};
use crate::spool::Body;
use crate::store::Writer;

/// Messages deleted in one session: what is lost if QUIT is not answered stays bounded.
const AT_ONCE: usize = 500;
const DAY: i64 = 24 * 3600;

/// What is deleted from a POP3 server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletePolicy {
    /// Nothing.
    #[default]
    Never,
    /// What is held.
    Archived,
    /// What has been held for so many days.
    AfterDays(u32),
}

/// A message that may be deleted if the server still has the same under its UIDL.
struct Due {
    uidl: String,
    size: u32,
    content: StoredContent,
}

/// What stays on the server although the user's order covers it.
#[derive(Default)]
struct Kept {
    reasons: HashMap<String, u32>,
    /// UIDLs under which the server has another message than the archive.
    others: Vec<String>,
    /// Messages that could not be re-read, which is damage to the archive.
    damaged: u64,
}

impl Kept {
    fn keep(&mut self, why: &str) {
        *self.reasons.entry(why.to_owned()).or_default() += 1;
    }

    fn into_reasons(self) -> Vec<(String, u32)> {
        let mut reasons: Vec<(String, u32)> = self.reasons.into_iter().collect();
        reasons.sort();
        reasons
    }
}

impl Pop3Side<'_> {
    /// Deletes what the user's order covers. A failure is a warning in the report: the backup
    /// itself is complete.
    pub(super) async fn delete_held(
        &mut self,
        writer: &mut Writer,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        let held_since = match self.request().delete {
            DeletePolicy::Never => return Ok(()),
            DeletePolicy::Archived => i64::MAX,
            DeletePolicy::AfterDays(days) => {
                self.request().open.clock.now_unix() - i64::from(days) * DAY
            }
        };
        if report.ending != Ending::Complete || report.damaged > 0 {
            report.warnings.push(
                "nothing was deleted from the server, because this run did not end in good order"
                    .to_owned(),
            );
            return Ok(());
        }
        let mut kept = Kept::default();
        let due = self.due(writer.catalog(), held_since, &mut kept)?;
        if due.is_empty() {
            report.kept = kept.into_reasons();
            return Ok(());
        }
        let total = due.len() as u64;
        self.ground.sink.event(Event::Note {
            text: format!(
                "deleting from the server what is held: up to {total} messages. On Zoho this takes them out of the POP queue, also where it is set to retain them"
            ),
        });
        let mut reader = MailReader::new(writer.dir().root());
        for (n, part) in due.chunks(AT_ONCE).enumerate() {
            let done = (n * AT_ONCE) as u64;
            self.ground.sink.event(Event::Deleting { done, total });
            match self.delete(part, &mut reader, &mut kept).await {
                Ok(uidls) => {
                    report.deleted += u32::try_from(uidls.len()).unwrap_or(u32::MAX);
                    if let Some(mailbox) = self.mailbox().filter(|_| !uidls.is_empty()) {
                        writer.record(Record::Removed(Removed { mailbox, uidls }));
                        writer.commit()?;
                    }
                }
                Err(reason) => {
                    report.warnings.push(reason);
                    self.stopped_while_deleting(report);
                    break;
                }
            }
        }
        if let Some(mailbox) = self.mailbox() {
            // Not the message that is held: the next run fetches it.
            for uidl in std::mem::take(&mut kept.others) {
                writer.record(Record::Skip(Skip {
                    mailbox,
                    remote: Some(RemoteId::Pop { uidl }),
                    count: 1,
                    reason: "the server has another message under this UIDL now".to_owned(),
                    accepted: None,
                }));
            }
            writer.commit()?;
        }
        report.damaged += kept.damaged;
        report.kept = kept.into_reasons();
        Ok(())
    }

    /// The run is not complete if it was stopped: the next one deletes the rest.
    fn stopped_while_deleting(&self, report: &mut BackupReport) {
        let stop = self.ground.stop;
        if stop.is_ordered() {
            report.ending = Ending::Interrupted;
        } else if stop.is_requested() {
            report.ending = Ending::Limit;
            report.limit = Some(Reached {
                limit: Limit::MaxRuntime,
                messages_left: Some(0),
                bytes_left: Some(0),
            });
        }
    }

    /// What was listed in this run and may be deleted, in the order in which it lies.
    fn due(
        &self,
        catalog: &Catalog,
        held_since: i64,
        kept: &mut Kept,
    ) -> Result<Vec<Due>, CatalogError> {
        let Some(maildrop) = self.mailbox() else {
            return Ok(Vec::new());
        };
        let names = Names::of(&self.listing.messages);
        for message in &self.listing.messages {
            match message.uidl.as_deref() {
                None => kept.keep("it has no UIDL"),
                Some(uidl) if !names.identifies(uidl) => {
                    kept.keep("several messages have its UIDL")
                }
                Some(_) => {}
            }
        }
        let mut due = Vec::new();
        for uidl in self.books.seen() {
            let places = catalog.pop_places_under(maildrop, uidl)?;
            let [only] = places.as_slice() else {
                if !places.is_empty() {
                    kept.keep("several messages have had its UIDL");
                }
                continue;
            };
            let Some((row, since)) = catalog.pop_placement(only.mailbox, &only.key)? else {
                continue;
            };
            if since > held_since {
                continue;
            }
            let why_not = if row.evidence == Evidence::Healed {
                Some("it was matched by its header and never fetched under its UIDL")
            } else if row.damaged.is_some() {
                Some("it is damaged in the archive")
            } else if row.forgotten.is_some() {
                Some("it was forgotten in the archive")
            } else if row.size == 0 && row.content.len > 0 {
                Some("the server does not tell its size")
            } else if row.content.len < u64::from(row.size) {
                Some("it came shorter than the server's list says")
            } else {
                None
            };
            match why_not {
                Some(why) => kept.keep(why),
                None => due.push(Due {
                    uidl: uidl.to_owned(),
                    size: row.size,
                    content: row.content,
                }),
            }
        }
        due.sort_by_key(|due| place(&due.content));
        Ok(due)
    }

    /// One session: gives the UIDLs the server confirmed, or what to tell the user.
    async fn delete(
        &mut self,
        due: &[Due],
        reader: &mut MailReader,
        kept: &mut Kept,
    ) -> Result<Vec<String>, String> {
        let nothing = |interrupted| match interrupted {
            Interrupted::Server(error) => format!(
                "could not delete from the server: {}; what was marked only is still there",
                describe(&error)
            ),
            Interrupted::Stopped => {
                "stopped while deleting from the server; what was marked only is still there"
                    .to_owned()
            }
        };
        let (mut open, listing) = self.door.open().await.map_err(nothing)?;
        if !open.has_top() {
            return Err("nothing was deleted: the server has no TOP, by which it could be made sure that it has the same messages still".to_owned());
        }
        let same = self
            .still_the_same(&mut open, &listing, due, reader, kept)
            .await
            .map_err(nothing)?;
        let marked = self.mark(&mut open, same, kept).await.map_err(nothing)?;
        if marked.is_empty() {
            drop(open.quit().await);
            return Ok(marked);
        }
        crate::durable::step("QUIT");
        match open.quit().await {
            Ok(()) => {
                crate::durable::step("QUIT answered");
                Ok(marked)
            }
            Err(error) => Err(format!(
                "the server did not confirm the deletion of {} messages, so it is not known which it still has: {}",
                marked.len(),
                describe(&error)
            )),
        }
    }

    /// Numbers and UIDLs of messages of which the server has the same header as the archive.
    async fn still_the_same(
        &self,
        open: &mut Open,
        listing: &Listing,
        due: &[Due],
        reader: &mut MailReader,
        kept: &mut Kept,
    ) -> Result<Vec<(u32, String)>, Interrupted> {
        let names = Names::of(&listing.messages);
        let listed: HashMap<&str, (u32, u32)> = listing
            .messages
            .iter()
            .filter_map(|m| Some((m.uidl.as_deref()?, (m.number, recorded_size(m.size)))))
            .collect();
        let mut numbers: Vec<Option<u32>> = Vec::new();
        for due in due {
            let number = match listed.get(due.uidl.as_str()) {
                None => None,
                Some(_) if !names.identifies(&due.uidl) => {
                    kept.keep("several messages have its UIDL");
                    None
                }
                Some((_, size)) if *size != due.size => {
                    kept.keep("its size on the server is another now");
                    None
                }
                Some((number, _)) => Some(*number),
            };
            numbers.push(number);
        }
        let mut same = Vec::new();
        let mut next = 0;
        loop {
            while let Some(number) = numbers.get(next).filter(|_| open.has_room(HEADER_BYTES)) {
                if let Some(number) = number {
                    open.ask(Ask::Top(*number), next, HEADER_BYTES);
                }
                next += 1;
            }
            let Some((index, outcome)) = open.answer(self.ground.stop.requested()).await? else {
                return Ok(same);
            };
            let (Some(due), Some(Some(number))) = (due.get(index), numbers.get(index)) else {
                continue;
            };
            let Outcome::Message(Body::Memory(top)) = outcome else {
                kept.keep("the server did not show its header");
                continue;
            };
            match reader.read_header(&due.content) {
                Err(_) => {
                    kept.damaged += 1;
                    kept.keep("it could not be re-read from the archive; see mailstow verify");
                }
                Ok(held) if header_of(&top) == header_of(&held) => {
                    same.push((*number, due.uidl.clone()));
                }
                Ok(_) => {
                    kept.keep("its header on the server is another now");
                    if header::digest(&top) != due.content.head {
                        kept.others.push(due.uidl.clone());
                    }
                }
            }
        }
    }

    async fn mark(
        &self,
        open: &mut Open,
        same: Vec<(u32, String)>,
        kept: &mut Kept,
    ) -> Result<Vec<String>, Interrupted> {
        let mut marked = Vec::new();
        let mut next = 0;
        loop {
            while let Some((number, _)) = same.get(next).filter(|_| open.has_room(0)) {
                crate::durable::step("DELE");
                open.ask(Ask::Dele(*number), next, 0);
                next += 1;
            }
            let Some((index, outcome)) = open.answer(self.ground.stop.requested()).await? else {
                return Ok(marked);
            };
            match (outcome, same.get(index)) {
                (Outcome::Done, Some((_, uidl))) => marked.push(uidl.clone()),
                (Outcome::Refused { words }, _) => {
                    kept.keep(&format!("the server refused to delete it: {words}"));
                }
                _ => {}
            }
        }
    }
}
