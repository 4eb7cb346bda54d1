//! What a server announces (RFC 3501 §7.2.1).

use std::collections::BTreeSet;

use imap_proto::Capability;

/// The capabilities of one session, in upper case. They differ by server, by plan and by
/// day, and before and after sign-in, so they are never remembered beyond the session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities(BTreeSet<String>);

impl Capabilities {
    /// Whether a capability is announced, without regard to case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_ascii_uppercase())
    }

    /// The capabilities in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn of(list: &[Capability<'_>]) -> Self {
        let name = |capability: &Capability<'_>| match capability {
            Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
            Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_ascii_uppercase()),
            Capability::Atom(atom) => atom.to_ascii_uppercase(),
        };
        Self(list.iter().map(name).collect())
    }

    /// Whether HIGHESTMODSEQ can be asked for; QRESYNC implies it (RFC 7162 §3.2.3).
    pub(super) fn condstore(&self) -> bool {
        self.has("CONDSTORE") || self.has("QRESYNC")
    }
}
