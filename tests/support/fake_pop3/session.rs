//! What one session sees of the maildrop, and what it answers.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Input, stuffed, top};
use super::world::{Delivery, Message};
use super::{Command, Shared, lock};
use crate::support::dovecot::PASSWORD;

/// How long a session waits for the one before it to be over.
const LOCKED: Duration = Duration::from_secs(5);

/// What is said to one command.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// The connection is closed behind it.
    pub(super) close: bool,
    /// The message that went out whole.
    pub(super) whole: Option<String>,
}

impl Answer {
    fn line(text: &str) -> Self {
        Self::raw(format!("{text}\r\n").into_bytes(), false)
    }

    pub(super) const fn raw(bytes: Vec<u8>, close: bool) -> Self {
        Self {
            bytes,
            close,
            whole: None,
        }
    }
}

pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    user: String,
    pub(super) signed_in: bool,
    /// The made-up messages, then these.
    bulk: u32,
    list: Vec<Message>,
    listed: bool,
    /// Indexes of `list`.
    deleted: Vec<usize>,
    popped: Vec<u64>,
    pub(super) retrieved: bool,
}

impl<'a> Session<'a> {
    pub(super) const fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            user: String::new(),
            signed_in: false,
            bulk: 0,
            list: Vec::new(),
            listed: false,
            deleted: Vec::new(),
            popped: Vec::new(),
            retrieved: false,
        }
    }
}

