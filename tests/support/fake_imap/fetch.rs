//! FETCH: listings and bodies, and all that can be wrong with them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::bulk::Bulk;
use super::changes::Since;
use super::command::Command;
use super::headers;
use super::serve::{Output, Session, hang_up, quoted, replace};
use super::world::{Delivery, FakeMailbox, Listing, Message};
use super::{Shared, lock};

pub(super) fn answer(
    command: &Command,
    out: &mut Output<'_>,
    shared: &Shared,
    session: &mut Session,
) -> io::Result<()> {
    let tag = &command.tag;
    let wire = command.selected.clone().unwrap_or_default();
    let (mailbox, manners) = {
        let mut world = lock(&shared.world);
        let mailbox = world.mailbox(&wire).cloned();
        let mailboxes = std::mem::take(&mut world.mailboxes);
        let manners = world.clone();
        world.mailboxes = mailboxes;
        (mailbox, manners)
    };
    let Some(mailbox) = mailbox else {
        return write!(out, "{tag} BAD no mailbox is open\r\n");
    };
    if mailbox.exists() == 0 && manners.empty_is_bad {
        return write!(out, "{tag} BAD nothing to fetch\r\n");
    }
    let since = match Since::of(command, &manners, &mailbox, session) {
        Ok(since) => since,
        Err(words) => return write!(out, "{tag} {words}\r\n"),
    };
    if manners.tells_departures {
        tell_departures(out, &mailbox, session)?;
    }
    let mut uids = mailbox.resolve(&command.args[0]);
    let mut code = String::new();
    if let Some(since) = &since {
        since.vanished(out, &command.args[0], &mailbox, &manners.lies)?;
        uids.retain(|uid| since.shows(*uid, &mailbox, &manners.lies));
    }
    if let Some(limit) = manners.message_limit.filter(|limit| uids.len() > *limit) {
        uids.drain(..uids.len() - limit);
        code = format!("[MESSAGELIMIT {limit} {}] ", uids[0]);
    }
    if manners.descending {
        uids.reverse();
    }
    let bulk_head = mailbox.bulk_head_length();
    for uid in uids {
        let mut one = Vec::new();
        let end = if command.wants_bodies() {
            body(&mut one, &mailbox, uid)
        } else if command.wants_headers() {
            header(&mut one, &mailbox, uid, &command.args[1])
        } else {
            let modseq = since.as_ref().map(|_| mailbox.modseq_of(uid));
            listing(&mut one, &mailbox, uid, &command.args[1], modseq, bulk_head)
        };
        if !one.is_empty() {
            out.write_all(&one)?;
            out.write_all(&manners.chatter)?;
            if manners.twice {
                out.write_all(&one)?;
            }
        }
        match end {
            End::Whole => {
                note_sent(shared, command, &wire, uid);
            }
            End::Command(words) => return write!(out, "{tag} {words}\r\n"),
            End::Connection => return Err(hang_up()),
            End::Nothing => {}
        }
        if uid > mailbox.bulk && command.wants_bodies() {
            lock(&shared.world).vary(&wire, uid);
        }
    }
    write!(out, "{tag} OK {code}done\r\n")
}

/// What has left since the client last heard, without the sequence numbers being right for
/// anybody else than it (RFC 3501 §7.4.1).
fn tell_departures(
    out: &mut Output<'_>,
    mailbox: &FakeMailbox,
    session: &mut Session,
) -> io::Result<()> {
    let there: BTreeSet<u32> = mailbox.messages.iter().map(|m| m.uid).collect();
    let (mut number, mut left) = (mailbox.bulk as usize, Vec::new());
    for uid in &session.known {
        number += 1;
        if !there.contains(uid) {
            left.push((number, *uid));
            number -= 1;
        }
    }
    session.known = there.into_iter().collect();
    for (number, uid) in left {
        if session.qresync {
            write!(out, "* VANISHED {uid}\r\n")?;
        } else {
            write!(out, "* {number} EXPUNGE\r\n")?;
        }
    }
    Ok(())
}

fn note_sent(shared: &Shared, command: &Command, wire: &str, uid: u32) {
    if command.wants_bodies() {
        lock(&shared.sent).push((wire.to_owned(), uid));
    }
}

/// How an answer for one message ended.
enum End {
    Whole,
    Nothing,
    Command(String),
    Connection,
}

