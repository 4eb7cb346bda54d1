//! What a comparison with a target found. It can be printed, serialised, and asked for its exit
//! code.

use serde::Serialize;

use crate::report::Ending;
use crate::verify::against::Names;

/// How a mailbox of the target was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceState {
    /// Message by message.
    Compared,
    /// The target has no such mailbox any more.
    NotThere,
    /// Nothing of the archive's mailbox was ever sent there.
    NotReplayed,
    /// The archive's mailbox only shows what lies in others, and was not sent.
    LeftOut,
    /// It could not be opened or listed.
    Failed,
    /// The comparison ended before it.
    NotReached,
}

/// One mailbox of the target, and the mailboxes of the archive that went there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetMailbox {
    /// Its name on the target, decoded; in the archive, where it never went anywhere.
    pub name: String,
    /// Its mailboxes in the archive.
    pub sources: Vec<String>,
    /// How it was looked at.
    pub state: PlaceState,
    /// The server's words where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Messages of the archive that are to be in it.
    pub in_archive: u64,
    /// Messages that are in it and agree, as far as they were compared.
    pub agree: u64,
    /// Messages that are in it under their UID and are others.
    pub differ: u64,
    /// Messages that may be in it, but could not be compared.
    pub unproven: u64,
    /// Messages that were in it and are not any more.
    pub removed: u64,
    /// Messages the target refused when they were sent last.
    pub refused: u64,
    /// Messages of which the target shows another copy instead.
    pub collapsed: u64,
    /// Messages of which the ledger knows nothing.
    pub never_sent: u64,
    /// Messages of which nobody can tell whether they are there.
    pub doubtful: u64,
    /// Messages that were being sent when a replay ended.
    pub open: u64,
    /// Messages that are not wanted on a person's order: forgotten ones, and further copies.
    /// They are not among those of the archive.
    pub excluded: u64,
    /// Of those in it: found by their header, since their UID was not known.
    pub recognised: u64,
    /// Messages in it.
    pub on_target: u64,
    /// Messages in it that mailstow knows from this archive and that are not asked for now.
    pub left_over: Names,
    /// Messages in it that are not from this archive.
    pub others: Names,
    /// Messages the server counts and does not list.
    pub unlisted: u64,
    /// Of those in it: the date of arrival is another.
    pub dates: Names,
    /// Of those in it: the flags are others than mailstow set last.
    pub flags: Names,
}

impl TargetMailbox {
    pub(super) fn new(name: String, sources: Vec<String>, state: PlaceState) -> Self {
        Self {
            name,
            sources,
            state,
            problem: None,
            in_archive: 0,
            agree: 0,
            differ: 0,
            unproven: 0,
            removed: 0,
            refused: 0,
            collapsed: 0,
            never_sent: 0,
            doubtful: 0,
            open: 0,
            excluded: 0,
            recognised: 0,
            on_target: 0,
            left_over: Names::default(),
            others: Names::default(),
            unlisted: 0,
            dates: Names::default(),
            flags: Names::default(),
        }
    }

    /// Forgets what was found so far: it was not looked at to the end.
    pub(super) fn forget(&mut self, state: PlaceState) {
        let (name, sources) = (self.name.clone(), self.sources.clone());
        *self = Self {
            in_archive: self.in_archive,
            excluded: self.excluded,
            ..Self::new(name, sources, state)
        };
    }

    /// Messages that are not in it.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.removed + self.refused + self.collapsed + self.never_sent
    }

    /// Messages of which nobody can tell whether they are in it.
    #[must_use]
    pub const fn uncertain(&self) -> u64 {
        self.doubtful + self.open
    }

    /// Messages of the archive that are in it, as far as anybody can tell.
    #[must_use]
    pub const fn there(&self) -> u64 {
        self.agree + self.differ + self.unproven
    }

    /// Whether every message of both sides is accounted for.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        if self.state == PlaceState::NotReached {
            return true;
        }
        let archive = self.there() + self.missing() + self.uncertain();
        let target = self.there() + self.left_over.len() + self.others.len() + self.unlisted;
        let looked = matches!(self.state, PlaceState::Compared);
        archive == self.in_archive && (!looked || target == self.on_target)
    }

    /// Whether it has everything, and nothing of that is another. What else is in it does not
    /// count, nor do flags and dates.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let looked_at = match self.state {
            PlaceState::Compared | PlaceState::NotReplayed | PlaceState::LeftOut => true,
            PlaceState::NotThere | PlaceState::Failed | PlaceState::NotReached => false,
        };
        looked_at && self.agree == self.in_archive && self.adds_up()
    }
}

