//! What a source reports about a mailbox at enumeration, and what is held of it.

use super::{FlagSetId, FlagTable, InternalDate};

/// One message of a listing. At most 24 bytes, since a mailbox may hold a million.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    date: i64,
    /// The UID, never 0.
    pub uid: u32,
    /// RFC822.SIZE in bytes as the server reports it; servers lie in both directions.
    pub size: u32,
    /// The flags, interned in the listing's table.
    pub flags: FlagSetId,
    offset_minutes: i16,
}

const _: () = assert!(size_of::<Listed>() <= 24);

impl Listed {
    /// A listing entry; `date` is `None` when the server sent none that can be read.
    #[must_use]
    pub fn new(uid: u32, size: u32, flags: FlagSetId, date: Option<InternalDate>) -> Self {
        let (date, offset_minutes) = date.map_or((i64::MIN, 0), |d| (d.unix, d.offset_minutes));
        Self {
            date,
            uid,
            size,
            flags,
            offset_minutes,
        }
    }

    /// INTERNALDATE, if the server sent one.
    #[must_use]
    pub fn date(&self) -> Option<InternalDate> {
        (self.date != i64::MIN).then_some(InternalDate {
            unix: self.date,
            offset_minutes: self.offset_minutes,
        })
    }
}

/// The messages of one mailbox, in ascending UID order without repetition.
#[derive(Debug, Default, Clone)]
pub struct Listing {
    /// Ascending by UID, each UID once.
    pub messages: Vec<Listed>,
    /// The flag sets the entries refer to.
    pub flags: FlagTable,
    /// Messages the server announced as expunged while it listed.
    pub expunged: u32,
}

impl Listing {
    /// Adds what another listing shows of these UIDs; its flag sets become sets of this one.
    pub fn absorb(&mut self, part: Self, uids: std::ops::RangeInclusive<u32>) {
        let Self {
            messages,
            flags,
            expunged,
        } = part;
        for mut message in messages.into_iter().filter(|m| uids.contains(&m.uid)) {
            if let Some(set) = flags.get(message.flags) {
                message.flags = self.flags.intern(set.clone());
            }
            self.messages.push(message);
        }
        self.expunged = self.expunged.saturating_add(expunged);
    }
}

/// A placement as the planner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// UID.
    pub uid: u32,
    /// Flags, interned by the catalog; equal numbers mean equal flags.
    pub flags: i64,
    /// RFC822.SIZE as it was reported.
    pub size: u32,
    /// INTERNALDATE in Unix seconds.
    pub date: Option<i64>,
    /// Already recorded as gone.
    pub gone: bool,
    /// Its content was found damaged, so it is not held.
    pub damaged: bool,
}
