//! The state of mailboxes: STATUS for many, EXAMINE for one.

use imap_proto::{MailboxDatum, Outcome, Response, ResponseCode, StatusAttribute};

use super::command::Command;
use super::error::{EXAMINE, ImapError};
use super::list::name_of;
use super::reply::words_of;
use super::session::Session;
use super::wire::{Answer, Filter};
use crate::model::MailboxStatus;

/// A mailbox opened for reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Examined {
    /// How many messages it holds.
    pub exists: u32,
    /// UIDVALIDITY; `None` where the server has none, 0 where it says 0.
    pub uidvalidity: Option<u32>,
    /// The UID the next message will get at least.
    /// QUIRK(Courier, Winmail 5.1): they do not send it.
    pub uidnext: Option<u32>,
    /// HIGHESTMODSEQ; `None` without CONDSTORE and for a mailbox without mod-sequences.
    pub highestmodseq: Option<u64>,
}

/// What a server says when it opens a mailbox.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) examined: Examined,
    /// PERMANENTFLAGS; `None` where the server does not say.
    pub(super) permanent: Option<Vec<String>>,
    pub(super) read_only: bool,
}

/// STATUS commands in flight: enough to hide the round trips, little enough for the
/// answers to fit into the buffers of the connection while we are still writing.
const STATUS_BATCH: usize = 32;

impl Session {
    /// The state of mailboxes that are not open (that of an open one would be stale).
    ///
    /// One entry per name, in the order given. `None` where the server refused or did not
    /// answer: such a mailbox must be examined, never taken as unchanged or gone.
    pub async fn status(
        &mut self,
        wire_names: &[String],
    ) -> Result<Vec<Option<MailboxStatus>>, ImapError> {
        let items = self.status_items();
        let mut all = Vec::with_capacity(wire_names.len());
        // Who is not to be sent two FETCHes at a time is not to be sent two of these.
        let at_once = if self.quirks().depth > 1 {
            STATUS_BATCH
        } else {
            1
        };
        for batch in wire_names.chunks(at_once) {
            let mut found = vec![None; batch.len()];
            self.status_batch(batch, items, &mut found).await?;
            all.append(&mut found);
        }
        Ok(all)
    }

