//! The bytes of a connection: lines, literals, and answers that take their time.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No client of a test thinks longer than that.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a closed connection takes in what the client is still sending. Without that the
/// client might lose the last words to a reset.
const LINGER: Duration = Duration::from_secs(5);
/// How often a connection that says nothing looks whether the test is over.
const GLANCE: Duration = Duration::from_millis(20);

/// What announces more is no literal.
const LARGEST: usize = 1 << 30;

/// A literal that is announced at the end of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    pub(super) length: usize,
    /// It waits for the server: `{n}`, not `{n+}`.
    pub(super) synchronising: bool,
}

/// A line without its line end.
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// Where the literal is announced, or the end.
    pub(super) end: usize,
    pub(super) literal: Option<Literal>,
    /// It began within a body whose literal was refused.
    pub(super) smuggled: bool,
}

pub(super) struct Wire<'a> {
    stream: &'a TcpStream,
    input: BufReader<&'a TcpStream>,
    /// What goes out with the next [`Self::send`].
    pub(super) out: Vec<u8>,
    queue: Option<Sender<(Instant, Vec<u8>)>>,
    writer: Option<JoinHandle<()>>,
    /// Bytes of refused bodies that are yet to come, and will be read as commands.
    refused: usize,
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (queue, answers) = mpsc::channel::<(Instant, Vec<u8>)>();
        let mut to = stream.try_clone()?;
        let writer = std::thread::spawn(move || {
            for (due, bytes) in answers {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            stream,
            input: BufReader::with_capacity(1 << 16, stream),
            out: Vec::new(),
            queue: Some(queue),
            writer: Some(writer),
            refused: 0,
        })
    }

    /// The next line; `None` once the client has gone. A lone LF ends a line too.
    pub(super) fn line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        self.input.read_until(b'\n', &mut bytes)?;
        let smuggled = self.refused > 0;
        self.refused = self.refused.saturating_sub(bytes.len());
        if bytes.pop() != Some(b'\n') {
            return Ok(None);
        }
        bytes.pop_if(|byte| *byte == b'\r');
        let announced = announced(&bytes);
        Ok(Some(Line {
            end: announced.map_or(bytes.len(), |(at, _)| at),
            literal: announced.map(|(_, literal)| literal),
            bytes,
            smuggled,
        }))
    }

    /// The bytes of a literal; a client that goes away in its middle is an error.
    pub(super) fn literal(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        self.refused = self.refused.saturating_sub(length);
        Ok(bytes)
    }

    /// The line was refused before its literal was read: what does not wait is on its way all
    /// the same, and nothing tells it from commands.
    pub(super) fn refuse(&mut self, literal: Option<Literal>) {
        if let Some(literal) = literal.filter(|l| !l.synchronising) {
            // Within another refused body it is a part of that, as far as it goes.
            self.refused = self.refused.max(literal.length);
        }
    }

    /// Sends what is written, so much later.
    pub(super) fn send(&mut self, latency: Duration) {
        let bytes = std::mem::take(&mut self.out);
        if let (Some(queue), false) = (&self.queue, bytes.is_empty()) {
            // A writer that is gone had a client that is gone.
            drop(queue.send((Instant::now() + latency, bytes)));
        }
    }

    /// Says everything that was sent, and no more.
    pub(super) fn finish(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Takes in what comes until the client closes, for a while.
    pub(super) fn linger(&mut self, stopped: &AtomicBool) {
        let until = Instant::now() + LINGER;
        drop(self.swallow(|| Instant::now() > until || stopped.load(Ordering::SeqCst)));
    }

    /// Takes in what comes until the client closes, and says nothing.
    pub(super) fn stall(&mut self, stopped: &AtomicBool) {
        drop(self.swallow(|| stopped.load(Ordering::SeqCst)));
    }

    fn swallow(&mut self, enough: impl Fn() -> bool) -> io::Result<()> {
        self.stream.set_read_timeout(Some(GLANCE))?;
        let mut bytes = vec![0; 1 << 16];
        while !enough() {
            match self.input.read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

/// Where `{n}` or `{n+}` at the end of a line stands, and what it says.
fn announced(line: &[u8]) -> Option<(usize, Literal)> {
    let inner = line.strip_suffix(b"}")?;
    let at = inner.iter().rposition(|byte| *byte == b'{')?;
    let text = std::str::from_utf8(&inner[at + 1..]).ok()?;
    let digits = text.strip_suffix('+').unwrap_or(text);
    let literal = Literal {
        length: digits.parse().ok().filter(|length| *length <= LARGEST)?,
        synchronising: digits.len() == text.len(),
    };
    Some((at, literal))
}
