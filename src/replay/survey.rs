//! The target: what its mailboxes are called, what is in them, and what it is known to do to
//! messages.

use super::deliver::Delivery;
use super::flags::FlagRules;
use super::inspect::Traits;
use super::names::{TargetName, TargetSpace};
use super::recognise::Whole;
use super::report::MailboxRow;
use crate::contact::{Line, Trouble, open};
use crate::imap::{Created, ImapError, PermanentFlags, Selected, TargetSession, Vendor};
use crate::model::{Flags, Listing, Mailbox};
use crate::source::decoded_name;

/// A mailbox of the target, as far as messages are sent to it.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) wire: String,
    /// Its number in the ledger.
    pub(super) number: u32,
    /// 0 where the target has none.
    pub(super) uidvalidity: u32,
    /// 0 where the target does not say.
    pub(super) uidnext: u32,
}

/// A mailbox of the target, and what goes there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) to: Destination,
    pub(super) exists: bool,
    /// What CREATE asks for.
    pub(super) special_use: Option<String>,
    /// What the target lists it as.
    pub(super) shown_as: Option<String>,
    pub(super) subscribe: bool,
    pub(super) sources: Vec<Taken>,
    pub(super) permanent: PermanentFlags,
    pub(super) listing: Listing,
    /// Messages in it that the target does not list.
    pub(super) hidden: u64,
    pub(super) row: MailboxRow,
}

/// A mailbox of the archive that is replayed.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) mailbox: Mailbox,
    /// The commit at whose end it is looked at.
    pub(super) commit: u64,
    /// Only messages that lie in no other mailbox.
    pub(super) leftovers: bool,
}

/// How the target calls its mailboxes.
pub(super) async fn space(line: &mut Line<'_, TargetSession>) -> Result<TargetSpace, Trouble> {
    let list = async |session: &mut TargetSession| session.reading().list().await;
    let mut listed = line.run(list).await?;
    if listed.is_empty() {
        // QUIRK(Zoho, IMAP4 Server, 2026-01): LIST now and then answers with nothing.
        listed = line.run(list).await?;
    }
    let namespace = line
        .run(async |session: &mut TargetSession| session.namespace().await)
        .await?;
    let separator = namespace
        .as_ref()
        .map(|n| n.separator)
        .or_else(|| listed.iter().map(|m| m.separator).next())
        .flatten();
    let name = |m: &crate::imap::ListedMailbox| TargetName {
        wire: m.wire.clone(),
        name: decoded_name(&m.name(), m.separator),
        special_use: m.special_use().map(str::to_owned),
        selectable: m.selectable(),
    };
    Ok(TargetSpace {
        separator,
        prefix: namespace.map(|n| n.prefix).unwrap_or_default(),
        mailboxes: listed.iter().map(name).collect(),
    })
}

impl Place {
    /// Makes the mailbox if it is not there (not in a dry run), opens it, and lists what is in
    /// it. PERMANENTFLAGS are told by SELECT alone.
    pub(super) async fn prepare(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        dry_run: bool,
    ) -> Result<(), Trouble> {
        let wire = self.to.wire.clone();
        if !self.exists {
            self.row.created = true;
            if dry_run {
                self.row.before = Some(0);
                return Ok(());
            }
            self.create(line, &wire).await?;
        }
        let selected: Selected = line
            .run(async |session: &mut TargetSession| session.select(&wire).await)
            .await?;
        if selected.read_only {
            let words = "the target opens it for reading only".to_owned();
            return Err(Trouble::Answer(ImapError::No {
                command: "SELECT",
                code: None,
                words,
            }));
        }
        let mut uidvalidity = selected.uidvalidity;
        let mut uidnext = selected.uidnext;
        let mut before = selected.exists;
        if selected.exists > 0 {
            let Whole {
                examined,
                listing,
                hidden,
            } = open(line, &wire).await?.into();
            // Of the listing, not of the moment before.
            uidvalidity = examined.uidvalidity;
            uidnext = examined.uidnext;
            before = examined.exists;
            self.listing = listing;
            self.hidden = hidden;
        }
        self.to.uidvalidity = uidvalidity.unwrap_or(0);
        self.to.uidnext = uidnext.unwrap_or(0);
        self.permanent = selected.permanent;
        self.row.before = Some(before.into());
        Ok(())
    }

