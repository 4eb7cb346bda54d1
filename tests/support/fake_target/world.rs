//! What the target holds, and how it behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::knobs::{AppendUid, Fault, RefuseBody, RefuseKeywords};
use crate::support::fake_imap::{Announce, Refuse};
use crate::support::mutf7;

/// A server that does everything right.
pub const CAPABILITIES: &str = "IMAP4rev1 UIDPLUS LITERAL+ MULTIAPPEND NAMESPACE SPECIAL-USE \
                                CREATE-SPECIAL-USE MOVE UNSELECT";
/// When everything arrives for which no date is given or kept.
pub const TODAY: &str = "01-Jan-2030 00:00:00 +0000";
/// What a mailbox keeps unless a test says otherwise.
pub const ALL_FLAGS: &str = "(\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)";

/// Mailboxes and manners. By default a well-behaved server with an empty INBOX.
pub struct TargetWorld {
    pub mailboxes: Vec<TargetMailbox>,
    /// Announced, and nothing else is understood: a command that needs more is BAD.
    pub capabilities: String,
    pub announce: Announce,
    /// The whole first line.
    pub greeting: String,
    /// The answer to every sign-in, such as `NO [AUTHENTICATIONFAILED] no`; `OK` lets in.
    pub sign_in: String,
    /// More sessions than this at a time are refused.
    pub sessions: Option<(usize, Refuse)>,
    /// Each answer goes out so much later. Answers to pipelined commands wait together, as they
    /// would on a long line.
    pub latency: Duration,
    /// The separator of mailboxes that are created.
    pub separator: char,
    /// All names but INBOX begin with this; others are refused with NO.
    pub namespace: String,
    /// Names that are equal under case folding are one.
    pub case_insensitive: bool,
    /// A larger message is refused with `NO [TOOBIG]`, at the head where its literal waits.
    pub append_limit: Option<usize>,
    /// All messages together, in bytes; more is refused with `NO [OVERQUOTA]`, likewise.
    pub quota: Option<usize>,
    /// Flags that are not allowed are refused; otherwise they are left out without a word.
    pub refuse_keywords: Option<RefuseKeywords>,
    /// Judges each body once its command was read; one refused message refuses the batch.
    pub refuse_body: Option<RefuseBody>,
    /// A body with a longer line, in bytes without the line end, is BAD once its command was
    /// read.
    pub max_line: Option<usize>,
    /// Put in front of each message stored: whole lines with their CRLF.
    pub add_header: Option<String>,
    /// Stores NUL as 0x80 (QUIRK(Dovecot, 2.3.19)) and a bare LF as CRLF, and leaves out blanks
    /// at the ends of lines.
    pub normalise: bool,
    /// Stores [`TODAY`] as the date of each message.
    pub ignores_date: bool,
    pub appenduid: AppendUid,
    /// A message whose Message-ID is in the account already is answered with OK and thrown
    /// away; the one that is held gets the mailbox as a label, and so appears there.
    ///
    /// QUIRK(Gmail, 2024): does so.
    pub gmail_dedup: bool,
    /// Of a MULTIAPPEND that is refused, the messages before the culprit are stored all the same, as
    /// Stalwart does it.
    pub multiappend_in_part: bool,
    /// A message with `\Deleted` is answered with OK and a UID, and not stored.
    pub drops_deleted: bool,
    /// What happens to the n-th APPEND command of all connections, from 1.
    pub faults: BTreeMap<usize, Fault>,
    /// Behind the n-th APPEND command all mailboxes get another UIDVALIDITY, and their messages
    /// other UIDs. Sessions with an open mailbox end at their next command.
    pub renumber_after: Option<usize>,
    /// So many BADs in a row end the connection.
    ///
    /// QUIRK(Dovecot, 2.3.19): 20.
    pub bads_borne: usize,
    /// The UIDVALIDITY given last.
    pub uidvalidity: u32,
}

/// A mailbox of the target.
#[derive(Debug, Clone)]
pub struct TargetMailbox {
    /// In modified UTF-7.
    pub wire: String,
    /// As LIST gives them, such as `\Sent`.
    pub attributes: String,
    pub separator: char,
    pub uidvalidity: u32,
    pub uidnext: u32,
    pub messages: Vec<TargetMessage>,
    pub subscribed: bool,
    /// Raw, such as `(\Seen \*)`; not told where there are none, and then all are kept.
    pub permanent_flags: Option<String>,
    /// SELECT says READ-ONLY, and changes are refused with NO.
    pub read_only: bool,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMessage {
    pub uid: u32,
    pub flags: Vec<String>,
    /// What stands in quotes.
    pub date: String,
    pub body: Vec<u8>,
    /// X-GM-LABELS.
    pub labels: Vec<String>,
}

impl Default for TargetWorld {
    fn default() -> Self {
        let uidvalidity = 1_700_000_000;
        Self {
            mailboxes: vec![TargetMailbox::new("INBOX", uidvalidity)],
            capabilities: CAPABILITIES.to_owned(),
            announce: Announce::Never,
            greeting: "* OK ready".to_owned(),
            sign_in: "OK".to_owned(),
            sessions: None,
            latency: Duration::ZERO,
            separator: '/',
            namespace: String::new(),
            case_insensitive: false,
            append_limit: None,
            quota: None,
            refuse_keywords: None,
            refuse_body: None,
            max_line: None,
            add_header: None,
            normalise: false,
            ignores_date: false,
            appenduid: AppendUid::Usual,
            gmail_dedup: false,
            multiappend_in_part: false,
            drops_deleted: false,
            faults: BTreeMap::new(),
            renumber_after: None,
            bads_borne: 20,
            uidvalidity,
        }
    }
}

impl TargetWorld {
    /// An INBOX and these, all empty.
    pub fn with(names: &[&str]) -> Self {
        let mut world = Self::default();
        for name in names {
            world.add_mailbox(name);
        }
        world
    }

