//! One connection to the fake server.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Delivered, Lost, Shared, Stage, World, lock};

/// No client of a test thinks longer than that.
const PATIENCE: Duration = Duration::from_secs(60);

struct Connection<'a> {
    input: BufReader<&'a TcpStream>,
    out: &'a TcpStream,
    shared: &'a Shared,
    number: usize,
    /// EHLO or LHLO was said.
    greeted: bool,
    signed_in: bool,
    /// Messages taken here.
    taken: usize,
    from: Option<(String, Vec<String>)>,
    to: Option<String>,
}

/// What follows an answer.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    HangUp,
}

const BYE: &str = "421 4.3.2 too much for now";

pub(super) fn connection(stream: &TcpStream, shared: &Shared, number: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut connection = Connection {
        input: BufReader::new(stream),
        out: stream,
        shared,
        number,
        greeted: false,
        signed_in: false,
        taken: 0,
        from: None,
        to: None,
    };
    connection.serve()?;
    stream.shutdown(Shutdown::Write)?;
    // A socket closed with unread bytes in it is reset, and a reset could take away what was
    // said last.
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    io::copy(&mut connection.input, &mut io::sink()).map(drop)
}

impl Connection<'_> {
    fn serve(&mut self) -> io::Result<()> {
        let mut world = self.world();
        let refusal = world
            .refusal(Stage::Greeting)
            .or_else(|| self.closes(&world));
        let name = if world.lmtp { "LMTP" } else { "ESMTP" };
        drop(world);
        if let Some(refusal) = refusal {
            return self.say(&refusal);
        }
        self.say(&format!("220 fake.test {name}"))?;
        while let Some(line) = self.line()? {
            if !self.input.buffer().is_empty() {
                self.rude(&format!(
                    "something came behind `{line}` ahead of its answer"
                ));
            }
            if self.answer(&line)? == Then::HangUp {
                break;
            }
        }
        Ok(())
    }

    /// The next line without its end, or the end of the client.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(Some(String::from_utf8_lossy(line).into_owned())),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn answer(&mut self, line: &str) -> io::Result<Then> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        if verb != "AUTH" {
            lock(&self.shared.said).push(line.to_owned());
        }
        match verb.as_str() {
            "EHLO" | "LHLO" | "HELO" => self.hello(&verb)?,
            "AUTH" => self.auth(rest)?,
            "MAIL" => return self.mail(rest),
            "RCPT" => self.rcpt(rest)?,
            "DATA" => return self.data(),
            "RSET" => {
                (self.from, self.to) = (None, None);
                self.say("250 2.0.0 forgotten")?;
            }
            "NOOP" => self.say("250 2.0.0 ok")?,
            "QUIT" => {
                self.say("221 2.0.0 bye")?;
                return Ok(Then::HangUp);
            }
            _ => self.say("500 5.5.1 unknown")?,
        }
        Ok(Then::GoOn)
    }

    fn hello(&mut self, verb: &str) -> io::Result<()> {
        let world = self.world();
        if (verb == "LHLO") != world.lmtp {
            drop(world);
            return self.say("500 5.5.1 not here");
        }
        let extensions = world.extensions.clone();
        drop(world);
        self.greeted = true;
        if verb == "HELO" {
            return self.say("250 fake.test");
        }
        let mut lines = vec!["fake.test".to_owned()];
        lines.extend(extensions);
        let last = lines.len() - 1;
        let mark = |number| if number == last { ' ' } else { '-' };
        let lines = lines.iter().enumerate();
        let lines: Vec<String> = lines.map(|(n, l)| format!("250{}{l}", mark(n))).collect();
        self.say(&lines.join("\r\n"))
    }

    fn auth(&mut self, rest: &str) -> io::Result<()> {
        self.shared.sign_ins.fetch_add(1, Ordering::SeqCst);
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let seen = if mechanism == "PLAIN" {
            let response = match initial {
                "" => self.ask("")?,
                initial => decoded(initial),
            };
            response.strip_prefix('\0').map(str::to_owned)
        } else {
            let user = self.ask("VXNlcm5hbWU6")?;
            Some(format!("{user}\0{}", self.ask("UGFzc3dvcmQ6")?))
        };
        let mut world = self.world();
        let refusal = world.refusal(Stage::Auth);
        let expected = world
            .user
            .as_ref()
            .map(|(user, password)| format!("{user}\0{password}"));
        drop(world);
        match refusal {
            Some(refusal) => self.say(&refusal),
            None if expected.is_some() && expected == seen => {
                self.signed_in = true;
                self.say("235 2.7.0 welcome")
            }
            None => self.say("535 5.7.8 wrong"),
        }
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.say(&format!("334 {prompt}"))?;
        Ok(decoded(&self.line()?.unwrap_or_default()))
    }

    fn mail(&mut self, rest: &str) -> io::Result<Then> {
        let mut world = self.world();
        let full = world.per_connection.is_some_and(|most| self.taken >= most);
        let bye = full.then(|| BYE.to_owned()).or_else(|| self.closes(&world));
        let refusal = world.refusal(Stage::MailFrom);
        let signed_in = self.signed_in || world.user.is_none();
        drop(world);
        if let Some(bye) = bye {
            self.say(&bye)?;
            return Ok(Then::HangUp);
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            self.rude(&format!("MAIL {rest}"));
            return self.say("501 5.5.4 what?").map(|()| Then::GoOn);
        };
        if let Some(refusal) = refusal {
            self.say(&refusal)?;
        } else if !signed_in || !self.greeted {
            self.say("530 5.7.0 sign in first")?;
        } else if self.from.is_some() {
            self.say("503 5.5.1 there is one already")?;
        } else {
            self.from = Some((from, parameters));
            self.say("250 2.1.0 ok")?;
        }
        Ok(Then::GoOn)
    }

    fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        let refusal = self.world().refusal(Stage::RcptTo);
        match (path(rest, "TO:"), refusal) {
            (None, _) => {
                self.rude(&format!("RCPT {rest}"));
                self.say("501 5.5.4 what?")
            }
            (_, Some(refusal)) => self.say(&refusal),
            (_, None) if self.from.is_none() => self.say("503 5.5.1 MAIL first"),
            (_, None) if self.to.is_some() => self.say("452 4.5.3 one is enough"),
            (Some((to, _)), None) => {
                self.to = Some(to);
                self.say("250 2.1.5 ok")
            }
        }
    }

    fn data(&mut self) -> io::Result<Then> {
        let (Some((from, parameters)), Some(to)) = (self.from.clone(), self.to.clone()) else {
            self.rude("DATA without an envelope");
            return self.say("503 5.5.1 no recipients").map(|()| Then::GoOn);
        };
        let refusal = self.world().refusal(Stage::Data);
        if let Some(refusal) = refusal {
            return self.say(&refusal).map(|()| Then::GoOn);
        }
        self.say("354 go on")?;
        let bytes = self.message()?;
        (self.from, self.to) = (None, None);
        if !self.input.buffer().is_empty() {
            self.rude("something came behind a message ahead of its answer");
        }
        self.check(&parameters, &bytes);
        let number = self.shared.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let mut world = self.world();
        let refusal = world.refusal(Stage::End);
        let lost = world.lost.get(&number).copied();
        drop(world);
        if let (None, Some(refusal)) = (lost, refusal) {
            return self.say(&refusal).map(|()| Then::GoOn);
        }
        if lost != Some(Lost::NotDelivered) {
            self.taken += 1;
            lock(&self.shared.delivered).push(Delivered {
                connection: self.number,
                from,
                to,
                parameters,
                bytes,
            });
        }
        if lost.is_some() {
            return Ok(Then::HangUp);
        }
        self.say(&format!("250 2.0.0 taken as {number}"))
            .map(|()| Then::GoOn)
    }

    /// Everything up to the final dot, unstuffed. A line ends by CRLF and by nothing else.
    fn message(&mut self) -> io::Result<Vec<u8>> {
        let mut message: Vec<u8> = Vec::new();
        loop {
            let begins = message.is_empty() || message.ends_with(b"\r\n");
            let mut part = Vec::new();
            if self.input.read_until(b'\n', &mut part)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if begins && part == b".\r\n" {
                return Ok(message);
            }
            let stuffed = begins && part.starts_with(b".");
            message.extend_from_slice(&part[usize::from(stuffed)..]);
        }
    }

    /// What was declared of a message must be so.
    fn check(&self, parameters: &[String], bytes: &[u8]) {
        let world = self.world();
        let value = |name: &str| parameters.iter().find_map(|p| p.strip_prefix(name));
        let size = value("SIZE=").map(str::to_owned);
        let expected = world.announces("SIZE").then(|| bytes.len().to_string());
        let eight_bit = value("BODY=") == Some("8BITMIME");
        let may = world.announces("8BITMIME");
        drop(world);
        if size != expected {
            self.rude(&format!("SIZE is {size:?} and should be {expected:?}"));
        }
        if eight_bit == bytes.is_ascii() || eight_bit && !may {
            self.rude("BODY=8BITMIME does not fit the message or the server");
        }
    }

    /// The refusal of a server that has had enough.
    fn closes(&self, world: &World) -> Option<String> {
        let taken = lock(&self.shared.delivered).len();
        let most = world.closes_after?;
        (taken >= most).then(|| BYE.to_owned())
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    fn say(&self, reply: &str) -> io::Result<()> {
        let mut out = self.out;
        out.write_all(format!("{reply}\r\n").as_bytes())
    }

    fn rude(&self, what: &str) {
        lock(&self.shared.rude).push(what.to_owned());
    }
}

/// The address and the parameters behind it.
fn path(text: &str, prefix: &str) -> Option<(String, Vec<String>)> {
    let rest = text.strip_prefix(prefix)?.strip_prefix('<')?;
    let (address, parameters) = rest.split_once('>')?;
    let parameters = parameters.split_ascii_whitespace().map(str::to_owned);
    Some((address.to_owned(), parameters.collect()))
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned()
}
