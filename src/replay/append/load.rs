//! A load: the messages of one APPEND, with their pieces.

use crate::archive::ledger::{Fate, LedgerRecord, Outcome};
use crate::imap::{AppendUid, Appending, Literals};
use crate::model::{Flags, InternalDate};
use crate::replay::outbound::Message;

/// LITERAL- goes no further (RFC 7888 §5).
const MINUS_MAX: u64 = 4096;

/// The messages of one APPEND.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) place: usize,
    messages: Vec<(u64, Message)>,
    /// Each literal waits for the server's consent.
    pub(super) synchronising: bool,
    /// It was refused with its keywords, and is tried without.
    pub(super) bare: bool,
    /// The flags each message was to have, where it is tried without some.
    asked: Vec<(u64, Flags)>,
    /// How often the server has stumbled over it.
    pub(super) stumbles: u32,
    /// Its mailbox had gone, and was made anew for it.
    pub(super) made_anew: bool,
}

impl Load {
    pub(super) const fn new(place: usize) -> Self {
        Self {
            place,
            messages: Vec::new(),
            synchronising: false,
            bare: false,
            asked: Vec::new(),
            stumbles: 0,
            made_anew: false,
        }
    }

    pub(super) fn push(&mut self, no: u64, message: Message) {
        self.messages.push((no, message));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Message)> {
        self.messages.iter().map(|(no, message)| (*no, message))
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a date is one that servers may not understand: of a year most have not heard of, or of
    /// a zone that is nowhere.
    pub(super) fn has_odd_date(&self) -> bool {
        // 1970 to 2037, where also servers that count in 32 bits are at home.
        let years = 0..=2_145_916_800_i64;
        let odd = |date: InternalDate| {
            !years.contains(&date.unix) || date.offset_minutes.unsigned_abs() > 14 * 60
        };
        self.iter().any(|(_, m)| m.date.is_some_and(odd))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.messages.iter().map(|(_, m)| m.len).sum()
    }

    /// Whether the server has to consent to one of its literals first.
    pub(super) fn waits(&self, literals: Literals) -> bool {
        self.synchronising
            || match literals {
                Literals::Plus => false,
                Literals::Minus => self.messages.iter().any(|(_, m)| m.len > MINUS_MAX),
                Literals::Synchronising => true,
            }
    }

    /// What goes out.
    pub(super) fn appending(&self) -> Vec<Appending> {
        let one = |(_, message): (u64, &Message)| Appending {
            flags: message.flags.clone(),
            date: message.date,
            body: message.body.clone(),
        };
        self.iter().map(one).collect()
    }

    /// Two halves, the first first.
    pub(super) fn halves(self) -> [Self; 2] {
        let Self {
            place,
            mut messages,
            synchronising,
            ..
        } = self;
        let second = messages.split_off(messages.len() / 2);
        [messages, second].map(|messages| Self {
            messages,
            synchronising,
            ..Self::new(place)
        })
    }

    /// Each message by itself, in order.
    pub(super) fn apart(self) -> Vec<Self> {
        let Self {
            place,
            messages,
            synchronising,
            ..
        } = self;
        let alone = |message| Self {
            messages: vec![message],
            synchronising,
            ..Self::new(place)
        };
        messages.into_iter().map(alone).collect()
    }

    /// Takes the messages out for which `which` says so, each as a load by itself.
    pub(super) fn take_out(&mut self, mut which: impl FnMut(&Message) -> bool) -> Vec<Self> {
        let (out, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.messages)
            .into_iter()
            .partition(|(_, message)| which(message));
        self.messages = rest;
        let alone = |message| Self {
            messages: vec![message],
            synchronising: true,
            ..Self::new(self.place)
        };
        out.into_iter().map(alone).collect()
    }

    /// The same without keywords; whether there were any. For a message by itself.
    pub(super) fn without_keywords(&mut self) -> bool {
        let mut any = false;
        for (no, message) in &mut self.messages {
            self.asked.push((*no, message.flags.clone()));
            let system = message.flags.iter().filter(|f| f.starts_with('\\'));
            let system = crate::model::Flags::from_wire(system);
            any |= system != message.flags;
            message.flags = system;
        }
        self.bare = true;
        any
    }

    /// What went without its keywords has other flags than it was to have.
    pub(super) fn flagged(&self) -> Vec<LedgerRecord> {
        let asked = |no: u64| self.asked.iter().find(|(of, _)| *of == no);
        let flagged = |(no, message): (u64, &Message)| LedgerRecord::Flagged {
            no: vec![no],
            flags: message.flags.clone(),
            asked: asked(no).map(|(_, flags)| flags.clone()),
        };
        self.iter().map(flagged).collect()
    }

    /// Outcomes of what the target has. The UIDs count only if they can be right: as many as
    /// there are messages, of the UIDVALIDITY the mailbox has.
    /// QUIRK(DavMail #315): UIDVALIDITY and UID change places.
    pub(super) fn there(&self, told: Option<&AppendUid>, uidvalidity: u32) -> Vec<LedgerRecord> {
        let told = told.filter(|t| t.uidvalidity == uidvalidity && t.uids.len() == self.len());
        let at = |n: usize| Some((uidvalidity, *told?.uids.get(n)?));
        let outcome =
            |(n, (no, _)): (usize, (u64, &Message))| outcome(no, Fate::There { at: at(n) });
        self.iter().enumerate().map(outcome).collect()
    }
}

/// A record of what became of a piece.
pub(in crate::replay) fn outcome(no: u64, fate: Fate) -> LedgerRecord {
    LedgerRecord::Outcome(Outcome { no, fate })
}
