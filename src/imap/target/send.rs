//! APPEND on its way out.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};

use super::append::{Append, AppendBody, Sent};
use super::head::{Step, steps};
use super::session::{Outstanding, TargetSession};
use crate::imap::error::ImapError;
use crate::imap::reply::Tagged;
use crate::imap::wire::{Answer, Tag};
use crate::spool::{SpoolError, SpooledBody};

/// What is gathered for one write. Messages are a few kilobytes each; a write for each head and
/// each body would cost more than the server's work.
const GATHERED: usize = 256 * 1024;
/// How much of a spooled message is read at a time.
const PIECE: usize = 64 * 1024;

impl TargetSession {
    /// Sends one APPEND and does not wait for its end, which [`Self::next_append`] tells. Several
    /// may be outstanding. The caller bounds how many, by what the server bears: their replies
    /// are not read meanwhile and have to fit into the buffers of the connection, which hold some
    /// hundred.
    ///
    /// A literal that waits for consent first waits for the outstanding replies, which are kept.
    ///
    /// Before a byte is sent: [`ImapError::Unsendable`] for no message, an empty one or one of
    /// 4 GiB, a flag that is none and a date that does not render;
    /// [`ImapError::CommandTooLong`]; and [`ImapError::Spool`] for a spooled message whose file
    /// cannot be read or is not as long as it was. The session is then as good as before.
    /// After any other error it is unknown whether the server stores the messages.
    pub async fn send_append(&mut self, append: &Append<'_>) -> Result<Sent, ImapError> {
        self.usable()?;
        let steps = steps(append, self.literals())?;
        let mut files = VecDeque::new();
        for message in append.messages {
            if let AppendBody::Spooled(body) = &message.body {
                files.push_back((open(body)?, &**body));
            }
        }
        if steps.iter().any(|step| matches!(step, Step::Wait)) {
            // A `+` may only be for this one. And where an earlier message was taken for
            // commands, the `+` may be for one of those.
            self.at_rest().await?;
        }
        let tag = self.session.wire.begin();
        // From here on half a command may be out.
        self.broken_off = true;
        self.out.clear();
        let refused = match self.go(tag, steps, files).await {
            Err(ImapError::Io { source }) if is_closed(&source) => {
                return Err(self.last_words(source).await);
            }
            other => other?,
        };
        self.broken_off = false;
        if let Some(refused) = refused {
            return Ok(Sent::Refused(refused));
        }
        self.outstanding.push_back(Outstanding { tag, reply: None });
        Ok(Sent::Outstanding)
    }

    async fn go(
        &mut self,
        tag: Tag,
        steps: Vec<Step<'_>>,
        mut files: VecDeque<(File, &SpooledBody)>,
    ) -> Result<Option<Tagged>, ImapError> {
        self.put(tag.text().as_bytes()).await?;
        for step in steps {
            match step {
                Step::Text(text) => self.put(&text).await?,
                Step::Body(AppendBody::Memory(bytes)) => self.put(bytes).await?,
                Step::Body(AppendBody::Spooled(_)) => {
                    if let Some((file, body)) = files.pop_front() {
                        self.put_file(file, body).await?;
                    }
                }
                Step::Wait => {
                    self.put_out().await?;
                    if let Some(refused) = self.consent(tag).await? {
                        return Ok(Some(refused));
                    }
                }
            }
        }
        self.put_out().await?;
        Ok(None)
    }

    /// Waits for `+`; otherwise how the command ended.
    async fn consent(&mut self, tag: Tag) -> Result<Option<Tagged>, ImapError> {
        loop {
            match self.session.wire.next(|_, _| {}).await? {
                Answer::Continue => return Ok(None),
                Answer::Done(done, reply) if done == tag && !reply.is_ok() => {
                    return Ok(Some(reply));
                }
                Answer::Data(()) => {}
                Answer::Done(..) => return Err(self.session.wire.unreadable()),
            }
        }
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), ImapError> {
        if self.out.len() + bytes.len() > GATHERED {
            self.write_out().await?;
        }
        if bytes.len() >= GATHERED {
            return self.session.wire.write(bytes).await;
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Streams a file whose length was announced.
    async fn put_file(&mut self, file: File, body: &SpooledBody) -> Result<(), ImapError> {
        let mut left = body.len();
        while left > 0 {
            if self.out.len() + PIECE > GATHERED {
                self.write_out().await?;
            }
            let piece = left.min(PIECE as u64);
            let read = (&file).take(piece).read_to_end(&mut self.out);
            let read = read.map_err(|source| unread(body, source))? as u64;
            if read < piece {
                // The server waits for the rest, which it must not get from anything else.
                return Err(changed(body));
            }
            left -= read;
        }
        Ok(())
    }

    async fn write_out(&mut self) -> Result<(), ImapError> {
        if !self.out.is_empty() {
            self.session.wire.write(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn put_out(&mut self) -> Result<(), ImapError> {
        self.write_out().await?;
        self.session.wire.flush().await
    }

    /// Why the server hung up, if it said so; also takes in the replies it gave before.
    async fn last_words(&mut self, source: io::Error) -> ImapError {
        loop {
            match self.read_reply().await {
                Ok(()) => {}
                Err(bye @ ImapError::Bye { .. }) => return bye,
                Err(_) => return ImapError::Io { source },
            }
        }
    }
}

/// Whether the connection is over, so that reading comes to an end as well.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

/// Opens a spooled message and looks whether it is what it was.
fn open(body: &SpooledBody) -> Result<File, ImapError> {
    let file = File::open(body.path()).map_err(|source| unread(body, source))?;
    let found = file.metadata().map_err(|source| unread(body, source))?;
    if found.len() == body.len() {
        Ok(file)
    } else {
        Err(changed(body))
    }
}

fn changed(body: &SpooledBody) -> ImapError {
    let text = "the file is not as long as it was";
    unread(body, io::Error::new(io::ErrorKind::InvalidData, text))
}

fn unread(body: &SpooledBody, source: io::Error) -> ImapError {
    let path = Some(body.path().to_owned());
    SpoolError { path, source }.into()
}
