//! One connection to the fake server.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::command::{self, Command};
use super::world::{Announce, Refuse, World};
use super::{Reaction, Shared, fetch, lock, mailboxes};

/// No client of a test thinks longer than that.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the first command waits for a second one where none may come. A client that
/// pipelines has sent it long before; the wait ends as soon as it is there.
const SUSPICION: Duration = Duration::from_secs(10);

pub(super) type Output<'a> = BufWriter<Counted<'a>>;

/// Counts what goes out.
pub(super) struct Counted<'a>(&'a TcpStream, &'a AtomicU64);

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What a connection has come to.
#[derive(Default)]
pub(super) struct Session {
    /// The wire name of the open mailbox.
    pub(super) selected: Option<String>,
    /// QRESYNC is enabled.
    pub(super) qresync: bool,
    /// UIDs the client knows of, where departures are told.
    pub(super) known: Vec<u32>,
}

/// The connection is to be closed.
pub(super) fn hang_up() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

pub(super) fn connection(
    stream: &TcpStream,
    shared: &Shared,
    number: usize,
    open: usize,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut input = BufReader::new(stream);
    let mut out = BufWriter::with_capacity(1 << 16, Counted(stream, &shared.bytes));
    let refuse = lock(&shared.world)
        .sessions
        .clone()
        .filter(|(most, _)| open > *most)
        .map(|(_, how)| how);
    match &refuse {
        Some(Refuse::Silently) => return Ok(()),
        Some(Refuse::Greeting(line)) => {
            write!(out, "{line}\r\n")?;
            return out.flush();
        }
        _ => greet(&mut out, &lock(&shared.world))?,
    }
    out.flush()?;
    let mut session = Session::default();
    let mut pipelined = false;
    for n in 1.. {
        let Some(mut command) = command::read(&mut input, stream)? else {
            return Ok(());
        };
        (command.connection, command.number) = (number, n);
        (command.selected, command.pipelined) = (session.selected.clone(), pipelined);
        lock(&shared.commands).push(command.clone());
        let latency = lock(&shared.world).latency;
        if lock(&shared.world).no_pipelining && caught_pipelining(&mut input, shared, &command)? {
            return Ok(());
        }
        let mut reaction = match lock(&shared.hook).as_mut() {
            Some(hook) => hook(&command, &mut lock(&shared.world)),
            None => Reaction::Normal,
        };
        while let Reaction::Once(flag, then) = reaction {
            wait_for(&flag)?;
            reaction = *then;
        }
        let put_in = |bytes: Vec<u8>| replace(&bytes, b"TAG", command.tag.as_bytes());
        match reaction {
            Reaction::Normal => {}
            Reaction::First(bytes) => out.write_all(&put_in(bytes))?,
            Reaction::Say(bytes) => {
                out.write_all(&put_in(bytes))?;
                pipelined = more_has_come(&input, latency)?;
                out.flush()?;
                continue;
            }
            Reaction::HangUp(bytes) => {
                out.write_all(&put_in(bytes))?;
                return out.flush();
            }
            Reaction::Once(..) => unreachable!("resolved above"),
        }
        let ended = answer(
            &command,
            &mut input,
            &mut out,
            shared,
            refuse.as_ref(),
            &mut session,
        );
        pipelined = more_has_come(&input, latency)?;
        out.flush()?;
        ended?;
        if command.name == "LOGOUT" {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the client has sent more before it could have the whole answer, which is `latency`
/// away from it.
fn more_has_come(input: &BufReader<&TcpStream>, latency: Duration) -> io::Result<bool> {
    if !input.buffer().is_empty() {
        return Ok(true);
    }
    let stream = input.get_ref();
    if latency.is_zero() {
        stream.set_nonblocking(true)?;
    } else {
        stream.set_read_timeout(Some(latency))?;
    }
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(peeked.is_ok_and(|n| n > 0))
}

/// Waits until this has come true; an error once nobody could still be patient.
pub fn wait_for(flag: &AtomicBool) -> io::Result<()> {
    let started = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        if started.elapsed() > PATIENCE {
            return Err(hang_up());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn greet(out: &mut Output<'_>, world: &World) -> io::Result<()> {
    match (world.announce, world.greeting.strip_prefix("* OK ")) {
        (Announce::InCodes, Some(words)) => {
            write!(out, "* OK [CAPABILITY {}] {words}\r\n", world.capabilities)
        }
        _ => write!(out, "{}\r\n", world.greeting),
    }
}

/// Whether another command has come already. Only the commands that clients pipeline are
/// waited for, and only until the client was caught once.
fn caught_pipelining(
    input: &mut BufReader<&TcpStream>,
    shared: &Shared,
    command: &Command,
) -> io::Result<bool> {
    if !command.wants_bodies() && command.name != "STATUS" {
        return Ok(false);
    }
    if !input.buffer().is_empty() {
        shared.caught.store(true, Ordering::SeqCst);
        return Ok(true);
    }
    let before = shared.caught.load(Ordering::SeqCst) || command.name == "STATUS";
    let wait = if before {
        Duration::from_millis(2)
    } else {
        SUSPICION
    };
    input.get_ref().set_read_timeout(Some(wait))?;
    let more = input.fill_buf().map(|bytes| !bytes.is_empty());
    input.get_ref().set_read_timeout(Some(PATIENCE))?;
    match more {
        Ok(true) => {
            shared.caught.store(true, Ordering::SeqCst);
            Ok(true)
        }
        Ok(false) => Err(hang_up()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn answer(
    command: &Command,
    input: &mut BufReader<&TcpStream>,
    out: &mut Output<'_>,
    shared: &Shared,
    refuse: Option<&Refuse>,
    session: &mut Session,
) -> io::Result<()> {
    let tag = &command.tag;
    lock(&shared.world).observe();
    match command.name.as_str() {
        "CAPABILITY" => write!(
            out,
            "* CAPABILITY {}\r\n{tag} OK\r\n",
            lock(&shared.world).capabilities
        ),
        "ID" => write!(out, "* ID NIL\r\n{tag} OK\r\n"),
        "NOOP" => write!(out, "{tag} OK\r\n"),
        "LOGOUT" => write!(out, "* BYE bye\r\n{tag} OK\r\n"),
        "LOGIN" | "AUTHENTICATE" => {
            if command.name == "AUTHENTICATE" && command.args.len() == 1 {
                write!(out, "+ \r\n")?;
                out.flush()?;
                input.read_line(&mut String::new())?;
            }
            let world = lock(&shared.world);
            match (refuse, world.sign_in.as_str(), world.announce) {
                (Some(Refuse::SignIn(words)), ..) => write!(out, "{tag} {words}\r\n"),
                (_, "OK", Announce::InCodes) => {
                    write!(out, "{tag} OK [CAPABILITY {}] in\r\n", world.capabilities)
                }
                (_, "OK", Announce::Untagged) => write!(
                    out,
                    "* CAPABILITY {}\r\n{tag} OK Success\r\n",
                    world.capabilities
                ),
                (_, words, _) => write!(out, "{tag} {words}\r\n"),
            }
        }
        "LIST" => mailboxes::list(out, &lock(&shared.world), command),
        "LSUB" => mailboxes::lsub(out, &lock(&shared.world), command),
        "STATUS" => mailboxes::status(out, &lock(&shared.world), command),
        "EXAMINE" => mailboxes::examine(out, &lock(&shared.world), command, session),
        "ENABLE" => mailboxes::enable(out, &lock(&shared.world), command, session),
        "UID SEARCH" => mailboxes::search(out, &lock(&shared.world), command),
        "UID FETCH" => fetch::answer(command, out, shared, session),
        _ => write!(out, "{tag} BAD what is `{}`?\r\n", command.name),
    }
}

pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    out
}

pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
