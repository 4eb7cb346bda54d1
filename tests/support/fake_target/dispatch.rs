//! Commands by their names.

use super::log::Received;
use super::serve::{Said, Session, bad};
use super::wire::Line;
use super::world::TargetWorld;
use super::{list, mailboxes, messages};
use crate::support::fake_imap::command::words;

/// Takes a line for a command, as far as its first literal.
pub(super) fn received(line: &Line) -> Received {
    let mut args = Vec::new();
    // A line that begins with a blank has no tag.
    if line.bytes.first() == Some(&b' ') {
        args.push(Vec::new());
    }
    words(&line.bytes[..line.end], &mut args);
    let text = |arg: Vec<u8>| String::from_utf8_lossy(&arg).into_owned();
    let mut args = args.into_iter().map(text);
    let tag = args.next().unwrap_or_default();
    let mut name = args.next().unwrap_or_default().to_ascii_uppercase();
    if name == "UID" {
        name = format!(
            "UID {}",
            args.next().unwrap_or_default().to_ascii_uppercase()
        );
    }
    Received {
        connection: 0,
        tag,
        name,
        args: args.collect(),
        line: String::from_utf8_lossy(&line.bytes).into_owned(),
        selected: None,
        smuggled: line.smuggled,
    }
}

pub(super) fn is_tag(tag: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !b"+(){%*\"\\".contains(&b);
    !tag.is_empty() && tag.bytes().all(fits)
}

/// Whether a command is understood at this point.
pub(super) fn is_known(name: &str, signed_in: bool) -> bool {
    const ANY: [&str; 6] = [
        "CAPABILITY",
        "ID",
        "NOOP",
        "LOGOUT",
        "LOGIN",
        "AUTHENTICATE",
    ];
    const SIGNED_IN: [&str; 20] = [
        "LIST",
        "LSUB",
        "STATUS",
        "NAMESPACE",
        "GETQUOTAROOT",
        "CREATE",
        "DELETE",
        "RENAME",
        "SUBSCRIBE",
        "SELECT",
        "EXAMINE",
        "UNSELECT",
        "CLOSE",
        "APPEND",
        "UID FETCH",
        "UID SEARCH",
        "UID STORE",
        "UID MOVE",
        "EXPUNGE",
        "UID EXPUNGE",
    ];
    ANY.contains(&name) || signed_in && SIGNED_IN.contains(&name)
}

/// Carries out a command that came whole.
pub(super) fn answer(
    command: &Received,
    world: &mut TargetWorld,
    session: &mut Session,
    out: &mut Vec<u8>,
) -> Said {
    match command.name.as_str() {
        "CAPABILITY" => {
            out.extend(format!("* CAPABILITY {}\r\n", world.capabilities).bytes());
            Ok("OK that is all".to_owned())
        }
        "ID" => {
            world.needs("ID")?;
            out.extend(b"* ID NIL\r\n");
            Ok("OK".to_owned())
        }
        "NOOP" => Ok("OK".to_owned()),
        "LOGOUT" => {
            out.extend(b"* BYE bye\r\n");
            Ok("OK".to_owned())
        }
        "LIST" => list::list(command, world, out),
        "LSUB" => list::lsub(command, world, out),
        "STATUS" => list::status(command, world, out),
        "NAMESPACE" => list::namespace(world, out),
        "GETQUOTAROOT" => list::quota_root(command, world, out),
        "CREATE" => mailboxes::create(command, world),
        "DELETE" => mailboxes::delete(command, world),
        "RENAME" => mailboxes::rename(command, world),
        "SUBSCRIBE" => mailboxes::subscribe(command, world),
        "SELECT" | "EXAMINE" => mailboxes::select(command, world, session, out),
        "UNSELECT" | "CLOSE" => mailboxes::close(command, world, session),
        "UID FETCH" => messages::fetch(command, world, session, out),
        "UID SEARCH" => messages::search(command, world, session, out),
        "UID STORE" => messages::store(command, world, session, out),
        "UID MOVE" => messages::move_to(command, world, session, out),
        "EXPUNGE" | "UID EXPUNGE" => messages::expunge(command, world, session, out),
        other => Err(bad(&format!("no {other} here"))),
    }
}

impl TargetWorld {
    /// BAD unless this is announced.
    pub(super) fn needs(&self, capability: &str) -> Result<(), String> {
        if self.announces(capability) {
            return Ok(());
        }
        Err(bad(&format!("there is no {capability} here")))
    }
}
