//! A small blocking IMAP client: it fills the server for a test, and reads it back as the oracle.
//! It shares no code with the crate, trusts the server (a Dovecot of our own), and panics on
//! anything but OK.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::mutf7;

/// A message for APPEND. `received` is an IMAP date-time such as `07-Feb-2024 21:52:25 +0100`
/// (a day below ten with a blank or a zero); without one the server takes the time of delivery.
#[derive(Clone, Copy)]
pub struct Mail<'a> {
    pub bytes: &'a [u8],
    pub flags: &'a [&'a str],
    pub received: Option<&'a str>,
}

/// A message as the server itself reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleMessage {
    pub uid: u32,
    /// As the server spells them, without `\Recent`.
    pub flags: BTreeSet<String>,
    /// As the server spells it, in its own zone.
    pub internaldate: String,
    /// RFC822.SIZE.
    pub size: u64,
    pub body: Vec<u8>,
}

/// An untagged response: its text, with every literal taken out and put aside in order.
#[derive(Debug)]
pub struct Untagged {
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

pub struct RawImap {
    stream: BufReader<TcpStream>,
    tag: u32,
}

/// Appends sent before their answers are read. Small enough that the answers fit into the
/// buffers of the socket while we still write.
const PIPELINE: usize = 64;

impl RawImap {
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to Dovecot");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut imap = Self {
            stream: BufReader::with_capacity(1 << 18, stream),
            tag: 0,
        };
        let greeting = imap.read_response().unwrap();
        assert!(
            greeting.text.starts_with("* OK"),
            "greeting: {}",
            greeting.text
        );
        imap.command(&format!("LOGIN {} {}", quoted(user), quoted(password)));
        imap
    }

    /// Sends one command, returns the untagged responses; panics unless it ends with OK.
    pub fn command(&mut self, command: &str) -> Vec<Untagged> {
        self.try_command(command)
            .unwrap_or_else(|no| panic!("{command}: {no}"))
    }

    /// The same, with the tagged line as the error where it isn't OK.
    pub fn try_command(&mut self, command: &str) -> Result<Vec<Untagged>, String> {
        let tag = self.next_tag();
        self.send(format!("{tag} {command}\r\n").as_bytes());
        self.finish(&tag)
    }

    /// Makes the mailbox (with those above it) unless it is there, and subscribes to it.
    pub fn create(&mut self, mailbox: &str) {
        let name = wire_name(mailbox);
        match self.try_command(&format!("CREATE {name}")) {
            Err(no)
                if !no.contains("[ALREADYEXISTS]") && !mailbox.eq_ignore_ascii_case("INBOX") =>
            {
                panic!("CREATE {name}: {no}")
            }
            _ => self.command(&format!("SUBSCRIBE {name}")),
        };
    }

    pub fn select(&mut self, mailbox: &str) {
        self.command(&format!("SELECT {}", wire_name(mailbox)));
    }

    pub fn examine(&mut self, mailbox: &str) {
        self.command(&format!("EXAMINE {}", wire_name(mailbox)));
    }

    pub fn append(&mut self, mailbox: &str, mail: Mail<'_>) {
        self.append_all(mailbox, &[mail]);
    }

    /// Appends in order over this one connection, pipelined with non-synchronising literals.
    pub fn append_all(&mut self, mailbox: &str, mails: &[Mail<'_>]) {
        self.try_append_all(mailbox, mails)
            .unwrap_or_else(|no| panic!("APPEND to {mailbox}: {no}"));
    }

    /// The same, with the last tagged line that is not OK as the error.
    pub fn try_append_all(&mut self, mailbox: &str, mails: &[Mail<'_>]) -> Result<(), String> {
        let mut result = Ok(());
        let name = wire_name(mailbox);
        for batch in mails.chunks(PIPELINE) {
            let mut tags = Vec::with_capacity(batch.len());
            let mut out = Vec::new();
            for mail in batch {
                let tag = self.next_tag();
                let flags = mail.flags.join(" ");
                let date = mail
                    .received
                    .map(|date| format!("\"{date}\" "))
                    .unwrap_or_default();
                let len = mail.bytes.len();
                write!(out, "{tag} APPEND {name} ({flags}) {date}{{{len}+}}\r\n").unwrap();
                out.extend_from_slice(mail.bytes);
                out.extend_from_slice(b"\r\n");
                tags.push(tag);
            }
            self.send(&out);
            for tag in tags {
                result = self.finish(&tag).map(drop).and(result);
            }
        }
        result
    }

    /// In the selected mailbox, e.g. `store("3,5:7", "+FLAGS", &["\\Seen"])`.
    pub fn store(&mut self, uids: &str, item: &str, flags: &[&str]) {
        self.command(&format!("UID STORE {uids} {item} ({})", flags.join(" ")));
    }

    /// Removes these messages, and no others, from the selected mailbox.
    pub fn expunge(&mut self, uids: &str) {
        self.store(uids, "+FLAGS.SILENT", &["\\Deleted"]);
        self.command(&format!("UID EXPUNGE {uids}"));
    }

    /// `MOVE` or `COPY` from the selected mailbox; the server's words where it refuses.
    pub fn transfer(&mut self, how: &str, uids: &str, mailbox: &str) -> Result<(), String> {
        let to = wire_name(mailbox);
        self.try_command(&format!("UID {how} {uids} {to}"))
            .map(drop)
    }

    /// Selects a mailbox and gives its UIDs; the server's words where it refuses.
    pub fn uids(&mut self, mailbox: &str) -> Result<Vec<u32>, String> {
        self.try_command(&format!("SELECT {}", wire_name(mailbox)))?;
        let found = self.try_command("UID SEARCH ALL")?;
        let words = found.iter().filter_map(|u| u.text.strip_prefix("* SEARCH"));
        let uids = words.flat_map(str::split_whitespace);
        Ok(uids.map(|uid| uid.parse().unwrap()).collect())
    }

    /// The server's words where it refuses.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
        let (from, to) = (wire_name(from), wire_name(to));
        self.try_command(&format!("RENAME {from} {to}")).map(drop)
    }

    /// The server's words where it refuses.
    pub fn delete(&mut self, mailbox: &str) -> Result<(), String> {
        let name = wire_name(mailbox);
        self.try_command(&format!("DELETE {name}")).map(drop)
    }

    /// Decoded names of all mailboxes that can be selected.
    pub fn mailboxes(&mut self) -> Vec<String> {
        let listed = self.command("LIST \"\" \"*\"");
        let selectable = listed.iter().filter(|line| {
            let attributes = between(&line.text, "(", ")").to_lowercase();
            line.text.starts_with("* LIST") && !attributes.contains("\\noselect")
        });
        selectable
            .map(|line| {
                // * LIST (\HasNoChildren) "/" NAME
                let name = line
                    .text
                    .splitn(3, '"')
                    .nth(2)
                    .expect("a separator")
                    .trim_start();
                match line.literals.first() {
                    Some(literal) => mutf7::decode(std::str::from_utf8(literal).unwrap()),
                    None => mutf7::decode(&unquoted(name)),
                }
            })
            .collect()
    }

    /// Every message of a mailbox in UID order. Selects it read-only.
    pub fn fetch_mailbox(&mut self, mailbox: &str) -> Vec<OracleMessage> {
        self.examine(mailbox);
        let fetched =
            self.command("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])");
        let mut messages: Vec<_> = fetched.into_iter().filter_map(oracle_message).collect();
        messages.sort_by_key(|message| message.uid);
        messages
    }

    fn next_tag(&mut self) -> String {
        self.tag += 1;
        format!("t{}", self.tag)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream
            .get_mut()
            .write_all(bytes)
            .expect("write to Dovecot");
    }

    fn finish(&mut self, tag: &str) -> Result<Vec<Untagged>, String> {
        let mut untagged = Vec::new();
        loop {
            let response = self.read_response()?;
            let status = response
                .text
                .strip_prefix(tag)
                .and_then(|rest| rest.strip_prefix(' '));
            match status {
                Some(ok) if ok.starts_with("OK") => return Ok(untagged),
                Some(no) => return Err(no.to_owned()),
                None => untagged.push(response),
            }
        }
    }

    fn read_response(&mut self) -> Result<Untagged, String> {
        let (mut text, mut literals) = (String::new(), Vec::new());
        loop {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line);
            read.map_err(|error| format!("read from Dovecot: {error}"))?;
            let Some(line) = line.strip_suffix(b"\r\n") else {
                return Err("Dovecot closed the connection".to_owned());
            };
            text.push_str(&String::from_utf8_lossy(line));
            let Some(len) = literal_length(line) else {
                return Ok(Untagged { text, literals });
            };
            let mut literal = vec![0; len];
            self.stream
                .read_exact(&mut literal)
                .expect("a whole literal from Dovecot");
            literals.push(literal);
        }
    }
}

