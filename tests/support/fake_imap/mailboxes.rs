//! What the fake server says of mailboxes as a whole: LIST, STATUS, EXAMINE and the like.

use std::io::{self, Write as _};

use super::command::Command;
use super::serve::{Output, Session, quoted};
use super::world::{FakeMailbox, Status, World};

/// LIST, plain or with RETURN (RFC 5258, RFC 5819) where that is announced.
pub(super) fn list(out: &mut Output<'_>, world: &World, command: &Command) -> io::Result<()> {
    let tag = &command.tag;
    let options = match command.args.get(2) {
        None => String::new(),
        Some(word) if word == "RETURN" && world.announces("LIST-EXTENDED") => {
            command.args.get(3).cloned().unwrap_or_default()
        }
        Some(_) => return write!(out, "{tag} BAD Command Argument Error. 12\r\n"),
    };
    let items = options.split_once("STATUS (").map(|(_, items)| items);
    if items.is_some() && !world.announces("LIST-STATUS") || options.contains("SPECIAL-USE") {
        return write!(out, "{tag} BAD Command Argument Error. 12\r\n");
    }
    for mailbox in &world.mailboxes {
        let subscribed = mailbox.subscribed && options.contains("SUBSCRIBED");
        list_one(
            out,
            "LIST",
            mailbox,
            if subscribed { " \\Subscribed" } else { "" },
        )?;
        if items.is_some() && mailbox.status == Status::Usual && can_be_opened(mailbox) {
            status_one(out, world, mailbox, &options)?;
        }
    }
    out.write_all(&world.more_listed)?;
    write!(out, "{tag} OK\r\n")
}

pub(super) fn lsub(out: &mut Output<'_>, world: &World, command: &Command) -> io::Result<()> {
    for mailbox in world.mailboxes.iter().filter(|m| m.subscribed) {
        list_one(out, "LSUB", mailbox, "")?;
    }
    write!(out, "{} OK\r\n", command.tag)
}

fn can_be_opened(mailbox: &FakeMailbox) -> bool {
    let attributes = mailbox.attributes.to_ascii_lowercase();
    !attributes.contains("\\noselect") && !attributes.contains("\\nonexistent")
}

fn list_one(out: &mut Output<'_>, word: &str, mailbox: &FakeMailbox, more: &str) -> io::Result<()> {
    let (attributes, separator) = (&mailbox.attributes, &mailbox.separator);
    write!(out, "* {word} ({attributes}{more}) {separator} ")?;
    out.write_all(&written(mailbox))?;
    out.write_all(b"\r\n")
}

/// The name as it goes out.
fn written(mailbox: &FakeMailbox) -> Vec<u8> {
    let raw = mailbox.listed_as.clone();
    raw.unwrap_or_else(|| quoted(&mailbox.wire))
}

pub(super) fn status(out: &mut Output<'_>, world: &World, command: &Command) -> io::Result<()> {
    let tag = &command.tag;
    let Some(mailbox) = world.mailbox(&command.args[0]) else {
        return write!(out, "{tag} NO [NONEXISTENT] no such mailbox\r\n");
    };
    match &mailbox.status {
        Status::Refused(words) => return write!(out, "{tag} {words}\r\n"),
        Status::Silent => {}
        Status::Usual => status_one(out, world, mailbox, &command.args[1])?,
    }
    write!(out, "{tag} OK\r\n")
}

/// The items that were asked for, as far as the mailbox has them.
fn status_one(
    out: &mut Output<'_>,
    world: &World,
    mailbox: &FakeMailbox,
    asked: &str,
) -> io::Result<()> {
    let numbers = [
        ("MESSAGES", Some(u64::from(mailbox.exists()))),
        ("UIDNEXT", mailbox.uidnext.map(u64::from)),
        ("UIDVALIDITY", mailbox.uidvalidity.map(u64::from)),
        ("HIGHESTMODSEQ", world.modseq_told(mailbox)),
    ];
    let wanted = numbers.iter().filter(|(name, _)| asked.contains(name));
    let items: Vec<String> = wanted
        .filter_map(|(name, number)| number.map(|number| format!("{name} {number}")))
        .collect();
    out.write_all(b"* STATUS ")?;
    out.write_all(&written(mailbox))?;
    write!(out, " ({})\r\n", items.join(" "))
}

pub(super) fn examine(
    out: &mut Output<'_>,
    world: &World,
    command: &Command,
    session: &mut Session,
) -> io::Result<()> {
    let tag = &command.tag;
    session.selected = None;
    let Some(mailbox) = world.mailbox(&command.args[0]) else {
        return write!(out, "{tag} NO [NONEXISTENT] no such mailbox\r\n");
    };
    if let Some(words) = &mailbox.examine {
        return write!(out, "{tag} {words}\r\n");
    }
    write!(
        out,
        "* FLAGS (\\Answered \\Seen \\*)\r\n* {} EXISTS\r\n* 0 RECENT\r\n",
        mailbox.exists()
    )?;
    let modseq = world.modseq_told(mailbox);
    let numbers = [
        ("UIDNEXT", mailbox.uidnext.map(u64::from)),
        ("UIDVALIDITY", mailbox.uidvalidity.map(u64::from)),
        ("HIGHESTMODSEQ", modseq.filter(|n| *n > 0)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            write!(out, "* OK [{name} {number}] so it is\r\n")?;
        }
    }
    if modseq == Some(0) {
        write!(out, "* OK [NOMODSEQ] nobody counts\r\n")?;
    }
    write!(out, "{tag} OK [READ-ONLY] looked at\r\n")?;
    session.selected = Some(command.args[0].clone());
    session.known = mailbox.messages.iter().map(|m| m.uid).collect();
    Ok(())
}

/// RFC 5161, for QRESYNC alone (RFC 7162 §3.2.3).
pub(super) fn enable(
    out: &mut Output<'_>,
    world: &World,
    command: &Command,
    session: &mut Session,
) -> io::Result<()> {
    let tag = &command.tag;
    if !world.announces("ENABLE") {
        return write!(out, "{tag} BAD what is `ENABLE`?\r\n");
    }
    let wanted = command.args.iter().any(|a| a == "QRESYNC") && world.announces("QRESYNC");
    session.qresync |= wanted && !world.lies.enables_nothing;
    if session.qresync {
        write!(out, "* ENABLED QRESYNC\r\n")?;
    }
    write!(out, "{tag} OK\r\n")
}

/// All UIDs, whatever was asked, as far as this server can count.
pub(super) fn search(out: &mut Output<'_>, world: &World, command: &Command) -> io::Result<()> {
    let tag = &command.tag;
    let Some(mailbox) = command.selected.as_deref().and_then(|m| world.mailbox(m)) else {
        return write!(out, "{tag} BAD no mailbox is open\r\n");
    };
    let mut uids = mailbox.resolve("1:*");
    uids.truncate(world.search_limit.unwrap_or(usize::MAX));
    let uids: Vec<String> = uids.iter().map(u32::to_string).collect();
    write!(out, "* SEARCH {}\r\n{tag} OK\r\n", uids.join(" "))
}
