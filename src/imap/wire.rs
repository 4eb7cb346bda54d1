//! Commands out, answers in: what every operation of a session is made of.

use async_imap::Client;
use imap_proto::{Response, Status};
use tokio::io::AsyncWriteExt as _;

use super::capabilities::Capabilities;
use super::command::{Command, MAX_LINE};
use super::error::ImapError;
use super::reply::{Tagged, TaggedStatus, words_of};
use super::uid_code::UidCode;
use super::wire_filter::WireFilter;
use crate::net::{Transport, random_token};
use crate::spool::SpoolOptions;

pub(super) type Filter = WireFilter<Transport>;

/// One connection. async-imap parses what comes in; what goes out is written by us,
/// because its own commands lose the server's words and its trace log shows passwords.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client<Filter>,
    last_tag: u32,
    /// The last capabilities the server sent, with whatever command.
    pub(super) announced: Option<Capabilities>,
    /// The UIDs the last tagged response told.
    pub(super) uid_code: Option<UidCode>,
}

/// One answer.
pub(super) enum Answer<R> {
    /// A command ended.
    Done(Tag, Tagged),
    /// The server waits for the rest of a command.
    Continue,
    /// Untagged data, as the caller understood it.
    Data(R),
}

/// The tag of a command sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tag(u32);

impl Wire {
    pub(super) fn new(
        transport: Transport,
        spool: Option<SpoolOptions>,
    ) -> Result<Self, ImapError> {
        // Without randomness the spool's stand-ins could be guessed; TLS would fail as well.
        let token = random_token().ok_or_else(|| ImapError::Io {
            source: std::io::Error::other("the system has no randomness to give"),
        })?;
        Ok(Self {
            client: Client::new(WireFilter::new(transport, spool, token)),
            last_tag: 0,
            announced: None,
            uid_code: None,
        })
    }

    /// The transport, if nothing of it was read ahead.
    pub(super) fn into_transport(self) -> Option<Transport> {
        self.client.into_inner().into_inner()
    }

    /// The responses of a name that were kept aside, as they came; those of others are dropped.
    pub(super) fn take_aside(&mut self, name: &str) -> Vec<Vec<u8>> {
        self.client.get_mut().take_aside(name)
    }

    /// Drops what came aside before the question.
    pub(super) fn forget_aside(&mut self) {
        drop(self.take_aside(""));
    }

    /// Whether the server has sent more than was asked for.
    pub(super) fn has_unread(&self) -> bool {
        self.client.get_ref().has_unread()
    }