/// What became of a message that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// What is there under its UID is another message.
    Differs,
    /// It was there and is not any more.
    Removed,
    /// The target refused it.
    Refused,
    /// The target shows another copy instead.
    Collapsed,
    /// The ledger knows nothing of it.
    NeverSent,
    /// Nobody can tell whether it is there.
    Doubtful,
    /// It was being sent when a replay ended.
    Open,
    /// It could not be compared.
    Unproven,
    /// The archive cannot give it back: it is damaged.
    Unreadable,
}

/// A message that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LackNote {
    /// What is wrong.
    pub what: Lack,
    /// Its mailbox on the target.
    pub mailbox: String,
    /// Its content id.
    pub content: String,
    /// The source's name for it.
    pub remote: String,
    /// Its UID on the target, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Why, in the target's own words where it said something.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The messages whose bytes were compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BodiesReport {
    /// Repeats the choice, as long as the mail is the same.
    pub seed: u64,
    /// Every message was to be fetched.
    pub full: bool,
    /// Messages on the target that could have been chosen.
    pub of: u64,
    /// Messages chosen, among them those whose header fields left it open.
    pub chosen: u64,
    /// Messages whose bytes are those of the archive.
    pub exact: u64,
    /// Messages whose bytes are those of the archive but for what servers change: line ends, blanks
    /// at the ends of lines, NUL, header fields that were added.
    pub altered: u64,
    /// Messages that are the copy that a replay with repairs sends.
    pub repaired: u64,
    /// Messages that are others.
    pub differ: u64,
    /// Messages the target did not send.
    pub not_sent: u64,
    /// Messages that left while they were compared.
    pub left: u64,
    /// Messages the archive cannot give back.
    pub unreadable: u64,
}

/// The report of a comparison with a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetReport {
    /// The account's name in the archive.
    pub account: String,
    /// `user@host` of the target.
    pub server: String,
    /// How it ended.
    pub ending: Ending,
    /// The error behind [`Ending::ServerLost`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each mailbox.
    pub mailboxes: Vec<TargetMailbox>,
    /// Messages whose Message-ID, Date, From and Subject were fetched and compared.
    pub headers: u64,
    /// The messages whose bytes were compared.
    pub bodies: BodiesReport,
    /// Messages that are not as they should be, at most [`Self::NOTED`] of each kind.
    pub messages: Vec<LackNote>,
    /// How many there are of each kind.
    pub noted: Vec<(Lack, u64)>,
    /// Messages recorded as lost, in the whole archive.
    pub damaged: u64,
    /// Bytes received from the network.
    pub received: u64,
}

impl TargetReport {
    /// How many messages of a kind are named one by one.
    pub const NOTED: u64 = 1000;

    /// Takes note of a message.
    pub(super) fn note(&mut self, note: LackNote) {
        let what = note.what;
        let count = match self.noted.iter().position(|(w, _)| *w == what) {
            Some(at) => self.noted.get_mut(at),
            None => {
                self.noted.push((what, 0));
                self.noted.last_mut()
            }
        };
        let Some((_, count)) = count else { return };
        *count += 1;
        if *count <= Self::NOTED {
            self.messages.push(note);
        }
    }

    /// How many messages of a kind were noted.
    #[must_use]
    pub fn count(&self, what: Lack) -> u64 {
        let found = self.noted.iter().find(|(w, _)| *w == what);
        found.map_or(0, |(_, count)| *count)
    }

    /// Whether the target has everything, and nothing of that is another.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.mailboxes.iter().all(TargetMailbox::agrees)
    }

    /// The exit code (README, "Exit codes"); an interruption aside, whose code is the signal's.
    #[must_use]
    pub fn exit(&self) -> u8 {
        if self.damaged > 0 || self.bodies.unreadable > 0 {
            return 7;
        }
        match self.ending {
            Ending::ServerLost => 6,
            Ending::Interrupted => 130,
            Ending::Complete if self.agrees() => 0,
            Ending::Complete | Ending::Short | Ending::Limit => 3,
        }
    }

    /// A number over all mailboxes.
    #[must_use]
    pub fn total(&self, number: impl Fn(&TargetMailbox) -> u64) -> u64 {
        self.mailboxes.iter().map(number).sum()
    }
}

#[cfg(test)]
mod tests;
