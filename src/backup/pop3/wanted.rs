//! A message that is to be fetched from a maildrop.

use super::plan::Look;
use crate::pop3::Offered;

/// A message to fetch.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its number in the open session.
    pub(super) number: u32,
    /// The UIDL that identifies it, if one does.
    pub(super) uidl: Option<String>,
    /// Its UIDL, also one that others bear.
    pub(super) label: Option<String>,
    pub(super) size: Option<u64>,
    /// What has to be looked at once it is there.
    pub(super) look: Look,
    /// Whether it is spam, where that was judged.
    pub(super) spam: Option<bool>,
    /// It was skipped before: when it was tried last, and why it was skipped.
    pub(super) before: Option<(String, String)>,
    /// More was recorded of its UIDL than its placement.
    pub(super) restate: bool,
    /// It was asked for in a session before this one.
    pub(super) was_asked: bool,
    /// How often it was asked for in vain.
    pub(super) tries: u32,
}

impl Wanted {
    pub(super) fn of(message: &Offered, uidl: Option<&str>) -> Self {
        Self {
            number: message.number,
            uidl: uidl.map(str::to_owned),
            label: message.uidl.clone(),
            // No message is larger, and the sum of many lies must not overflow.
            size: message.size.map(|size| size.min(u64::from(u32::MAX))),
            look: Look::default(),
            spam: None,
            before: None,
            restate: false,
            was_asked: false,
            tries: 0,
        }
    }
}