    /// Announces this besides what is announced.
    pub fn announcing(mut self, capabilities: &str) -> Self {
        self.capabilities.push(' ');
        self.capabilities.push_str(capabilities);
        self
    }

    /// Does not announce this.
    pub fn without(mut self, capability: &str) -> Self {
        let kept = self.capabilities.split(' ').filter(|c| *c != capability);
        self.capabilities = kept.collect::<Vec<_>>().join(" ");
        self
    }

    pub fn announces(&self, capability: &str) -> bool {
        let mut announced = self.capabilities.split(' ');
        announced.any(|c| c.eq_ignore_ascii_case(capability))
    }

    /// Whether a literal of this length may come without waiting (RFC 7888).
    pub(super) fn bears_unasked(&self, length: usize) -> bool {
        let small = self.announces("LITERAL-") || self.announces("IMAP4rev2");
        self.announces("LITERAL+") || small && length <= 4096
    }

    /// Makes an empty mailbox, with the next UIDVALIDITY.
    pub fn add_mailbox(&mut self, wire: &str) -> &mut TargetMailbox {
        self.uidvalidity += 1;
        let mut mailbox = TargetMailbox::new(wire, self.uidvalidity);
        mailbox.separator = self.separator;
        self.mailboxes.push(mailbox);
        self.mailboxes.last_mut().unwrap()
    }

    /// Whether these name one mailbox.
    pub(super) fn same_name(&self, one: &str, other: &str) -> bool {
        let both_inbox = [one, other].iter().all(|n| n.eq_ignore_ascii_case("INBOX"));
        let folded = |name: &str| mutf7::try_decode(name).map(|name| name.to_lowercase());
        one == other || both_inbox || self.case_insensitive && folded(one) == folded(other)
    }

    /// Where a mailbox stands, by its name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        let mut names = self.mailboxes.iter().map(|m| &m.wire);
        names.position(|wire| self.same_name(wire, name))
    }

    pub fn mailbox(&self, name: &str) -> Option<&TargetMailbox> {
        self.position(name).map(|at| &self.mailboxes[at])
    }

    /// Panics if there is none.
    pub fn mailbox_mut(&mut self, name: &str) -> &mut TargetMailbox {
        let at = self.position(name);
        &mut self.mailboxes[at.unwrap_or_else(|| panic!("no mailbox {name}"))]
    }

    /// Bytes of all messages.
    pub fn used(&self) -> usize {
        let messages = self.mailboxes.iter().flat_map(|m| &m.messages);
        messages.map(|m| m.body.len()).sum()
    }

    /// Gives all mailboxes another UIDVALIDITY, and all messages other UIDs.
    pub fn renumber(&mut self) {
        for mailbox in &mut self.mailboxes {
            self.uidvalidity += 1;
            mailbox.uidvalidity = self.uidvalidity;
            mailbox.uidnext = 1;
            for message in &mut mailbox.messages {
                message.uid = mailbox.uidnext;
                mailbox.uidnext += 1;
            }
        }
    }
}

impl TargetMailbox {
    pub fn new(wire: &str, uidvalidity: u32) -> Self {
        Self {
            wire: wire.to_owned(),
            attributes: String::new(),
            separator: '/',
            uidvalidity,
            uidnext: 1,
            messages: Vec::new(),
            subscribed: false,
            permanent_flags: Some(ALL_FLAGS.to_owned()),
            read_only: false,
        }
    }

    /// A message that is there already, under the next UID.
    pub fn add(&mut self, flags: &[&str], date: &str, body: &[u8]) -> u32 {
        let uid = self.uidnext;
        self.uidnext += 1;
        self.messages.push(TargetMessage {
            uid,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            date: date.to_owned(),
            body: body.to_vec(),
            labels: Vec::new(),
        });
        uid
    }

    /// Whether Gmail keeps its messages in no other mailbox.
    pub(super) fn is_aside(&self) -> bool {
        ["\\Trash", "\\Junk"]
            .iter()
            .any(|a| self.attributes.contains(a))
    }

    pub(super) fn can_be_opened(&self) -> bool {
        let attributes = self.attributes.to_ascii_lowercase();
        !attributes.contains("\\noselect") && !attributes.contains("\\nonexistent")
    }

    /// Whether a flag is kept (RFC 3501 §7.1).
    pub(super) fn keeps(&self, flag: &str) -> bool {
        let Some(permanent) = &self.permanent_flags else {
            return true;
        };
        let mut kept = permanent.trim_matches(['(', ')']).split(' ');
        kept.any(|k| k.eq_ignore_ascii_case(flag) || k == "\\*" && !flag.starts_with('\\'))
    }

    /// The UIDs of a set such as `1:3,7:*` that are in the mailbox, ascending; `None` where it
    /// is no set.
    pub(super) fn resolve(&self, set: &str) -> Option<Vec<u32>> {
        let highest = self.messages.iter().map(|m| m.uid).max().unwrap_or(0);
        let number = |text: &str| match text {
            "*" => Some(highest),
            text => text.parse().ok().filter(|n| *n > 0),
        };
        let mut ranges = Vec::new();
        for part in set.split(',') {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            let (a, b) = (number(a)?, number(b)?);
            ranges.push(a.min(b)..=a.max(b));
        }
        let mut uids: Vec<u32> = self.messages.iter().map(|m| m.uid).collect();
        uids.retain(|uid| ranges.iter().any(|range| range.contains(uid)));
        uids.sort_unstable();
        Some(uids)
    }
}
