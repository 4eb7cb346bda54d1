//! FETCH with CHANGEDSINCE and VANISHED (RFC 7162), told truly or not.

use std::io::{self, Write as _};

use super::command::Command;
use super::serve::{Output, Session};
use super::world::{FakeMailbox, World};

/// What a server with CONDSTORE or QRESYNC may get wrong.
#[derive(Debug, Clone, Default)]
pub struct Lies {
    /// VANISHED (EARLIER) leaves these UIDs out.
    pub keeps_quiet: Vec<u32>,
    /// An answer to CHANGEDSINCE leaves these UIDs out.
    pub leaves_out: Vec<u32>,
    /// VANISHED (EARLIER) names these UIDs, which have not left.
    pub buries: Vec<u32>,
    /// CHANGEDSINCE is BAD.
    pub changedsince_is_bad: bool,
    /// CHANGEDSINCE is passed over: everything is said to have changed (iCloud).
    pub changedsince_is_nothing: bool,
    /// VANISHED in a form nobody can read (iCloud).
    pub vanished_is_garbled: bool,
    /// ENABLE is answered with OK and enables nothing.
    pub enables_nothing: bool,
}

/// The modifiers of a FETCH.
pub(super) struct Since {
    modseq: u64,
    vanished: bool,
}

impl Since {
    /// `None` without modifiers; the tagged answer where they may not be used.
    pub(super) fn of(
        command: &Command,
        world: &World,
        mailbox: &FakeMailbox,
        session: &Session,
    ) -> Result<Option<Self>, String> {
        let Some(modifiers) = command.args.get(2) else {
            return Ok(None);
        };
        let words = modifiers.trim_matches(['(', ')']);
        let words: Vec<&str> = words.split(' ').collect();
        let (modseq, vanished) = match words.as_slice() {
            ["CHANGEDSINCE", modseq] => (modseq, false),
            ["CHANGEDSINCE", modseq, "VANISHED"] => (modseq, true),
            _ => return Err(format!("BAD what is `{modifiers}`?")),
        };
        let modseq: u64 = modseq.parse().map_err(|_| "BAD no number".to_owned())?;
        let told = world.modseq_told(mailbox);
        if world.lies.changedsince_is_bad || told.is_none_or(|n| n == 0) || modseq == 0 {
            return Err("BAD Error in IMAP command FETCH".to_owned());
        }
        if vanished && !session.qresync {
            return Err("BAD QRESYNC is not enabled".to_owned());
        }
        Ok(Some(Self { modseq, vanished }))
    }

    /// Whether a message is part of the answer.
    pub(super) fn shows(&self, uid: u32, mailbox: &FakeMailbox, lies: &Lies) -> bool {
        let changed = lies.changedsince_is_nothing || mailbox.modseq_of(uid) > self.modseq;
        changed && !lies.leaves_out.contains(&uid)
    }

    /// VANISHED (EARLIER), ahead of the messages (RFC 7162 §3.2.6).
    pub(super) fn vanished(
        &self,
        out: &mut Output<'_>,
        set: &str,
        mailbox: &FakeMailbox,
        lies: &Lies,
    ) -> io::Result<()> {
        if !self.vanished {
            return Ok(());
        }
        let mut uids = mailbox.vanished_since(self.modseq);
        uids.retain(|uid| !lies.keeps_quiet.contains(uid));
        uids.extend(&lies.buries);
        uids.retain(|uid| covers(set, *uid));
        let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
        match uids.as_slice() {
            _ if lies.vanished_is_garbled => write!(out, "* VANISHED (EARLIER) \r\n"),
            [] => Ok(()),
            uids => write!(out, "* VANISHED (EARLIER) {}\r\n", uids.join(",")),
        }
    }
}

/// Whether a set covers a UID, held or not.
fn covers(set: &str, uid: u32) -> bool {
    let number = |text: &str| text.parse().unwrap_or(u32::MAX);
    set.split(',').any(|part| {
        let (a, b) = part.split_once(':').unwrap_or((part, part));
        (number(a).min(number(b))..=number(a).max(number(b))).contains(&uid)
    })
}
