//! The fake POP3 server does what tests believe it does.
#![cfg(feature = "testing")]
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use support::fake_pop3::{Delivery, FakePop3, Reaction, World};

/// A client that knows nothing and trusts nothing.
struct Raw(TcpStream);

impl Raw {
    /// Connected and signed in.
    fn sign_in(fake: &FakePop3) -> Self {
        let mut raw = Self::connect(fake);
        assert!(raw.line().starts_with("+OK"));
        raw.ask("USER alice");
        assert!(raw.line().starts_with("+OK"));
        raw.ask("PASS correct horse");
        assert_eq!(raw.line(), "+OK in");
        raw
    }

    fn connect(fake: &FakePop3) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", fake.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(stream)
    }

    fn ask(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// One line without its line end, or what there was when the connection ended.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") && self.0.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
        }
        let text = String::from_utf8(line).unwrap();
        text.trim_end_matches("\r\n").to_owned()
    }

    /// The lines behind a status line, without the last one.
    fn lines(&mut self) -> Vec<String> {
        assert!(self.line().starts_with("+OK"));
        let mut lines = Vec::new();
        loop {
            match self.line() {
                end if end == "." => return lines,
                line => lines.push(line),
            }
        }
    }

    fn quit(mut self) {
        self.ask("QUIT");
        assert!(self.line().starts_with("+OK"));
        assert_eq!(self.line(), "", "the server closes behind QUIT");
    }

    /// Everything until the server closes.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// Calls the program's part, and demands that the server complains of it.
fn assert_rude(fake: FakePop3, words: &str) {
    let complaint = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(fake)));
    let complaint = *complaint.unwrap_err().downcast::<String>().unwrap();
    assert!(complaint.contains(words), "{words}: {complaint}");
}

#[test]
fn a_maildrop_is_listed_topped_retrieved_and_stuffed() {
    let fake = FakePop3::start(World::of([
        &b"A: b\r\n\r\n.\r\n..\r\nx\r\n"[..],
        b"no line end",
        b"",
    ]));
    let mut raw = Raw::sign_in(&fake);
    raw.ask("CAPA");
    assert!(raw.lines().contains(&"PIPELINING".to_owned()));
    raw.ask("LIST");
    assert_eq!(raw.lines(), ["1 18", "2 13", "3 0"]);
    raw.ask("UIDL");
    assert_eq!(raw.lines(), ["1 u1", "2 u2", "3 u3"]);
    raw.ask("UIDL 2");
    assert_eq!(raw.line(), "+OK 2 u2");
    raw.ask("TOP 1 0");
    assert_eq!(raw.lines(), ["A: b", ""]);
    raw.ask("TOP 1 1");
    assert_eq!(raw.lines(), ["A: b", "", ".."]);
    raw.ask("RETR 1");
    assert_eq!(raw.lines(), ["A: b", "", "..", "...", "x"]);
    raw.ask("RETR 2");
    assert_eq!(raw.lines(), ["no line end"]);
    raw.ask("RETR 3");
    assert_eq!(raw.lines(), [""; 0]);
    raw.quit();
    assert_eq!((fake.sessions(), fake.count("RETR")), (1, 3));
    assert_eq!(fake.asked("TOP")["u1"], 2);
    assert_eq!(fake.sent().len(), 3);
}

#[test]
fn what_is_deleted_goes_with_quit_only() {
    let mut world = World::maildrop(3);
    world.may_delete = true;
    let fake = FakePop3::start(world);
    let mark = |raw: &mut Raw| {
        raw.ask("UIDL");
        assert_eq!(raw.lines().len(), fake.uidls().len());
        raw.ask("DELE 2");
        assert_eq!(raw.line(), "+OK marked");
    };
    let mut raw = Raw::sign_in(&fake);
    mark(&mut raw);
    drop(raw);
    let mut raw = Raw::sign_in(&fake);
    assert_eq!(fake.uidls(), ["u1", "u2", "u3"]);
    mark(&mut raw);
    raw.quit();
    assert_eq!(fake.uidls(), ["u1", "u3"]);
    assert_eq!(fake.gone(), ["u2"]);
    // QUIT is done, and not answered.
    fake.hook(|command, _| match command.name.as_str() {
        "QUIT" => Reaction::Swallow,
        _ => Reaction::Normal,
    });
    let mut raw = Raw::sign_in(&fake);
    mark(&mut raw);
    raw.ask("QUIT");
    assert_eq!(raw.rest(), "");
    assert_eq!(fake.uidls(), ["u1"]);
}

