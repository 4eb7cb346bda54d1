//! A small blocking POP3 client, the oracle for what a server gives over POP3. It shares no
//! code with the crate, trusts the server (a Dovecot of our own), and panics on anything but +OK.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct RawPop3 {
    stream: BufReader<TcpStream>,
}

impl RawPop3 {
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to Dovecot");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut pop3 = Self {
            stream: BufReader::with_capacity(1 << 18, stream),
        };
        pop3.status("the greeting");
        pop3.command(&format!("USER {user}"));
        pop3.command(&format!("PASS {password}"));
        pop3
    }

    /// Sends one command, returns the words of its `+OK`.
    pub fn command(&mut self, command: &str) -> String {
        let line = format!("{command}\r\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        self.status(command)
    }

    /// UIDL by message number.
    pub fn uidls(&mut self) -> BTreeMap<u32, String> {
        self.command("UIDL");
        self.listed().into_iter().collect()
    }

    /// Size by message number.
    pub fn sizes(&mut self) -> BTreeMap<u32, u64> {
        self.command("LIST");
        self.listed()
            .into_iter()
            .map(|(number, rest)| (number, rest.parse().expect("a size")))
            .collect()
    }

    /// A message, without the dots of the wire. Dovecot marks it as read.
    pub fn retr(&mut self, number: u32) -> Vec<u8> {
        self.command(&format!("RETR {number}"));
        self.body()
    }

    /// Every message by its UIDL.
    pub fn drain(&mut self) -> BTreeMap<String, Vec<u8>> {
        let uidls = self.uidls();
        let drained: BTreeMap<String, Vec<u8>> = uidls
            .iter()
            .map(|(number, uidl)| (uidl.clone(), self.retr(*number)))
            .collect();
        assert_eq!(drained.len(), uidls.len(), "a UIDL that several bear");
        drained
    }

    pub fn quit(mut self) {
        self.command("QUIT");
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream
            .read_until(b'\n', &mut line)
            .expect("read from Dovecot");
        assert!(line.ends_with(b"\n"), "the connection ended in a line");
        line
    }

    fn status(&mut self, what: &str) -> String {
        let line = self.line();
        let line = String::from_utf8_lossy(&line);
        assert!(line.starts_with("+OK"), "{what}: {line}");
        line.trim_end().to_owned()
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body: Vec<u8> = Vec::new();
        loop {
            let line = self.line();
            let at_start = body.is_empty() || body.ends_with(b"\r\n");
            match line.strip_prefix(b".") {
                Some(b"\r\n") if at_start => return body,
                Some(rest) => body.extend_from_slice(rest),
                None => body.extend_from_slice(&line),
            }
        }
    }

    fn listed(&mut self) -> Vec<(u32, String)> {
        let text = String::from_utf8(self.body()).unwrap();
        let pair = |line: &str| {
            let (number, rest) = line.split_once(' ').expect("a number and more");
            (number.parse().expect("a number"), rest.to_owned())
        };
        text.lines().map(pair).collect()
    }
}
