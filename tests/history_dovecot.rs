//! A server that changes from night to night: each night can be asked for afterwards, and the
//! answer is what the server itself said then.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected must stop, and says so by a panic"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use mailstow::clock::rfc3339;
use mailstow::model::ContentId;
use serde_json::Value;
use support::archive_state::assert_sound;
use support::dovecot::{ALICE, Dovecot};
use support::mailstow::{Ended, Mailstow};

/// 2026-06-01, 02:00 UTC.
const FIRST: i64 = 1_780_279_200;
const DAY: i64 = 86_400;

/// Mailbox, UID, flags, content.
type State = BTreeSet<(String, u32, Vec<String>, String)>;

struct Nights {
    dovecot: Dovecot,
    mailstow: Mailstow,
    ends: Vec<(i64, State)>,
}

fn body(n: u32) -> Vec<u8> {
    format!("From: Ada {n} <ada@example.org>\r\nSubject: letter {n}\r\nMessage-ID: <{n}@x>\r\n\r\nFrom here\r\n{n}\r\n").into_bytes()
}

fn id(n: u32) -> String {
    ContentId::of(&body(n)).to_string()
}

impl Nights {
    fn new() -> Self {
        Self {
            dovecot: Dovecot::start(),
            mailstow: Mailstow::new(),
            ends: Vec::new(),
        }
    }

    fn deliver(&self, mailbox: &str, n: u32, flags: &[&str]) {
        let date = format!("0{}-Feb-2024 21:52:25 +0100", 1 + n % 9);
        self.dovecot
            .deliver(ALICE, mailbox, &body(n), flags, Some(&date));
    }

    /// What the server says now.
    fn server(&self) -> State {
        let all = self.dovecot.fetch_all(ALICE);
        let messages = all.into_iter().flat_map(|(mailbox, messages)| {
            messages.into_iter().map(move |m| {
                let content = ContentId::of(&m.body).to_string();
                (
                    mailbox.clone(),
                    m.uid,
                    m.flags.into_iter().collect(),
                    content,
                )
            })
        });
        messages.collect()
    }

    fn now(&self) -> i64 {
        FIRST + DAY * i64::try_from(self.ends.len()).unwrap()
    }

    fn at(&self, now: i64, args: &[&str]) -> Ended {
        let mut command = self.mailstow.command(args);
        command.env("MAILSTOW_TEST_NOW", now.to_string());
        Ended::of(&mut command)
    }

    fn back_up(&mut self) {
        let (url, archive) = (self.dovecot.url(ALICE), self.mailstow.archive());
        let args = ["backup", &url, "--to", archive.to_str().unwrap()];
        self.at(self.now(), &args).expect(0);
        self.ends.push((self.now(), self.server()));
    }

    /// `COMMAND ARCHIVE more…`
    fn ask(&self, command: &str, more: &[&str]) -> Ended {
        let archive = self.mailstow.archive();
        self.mailstow
            .run(&[&[command, archive.to_str().unwrap()], more].concat())
    }

    fn listed(&self, more: &[&str]) -> State {
        let mut state = State::new();
        let mailboxes = self.ask("ls", &[&["--json"], more].concat());
        for mailbox in events(mailboxes.expect(0), "mailbox") {
            let name = mailbox["name"].as_str().unwrap();
            let messages = events(
                self.ask("ls", &[&[name, "--json"], more].concat())
                    .expect(0),
                "message",
            );
            assert_eq!(mailbox["present"], messages.len());
            for m in messages {
                let (_, uid) = m["remote"].as_str().unwrap().split_once(':').unwrap();
                let flags = m["flags"].as_array().unwrap().iter();
                state.insert((
                    name.to_owned(),
                    uid.parse().unwrap(),
                    flags.map(|f| f.as_str().unwrap().to_owned()).collect(),
                    m["content"].as_str().unwrap().to_owned(),
                ));
            }
        }
        state
    }