/// `N` of a line that ends in `{N}`.
fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

fn oracle_message(mut response: Untagged) -> Option<OracleMessage> {
    let text = &response.text;
    if !text.contains(" FETCH (") || !text.contains("BODY[] ") {
        return None;
    }
    let number = |item: &str| {
        let digits = between(text, item, " ").trim_end_matches(')');
        digits
            .parse()
            .unwrap_or_else(|_| panic!("no {item:?} in {text}"))
    };
    let flags = between(text, "FLAGS (", ")").split_whitespace();
    Some(OracleMessage {
        uid: u32::try_from(number("UID ")).unwrap(),
        flags: flags
            .filter(|flag| *flag != "\\Recent")
            .map(str::to_owned)
            .collect(),
        internaldate: between(text, "INTERNALDATE \"", "\"").to_owned(),
        size: number("RFC822.SIZE "),
        // An empty message comes as "", without a literal.
        body: response.literals.pop().unwrap_or_default(),
    })
}

/// What stands in `text` after the first `start`, up to the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let after = text.split_once(start).map_or("", |(_, after)| after);
    after.split_once(end).map_or(after, |(inside, _)| inside)
}

fn wire_name(mailbox: &str) -> String {
    quoted(&mutf7::encode(mailbox))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' {
            chars.next().expect("an escaped character")
        } else {
            c
        });
    }
    out
}