    /// The parser reads no others: SIZE or MAILBOXID would end the session.
    pub(super) fn status_items(&self) -> &'static str {
        if self.capabilities().condstore() {
            " (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"
        } else {
            " (MESSAGES UIDNEXT UIDVALIDITY)"
        }
    }

    async fn status_batch(
        &mut self,
        names: &[String],
        items: &str,
        found: &mut [Option<MailboxStatus>],
    ) -> Result<(), ImapError> {
        let command = |name: &String| Command::new("STATUS", "").string(name).text(items);
        let mut sent = Vec::new();
        let mut alone = Vec::new();
        for name in names {
            let command = command(name);
            if command.needs_consent() {
                alone.push(command);
            } else {
                match self.wire.send(&command).await {
                    Ok(tag) => sent.push(tag),
                    Err(ImapError::CommandTooLong { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.wire.flush().await?;
        let mut ended = 0;
        while ended < sent.len() {
            match self
                .wire
                .next(|response, filter| status_of(response, filter))
                .await?
            {
                Answer::Data(Some((name, status))) => put(names, found, &name, status),
                Answer::Data(None) => {}
                Answer::Done(tag, _) if sent.contains(&tag) => ended += 1,
                Answer::Done(..) | Answer::Continue => return Err(self.wire.unreadable()),
            }
        }
        for command in alone {
            let on = |response: &Response<'_>, filter: &mut Filter| {
                if let Some((name, status)) = status_of(response, filter) {
                    put(names, found, &name, status);
                }
            };
            match self.wire.run(command, on).await {
                Ok(_) | Err(ImapError::CommandTooLong { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens a mailbox for reading (RFC 3501 §6.3.2); nothing in it can change by us.
    ///
    /// A refusal is [`ImapError::No`], or [`ImapError::MailboxGone`] where the server says
    /// so or lists it no more; no mailbox is open then.
    pub async fn examine(&mut self, wire: &str) -> Result<Examined, ImapError> {
        Ok(self.open(EXAMINE, wire).await?.examined)
    }

    /// EXAMINE or SELECT: they differ in what the server lets happen afterwards.
    pub(super) async fn open(
        &mut self,
        name: &'static str,
        wire: &str,
    ) -> Result<Opened, ImapError> {
        self.was_opened = true;
        let condstore = if self.capabilities().condstore() {
            " (CONDSTORE)"
        } else {
            ""
        };
        let command = Command::new(name, "").string(wire).text(condstore);
        let mut exists = None;
        let mut permanent = None;
        let mut read_only = false;
        let mut status = MailboxStatus::default();
        let result = self
            .wire
            .run_ok(command, |response, filter| match response {
                // The last one counts: earlier ones may be of the mailbox open before.
                Response::MailboxData(MailboxDatum::Exists(n)) => exists = Some(*n),
                Response::Data { outcome, .. } => match outcome.code {
                    Some(ResponseCode::ReadOnly) => read_only = true,
                    Some(ResponseCode::UidValidity(n)) => status.uidvalidity = Some(n),
                    Some(ResponseCode::UidNext(n)) => status.uidnext = Some(n),
                    Some(ResponseCode::HighestModSeq(n)) => status.highestmodseq = modseq(n),
                    _ => permanent = permanent_flags(outcome, filter).or(permanent.take()),
                },
                _ => {}
            })
            .await;
        let reply = match result {
            // QUIRK(Dovecot 2.3.19): a mailbox that is gone gets a NO without a code, as does
            // one that is locked or broken. LIST tells them apart.
            Err(ImapError::No { words, .. }) if self.is_listed_no_more(wire).await? => {
                return Err(ImapError::MailboxGone { words });
            }
            other => other?,
        };
        Ok(Opened {
            examined: Examined {
                exists: exists.ok_or_else(|| self.wire.unreadable())?,
                uidvalidity: status.uidvalidity,
                uidnext: status.uidnext,
                highestmodseq: status.highestmodseq,
            },
            permanent,
            read_only: read_only || reply.has_code("READ-ONLY"),
        })
    }

    /// Whether LIST names mailboxes, and this one not among them.
    async fn is_listed_no_more(&mut self, wire: &str) -> Result<bool, ImapError> {
        let listed = self.list().await?;
        // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
        Ok(!listed.is_empty() && listed.iter().all(|m| m.wire != wire || !m.selectable()))
    }
}

/// PERMANENTFLAGS, also where the parser gives up on one of them: then as many as can be read
/// of the line as it came.
fn permanent_flags(outcome: &Outcome<'_>, filter: &Filter) -> Option<Vec<String>> {
    if let Some(ResponseCode::PermanentFlags(flags)) = &outcome.code {
        return Some(flags.iter().map(|flag| flag.to_string()).collect());
    }
    let words = words_of(filter.status_line());
    let (code, rest) = words.strip_prefix('[')?.split_once(" (")?;
    if !code.eq_ignore_ascii_case("PERMANENTFLAGS") {
        return None;
    }
    let list = match rest.split_once(')') {
        Some((list, _)) => list,
        // What is remembered of a line may end within a flag.
        None => rest.rsplit_once(' ').map_or("", |(whole, _)| whole),
    };
    Some(list.split_ascii_whitespace().map(str::to_owned).collect())
}

pub(super) fn status_of(
    response: &Response<'_>,
    filter: &Filter,
) -> Option<(String, MailboxStatus)> {
    let Response::MailboxData(MailboxDatum::Status { mailbox, status }) = response else {
        return None;
    };
    let mut found = MailboxStatus::default();
    for attribute in status {
        match *attribute {
            StatusAttribute::Messages(n) => found.messages = Some(n),
            StatusAttribute::UidNext(n) => found.uidnext = Some(n),
            StatusAttribute::UidValidity(n) => found.uidvalidity = Some(n),
            StatusAttribute::HighestModSeq(n) => found.highestmodseq = modseq(n),
            _ => {}
        }
    }
    Some((name_of(mailbox, filter), found))
}

/// By name, not by order: a server may answer pipelined commands in any.
fn put(names: &[String], found: &mut [Option<MailboxStatus>], name: &str, status: MailboxStatus) {
    for (slot, _) in found.iter_mut().zip(names).filter(|(_, n)| *n == name) {
        *slot = Some(status);
    }
}

/// RFC 7162 §3.1.2.2: zero says that the mailbox keeps no mod-sequences.
fn modseq(n: u64) -> Option<u64> {
    (n > 0).then_some(n)
}
