//! Accounts and mailboxes, and what a server says of a mailbox as a whole.

use serde::{Deserialize, Serialize};

/// The stable number of an account in its archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub u32);

/// The stable number of a mailbox in its archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailboxId(pub u32);

/// One person's mail on one provider; its IMAP and POP3 sides are one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The account's number.
    pub id: AccountId,
    /// What the user calls it; by default the address.
    pub name: String,
    /// Other names for it: `user@host` as it was dialled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The account's folder below `mail/`.
    pub folder: String,
}

/// A named container on a server, as the archive knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mailbox {
    /// The mailbox's number.
    pub id: MailboxId,
    /// The account it belongs to.
    pub account: AccountId,
    /// The decoded name with `/` between levels.
    pub name: String,
    /// The name as the server wrote it (modified UTF-7).
    pub wire: String,
    /// The server's hierarchy separator; `None` for a flat name space.
    #[serde(rename = "sep", default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// The mailbox's folder below the account's, chosen once.
    pub folder: String,
    /// The newest UIDVALIDITY seen; `None` where the server has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uidvalidity: Option<u32>,
    /// Special use (RFC 6154), such as `\Sent`.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub special_use: Option<String>,
    /// Whether the user is subscribed to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subscribed: bool,
}

/// What STATUS or EXAMINE reports of a mailbox. A number a server does not send is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailboxStatus {
    /// UIDVALIDITY (RFC 3501 §2.3.1.1).
    pub uidvalidity: Option<u32>,
    /// The UID the next message will get at least.
    pub uidnext: Option<u32>,
    /// How many messages the mailbox holds.
    pub messages: Option<u32>,
    /// HIGHESTMODSEQ (RFC 7162).
    pub highestmodseq: Option<u64>,
}

/// The state of a mailbox up to which its placements are complete.
///
/// Taken from the EXAMINE *before* the listing, so whatever changed since shows as a
/// difference next time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The mailbox.
    #[serde(rename = "m")]
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
    /// Its UIDNEXT.
    pub uidnext: u32,
    /// How many messages it held.
    pub messages: u32,
    /// Its HIGHESTMODSEQ; `None` on a server without CONDSTORE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highestmodseq: Option<u64>,
    /// How many of them a filter excluded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded: u32,
    /// When the mailbox was last listed in full, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<i64>,
    /// Since then the server was believed about what has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_changes: bool,
    /// The selection it was made under; another selection makes it void.
    pub fingerprint: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Checkpoint {
    /// What stands for a mailbox of which everything is gone: no state it can be in.
    #[must_use]
    pub const fn tombstone(mailbox: MailboxId, uidvalidity: u32) -> Self {
        Self {
            mailbox,
            uidvalidity,
            uidnext: 1,
            messages: 0,
            highestmodseq: None,
            excluded: 0,
            listed_at: None,
            by_changes: false,
            fingerprint: String::new(),
        }
    }

    /// Whether it is a [`Self::tombstone`].
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.fingerprint.is_empty()
    }

    /// Whether nothing in the mailbox can have changed since this checkpoint.
    ///
    /// All four numbers have to stand still, HIGHESTMODSEQ included: without it a flag
    /// change would go unseen. UIDVALIDITY 0 and 1 identify nothing (Zoho answers 1 for
    /// every mailbox), so they never count as standing still.
    #[must_use]
    pub fn stands_still(&self, status: &MailboxStatus, fingerprint: &str) -> bool {
        self.uidvalidity > 1
            && self.highestmodseq.is_some()
            && self.fingerprint == fingerprint
            && status.uidvalidity == Some(self.uidvalidity)
            && status.uidnext == Some(self.uidnext)
            && status.messages == Some(self.messages)
            && status.highestmodseq == self.highestmodseq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_stands_still_only_when_every_number_does() {
        let checkpoint = Checkpoint {
            mailbox: MailboxId(1),
            uidvalidity: 7,
            uidnext: 10,
            messages: 9,
            highestmodseq: Some(99),
            excluded: 0,
            listed_at: None,
            by_changes: false,
            fingerprint: "f".into(),
        };
        let same = MailboxStatus {
            uidvalidity: Some(7),
            uidnext: Some(10),
            messages: Some(9),
            highestmodseq: Some(99),
        };
        assert!(checkpoint.stands_still(&same, "f"));
        assert!(!checkpoint.stands_still(&same, "other filters"));
        for changed in [
            MailboxStatus {
                uidvalidity: Some(8),
                ..same
            },
            MailboxStatus {
                uidnext: Some(11),
                ..same
            },
            MailboxStatus {
                messages: Some(8),
                ..same
            },
            MailboxStatus {
                highestmodseq: Some(100),
                ..same
            },
            MailboxStatus {
                highestmodseq: None,
                ..same
            },
            MailboxStatus::default(),
        ] {
            assert!(!checkpoint.stands_still(&changed, "f"), "{changed:?}");
        }
        let constant = Checkpoint {
            uidvalidity: 1,
            ..checkpoint
        };
        assert!(!constant.stands_still(
            &MailboxStatus {
                uidvalidity: Some(1),
                ..same
            },
            "f"
        ));
    }
}
