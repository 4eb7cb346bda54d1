//! What the fake maildrop holds, and how it behaves.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

static FRESH: AtomicU64 = AtomicU64::new(1);

/// A maildrop and its manners.
#[derive(Debug, Clone)]
pub struct World {
    pub messages: Vec<Message>,
    /// Messages 1 to n that are made up as they are asked for, in front of `messages`.
    pub bulk: u32,
    /// The first bytes, with their line end. An answer of `-ERR` closes the connection.
    pub greeting: Vec<u8>,
    /// The lines CAPA answers with; `None` where it is no command.
    pub capabilities: Option<Vec<String>>,
    pub uidl: bool,
    pub top: bool,
    /// The answer to every sign-in with the right password.
    pub sign_in: String,
    /// Sessions show only the next n messages that no session before has retrieved (Gmail).
    pub window: Option<usize>,
    /// Each session numbers the messages in another order.
    pub renumbers: bool,
    /// The first RETR of a session is answered in half until so many more commands have come,
    /// or ten seconds have passed.
    pub awaits: usize,
    /// Looks for commands that come too early even where they may.
    pub watches: bool,
    /// Whether DELE and what it does is expected.
    pub may_delete: bool,
    /// What sessions that ended by QUIT have retrieved, for the window.
    pub popped: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
pub struct Message {
    /// Who it is, whatever number and unique-id it has.
    pub(super) id: u64,
    pub uidl: Vec<u8>,
    /// What LIST says, unless it is true.
    pub size: Option<String>,
    pub body: Vec<u8>,
    pub retr: Delivery,
    pub top: Delivery,
}

/// What RETR or TOP answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// `-ERR` and these words.
    Refused(Vec<u8>),
    /// The connection is closed after so many bytes behind the status line.
    Cut(usize),
    /// Everything but the terminator, then the connection is closed.
    Unterminated,
    /// Another message.
    Instead(Vec<u8>),
    /// These raw bytes, status line and all.
    Raw(Vec<u8>),
}

impl Delivery {
    pub fn refused(words: &str) -> Self {
        Self::Refused(words.as_bytes().to_vec())
    }
}

impl Default for World {
    fn default() -> Self {
        let capabilities = [
            "TOP",
            "UIDL",
            "USER",
            "SASL PLAIN",
            "PIPELINING",
            "RESP-CODES",
        ];
        Self {
            messages: Vec::new(),
            bulk: 0,
            greeting: b"+OK fake ready\r\n".to_vec(),
            capabilities: Some(capabilities.map(str::to_owned).to_vec()),
            uidl: true,
            top: true,
            sign_in: "+OK in".to_owned(),
            window: None,
            renumbers: false,
            awaits: 0,
            watches: false,
            may_delete: false,
            popped: BTreeSet::new(),
        }
    }
}

impl World {
    /// With `n` small messages, each different, with the unique-ids `u1` to `un`.
    pub fn maildrop(n: u32) -> Self {
        let mut world = Self::default();
        for k in 1..=n {
            world.add(&format!("u{k}"), &mail(k));
        }
        world
    }

    /// With these bodies, with the unique-ids `u1` and so on.
    pub fn of<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Self {
        let mut world = Self::default();
        for (k, body) in bodies.into_iter().enumerate() {
            world.add(&format!("u{}", k + 1), body.as_ref());
        }
        world
    }

    /// Does not announce this capability.
    #[must_use]
    pub fn without(mut self, capability: &str) -> Self {
        if let Some(lines) = &mut self.capabilities {
            lines.retain(|line| !line.starts_with(capability));
        }
        match capability {
            "TOP" => self.top = false,
            "UIDL" => self.uidl = false,
            _ => {}
        }
        self
    }

    /// Announces this one as well.
    #[must_use]
    pub fn with(mut self, capability: &str) -> Self {
        if let Some(lines) = &mut self.capabilities {
            lines.push(capability.to_owned());
        }
        self
    }

    /// CAPA is no command of this server.
    #[must_use]
    pub fn without_capa(mut self) -> Self {
        self.capabilities = None;
        self
    }

