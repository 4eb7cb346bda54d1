//! A POP3 maildrop: what is kept of it besides placements.
//!
//! The server has no UIDVALIDITY, no dates and no flags, only a UIDL per message (RFC 1939 §7).
//! Decisions that cannot be made twice with the same outcome are therefore kept by UIDL.

use serde::{Deserialize, Serialize};

use super::{ContentId, InternalDate, MailboxId};

/// A maildrop as a whole. Its messages are filed in `mailbox`, recognised spam in the account's
/// mailbox for junk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Maildrop {
    /// The mailbox its messages are filed in, which stands for the maildrop.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// `user@host` as it was dialled last: another server may give its UIDLs to other messages.
    pub server: String,
    /// With `from-today`: the local midnight that began the day of the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<InternalDate>,
    /// With `from-today`, at the first run only: the UIDLs there were. Whatever has another is
    /// new, however old its date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<String>,
}

/// What was decided about messages of a maildrop that are not fetched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Dated before the start day.
    Before,
    /// Spam by its header.
    Spam,
    /// Not spam by its header.
    Clean,
}

/// Messages that were judged by their header, once and for all, and not fetched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// The mailbox that stands for the maildrop.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// What they are.
    pub verdict: Verdict,
    /// The header by which, such as `X-Spam-Flag: YES`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Their UIDLs.
    pub uidls: Vec<String>,
}

/// A message the server calls by another UIDL than before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renamed {
    /// The mailbox it is filed in.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// The UIDL it had.
    pub from: String,
    /// The UIDL it has.
    pub to: String,
    /// Matched by size and header digest; otherwise its bytes were fetched and are the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub healed: bool,
}

/// Messages that mailstow deleted from the server, which said so with +OK to QUIT.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// The mailbox that stands for the maildrop.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// Their UIDLs.
    pub uidls: Vec<String>,
}

/// The key of a message whose UIDL does not tell it from others: the UIDL, or nothing, then a
/// blank, which no UIDL contains, then the beginning of its content id.
#[must_use]
pub fn shared_uidl(uidl: &str, content: ContentId) -> String {
    let tag: String = content.to_string().chars().take(16).collect();
    format!("{uidl} {tag}")
}

/// The UIDL in a key, and whether the key has more than that.
#[must_use]
pub fn split_uidl(key: &str) -> (&str, bool) {
    match key.rsplit_once(' ') {
        Some((uidl, tag))
            if tag.len() == 16
                && tag
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) =>
        {
            (uidl, true)
        }
        _ => (key, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_its_uidl_back() {
        let id = ContentId::of(b"x");
        for uidl in ["", "abc", "a b", "0123456789abcdef"] {
            assert_eq!(split_uidl(&shared_uidl(uidl, id)), (uidl, true));
        }
        assert_eq!(split_uidl("abc"), ("abc", false));
        assert_eq!(split_uidl("a b"), ("a b", false));
    }
}
