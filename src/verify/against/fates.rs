//! Where each message of a comparison stands.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::model::UidSet;

/// Messages by where they stand. Every message the server lists is in one of the first eight,
/// and every one the archive holds as present in `present`, `damaged` or one of the last three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fates<S> {
    /// On the server and in the archive.
    pub present: S,
    /// Not in the archive: came after the last complete run.
    pub newer: S,
    /// Not in the archive: the selection of the last run leaves them out.
    pub excluded: S,
    /// Not in the archive: an open skip says why.
    pub skipped: S,
    /// Not in the archive: a person accepted the loss.
    pub accepted: S,
    /// Not in the archive, and nothing says why.
    pub missing: S,
    /// In the archive, but what it kept was found damaged.
    pub damaged: S,
    /// Recorded as gone, and on the server all the same.
    pub returned: S,
    /// In the archive as present, and on the server no more.
    pub departed: S,
    /// In the archive as present and not listed, by a listing that is not whole.
    pub unseen: S,
    /// In the archive, and not offered by the POP3 server, which need not mean that they are gone.
    pub not_offered: S,
    /// Of `present`: the flags are others, as they come to be from one night to the next.
    pub flags: S,
}

impl<S> Fates<S> {
    /// The same with other names.
    pub(super) fn map<T>(self, name: impl Fn(S) -> T) -> Fates<T> {
        Fates {
            present: name(self.present),
            newer: name(self.newer),
            excluded: name(self.excluded),
            skipped: name(self.skipped),
            accepted: name(self.accepted),
            missing: name(self.missing),
            damaged: name(self.damaged),
            returned: name(self.returned),
            departed: name(self.departed),
            unseen: name(self.unseen),
            not_offered: name(self.not_offered),
            flags: name(self.flags),
        }
    }
}

/// Messages of one mailbox by the server's names for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// UIDs.
    Uids(UidSet),
    /// UIDLs, in the order in which they are listed.
    Uidls(Vec<String>),
}

impl Names {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Uids(uids) => uids.len(),
            Self::Uidls(uidls) => uidls.len() as u64,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::Uids(UidSet::new())
    }
}

/// `{"count": 2, "uids": "7:8"}`, or a list of `uidls`.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("count", &self.len())?;
        match self {
            Self::Uids(uids) => map.serialize_entry("uids", uids)?,
            Self::Uidls(uidls) => map.serialize_entry("uidls", uidls)?,
        }
        map.end()
    }
}

/// A message that is there on both sides and differs in what its server says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The server's name for it: a UID or a UIDL.
    pub remote: String,
    /// Its size in bytes as it was reported to the archive, and as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<(u64, u64)>,
    /// Its INTERNALDATE then and now, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<(i64, i64)>,
}
