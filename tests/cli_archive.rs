//! What people read about an archive, under snapshot; paths, ports and times are taken out.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::process::Stdio;

use insta::assert_snapshot;
use support::archive_state::files;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Ended, Mailstow};

/// A server with three messages, two of them alike, and what was made of it.
struct Small {
    dovecot: Dovecot,
    mailstow: Mailstow,
}

impl Small {
    fn new() -> Self {
        let dovecot = Dovecot::start();
        let date = Some("07-Feb-2024 21:52:25 +0100");
        let mail = |n: u32, subject: &str| {
            format!(
                "From: Ada <ada@example.org>\r\nSubject: {subject}\r\nMessage-ID: <{n}@x>\r\n\r\nHello {n}\r\n"
            )
        };
        dovecot.deliver(
            ALICE,
            "INBOX",
            mail(1, "Greetings").as_bytes(),
            &["\\Seen"],
            date,
        );
        let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J";
        dovecot.deliver(ALICE, "INBOX", mail(2, hostile).as_bytes(), &[], date);
        dovecot.deliver(
            ALICE,
            "Work/2024",
            mail(1, "Greetings").as_bytes(),
            &["\\Flagged"],
            date,
        );
        Self {
            dovecot,
            mailstow: Mailstow::new(),
        }
    }

    fn backed_up() -> Self {
        let small = Self::new();
        small
            .mailstow
            .backup(&small.dovecot.url(ALICE), &small.mailstow.archive(), &[])
            .expect(0);
        small
    }

    /// `command ARCHIVE more…`
    fn on_archive(&self, command: &str, more: &[&str]) -> Ended {
        let archive = self.mailstow.archive();
        self.mailstow
            .run(&[&[command, archive.to_str().unwrap()], more].concat())
    }

    /// Exit code and all output, without what differs from run to run.
    fn redacted(&self, ended: &Ended) -> String {
        let port = format!(":{}", self.dovecot.imap_port());
        let text = redacted(&self.mailstow, ended);
        let text = text.replace(&port, ":PORT");
        let mut words = Vec::new();
        for line in text.lines() {
            let words_of: Vec<String> = line.split(' ').map(without_time).collect();
            words.push(words_of.join(" "));
        }
        words.join("\n")
    }
}

fn without_time(word: &str) -> String {
    let bytes = word.as_bytes();
    let stamp =
        bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && word.starts_with("20");
    if stamp && !word.starts_with("2024-02-07") {
        "TIME".to_owned()
    } else {
        word.to_owned()
    }
}

