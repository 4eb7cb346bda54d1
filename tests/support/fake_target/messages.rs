//! FETCH, SEARCH, STORE, MOVE and EXPUNGE in the open mailbox.

use std::io::Write as _;

use super::append::is_flag;
use super::log::Received;
use super::mailboxes::open_one;
use super::serve::{Said, Selected, Session, bad, no};
use super::store::set;
use super::world::{TargetMailbox, TargetMessage, TargetWorld};
use crate::support::fake_imap::headers;

/// The open mailbox: where it stands.
fn open(session: &Session, world: &TargetWorld) -> Result<usize, String> {
    let wire = session.selected.as_ref().map(|s| &s.wire);
    let wire = wire.ok_or_else(|| bad("no mailbox is open"))?;
    world
        .position(wire)
        .ok_or_else(|| no("[NONEXISTENT] it has gone"))
}

/// The same, where it may be changed.
fn open_to_write(session: &Session, world: &TargetWorld) -> Result<usize, String> {
    let at = open(session, world)?;
    match &session.selected {
        Some(Selected {
            read_only: true, ..
        }) => Err(no("[READ-ONLY] nothing changes here")),
        _ => Ok(at),
    }
}

/// The UIDs of the first argument.
fn uids(command: &Received, mailbox: &TargetMailbox) -> Result<Vec<u32>, String> {
    let uids = command.args.first().and_then(|set| mailbox.resolve(set));
    uids.ok_or_else(|| bad("no set of UIDs"))
}

pub(super) fn fetch(
    command: &Received,
    world: &TargetWorld,
    session: &Session,
    out: &mut Vec<u8>,
) -> Said {
    let mailbox = &world.mailboxes[open(session, world)?];
    let wanted = uids(command, mailbox)?;
    let joined = command.args.get(1..).unwrap_or_default().join(" ");
    let list = joined.strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let mut items = items(list.unwrap_or(&joined));
    items.retain(|item| !item.eq_ignore_ascii_case("UID"));
    let mut answer = Vec::new();
    for (n, message) in mailbox.messages.iter().enumerate() {
        if !wanted.contains(&message.uid) {
            continue;
        }
        write!(answer, "* {} FETCH (UID {}", n + 1, message.uid).unwrap();
        for item in &items {
            answer.push(b' ');
            one_item(item, message, world, &mut answer)?;
        }
        answer.extend(b")\r\n");
    }
    out.extend(answer);
    Ok("OK".to_owned())
}

/// Items at blanks, but not within brackets.
fn items(text: &str) -> Vec<String> {
    let (mut items, mut within) = (vec![String::new()], false);
    for c in text.chars() {
        within = c == '[' || within && c != ']';
        match items.last_mut() {
            Some(item) if c != ' ' || within => item.push(c),
            _ => items.push(String::new()),
        }
    }
    items
}

fn one_item(
    item: &str,
    message: &TargetMessage,
    world: &TargetWorld,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let TargetMessage {
        flags,
        date,
        body,
        labels,
        ..
    } = message;
    let mut literal = |section: &str, bytes: &[u8]| {
        write!(out, "BODY[{section}] {{{}}}\r\n", bytes.len()).unwrap();
        out.extend_from_slice(bytes);
    };
    let upper = item.to_ascii_uppercase();
    let section = upper
        .strip_prefix("BODY.PEEK[")
        .and_then(|s| s.strip_suffix(']'));
    match (upper.as_str(), section) {
        (_, Some("")) => literal("", body),
        (_, Some("HEADER")) => literal("HEADER", headers::of(body)),
        (_, Some(section)) => {
            let Some(names) = section.strip_prefix("HEADER.FIELDS ") else {
                return Err(bad(&format!("no section {section}")));
            };
            literal(section, &headers::only(headers::of(body), names));
        }
        ("FLAGS", _) => write!(out, "FLAGS ({})", flags.join(" ")).unwrap(),
        ("INTERNALDATE", _) => write!(out, "INTERNALDATE \"{date}\"").unwrap(),
        ("RFC822.SIZE", _) => write!(out, "RFC822.SIZE {}", body.len()).unwrap(),
        ("X-GM-LABELS", _) => {
            world.needs("X-GM-EXT-1")?;
            let labels: Vec<String> = labels.iter().map(|l| format!("\"{l}\"")).collect();
            write!(out, "X-GM-LABELS ({})", labels.join(" ")).unwrap();
        }
        _ => return Err(bad(&format!("no item {item}"))),
    }
    Ok(())
}

