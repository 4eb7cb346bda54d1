//! The committer: one thread that owns the archive and makes what was fetched durable.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::archive::format::Record;
use crate::contact::Stop;
use crate::event::{Event, Sink};
use crate::store::{Arrived, Committed, StoreError, Writer};

/// Bytes of fetched mail that may wait for the committer, in units of [`UNIT`].
const QUEUE_UNITS: u32 = 4 << 10;
/// One permit stands for this many bytes.
const UNIT: u64 = 1 << 10;

enum Work {
    Arrived(Box<Arrived>, OwnedSemaphorePermit),
    Record(Box<Record>),
    Flush(oneshot::Sender<()>),
}

/// The sending side: cheap to clone, one per connection.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    work: Sender<Work>,
    room: Arc<Semaphore>,
}

/// The committer has failed; its own error says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed;

impl Queue {
    /// Hands over a message; waits while too many bytes wait already. Dropping the future
    /// before its end drops the message, which is then simply not fetched.
    pub(super) async fn arrived(&self, arrived: Arrived, in_memory: u64) -> Result<(), Closed> {
        let units = u32::try_from(in_memory / UNIT + 1)
            .unwrap_or(u32::MAX)
            .min(QUEUE_UNITS);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(units)
            .await
            .map_err(|_| Closed)?;
        self.work
            .send(Work::Arrived(Box::new(arrived), permit))
            .map_err(|_| Closed)
    }

    /// Waits until everything handed over so far is committed.
    pub(super) async fn flush(&self) -> Result<(), Closed> {
        let (done, committed) = oneshot::channel();
        self.work.send(Work::Flush(done)).map_err(|_| Closed)?;
        committed.await.map_err(|_| Closed)
    }

    /// Hands over a record; it is committed with or after everything handed over before.
    pub(super) fn record(&self, record: Record) -> Result<(), Closed> {
        self.work
            .send(Work::Record(Box::new(record)))
            .map_err(|_| Closed)
    }
}

/// A running committer.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<Queue>,
    thread: JoinHandle<Finished>,
}

/// What a committer leaves: the archive, what it committed, and how it ended.
#[derive(Debug)]
pub(super) struct Finished {
    /// `None` after a failure: the archive was left to its next opening.
    pub(super) writer: Option<Writer>,
    pub(super) committed: Committed,
    pub(super) result: Result<(), StoreError>,
}

impl Committer {
    /// Starts the thread. On a failure it asks everybody to stop.
    pub(super) fn start(writer: Writer, sink: Arc<dyn Sink>, stop: Stop) -> std::io::Result<Self> {
        let (work, receiver) = mpsc::channel();
        let room = Arc::new(Semaphore::new(usize::try_from(QUEUE_UNITS).unwrap_or(1)));
        let closing = Arc::clone(&room);
        let run = move || {
            let finished = commit_all(writer, &receiver, &*sink);
            if finished.result.is_err() {
                // Whoever waits for room must learn that there will be none.
                closing.close();
                stop.request();
            }
            finished
        };
        let thread = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(run)?;
        Ok(Self {
            queue: Some(Queue { work, room }),
            thread,
        })
    }

    /// A handle for a worker.
    pub(super) fn queue(&self) -> Option<Queue> {
        self.queue.clone()
    }

    /// Waits until everything handed over is durable. All queues must have been dropped.
    pub(super) async fn finish(mut self) -> Result<Finished, std::io::Error> {
        drop(self.queue.take());
        let joined = tokio::task::spawn_blocking(move || self.thread.join())
            .await
            .map_err(std::io::Error::other)?;
        joined.map_err(|_| std::io::Error::other("the committer panicked"))
    }
}

fn commit_all(mut writer: Writer, work: &Receiver<Work>, sink: &dyn Sink) -> Finished {
    let mut total = Committed::default();
    match commit_until_closed(&mut writer, work, sink, &mut total) {
        Ok(()) => Finished {
            writer: Some(writer),
            committed: total,
            result: Ok(()),
        },
        Err(error) => {
            writer.abandon();
            Finished {
                writer: None,
                committed: total,
                result: Err(error),
            }
        }
    }
}

fn commit_until_closed(
    writer: &mut Writer,
    work: &Receiver<Work>,
    sink: &dyn Sink,
    total: &mut Committed,
) -> Result<(), StoreError> {
    loop {
        let wait = writer.due_at().map_or(Duration::from_secs(3600), |due| {
            due.saturating_duration_since(Instant::now())
        });
        match work.recv_timeout(wait) {
            Ok(Work::Arrived(arrived, permit)) => {
                writer.arrive(*arrived)?;
                drop(permit);
            }
            Ok(Work::Record(record)) => writer.record(*record),
            Ok(Work::Flush(done)) => {
                commit(writer, sink, total)?;
                if done.send(()).is_err() {
                    tracing::debug!("whoever waited for a commit has left");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return commit(writer, sink, total),
        }
        if writer.is_due() {
            commit(writer, sink, total)?;
        }
    }
}

fn commit(writer: &mut Writer, sink: &dyn Sink, total: &mut Committed) -> Result<(), StoreError> {
    let done = writer.commit()?;
    // ORDER: 4. only now is progress reported.
    if done.messages > 0 {
        sink.event(Event::Committed {
            messages: done.messages,
            bytes: done.bytes,
        });
    }
    total.messages += done.messages;
    total.bytes += done.bytes;
    total.line_end_added += done.line_end_added;
    for (mailbox, known) in done.known {
        *total.known.entry(mailbox).or_default() += known;
    }
    for (mailbox, forgotten) in done.forgotten {
        *total.forgotten.entry(mailbox).or_default() += forgotten;
    }
    for (mailbox, (stored, linked)) in done.mailboxes {
        let sum = total.mailboxes.entry(mailbox).or_default();
        sum.0 += stored;
        sum.1 += linked;
    }
    Ok(())
}