    pub fn pipelines(&self) -> bool {
        let lines = self.capabilities.iter().flatten();
        lines.into_iter().any(|line| line == "PIPELINING")
    }

    pub fn add(&mut self, uidl: &str, body: &[u8]) -> &mut Message {
        self.add_raw(uidl.as_bytes(), body)
    }

    pub fn add_raw(&mut self, uidl: &[u8], body: &[u8]) -> &mut Message {
        self.messages.push(Message::new(uidl, body));
        self.messages.last_mut().unwrap()
    }

    /// The message with this unique-id.
    pub fn message(&mut self, uidl: &str) -> &mut Message {
        let found = self.messages.iter_mut().find(|m| m.uidl == uidl.as_bytes());
        found.unwrap_or_else(|| panic!("no message {uidl}"))
    }

    /// Takes a message away, as another client would.
    pub fn remove(&mut self, uidl: &str) -> Message {
        let at = self.messages.iter().position(|m| m.uidl == uidl.as_bytes());
        self.messages
            .remove(at.unwrap_or_else(|| panic!("no message {uidl}")))
    }

    /// An honest maildrop with the same mail; what it can do stays.
    pub fn heal(&mut self) {
        for message in &mut self.messages {
            (message.retr, message.top) = (Delivery::Whole, Delivery::Whole);
        }
        self.sign_in = Self::default().sign_in;
        self.greeting = Self::default().greeting;
        self.awaits = 0;
    }
}

impl Message {
    pub fn new(uidl: &[u8], body: &[u8]) -> Self {
        Self {
            id: FRESH.fetch_add(1, Ordering::Relaxed),
            uidl: uidl.to_vec(),
            size: None,
            body: body.to_vec(),
            retr: Delivery::Whole,
            top: Delivery::Whole,
        }
    }

    /// The n-th of the made-up ones.
    pub(super) fn made_up(n: u32) -> Self {
        Self {
            id: u64::MAX - u64::from(n),
            ..Self::new(format!("bulk-{n}").as_bytes(), &made_up(n))
        }
    }

    /// What a client gets: POP3 adds a line end where there is none.
    pub fn received(&self) -> Vec<u8> {
        let mut bytes = self.body.clone();
        if !bytes.is_empty() && !bytes.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.uidl).into_owned()
    }

    pub(super) fn listed_size(&self) -> String {
        self.size
            .clone()
            .unwrap_or_else(|| self.received().len().to_string())
    }
}

fn made_up(n: u32) -> Vec<u8> {
    format!("Subject: {n}\r\nMessage-ID: <{n}@bulk>\r\n\r\n{n}\r\n").into_bytes()
}

/// A small message of its own, of the size of no neighbour.
pub fn mail(n: u32) -> Vec<u8> {
    mail_with(n, "")
}

/// The same with these further fields, each with its line end.
pub fn mail_with(n: u32, fields: &str) -> Vec<u8> {
    format!(
        "Received: from a.example by b.example; Mon, 02 Feb 2026 10:00:{:02} +0000\r\n\
         {fields}From: Someone <someone@example.com>\r\nSubject: number {n}\r\n\
         Date: Mon, 02 Feb 2026 09:59:00 +0000\r\nMessage-ID: <{n}@example.com>\r\n\r\n\
         This is {n}.\r\n..{}\r\n",
        n % 60,
        "x".repeat(n as usize % 97)
    )
    .into_bytes()
}

/// A message whose topmost `Received` and `Date` are these.
pub fn mail_dated(subject: &str, received: Option<&str>, date: Option<&str>) -> Vec<u8> {
    let received = received.map_or_else(String::new, |date| {
        format!(
            "Received: from a.example by b.example with ESMTP;\r\n\t{date}\r\n\
             Received: from far by a.example; Thu, 01 Jan 1998 00:00:00 +0000\r\n"
        )
    });
    let date = date.map_or_else(String::new, |date| format!("Date: {date}\r\n"));
    format!(
        "{received}From: a@example.com\r\nSubject: {subject}\r\n{date}\
         Message-ID: <{subject}@example.com>\r\n\r\n{subject}\r\n"
    )
    .into_bytes()
}