fn redacted(mailstow: &Mailstow, ended: &Ended) -> String {
    let text = format!(
        "exit {}\n{}{}",
        ended.exit.unwrap(),
        ended.stdout,
        ended.stderr
    );
    let text = text.replace(mailstow.path().to_str().unwrap(), "DIR");
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_first_backup_and_a_second_report_in_a_table() {
    let small = Small::new();
    let backup = || {
        small.mailstow.backup(
            &small.dovecot.url(ALICE),
            &small.mailstow.archive(),
            &["--mailbox", "INBOX"],
        )
    };
    assert_snapshot!(small.redacted(&backup()), @r#"
    exit 0
    alice@127.0.0.1:
    mailbox  on server  stored  linked  held  excluded  left  skipped
    INBOX            2       2       0     0         0     0        0

    complete: 2 messages stored, 0 linked, 163 B fetched.
    to fetch: 2 messages (163 B) from 1 mailbox
    "#);
    assert_snapshot!(small.redacted(&backup()), @r#"
    exit 0
    alice@127.0.0.1:
    mailbox  on server  stored  linked  held  excluded  left  skipped
    INBOX            2       0       0     2         0     0        0

    complete: nothing new.
    nothing new
    "#);
}

#[test]
fn a_wrong_password_is_explained() {
    let small = Small::new();
    let wrong = Mailstow::bare().with("MAILSTOW_PASSWORD", "wrong");
    let ended = wrong.backup(&small.dovecot.url(ALICE), &small.mailstow.archive(), &[]);
    assert_snapshot!(small.redacted(&ended), @r#"
    exit 5
    error: cannot work with 127.0.0.1:PORT: the server refused to sign in: [AUTHENTICATIONFAILED] Authentication failed.
      hint: check user and password; with two-factor sign-in most providers want an application-specific password, and IMAP switched on
    "#);
}

#[test]
fn ls_and_status_tell_what_is_held() {
    let small = Small::backed_up();
    assert_snapshot!(small.redacted(&small.on_archive("ls", &[])), @r#"
    exit 0
           2       163 B  INBOX
           1        79 B  Work/2024
    "#);
    assert_snapshot!(small.redacted(&small.on_archive("ls", &["INBOX"])), @r#"
    exit 0
    2a5138a04e80  2024-02-07 20:52       79 B  S----  Ada                       Greetings
    d63076dec71c  2024-02-07 20:52       84 B  -----  Ada                       \u{1b}]0;owned\u{7}\u{1b}[2J
    "#);
    assert_snapshot!(small.redacted(&small.on_archive("status", &[])), @r#"
    exit 0
    archive DIR/archive, format 1, made TIME
    2 messages kept once each, 163 B of mail

    alice@127.0.0.1:
    mailbox    present   size  gone  skipped
    INBOX            2  163 B     0        0
    Work/2024        1   79 B     0        0
    last run TIME last complete run TIME
    "#);
    assert_snapshot!(small.redacted(&small.on_archive("skips", &[])), @r#"
    exit 0
    nothing was skipped
    "#);
    assert_snapshot!(small.redacted(&small.on_archive("jobs", &[])), @r#"
    exit 0
    job  state            planned at  messages   size                        source
    1     done  TIME       3/3  242 B  imap://alice@127.0.0.1:PORT
    "#);
    // In one segment or in two: which mailbox comes first is the server's affair.
    let verified = small.redacted(&small.on_archive("verify", &[]));
    assert_snapshot!(verified.replace("2 segments", "1 segment"), @r#"
    exit 0
    2 messages and 3 placements in 1 segment; 2 messages (163 B) re-read and re-hashed
    the archive is sound
    "#);
    assert_snapshot!(small.redacted(&small.on_archive("ls", &["Nowhere"])), @r#"
    exit 2
    error: there is no mailbox `Nowhere`
      hint: mailstow ls ARCHIVE lists them
    "#);
}

#[test]
fn show_tells_one_message_and_gives_its_bytes() {
    let small = Small::backed_up();
    let listed = small.on_archive("ls", &["Work/2024", "--json"]);
    let id = listed.json()[0]["content"].as_str().unwrap().to_owned();
    let shown = small.on_archive("show", &[id.get(..12).unwrap()]);
    let shown = small.redacted(&shown);
    // Which of two copies came first is the server's affair.
    let line = |line: &str| match (line.starts_with("kept in"), line.split_once(" as ")) {
        (true, _) => "kept in     …".to_owned(),
        // UIDVALIDITY is another each time.
        (_, Some((name, id))) => format!("{name} as …{}", id.trim_start_matches(char::is_numeric)),
        _ => line.to_owned(),
    };
    assert_snapshot!(shown.lines().map(line).collect::<Vec<_>>().join("\n"), @r#"
    exit 0
    content     2a5138a04e80a7479bb07e3e76525fd9aee7e55a929dbc9a8e3ea322558d5e7d
    size        79 B (79 bytes)
    kept in     …
    from        Ada
    subject     Greetings
    date        none
    message-id  1@x
    seen in     INBOX as …:1, 2024-02-07T20:52:25+00:00, \Seen
    seen in     Work/2024 as …:1, 2024-02-07T20:52:25+00:00, \Flagged
    "#);
    let raw = small.on_archive("show", &[&id, "--raw"]);
    assert!(
        raw.expect(0)
            .stdout
            .starts_with("From: Ada <ada@example.org>\r\n"),
        "{raw:?}"
    );
    assert_snapshot!(small.redacted(&small.on_archive("show", &["123"])), @r#"
    exit 2
    error: `123` is no content id
      hint: mailstow ls ARCHIVE MAILBOX shows them in the first column
    "#);
}

#[test]
fn quiet_is_silent_unless_something_is_wrong() {
    let small = Small::new();
    let (url, archive) = (small.dovecot.url(ALICE), small.mailstow.archive());
    for _ in 0..2 {
        assert_eq!(
            small
                .mailstow
                .backup(&url, &archive, &["-q"])
                .expect(0)
                .output(),
            ""
        );
    }
    assert_eq!(small.on_archive("verify", &["-q"]).expect(0).output(), "");
    let wrong = small
        .mailstow
        .backup(&url, &archive, &["-q", "--mailbox", "Nowhere"]);
    assert!(
        wrong.expect(2).stderr.contains("no mailbox matches"),
        "{wrong:?}"
    );
}

#[test]
fn json_is_one_object_per_line_and_the_last_is_the_report() {
    let small = Small::new();
    let (url, archive) = (small.dovecot.url(ALICE), small.mailstow.archive());
    let ended = small.mailstow.backup(&url, &archive, &["--json"]);
    assert_eq!(ended.expect(0).stderr, "");
    let events: Vec<String> = ended
        .json()
        .iter()
        .map(|e| e["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        events.iter().filter(|e| *e == "report").count(),
        1,
        "{events:?}"
    );
    let report = ended.report();
    assert_eq!(
        (
            &report["exit"],
            &report["total"]["stored"],
            &report["total"]["linked"]
        ),
        (&0.into(), &2.into(), &1.into())
    );
    for event in ["planned", "mailbox", "committed"] {
        assert!(events.iter().any(|e| e == event), "{event}: {events:?}");
    }
    // An error is an object as well.
    let wrong = Mailstow::bare()
        .with("MAILSTOW_PASSWORD", "x")
        .backup(&url, &archive, &["--json"]);
    let last = wrong.expect(5).json().pop().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["exit"].as_i64()),
        (Some("error"), Some(5))
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let small = Small::backed_up();
    let archive = small.mailstow.archive();
    let to = archive.to_str().unwrap();
    let id = small.on_archive("ls", &["INBOX", "--json"]).json()[0]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    for args in [
        &["ls", to][..],
        &["ls", to, "INBOX"],
        &["status", to],
        &["verify", to],
        &["show", to, &id, "--raw"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut command = small.mailstow.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        let status = child.wait().unwrap();
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(status.code(), Some(0), "{args:?}: {stderr}");
    }
}

#[test]
fn the_password_appears_nowhere() {
    const CANARY: &str = "canary 7d1f \"é\\ x";
    let mut dovecot = Dovecot::start();
    dovecot.add_user("canary@example.com", CANARY);
    dovecot.deliver(
        "canary@example.com",
        "INBOX",
        b"Subject: x\r\n\r\n",
        &[],
        None,
    );
    let mailstow = Mailstow::bare().with("MAILSTOW_PASSWORD", CANARY);
    let (url, archive) = (dovecot.url("canary@example.com"), mailstow.archive());
    let ca = dovecot.ca();
    let tls = format!(
        "imap://canary@example.com@localhost:{}",
        dovecot.imap_port()
    );
    let mut said = String::new();
    said += &mailstow.backup(&url, &archive, &["-vv"]).expect(0).output();
    said += &mailstow
        .backup(
            &tls,
            &archive,
            &["-vv", "--json", "--tls-ca", ca.to_str().unwrap()],
        )
        .expect(0)
        .output();
    // Refused, as alice's password is another.
    let alice = dovecot.url(ALICE);
    said += &mailstow
        .backup(&alice, &archive, &["-vv", "--json"])
        .expect(5)
        .output();
    said += &mailstow
        .backup(&alice, &archive, &["-vv"])
        .expect(5)
        .output();
    let command = format!("printf '%s' '{CANARY}'");
    let asked = Mailstow::bare().backup(&alice, &archive, &["-vv", "--password-command", &command]);
    said += &asked.expect(5).output();
    // As it is, and in the forms it takes on the wire.
    let base64 =
        |text: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let plain = format!("\0canary@example.com\0{CANARY}");
    let forms = [
        CANARY.to_owned(),
        "canary 7d1f".to_owned(),
        base64(plain.as_bytes()),
        base64(CANARY.as_bytes()),
    ];
    for form in &forms {
        assert!(!said.contains(form.as_str()), "{said}");
        for (path, bytes) in files(mailstow.path()) {
            let found = bytes
                .windows(form.len())
                .any(|window| window == form.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
