//! From the archive to the connections: messages are read in the order in which they lie, so each
//! data frame is decompressed once, judged, repaired where that was asked for, and put together in
//! batches.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::flags::Travelling;
use super::inspect::{Inspector, Traits, inspect};
use super::repair::{Repaired, Repairs, repair};
use super::report::What;
use super::survey::Habits;
use super::wanted::{Item, Shared};
use crate::archive::ReadError;
use crate::contact::Stop;
use crate::imap::AppendBody;
use crate::model::{Flags, InternalDate};
use crate::spool::{SpoolError, SpoolOptions, Spooling};
use crate::store::HeldMail;

/// Bytes of a batch, and messages in it (design.md §7).
pub(super) const BATCH_BYTES: u64 = 4 << 20;
const BATCH_MESSAGES: usize = 50;
/// Bytes of all batches that are open at once.
const OPEN_BYTES: u64 = 8 << 20;

/// Begins what is said of a repair that was asked for and could not be made.
const NOT_POSSIBLE: &str = "not possible: ";

/// A message that is to be sent.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) item: Item,
    /// The mailbox of the target it goes to.
    pub(super) place: usize,
    /// A piece of the ledger that is given up for it.
    pub(super) replaces: Option<u64>,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Which of the outbound ones.
    pub(super) out: usize,
    pub(super) body: AppendBody,
    pub(super) len: u64,
    pub(super) flags: Flags,
    /// Flags it is given once it is there.
    pub(super) after: Flags,
    pub(super) date: Option<InternalDate>,
}

/// What comes from the archive.
#[derive(Debug)]
pub(super) enum Fed {
    /// Messages for one mailbox.
    Batch(usize, Vec<Message>),
    /// A message that cannot be sent: its bytes are lost, or the target refuses such.
    Not(usize, What, String),
    /// Something about a message that a person should know.
    Note(usize, What, String),
    /// This machine failed.
    Failed(SpoolError),
}

/// Reads messages of the archive.
pub(super) struct Feeder {
    pub(super) outbound: Arc<Vec<Outbound>>,
    pub(super) shared: Arc<Shared>,
    pub(super) mail: HeldMail,
    pub(super) habits: Arc<Habits>,
    pub(super) repairs: Repairs,
    pub(super) spool: SpoolOptions,
    pub(super) stop: Stop,
    /// Nothing is sent: only what there is to say of the messages is wanted.
    pub(super) dry: bool,
}

impl Feeder {
    /// Reads these and hands them to `sink` until nobody listens, or somebody asks to stop. For a
    /// thread of its own.
    pub(super) fn run(mut self, order: &[usize], sink: &mpsc::Sender<Fed>) {
        let mut open: BTreeMap<usize, (u64, Vec<Message>)> = BTreeMap::new();
        let mut gathered = 0;
        for &out in order {
            if self.stop.is_requested() {
                return;
            }
            let (place, message) = match self.message(out, sink) {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(fed) => {
                    let over = matches!(fed, Fed::Failed(_));
                    if sink.blocking_send(fed).is_err() || over {
                        return;
                    }
                    continue;
                }
            };
            let len = message.len;
            let full = |(bytes, messages): &(u64, Vec<Message>)| {
                messages.len() >= BATCH_MESSAGES || bytes + len > BATCH_BYTES
            };
            let mut close = Vec::new();
            if open.get(&place).is_some_and(full) {
                close.push(place);
            }
            if gathered + len > OPEN_BYTES {
                let largest = open.iter().max_by_key(|(_, (bytes, _))| *bytes);
                close.extend(largest.map(|(place, _)| *place));
            }
            for place in close {
                if let Some((bytes, messages)) = open.remove(&place) {
                    gathered -= bytes;
                    if sink.blocking_send(Fed::Batch(place, messages)).is_err() {
                        return;
                    }
                }
            }
            let (bytes, messages) = open.entry(place).or_default();
            *bytes += len;
            gathered += len;
            messages.push(message);
        }
        for (place, (_, messages)) in open {
            if sink.blocking_send(Fed::Batch(place, messages)).is_err() {
                return;
            }
        }
    }