fn body(out: &mut Vec<u8>, mailbox: &FakeMailbox, uid: u32) -> End {
    let Some((at, message)) = mailbox
        .messages
        .iter()
        .enumerate()
        .find(|(_, m)| m.uid == uid)
    else {
        let bytes = mailbox.bulk_body(uid);
        let head = format!("* {uid} FETCH (UID {uid} BODY[] {{{}}}\r\n", bytes.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(b")\r\n");
        return End::Whole;
    };
    let number = at + 1 + mailbox.bulk as usize;
    let head = format!("* {number} FETCH (UID {uid} BODY[] ");
    let bytes = &message.body;
    let mut literal = |bytes: &[u8]| {
        write!(out, "{head}{{{}}}\r\n", bytes.len()).unwrap();
        out.extend_from_slice(bytes);
        out.extend_from_slice(b")\r\n");
    };
    match &message.delivery {
        Delivery::Whole | Delivery::Varying => literal(bytes),
        Delivery::Empty => literal(b""),
        Delivery::Quoted => {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&quoted(bytes));
            out.extend_from_slice(b")\r\n");
        }
        Delivery::Nil => {
            write!(out, "{head}NIL)\r\n").unwrap();
            return End::Nothing;
        }
        Delivery::Omitted => return End::Nothing,
        Delivery::Raw(raw) => {
            out.extend_from_slice(&put_in(raw, number, uid));
            return End::Nothing;
        }
        Delivery::Ends(words) => return End::Command(words.clone()),
        Delivery::Cut(length) => {
            write!(out, "{head}{{{}}}\r\n", bytes.len()).unwrap();
            out.extend_from_slice(&bytes[..*length]);
            return End::Connection;
        }
        Delivery::HangUp(raw) => {
            out.extend_from_slice(&put_in(raw, number, uid));
            return End::Connection;
        }
    }
    End::Whole
}

fn put_in(raw: &[u8], number: usize, uid: u32) -> Vec<u8> {
    let raw = replace(raw, b"UID", format!("UID {uid}").as_bytes());
    replace(&raw, b"SEQ", number.to_string().as_bytes())
}

/// The header or some of its fields, up to and with the empty line.
fn header(out: &mut Vec<u8>, mailbox: &FakeMailbox, uid: u32, items: &str) -> End {
    let found = mailbox.messages.iter().position(|m| m.uid == uid);
    let number = found.map_or(uid as usize, |at| at + 1 + mailbox.bulk as usize);
    let made_up;
    let whole = match found {
        Some(at) => &mailbox.messages[at].body,
        None => {
            made_up = mailbox.bulk_body(uid);
            &made_up
        }
    };
    let section = items.split_once("BODY.PEEK[").map_or("", |(_, rest)| rest);
    let section = section.split_once(']').map_or("", |(section, _)| section);
    let header = headers::of(whole);
    let bytes = match section.strip_prefix("HEADER.FIELDS ") {
        Some(names) => headers::only(header, names),
        None => header.to_vec(),
    };
    let head = format!(
        "* {number} FETCH (UID {uid} BODY[{section}] {{{}}}\r\n",
        bytes.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&bytes);
    out.extend_from_slice(b")\r\n");
    End::Nothing
}

fn listing(
    out: &mut Vec<u8>,
    mailbox: &FakeMailbox,
    uid: u32,
    items: &str,
    modseq: Option<u64>,
    bulk_head: usize,
) -> End {
    let at = mailbox.messages.binary_search_by_key(&uid, |m| m.uid).ok();
    // A test may have brought them out of order.
    let at = at.or_else(|| mailbox.messages.iter().position(|m| m.uid == uid));
    let Some((at, message)) = at.map(|at| (at, &mailbox.messages[at])) else {
        let Bulk { flags, date, size } = mailbox.bulk_listing(uid, bulk_head);
        let said = attributes(items, uid, modseq, &flags, &date, size);
        write!(out, "* {uid} FETCH ({said})\r\n").unwrap();
        return End::Nothing;
    };
    let number = at + 1 + mailbox.bulk as usize;
    let Message { flags, date, .. } = message;
    let size = message
        .size
        .map_or(message.body.len(), |size| size as usize);
    match &message.listing {
        Listing::Shown => {
            let said = attributes(items, uid, modseq, flags, date, size);
            write!(out, "* {number} FETCH ({said})\r\n").unwrap();
        }
        Listing::Hidden => {}
        Listing::Raw(raw) => out.extend_from_slice(&put_in(raw, number, uid)),
    }
    End::Nothing
}

fn attributes(
    items: &str,
    uid: u32,
    modseq: Option<u64>,
    flags: &str,
    date: &str,
    size: usize,
) -> String {
    let mut said = format!("UID {uid}");
    if items.contains("FLAGS") {
        write!(said, " FLAGS ({flags})").unwrap();
    }
    if items.contains("INTERNALDATE") {
        write!(said, " INTERNALDATE \"{date}\"").unwrap();
    }
    if items.contains("RFC822.SIZE") {
        write!(said, " RFC822.SIZE {size}").unwrap();
    }
    if let Some(modseq) = modseq {
        write!(said, " MODSEQ ({modseq})").unwrap();
    }
    said
}

impl super::world::World {
    /// The next body of a message that is never the same.
    fn vary(&mut self, wire: &str, uid: u32) {
        let Some(mailbox) = self
            .mailboxes
            .iter_mut()
            .find(|m| m.wire == wire.as_bytes())
        else {
            return;
        };
        let found = mailbox.messages.iter_mut().find(|m| m.uid == uid);
        if let Some(message) = found.filter(|m| m.delivery == Delivery::Varying) {
            message.body.push(b'.');
        }
    }
}
