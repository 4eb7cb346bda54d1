//! What a mailbox holds: UIDs, flags, dates and sizes.

use imap_proto::{AttributeValue, Response};

use super::command::Command;
use super::date;
use super::error::{FETCH, ImapError};
use super::session::Session;
use crate::model::{FlagSetId, FlagTable, Flags, InternalDate, Listed, Listing, UidSet};

/// What is known of one message so far.
#[derive(Clone, Copy, Default)]
struct Row {
    uid: u32,
    size: Option<u32>,
    flags: Option<FlagSetId>,
    date: Option<InternalDate>,
}

/// RFC 2683 §3.2.1.5 asks for command lines below a thousand bytes.
const SET_LENGTH: usize = 900;

/// Sets that are asked for one by one.
const SETS: usize = 24;

type Lacks = fn(&Row) -> bool;

/// What is asked of a message.
pub(super) const ITEMS: &str = "(UID FLAGS INTERNALDATE RFC822.SIZE)";

/// The attributes that are asked for again alone, and whether a row lacks one.
const ATTRIBUTES: [(&str, Lacks); 3] = [
    ("FLAGS", |row| row.flags.is_none()),
    ("INTERNALDATE", |row| row.date.is_none()),
    ("RFC822.SIZE", |row| row.size.is_none()),
];

impl Session {
    /// Lists the messages of the open mailbox whose UIDs lie in `range`, such as `17:*`.
    ///
    /// A server answers `17:*` with its last message even if that is below 17 (RFC 3501
    /// §6.4.8); it is in the listing. What the server does not say readably, even when
    /// asked for it alone, is unknown in the listing: no date, [`FlagSetId::UNKNOWN`], size 0.
    pub async fn list_messages(&mut self, range: &str) -> Result<Listing, ImapError> {
        let mut gathered = Gathered::default();
        let mut range = range.to_owned();
        loop {
            let code = self.gather(&range, ITEMS, &mut gathered).await?;
            match code.and_then(|code| rest_of(&range, &code)) {
                Some(rest) => range = rest,
                None => break,
            }
        }
        gathered.merge();
        self.ask_again(&mut gathered).await?;
        Ok(gathered.into_listing())
    }

    /// Lists these messages of the open mailbox, as [`Self::list_messages`] does.
    pub async fn list_uids(&mut self, uids: &UidSet) -> Result<Listing, ImapError> {
        let mut listing = Listing::default();
        let mut sets = split(uids);
        // Beyond some commands it is cheaper to be told of what lies in between as well.
        let span = uids.ranges().next().zip(uids.ranges().last());
        if let (true, Some(((first, _), (_, last)))) = (sets.len() > SETS, span) {
            sets = vec![UidSet::of_ranges([(first, last)])];
        }
        for set in sets {
            let part = self.list_messages(&set.to_string()).await?;
            listing.absorb(part, 1..=u32::MAX);
        }
        listing.messages.sort_by_key(|message| message.uid);
        listing.messages.dedup_by_key(|message| message.uid);
        listing
            .messages
            .retain(|message| uids.contains(message.uid));
        Ok(listing)
    }

    /// Asks for what rows lack, each attribute alone.
    pub(super) async fn ask_again(&mut self, gathered: &mut Gathered) -> Result<(), ImapError> {
        for (attribute, lacks) in ATTRIBUTES {
            let missing = gathered.rows.iter().filter(|row| lacks(row));
            let sets = sets(missing.map(|row| row.uid));
            for set in &sets {
                let items = format!("(UID {attribute})");
                self.gather(&set.to_string(), &items, gathered).await?;
            }
            if !sets.is_empty() {
                gathered.merge();
            }
        }
        Ok(())
    }

    pub(super) async fn gather(
        &mut self,
        range: &str,
        items: &str,
        gathered: &mut Gathered,
    ) -> Result<Option<String>, ImapError> {
        let command = Command::new(FETCH, &format!(" {range} {items}"));
        let reply = self
            .wire
            .run_ok(command, |response, _| gathered.add(response))
            .await?;
        Ok(reply.code)
    }
}

/// What is left of a range when the server stopped early (RFC 9738): it works downwards
/// and names the lowest UID it reached.
fn rest_of(range: &str, code: &str) -> Option<String> {
    let mut words = code.split(' ');
    if !words.next()?.eq_ignore_ascii_case("MESSAGELIMIT") {
        return None;
    }
    let reached: u32 = words.nth(1)?.parse().ok()?;
    let (from, to) = range.split_once(':')?;
    let from: u32 = from.parse().ok()?;
    // Without progress it would never end.
    let to: u32 = if to == "*" {
        u32::MAX
    } else {
        to.parse().ok()?
    };
    (from < reached && reached <= to).then(|| format!("{from}:{}", reached - 1))
}

