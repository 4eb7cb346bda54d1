//! Mailboxes that are made, removed, subscribed to and opened.

use std::io::Write as _;

use super::log::Received;
use super::serve::{Said, Selected, Session, bad, no};
use super::world::TargetWorld;
use crate::support::mutf7;

const SPECIAL: [&str; 7] = [
    "\\All",
    "\\Archive",
    "\\Drafts",
    "\\Flagged",
    "\\Junk",
    "\\Sent",
    "\\Trash",
];

/// CREATE, with `(USE (\Sent))` (RFC 6154) where that is announced. Those above it are made too,
/// as names that can't be opened.
pub(super) fn create(command: &Received, world: &mut TargetWorld) -> Said {
    let (name, uses) = match command.args.as_slice() {
        [name] => (name, ""),
        [name, uses] => {
            world.needs("CREATE-SPECIAL-USE")?;
            (name, uses.as_str())
        }
        _ => return Err(bad("CREATE needs a mailbox")),
    };
    let mut attributes = Vec::new();
    if !uses.is_empty() {
        let inner = uses
            .strip_prefix("(USE (")
            .and_then(|u| u.strip_suffix("))"));
        for word in inner.ok_or_else(|| bad("what use?"))?.split(' ') {
            let known = SPECIAL.iter().find(|s| s.eq_ignore_ascii_case(word));
            attributes.push(*known.ok_or_else(|| no("[USEATTR] no such use"))?);
        }
    }
    world.within(name).map_err(|words| no(&words))?;
    let separator = world.separator;
    let name = name.strip_suffix(separator).unwrap_or(name).to_owned();
    let attributes = attributes.join(" ");
    if let Some(at) = world.position(&name) {
        if world.mailboxes[at].can_be_opened() {
            return Err(no("[ALREADYEXISTS] there is one"));
        }
        world.mailboxes[at].attributes = attributes;
        return Ok("OK".to_owned());
    }
    for (at, _) in name.match_indices(separator) {
        if at > 0 && world.position(&name[..at]).is_none() {
            world.add_mailbox(&name[..at]).attributes = "\\Noselect".to_owned();
        }
    }
    world.add_mailbox(&name).attributes = attributes;
    Ok("OK".to_owned())
}

pub(super) fn delete(command: &Received, world: &mut TargetWorld) -> Said {
    let at = open_one(command.args.first(), world)?;
    world.mailboxes.remove(at);
    Ok("OK".to_owned())
}

pub(super) fn rename(command: &Received, world: &mut TargetWorld) -> Said {
    let at = open_one(command.args.first(), world)?;
    let Some(to) = command.args.get(1) else {
        return Err(bad("RENAME needs two mailboxes"));
    };
    if world.position(to).is_some() {
        return Err(no("[ALREADYEXISTS] there is one"));
    }
    world.mailboxes[at].wire.clone_from(to);
    Ok("OK".to_owned())
}

pub(super) fn subscribe(command: &Received, world: &mut TargetWorld) -> Said {
    let at = open_one(command.args.first(), world)?;
    world.mailboxes[at].subscribed = true;
    Ok("OK".to_owned())
}

pub(super) fn select(
    command: &Received,
    world: &TargetWorld,
    session: &mut Session,
    out: &mut Vec<u8>,
) -> Said {
    session.selected = None;
    let mailbox = &world.mailboxes[open_one(command.args.first(), world)?];
    let read_only = mailbox.read_only || command.name == "EXAMINE";
    let exists = mailbox.messages.len();
    out.extend(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n");
    // QUIRK(Dovecot, 2.3.19): nothing is permanent where nothing may be changed.
    let permanent = match &mailbox.permanent_flags {
        Some(_) if read_only => Some("()"),
        permanent => permanent.as_deref(),
    };
    if let Some(flags) = permanent {
        write!(out, "* OK [PERMANENTFLAGS {flags}] kept\r\n").unwrap();
    }
    let (uidvalidity, uidnext) = (mailbox.uidvalidity, mailbox.uidnext);
    write!(out, "* {exists} EXISTS\r\n* 0 RECENT\r\n").unwrap();
    write!(out, "* OK [UIDVALIDITY {uidvalidity}] so it is\r\n").unwrap();
    write!(out, "* OK [UIDNEXT {uidnext}] so it is\r\n").unwrap();
    session.selected = Some(Selected {
        wire: mailbox.wire.clone(),
        uidvalidity,
        read_only,
        exists,
    });
    let mode = if read_only { "READ-ONLY" } else { "READ-WRITE" };
    Ok(format!("OK [{mode}] open"))
}

/// UNSELECT (RFC 3691), and CLOSE, which removes what is marked.
pub(super) fn close(command: &Received, world: &mut TargetWorld, session: &mut Session) -> Said {
    if command.name == "UNSELECT" {
        world.needs("UNSELECT")?;
    }
    let Some(selected) = session.selected.take() else {
        return Err(bad("no mailbox is open"));
    };
    if command.name == "CLOSE" && !selected.read_only {
        let mailbox = world.mailbox_mut(&selected.wire);
        mailbox.messages.retain(|m| !m.is_deleted());
    }
    Ok("OK".to_owned())
}

/// Where a mailbox stands that can be opened.
pub(super) fn open_one(name: Option<&String>, world: &TargetWorld) -> Result<usize, String> {
    let name = name.ok_or_else(|| bad("which mailbox?"))?;
    world.within(name).map_err(|words| no(&words))?;
    let at = world.position(name);
    at.filter(|at| world.mailboxes[*at].can_be_opened())
        .ok_or_else(|| no("[NONEXISTENT] no such mailbox"))
}

impl TargetWorld {
    /// Refuses a name that is not in the namespace, or no name at all.
    pub(super) fn within(&self, name: &str) -> Result<(), String> {
        let inside = name.eq_ignore_ascii_case("INBOX") || name.starts_with(&self.namespace);
        if !inside {
            let prefix = &self.namespace;
            // QUIRK(Dovecot, 2.3.19): in about these words.
            return Err(format!(
                "Client tried to access nonexistent namespace. \
                 (Mailbox name should probably be prefixed with: {prefix})"
            ));
        }
        if name.is_empty() || !name.is_ascii() || mutf7::try_decode(name).is_none() {
            return Err("Mailbox name is not valid mUTF-7".to_owned());
        }
        Ok(())
    }
}
