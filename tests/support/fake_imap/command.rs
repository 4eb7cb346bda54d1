//! Commands as the fake server reads them.

use std::io::{self, BufRead, Write};

/// One command.
#[derive(Debug, Clone)]
pub struct Command {
    /// Which connection it came over, from 1.
    pub connection: usize,
    /// Its number on that connection, from 1.
    pub number: usize,
    pub tag: String,
    /// In capitals; `UID FETCH` is one name.
    pub name: String,
    /// Strings without their quotes; what stands in parentheses is one argument.
    pub args: Vec<String>,
    /// As it came, without the tag, with its literals.
    pub line: String,
    /// The wire name of the open mailbox.
    pub selected: Option<String>,
    /// It was there before the answer to the one before was complete, so that it cost no round
    /// trip.
    pub pipelined: bool,
}

impl Command {
    /// Whether it asks for message bodies.
    pub fn wants_bodies(&self) -> bool {
        self.name == "UID FETCH" && self.line.contains("BODY") && !self.wants_headers()
    }

    /// Whether it asks for headers.
    pub fn wants_headers(&self) -> bool {
        self.name == "UID FETCH" && self.line.contains("BODY.PEEK[HEADER")
    }

    /// Whether it asks for what changed since some mod-sequence.
    pub fn wants_changes(&self) -> bool {
        self.name == "UID FETCH" && self.line.contains("CHANGEDSINCE")
    }

    /// Whether it asks for a listing.
    pub fn wants_listing(&self) -> bool {
        self.name == "UID FETCH" && !self.line.contains("BODY")
    }

    /// Whether it can change nothing at all.
    pub fn only_looks(&self) -> bool {
        const HARMLESS: [&str; 13] = [
            "CAPABILITY",
            "ID",
            "NOOP",
            "LOGOUT",
            "LOGIN",
            "AUTHENTICATE",
            "STARTTLS",
            "LIST",
            "LSUB",
            "STATUS",
            "EXAMINE",
            "ENABLE",
            "UID SEARCH",
        ];
        let items = self.args.get(1).map_or("", String::as_str);
        let peeks = !items.contains("BODY[")
            && !items.contains("RFC822)")
            && !items.contains("RFC822.TEXT");
        HARMLESS.contains(&self.name.as_str()) || (self.name == "UID FETCH" && peeks)
    }
}

/// Reads one command with its literals; `None` once the client has gone.
pub fn read(stream: &mut impl BufRead, mut answer: impl Write) -> io::Result<Option<Command>> {
    let mut text: Vec<u8> = Vec::new();
    let mut args: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Ok(None);
        };
        text.extend_from_slice(line);
        let literal = literal_length(line);
        let end = if literal.is_some() {
            line.iter().rposition(|b| *b == b'{').unwrap()
        } else {
            line.len()
        };
        words(&line[..end], &mut args);
        let Some(length) = literal else { break };
        answer.write_all(b"+ go on\r\n")?;
        answer.flush()?;
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes)?;
        text.extend_from_slice(&bytes);
        args.push(bytes);
    }
    let mut args = args
        .into_iter()
        .map(|arg| String::from_utf8_lossy(&arg).into_owned());
    let tag = args.next().unwrap_or_default();
    let mut name = args.next().unwrap_or_default().to_ascii_uppercase();
    if name == "UID" {
        name = format!(
            "UID {}",
            args.next().unwrap_or_default().to_ascii_uppercase()
        );
    }
    let line = String::from_utf8_lossy(text.get(tag.len() + 1..).unwrap_or_default()).into_owned();
    Ok(Some(Command {
        connection: 0,
        number: 0,
        tag,
        name,
        args: args.collect(),
        line,
        selected: None,
        pipelined: false,
    }))
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// Adds the words of a line: strings without their quotes, a list in parentheses as one.
pub fn words(line: &[u8], args: &mut Vec<Vec<u8>>) {
    let mut bytes = line.iter().copied().peekable();
    while let Some(&first) = bytes.peek() {
        let mut word = Vec::new();
        match first {
            b' ' => {
                bytes.next();
                continue;
            }
            b'"' => {
                bytes.next();
                while let Some(byte) = bytes.next().filter(|b| *b != b'"') {
                    word.push(if byte == b'\\' {
                        bytes.next().unwrap_or_default()
                    } else {
                        byte
                    });
                }
            }
            b'(' => {
                let mut depth = 0;
                for byte in bytes.by_ref() {
                    word.push(byte);
                    depth += i32::from(byte == b'(') - i32::from(byte == b')');
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {
                while let Some(byte) = bytes.next_if(|b| *b != b' ') {
                    word.push(byte);
                }
            }
        }
        args.push(word);
    }
}