impl Session<'_> {
    pub(super) fn rude(&self, what: &str) {
        lock(&self.shared.rude).push(what.to_owned());
    }

    pub(super) fn read(&self, line: &[u8], connection: usize, number: usize) -> Command {
        let text = String::from_utf8_lossy(line);
        if !line.ends_with(b"\r\n") || line.len() > 255 {
            self.rude(&format!("a command of {} bytes: {text:?}", line.len()));
        }
        let text = text.trim_end_matches(['\r', '\n']);
        let mut words = text.split(' ').map(str::to_owned);
        let name = words.next().unwrap_or_default().to_ascii_uppercase();
        let args: Vec<String> = words.collect();
        let message = args.first().and_then(|n| self.message(n));
        Command {
            connection,
            number,
            uidl: message.map(|(_, m)| m.name()),
            name,
            args,
            line: text.to_owned(),
        }
    }

    /// A message by its number, with its index in `list` if it is there.
    fn message(&self, number: &str) -> Option<(Option<usize>, Message)> {
        let number: u32 = number.parse().ok().filter(|n| *n > 0)?;
        if number <= self.bulk {
            return Some((None, Message::made_up(number)));
        }
        let at = (number - self.bulk - 1) as usize;
        let message = self.list.get(at)?;
        Some((Some(at), message.clone()))
    }

    pub(super) fn answer(
        &mut self,
        command: &Command,
        input: &mut Input<'_>,
        mut out: &TcpStream,
    ) -> io::Result<Answer> {
        let arg = command.args.first().map_or("", String::as_str);
        Ok(match (command.name.as_str(), self.signed_in) {
            ("CAPA", _) => self.capa(),
            ("QUIT", false) => Answer::raw(b"+OK bye\r\n".to_vec(), true),
            ("USER", false) => {
                self.user = arg.to_owned();
                Answer::line("+OK whose password?")
            }
            ("PASS", false) => {
                let password = command.line.get(5..).unwrap_or_default();
                self.sign_in(self.user == "alice" && password == PASSWORD)
            }
            ("AUTH", false) if arg.eq_ignore_ascii_case("PLAIN") => {
                let response = match command.args.get(1) {
                    Some(initial) => initial.clone(),
                    None => {
                        out.write_all(b"+ \r\n")?;
                        let line = input.line()?.unwrap_or_default();
                        String::from_utf8_lossy(&line).trim_end().to_owned()
                    }
                };
                self.sign_in(response == STANDARD.encode(format!("\0alice\0{PASSWORD}")))
            }
            ("LIST" | "UIDL", true) => self.listing(command),
            ("TOP" | "RETR", true) => self.transfer(command),
            ("DELE", true) => self.dele(command),
            ("STAT", true) => Answer::line(&format!("+OK {} 4711", self.exists())),
            ("NOOP", true) => Answer::line("+OK"),
            ("QUIT", true) => self.quit(),
            (name, _) => {
                if !matches!(name, "STLS" | "AUTH") {
                    self.rude(&format!("`{}` is no command here", command.line));
                }
                Answer::line("-ERR what?")
            }
        })
    }

    fn capa(&self) -> Answer {
        match &lock(&self.shared.world).capabilities {
            None => Answer::line("-ERR unknown command"),
            Some(lines) => {
                let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                Answer::line(&format!("+OK what there is\r\n{lines}."))
            }
        }
    }

    fn sign_in(&mut self, right: bool) -> Answer {
        if !right {
            return Answer::line("-ERR [AUTH] wrong");
        }
        let words = lock(&self.shared.world).sign_in.clone();
        if !words.starts_with("+OK") {
            return Answer::line(&words);
        }
        let locked = &self.shared.locked;
        let since = Instant::now();
        while locked.swap(true, Ordering::SeqCst) {
            // What a client has closed is noticed a moment later.
            if since.elapsed() > LOCKED {
                self.rude("a second session beside the first");
                return Answer::line("-ERR [IN-USE] the maildrop is locked");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.signed_in = true;
        let session = self.shared.sessions.fetch_add(1, Ordering::SeqCst) + 1;
        let world = lock(&self.shared.world);
        let unseen = world.messages.iter();
        let unseen = unseen.filter(|m| world.window.is_none() || !world.popped.contains(&m.id));
        let most = world.window.unwrap_or(usize::MAX);
        self.list = unseen.take(most).cloned().collect();
        self.bulk = world.bulk;
        if world.renumbers && !self.list.is_empty() {
            let by = session * 3 % self.list.len();
            self.list.rotate_left(by);
        }
        Answer::line(&words)
    }

    fn exists(&self) -> usize {
        self.bulk as usize + self.list.len()
    }

    fn listing(&mut self, command: &Command) -> Answer {
        let sizes = command.name == "LIST";
        if !sizes && !lock(&self.shared.world).uidl {
            return Answer::line("-ERR unknown command");
        }
        let about = |number: usize, message: &Message| {
            let mut line = format!("{number} ").into_bytes();
            if sizes {
                line.extend_from_slice(message.listed_size().as_bytes());
            } else {
                line.extend_from_slice(&message.uidl);
            }
            line.extend_from_slice(b"\r\n");
            line
        };
        if let Some(number) = command.args.first() {
            return match self.message(number) {
                Some((_, message)) => {
                    let line = about(number.parse().unwrap_or_default(), &message);
                    Answer::raw([b"+OK ", line.as_slice()].concat(), false)
                }
                None => Answer::line("-ERR no such message"),
            };
        }
        self.listed = true;
        let mut bytes = format!("+OK {} messages\r\n", self.exists()).into_bytes();
        for n in 1..=self.bulk {
            bytes.extend(about(n as usize, &Message::made_up(n)));
        }
        for (at, message) in self.list.iter().enumerate() {
            bytes.extend(about(self.bulk as usize + at + 1, message));
        }
        bytes.extend_from_slice(b".\r\n");
        Answer::raw(bytes, false)
    }

    fn transfer(&mut self, command: &Command) -> Answer {
        let retr = command.name == "RETR";
        if !retr && !lock(&self.shared.world).top {
            return Answer::line("-ERR unknown command");
        }
        let found = command.args.first().and_then(|n| self.message(n));
        if !self.listed || found.is_none() {
            self.rude(&format!("`{}` out of the blue", command.line));
        }
        if retr && !self.deleted.is_empty() {
            self.rude("RETR in a session that deletes");
        }
        let Some((at, message)) = found else {
            return Answer::line("-ERR no such message");
        };
        if at.is_some_and(|at| self.deleted.contains(&at)) {
            return Answer::line("-ERR it is marked as deleted");
        }
        let lines = command.args.get(1).and_then(|n| n.parse().ok());
        let part = |whole: &[u8]| match (retr, lines) {
            (true, _) => Some(stuffed(whole)),
            (false, Some(lines)) => {
                let mut bytes = top(whole, lines).to_vec();
                if !bytes.is_empty() && !bytes.ends_with(b"\r\n") {
                    bytes.extend_from_slice(b"\r\n");
                }
                Some(stuffed(&bytes))
            }
            (false, None) => None,
        };
        let ok = |bytes: &[u8]| [b"+OK here it is\r\n", bytes].concat();
        let received = message.received();
        let Some(bytes) = part(&received) else {
            return Answer::line("-ERR how many lines?");
        };
        let delivery = if retr { &message.retr } else { &message.top };
        match delivery {
            Delivery::Whole | Delivery::Instead(_) => {
                let instead = match delivery {
                    Delivery::Instead(body) => part(body),
                    _ => None,
                };
                if retr {
                    self.popped.push(message.id);
                }
                Answer {
                    bytes: ok(&instead.unwrap_or(bytes)),
                    close: false,
                    whole: retr.then(|| message.name()),
                }
            }
            Delivery::Refused(words) => {
                Answer::raw([b"-ERR ", words.as_slice(), b"\r\n"].concat(), false)
            }
            Delivery::Cut(n) => Answer::raw(ok(&bytes[..bytes.len().min(*n)]), true),
            Delivery::Unterminated => Answer::raw(ok(&bytes[..bytes.len() - 3]), true),
            Delivery::Raw(raw) => Answer::raw(raw.clone(), false),
        }
    }

    fn dele(&mut self, command: &Command) -> Answer {
        let found = command.args.first().and_then(|n| self.message(n));
        if !lock(&self.shared.world).may_delete {
            self.rude(&format!("`{}` was not asked for", command.line));
        }
        if self.retrieved {
            self.rude("DELE in a session that fetched");
        }
        match found {
            Some((Some(at), _)) if self.listed && !self.deleted.contains(&at) => {
                self.deleted.push(at);
                Answer::line("+OK marked")
            }
            _ => {
                self.rude(&format!("`{}` out of the blue", command.line));
                Answer::line("-ERR no such message")
            }
        }
    }

    fn quit(&mut self) -> Answer {
        let mut world = lock(&self.shared.world);
        for at in self.deleted.drain(..) {
            let message = &self.list[at];
            world.messages.retain(|m| m.id != message.id);
            lock(&self.shared.gone).push(message.name());
        }
        world.popped.extend(self.popped.drain(..));
        Answer::raw(b"+OK bye\r\n".to_vec(), true)
    }
}
