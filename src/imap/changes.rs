//! What changed in a mailbox since it was looked at: CONDSTORE and QRESYNC (RFC 7162).

use imap_proto::{AttributeValue, MessageSection, Response, SectionPath};

use super::command::{Command, unescape};
use super::error::{FETCH, ImapError};
use super::listing::{Gathered, ITEMS, split};
use super::session::Session;
use super::wire::Filter;
use crate::model::{Listing, UidSet};

/// What a server says has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Messages that changed, as they are listed now.
    pub changed: Listing,
    /// Messages that are gone. The set may have UIDs that were gone before, or never were.
    pub vanished: UidSet,
    /// The server stopped before it had told everything (RFC 9738).
    pub cut_short: bool,
}

/// The fields a digest is made of.
const HEADER_FIELDS: &str = "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)])";

/// The fields by which a message that passed through another server is known again.
const IDENTITY_FIELDS: &str =
    "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT RECEIVED)])";

impl Session {
    /// Switches QRESYNC on (RFC 7162 §3.2.3), so that [`Self::changes`] can tell what has
    /// vanished. Whether it is on; it can only be switched before a mailbox is opened, and is
    /// asked for once.
    pub async fn enable_qresync(&mut self) -> Result<bool, ImapError> {
        if let Some(on) = self.qresync {
            return Ok(on);
        }
        let able = self.capabilities().has("QRESYNC") && self.capabilities().has("ENABLE");
        if !able || self.was_opened {
            return Ok(false);
        }
        self.wire.forget_aside();
        let enable = Command::new("ENABLE", " QRESYNC");
        let reply = self.wire.run(enable, |_, _| {}).await?;
        let enabled = self.wire.take_aside("ENABLED").pop().unwrap_or_default();
        let enabled = enabled.to_ascii_uppercase();
        let on = reply.is_ok() && memchr::memmem::find(&enabled, b" QRESYNC").is_some();
        self.qresync = Some(on);
        Ok(on)
    }

    /// What changed since a mod-sequence in the open mailbox, up to a UID; what vanished is
    /// told only where QRESYNC is on.
    pub async fn changes(&mut self, to: u32, modseq: u64) -> Result<Changes, ImapError> {
        let vanished = if self.qresync == Some(true) {
            " VANISHED"
        } else {
            ""
        };
        let mut gathered = Gathered::default();
        let items = format!("{ITEMS} (CHANGEDSINCE {modseq}{vanished})");
        let code = self
            .gather(&format!("1:{to}"), &items, &mut gathered)
            .await?;
        let limit = "MESSAGELIMIT";
        let cut_short = code.is_some_and(|code| {
            let name = code.split(' ').next().unwrap_or_default();
            name.eq_ignore_ascii_case(limit)
        });
        gathered.merge();
        self.ask_again(&mut gathered).await?;
        let vanished = UidSet::of_ranges(std::mem::take(&mut gathered.vanished));
        let mut changed = gathered.into_listing();
        changed.messages.retain(|message| message.uid <= to);
        Ok(Changes {
            changed,
            vanished,
            cut_short,
        })
    }

