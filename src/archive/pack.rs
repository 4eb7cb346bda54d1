//! The pool that compresses data frames while the committer goes on.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::format::{ContentsHead, ContentsLine};
use super::mboxrd::{Encoder, separator};
use super::segment;
use super::zstd_frame::{Level, Packer, stream_packer};
use crate::durable;
use crate::model::MailboxId;

/// A new content on its way into a segment.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its line in the contents frame.
    pub(crate) line: ContentsLine,
    /// Its header digest.
    pub(crate) head: Option<String>,
}

/// The text of a data frame.
#[derive(Debug)]
pub(crate) enum Text {
    /// mboxrd text in memory.
    Memory(Vec<u8>),
    /// One message that lies in the spool, to be encoded and compressed in one pass.
    Spool {
        /// The wire bytes.
        wire: File,
        /// Where the compressed frame goes.
        packed: PathBuf,
    },
}

/// A data frame to be compressed.
#[derive(Debug)]
pub(crate) struct PackJob {
    pub(crate) mailbox: MailboxId,
    pub(crate) head: ContentsHead,
    pub(crate) entries: Vec<Entry>,
    pub(crate) text: Text,
    pub(crate) level: Level,
    /// Room for the result. Buffers of many megabytes go round instead of being freed: the C
    /// library answers each such free by keeping more memory for itself.
    pub(crate) room: Vec<u8>,
}

/// The bytes of a compressed data frame.
#[derive(Debug)]
pub(crate) enum Data {
    Memory(Vec<u8>),
    /// In a temporary file, which whoever takes it removes.
    File {
        file: File,
        path: PathBuf,
    },
}

/// A pair ready to be written.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) mailbox: MailboxId,
    pub(crate) entries: Vec<Entry>,
    pub(crate) contents: Vec<u8>,
    pub(crate) data: Data,
    /// The text buffer, to be used again.
    pub(crate) buffer: Vec<u8>,
}

type Numbered<T> = (u64, T);

/// Compressor threads. Results come back in the order the jobs went in.
#[derive(Debug)]
pub(crate) struct Pool {
    jobs: Option<SyncSender<Numbered<PackJob>>>,
    done: Receiver<Numbered<io::Result<Packed>>>,
    early: Vec<Numbered<io::Result<Packed>>>,
    sent: u64,
    received: u64,
    threads: Vec<JoinHandle<()>>,
    size: usize,
}

impl Pool {
    /// Starts `size` threads.
    pub(crate) fn start(size: usize) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Numbered<PackJob>>(size);
        let (results, done) = sync_channel(size * 2 + 1);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for n in 0..size {
            let (queue, results) = (Arc::clone(&queue), results.clone());
            let thread = std::thread::Builder::new()
                .name(format!("pack-{n}"))
                .spawn(move || work(&queue, &results))?;
            threads.push(thread);
        }
        Ok(Self {
            jobs: Some(jobs),
            done,
            early: Vec::new(),
            sent: 0,
            received: 0,
            threads,
            size,
        })
    }

    /// Frames sent and not yet taken back.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.sent - self.received
    }

    /// Whether another frame would only wait, and hold memory while it does.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight() >= u64::try_from(self.size).unwrap_or(1)
    }

    pub(crate) fn send(&mut self, job: PackJob) -> io::Result<()> {
        let jobs = self
            .jobs
            .as_ref()
            .ok_or_else(|| io::Error::other("the compressors have stopped"))?;
        jobs.send((self.sent, job))
            .map_err(|_| io::Error::other("the compressors have stopped"))?;
        self.sent += 1;
        Ok(())
    }

    /// The next result in order, if it is there already.
    pub(crate) fn try_take(&mut self) -> Option<io::Result<Packed>> {
        while let Ok(result) = self.done.try_recv() {
            self.early.push(result);
        }
        self.in_order()
    }

    /// Waits for the next result in order; `None` when nothing is in flight.
    pub(crate) fn take(&mut self) -> Option<io::Result<Packed>> {
        while self.in_flight() > 0 {
            if let Some(result) = self.in_order() {
                return Some(result);
            }
            match self.done.recv() {
                Ok(result) => self.early.push(result),
                Err(_) => return Some(Err(io::Error::other("a compressor died"))),
            }
        }
        None
    }

    fn in_order(&mut self) -> Option<io::Result<Packed>> {
        let at = self.early.iter().position(|(n, _)| *n == self.received)?;
        self.received += 1;
        Some(self.early.swap_remove(at).1)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Unblock a thread that is about to hand over a result nobody wants any more.
        while self.done.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::debug!("a compressor had panicked");
            }
        }
    }
}

fn work(
    queue: &Mutex<Receiver<Numbered<PackJob>>>,
    results: &SyncSender<Numbered<io::Result<Packed>>>,
) {
    let mut packer = None;
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((n, job)) = job else { return };
        // A panic must come back as an error: somebody waits for this very frame.
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pack(&mut packer, job)))
                .unwrap_or_else(|_| Err(io::Error::other("a compressor panicked")));
        if results.send((n, result)).is_err() {
            return;
        }
    }
}

fn pack(packer: &mut Option<Packer>, mut job: PackJob) -> io::Result<Packed> {
    let (data, buffer) = match job.text {
        Text::Memory(text) => {
            let packer = match packer {
                Some(packer) => packer,
                None => packer.insert(Packer::new()?),
            };
            let mut data = std::mem::take(&mut job.room);
            packer.pack(&text, job.level, &mut data)?;
            job.head.data = u64::try_from(data.len()).map_err(io::Error::other)?;
            (Data::Memory(data), text)
        }
        Text::Spool { wire, packed } => {
            let entry = job
                .entries
                .first()
                .ok_or_else(|| io::Error::other("a frame without a message"))?;
            let file = pack_spooled(wire, &packed, &entry.line, job.level)?;
            job.head.data = file.metadata()?.len();
            (Data::File { file, path: packed }, Vec::new())
        }
    };
    let lines: Vec<ContentsLine> = job.entries.iter().map(|e| e.line.clone()).collect();
    let contents = segment::contents_frame(&job.head, &lines)?;
    Ok(Packed {
        mailbox: job.mailbox,
        entries: job.entries,
        contents,
        data,
        buffer,
    })
}

/// Encodes and compresses one spooled message, a chunk at a time.
fn pack_spooled(
    mut wire: File,
    packed: &std::path::Path,
    line: &ContentsLine,
    level: Level,
) -> io::Result<File> {
    let file = durable::create_new(packed)?;
    let mut sink = stream_packer(file, line.size, level)?;
    let mut text = separator(line.date).into_bytes();
    let mut encoder = Encoder::new(line.eol);
    let mut chunk = vec![0; 256 << 10];
    wire.rewind()?;
    loop {
        let n = wire.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        encoder.push(chunk.get(..n).unwrap_or_default(), &mut text);
        io::Write::write_all(&mut sink, &text)?;
        text.clear();
    }
    encoder.finish(&mut text);
    io::Write::write_all(&mut sink, &text)?;
    let mut file = sink.finish()?;
    file.rewind()?;
    Ok(file)
}
