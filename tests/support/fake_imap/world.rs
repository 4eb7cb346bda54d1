//! What the fake server holds, and how it behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::changes::Lies;
use super::history::History;

/// Mailboxes and manners.
#[derive(Debug, Clone)]
pub struct World {
    pub mailboxes: Vec<FakeMailbox>,
    /// The whole first line.
    pub greeting: String,
    pub capabilities: String,
    pub announce: Announce,
    /// The answer to every sign-in, such as `NO [AUTHENTICATIONFAILED] no`; `OK` lets in.
    pub sign_in: String,
    /// Closes the connection when a command comes before the answer to the last.
    pub no_pipelining: bool,
    /// More sessions than this at a time are refused.
    pub sessions: Option<(usize, Refuse)>,
    /// Messages one FETCH is answered with (RFC 9738), from the highest UID down.
    pub message_limit: Option<usize>,
    /// FETCH in an empty mailbox is BAD.
    pub empty_is_bad: bool,
    /// FETCH answers come from the highest UID down.
    pub descending: bool,
    /// Every FETCH answer comes twice.
    pub twice: bool,
    /// Raw lines sent between any two FETCH answers.
    pub chatter: Vec<u8>,
    /// Raw lines LIST answers with besides the mailboxes.
    pub more_listed: Vec<u8>,
    /// What HIGHESTMODSEQ says of every mailbox, whatever is true. Without it a server that
    /// announces CONDSTORE tells the truth.
    pub modseq: Option<u64>,
    /// Tells a session before a FETCH what has left its mailbox since it last heard: EXPUNGE,
    /// or VANISHED once QRESYNC is enabled.
    pub tells_departures: bool,
    /// UID SEARCH names so many UIDs at most, the lowest.
    pub search_limit: Option<usize>,
    pub lies: Lies,
    /// An answer goes out so much later, unless the next command comes before: who counts round
    /// trips gives a client that does not wait the time to show it.
    pub latency: Duration,
}

/// When capabilities are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// In the greeting, and in the tagged OK of a sign-in.
    InCodes,
    /// Untagged before the tagged OK of a sign-in, as Zoho does.
    Untagged,
    /// Only when asked.
    Never,
}

/// How a session too many is refused.
#[derive(Debug, Clone)]
pub enum Refuse {
    /// Closed without a word.
    Silently,
    /// The first line, such as `* BYE Too many connections`.
    Greeting(String),
    /// The answer to the sign-in, without its tag.
    SignIn(String),
}

#[derive(Debug, Clone)]
pub struct FakeMailbox {
    /// The name, as bytes that must be found in EXAMINE.
    pub wire: Vec<u8>,
    /// What LIST says instead of the quoted name: raw bytes, without the CRLF.
    pub listed_as: Option<Vec<u8>>,
    pub attributes: String,
    /// As LIST writes it, such as `"/"` or `NIL`.
    pub separator: String,
    pub uidvalidity: Option<u32>,
    /// `None` where the server sends none.
    pub uidnext: Option<u32>,
    pub messages: Vec<Message>,
    /// Messages 1 to n that are made up as they are asked for, besides `messages`.
    pub bulk: u32,
    /// What EXISTS says besides the messages there are.
    pub phantoms: u32,
    pub status: Status,
    /// The answer to EXAMINE, without its tag, unless it is the usual one.
    pub examine: Option<String>,
    pub subscribed: bool,
    /// What HIGHESTMODSEQ says, whatever is true; 0 is a mailbox that counts no changes.
    pub modseq: Option<u64>,
    /// Made-up messages with other flags than they came with.
    pub reflagged: BTreeMap<u32, String>,
    pub history: History,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Usual,
    /// OK without data.
    Silent,
    /// This, without its tag.
    Refused(String),
}

#[derive(Debug, Clone)]
pub struct Message {
    pub uid: u32,
    pub flags: String,
    /// What stands in quotes.
    pub date: String,
    /// RFC822.SIZE, unless it is true.
    pub size: Option<u32>,
    pub body: Vec<u8>,
    pub listing: Listing,
    pub delivery: Delivery,
}