/// `UID SEARCH ALL`, with `RETURN (ALL)` (RFC 4731) where that is announced.
pub(super) fn search(
    command: &Received,
    world: &TargetWorld,
    session: &Session,
    out: &mut Vec<u8>,
) -> Said {
    let mailbox = &world.mailboxes[open(session, world)?];
    let words: Vec<String> = command
        .args
        .iter()
        .map(|a| a.to_ascii_uppercase())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut uids: Vec<u32> = mailbox.messages.iter().map(|m| m.uid).collect();
    uids.sort_unstable();
    match words.as_slice() {
        ["ALL"] => {
            let uids: String = uids.iter().map(|uid| format!(" {uid}")).collect();
            write!(out, "* SEARCH{uids}\r\n").unwrap();
        }
        ["RETURN", "(ALL)", "ALL"] => {
            world.needs("ESEARCH")?;
            let all = match uids.is_empty() {
                true => String::new(),
                false => format!(" ALL {}", set(&uids)),
            };
            write!(out, "* ESEARCH (TAG \"{}\") UID{all}\r\n", command.tag).unwrap();
        }
        _ => return Err(bad("only ALL can be searched for")),
    }
    Ok("OK".to_owned())
}

/// Flags, and labels as Gmail has them: a message appears in the mailbox of its new label.
pub(super) fn store(
    command: &Received,
    world: &mut TargetWorld,
    session: &Session,
    out: &mut Vec<u8>,
) -> Said {
    let at = open_to_write(session, world)?;
    let wanted = uids(command, &world.mailboxes[at])?;
    let [_, item, list] = command.args.as_slice() else {
        return Err(bad("UID STORE needs an item and a list"));
    };
    let item = item.to_ascii_uppercase();
    let (item, silent) = match item.strip_suffix(".SILENT") {
        Some(item) => (item, true),
        None => (item.as_str(), false),
    };
    let given: Vec<String> = list
        .trim_matches(['(', ')'])
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    if item == "+X-GM-LABELS" {
        world.needs("X-GM-EXT-1")?;
        return label(world, at, &wanted, &labels(list));
    }
    if let Some(flag) = given.iter().find(|flag| !is_flag(flag)) {
        return Err(bad(&format!("Invalid flag {flag}")));
    }
    let mailbox = &mut world.mailboxes[at];
    let kept: Vec<String> = given
        .into_iter()
        .filter(|flag| mailbox.keeps(flag))
        .collect();
    for (n, message) in mailbox.messages.iter_mut().enumerate() {
        if !wanted.contains(&message.uid) {
            continue;
        }
        let has = |flags: &[String], flag: &str| flags.iter().any(|f| f.eq_ignore_ascii_case(flag));
        match item {
            "FLAGS" => message.flags.clone_from(&kept),
            "+FLAGS" => {
                let new = kept.iter().filter(|f| !has(&message.flags, f)).cloned();
                let new: Vec<String> = new.collect();
                message.flags.extend(new);
            }
            "-FLAGS" => message.flags.retain(|f| !has(&kept, f)),
            other => return Err(bad(&format!("what is `{other}`?"))),
        }
        if !silent {
            let (n, uid, flags) = (n + 1, message.uid, message.flags.join(" "));
            write!(out, "* {n} FETCH (UID {uid} FLAGS ({flags}))\r\n").unwrap();
        }
    }
    Ok("OK".to_owned())
}

/// The labels of a list, and whether each stood in quotes: then it is the user's own.
fn labels(list: &str) -> Vec<(String, bool)> {
    let list = list.strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let mut rest = list.unwrap_or_default().chars().peekable();
    let mut labels = Vec::new();
    while let Some(first) = rest.next() {
        let mut label = String::new();
        match first {
            ' ' => continue,
            '"' => {
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    label.extend(if c == '\\' { rest.next() } else { Some(c) });
                }
            }
            first => {
                label.push(first);
                while let Some(c) = rest.next_if(|c| *c != ' ') {
                    label.push(c);
                }
            }
        }
        labels.push((label, first == '"'));
    }
    labels
}