    /// Sends a command and reads until it ends; `on` sees everything untagged.
    pub(super) async fn run(
        &mut self,
        command: Command,
        mut on: impl FnMut(&Response<'_>, &mut Filter),
    ) -> Result<Tagged, ImapError> {
        let last = command.pieces.len();
        let (name, sasl) = (command.name, command.sasl);
        // Before the first byte goes out: half a command would be the beginning of the next.
        if let Some(length) = command
            .pieces
            .iter()
            .map(Vec::len)
            .find(|length| *length + 2 > MAX_LINE)
        {
            return Err(ImapError::CommandTooLong { length });
        }
        let tag = self.begin();
        for (n, mut piece) in command.pieces.into_iter().enumerate() {
            let is_last = n + 1 == last;
            if n == 0 {
                // Written by itself it would travel by itself.
                piece.splice(..0, tag.text().into_bytes());
            }
            if is_last {
                piece.extend_from_slice(b"\r\n");
            }
            self.write(&piece).await?;
            self.flush().await?;
            if !is_last && let Some(reply) = self.wait(tag, true, &mut on).await? {
                return Ok(reply);
            }
        }
        loop {
            match self.wait(tag, sasl, &mut on).await? {
                Some(reply) => return Ok(reply),
                None => self.cancel_sasl(name).await?,
            }
        }
    }

    /// [`Self::run`] where anything but OK is an error.
    pub(super) async fn run_ok(
        &mut self,
        command: Command,
        on: impl FnMut(&Response<'_>, &mut Filter),
    ) -> Result<Tagged, ImapError> {
        let name = command.name;
        let reply = self.run(command, on).await?;
        if reply.is_ok() {
            Ok(reply)
        } else {
            Err(ImapError::of_reply(name, reply))
        }
    }

    /// Sends a command in one piece without waiting for its end.
    pub(super) async fn send(&mut self, command: &Command) -> Result<Tag, ImapError> {
        let tag = self.begin();
        let mut line = tag.text().into_bytes();
        line.extend(command.pieces.iter().flatten());
        line.extend_from_slice(b"\r\n");
        if line.len() > MAX_LINE {
            return Err(ImapError::CommandTooLong { length: line.len() });
        }
        self.write(&line).await?;
        Ok(tag)
    }

    pub(super) async fn flush(&mut self) -> Result<(), ImapError> {
        let result = self.client.get_mut().flush().await;
        result.map_err(|error| self.failed(error))
    }

    /// Reads one answer. BYE is an error: the connection is about to end.
    pub(super) async fn next<R>(
        &mut self,
        on: impl FnOnce(&Response<'_>, &mut Filter) -> R,
    ) -> Result<Answer<R>, ImapError> {
        let response = match self.client.read_response().await {
            Ok(Some(response)) => response,
            Ok(None) => return Err(self.failed(std::io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(self.failed(error)),
        };
        let filter = self.client.get_mut();
        if let Some(capabilities) = capabilities(response.parsed()) {
            self.announced = Some(capabilities);
        }
        match response.parsed() {
            Response::Done {
                tag,
                status,
                outcome,
            } => {
                self.uid_code = outcome.code.as_ref().and_then(UidCode::of);
                let words = words_of(filter.status_line());
                match (tag.0.parse(), tagged(status)) {
                    (Ok(tag), Some(status)) => Ok(Answer::Done(tag, Tagged::new(status, words))),
                    _ => Err(self.unreadable()),
                }
            }
            Response::Continue(_) => Ok(Answer::Continue),
            Response::Data {
                status: Status::Bye,
                ..
            } => Err(ImapError::Bye {
                words: words_of(filter.status_line()),
            }),
            other => Ok(Answer::Data(on(other, filter))),
        }
    }

    /// The last answer makes no sense here.
    pub(super) fn unreadable(&self) -> ImapError {
        let line = self.client.get_ref().first_line();
        ImapError::Parse {
            detail: super::error::excerpt(line),
        }
    }

    /// Reads until the command ends; with `may_continue` also until the server asks for
    /// more, which is `None`.
    async fn wait(
        &mut self,
        tag: Tag,
        may_continue: bool,
        on: &mut impl FnMut(&Response<'_>, &mut Filter),
    ) -> Result<Option<Tagged>, ImapError> {
        loop {
            match self.next(&mut *on).await? {
                Answer::Done(done, reply) if done == tag => return Ok(Some(reply)),
                Answer::Continue if may_continue => return Ok(None),
                Answer::Data(()) => {}
                Answer::Done(..) | Answer::Continue => return Err(self.unreadable()),
            }
        }
    }

    /// RFC 3501 §6.2.2: a lone `*` ends an exchange we do not understand.
    async fn cancel_sasl(&mut self, name: &'static str) -> Result<(), ImapError> {
        debug_assert_eq!(name, "AUTHENTICATE");
        self.write(b"*\r\n").await?;
        self.flush().await
    }

    /// The tag of a command that is written piece by piece.
    pub(super) fn begin(&mut self) -> Tag {
        self.last_tag = self.last_tag.wrapping_add(1);
        Tag(self.last_tag)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ImapError> {
        let result = self.client.get_mut().write_all(bytes).await;
        result.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> ImapError {
        ImapError::of_io(error, self.client.get_ref().first_line())
    }
}

impl Tag {
    /// The tag and the space behind it.
    pub(super) fn text(self) -> String {
        format!("m{} ", self.0)
    }
}

impl std::str::FromStr for Tag {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('m').unwrap_or_default().parse().map(Self)
    }
}

const fn tagged(status: &Status) -> Option<TaggedStatus> {
    match status {
        Status::Ok => Some(TaggedStatus::Ok),
        Status::No => Some(TaggedStatus::No),
        Status::Bad => Some(TaggedStatus::Bad),
        Status::PreAuth | Status::Bye => None,
    }
}

fn capabilities(response: &Response<'_>) -> Option<Capabilities> {
    let (Response::Data { outcome, .. } | Response::Done { outcome, .. }) = response else {
        let Response::Capabilities(list) = response else {
            return None;
        };
        return Some(Capabilities::of(list));
    };
    match &outcome.code {
        Some(imap_proto::ResponseCode::Capabilities(list)) => Some(Capabilities::of(list)),
        _ => None,
    }
}
