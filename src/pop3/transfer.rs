//! Messages: TOP, RETR and DELE, as many at a time as the caller wants.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::body::Receiving;
use super::error::{DELE, Pop3Error, RETR, TOP};
use super::session::Session;
use super::status::{Status, StatusLine, excerpt};
use crate::spool::Body;

/// A command for one message, by its number in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The header: `TOP n 0`.
    Top(u32),
    /// The message: `RETR n`.
    Retr(u32),
    /// Marks the message for deletion, which happens when QUIT is answered by `+OK`.
    Dele(u32),
}

/// How one command ended.
#[derive(Debug)]
pub struct Answer {
    /// The command.
    pub ask: Ask,
    /// Its end.
    pub outcome: Outcome,
}

/// What a server makes of a command.
#[derive(Debug)]
pub enum Outcome {
    /// What TOP or RETR asked for: every byte the server sent, dot-stuffing undone, with the
    /// last line end. Behind TOP it is the header and the empty line, if the server sends one.
    Message(Body),
    /// The message is marked for deletion.
    Done,
    /// `-ERR`, of which a session that the server is about to end is a case too.
    Refused {
        /// The server's words, raw, at most a kibibyte, with the bracketed code.
        words: String,
    },
}

impl Ask {
    /// The number of the message.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Top(number) | Self::Retr(number) | Self::Dele(number) => number,
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Top(_) => TOP,
            Self::Retr(_) => RETR,
            Self::Dele(_) => DELE,
        }
    }

    fn line(self) -> String {
        match self {
            Self::Top(number) => format!("TOP {number} 0\r\n"),
            Self::Retr(number) => format!("RETR {number}\r\n"),
            Self::Dele(number) => format!("DELE {number}\r\n"),
        }
    }
}

impl Session {
    /// Queues a command. It is sent, with all others, while [`Self::next`] waits.
    ///
    /// How many are outstanding is the caller's affair: as many as it likes with
    /// [`Capabilities::pipelining`], else one.
    ///
    /// [`Capabilities::pipelining`]: super::Capabilities::pipelining
    pub fn ask(&mut self, ask: Ask) {
        self.wire.queue(ask.line().as_bytes());
        self.outstanding.push_back(ask);
    }

    /// Waits for the answer to the oldest outstanding command; `None` if there is none.
    ///
    /// Commands are written while an answer is read, so neither side can wait for the
    /// other. A message above the spool's threshold comes as a file. A message without its
    /// end is an error, never a message. Safe to drop at any await: the next call goes on.
    pub async fn next(&mut self) -> Result<Option<Answer>, Pop3Error> {
        let Some(&ask) = self.outstanding.front() else {
            return Ok(None);
        };
        match poll_fn(|cx| self.poll_outcome(cx, ask)).await {
            Ok(outcome) => {
                self.outstanding.pop_front();
                Ok(Some(Answer { ask, outcome }))
            }
            Err(error) => {
                // What follows would be read as answers.
                self.wire.close();
                Err(error)
            }
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>, ask: Ask) -> Poll<Result<Outcome, Pop3Error>> {
        // Also where the answer is in our buffer already: a server that has its next command
        // early makes no pause.
        self.wire.send_some(cx);
        loop {
            let Some(receiving) = &mut self.receiving else {
                if let Some(outcome) = ready!(self.poll_status(cx, ask))? {
                    return Poll::Ready(Ok(outcome));
                }
                self.receiving = Some(Receiving::default());
                continue;
            };
            let unread = self.wire.unread();
            let (taken, ended) = receiving.take(unread, ask.number(), self.spool.as_ref())?;
            self.wire.consume(taken);
            if ended && let Some(receiving) = self.receiving.take() {
                return Poll::Ready(Ok(Outcome::Message(receiving.finish())));
            }
            ready!(self.wire.poll_fill(cx))?;
        }
    }

    /// The outcome, unless a message follows.
    fn poll_status(
        &mut self,
        cx: &mut Context<'_>,
        ask: Ask,
    ) -> Poll<Result<Option<Outcome>, Pop3Error>> {
        let len = ready!(self.wire.poll_line(cx))?;
        let line = self.wire.take_line(len);
        let Some(StatusLine { status, words }) = StatusLine::of(line) else {
            return Poll::Ready(Err(Pop3Error::Parse {
                command: ask.command(),
                line: excerpt(line),
            }));
        };
        Poll::Ready(Ok(match (status, ask) {
            (Status::Negative, _) => Some(Outcome::Refused { words }),
            (Status::Positive, Ask::Dele(_)) => Some(Outcome::Done),
            (Status::Positive, Ask::Top(_) | Ask::Retr(_)) => None,
        }))
    }
}