/// The mailbox of a label; the user's own are made as they are named.
fn labelled(world: &mut TargetWorld, (label, quoted): &(String, bool)) -> Result<usize, String> {
    let special = match label.as_str() {
        _ if *quoted => None,
        "\\Inbox" => return open_one(Some(&"INBOX".to_owned()), world),
        "\\Sent" => Some("\\Sent"),
        "\\Draft" => Some("\\Drafts"),
        "\\Starred" => Some("\\Flagged"),
        "\\Important" => Some("\\Important"),
        other if other.starts_with('\\') => return Err(no("[CANNOT] no such system label")),
        _ => None,
    };
    if let Some(special) = special {
        let mut mailboxes = world.mailboxes.iter();
        let found = mailboxes.position(|m| m.attributes.contains(special));
        return found.ok_or_else(|| no("[CANNOT] no such mailbox"));
    }
    world.within(label).map_err(|words| no(&words))?;
    Ok(world.position(label).unwrap_or_else(|| {
        world.add_mailbox(label);
        world.mailboxes.len() - 1
    }))
}

fn label(world: &mut TargetWorld, from: usize, wanted: &[u32], labels: &[(String, bool)]) -> Said {
    for label in labels {
        let to = labelled(world, label)?;
        for n in 0..world.mailboxes[from].messages.len() {
            if wanted.contains(&world.mailboxes[from].messages[n].uid) {
                world.label((from, n), to);
            }
        }
    }
    Ok("OK".to_owned())
}

/// RFC 6851.
pub(super) fn move_to(
    command: &Received,
    world: &mut TargetWorld,
    session: &Session,
    out: &mut Vec<u8>,
) -> Said {
    world.needs("MOVE")?;
    let from = open_to_write(session, world)?;
    let wanted = uids(command, &world.mailboxes[from])?;
    let missing = |words: String| words.replace("NONEXISTENT", "TRYCREATE");
    let to = open_one(command.args.get(1), world).map_err(missing)?;
    let (gone, moved) = take_out(world, from, |m| wanted.contains(&m.uid));
    let target = &mut world.mailboxes[to];
    let mut given = Vec::new();
    for mut message in moved {
        message.uid = target.uidnext;
        given.push(message.uid);
        target.uidnext += 1;
        target.messages.push(message);
    }
    if world.announces("UIDPLUS") && !wanted.is_empty() {
        let (uidvalidity, old, new) = (world.mailboxes[to].uidvalidity, set(&wanted), set(&given));
        write!(out, "* OK [COPYUID {uidvalidity} {old} {new}] moved\r\n").unwrap();
    }
    out.extend(gone);
    Ok("OK".to_owned())
}

/// Carried out, and held against the client.
pub(super) fn expunge(
    command: &Received,
    world: &mut TargetWorld,
    session: &Session,
    out: &mut Vec<u8>,
) -> Said {
    let at = open_to_write(session, world)?;
    let wanted = match command.name.as_str() {
        "EXPUNGE" => None,
        _ => {
            world.needs("UIDPLUS")?;
            Some(uids(command, &world.mailboxes[at])?)
        }
    };
    let meant = |m: &TargetMessage| wanted.as_ref().is_none_or(|w| w.contains(&m.uid));
    let (gone, _) = take_out(world, at, |m| m.is_deleted() && meant(m));
    out.extend(gone);
    Ok("OK".to_owned())
}

/// Removes messages: what is told of it, and the messages.
fn take_out(
    world: &mut TargetWorld,
    at: usize,
    which: impl Fn(&TargetMessage) -> bool,
) -> (Vec<u8>, Vec<TargetMessage>) {
    let (mut told, mut taken, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for message in world.mailboxes[at].messages.drain(..) {
        if which(&message) {
            write!(told, "* {} EXPUNGE\r\n", kept.len() + 1).unwrap();
            taken.push(message);
        } else {
            kept.push(message);
        }
    }
    world.mailboxes[at].messages = kept;
    (told, taken)
}

impl TargetMessage {
    pub(super) fn is_deleted(&self) -> bool {
        self.flags
            .iter()
            .any(|f| f.eq_ignore_ascii_case("\\Deleted"))
    }
}
