//! One connection to the fake server.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::session::{Answer, Session};
use super::wire::{Input, PATIENCE};
use super::{Reaction, Shared, lock};

/// How long the commands of a pipelining client are waited for.
const PIPELINED: Duration = Duration::from_secs(10);

pub(super) fn connection(stream: &TcpStream, shared: &Shared, number: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut input = Input::new(stream);
    let mut session = Session::new(shared);
    let served = serve(stream, &mut input, &mut session, number);
    // A client that has gone already makes this fail; the maildrop is free all the same.
    if served.is_ok() && stream.shutdown(std::net::Shutdown::Write).is_ok() {
        input.drain();
    }
    if session.signed_in {
        shared.locked.store(false, Ordering::SeqCst);
    }
    served
}

fn serve(
    mut out: &TcpStream,
    input: &mut Input<'_>,
    session: &mut Session<'_>,
    connection: usize,
) -> io::Result<()> {
    let shared = session.shared;
    let greeting = lock(&shared.world).greeting.clone();
    out.write_all(&greeting)?;
    if greeting.starts_with(b"-ERR") {
        return Ok(());
    }
    for number in 1.. {
        let Some(line) = input.line()? else {
            return Ok(());
        };
        let command = session.read(&line, connection, number);
        lock(&shared.commands).push(command.clone());
        let (pipelines, watches, awaits) = {
            let world = lock(&shared.world);
            (world.pipelines(), world.watches, world.awaits)
        };
        if !pipelines || watches {
            let wait = if number < 20 { 20 } else { 1 };
            let early = input.waiting(1, Duration::from_millis(wait))?;
            shared.most_waiting.fetch_max(early, Ordering::SeqCst);
            if early > 0 && !pipelines {
                session.rude(&format!("commands behind `{}` came early", command.name));
            }
        }
        let reaction = match lock(&shared.hook).as_mut() {
            Some(hook) => hook(&command, &mut lock(&shared.world)),
            None => Reaction::Normal,
        };
        let answer = match reaction {
            Reaction::Normal => session.answer(&command, input, out)?,
            Reaction::Say(bytes) => Answer::raw(bytes, false),
            Reaction::HangUp(bytes) => Answer::raw(bytes, true),
            Reaction::Swallow => {
                session.answer(&command, input, out)?;
                return Ok(());
            }
            Reaction::Stall => {
                while input.line()?.is_some() {}
                return Ok(());
            }
        };
        let first = command.name == "RETR" && !std::mem::replace(&mut session.retrieved, true);
        let half = if first && awaits > 0 {
            answer.bytes.len() / 2
        } else {
            0
        };
        out.write_all(&answer.bytes[..half])?;
        if half > 0 {
            let waiting = input.waiting(awaits, PIPELINED)?;
            shared.most_waiting.fetch_max(waiting, Ordering::SeqCst);
        }
        out.write_all(&answer.bytes[half..])?;
        lock(&shared.sent).extend(answer.whole);
        if answer.close {
            return Ok(());
        }
    }
    Ok(())
}