    fn exported(&self, name: &str, more: &[&str]) -> State {
        let to = self.mailstow.path().join(name);
        let arguments = ["--format", "eml", "--to", to.to_str().unwrap()];
        self.ask("export", &[&arguments, more].concat()).expect(0);
        let index = std::fs::read_to_string(to.join("index.jsonl")).unwrap();
        let messages = index.lines().map(|line| {
            let m: Value = serde_json::from_str(line).unwrap();
            let bytes = std::fs::read(to.join(m["file"].as_str().unwrap())).unwrap();
            let flags = m["flags"].as_array().unwrap().iter();
            (
                m["mailbox"].as_str().unwrap().to_owned(),
                u32::try_from(m["remote"]["u"].as_u64().unwrap()).unwrap(),
                flags.map(|f| f.as_str().unwrap().to_owned()).collect(),
                ContentId::of(&bytes).to_string(),
            )
        });
        messages.collect()
    }
}

fn events(ended: &Ended, event: &str) -> Vec<Value> {
    ended
        .json()
        .into_iter()
        .filter(|e| e["event"] == event)
        .collect()
}

/// Five nights: letters come, are flagged, moved and expunged, and the mailbox begins anew.
fn five_nights() -> Nights {
    let mut nights = Nights::new();
    for n in 1..=4 {
        nights.deliver("INBOX", n, &[]);
    }
    nights.deliver("Work", 5, &["\\Seen"]);
    nights.back_up();
    let mut imap = nights.dovecot.connect(ALICE);
    imap.select("INBOX");
    imap.store("1,2", "+FLAGS", &["\\Seen", "$Forwarded"]);
    nights.deliver("INBOX", 6, &["\\Flagged"]);
    nights.back_up();
    imap.store("1", "-FLAGS", &["$Forwarded"]);
    imap.command("UID MOVE 2 Work");
    imap.expunge("3");
    nights.back_up();
    drop(imap);
    let update = ["mailbox", "update", "-u", ALICE, "--uid-validity"];
    nights
        .dovecot
        .doveadm(&[&update[..], &["4242424242", "INBOX"]].concat());
    nights.back_up();
    nights.deliver("New", 1, &[]);
    nights.back_up();
    nights
}

#[test]
fn every_night_can_be_listed_and_exported_as_the_server_was() {
    let nights = five_nights();
    let sizes: Vec<usize> = nights.ends.iter().map(|(_, state)| state.len()).collect();
    assert_eq!(sizes, [5, 6, 5, 5, 6]);
    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_file(nights.mailstow.archive().join("catalog.sqlite")).unwrap();
        }
        for (at, state) in &nights.ends {
            let instant = rfc3339(*at);
            let day = &instant[..10];
            for date in [&instant, day] {
                assert_eq!(nights.listed(&["--as-of", date]), *state, "as of {date}");
            }
            let found = nights.ask("find", &["--json", "--as-of", day]);
            assert_eq!(events(found.expect(0), "message").len(), state.len());
            let name = format!("{day}-{rebuilt}");
            assert_eq!(nights.exported(&name, &["--as-of", day]), *state);
        }
        // As it is: nothing twice, although the mailbox began anew.
        assert_eq!(nights.listed(&[]), nights.server());
        assert_eq!(
            nights.exported(&format!("now-{rebuilt}"), &[]),
            nights.server()
        );
    }
    assert_sound(&nights.mailstow.archive());
}

#[test]
fn the_run_that_is_meant_is_named_and_none_is_an_error() {
    let nights = five_nights();
    let listed = nights.ask("ls", &["--as-of", "2026-06-03"]);
    listed.expect(0);
    let note = "note: alice as of the end of run 3, 2026-06-03T02:00:00Z\n";
    assert_eq!(listed.stderr.replace("@127.0.0.1", ""), note);
    let json = nights.ask("ls", &["--json", "--as-of", "2026-06-03T01:59:59Z"]);
    let told = events(json.expect(0), "as-of");
    assert_eq!(
        (&told[0]["run"], &told[0]["ended"]),
        (&2.into(), &"2026-06-02T02:00:00Z".into())
    );
    for command in ["ls", "find", "export", "show"] {
        let to = nights.mailstow.path().join("never");
        let more: &[&str] = match command {
            "export" => &["--format", "eml", "--to", to.to_str().unwrap()],
            "show" => &[&id(1)[..8]],
            _ => &[],
        };
        let asked = nights.ask(command, &[more, &["--as-of", "2026-05-31"]].concat());
        asked.expect(2);
        assert!(
            asked
                .stderr
                .contains("no complete run had ended by 2026-05-31T23:59:59Z"),
            "{}",
            asked.stderr
        );
        assert!(
            asked.stderr.contains("the first is run 1"),
            "{}",
            asked.stderr
        );
        assert!(!to.exists());
    }
}

