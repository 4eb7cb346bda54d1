//! The thread that writes a ledger.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::LedgerError;
use crate::archive::LogWriter;
use crate::archive::ledger::LedgerRecord;
use crate::clock::Clock;

/// Most records a frame takes.
const FRAME: usize = 16_384;

/// Records, and who waits for them.
struct Order {
    records: Vec<LedgerRecord>,
    done: oneshot::Sender<Result<Vec<LedgerRecord>, LedgerError>>,
}

#[derive(Debug)]
pub(super) struct WriterThread {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    pub(super) fn start(
        log: LogWriter<LedgerRecord>,
        run: u32,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (orders, received) = channel();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write_all(log, run, &clock, &received))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Gives the records back once they are durable.
    pub(super) async fn write(
        &self,
        records: Vec<LedgerRecord>,
    ) -> Result<Vec<LedgerRecord>, LedgerError> {
        self.order(records)?.await.map_err(|_| LedgerError::Gone)?
    }

    fn order(
        &self,
        records: Vec<LedgerRecord>,
    ) -> Result<oneshot::Receiver<Result<Vec<LedgerRecord>, LedgerError>>, LedgerError> {
        let (done, receiver) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or(LedgerError::Gone)?;
        orders
            .send(Order { records, done })
            .map_err(|_| LedgerError::Gone)?;
        Ok(receiver)
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and a panic in it was told to those who waited.
            drop(thread.join());
        }
    }
}

/// One frame for all that wait by now.
fn write_all(
    mut log: LogWriter<LedgerRecord>,
    run: u32,
    clock: &Clock,
    received: &Receiver<Order>,
) {
    while let Ok(first) = received.recv() {
        let mut records = first.records;
        let mut waiting = vec![(records.len(), first.done)];
        while records.len() < FRAME
            && let Ok(mut next) = received.try_recv()
        {
            waiting.push((next.records.len(), next.done));
            records.append(&mut next.records);
        }
        let written = log.append(run, &clock.now(), &records);
        let mut records = records.into_iter();
        for (count, done) in waiting {
            let theirs: Vec<LedgerRecord> = records.by_ref().take(count).collect();
            let answer = match &written {
                Ok(_) => Ok(theirs),
                Err(error) => Err(LedgerError::Failed(super::describe(error))),
            };
            // Whoever does not wait any more does not want to know.
            drop(done.send(answer));
        }
        if written.is_err() {
            return;
        }
    }
}
