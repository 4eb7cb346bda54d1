//! APPEND as it is read: heads, literals that wait and literals that don't, several messages in
//! one command (RFC 3502), and all the ways in which that is refused.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::knobs::{Fault, RefuseKeywords};
use super::log::{Append, Appended, Received};
use super::serve::{End, continue_with};
use super::wire::{Line, Literal, Wire};
use super::world::TargetWorld;
use super::{Shared, lock};
use crate::support::fake_imap::command::words;

/// Why a message is refused at its head.
enum Refusal {
    /// The rest of the line is not understood, so nothing of it is skipped.
    Bad(String),
    /// Understood and not wanted: a literal that does not wait is skipped.
    No(String),
}

/// Reads an APPEND to its end and carries it out.
pub(super) fn append(
    wire: &mut Wire<'_>,
    shared: &Arc<Shared>,
    command: &Received,
    line: Line,
) -> io::Result<End> {
    let number = shared.appended.fetch_add(1, Ordering::SeqCst) + 1;
    let mut record = Append {
        connection: command.connection,
        number,
        ..Append::default()
    };
    let ended = read(wire, shared, line, &mut record);
    if let Ok(End::Tagged(words)) = &ended {
        record.answer = Some(words.clone());
    }
    lock(&shared.appends).push(record);
    ended
}

fn read(
    wire: &mut Wire<'_>,
    shared: &Arc<Shared>,
    line: Line,
    record: &mut Append,
) -> io::Result<End> {
    let fault = lock(&shared.world).faults.get(&record.number).cloned();
    let (mut args, mut literal) = (split(&line), line.literal);
    args.drain(..2.min(args.len()));
    if let (true, Some(name)) = (args.is_empty(), literal) {
        // A name that can't be quoted.
        continue_with(wire, shared, name);
        args.push(wire.literal(name.length)?);
        let Some(more) = wire.line()? else {
            return Ok(End::Closed);
        };
        args.extend(split(&more));
        literal = more.literal;
    }
    let mut args: Vec<String> = args.iter().map(|a| text(a)).collect();
    if args.is_empty() {
        return Ok(bad(wire, literal, "APPEND needs a mailbox"));
    }
    record.mailbox = args.remove(0);
    let mut refused: Option<String> = None;
    let mut cut = match &fault {
        Some(Fault::Cut(after)) => Some(*after),
        _ => None,
    };
    loop {
        let Some(announced) = literal else {
            return Ok(bad(wire, None, "APPEND needs a literal"));
        };
        let judged = head(&lock(&shared.world), record, &args, announced);
        let judged = match &fault {
            Some(Fault::Bad(words)) => Err(Refusal::Bad(words.clone())),
            _ => judged,
        };
        match judged {
            Ok(()) => {}
            Err(Refusal::Bad(words)) => return Ok(bad(wire, literal, &words)),
            Err(Refusal::No(words)) => drop(refused.get_or_insert(words)),
        }
        if let (Some(words), true) = (&refused, announced.synchronising) {
            return Ok(End::Tagged(format!("NO {words}")));
        }
        continue_with(wire, shared, announced);
        if let Some(left) = &mut cut {
            if *left <= announced.length {
                wire.literal(*left)?;
                return Ok(End::Closed);
            }
            *left -= announced.length;
        }
        let body = wire.literal(announced.length)?;
        // Its head was put down, refused or not.
        if let Some(message) = record.messages.last_mut() {
            message.body = body;
        }
        let Some(more) = wire.line()? else {
            return Ok(End::Closed);
        };
        if more.bytes.is_empty() {
            break;
        }
        literal = more.literal;
        if more.bytes.first() != Some(&b' ') || !lock(&shared.world).announces("MULTIAPPEND") {
            return Ok(bad(wire, literal, "one message, then the end of the line"));
        }
        args = split(&more).iter().map(|a| text(a)).collect();
    }
    Ok(carry_out(shared, record, refused, fault))
}

/// The words of a line as far as its literal.
fn split(line: &Line) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    words(&line.bytes[..line.end], &mut args);
    args
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// BAD, and a literal that does not wait stays where it is.
fn bad(wire: &mut Wire<'_>, literal: Option<Literal>, words: &str) -> End {
    wire.refuse(literal);
    End::Tagged(format!("BAD {words}"))
}