#[test]
fn show_tells_where_a_message_was_at_a_time() {
    let nights = five_nights();
    let seen = |date: &str| -> Vec<(String, Value, Value)> {
        let shown = nights.ask("show", &[&id(2)[..12], "--json", "--as-of", date]);
        let message = events(shown.expect(0), "message").remove(0);
        let places = message["placements"].as_array().unwrap().iter();
        places
            .map(|p| {
                (
                    p["mailbox"].as_str().unwrap().to_owned(),
                    p["flags"].clone(),
                    p["gone"].clone(),
                )
            })
            .collect()
    };
    let place = |mailbox: &str, flags: Value, gone: bool| (mailbox.to_owned(), flags, gone.into());
    let forwarded = serde_json::json!(["$Forwarded", "\\Seen"]);
    assert_eq!(
        seen("2026-06-01"),
        [place("INBOX", serde_json::json!([]), false)]
    );
    assert_eq!(
        seen("2026-06-02"),
        [place("INBOX", forwarded.clone(), false)]
    );
    assert_eq!(
        seen("2026-06-03"),
        [
            place("INBOX", forwarded.clone(), true),
            place("Work", forwarded, false)
        ]
    );
    // A letter that came later.
    let later = nights.ask("show", &[&id(6)[..12], "--as-of", "2026-06-01"]);
    assert!(
        later
            .expect(0)
            .stdout
            .contains("seen in     no mailbox by then"),
        "{}",
        later.stdout
    );
}

#[test]
fn a_life_is_told_by_content_id_and_by_message_id() {
    let nights = five_nights();
    let by_content = nights.ask("log", &[&id(1)[..12]]);
    let text = &by_content.expect(0).stdout;
    let uidvalidity = text
        .split("INBOX as ")
        .nth(1)
        .unwrap()
        .split(':')
        .next()
        .unwrap();
    // In the zone the server speaks of it.
    let listed = events(nights.ask("ls", &["New", "--json"]).expect(0), "message");
    let came = events(nights.ask("ls", &["INBOX", "--json"]).expect(0), "message");
    let date = came[0]["date"].as_str().unwrap();
    assert_eq!(listed[0]["content"], came[0]["content"]);
    let life: Vec<&str> = text.lines().skip_while(|l| !l.is_empty()).skip(1).collect();
    let expected = [
        format!(
            "2026-06-01T02:00:00Z  run 1     seen in INBOX as {uidvalidity}:1, {date}, no flags"
        ),
        format!(
            "2026-06-02T02:00:00Z  run 2     flags in INBOX ({uidvalidity}:1): no flags before, now $Forwarded \\Seen"
        ),
        format!(
            "2026-06-03T02:00:00Z  run 3     flags in INBOX ({uidvalidity}:1): $Forwarded \\Seen before, now \\Seen"
        ),
        format!(
            "2026-06-04T02:00:00Z  run 4     INBOX has UIDVALIDITY 4242424242 now, so {uidvalidity}:1 is history"
        ),
        format!("2026-06-04T02:00:00Z  run 4     seen in INBOX as 4242424242:1, {date}, \\Seen"),
    ];
    assert_eq!(life[..5], expected);
    assert!(life[5].contains("run 5     seen in New as "), "{life:?}");
    assert_eq!(life.len(), 6);

    for message_id in ["<1@x>", "1@x"] {
        let told = nights.ask("log", &[message_id]);
        assert_eq!(told.expect(0).stdout, *text);
    }
    let json = nights.ask("log", &["<2@x>", "--json"]);
    let lives = events(json.expect(0), "life");
    assert_eq!((lives.len(), &lives[0]["content"]), (1, &id(2).into()));
    let whats: Vec<&str> = lives[0]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["what"].as_str().unwrap())
        .collect();
    assert_eq!(whats, ["placed", "flags", "gone", "placed"]);

    nights.ask("log", &["<nobody@x>"]).expect(2);
    let hex = nights.ask("log", &["abcdef0123"]);
    assert!(
        hex.expect(2).stderr.contains("'<abcdef0123>'"),
        "{}",
        hex.stderr
    );
}

