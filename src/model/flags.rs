//! Flags and keywords of a placement.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// The flags and keywords of one placement: `\Seen`, `$Forwarded`, … in sorted order.
///
/// `\Recent` is never part of it: it belongs to a session, not to a message. System flags
/// are compared without regard to case (RFC 3501 §2.3.2) and kept in their usual spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(BTreeSet<String>);

const SYSTEM: [&str; 5] = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"];

impl Flags {
    /// Takes flags as a server wrote them.
    pub fn from_wire<I, S>(flags: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut set = BTreeSet::new();
        for flag in flags {
            let flag = flag.as_ref();
            if flag.is_empty() || flag.eq_ignore_ascii_case("\\Recent") {
                continue;
            }
            let usual = SYSTEM.iter().find(|s| s.eq_ignore_ascii_case(flag));
            set.insert(usual.map_or_else(|| flag.to_owned(), |s| (*s).to_owned()));
        }
        Self(set)
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn contains(&self, flag: &str) -> bool {
        self.0.contains(flag)
    }

    /// The flags in sorted order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// No flag at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A flag set interned in a [`FlagTable`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlagSetId(u32);

impl FlagSetId {
    /// The server did not say, or said it in a way nobody could read. Not "no flags".
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// Interned flag sets: a mailbox of a million messages has a few dozen distinct ones.
#[derive(Debug, Default, Clone)]
pub struct FlagTable {
    sets: Vec<Flags>,
    index: HashMap<Flags, FlagSetId>,
}

impl FlagTable {
    /// The id of a flag set, new or known.
    pub fn intern(&mut self, flags: Flags) -> FlagSetId {
        if let Some(id) = self.index.get(&flags) {
            return *id;
        }
        let id = FlagSetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX - 1));
        self.sets.push(flags.clone());
        self.index.insert(flags, id);
        id
    }

    /// The flag set behind an id; `None` for [`FlagSetId::UNKNOWN`].
    #[must_use]
    pub fn get(&self, id: FlagSetId) -> Option<&Flags> {
        usize::try_from(id.0).ok().and_then(|i| self.sets.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_dropped_and_system_flags_get_their_usual_spelling() {
        let flags = Flags::from_wire(["\\RECENT", "\\seen", "$Forwarded", "\\Seen"]);
        assert_eq!(flags.iter().collect::<Vec<_>>(), ["$Forwarded", "\\Seen"]);
    }
}
