//! One connection to the target: reads the stream as commands, whatever it was meant to be.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::append::append;
use super::dispatch::{answer, is_known, is_tag, received};
use super::log::Received;
use super::sign_in::sign_in;
use super::wire::{Line, Literal, Wire};
use super::world::TargetWorld;
use super::{Shared, lock};
use crate::support::fake_imap::command::words;
use crate::support::fake_imap::serve::{replace, wait_for};
use crate::support::fake_imap::{Announce, Reaction, Refuse};

/// What a connection has come to.
#[derive(Default)]
pub(super) struct Session {
    pub(super) signed_in: bool,
    pub(super) selected: Option<Selected>,
}

/// The open mailbox.
pub(super) struct Selected {
    /// Its wire name.
    pub(super) wire: String,
    pub(super) uidvalidity: u32,
    pub(super) read_only: bool,
    /// What EXISTS said last.
    pub(super) exists: usize,
}

/// How a command ended.
pub(super) enum End {
    /// With this behind its tag.
    Tagged(String),
    /// With `* BYE` and this, and no more.
    Bye(String),
    /// Closed without a word.
    Closed,
    /// In silence, for ever.
    Stall,
}

/// The tagged answer without its tag: OK, or NO and BAD.
pub(super) type Said = Result<String, String>;

pub(super) fn no(words: &str) -> String {
    format!("NO {words}")
}

pub(super) fn bad(words: &str) -> String {
    format!("BAD {words}")
}

pub(super) fn connection(
    stream: &TcpStream,
    shared: &Arc<Shared>,
    number: usize,
    open: usize,
) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    let ended = session(&mut wire, shared, number, open);
    // It counts no more towards the sessions, however long the client takes to leave.
    shared.open.fetch_sub(1, Ordering::SeqCst);
    if let Ok(End::Bye(words)) = &ended {
        write!(wire.out, "* BYE {words}\r\n")?;
        send(&mut wire, shared);
    }
    if matches!(ended, Ok(End::Stall)) {
        wire.stall(&shared.stopped);
    }
    wire.finish();
    wire.linger(&shared.stopped);
    ended.map(drop)
}

fn send(wire: &mut Wire<'_>, shared: &Shared) {
    wire.send(lock(&shared.world).latency);
}

/// Bids the client go on with a literal that waits.
pub(super) fn continue_with(wire: &mut Wire<'_>, shared: &Shared, literal: Literal) {
    if literal.synchronising {
        wire.out.extend_from_slice(b"+ go on\r\n");
        send(wire, shared);
    }
}

fn session(
    wire: &mut Wire<'_>,
    shared: &Arc<Shared>,
    number: usize,
    open: usize,
) -> io::Result<End> {
    let refuse = lock(&shared.world).sessions.clone();
    let refuse = refuse.filter(|(most, _)| open > *most).map(|(_, how)| how);
    match &refuse {
        Some(Refuse::Silently) => return Ok(End::Closed),
        Some(Refuse::Greeting(line)) => {
            write!(wire.out, "{line}\r\n")?;
            send(wire, shared);
            return Ok(End::Closed);
        }
        _ => greet(wire, shared)?,
    }
    let (mut session, mut bads) = (Session::default(), 0);
    while let Some(line) = wire.line()? {
        let mut command = received(&line);
        command.connection = number;
        command.selected = session.selected.as_ref().map(|s| s.wire.clone());
        let ended = one(wire, shared, &mut session, &mut command, line, &refuse)?;
        let End::Tagged(words) = ended else {
            return Ok(ended);
        };
        let world = lock(&shared.world);
        bads = if words.starts_with("BAD") {
            bads + 1
        } else {
            0
        };
        if !words.is_empty() {
            session.tell_news(&world, &mut wire.out)?;
            let tag = if is_tag(&command.tag) {
                &command.tag
            } else {
                "*"
            };
            write!(wire.out, "{tag} {words}\r\n")?;
        }
        wire.send(world.latency);
        if bads >= world.bads_borne {
            return Ok(End::Bye("Too many invalid IMAP commands.".to_owned()));
        }
        if command.name == "LOGOUT" {
            return Ok(End::Closed);
        }
    }
    Ok(End::Closed)
}