    /// The UIDs there are in the open mailbox up to one: compressed where the server can
    /// (RFC 4731).
    pub async fn uids_to(&mut self, to: u32) -> Result<UidSet, ImapError> {
        if self.capabilities().has("ESEARCH") {
            let search = format!(" RETURN (ALL) UID 1:{to}");
            self.wire.forget_aside();
            match self
                .wire
                .run_ok(Command::new("UID SEARCH", &search), |_, _| {})
                .await
            {
                Ok(_) => {
                    let answer = self.wire.take_aside("ESEARCH").pop();
                    if let Some(uids) = answer.as_deref().and_then(esearch) {
                        return Ok(uids.intersection(&UidSet::of_ranges([(1, to)])));
                    }
                }
                Err(ImapError::No { .. } | ImapError::Bad { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut uids = Vec::new();
        let on = |response: &Response<'_>, _: &mut Filter| {
            if let Response::Fetch(_, attributes) = response {
                uids.extend(uid_of(attributes).map(|uid| (uid, uid)));
            }
        };
        self.wire
            .run_ok(Command::new(FETCH, &format!(" 1:{to} (UID)")), on)
            .await?;
        Ok(UidSet::of_ranges(uids).intersection(&UidSet::of_ranges([(1, to)])))
    }

    /// Hands the fields Message-ID, Date, From and Subject of messages of the open mailbox to
    /// `each`, as a header of these alone. Messages the server does not answer for are left out.
    pub async fn header_fields(
        &mut self,
        uids: &UidSet,
        each: impl FnMut(u32, &[u8]),
    ) -> Result<(), ImapError> {
        self.fields(uids, HEADER_FIELDS, each).await
    }

    /// [`Self::header_fields`] with all fields Received as well, the topmost first.
    pub async fn identity_fields(
        &mut self,
        uids: &UidSet,
        each: impl FnMut(u32, &[u8]),
    ) -> Result<(), ImapError> {
        self.fields(uids, IDENTITY_FIELDS, each).await
    }

    async fn fields(
        &mut self,
        uids: &UidSet,
        items: &str,
        mut each: impl FnMut(u32, &[u8]),
    ) -> Result<(), ImapError> {
        for set in split(uids) {
            let command = Command::new(FETCH, &format!(" {set} {items}"));
            let on = |response: &Response<'_>, filter: &mut Filter| {
                let Response::Fetch(_, attributes) = response else {
                    return;
                };
                let data = attributes.iter().find_map(|attribute| match attribute {
                    AttributeValue::BodySection {
                        section: Some(SectionPath::Full(MessageSection::Header)),
                        data: Some(data),
                        ..
                    } => Some(data.as_ref()),
                    _ => None,
                });
                // A header so large that it lies in the spool nominates nobody.
                if let (Some(uid), Some(data)) = (uid_of(attributes), data)
                    && filter.take_spooled(data).is_none()
                {
                    if filter.had_literal() {
                        each(uid, data);
                    } else {
                        each(uid, &unescape(data));
                    }
                }
            };
            self.wire.run_ok(command, on).await?;
        }
        Ok(())
    }
}

fn uid_of(attributes: &[AttributeValue<'_>]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })
}

/// The set in an ESEARCH response; without ALL it is empty (RFC 4731 §3.1). `None` where it
/// cannot be read, or says that its numbers are no UIDs.
fn esearch(line: &[u8]) -> Option<UidSet> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace().skip(2).peekable();
    if words.peek().is_some_and(|word| word.starts_with('(')) {
        words.by_ref().find(|word| word.ends_with(')'))?;
    }
    let mut are_uids = false;
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_str() {
            "UID" => are_uids = true,
            "ALL" => return sequence_set(words.next()?).filter(|_| are_uids),
            _ => drop(words.next()),
        }
    }
    are_uids.then(UidSet::new)
}

fn sequence_set(text: &str) -> Option<UidSet> {
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let (begin, end) = part.split_once(':').unwrap_or((part, part));
        ranges.push((begin.parse().ok()?, end.parse().ok()?));
    }
    Some(UidSet::of_ranges(ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_esearch_response_is_read_whatever_else_it_says() {
        let set = |line: &str| esearch(line.as_bytes()).map(|set| set.to_string());
        let yes = |line, want: &str| assert_eq!(set(line).as_deref(), Some(want), "{line}");
        yes("* ESEARCH (TAG \"m5\") UID ALL 1:3,5\r\n", "1:3,5");
        yes("* ESEARCH (TAG \"m 5\") UID COUNT 4 ALL 7,3:1\r\n", "1:3,7");
        yes("* esearch uid all 4294967295\r\n", "4294967295");
        yes("* ESEARCH (TAG \"m5\") UID\r\n", "");
        for bad in [
            "* ESEARCH (TAG \"m5\") ALL 1:3",
            "* ESEARCH UID ALL x",
            "* ESEARCH",
        ] {
            assert_eq!(set(bad), None, "{bad}");
        }
    }
}
