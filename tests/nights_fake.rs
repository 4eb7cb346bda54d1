//! The fake server counts changes as RFC 7162 has it; what the tests of nights prove hangs on that.
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

use support::dovecot::PASSWORD;
use support::fake_imap::{FakeImap, FakeMailbox, Lies, World};
use support::raw_imap::RawImap;

const QRESYNC: &str = "CONDSTORE QRESYNC ENABLE LIST-EXTENDED LIST-STATUS";

fn start(capabilities: &str) -> (FakeImap, RawImap) {
    let mailboxes = [
        FakeMailbox::new("INBOX").filled(5),
        FakeMailbox::new("none"),
    ];
    let mut world = World::with(mailboxes).announcing(capabilities);
    world.mailboxes[0].subscribed = true;
    let fake = FakeImap::start(world);
    let imap = RawImap::login(fake.port(), "alice", PASSWORD);
    (fake, imap)
}

fn lines(imap: &mut RawImap, command: &str) -> Vec<String> {
    match imap.try_command(command) {
        Ok(untagged) => untagged.into_iter().map(|u| u.text).collect(),
        Err(tagged) => vec![tagged],
    }
}

#[test]
fn list_gives_status_and_subscriptions_where_that_is_announced() {
    let (_fake, mut imap) = start(QRESYNC);
    let command = "LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ))";
    assert_eq!(
        lines(&mut imap, command),
        [
            "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"",
            "* STATUS \"INBOX\" (MESSAGES 5 UIDNEXT 6 HIGHESTMODSEQ 1)",
            "* LIST (\\HasNoChildren) \"/\" \"none\"",
            "* STATUS \"none\" (MESSAGES 0 UIDNEXT 1 HIGHESTMODSEQ 1)",
        ]
    );
    let (_fake, mut imap) = start("LIST-STATUS");
    assert!(lines(&mut imap, command)[0].starts_with("BAD"));
    let (_fake, mut imap) = start("LIST-EXTENDED");
    assert!(lines(&mut imap, command)[0].starts_with("BAD"));
}

#[test]
fn changes_are_counted_and_told_since_any_of_them() {
    let (fake, mut imap) = start(QRESYNC);
    lines(&mut imap, "EXAMINE INBOX");
    fake.world().message(2).flags = "\\Flagged".to_owned();
    lines(&mut imap, "NOOP");
    fake.world().expunge(5);
    fake.world().mailbox_mut("INBOX").add(&[]).flags = String::new();
    let since = |modseq: u64| format!("UID FETCH 1:6 (UID FLAGS) (CHANGEDSINCE {modseq})");
    let second = "* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ (2))".to_owned();
    let sixth = "* 5 FETCH (UID 6 FLAGS () MODSEQ (3))".to_owned();
    assert_eq!(lines(&mut imap, &since(1)), [second.clone(), sixth.clone()]);
    assert_eq!(lines(&mut imap, &since(2)), std::slice::from_ref(&sixth));
    assert!(lines(&mut imap, &since(3)).is_empty());
    // VANISHED only after ENABLE.
    let vanished = "UID FETCH 1:6 (UID FLAGS) (CHANGEDSINCE 1 VANISHED)";
    assert!(lines(&mut imap, vanished)[0].starts_with("BAD"));
    lines(&mut imap, "ENABLE QRESYNC");
    let gone = "* VANISHED (EARLIER) 5".to_owned();
    assert_eq!(lines(&mut imap, vanished), [gone, second.clone(), sixth]);
    fake.world().lies = Lies {
        keeps_quiet: vec![5],
        leaves_out: vec![6],
        ..Lies::default()
    };
    assert_eq!(lines(&mut imap, vanished), [second]);
}

#[test]
fn without_condstore_there_is_no_count() {
    let (_fake, mut imap) = start("");
    let examined = lines(&mut imap, "EXAMINE INBOX");
    assert!(!examined.iter().any(|l| l.contains("HIGHESTMODSEQ")));
    assert!(lines(&mut imap, "UID FETCH 1:6 (FLAGS) (CHANGEDSINCE 1)")[0].starts_with("BAD"));
    assert!(lines(&mut imap, "ENABLE QRESYNC")[0].starts_with("BAD"));
}

#[test]
fn a_range_beyond_the_last_message_gives_the_last_message() {
    let (fake, mut imap) = start("");
    lines(&mut imap, "EXAMINE INBOX");
    let last = "* 5 FETCH (UID 5 RFC822.SIZE";
    let asked = lines(&mut imap, "UID FETCH 9:* (UID RFC822.SIZE)");
    assert!(asked.len() == 1 && asked[0].starts_with(last), "{asked:?}");
    assert!(lines(&mut imap, "UID FETCH 9:12 (UID RFC822.SIZE)").is_empty());
    fake.world().mailbox_mut("INBOX").messages.clear();
    assert!(lines(&mut imap, "UID FETCH 9:* (UID RFC822.SIZE)").is_empty());
}