fn greet(wire: &mut Wire<'_>, shared: &Shared) -> io::Result<()> {
    let world = lock(&shared.world);
    match (world.announce, world.greeting.strip_prefix("* OK ")) {
        (Announce::InCodes, Some(words)) => {
            write!(
                wire.out,
                "* OK [CAPABILITY {}] {words}\r\n",
                world.capabilities
            )?;
        }
        _ => write!(wire.out, "{}\r\n", world.greeting)?,
    }
    wire.send(world.latency);
    Ok(())
}

/// Carries one line out; no words where the answer was given already.
fn one(
    wire: &mut Wire<'_>,
    shared: &Arc<Shared>,
    session: &mut Session,
    command: &mut Received,
    line: Line,
    refuse: &Option<Refuse>,
) -> io::Result<End> {
    let literal = line.literal;
    let renumbered = session.is_stale(&lock(&shared.world));
    let understood = is_tag(&command.tag) && is_known(&command.name, session.signed_in);
    let bears =
        literal.is_none_or(|l| l.synchronising || lock(&shared.world).bears_unasked(l.length));
    if understood && command.name != "APPEND" && bears && !renumbered {
        let mut literal = literal;
        while let Some(announced) = literal {
            continue_with(wire, shared, announced);
            let bytes = wire.literal(announced.length)?;
            command
                .args
                .push(String::from_utf8_lossy(&bytes).into_owned());
            let Some(more) = wire.line()? else {
                return Ok(End::Closed);
            };
            let mut args = Vec::new();
            words(&more.bytes[..more.end], &mut args);
            let args = args.iter().map(|a| String::from_utf8_lossy(a).into_owned());
            command.args.extend(args);
            command.line.push_str(&String::from_utf8_lossy(&more.bytes));
            literal = more.literal;
        }
    }
    shared.note(command);
    if renumbered {
        return Ok(End::Bye("the mailbox has been renumbered".to_owned()));
    }
    let mut reaction = match lock(&shared.hook).as_mut() {
        Some(hook) => hook(command, &mut lock(&shared.world)),
        None => Reaction::Normal,
    };
    while let Reaction::Once(flag, then) = reaction {
        wait_for(&flag)?;
        reaction = *then;
    }
    let put_in = |bytes: Vec<u8>| replace(&bytes, b"TAG", command.tag.as_bytes());
    let waits = command.name == "APPEND" || !understood || !bears;
    match reaction {
        Reaction::Normal | Reaction::Once(..) => {}
        Reaction::First(bytes) => wire.out.extend(put_in(bytes)),
        Reaction::Say(bytes) => {
            wire.out.extend(put_in(bytes));
            wire.refuse(literal.filter(|_| waits));
            return Ok(End::Tagged(String::new()));
        }
        Reaction::HangUp(bytes) => {
            wire.out.extend(put_in(bytes));
            send(wire, shared);
            return Ok(End::Closed);
        }
    }
    if !understood || !bears {
        wire.refuse(literal);
        let words = match (is_tag(&command.tag), understood) {
            (false, _) => "Error in IMAP tag: Invalid tag".to_owned(),
            (_, false) => format!("Error in IMAP command {}: Unknown command", command.name),
            _ => "a literal that did not wait".to_owned(),
        };
        return Ok(End::Tagged(bad(&words)));
    }
    match command.name.as_str() {
        "APPEND" => append(wire, shared, command, line),
        "LOGIN" | "AUTHENTICATE" => sign_in(wire, shared, session, command, refuse),
        _ => {
            let said = answer(command, &mut lock(&shared.world), session, &mut wire.out);
            Ok(End::Tagged(said.unwrap_or_else(|refused| refused)))
        }
    }
}

impl Session {
    /// Says how many messages the open mailbox has, where that is news. What has left is not
    /// told: no client of ours counts on sequence numbers.
    fn tell_news(&mut self, world: &TargetWorld, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let Some(mailbox) = world.mailbox(&selected.wire) else {
            return Ok(());
        };
        if mailbox.messages.len() > selected.exists {
            write!(out, "* {} EXISTS\r\n", mailbox.messages.len())?;
        }
        selected.exists = mailbox.messages.len();
        Ok(())
    }

    /// Whether the open mailbox has been numbered anew.
    fn is_stale(&self, world: &TargetWorld) -> bool {
        let stale = |selected: &Selected| {
            let now = world.mailbox(&selected.wire).map(|m| m.uidvalidity);
            now != Some(selected.uidvalidity)
        };
        self.selected.as_ref().is_some_and(stale)
    }
}
