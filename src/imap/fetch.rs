//! Message bodies, pipelined.

use imap_proto::{AttributeValue, Response};

use super::command::{Command, unescape};
use super::error::{FETCH, ImapError};
use super::reply::Tagged;
use super::session::Session;
use super::wire::{Answer, Filter};
use crate::model::UidSet;
use crate::spool::Body;

/// What happens while bodies are fetched.
#[derive(Debug)]
pub enum BodyEvent {
    /// The server answered for one message.
    Message {
        /// Its UID, which need not be one that was asked for.
        uid: u32,
        /// `None` where the server sent NIL, which is no message: most often it was
        /// expunged by somebody else.
        body: Option<Body>,
    },
    /// The oldest outstanding fetch ended. Only its status says whether that was all; UIDs
    /// without a [`Self::Message`] by now were not answered.
    BatchDone {
        /// How it ended. The code may be `MESSAGELIMIT` or `THROTTLED` also on OK.
        status: Tagged,
    },
    /// The server announced that messages are gone.
    Expunged,
}

impl Session {
    /// Asks for whole messages of the open mailbox without marking them as read. Several
    /// fetches may be outstanding; how many a server bears, [`Quirks`] tells.
    ///
    /// The caller keeps the set short (RFC 2683 §3.2.1.5: a thousand bytes); far too long
    /// ones are an error before anything is sent.
    ///
    /// [`Quirks`]: super::Quirks
    pub async fn send_body_fetch(&mut self, uids: &UidSet) -> Result<(), ImapError> {
        let command = Command::new(FETCH, &format!(" {uids} (UID BODY.PEEK[])"));
        let tag = self.wire.send(&command).await?;
        self.wire.flush().await?;
        self.outstanding.push_back(tag);
        Ok(())
    }

    /// Waits for the next event; `None` once no fetch is outstanding. Fetches end in the
    /// order they were sent. No other command may be given while one is outstanding.
    pub async fn next_body(&mut self) -> Result<Option<BodyEvent>, ImapError> {
        let Some(&oldest) = self.outstanding.front() else {
            return Ok(None);
        };
        loop {
            match self.wire.next(event).await? {
                Answer::Data(Some(event)) => return Ok(Some(event)),
                Answer::Data(None) => {}
                Answer::Done(tag, status) if tag == oldest => {
                    self.outstanding.pop_front();
                    return Ok(Some(BodyEvent::BatchDone { status }));
                }
                Answer::Done(..) | Answer::Continue => return Err(self.wire.unreadable()),
            }
        }
    }
}

/// Flags of other sessions' making come in between, with or without a UID, never with a
/// body; they are no answer to us.
fn event(response: &Response<'_>, filter: &mut Filter) -> Option<BodyEvent> {
    let attributes = match response {
        Response::Expunge(_) | Response::Vanished { earlier: false, .. } => {
            return Some(BodyEvent::Expunged);
        }
        Response::Fetch(_, attributes) => attributes,
        _ => return None,
    };
    let uid = attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })?;
    let data = attributes.iter().find_map(whole_message)?;
    let body = data.map(|data| body(data, filter));
    Some(BodyEvent::Message { uid, body })
}

fn whole_message<'a>(attribute: &'a AttributeValue<'_>) -> Option<Option<&'a [u8]>> {
    match attribute {
        AttributeValue::BodySection {
            section: None,
            index: None,
            data,
        }
        | AttributeValue::Rfc822(data) => Some(data.as_deref()),
        _ => None,
    }
}

fn body(data: &[u8], filter: &mut Filter) -> Body {
    match filter.take_spooled(data) {
        Some(spooled) => Body::Spooled(spooled),
        None if filter.had_literal() => Body::Memory(data.to_vec()),
        None => Body::Memory(unescape(data)),
    }
}
