//! One message, from MAIL to the answer to its final dot.

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter};

use super::address;
use super::body::{Look, Parts, SmtpBody};
use super::error::SmtpError;
use super::refusal::{self, CLOSING};
use super::reply::Reply;
use super::session::SmtpSession;
use crate::net::{Disposition, Scope};

/// What the server made of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SendReply {
    /// The server has taken responsibility for it (RFC 5321 §4.2.5).
    Accepted {
        /// The server's words, raw, at most a kibibyte.
        words: String,
    },
    /// The server did not take it: it was not delivered.
    Refused {
        /// The code.
        code: u16,
        /// The server's words, raw, at most a kibibyte.
        words: String,
        /// At what.
        at: Stage,
        /// Whether the server says that trying again would change nothing (5yz).
        permanent: bool,
    },
}

/// What a refusal answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The reverse path.
    MailFrom,
    /// The recipient.
    RcptTo,
    /// The announcement of the message.
    Data,
    /// The message itself.
    End,
}

impl SendReply {
    /// How much a refusal concerns, and whether to try again; nothing if the message was taken.
    #[must_use]
    pub fn disposition(&self) -> Option<(Scope, Disposition)> {
        match self {
            Self::Accepted { .. } => None,
            Self::Refused {
                code, words, at, ..
            } => Some(refusal::disposition(*code, words, *at)),
        }
    }

    fn refused(reply: &Reply, at: Stage) -> Self {
        Self::Refused {
            code: reply.code,
            words: reply.words(),
            at,
            permanent: reply.code >= 500,
        }
    }
}

impl SmtpSession {
    /// Sends a message to one recipient, its bytes unchanged: a dot that begins a line is doubled
    /// on the wire, and the CRLF that DATA needs at the end is added where the message has none.
    /// `reverse_path` may be empty.
    ///
    /// A refusal leaves the session usable, unless the server has hung up with it. An error says
    /// by [`SmtpError::may_be_delivered`] whether the message may be sent again. Dropping the
    /// future ends the session, and leaves the message as doubtful as a lost answer does.
    pub async fn send(
        &mut self,
        reverse_path: &str,
        recipient: &str,
        message: SmtpBody<'_>,
    ) -> Result<SendReply, SmtpError> {
        let from = address::reverse_path(reverse_path)?;
        let to = address::recipient(recipient)?;
        let look = message.look()?;
        if look.lone_dot {
            return Err(SmtpError::LoneDot);
        }
        if look.eight_bit && !self.extensions.eight_bit_mime {
            return Err(SmtpError::EightBit);
        }
        if !std::mem::take(&mut self.usable) {
            return Err(SmtpError::SessionOver);
        }
        let reply = self.transact(from, to, message, &look).await?;
        self.usable = !self.stream.has_failed();
        Ok(reply)
    }

    async fn transact(
        &mut self,
        from: Option<Address>,
        to: Address,
        message: SmtpBody<'_>,
        look: &Look,
    ) -> Result<SendReply, SmtpError> {
        if self.envelope_left {
            let reply = self.command("RSET", Rset).await?;
            if !reply.is_positive() {
                return Err(SmtpError::of("RSET", &reply));
            }
            self.envelope_left = false;
        }
        let mail = Mail::new(from, self.parameters(look));
        let reply = self.command("MAIL", mail).await?;
        if !agreed("MAIL", &reply)? {
            return Ok(SendReply::refused(&reply, Stage::MailFrom));
        }
        self.envelope_left = true;
        let reply = self.command("RCPT", Rcpt::new(to, Vec::new())).await?;
        if !agreed("RCPT", &reply)? {
            return Ok(SendReply::refused(&reply, Stage::RcptTo));
        }
        let reply = self.command("DATA", Data).await?;
        if reply.is_negative() {
            return Ok(SendReply::refused(&reply, Stage::Data));
        }
        // Anything else is the answer to another command.
        if reply.code != START_INPUT {
            return Err(SmtpError::of("DATA", &reply));
        }
        let reply = self.data(message, look).await?;
        // The server keeps no envelope behind the final dot (RFC 5321 §4.1.1.4).
        self.envelope_left = false;
        let doubtful = |cause| SmtpError::Doubtful {
            cause: Box::new(cause),
        };
        if agreed(BODY, &reply).map_err(doubtful)? {
            let words = reply.words();
            return Ok(SendReply::Accepted { words });
        }
        Ok(SendReply::refused(&reply, Stage::End))
    }

    /// Sends the bytes, the final dot, and waits for the answer.
    async fn data(&mut self, message: SmtpBody<'_>, look: &Look) -> Result<Reply, SmtpError> {
        let parts = Parts::new(message, look, self.stream.clone())?;
        self.stream.begin(BODY);
        let said = self.connection.message_iter(parts).await;
        let reply = self.stream.outcome(said).await?;
        if reply.code == CLOSING {
            return Err(SmtpError::closing(reply.words()));
        }
        Ok(reply)
    }

    fn parameters(&self, look: &Look) -> Vec<MailParameter> {
        let mut parameters = Vec::new();
        if self.extensions.declares_size {
            let size = usize::try_from(look.declared()).unwrap_or(usize::MAX);
            parameters.push(MailParameter::Size(size));
        }
        if look.eight_bit {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        parameters
    }
}

/// The name of the message itself, where a command's would stand.
const BODY: &str = "the message";
/// 354: send the message.
const START_INPUT: u16 = 354;

/// Whether the server agreed; a reply that is neither yes nor no is an error.
fn agreed(command: &'static str, reply: &Reply) -> Result<bool, SmtpError> {
    if reply.is_positive() {
        Ok(true)
    } else if reply.is_negative() {
        Ok(false)
    } else {
        Err(SmtpError::of(command, reply))
    }
}