#[test]
fn departures_are_told_once_and_in_the_way_that_was_enabled() {
    let (fake, mut imap) = start(QRESYNC);
    fake.world().tells_departures = true;
    lines(&mut imap, "EXAMINE INBOX");
    fake.world().mailbox_mut("INBOX").expunge(&[2, 4]);
    let fetch = "UID FETCH 1 (UID)";
    let rest = "* 1 FETCH (UID 1)".to_owned();
    let told = ["* 2 EXPUNGE", "* 3 EXPUNGE", &rest];
    assert_eq!(lines(&mut imap, fetch), told);
    assert_eq!(lines(&mut imap, fetch), std::slice::from_ref(&rest));
    lines(&mut imap, "ENABLE QRESYNC");
    fake.world().expunge(5);
    assert_eq!(lines(&mut imap, fetch), ["* VANISHED 5", &rest]);
}

#[test]
fn headers_are_given_whole_or_by_fields() {
    let (fake, mut imap) = start("");
    let body = b"From: a\r\n\tb\r\nX: y\r\nsubject : s\r\n\r\nDate: no header\r\n\r\n";
    fake.world().message(1).body = body.to_vec();
    fake.world().message(2).body = b"Subject: no end".to_vec();
    lines(&mut imap, "EXAMINE INBOX");
    let mut header = |items: &str| {
        let fetched = imap.command(&format!("UID FETCH 1:2 (UID {items})"));
        let texts = fetched.into_iter().map(|mut u| u.literals.remove(0));
        texts
            .map(|t| String::from_utf8(t).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        header("BODY.PEEK[HEADER]"),
        [
            "From: a\r\n\tb\r\nX: y\r\nsubject : s\r\n\r\n",
            "Subject: no end"
        ]
    );
    assert_eq!(
        header("BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)]"),
        [
            "From: a\r\n\tb\r\nsubject : s\r\n\r\n",
            "Subject: no end\r\n"
        ]
    );
    let asked = fake.asked_headers();
    assert_eq!(asked.values().collect::<Vec<_>>(), [&2, &2]);
    assert!(fake.asked().is_empty());
}

#[test]
fn made_up_mail_is_listed_with_its_true_size() {
    let world = World::with([FakeMailbox::new("a&b").bulk(1000)]);
    let fake = FakeImap::start(world.announcing("CONDSTORE"));
    fake.world().mailboxes[0]
        .reflagged
        .insert(70, "$New".into());
    let mut imap = RawImap::login(fake.port(), "alice", PASSWORD);
    imap.command("EXAMINE a&b");
    for uid in [1, 59, 60, 1000] {
        let listed = lines(&mut imap, &format!("UID FETCH {uid} (UID RFC822.SIZE)"));
        let body = imap.command(&format!("UID FETCH {uid} (UID BODY.PEEK[])"));
        let size = format!("RFC822.SIZE {})", body[0].literals[0].len());
        assert!(listed[0].ends_with(&size), "{listed:?} {size}");
    }
    fake.world().mailboxes[0]
        .reflagged
        .insert(71, "$New".into());
    let changed = lines(&mut imap, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)");
    assert_eq!(changed, ["* 71 FETCH (UID 71 FLAGS ($New) MODSEQ (2))"]);
}

#[test]
fn round_trips_are_counted_as_the_client_waits() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let fake = FakeImap::start(World::inbox(1));
    let stream = std::net::TcpStream::connect(("127.0.0.1", fake.port())).unwrap();
    let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
    lines.next();
    let mut say = |text: &str, answers: usize| {
        (&stream).write_all(text.as_bytes()).unwrap();
        let tagged = lines.by_ref().filter(|line| line.starts_with('a'));
        assert_eq!(tagged.take(answers).count(), answers);
    };
    say("a LOGIN alice x\r\n", 1);
    assert_eq!(fake.round_trips(), 0);
    say("a NOOP\r\n", 1);
    say(
        "a STATUS INBOX (MESSAGES)\r\na STATUS INBOX (UIDNEXT)\r\na NOOP\r\n",
        3,
    );
    assert_eq!(fake.round_trips(), 2);
    say("a EXAMINE INBOX\r\n", 1);
    say("a LOGOUT\r\n", 1);
    assert_eq!(fake.round_trips(), 4);
}
