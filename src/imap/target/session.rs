//! A session with a target, and the replies it still owes.

use std::collections::VecDeque;
use std::io;

use super::append::{AppendReply, AppendUid, Literals};
use crate::imap::capabilities::Capabilities;
use crate::imap::error::ImapError;
use crate::imap::quirks::Quirks;
use crate::imap::reply::{Tagged, TaggedStatus};
use crate::imap::session::Session;
use crate::imap::uid_code::UidCode;
use crate::imap::wire::{Answer, Tag};
use crate::net::{Endpoint, NetOptions};
use crate::secret::Credentials;
use crate::spool::SpoolOptions;

/// A signed-in IMAP session that may change what the server holds.
///
/// Replies to APPENDs may be outstanding; commands other than APPEND first wait for those and
/// keep them for [`Self::next_append`].
///
/// A future that is dropped before its end, an error that is no refusal, and BAD to an APPEND
/// leave the session unusable: drop it and connect again. Where an APPEND broke off, or was
/// misunderstood, it sends nothing any more: everything fails with an error of kind
/// `NotConnected`, except that replies which have come are still given.
#[derive(Debug)]
pub struct TargetSession {
    pub(super) session: Session,
    /// APPENDs sent whose replies were not given yet, in order.
    pub(super) outstanding: VecDeque<Outstanding>,
    /// Half a command went out, or the server took one for another.
    pub(super) broken_off: bool,
    /// What goes out with the next write.
    pub(super) out: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) tag: Tag,
    pub(super) reply: Option<AppendReply>,
}

impl TargetSession {
    /// Connects, upgrades by STARTTLS where the endpoint asks for it, and signs in: see
    /// [`Session::connect`]. `spool` is for what is read from the target.
    pub async fn connect(
        endpoint: &Endpoint,
        net: &NetOptions,
        credentials: &Credentials,
        spool: Option<SpoolOptions>,
    ) -> Result<Self, ImapError> {
        let session = Session::connect(endpoint, net, credentials, spool).await?;
        Ok(Self::over(session))
    }

    /// [`Self::connect`] behind the sign-in.
    pub(super) const fn over(session: Session) -> Self {
        Self {
            session,
            outstanding: VecDeque::new(),
            broken_off: false,
            out: Vec::new(),
        }
    }

    /// What the server announced after sign-in.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        self.session.capabilities()
    }

    /// What is known of this server.
    #[must_use]
    pub const fn quirks(&self) -> &Quirks {
        self.session.quirks()
    }

    /// LIST, STATUS, EXAMINE and FETCH, by the session beneath.
    ///
    /// Only while no APPEND is outstanding, and with body fetches read to their end: either
    /// would take the other's replies for its own, which is an error and ends the session.
    /// A mailbox that is examined takes the place of the selected one.
    pub const fn reading(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Ends the session politely; see [`Session::logout`].
    pub async fn logout(self) {
        // LOGOUT in the middle of a literal would be a part of the message.
        if !self.broken_off {
            self.session.logout().await;
        }
    }

    /// How literals may go out.
    #[must_use]
    pub fn literals(&self) -> Literals {
        let capabilities = self.capabilities();
        if capabilities.has("LITERAL+") {
            Literals::Plus
        } else if capabilities.has("LITERAL-") {
            Literals::Minus
        } else {
            Literals::Synchronising
        }
    }

    /// Whether several messages may go in one APPEND (RFC 3502).
    #[must_use]
    pub fn multiappend(&self) -> bool {
        self.capabilities().has("MULTIAPPEND")
    }

    /// The largest message the server takes, in bytes (`APPENDLIMIT=n`, RFC 7889). `None` where
    /// it announces none, or one for each mailbox.
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        let limits = self.capabilities().iter();
        limits
            .filter_map(|name| name.strip_prefix("APPENDLIMIT=")?.parse().ok())
            .min()
    }

    /// How many APPENDs were sent whose replies [`Self::next_append`] has not given yet.
    #[must_use]
    pub fn appends_outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The end of the oldest outstanding APPEND.
    ///
    /// An error of kind `InvalidInput` if none is outstanding. After any other error nothing is
    /// known of those that are: the server may have stored them, or may do so yet.
    pub async fn next_append(&mut self) -> Result<AppendReply, ImapError> {
        loop {
            let Some(oldest) = self.outstanding.front_mut() else {
                let none = io::Error::new(io::ErrorKind::InvalidInput, "no APPEND is outstanding");
                return Err(ImapError::Io { source: none });
            };
            if let Some(reply) = oldest.reply.take() {
                self.outstanding.pop_front();
                return Ok(reply);
            }
            self.usable()?;
            self.read_reply().await?;
        }
    }

    /// Waits for all outstanding replies, which are kept, so that another command can be given.
    pub(super) async fn at_rest(&mut self) -> Result<(), ImapError> {
        self.usable()?;
        while self.outstanding.iter().any(|o| o.reply.is_none()) {
            self.read_reply().await?;
            self.usable()?;
        }
        Ok(())
    }

    pub(super) fn usable(&self) -> Result<(), ImapError> {
        if self.broken_off {
            let kind = io::ErrorKind::NotConnected;
            let source = io::Error::new(kind, "the session broke off within an APPEND");
            return Err(ImapError::Io { source });
        }
        Ok(())
    }

    /// Reads one answer while nothing but APPENDs is outstanding.
    pub(super) async fn read_reply(&mut self) -> Result<(), ImapError> {
        let answer = self.session.wire.next(|_, _| {}).await;
        if answer.is_err() {
            self.broken_off = true;
        }
        match answer? {
            Answer::Done(tag, reply) => self.keep(tag, reply),
            Answer::Data(()) => Ok(()),
            Answer::Continue => {
                self.broken_off = true;
                Err(self.session.wire.unreadable())
            }
        }
    }

    /// Keeps the reply that was read last. Servers may end commands in any order.
    fn keep(&mut self, tag: Tag, reply: Tagged) -> Result<(), ImapError> {
        let code = self.session.wire.uid_code.take();
        let waiting = |o: &&mut Outstanding| o.tag == tag && o.reply.is_none();
        let Some(of) = self.outstanding.iter_mut().find(waiting) else {
            self.broken_off = true;
            return Err(self.session.wire.unreadable());
        };
        of.reply = Some(match reply.status {
            TaggedStatus::Ok => AppendReply::Stored(match code {
                Some(UidCode::Append { uidvalidity, uids }) => {
                    Some(AppendUid { uidvalidity, uids })
                }
                Some(UidCode::Copy { .. }) | None => None,
            }),
            TaggedStatus::No => AppendReply::Refused(reply),
            TaggedStatus::Bad => {
                // Of what comes now, a mail may have asked for it.
                self.broken_off = true;
                AppendReply::Misunderstood(reply)
            }
        });
        Ok(())
    }
}