    async fn create(
        &mut self,
        line: &mut Line<'_, TargetSession>,
        wire: &str,
    ) -> Result<(), Trouble> {
        let use_ = self.special_use.clone();
        let created = line
            .run(async |session: &mut TargetSession| session.create(wire, use_.as_deref()).await)
            .await?;
        if created == Created::Existed {
            self.row.created = false;
        }
        if self.subscribe {
            let subscribed = line
                .run(async |session: &mut TargetSession| session.subscribe(wire).await)
                .await;
            if let Err(Trouble::Answer(error)) = subscribed {
                let note = format!("it could not be subscribed to: {error}");
                self.row.notes.push(note);
            } else {
                subscribed?;
            }
        }
        Ok(())
    }

    /// How many messages are in it now.
    pub(super) async fn count(
        &mut self,
        line: &mut Line<'_, TargetSession>,
    ) -> Result<(), Trouble> {
        let wire = self.to.wire.clone();
        let examined = line
            .run(async |session: &mut TargetSession| session.reading().examine(&wire).await)
            .await?;
        self.row.now = Some(examined.exists.into());
        Ok(())
    }
}

/// What a target is known to do to messages, and to refuse.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// Most bytes of a message, if it says so.
    pub(super) append_limit: Option<u64>,
    pub(super) vendor: Vendor,
    pub(super) deleted_too: bool,
    /// Of each mailbox.
    pub(super) permanent: Vec<PermanentFlags>,
    /// Messages are delivered, not appended.
    pub(super) delivery: Option<Delivery>,
}

/// QUIRK(Exchange Online, 2024): lines above some 9,900 octets make APPEND fail.
const MICROSOFT_LINE: u64 = 9_900;

impl Habits {
    pub(super) fn too_large(&self, len: u64) -> Option<String> {
        let appends = self.delivery.is_none();
        if len == 0 {
            return Some(if appends {
                "it has no byte, and IMAP cannot append such a message".to_owned()
            } else {
                "it has no byte".to_owned()
            });
        }
        if appends && len > u64::from(u32::MAX) {
            return Some("it is larger than IMAP can say".to_owned());
        }
        let limit = self.append_limit.filter(|limit| len > *limit)?;
        Some(format!(
            "it has {len} bytes, and the target takes at most {limit}"
        ))
    }

    pub(super) fn refuses(&self, traits: &Traits) -> Option<String> {
        if let Some(delivery) = &self.delivery {
            return delivery.refuses(traits);
        }
        let long = self.vendor == Vendor::Microsoft && traits.longest_line > MICROSOFT_LINE;
        long.then(|| {
            format!(
                "it has a line of {} bytes, which Microsoft's servers refuse (--repair long-lines sends a copy with shorter lines)",
                traits.longest_line
            )
        })
    }

    /// What a target may change in such a message.
    pub(super) fn alters(&self, traits: &Traits) -> Option<String> {
        let mut what = Vec::new();
        if traits.nul {
            what.push(
                "it holds NUL bytes, which IMAP cannot carry: servers replace or refuse them",
            );
        }
        if traits.bare_lf {
            what.push("it has line ends without CR, which servers complete");
        }
        if traits.no_final_newline && self.vendor == Vendor::Yahoo {
            what.push("it does not end in a line end, which Yahoo refuses");
        }
        (!what.is_empty()).then(|| what.join("; "))
    }

    /// Which of these flags travel to a mailbox.
    pub(super) fn travelling(&self, flags: &Flags, place: usize) -> super::flags::Travelling {
        let rules = FlagRules {
            deleted_too: self.deleted_too,
            microsoft: self.vendor == Vendor::Microsoft,
        };
        let permanent = self.permanent.get(place);
        super::flags::travelling(flags, rules, |flag| {
            permanent.is_none_or(|p| p.allows(flag))
        })
    }
}