#[test]
fn sick_messages_are_sick() {
    let mut world = World::of([&b"one\r\n"[..]; 5]);
    world.message("u1").retr = Delivery::refused("[SYS/TEMP] no");
    world.message("u2").retr = Delivery::Instead(b"two\r\n".to_vec());
    world.message("u3").top = Delivery::Raw(b"what\r\n".to_vec());
    world.message("u4").retr = Delivery::Cut(2);
    world.message("u5").retr = Delivery::Unterminated;
    let fake = FakePop3::start(world);
    let mut raw = Raw::sign_in(&fake);
    raw.ask("LIST");
    assert_eq!(raw.lines().len(), 5);
    raw.ask("RETR 1");
    assert_eq!(raw.line(), "-ERR [SYS/TEMP] no");
    raw.ask("RETR 2");
    assert_eq!(raw.lines(), ["two"]);
    raw.ask("TOP 3 0");
    assert_eq!(raw.line(), "what");
    raw.ask("RETR 4");
    assert_eq!(raw.rest(), "+OK here it is\r\non");
    let mut raw = Raw::sign_in(&fake);
    raw.ask("LIST");
    assert_eq!(raw.lines().len(), 5);
    raw.ask("RETR 5");
    assert_eq!(raw.rest(), "+OK here it is\r\none\r\n");
    fake.heal();
    let mut raw = Raw::sign_in(&fake);
    raw.ask("LIST");
    assert_eq!(raw.lines().len(), 5);
    for n in 1..=5 {
        raw.ask(&format!("RETR {n}"));
        assert_eq!(raw.lines(), ["one"]);
    }
}

#[test]
fn windows_numbers_and_made_up_mail() {
    let world = World {
        window: Some(2),
        ..World::maildrop(3)
    };
    let fake = FakePop3::start(world);
    for expected in [&["1 u1", "2 u2"][..], &["1 u3"], &[]] {
        let mut raw = Raw::sign_in(&fake);
        raw.ask("UIDL");
        let listed = raw.lines();
        assert_eq!(listed, expected);
        for n in 1..=listed.len() {
            raw.ask(&format!("RETR {n}"));
            assert!(!raw.lines().is_empty());
        }
        raw.quit();
    }
    let world = World {
        renumbers: true,
        bulk: 2,
        ..World::maildrop(4)
    };
    let fake = FakePop3::start(world);
    for expected in [
        ["1 bulk-1", "2 bulk-2", "3 u4", "4 u1", "5 u2", "6 u3"],
        ["1 bulk-1", "2 bulk-2", "3 u3", "4 u4", "5 u1", "6 u2"],
    ] {
        let mut raw = Raw::sign_in(&fake);
        raw.ask("UIDL");
        assert_eq!(raw.lines(), expected);
        raw.ask("RETR 2");
        assert_eq!(raw.lines(), ["Subject: 2", "Message-ID: <2@bulk>", "", "2"]);
        raw.quit();
    }
}

#[test]
fn half_an_answer_waits_for_a_client_that_pipelines() {
    let world = World {
        awaits: 2,
        ..World::maildrop(3)
    };
    let fake = FakePop3::start(world);
    let mut raw = Raw::sign_in(&fake);
    raw.ask("LIST");
    assert_eq!(raw.lines().len(), 3);
    raw.ask("RETR 1\r\nRETR 2\r\nRETR 3");
    for _ in 1..=3 {
        assert!(!raw.lines().is_empty());
    }
    assert_eq!(fake.most_waiting(), 2);
}

#[test]
fn the_server_complains_of_bad_manners() {
    let with = |capability: &str| {
        let mut world = World::maildrop(3).without(capability);
        world.may_delete = true;
        FakePop3::start(world)
    };
    let fake = with("PIPELINING");
    let mut raw = Raw::sign_in(&fake);
    raw.ask("LIST\r\nUIDL");
    assert_eq!((raw.lines().len(), raw.lines().len()), (3, 3));
    assert_rude(fake, "came early");

    let fake = with("-");
    let mut raw = Raw::sign_in(&fake);
    raw.ask("RETR 1");
    assert!(!raw.lines().is_empty());
    assert_rude(fake, "out of the blue");

    let fake = with("-");
    let mut raw = Raw::sign_in(&fake);
    raw.ask("UIDL");
    assert!(!raw.lines().is_empty());
    raw.ask("RETR 1");
    assert!(!raw.lines().is_empty());
    raw.ask("DELE 1");
    assert_eq!(raw.line(), "+OK marked");
    assert_rude(fake, "a session that fetched");

    let fake = with("-");
    fake.world().may_delete = false;
    let mut raw = Raw::sign_in(&fake);
    raw.ask("UIDL");
    assert!(!raw.lines().is_empty());
    raw.ask("DELE 1");
    assert_eq!(raw.line(), "+OK marked");
    assert_rude(fake, "was not asked for");

    let fake = with("-");
    let mut raw = Raw::sign_in(&fake);
    raw.ask("RSET");
    assert_eq!(raw.line(), "-ERR what?");
    assert_rude(fake, "is no command here");

    let fake = with("-");
    let _first = Raw::sign_in(&fake);
    let mut second = Raw::connect(&fake);
    assert!(second.line().starts_with("+OK"));
    second.ask("AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=");
    assert!(second.line().starts_with("-ERR [IN-USE]"));
    assert_rude(fake, "a second session");
}