/// How a message is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    Shown,
    /// EXISTS counts it, FETCH leaves it out.
    Hidden,
    /// These raw bytes instead of its FETCH answer.
    Raw(Vec<u8>),
}

/// What BODY.PEEK[] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// As a quoted string.
    Quoted,
    Nil,
    Empty,
    /// No answer at all.
    Omitted,
    /// These raw bytes instead of its FETCH answer; `UID` and `SEQ` are put in.
    Raw(Vec<u8>),
    /// What came before it is sent, then the command ends so, without the tag.
    Ends(String),
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// These raw bytes, then the connection is closed.
    HangUp(Vec<u8>),
    /// Another body each time, one byte longer.
    Varying,
}

impl Default for World {
    fn default() -> Self {
        Self {
            mailboxes: Vec::new(),
            greeting: "* OK fake ready".to_owned(),
            capabilities: "IMAP4rev1 UIDPLUS UNSELECT".to_owned(),
            announce: Announce::InCodes,
            sign_in: "OK".to_owned(),
            no_pipelining: false,
            sessions: None,
            message_limit: None,
            empty_is_bad: false,
            descending: false,
            twice: false,
            chatter: Vec::new(),
            more_listed: Vec::new(),
            modseq: None,
            tells_departures: false,
            search_limit: None,
            lies: Lies::default(),
            latency: Duration::ZERO,
        }
    }
}

impl World {
    pub fn with(mailboxes: impl IntoIterator<Item = FakeMailbox>) -> Self {
        Self {
            mailboxes: mailboxes.into_iter().collect(),
            ..Self::default()
        }
    }

    /// One INBOX with `n` small messages, UIDs 1 to n.
    pub fn inbox(n: u32) -> Self {
        Self::with([FakeMailbox::new("INBOX").filled(n)])
    }

    pub fn mailbox(&self, wire: &str) -> Option<&FakeMailbox> {
        self.mailboxes.iter().find(|m| m.wire == wire.as_bytes())
    }

    pub fn mailbox_mut(&mut self, wire: &str) -> &mut FakeMailbox {
        let found = self
            .mailboxes
            .iter_mut()
            .find(|m| m.wire == wire.as_bytes());
        found.unwrap_or_else(|| panic!("no mailbox {wire}"))
    }

    /// A message of INBOX.
    pub fn message(&mut self, uid: u32) -> &mut Message {
        self.mailbox_mut("INBOX").message(uid)
    }

    /// Removes a message of INBOX, as another client would.
    pub fn expunge(&mut self, uid: u32) {
        self.mailbox_mut("INBOX").expunge(&[uid]);
    }

    /// The same server with these capabilities besides.
    #[must_use]
    pub fn announcing(mut self, capabilities: &str) -> Self {
        self.capabilities = format!("{} {capabilities}", self.capabilities);
        self
    }

    pub fn announces(&self, capability: &str) -> bool {
        self.capabilities.split(' ').any(|c| c == capability)
    }

    /// HIGHESTMODSEQ as it is told; RFC 7162 §3.2.3: QRESYNC implies CONDSTORE.
    pub(super) fn modseq_told(&self, mailbox: &FakeMailbox) -> Option<u64> {
        let counts = self.announces("CONDSTORE") || self.announces("QRESYNC");
        let told = mailbox.modseq.or(self.modseq);
        told.or_else(|| counts.then(|| mailbox.highest_modseq()))
    }

    /// An honest server with the same mail; its greeting and capabilities stay.
    pub fn heal(&mut self) {
        for mailbox in &mut self.mailboxes {
            (mailbox.status, mailbox.examine, mailbox.phantoms) = (Status::Usual, None, 0);
            mailbox.modseq = None;
            for message in &mut mailbox.messages {
                message.listing = Listing::Shown;
                message.delivery = Delivery::Whole;
                message.size = None;
            }
        }
        let (greeting, capabilities) = (self.greeting.clone(), self.capabilities.clone());
        let mailboxes = std::mem::take(&mut self.mailboxes);
        *self = Self {
            mailboxes,
            greeting,
            capabilities,
            announce: self.announce,
            modseq: self.modseq,
            ..Self::default()
        };
    }
}

