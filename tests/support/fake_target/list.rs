//! What the target says of its mailboxes: LIST, STATUS, namespaces and quotas.

use std::io::Write as _;

use super::log::Received;
use super::serve::{Said, bad, no};
use super::world::{TargetMailbox, TargetWorld};
use crate::support::fake_imap::serve::quoted;

/// LIST, plain or with RETURN (RFC 5258, RFC 5819, RFC 6154) where that is announced.
pub(super) fn list(command: &Received, world: &TargetWorld, out: &mut Vec<u8>) -> Said {
    let (reference, pattern, options) = match command.args.as_slice() {
        [reference, pattern] => (reference, pattern, None),
        [reference, pattern, word, options] if word.eq_ignore_ascii_case("RETURN") => {
            world.needs("LIST-EXTENDED")?;
            (reference, pattern, Some(options))
        }
        _ => return Err(bad("LIST needs a reference and a pattern")),
    };
    let options = options.map_or("", String::as_str).trim_matches(['(', ')']);
    let (options, items) = match options.split_once("STATUS (") {
        None => (options.to_owned(), None),
        Some((before, items)) => {
            world.needs("LIST-STATUS")?;
            let (items, after) = items.split_once(')').unwrap_or((items, ""));
            (format!("{before} {after}"), Some(items))
        }
    };
    let options: Vec<&str> = options.split_whitespace().collect();
    for option in &options {
        match *option {
            "SUBSCRIBED" | "CHILDREN" => {}
            "SPECIAL-USE" => world.needs("SPECIAL-USE")?,
            other => return Err(bad(&format!("what is `{other}`?"))),
        }
    }
    if pattern.is_empty() {
        let line = format!("* LIST (\\Noselect) \"{}\" \"\"\r\n", world.separator);
        out.extend(line.bytes());
        return Ok("OK".to_owned());
    }
    let pattern = format!("{reference}{pattern}");
    for mailbox in world.mailboxes.iter().filter(|m| m.matches(&pattern)) {
        let subscribed = mailbox.subscribed && options.contains(&"SUBSCRIBED");
        mailbox.listed("LIST", if subscribed { "\\Subscribed" } else { "" }, out);
        if let Some(items) = items.filter(|_| mailbox.can_be_opened()) {
            mailbox.status(items, out)?;
        }
    }
    Ok("OK".to_owned())
}

pub(super) fn lsub(command: &Received, world: &TargetWorld, out: &mut Vec<u8>) -> Said {
    let [reference, pattern] = command.args.as_slice() else {
        return Err(bad("LSUB needs a reference and a pattern"));
    };
    let pattern = format!("{reference}{pattern}");
    let subscribed = world.mailboxes.iter().filter(|m| m.subscribed);
    for mailbox in subscribed.filter(|m| m.matches(&pattern)) {
        mailbox.listed("LSUB", "", out);
    }
    Ok("OK".to_owned())
}

pub(super) fn status(command: &Received, world: &TargetWorld, out: &mut Vec<u8>) -> Said {
    let [name, items] = command.args.as_slice() else {
        return Err(bad("STATUS needs a mailbox and items"));
    };
    world.within(name).map_err(|words| no(&words))?;
    match world.mailbox(name) {
        Some(mailbox) if mailbox.can_be_opened() => mailbox.status(items, out)?,
        _ => return Err(no("[NONEXISTENT] no such mailbox")),
    }
    Ok("OK".to_owned())
}

/// RFC 2342.
pub(super) fn namespace(world: &TargetWorld, out: &mut Vec<u8>) -> Said {
    world.needs("NAMESPACE")?;
    let (prefix, separator) = (&world.namespace, world.separator);
    let line = format!("* NAMESPACE ((\"{prefix}\" \"{separator}\")) NIL NIL\r\n");
    out.extend(line.bytes());
    Ok("OK".to_owned())
}

/// RFC 9208: one root for everything, in units of 1024 bytes.
pub(super) fn quota_root(command: &Received, world: &TargetWorld, out: &mut Vec<u8>) -> Said {
    world.needs("QUOTA")?;
    let [name] = command.args.as_slice() else {
        return Err(bad("GETQUOTAROOT needs a mailbox"));
    };
    let Some(mailbox) = world.mailbox(name) else {
        return Err(no("[NONEXISTENT] no such mailbox"));
    };
    out.extend(b"* QUOTAROOT ");
    out.extend(quoted(mailbox.wire.as_bytes()));
    if let Some(limit) = world.quota {
        let (used, limit) = (world.used().div_ceil(1024), limit / 1024);
        let lines = format!(" \"all\"\r\n* QUOTA \"all\" (STORAGE {used} {limit})");
        out.extend(lines.bytes());
    }
    out.extend(b"\r\n");
    Ok("OK".to_owned())
}

impl TargetMailbox {
    fn listed(&self, word: &str, more: &str, out: &mut Vec<u8>) {
        let attributes = [self.attributes.as_str(), more];
        let attributes: Vec<&str> = attributes.into_iter().filter(|a| !a.is_empty()).collect();
        let (attributes, separator) = (attributes.join(" "), self.separator);
        write!(out, "* {word} ({attributes}) \"{separator}\" ").unwrap();
        out.extend(quoted(self.wire.as_bytes()));
        out.extend(b"\r\n");
    }

    fn status(&self, items: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let mut said = Vec::new();
        for item in items.trim_matches(['(', ')']).split_whitespace() {
            let unseen = |flags: &[String]| !flags.iter().any(|f| f.eq_ignore_ascii_case("\\Seen"));
            let number = match item.to_ascii_uppercase().as_str() {
                "MESSAGES" => self.messages.len(),
                "UNSEEN" => self.messages.iter().filter(|m| unseen(&m.flags)).count(),
                "RECENT" => 0,
                "UIDNEXT" => self.uidnext as usize,
                "UIDVALIDITY" => self.uidvalidity as usize,
                _ => return Err(bad(&format!("what is `{item}`?"))),
            };
            said.push(format!("{item} {number}"));
        }
        out.extend(b"* STATUS ");
        out.extend(quoted(self.wire.as_bytes()));
        out.extend(format!(" ({})\r\n", said.join(" ")).bytes());
        Ok(())
    }

    fn matches(&self, pattern: &str) -> bool {
        let inbox = pattern.eq_ignore_ascii_case("INBOX") && self.wire == "INBOX";
        inbox || fits(self.wire.as_bytes(), pattern.as_bytes(), self.separator)
    }
}

/// `*` stands for anything, `%` for anything without a separator.
fn fits(name: &[u8], pattern: &[u8], separator: char) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    if !matches!(first, b'*' | b'%') {
        return name.first() == Some(first) && fits(&name[1..], rest, separator);
    }
    for at in 0..=name.len() {
        if fits(&name[at..], rest, separator) {
            return true;
        }
        if *first == b'%' && name.get(at).is_some_and(|b| char::from(*b) == separator) {
            return false;
        }
    }
    false
}
