//! Sessions, and how long one waits at the door. A maildrop is locked while a session is open
//! (RFC 1939 §4), so sessions are short and follow one another.

use std::collections::VecDeque;
use std::io;

use super::patience::{Patience, Verdict};
use super::stop::Stop;
use crate::event::Sink;
use crate::net::Disposition;
use crate::pop3::{Ask, Listing, Outcome, Pop3Error, Session};
use crate::source::Pop3Source;
use crate::spool::SpoolOptions;

/// Commands that may be outstanding. A server that reads none while it writes still has room for
/// these in its socket.
const DEPTH: usize = 64;
/// Bytes that may be expected: what was asked for and is thrown away when a session is lost.
const EXPECTED: u64 = 8 << 20;
/// Bytes of a header as far as what is expected of the server goes; a guess.
pub(crate) const HEADER_BYTES: u64 = 8 << 10;

/// What stands between a run and its next answer.
#[derive(Debug)]
pub(crate) enum Interrupted {
    Stopped,
    Server(Pop3Error),
}

impl Interrupted {
    pub(crate) fn into_error(self) -> Pop3Error {
        match self {
            Self::Server(error) => error,
            Self::Stopped => io::Error::new(
                io::ErrorKind::Interrupted,
                "stopped while asking the server",
            )
            .into(),
        }
    }
}

impl From<Pop3Error> for Interrupted {
    fn from(error: Pop3Error) -> Self {
        Self::Server(error)
    }
}

/// Opens sessions.
pub(crate) struct Door<'a> {
    source: &'a Pop3Source,
    spool: &'a SpoolOptions,
    sink: &'a dyn Sink,
    stop: &'a Stop,
    patience: Patience,
    /// One command at a time: on the user's order, or since a session was lost with several
    /// outstanding.
    shallow: bool,
    /// A session was had before.
    known: bool,
    without_uidl: bool,
}

/// An open session whose maildrop was listed.
pub(crate) struct Open {
    session: Session,
    depth: usize,
    /// What was asked for, with the bytes expected.
    outstanding: VecDeque<(usize, u64)>,
    expected: u64,
    /// Messages that came in this session …
    pub(crate) came: u64,
    /// … and those of them that had not come in an earlier one of this run.
    pub(crate) fresh: u64,
    /// Messages that came and that a UIDL of their own tells from others.
    pub(crate) named: u64,
    pub(crate) since: tokio::time::Instant,
}

impl<'a> Door<'a> {
    /// `without_uidl`: the user knows that the server has no UIDL.
    pub(crate) fn new(
        source: &'a Pop3Source,
        spool: &'a SpoolOptions,
        sink: &'a dyn Sink,
        stop: &'a Stop,
        without_uidl: bool,
    ) -> Self {
        Self {
            source,
            spool,
            sink,
            stop,
            patience: Patience::default(),
            shallow: !source.pipelining,
            known: false,
            without_uidl,
        }
    }

    /// Something came in: the next failure is a first one.
    pub(crate) fn gained(&mut self) {
        self.patience.gained();
    }

    /// One command at a time from now on.
    pub(crate) fn go_shallow(&mut self) {
        self.shallow = true;
    }

    /// Opens a session and lists the maildrop, again and again within reason. A server that was
    /// never reached is most often a slip of the user's, who wants to know at once.
    pub(crate) async fn open(&mut self) -> Result<(Open, Listing), Interrupted> {
        loop {
            match self.open_once().await {
                Ok(opened) => return Ok(opened),
                Err(Interrupted::Server(error)) if self.known || was_reached(&error) => {
                    self.wait(error).await?;
                }
                Err(interrupted) => return Err(interrupted),
            }
        }
    }

    pub(crate) async fn open_once(&mut self) -> Result<(Open, Listing), Interrupted> {
        let opened = async {
            let mut session = self.source.connect(self.spool.clone()).await?;
            if self.shallow {
                session.forbid_pipelining();
            }
            let listing = session.list().await?;
            // In every session: a listing without names would look as if nothing were there.
            if !listing.uidl && !listing.messages.is_empty() && !self.without_uidl {
                return Err(Pop3Error::NoUidl);
            }
            Ok::<_, Pop3Error>((session, listing))
        };
        let (session, listing) = tokio::select! {
            opened = opened => opened?,
            () = self.stop.requested() => return Err(Interrupted::Stopped),
        };
        self.known = true;
        let open = Open {
            depth: if session.capabilities().pipelining {
                DEPTH
            } else {
                1
            },
            session,
            outstanding: VecDeque::new(),
            expected: 0,
            came: 0,
            fresh: 0,
            named: 0,
            since: tokio::time::Instant::now(),
        };
        Ok((open, listing))
    }

    /// Waits before the next attempt; the error itself when there is to be none.
    pub(crate) async fn wait(&mut self, error: Pop3Error) -> Result<(), Interrupted> {
        let least = match error.disposition().1 {
            Disposition::RetryAfter(least) => least,
            Disposition::RetryNow => std::time::Duration::from_secs(1),
            _ => return Err(error.into()),
        };
        match self
            .patience
            .after(&error, least, self.sink, self.stop)
            .await
        {
            Verdict::Again => Ok(()),
            Verdict::Enough => Err(error.into()),
            Verdict::Stopped => Err(Interrupted::Stopped),
        }
    }
}

fn was_reached(error: &Pop3Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        Pop3Error::Capacity { .. } => true,
        Pop3Error::TurnedAway { .. } => true,
        Pop3Error::Io { source } => {
            matches!(source.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
        }
        _ => false,
    }
}

impl Open {
    /// Whether one more command may be outstanding, with this many bytes expected.
    pub(crate) fn has_room(&self, expected: u64) -> bool {
        self.outstanding.is_empty()
            || (self.outstanding.len() < self.depth && self.expected + expected <= EXPECTED)
    }

    /// Asks; `index` comes back with the answer.
    pub(crate) fn ask(&mut self, ask: Ask, index: usize, expected: u64) {
        self.session.ask(ask);
        self.outstanding.push_back((index, expected));
        self.expected += expected;
    }

    /// The next answer; `None` when nothing is outstanding. It is waited for until `leave`.
    pub(crate) async fn answer(
        &mut self,
        leave: impl Future<Output = ()>,
    ) -> Result<Option<(usize, Outcome)>, Interrupted> {
        let answer = tokio::select! {
            answer = self.session.next() => answer?,
            // The session is dropped in the middle of an answer; nothing of it was kept.
            () = leave => return Err(Interrupted::Stopped),
        };
        let Some(answer) = answer else {
            return Ok(None);
        };
        Ok(self.outstanding.pop_front().map(|(index, expected)| {
            self.expected -= expected;
            (index, answer.outcome)
        }))
    }

    /// What was asked for and not answered, the oldest first.
    pub(crate) fn unanswered(&self) -> Vec<usize> {
        self.outstanding.iter().map(|(index, _)| *index).collect()
    }

    pub(crate) fn has_top(&self) -> bool {
        self.session.capabilities().top
    }

    /// Ends the session; the server carries out what it was told to delete.
    pub(crate) async fn quit(self) -> Result<(), Pop3Error> {
        self.session.quit().await
    }
}