    /// Reads one message; `None` where it is not to be sent, or nobody listens.
    fn message(
        &mut self,
        out: usize,
        sink: &mpsc::Sender<Fed>,
    ) -> Result<Option<(usize, Message)>, Fed> {
        let outbound = Arc::clone(&self.outbound);
        let Some(Outbound { item, place, .. }) = outbound.get(out) else {
            return Ok(None);
        };
        let habits = Arc::clone(&self.habits);
        if let Some(reason) = habits.too_large(item.len) {
            return Err(Fed::Not(out, What::Refused, reason));
        }
        let (body, traits) = self.read(out, item)?;
        let Repairing { body, traits, note } = self.repaired(body, traits);
        let len = body.len();
        let say = |what, reason: String| sink.blocking_send(Fed::Note(out, what, reason));
        // Of the bytes that would go out: what was repaired may be refused for something else.
        if let Some(reason) = habits.too_large(len).or_else(|| habits.refuses(&traits)) {
            let reasons = std::iter::once(reason).chain(note.filter(|n| n.contains(NOT_POSSIBLE)));
            let reason = reasons.collect::<Vec<_>>().join("; ");
            return Err(Fed::Not(out, What::Refused, reason));
        }
        if let Some(reason) = habits
            .alters(&traits)
            .filter(|_| self.dry && note.is_none())
        {
            drop(say(What::Altered, reason));
        }
        if note.is_some_and(|note| say(What::Repaired, note).is_err()) {
            return Ok(None);
        }
        let Travelling {
            append,
            store_after,
            dropped,
        } = habits.travelling(&self.shared.flags(item), *place);
        let dropped: Vec<String> = dropped.into_iter().filter(|f| f != "\\Deleted").collect();
        if !dropped.is_empty() && say(What::WithoutKeywords, dropped.join(" ")).is_err() {
            return Ok(None);
        }
        let date = item.date.filter(|date| crate::imap::renders(*date));
        if date.is_none() && say(What::WithoutDate, no_date(item)).is_err() {
            return Ok(None);
        }
        if self.dry {
            return Ok(None);
        }
        let message = Message {
            out,
            body,
            len,
            flags: append,
            after: store_after,
            date,
        };
        Ok(Some((*place, message)))
    }

    /// The copy that goes out, with the repairs that were asked for.
    fn repaired(&self, body: AppendBody, traits: Traits) -> Repairing {
        let AppendBody::Memory(bytes) = &body else {
            let note = self
                .repairs
                .would_change(&traits)
                .then(|| format!("{NOT_POSSIBLE}it is too large to be made anew in memory"));
            return Repairing { body, traits, note };
        };
        let Some(Repaired { bytes, done, left }) = repair(bytes, self.repairs) else {
            return Repairing {
                body,
                traits,
                note: None,
            };
        };
        let could_not = left.iter().map(|what| format!("{NOT_POSSIBLE}{what}"));
        let what = done.iter().map(|what| (*what).to_owned()).chain(could_not);
        let note = Some(what.collect::<Vec<String>>().join(", "));
        if done.is_empty() {
            return Repairing { body, traits, note };
        }
        Repairing {
            traits: inspect(&bytes),
            body: AppendBody::Memory(Arc::new(bytes)),
            note,
        }
    }

    /// The bytes of a message, whole and checked before the first of them goes out.
    fn read(&mut self, out: usize, item: &Item) -> Result<(AppendBody, Traits), Fed> {
        let stored = self.shared.stored(item);
        let lost = |error: ReadError| Fed::Not(out, What::Lost, error.to_string());
        if item.len <= self.spool.threshold {
            let bytes = self.mail.read_to_vec(&stored).map_err(lost)?;
            let traits = inspect(&bytes);
            return Ok((AppendBody::Memory(Arc::new(bytes)), traits));
        }
        let mut spooling = Copying {
            spooling: Spooling::open(&self.spool).map_err(Fed::Failed)?,
            inspector: Inspector::default(),
            failed: None,
        };
        let read = self.mail.read(&stored, &mut spooling);
        if let Some(error) = spooling.failed {
            return Err(Fed::Failed(error));
        }
        read.map_err(lost)?;
        let body = AppendBody::Spooled(Arc::new(spooling.spooling.finish()));
        Ok((body, spooling.inspector.finish()))
    }
}

/// A copy, what it is like, and what was done to it or could not be.
struct Repairing {
    body: AppendBody,
    traits: Traits,
    note: Option<String>,
}

/// As they lie in the archive, so that each data frame is decompressed once.
pub(super) fn in_archive_order(outbound: &[Outbound]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..outbound.len()).collect();
    order.sort_by_key(|n| outbound.get(*n).map(|o| o.item.at));
    order
}

fn no_date(item: &Item) -> String {
    match item.date {
        Some(date) => format!("IMAP cannot say {date}"),
        None => "the archive has none".to_owned(),
    }
}

/// Writes a large message into the spool and looks at it on the way.
struct Copying {
    spooling: Spooling,
    inspector: Inspector,
    failed: Option<SpoolError>,
}

impl Write for Copying {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Err(error) = self.spooling.write(bytes) {
            self.failed = Some(error);
            return Err(std::io::Error::other("the spool failed"));
        }
        self.inspector.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