impl FakeMailbox {
    pub fn new(wire: &str) -> Self {
        Self {
            wire: wire.as_bytes().to_vec(),
            listed_as: None,
            attributes: "\\HasNoChildren".to_owned(),
            separator: "\"/\"".to_owned(),
            uidvalidity: Some(1_700_000_000),
            uidnext: Some(1),
            messages: Vec::new(),
            bulk: 0,
            phantoms: 0,
            status: Status::Usual,
            examine: None,
            subscribed: false,
            modseq: None,
            reflagged: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// With `n` small messages, each different.
    #[must_use]
    pub fn filled(mut self, n: u32) -> Self {
        for _ in 0..n {
            self.add(&[]);
        }
        self
    }

    /// With `n` messages nobody looks at.
    #[must_use]
    pub fn bulk(mut self, n: u32) -> Self {
        (self.bulk, self.uidnext) = (n, Some(n + 1));
        self
    }

    #[must_use]
    pub fn separated(mut self, separator: &str) -> Self {
        self.separator = separator.to_owned();
        self
    }

    /// Adds a message with this body; a small one of its own if it is empty.
    pub fn add(&mut self, body: &[u8]) -> &mut Message {
        let uid = self.next_uid();
        let name = String::from_utf8_lossy(&self.wire).into_owned();
        let text = format!(
            "Subject: {uid} of {name:?}\r\n\r\nFrom {uid}\r\n{}\r\n",
            "x".repeat(uid as usize % 97)
        );
        let body = if body.is_empty() {
            text.into_bytes()
        } else {
            body.to_vec()
        };
        self.push(uid, body)
    }

    /// Adds a message without a byte.
    pub fn add_empty(&mut self) -> &mut Message {
        let uid = self.next_uid();
        self.push(uid, Vec::new())
    }

    fn push(&mut self, uid: u32, body: Vec<u8>) -> &mut Message {
        let flags = ["", "\\Seen", "\\Seen $Forwarded", "\\Answered \\Flagged"][uid as usize % 4];
        self.messages.push(Message {
            uid,
            flags: flags.to_owned(),
            date: format!("{:02}-Feb-2024 21:52:{:02} +0100", uid % 28 + 1, uid % 60),
            size: None,
            body,
            listing: Listing::Shown,
            delivery: Delivery::Whole,
        });
        self.uidnext = self.uidnext.map(|_| uid + 1);
        self.messages.last_mut().unwrap()
    }

    fn next_uid(&self) -> u32 {
        let after_the_last = self.highest() + 1;
        // What has left is not numbered again.
        self.uidnext.unwrap_or(1).max(after_the_last)
    }

    /// A message by its UID.
    pub fn message(&mut self, uid: u32) -> &mut Message {
        let found = self.messages.iter_mut().find(|m| m.uid == uid);
        found.unwrap_or_else(|| panic!("no message {uid}"))
    }

    /// Removes messages, as another client would.
    pub fn expunge(&mut self, uids: &[u32]) {
        self.messages.retain(|m| !uids.contains(&m.uid));
    }

    pub fn exists(&self) -> u32 {
        self.bulk + self.phantoms + u32::try_from(self.messages.len()).unwrap()
    }

    fn highest(&self) -> u32 {
        self.messages.last().map_or(0, |m| m.uid).max(self.bulk)
    }

    /// The UIDs of a set such as `1:3,7:*` that are in the mailbox, ascending.
    pub fn resolve(&self, set: &str) -> Vec<u32> {
        let number = |text: &str| {
            if text == "*" {
                self.highest()
            } else {
                text.parse().unwrap()
            }
        };
        let mut uids = std::collections::BTreeSet::new();
        for part in set.split(',') {
            let (a, b) = part.split_once(':').unwrap_or((part, part));
            let (a, b) = (number(a), number(b));
            let range = a.min(b)..=a.max(b);
            uids.extend((*range.start()..=(*range.end()).min(self.bulk)).filter(|u| *u > 0));
            uids.extend(
                self.messages
                    .iter()
                    .map(|m| m.uid)
                    .filter(|uid| range.contains(uid)),
            );
        }
        uids.into_iter().collect()
    }
}
