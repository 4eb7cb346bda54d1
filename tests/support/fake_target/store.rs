//! What the target makes of messages it has taken.

use super::knobs::AppendUid;
use super::log::{Append, Appended};
use super::world::{TODAY, TargetMessage, TargetWorld};
use crate::support::fake_imap::headers;

impl TargetWorld {
    /// Stores all messages of an APPEND: the UIDs given, and the code for the OK. `None` where
    /// the mailbox is there no more.
    pub(super) fn take(&mut self, append: &Append) -> Option<(Vec<u32>, String)> {
        let at = self.position(&append.mailbox)?;
        let uids: Vec<u32> = append
            .messages
            .iter()
            .map(|m| self.take_one(at, m))
            .collect();
        let code = self.code(self.mailboxes[at].uidvalidity, &uids);
        if self.renumber_after == Some(append.number) {
            self.renumber();
        }
        Some((uids, code))
    }

    fn take_one(&mut self, at: usize, message: &Appended) -> u32 {
        let body = self.made_of(&message.body);
        if let Some(held) = self.held(&body).filter(|_| self.gmail_dedup) {
            return self.label(held, at);
        }
        let date = message.date.as_deref().filter(|_| !self.ignores_date);
        let date = date.unwrap_or(TODAY).to_owned();
        let drops = self.drops_deleted;
        let mailbox = &mut self.mailboxes[at];
        let mut flags = message.flags.clone();
        flags.retain(|flag| mailbox.keeps(flag));
        let uid = mailbox.uidnext;
        mailbox.uidnext += 1;
        let aside = mailbox.is_aside();
        if !(drops && flags.iter().any(|f| f.eq_ignore_ascii_case("\\Deleted"))) {
            mailbox.messages.push(TargetMessage {
                uid,
                flags,
                date,
                body,
                labels: Vec::new(),
            });
            let n = mailbox.messages.len() - 1;
            let mut all = self.mailboxes.iter();
            let all = all.position(|m| m.attributes.contains("\\All"));
            if let Some(all) = all.filter(|all| self.gmail_dedup && !aside && *all != at) {
                self.label((at, n), all);
            }
        }
        uid
    }

    /// The bytes as they are stored.
    fn made_of(&self, body: &[u8]) -> Vec<u8> {
        let mut made = self.add_header.clone().unwrap_or_default().into_bytes();
        if !self.normalise {
            made.extend_from_slice(body);
            return made;
        }
        for line in body.split_inclusive(|b| *b == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let blanks = text.iter().rev().take_while(|b| matches!(b, b' ' | b'\t'));
            let kept = text.len() - blanks.count();
            made.extend(text[..kept].iter().map(|b| if *b == 0 { 0x80 } else { *b }));
            if line.ends_with(b"\n") {
                made.extend_from_slice(b"\r\n");
            }
        }
        made
    }

    /// Where a message with this Message-ID is held: the mailbox and the message.
    fn held(&self, body: &[u8]) -> Option<(usize, usize)> {
        let id = message_id(body)?;
        let mut mailboxes = self.mailboxes.iter().enumerate();
        mailboxes.find_map(|(at, mailbox)| {
            let mut ids = mailbox.messages.iter().map(|m| message_id(&m.body));
            Some((at, ids.position(|held| held.as_ref() == Some(&id))?))
        })
    }

    /// The held message appears in this mailbox too, once: its UID there. In Trash and Spam it
    /// appears alone.
    ///
    /// QUIRK(Gmail, 2009): takes it out of all other mailboxes then.
    pub(super) fn label(&mut self, (from, n): (usize, usize), to: usize) -> u32 {
        let label = self.mailboxes[to].wire.clone();
        let message = &mut self.mailboxes[from].messages[n];
        if !message.labels.contains(&label) {
            message.labels.push(label);
        }
        let mut copy = message.clone();
        let (id, target) = (message_id(&copy.body), &mut self.mailboxes[to]);
        let aside = target.is_aside();
        let mut there = target.messages.iter();
        let same = |m: &&TargetMessage| match &id {
            Some(id) => message_id(&m.body).as_ref() == Some(id),
            None => m.body == copy.body,
        };
        if let Some(message) = there.find(same) {
            return message.uid;
        }
        copy.uid = target.uidnext;
        target.uidnext += 1;
        let (uid, body) = (copy.uid, copy.body.clone());
        target.messages.push(copy);
        if aside {
            let others = self.mailboxes.iter_mut().enumerate();
            for (_, other) in others.filter(|(at, _)| *at != to) {
                other.messages.retain(|m| m.body != body);
            }
        }
        uid
    }

    /// What the OK to an APPEND says of UIDs, with a blank behind it.
    fn code(&self, uidvalidity: u32, uids: &[u32]) -> String {
        if !self.announces("UIDPLUS") {
            return String::new();
        }
        match self.appenduid {
            AppendUid::Usual => format!("[APPENDUID {uidvalidity} {}] ", set(uids)),
            AppendUid::Swapped => format!("[APPENDUID {} {uidvalidity}] ", set(uids)),
            AppendUid::WrongValidity => format!("[APPENDUID {} {}] ", uidvalidity - 1, set(uids)),
            AppendUid::Short => match uids {
                [most @ .., _] if !most.is_empty() => {
                    format!("[APPENDUID {uidvalidity} {}] ", set(most))
                }
                _ => String::new(),
            },
            AppendUid::Absent => String::new(),
        }
    }
}

/// UIDs in their order, neighbours as ranges: `3:5,9`.
pub(super) fn set(uids: &[u32]) -> String {
    let ranges = uids.chunk_by(|a, b| a + 1 == *b);
    let ranges = ranges.map(|range| match range {
        [first, .., last] => format!("{first}:{last}"),
        other => other.iter().map(u32::to_string).collect(),
    });
    ranges.collect::<Vec<_>>().join(",")
}

/// The value of the first Message-ID.
fn message_id(body: &[u8]) -> Option<String> {
    let field = headers::only(headers::of(body), "(message-id)");
    let field = String::from_utf8_lossy(&field).into_owned();
    let (_, value) = field.split_once(':')?;
    Some(value.split_whitespace().next()?.to_owned())
}
