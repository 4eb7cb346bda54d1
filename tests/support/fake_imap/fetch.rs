//! FETCH: listings and bodies, and all that can be wrong with them.

use std::io::{self, Write as _};

use super::command::Command;
use super::serve::{Output, hang_up, quoted, replace};
use super::world::{Delivery, FakeMailbox, Listing, Message};
use super::{Shared, lock};

pub(super) fn answer(command: &Command, out: &mut Output<'_>, shared: &Shared) -> io::Result<()> {
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
    let mut uids = mailbox.resolve(&command.args[0]);
    let mut code = String::new();
    if let Some(limit) = manners.message_limit.filter(|limit| uids.len() > *limit) {
        uids.drain(..uids.len() - limit);
        code = format!("[MESSAGELIMIT {limit} {}] ", uids[0]);
    }
    if manners.descending {
        uids.reverse();
    }
    for uid in uids {
        let mut one = Vec::new();
        let end = if command.wants_bodies() {
            body(&mut one, &mailbox, uid)
        } else {
            listing(&mut one, &mailbox, uid, &command.args[1])
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
        lock(&shared.world).vary(&wire, uid, command.wants_bodies());
    }
    write!(out, "{tag} OK {code}done\r\n")
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
        let text = format!("Subject: bulk {uid}\r\n\r\n");
        write!(
            out,
            "* {uid} FETCH (UID {uid} BODY[] {{{}}}\r\n{text})\r\n",
            text.len()
        )
        .unwrap();
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

fn listing(out: &mut Vec<u8>, mailbox: &FakeMailbox, uid: u32, items: &str) -> End {
    let Some((at, message)) = mailbox
        .messages
        .iter()
        .enumerate()
        .find(|(_, m)| m.uid == uid)
    else {
        let flags = ["\\Seen", "", "\\Seen \\Answered", "$Junk"][uid as usize % 4];
        let (day, second) = (uid % 28 + 1, uid % 60);
        write!(out, "* {uid} FETCH (UID {uid} FLAGS ({flags}) INTERNALDATE \"{day:02}-Feb-2024 21:52:{second:02} +0100\" RFC822.SIZE {})\r\n", 2000 + uid % 9000).unwrap();
        return End::Nothing;
    };
    let number = at + 1 + mailbox.bulk as usize;
    match &message.listing {
        Listing::Shown => {
            write!(out, "* {number} FETCH ({})\r\n", attributes(message, items)).unwrap()
        }
        Listing::Hidden => {}
        Listing::Raw(raw) => out.extend_from_slice(&put_in(raw, number, uid)),
    }
    End::Nothing
}

fn attributes(message: &Message, items: &str) -> String {
    let Message {
        uid,
        flags,
        date,
        size,
        body,
        ..
    } = message;
    let mut said = vec![format!("UID {uid}")];
    if items.contains("FLAGS") {
        said.push(format!("FLAGS ({flags})"));
    }
    if items.contains("INTERNALDATE") {
        said.push(format!("INTERNALDATE \"{date}\""));
    }
    if items.contains("RFC822.SIZE") {
        said.push(format!(
            "RFC822.SIZE {}",
            size.unwrap_or(u32::try_from(body.len()).unwrap())
        ));
    }
    said.join(" ")
}

impl super::world::World {
    /// The next body of a message that is never the same.
    fn vary(&mut self, wire: &str, uid: u32, bodies: bool) {
        let Some(mailbox) = self
            .mailboxes
            .iter_mut()
            .find(|m| m.wire == wire.as_bytes())
        else {
            return;
        };
        let found = mailbox.messages.iter_mut().find(|m| m.uid == uid);
        if let Some(message) = found.filter(|m| bodies && m.delivery == Delivery::Varying) {
            message.body.push(b'.');
        }
    }
}