/// Cuts a set into parts that keep command lines short.
pub(super) fn split(uids: &UidSet) -> Vec<UidSet> {
    let mut parts: Vec<UidSet> = Vec::new();
    let mut length = SET_LENGTH;
    let mut ranges = Vec::new();
    for (begin, end) in uids.ranges() {
        let needs = begin.to_string().len() + end.to_string().len() + 2;
        if length + needs > SET_LENGTH && !ranges.is_empty() {
            parts.push(UidSet::of_ranges(ranges.drain(..)));
            length = 0;
        } else if ranges.is_empty() {
            length = 0;
        }
        length += needs;
        ranges.push((begin, end));
    }
    if !ranges.is_empty() {
        parts.push(UidSet::of_ranges(ranges));
    }
    parts
}

fn sets(uids: impl Iterator<Item = u32>) -> Vec<UidSet> {
    let mut sets: Vec<UidSet> = Vec::new();
    let mut length = 0;
    for uid in uids {
        // An upper bound: neighbours take less.
        let needs = uid.to_string().len() + 1;
        if sets.is_empty() || length + needs > SET_LENGTH {
            sets.push(UidSet::new());
            length = 0;
        }
        length += needs;
        if let Some(set) = sets.last_mut() {
            set.push(uid);
        }
    }
    sets
}

#[derive(Default)]
pub(super) struct Gathered {
    rows: Vec<Row>,
    flags: FlagTable,
    expunged: u32,
    /// Messages that left before the question, if that was asked.
    pub(super) vanished: Vec<(u32, u32)>,
}

impl Gathered {
    fn add(&mut self, response: &Response<'_>) {
        match response {
            Response::Fetch(_, attributes) => self.add_fetch(attributes),
            Response::Expunge(_) => self.expunged = self.expunged.saturating_add(1),
            Response::Vanished {
                earlier: false,
                uids,
            } => {
                for range in uids {
                    let count = range.end().saturating_sub(*range.start()).saturating_add(1);
                    self.expunged = self.expunged.saturating_add(count);
                }
            }
            Response::Vanished {
                earlier: true,
                uids,
            } => self
                .vanished
                .extend(uids.iter().map(|r| (*r.start(), *r.end()))),
            _ => {}
        }
    }

    /// A FETCH without a UID is news about a message by its number, which nobody asked for.
    fn add_fetch(&mut self, attributes: &[AttributeValue<'_>]) {
        let mut row = Row::default();
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => row.uid = *uid,
                AttributeValue::Rfc822Size(size) => row.size = Some(*size),
                AttributeValue::InternalDate(text) => row.date = date::parse(text),
                AttributeValue::Flags(flags) => {
                    // QUIRK(Zoho, 2024): `\*` stands among the flags of a message.
                    let flags = flags.iter().filter(|flag| *flag != "\\*");
                    row.flags = Some(self.flags.intern(Flags::from_wire(flags)));
                }
                _ => {}
            }
        }
        if row.uid != 0 {
            self.rows.push(row);
        }
    }

    /// One row per UID in ascending order; of two values the later one counts.
    pub(super) fn merge(&mut self) {
        self.rows.sort_by_key(|row| row.uid);
        self.rows.dedup_by(|later, kept| {
            let same = later.uid == kept.uid;
            if same {
                kept.size = later.size.or(kept.size);
                kept.flags = later.flags.or(kept.flags);
                kept.date = later.date.or(kept.date);
            }
            same
        });
    }

    pub(super) fn into_listing(self) -> Listing {
        let entry = |row: Row| {
            let flags = row.flags.unwrap_or(FlagSetId::UNKNOWN);
            Listed::new(row.uid, row.size.unwrap_or(0), flags, row.date)
        };
        Listing {
            messages: self.rows.into_iter().map(entry).collect(),
            flags: self.flags,
            expunged: self.expunged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_limit_is_continued_downwards_and_always_ends() {
        let code = "MESSAGELIMIT 1000 23221";
        assert_eq!(rest_of("17:*", code).as_deref(), Some("17:23220"));
        assert_eq!(rest_of("17:23220", code), None);
        assert_eq!(rest_of("23221:*", code), None);
        assert_eq!(rest_of("17:*", "READ-ONLY"), None);
    }

    #[test]
    fn sets_keep_command_lines_short() {
        let sets = sets((1..4000).map(|n| n * 1_000_000));
        assert!(sets.len() > 1);
        assert!(sets.iter().all(|set| set.to_string().len() <= SET_LENGTH));
        assert_eq!(sets.iter().map(UidSet::len).sum::<u64>(), 3999);
    }
}
