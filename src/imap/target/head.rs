//! What stands in front of a message in APPEND. Pure.
//!
//! Behind a non-synchronising literal the server gets the message whatever it thinks of the
//! head; if it does not understand the head, it reads the message as commands (a line of a mail
//! has deleted a mailbox on Dovecot 2.3.19). So a head holds nothing but atoms of a known set,
//! a date of fixed width and a quoted name, or it is an error before a byte is sent.

use super::append::{Append, AppendBody, Appending, Literals};
use crate::imap::command::{Command, MAX_LINE};
use crate::imap::date;
use crate::imap::error::{APPEND, ImapError};
use crate::model::Flags;

/// A part of an APPEND, in order.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Text of ours; a tag goes in front of the first.
    Text(Vec<u8>),
    /// The server must say `+`.
    Wait,
    /// A message as it is.
    Body(&'a AppendBody),
}

/// LITERAL- goes no further (RFC 7888 §5).
const MINUS_MAX: u32 = 4096;

/// The length of a tag with its space, as far as tags can grow.
const TAG_ROOM: usize = 12;

/// Cuts an APPEND into steps, or says why it cannot be sent.
pub(super) fn steps<'a>(
    append: &Append<'a>,
    literals: Literals,
) -> Result<Vec<Step<'a>>, ImapError> {
    if append.messages.is_empty() {
        return Err(unsendable("an APPEND without a message"));
    }
    let command = Command::new(APPEND, "").string(append.mailbox);
    let all_wait = append.synchronising || command.needs_consent();
    let mut steps = Vec::new();
    let mut text = Vec::new();
    for (n, piece) in command.pieces.into_iter().enumerate() {
        if n > 0 {
            push_text(&mut steps, std::mem::take(&mut text))?;
            steps.push(Step::Wait);
        }
        text.extend(piece);
    }
    for message in append.messages {
        let len = length(&message.body)?;
        let waits = all_wait
            || match literals {
                Literals::Plus => false,
                Literals::Minus => len > MINUS_MAX,
                Literals::Synchronising => true,
            };
        let plus = if waits { "" } else { "+" };
        text.extend_from_slice(options(message)?.as_bytes());
        text.extend_from_slice(format!(" {{{len}{plus}}}\r\n").as_bytes());
        push_text(&mut steps, std::mem::take(&mut text))?;
        if waits {
            steps.push(Step::Wait);
        }
        steps.push(Step::Body(&message.body));
    }
    push_text(&mut steps, b"\r\n".to_vec())?;
    Ok(steps)
}

fn push_text(steps: &mut Vec<Step<'_>>, text: Vec<u8>) -> Result<(), ImapError> {
    let length = text.len() + TAG_ROOM;
    if length > MAX_LINE {
        return Err(ImapError::CommandTooLong { length });
    }
    steps.push(Step::Text(text));
    Ok(())
}

/// An empty literal calls MULTIAPPEND off (RFC 3502 §6.3.11), and lengths have 32 bits.
fn length(body: &AppendBody) -> Result<u32, ImapError> {
    match u32::try_from(body.len()) {
        Ok(0) => Err(unsendable("an empty message")),
        Ok(len) => Ok(len),
        Err(_) => Err(unsendable("a message of 4 GiB or more")),
    }
}

/// Flags and date, each with a space in front, where there are any.
fn options(message: &Appending) -> Result<String, ImapError> {
    let mut text = String::new();
    if !message.flags.is_empty() {
        text.push(' ');
        text.push_str(&flag_list(&message.flags)?);
    }
    if let Some(date) = message.date {
        let date = date::render(date).ok_or_else(|| unsendable(&format!("the date {date:?}")))?;
        text.push_str(" \"");
        text.push_str(&date);
        text.push('"');
    }
    Ok(text)
}

/// `(\Seen work)`, made of nothing a server could stumble over.
pub(super) fn flag_list(flags: &Flags) -> Result<String, ImapError> {
    for flag in flags.iter() {
        if !is_flag(flag) {
            return Err(unsendable(&format!("the flag `{flag}`")));
        }
    }
    Ok(format!("({})", flags.iter().collect::<Vec<_>>().join(" ")))
}

/// A system flag of RFC 3501 but `\Recent`, which is the server's alone, or a keyword.
fn is_flag(flag: &str) -> bool {
    const SYSTEM: [&str; 5] = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"];
    SYSTEM.contains(&flag) || is_atom(flag)
}

/// RFC 3501 `atom`.
pub(super) fn is_atom(text: &str) -> bool {
    let is_special = |b| matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']');
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !is_special(b))
}

pub(super) fn unsendable(what: &str) -> ImapError {
    let what = what.to_owned();
    ImapError::Unsendable { what }
}
