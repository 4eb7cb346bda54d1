//! The fake target does what tests believe it does; what the tests of replay prove hangs on that.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

#[path = "target_fake/appends.rs"]
mod appends;
#[path = "target_fake/danger.rs"]
mod danger;
#[path = "target_fake/faults.rs"]
mod faults;
#[path = "target_fake/mailboxes.rs"]
mod mailboxes;
#[path = "target_fake/messages.rs"]
mod messages;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use support::fake_target::{FakeTarget, TargetWorld};

/// A client that knows nothing and trusts nothing.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn connect(fake: &FakeTarget) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", fake.port())).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        Self(BufReader::new(stream))
    }

    /// Connected and signed in.
    fn sign_in(fake: &FakeTarget) -> Self {
        let mut raw = Self::connect(fake);
        assert_eq!(raw.line(), "* OK ready");
        assert_eq!(raw.ask("LOGIN bob x"), "OK");
        raw
    }

    /// Whatever it is; a server that has closed already doesn't hear it.
    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.0.get_mut().write_all(bytes.as_ref()));
    }

    /// One line without its line end; empty once the server has closed.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line)
            .trim_end_matches("\r\n")
            .to_owned()
    }

    /// The lines up to the answer with this tag, and what is behind the tag; empty where the
    /// server closed instead.
    fn answer(&mut self, tag: &str) -> (Vec<String>, String) {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            match line
                .strip_prefix(tag)
                .and_then(|rest| rest.strip_prefix(' '))
            {
                Some(words) => return (lines, words.to_owned()),
                None if line.is_empty() => return (lines, line),
                None => lines.push(line),
            }
        }
    }

    /// The tagged answer to a command.
    fn ask(&mut self, command: &str) -> String {
        self.look(command).1
    }

    /// All of the answer to a command.
    fn look(&mut self, command: &str) -> (Vec<String>, String) {
        self.say(format!("a {command}\r\n"));
        self.answer("a")
    }

    /// Appends messages without waiting: what is between the mailbox and each literal, and the
    /// message.
    fn append(&mut self, mailbox: &str, messages: &[(&str, &[u8])]) -> String {
        self.say(appending("a", mailbox, messages));
        self.answer("a").1
    }

    /// Appends one message, waiting before its literal.
    fn append_waiting(&mut self, head: &str, body: &[u8]) -> String {
        self.say(format!("a APPEND {head}{{{}}}\r\n", body.len()));
        let line = self.line();
        match line.strip_prefix("a ") {
            Some(words) => words.to_owned(),
            None => {
                assert_eq!(line, "+ go on");
                self.say([body, b"\r\n"].concat());
                self.answer("a").1
            }
        }
    }
}

/// One APPEND command with literals that don't wait.
fn appending(tag: &str, mailbox: &str, messages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = format!("{tag} APPEND {mailbox} ").into_bytes();
    for (n, (head, body)) in messages.iter().enumerate() {
        let space = if n == 0 { "" } else { " " };
        write!(out, "{space}{head}{{{}+}}\r\n", body.len()).unwrap();
        out.extend_from_slice(body);
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn start(world: TargetWorld) -> (FakeTarget, Raw) {
    let fake = FakeTarget::start(world);
    let raw = Raw::sign_in(&fake);
    (fake, raw)
}

/// Drops the server, and demands that it complains in these words.
fn assert_complains(fake: FakeTarget, words: &str) {
    let complaint = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(fake)));
    let complaint = *complaint.unwrap_err().downcast::<String>().unwrap();
    assert!(complaint.contains(words), "{words}: {complaint}");
}