#[test]
fn find_looks_where_it_is_told_and_tells_what_it_could_not_read() {
    let nights = five_nights();
    let found = |more: &[&str]| -> BTreeMap<(String, String), usize> {
        let asked = nights.ask("find", &[&["--json"], more].concat());
        let messages = events(asked.expect(0), "message");
        let report = events(&asked, "find").remove(0);
        assert_eq!(report["found"], messages.len());
        let mut count = BTreeMap::new();
        for m in messages {
            let text = |key: &str| m[key].as_str().unwrap().to_owned();
            *count.entry((text("mailbox"), text("subject"))).or_default() += 1;
        }
        count
    };
    let one = |mailbox: &str, n: u32| ((mailbox.to_owned(), format!("letter {n}")), 1);
    let of = |list: &[((String, String), usize)]| list.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!(found(&["--subject", "LETTER 4"]), of(&[one("INBOX", 4)]));
    assert_eq!(
        found(&["--from", "ada 1"]),
        of(&[one("INBOX", 1), one("New", 1)])
    );
    assert_eq!(found(&["--message-id", "2@x"]), of(&[one("Work", 2)]));
    assert_eq!(
        found(&["--message-id", "<2@x>", "--all"]),
        of(&[one("INBOX", 2), one("Work", 2)])
    );
    assert_eq!(found(&["--text", "<5@x>"]), of(&[one("Work", 5)]));
    assert_eq!(
        found(&["--mailbox", "W*", "--text", "letter"]),
        of(&[one("Work", 2), one("Work", 5)])
    );
    assert_eq!(
        found(&["--mailbox", "INBOX", "--as-of", "2026-06-02"]),
        of(&[
            one("INBOX", 1),
            one("INBOX", 2),
            one("INBOX", 3),
            one("INBOX", 4),
            one("INBOX", 6)
        ])
    );
    // Letter n came on the 1 + n of February, at 20:52 UTC.
    assert_eq!(
        found(&["--since", "2024-02-05", "--before", "2024-02-07"]),
        of(&[one("INBOX", 4), one("Work", 5)])
    );
    assert_eq!(
        found(&["--since", "2024-02-05T20:52:26Z", "--mailbox", "INBOX"]),
        of(&[one("INBOX", 6)])
    );
    let size = body(1).len().to_string();
    assert_eq!(found(&["--larger", &size]), of(&[]));
    assert_eq!(found(&["--smaller", &size]), of(&[]));
    let below = (body(1).len() - 1).to_string();
    assert_eq!(found(&["--larger", &below]).len(), 6);
    nights.ask("find", &["--mailbox", "Nowhere"]).expect(2);
    let nothing = nights.ask("find", &["--subject", "no such letter"]);
    assert_eq!(nothing.expect(0).stdout, "");
    assert!(nothing.stderr.contains("no message found"));

    // In words, and with a message that cannot be read.
    let text = nights.ask("find", &["--subject", "letter 5"]);
    let line = &text.expect(0).stdout;
    assert!(line.starts_with(&id(5)[..12]), "{line}");
    assert!(line.ends_with("Work              letter 5\n"), "{line}");
    let mail = nights.mailstow.archive().join("mail");
    let account = std::fs::read_dir(mail).unwrap().next().unwrap().unwrap();
    let segment = account.path().join("Work/000001.mbox.zst");
    let len = std::fs::metadata(&segment).unwrap().len();
    support::fixture::flip(&segment, usize::try_from(len).unwrap() - 5, 0);
    let asked = nights.ask("find", &["--subject", "letter", "--json"]);
    let report = events(asked.expect(7), "find").remove(0);
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 1);
    assert_eq!(report["unreadable"][0]["content"], id(5));
}