/// Judges a message by what stands before its literal, and puts it down.
fn head(
    world: &TargetWorld,
    record: &mut Append,
    args: &[String],
    literal: Literal,
) -> Result<(), Refusal> {
    let bad = |words: &str| Err(Refusal::Bad(words.to_owned()));
    let no = |words: &str| Err(Refusal::No(words.to_owned()));
    let mut message = Appended {
        length: literal.length,
        synchronising: literal.synchronising,
        ..Appended::default()
    };
    let mut rest = args;
    if let [list, more @ ..] = rest
        && let Some(list) = list.strip_prefix('(').and_then(|l| l.strip_suffix(')'))
    {
        let flags = list.split(' ').filter(|flag| !flag.is_empty());
        message.flags = flags.map(str::to_owned).collect();
        rest = more;
    }
    if let [date, more @ ..] = rest {
        message.date = Some(date.clone());
        rest = more;
    }
    record.messages.push(message.clone());
    let before = record.messages.iter().rev().skip(1);
    let before: usize = before.map(|m| m.length).sum();
    if !rest.is_empty() {
        return bad(&format!("what is `{}`?", rest[0]));
    }
    if message.date.as_deref().is_some_and(|date| !is_date(date)) {
        return bad("Invalid internal date");
    }
    if let Some(flag) = message.flags.iter().find(|flag| !is_flag(flag)) {
        return bad(&format!("Invalid flag {flag}"));
    }
    if !literal.synchronising && !world.bears_unasked(literal.length) {
        return bad("a literal that did not wait");
    }
    world.within(&record.mailbox).map_err(Refusal::No)?;
    let mailbox = match world.mailbox(&record.mailbox) {
        Some(mailbox) if mailbox.can_be_opened() => mailbox,
        _ => return no("[TRYCREATE] no such mailbox"),
    };
    if mailbox.read_only {
        return no("[NOPERM] this mailbox is read-only");
    }
    let refused_flag = message.flags.iter().find(|flag| !mailbox.keeps(flag));
    match (refused_flag, world.refuse_keywords) {
        (Some(flag), Some(RefuseKeywords::Bad)) => return bad(&format!("no flag {flag} here")),
        (Some(flag), Some(RefuseKeywords::No)) => {
            return no(&format!("[CANNOT] no flag {flag} here"));
        }
        _ => {}
    }
    if literal.length == 0 {
        // QUIRK(Dovecot, 2.3.19): in these words.
        return no("Can't save a zero byte message");
    }
    if world.append_limit.is_some_and(|most| literal.length > most) {
        return no("[TOOBIG] this message is too large");
    }
    let full = world.used() + before + literal.length;
    if world.quota.is_some_and(|most| full > most) {
        return no("[OVERQUOTA] the mailbox is full");
    }
    Ok(())
}

/// One of the five system flags, or an atom.
pub(super) fn is_flag(flag: &str) -> bool {
    const SYSTEM: [&str; 5] = ["\\ANSWERED", "\\FLAGGED", "\\DELETED", "\\SEEN", "\\DRAFT"];
    if flag.starts_with('\\') {
        return SYSTEM.contains(&flag.to_ascii_uppercase().as_str());
    }
    !flag.is_empty()
        && flag
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

/// `dd-Mon-yyyy hh:mm:ss +zzzz`, of a day that has two places.
fn is_date(date: &str) -> bool {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    const PATTERN: &[u8] = b"99-Aaa-9999 99:99:99 +9999";
    let bytes = date.as_bytes();
    let fits = |(n, (byte, pattern)): (usize, (&u8, &u8))| match pattern {
        b'9' => byte.is_ascii_digit() || n == 0 && *byte == b' ',
        b'+' => matches!(byte, b'+' | b'-'),
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        exactly => byte == exactly,
    };
    bytes.len() == PATTERN.len()
        && bytes.iter().zip(PATTERN).enumerate().all(fits)
        && MONTHS.split(' ').any(|month| month == &date[3..6])
        && (1..=31).contains(&date[..2].trim().parse().unwrap_or(0))
}

/// The command was read whole: refuses it, stores it, or does what was asked for instead.
fn carry_out(
    shared: &Arc<Shared>,
    record: &mut Append,
    refused: Option<String>,
    fault: Option<Fault>,
) -> End {
    if let Some(words) = refused {
        return End::Tagged(format!("NO {words}"));
    }
    let mut world = lock(&shared.world);
    let wrong = |m: &Appended| world.wrong_with(&m.body);
    let culprit = record.messages.iter().position(|m| wrong(m).is_some());
    if let Some(at) = culprit {
        let words = wrong(&record.messages[at]).unwrap_or_default();
        if world.multiappend_in_part {
            let mut before = record.clone();
            before.messages.truncate(at);
            world.take(&before);
        }
        return End::Tagged(words);
    }
    match fault {
        Some(Fault::LoseBefore) => return End::Closed,
        Some(Fault::No(words)) => return End::Tagged(format!("NO {words}")),
        Some(Fault::ByeBefore(words)) => return End::Bye(words),
        Some(Fault::StallForever) => return End::Stall,
        Some(Fault::StoreLate(later)) => {
            let (shared, record) = (Arc::clone(shared), record.clone());
            std::thread::spawn(move || {
                std::thread::sleep(later);
                lock(&shared.world).take(&record);
            });
            return End::Closed;
        }
        _ => {}
    }
    let Some((uids, code)) = world.take(record) else {
        return End::Tagged("NO [TRYCREATE] the mailbox has just gone".to_owned());
    };
    record.uids = uids;
    match fault {
        Some(Fault::LoseReply) => End::Closed,
        Some(Fault::Bye(words)) => End::Bye(words),
        _ => End::Tagged(format!("OK {code}Append completed")),
    }
}

impl TargetWorld {
    /// The tagged answer to a command with this body, where it is refused.
    fn wrong_with(&self, body: &[u8]) -> Option<String> {
        let length = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len();
        let longest = body.split(|b| *b == b'\n').map(length).max().unwrap_or(0);
        if self.max_line.is_some_and(|most| longest > most) {
            return Some(format!("BAD a line of {longest} bytes"));
        }
        self.refuse_body.as_ref().and_then(|judge| judge(body))
    }
}
